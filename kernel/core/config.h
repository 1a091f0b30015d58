/* Kernel configuration: one structure, fed by the command line.
 *
 * Words are separated by blanks: `name=value`, or `name` alone to switch something on. There is no
 * quoting; a word that comes twice counts as it came last. Unknown words and bad values are
 * reported by name in the log and change nothing; the kernel boots on. The table of words is in
 * config.c, and docs/config.md shows it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_info;

enum config_panic { CONFIG_PANIC_HALT, CONFIG_PANIC_REBOOT, CONFIG_PANIC_EXIT };
enum config_init_end { CONFIG_INIT_END_STAY, CONFIG_INIT_END_OFF };

typedef struct kernel_config {
    uint32_t cpus_max;   /* 1 .. CPUS_MAX */
    uint32_t arena_kib;  /* the engine's memory; 0 = the least that works plus 512 */
    uint8_t log_level;   /* enum gmk_log_level */
    uint8_t trace_level; /* enum gmk_trace_level */
    uint8_t panic;       /* enum config_panic */
    bool serial, screen; /* consoles */
    bool kdb;            /* the monitor on the serial line */
    bool x2apic;         /* used where present */
    bool huge_pages;     /* 1 GiB pages where present */
    bool exit_device;    /* isa-debug-exit at 0xf4 exists */
    uint8_t init_end;    /* enum config_init_end */
    char init[64];       /* the first program: a file of the archive; "" = sbin/init */
    char init_arg[64];   /* its argv[1]; "" = none */
    char tests[64];      /* test image: PATTERN[,PATTERN..]; "" = all */
    char bench[64];      /* benchmark image: a group's name; "" = all */
} kernel_config_t;

extern kernel_config_t kernel_config; /* constant after config_init() */

/* Reads the boot command line into kernel_config, reports what it could not use, and sets the
 * log's level. The last word of a line that was cut is left out: it may be cut too. Once, as soon
 * as there is a log. */
void config_init(struct boot_info *info);

/* Reads `cmdline` into *config, which is first set to the defaults. Each word it cannot use is
 * passed to `complain` with the reason (which lives as long as the call). */
void config_parse(kernel_config_t *config, const char *cmdline,
                  void (*complain)(void *arg, const char *word, size_t length, const char *why),
                  void *arg);

/* One word of the command line. */
struct config_word {
    const char *name;
    const char *choices;   /* "off|on": stored as the place in this list + least; or NULL */
    uint32_t least, most;  /* legal numbers; text: its length */
    uint32_t usual;        /* what is stored unless given; for text "" */
    uint16_t offset, size; /* the field in kernel_config_t; text is longer than 4 bytes */
    const char *meaning;   /* for docs/config.md and the monitor */
};
/* The i-th word; NULL past the last. */
const struct config_word *config_word(unsigned i);
