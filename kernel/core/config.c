/* Configuration: one table says which words there are, what they may be, and where they go. */
#include "kernel/core/config.h"

#include "boot/boot_info.h"
#include "ggmk/trace.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "lib/format.h"

#include <string.h>

#define COMPLAINTS_MAX 8u  /* bad words named in the log; the rest is counted */
#define SHOWN_MAX      48u /* bytes of a bad word that are shown */
#define WHY_SIZE       96u

kernel_config_t kernel_config;

#define FIELD(field) offsetof(kernel_config_t, field), sizeof(((kernel_config_t *)0)->field)
#define SWITCH(field, name, usual, meaning) \
    { name, "off|on", 0, 0, usual, FIELD(field), meaning }
#define CHOICE(field, name, choices, least, usual, meaning) \
    { name, choices, least, 0, usual, FIELD(field), meaning }
#define NUMBER(field, name, least, most, usual, meaning) \
    { name, NULL, least, most, usual, FIELD(field), meaning }
#define TEXT(field, name, meaning) \
    { name, NULL, 0, sizeof(((kernel_config_t *)0)->field) - 1, 0, FIELD(field), meaning }

static const struct config_word words[] = {
    NUMBER(cpus_max, "cpus", 1, CPUS_MAX, CPUS_MAX, "how many CPUs are started at most"),
    CHOICE(log_level, "log", "error|warn|info|debug", GMK_LOG_ERROR, GMK_LOG_INFO,
           "which lines reach the log"),
    CHOICE(trace_level, "trace", "off|error|warn|info|debug|all", GMK_TRACE_OFF, GMK_TRACE_WARN,
           "which events the engine records"),
    SWITCH(serial, "serial", true, "the console on the first serial port"),
    SWITCH(screen, "screen", true, "the console on the screen"),
    SWITCH(kdb, "kdb", true, "the kernel monitor on the serial line"),
    SWITCH(x2apic, "x2apic", true, "use the x2APIC where the CPU has one"),
    SWITCH(huge_pages, "huge", true, "map memory with 1 GiB pages where the CPU has them"),
    CHOICE(exit_device, "exit", "none|debug", 0, 0,
           "debug: the emulator's isa-debug-exit device at port 0xf4 ends the machine"),
    CHOICE(panic, "panic", "halt|reboot|exit", CONFIG_PANIC_HALT, CONFIG_PANIC_HALT,
           "what follows the report of a panic"),
    NUMBER(arena_kib, "arena", 0, 4u << 20, 0,
           "the engine's memory in KiB; 0 is the least that works and 128 more, for units a 48th "
           "of memory"),
    TEXT(init, "init", "the first program, a file of the archive, or none; empty is sbin/init"),
    TEXT(init_arg, "init-arg", "one argument for the first program"),
    CHOICE(init_end, "init-end", "stay|off", CONFIG_INIT_END_STAY, CONFIG_INIT_END_STAY,
           "what the kernel does when the first program has ended"),
    TEXT(tests, "tests", "test image: run only these programs, PATTERN[,PATTERN..]"),
    TEXT(bench, "bench", "benchmark image: run only this group"),
};
#define WORDS (sizeof words / sizeof words[0])

const struct config_word *config_word(unsigned i) {
    return i < WORDS ? &words[i] : NULL;
}

static bool is_text(const struct config_word *word) {
    return word->size > sizeof(uint32_t);
}

static void store(kernel_config_t *config, const struct config_word *word, uint32_t value) {
    char *field = (char *)config + word->offset;
    if (word->size == sizeof(uint8_t)) /* a bool too: its list has two choices */
        *(uint8_t *)field = (uint8_t)value;
    else
        memcpy(field, &value, sizeof value);
}

