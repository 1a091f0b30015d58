/* Test of kernel configuration: every word of the command line, and every wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/config.c"

/* ---- What the kernel's log is here --------------------------------------------------- */

static char logged[8192];
static enum gmk_log_level level;

void klog(enum gmk_log_level line_level, const char *module, const char *fmt, ...) {
    size_t used = strlen(logged);
    va_list args;
    (void)line_level;
    va_start(args, fmt);
    used += (size_t)snprintf(logged + used, sizeof logged - used, "%s: ", module);
    (void)format_vstring(logged + used, sizeof logged - used, fmt, args);
    va_end(args);
    strncat(logged, "\n", sizeof logged - strlen(logged) - 1);
}

void klog_level(enum gmk_log_level new_level) {
    level = new_level;
}

static bool was_logged(const char *text) {
    return strstr(logged, text) != NULL;
}

/* ---- The parser alone ------------------------------------------------------------------ */

static kernel_config_t config;
static char complained[256];
static unsigned complaints;

static void complain(void *arg, const char *word, size_t length, const char *why) {
    assert_ptr_equal(arg, &config);
    complaints++;
    (void)snprintf(complained, sizeof complained, "%.*s %s", (int)length, word, why);
}

static void parse(const char *line) {
    char *copy = malloc(strlen(line) + 1); /* so that a sanitizer sees a byte too many */
    memcpy(copy, line, strlen(line) + 1);
    memset(&config, 0xa5, sizeof config);
    complaints = 0;
    complained[0] = '\0';
    config_parse(&config, copy, complain, &config);
    free(copy);
}

static void expect_complaint(const char *line, const char *text) {
    kernel_config_t usual;
    parse("");
    usual = config;
    parse(line);
    assert_int_equal(complaints, 1);
    assert_string_equal(complained, text);
    assert_memory_equal(&config, &usual, sizeof config); /* a bad word changes nothing */
}

static void an_empty_line_means_the_defaults(void **state) {
    (void)state;
    static const char *const lines[] = {"", " ", " \t\n\r  "};
    for (unsigned i = 0; i < 3; i++) {
        parse(lines[i]);
        assert_int_equal(complaints, 0);
        assert_int_equal(config.cpus_max, CPUS_MAX);
        assert_int_equal(config.log_level, GMK_LOG_INFO);
        assert_int_equal(config.trace_level, GMK_TRACE_WARN);
        assert_true(config.serial && config.screen && config.kdb);
        assert_true(config.x2apic && config.huge_pages);
        assert_false(config.exit_device);
        assert_int_equal(config.panic, CONFIG_PANIC_HALT);
        assert_int_equal(config.arena_kib, 0);
        assert_string_equal(config.tests, "");
        assert_string_equal(config.bench, "");
    }
}

static void every_word_reaches_its_field(void **state) {
    (void)state;
    parse("cpus=3 log=debug trace=all serial=off screen=off x2apic=off huge=off exit=debug "
          "panic=exit kdb=off arena=4096 tests=mem*,irq bench=map");
    assert_int_equal(complaints, 0);
    assert_int_equal(config.cpus_max, 3);
    assert_int_equal(config.log_level, GMK_LOG_DEBUG);
    assert_int_equal(config.trace_level, GMK_TRACE_ALL);
    assert_false(config.serial || config.screen || config.kdb);
    assert_false(config.x2apic || config.huge_pages);
    assert_true(config.exit_device);
    assert_int_equal(config.panic, CONFIG_PANIC_EXIT);
    assert_int_equal(config.arena_kib, 4096);
    assert_string_equal(config.tests, "mem*,irq");
    assert_string_equal(config.bench, "map");
}

