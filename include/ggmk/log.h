/* Log: the one log, with levels and module names, and the assertion that uses it. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/module.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gmk_log_level {
    GMK_LOG_DEFAULT = 0, /* in a configuration: the same as WARN */
    GMK_LOG_ERROR = 1,
    GMK_LOG_WARN = 2,
    GMK_LOG_INFO = 3,
    GMK_LOG_DEBUG = 4,
};

/* One line: "[   0.001234] warn  module: text". At most GMK_LOG_LINE_MAX bytes, newline
 * included; longer ones are cut and end in "...". Control bytes in the text become blanks,
 * so that a line stays one line. `fmt` knows %d %i %u %x %X %p %s %c %% with l, ll, z, j,
 * width, zero, left and precision. Any thread, any time, also before boot: with ctx NULL
 * the module is called "program". */
#define GMK_LOG_LINE_MAX 256u
GMK_API void gmk_log(gmk_ctx_t *ctx, enum gmk_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sends the log elsewhere than the platform's (NULL: back). Process-wide; the sink is
 * called with one whole line, newline included but no terminator, from any thread at the
 * same time. It must not write to the log itself. Lines that were under way may still
 * reach the former sink: keep `arg` alive. */
typedef void (*gmk_log_sink_fn)(void *arg, enum gmk_log_level level, const char *line,
                                size_t length);
GMK_API void gmk_log_sink(gmk_log_sink_fn sink, void *arg);

/* Lines above this level are not written. Process-wide; DEFAULT is WARN. */
GMK_API void gmk_log_level(enum gmk_log_level level);

/* Stops the system with the message, place and log line. For the engine's and modules'
 * own invariants, never for what a caller passed in. On in every profile. */
GMK_API __attribute__((noreturn)) void gmk_assert_failed(const char *expr, const char *file,
                                                         int line, const char *message);
#define K_ASSERT(expr, message) \
    ((void)(GMK_LIKELY(expr) ? 0 : (gmk_assert_failed(#expr, __FILE__, __LINE__, message), 0)))

#ifdef __cplusplus
}
#endif