static bool same(const char *name, const char *text, size_t length) {
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

/* Which of "a|b|c" is the text? */
static bool parse_choice(const char *choices, const char *text, size_t length, uint32_t *place) {
    *place = 0;
    for (const char *at = choices;; (*place)++) { /* at most the length of the list */
        size_t size = 0;
        while (at[size] != '\0' && at[size] != '|')
            size++;
        if (size == length && memcmp(at, text, length) == 0)
            return true;
        if (at[size] == '\0')
            return false;
        at += size + 1;
    }
}

static bool parse_number(const char *text, size_t length, uint64_t most, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text[i] - '0');
        if (*value > most)
            return false;
    }
    return length > 0;
}

/* Takes the value into its field; or says in `why` what it had to be. */
static bool set(kernel_config_t *config, const struct config_word *word, const char *text,
                size_t length, char why[WHY_SIZE]) {
    uint64_t number = 0;
    uint32_t place = 0;
    if (word->choices != NULL) {
        if (parse_choice(word->choices, text, length, &place)) {
            store(config, word, word->least + place);
            return true;
        }
        format_string(why, WHY_SIZE, "has to be one of %s", word->choices);
    } else if (is_text(word)) {
        if (length <= word->most) {
            char *field = (char *)config + word->offset;
            memcpy(field, text, length);
            field[length] = '\0';
            return true;
        }
        format_string(why, WHY_SIZE, "may have %u bytes", word->most);
    } else {
        if (parse_number(text, length, word->most, &number) && number >= word->least) {
            store(config, word, (uint32_t)number);
            return true;
        }
        format_string(why, WHY_SIZE, "has to be a number from %u to %u", word->least, word->most);
    }
    return false;
}

/* Takes one word, or says in `why` what is wrong with it. */
static bool take(kernel_config_t *config, const char *text, size_t length, char why[WHY_SIZE]) {
    size_t name = 0;
    while (name < length && text[name] != '=')
        name++;
    for (unsigned i = 0; i < WORDS; i++) {
        if (!same(words[i].name, text, name))
            continue;
        if (name < length)
            return set(config, &words[i], text + name + 1, length - name - 1, why);
        return set(config, &words[i], "on", words[i].choices != NULL ? 2 : 0, why);
    }
    format_string(why, WHY_SIZE, "is unknown");
    return false;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void config_parse(kernel_config_t *config, const char *cmdline,
                  void (*complain)(void *arg, const char *word, size_t length, const char *why),
                  void *arg) {
    memset(config, 0, sizeof *config);
    for (unsigned i = 0; i < WORDS; i++)
        if (!is_text(&words[i]))
            store(config, &words[i], words[i].usual);
    for (const char *at = cmdline; *at != '\0';) { /* at most the length of the line */
        size_t length = 0;
        char why[WHY_SIZE];
        while (at[length] != '\0' && !is_blank(at[length]))
            length++;
        if (length > 0 && !take(config, at, length, why))
            complain(arg, at, length, why);
        at += length;
        at += is_blank(*at);
    }
}

static void report(void *arg, const char *word, size_t length, const char *why) {
    unsigned *count = arg;
    if (++*count <= COMPLAINTS_MAX) {
        int shown = (int)(length < SHOWN_MAX ? length : SHOWN_MAX);
        klog_warn("config", "'%.*s%s' %s", shown, word, length > SHOWN_MAX ? "..." : "", why);
    }
}

void config_init(struct boot_info *info) {
    bool cut = info->cmdline_length >= BOOT_CMDLINE_MAX;
    size_t length = strlen(info->cmdline);
    while (cut && length > 0 && !is_blank(info->cmdline[length - 1]))
        info->cmdline[--length] = '\0';
    unsigned complaints = 0;
    config_parse(&kernel_config, info->cmdline, report, &complaints);
    if (complaints > COMPLAINTS_MAX)
        klog_warn("config", "%u more words could not be used", complaints - COMPLAINTS_MAX);
    if (cut) {
        klog_warn("config", "the command line has %llu bytes: only the first %zu are used",
                  (unsigned long long)info->cmdline_length, length);
    }
    klog_level((enum gmk_log_level)kernel_config.log_level);
}