/* Each choice is stored as the number that its reader expects. */
static void every_choice_has_its_value(void **state) {
    (void)state;
    static const struct {
        const char *line;
        size_t field;
        uint8_t value;
    } cases[] = {
        {"log=error", offsetof(kernel_config_t, log_level), GMK_LOG_ERROR},
        {"log=warn", offsetof(kernel_config_t, log_level), GMK_LOG_WARN},
        {"log=info", offsetof(kernel_config_t, log_level), GMK_LOG_INFO},
        {"trace=off", offsetof(kernel_config_t, trace_level), GMK_TRACE_OFF},
        {"trace=error", offsetof(kernel_config_t, trace_level), GMK_TRACE_ERROR},
        {"trace=warn", offsetof(kernel_config_t, trace_level), GMK_TRACE_WARN},
        {"trace=info", offsetof(kernel_config_t, trace_level), GMK_TRACE_INFO},
        {"trace=debug", offsetof(kernel_config_t, trace_level), GMK_TRACE_DEBUG},
        {"panic=halt", offsetof(kernel_config_t, panic), CONFIG_PANIC_HALT},
        {"panic=reboot", offsetof(kernel_config_t, panic), CONFIG_PANIC_REBOOT},
        {"exit=none", offsetof(kernel_config_t, exit_device), 0},
        {"serial=on", offsetof(kernel_config_t, serial), 1},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        parse(cases[i].line);
        assert_int_equal(complaints, 0);
        assert_int_equal(((const uint8_t *)&config)[cases[i].field], cases[i].value);
    }
}

static void a_switch_needs_no_value_and_the_last_word_counts(void **state) {
    (void)state;
    parse("serial=off serial kdb kdb=off\tcpus=4\ncpus=5");
    assert_int_equal(complaints, 0);
    assert_true(config.serial);
    assert_false(config.kdb);
    assert_int_equal(config.cpus_max, 5);
    parse("tests=abc tests");
    assert_int_equal(complaints, 0);
    assert_string_equal(config.tests, "");
}

static void numbers_have_their_range(void **state) {
    (void)state;
    parse("cpus=1 arena=0");
    assert_int_equal(complaints, 0);
    parse("cpus=64 arena=4194304");
    assert_int_equal(complaints, 0);
    assert_int_equal(config.cpus_max, 64);
    assert_int_equal(config.arena_kib, 4194304);
    parse("cpus=0000000000000000000000000012");
    assert_int_equal(config.cpus_max, 12);
    expect_complaint("cpus=0", "cpus=0 has to be a number from 1 to 64");
    expect_complaint("cpus=65", "cpus=65 has to be a number from 1 to 64");
    expect_complaint("arena=4194305", "arena=4194305 has to be a number from 0 to 4194304");
    expect_complaint("cpus=18446744073709551617",
                     "cpus=18446744073709551617 has to be a number from 1 to 64");
    expect_complaint("cpus", "cpus has to be a number from 1 to 64");
    expect_complaint("cpus=", "cpus= has to be a number from 1 to 64");
    expect_complaint("arena=", "arena= has to be a number from 0 to 4194304");
    expect_complaint("cpus=-1", "cpus=-1 has to be a number from 1 to 64");
    expect_complaint("cpus=2x", "cpus=2x has to be a number from 1 to 64");
    expect_complaint("cpus=0x2", "cpus=0x2 has to be a number from 1 to 64");
}

static void wrong_words_are_named_with_what_is_right(void **state) {
    (void)state;
    expect_complaint("quiet", "quiet is unknown");
    expect_complaint("=", "= is unknown");
    expect_complaint("=on", "=on is unknown");
    expect_complaint("serialx=on", "serialx=on is unknown");
    expect_complaint("seria=on", "seria=on is unknown");
    expect_complaint("Serial=on", "Serial=on is unknown");
    expect_complaint("serial=yes", "serial=yes has to be one of off|on");
    expect_complaint("serial=o", "serial=o has to be one of off|on");
    expect_complaint("serial=off|on", "serial=off|on has to be one of off|on");
    expect_complaint("serial=", "serial= has to be one of off|on");
    expect_complaint("serial=on=off", "serial=on=off has to be one of off|on");
    expect_complaint("log=all", "log=all has to be one of error|warn|info|debug");
    expect_complaint("panic", "panic has to be one of halt|reboot|exit");
    expect_complaint("exit", "exit has to be one of none|debug");
    expect_complaint("\"cpus=2\"", "\"cpus=2\" is unknown");
}

