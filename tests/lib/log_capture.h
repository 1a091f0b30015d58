/* Log capture: keeps what a test made the library log, to compare it with what was promised. */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ggmk/log.h"

#define LOG_CAPTURE_MAX 65536u

/* Lines since the last log_capture_start(), one after the other. */
static char log_captured[LOG_CAPTURE_MAX];
static size_t log_captured_used;
static unsigned log_captured_lines;

static void log_capture_sink(void *arg, enum gmk_log_level level, const char *line, size_t length) {
    (void)arg;
    (void)level;
    if (log_captured_used + length >= LOG_CAPTURE_MAX)
        return;
    memcpy(&log_captured[log_captured_used], line, length);
    log_captured_used += length;
    log_captured[log_captured_used] = '\0';
    log_captured_lines++;
}

static inline void log_capture_start(void) {
    log_captured_used = 0;
    log_captured_lines = 0;
    log_captured[0] = '\0';
    gmk_log_sink(log_capture_sink, NULL);
}

static inline void log_capture_end(void) {
    gmk_log_sink(NULL, NULL);
}

/* Was `text` logged? Tells what was there instead when not. */
static inline int log_capture_has(const char *text) {
    if (strstr(log_captured, text) != NULL)
        return 1;
    fprintf(stderr, "expected in the log: %s\nthe log has: %s\n", text, log_captured);
    return 0;
}
