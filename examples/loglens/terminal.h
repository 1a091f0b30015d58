/* Terminal: what loglens says on standard error: messages, and a progress bar. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One line "loglens: ...". Takes the progress bar away first. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The bar, redrawn at most ten times a second, and only if standard error is a terminal.
 * Main thread only. */
struct progress {
    bool shown;     /* is there a terminal? */
    uint64_t total; /* bytes of all files, as they lie on the disk; 0: not known, no bar */
    uint64_t done;
    uint64_t started_ns;
    uint64_t drawn_ns;
};
void progress_start(struct progress *progress, uint64_t total);
void progress_show(struct progress *progress, uint64_t done, const char *doing);
void progress_end(struct progress *progress);

uint64_t clock_ns(void);