static void text_fits_or_is_refused_whole(void **state) {
    (void)state;
    char line[128] = "tests=";
    memset(line + 6, 'a', 63);
    parse(line);
    assert_int_equal(complaints, 0);
    assert_int_equal(strlen(config.tests), 63);
    line[69] = 'a';
    parse(line);
    assert_int_equal(complaints, 1);
    assert_non_null(strstr(complained, "may have 63 bytes"));
    assert_string_equal(config.tests, "");
}

static void good_words_count_beside_bad_ones(void **state) {
    (void)state;
    parse("one cpus=2 two=2 log=loud kdb=off");
    assert_int_equal(complaints, 3);
    assert_int_equal(config.cpus_max, 2);
    assert_false(config.kdb);
}

/* ---- From boot_info ---------------------------------------------------------------------- */

static struct boot_info info;

/* As a road leaves it: what fits of the line, and its whole length. */
static void boot_with(const char *line, size_t length) {
    size_t kept = length < BOOT_CMDLINE_MAX - 1 ? length : BOOT_CMDLINE_MAX - 1;
    memset(&info, 0, sizeof info);
    memcpy(info.cmdline, line, kept);
    info.cmdline_length = length;
    logged[0] = '\0';
    config_init(&info);
}

static void the_log_obeys_the_command_line(void **state) {
    (void)state;
    boot_with("log=error cpus=7 colour=red", 27);
    assert_int_equal(level, GMK_LOG_ERROR);
    assert_int_equal(kernel_config.cpus_max, 7);
    assert_string_equal(logged, "config: 'colour=red' is unknown\n");
    boot_with("", 0);
    assert_int_equal(level, GMK_LOG_INFO);
    assert_string_equal(logged, "");
}

static void a_line_of_64_kib_is_cut_and_reported(void **state) {
    (void)state;
    static char line[65536];
    memset(line, ' ', sizeof line);
    memcpy(line, "cpus=2", 6);
    memcpy(line + BOOT_CMDLINE_MAX - 1 - 6, "cpus=63", 7); /* only "cpus=6" is kept */
    memcpy(line + 60000, "kdb=off", 7);
    boot_with(line, sizeof line);
    assert_int_equal(kernel_config.cpus_max, 2); /* not 6: a word that may be cut is left out */
    assert_true(kernel_config.kdb);
    assert_true(was_logged("the command line has 65536 bytes: only the first 2041 are used"));
    memset(line, 'x', sizeof line); /* one word: nothing is left of it */
    boot_with(line, sizeof line);
    assert_string_equal(info.cmdline, "");
    assert_true(was_logged("only the first 0 are used"));
    assert_false(was_logged("unknown"));
}

static void a_line_that_just_fits_is_whole(void **state) {
    (void)state;
    static char line[BOOT_CMDLINE_MAX];
    memset(line, ' ', sizeof line);
    memcpy(line + BOOT_CMDLINE_MAX - 1 - 6, "cpus=6", 6);
    boot_with(line, BOOT_CMDLINE_MAX - 1);
    assert_int_equal(kernel_config.cpus_max, 6);
    assert_string_equal(logged, "");
    memcpy(line + BOOT_CMDLINE_MAX - 7, "cpus=63", 7); /* and this one does not */
    boot_with(line, BOOT_CMDLINE_MAX);
    assert_int_equal(kernel_config.cpus_max, CPUS_MAX);
    assert_true(was_logged("the command line has 2048 bytes"));
}

static void a_flood_of_bad_words_is_counted(void **state) {
    (void)state;
    static char line[BOOT_CMDLINE_MAX - 1];
    for (size_t i = 0; i + 1 < sizeof line; i += 2) {
        memcpy(line + i, "? ", 2);
    }
    boot_with(line, sizeof line - 1);
    unsigned lines = 0;
    for (const char *at = logged; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, COMPLAINTS_MAX + 1);
    assert_true(was_logged("1015 more words could not be used"));
}

