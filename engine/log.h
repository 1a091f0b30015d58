/* Log: how the engine itself writes lines, and how it tells whose line a handler wrote.
 *
 * The log is process-wide: it must work before the first boot and after the last halt.
 * See engine/log.c for how a line is made. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#include "ggmk/log.h"

/* Writes one line for `module` (any name; the engine's parts use their own, such as
 * "boot"). Any thread, any context a hal_log_write() may be called from. */
void log_line(enum gmk_log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void log_line_v(enum gmk_log_level level, const char *module, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* True when a line of this level would be written: saves preparing one in vain. */
bool log_wants(enum gmk_log_level level);

/* Names the module whose code runs with `ctx`, which is not NULL and not of a sandbox;
 * NULL when it has none. Set once by the engine; the same function serves every engine. */
typedef const char *(*log_namer_fn)(const gmk_ctx_t *ctx);
void log_set_namer(log_namer_fn namer);