static void a_long_bad_word_is_shortened(void **state) {
    (void)state;
    char line[200];
    memset(line, 'y', sizeof line);
    boot_with(line, sizeof line);
    assert_int_equal(strspn(logged + strlen("config: '"), "y"), SHOWN_MAX);
    assert_true(was_logged("...' is unknown"));
}

/* ---- The table ------------------------------------------------------------------------------ */

static void every_field_belongs_to_one_word_and_fits(void **state) {
    (void)state;
    uint8_t owner[sizeof(kernel_config_t)] = {0};
    unsigned count = 0;
    for (const struct config_word *word; (word = config_word(count)) != NULL; count++) {
        assert_true(word->offset + word->size <= sizeof owner);
        assert_true(word->size == 1 || word->size >= 4);
        for (unsigned k = 0; k < word->size; k++) {
            assert_int_equal(owner[word->offset + k]++, 0);
        }
        assert_true(strlen(word->name) > 0 && strlen(word->meaning) > 0);
    }
    assert_int_equal(count, WORDS);
    unsigned unowned = 0;
    for (size_t i = 0; i < sizeof owner; i++) {
        unowned += owner[i] == 0;
    }
    assert_true(unowned < _Alignof(kernel_config_t)); /* padding at most */
}

/* A word's row in docs/config.md. */
static void make_row(const struct config_word *word, char *row, size_t size) {
    char values[128] = "", usual[64] = "empty";
    if (word->choices != NULL) {
        const char *at = word->choices;
        for (uint32_t i = word->least; i < word->usual; i++) {
            at = strchr(at, '|') + 1;
        }
        (void)snprintf(usual, sizeof usual, "`%.*s`", (int)strcspn(at, "|"), at);
        size_t used = 0;
        for (at = word->choices; *at != '\0'; at += strspn(at, "|")) {
            int length = (int)strcspn(at, "|");
            used += (size_t)snprintf(values + used, sizeof values - used, "%s`%.*s`",
                                     used == 0 ? "" : " ", length, at);
            at += length;
        }
    } else if (is_text(word)) {
        (void)snprintf(values, sizeof values, "text of at most %u bytes", word->most);
    } else {
        (void)snprintf(values, sizeof values, "%u to %u", word->least, word->most);
        (void)snprintf(usual, sizeof usual, "%u", word->usual);
    }
    (void)snprintf(row, size, "| `%s` | %s | %s | %s |\n", word->name, values, usual,
                   word->meaning);
}

static void the_page_about_it_shows_every_word_as_it_is(void **state) {
    (void)state;
    static char page[16384];
    FILE *file = fopen("docs/config.md", "r"); /* tests run where the project is */
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    (void)fclose(file);
    unsigned rows = 0, words_told = 0;
    for (const char *at = page; (at = strstr(at, "\n| `")) != NULL; at++) {
        rows++;
    }
    for (const struct config_word *word; (word = config_word(words_told)) != NULL; words_told++) {
        char row[512];
        make_row(word, row, sizeof row);
        if (strstr(page, row) == NULL) {
            fail_msg("docs/config.md needs this row:\n%s", row);
        }
    }
    assert_int_equal(rows, words_told);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_line_means_the_defaults),
        cmocka_unit_test(every_word_reaches_its_field),
        cmocka_unit_test(every_choice_has_its_value),
        cmocka_unit_test(a_switch_needs_no_value_and_the_last_word_counts),
        cmocka_unit_test(numbers_have_their_range),
        cmocka_unit_test(wrong_words_are_named_with_what_is_right),
        cmocka_unit_test(text_fits_or_is_refused_whole),
        cmocka_unit_test(good_words_count_beside_bad_ones),
        cmocka_unit_test(the_log_obeys_the_command_line),
        cmocka_unit_test(a_line_of_64_kib_is_cut_and_reported),
        cmocka_unit_test(a_line_that_just_fits_is_whole),
        cmocka_unit_test(a_flood_of_bad_words_is_counted),
        cmocka_unit_test(a_long_bad_word_is_shortened),
        cmocka_unit_test(every_field_belongs_to_one_word_and_fits),
        cmocka_unit_test(the_page_about_it_shows_every_word_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
