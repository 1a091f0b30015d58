/* Trace: what a module says about itself while it runs, and who reads it.
 *
 * Every worker and every attached thread writes fixed-size binary records into a ring of
 * its own (a flight recorder: the newest survive). gmk_trace_export() turns the rings into
 * one file in the Fuchsia trace format, which https://ui.perfetto.dev opens as it is. */
#pragma once

#include "ggmk/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gmk_ctx;
struct gmk_kernel;

/* An event of a level is recorded when the level set for its module, or else the
 * engine's, is at least as high. */
enum gmk_trace_level {
    GMK_TRACE_OFF = 0,
    GMK_TRACE_ERROR = 1, /* failed handlers, poisoned types, failed allocations, hangs */
    GMK_TRACE_WARN = 2,  /* retries, dropped tasks and messages */
    GMK_TRACE_INFO = 3,  /* channels and modules come and go */
    GMK_TRACE_DEBUG = 4, /* steals, parks, wakes, yields, timers */
    GMK_TRACE_ALL = 5,   /* every task, submit, emit and message */
};

/* "Use the engine's level", for gmk_trace_set_module_level(). */
#define GMK_TRACE_INHERIT 255

/* Events above this level leave no code behind. Set it for a whole program with
 * -DGMK_TRACE_STRIP_LEVEL=2 (numbers as above); the library itself honours it too. */
#ifndef GMK_TRACE_STRIP_LEVEL
#define GMK_TRACE_STRIP_LEVEL 5
#endif

/* Records an instant `name` with a number, in the category of the calling module. `name`
 * is a string literal or lives until the engine has halted: only its address is kept. At
 * most GMK_NAME_MAX-1 bytes of it are shown. Costs one compare when the level is off.
 * Handlers and attached threads. */
#define gmk_trace(ctx, level, name, value)                              \
    do {                                                                \
        if ((int)(level) <= GMK_TRACE_STRIP_LEVEL) {                    \
            gmk_trace_event((ctx), (level), (name), (uint64_t)(value)); \
        }                                                               \
    } while (0)

/* The function behind gmk_trace(). A level that is not in the enum is ignored. */
GMK_API void gmk_trace_event(struct gmk_ctx *ctx, enum gmk_trace_level level, const char *name,
                             uint64_t value);

/* Sets the engine's level, at any time. EINVAL, EHALTED. */
GMK_API int gmk_trace_set_level(struct gmk_kernel *kernel, enum gmk_trace_level level);

/* Sets one module's level, or GMK_TRACE_INHERIT. ENOENT: no module of this name. */
GMK_API int gmk_trace_set_module_level(struct gmk_kernel *kernel, const char *module, int level);

/* Records only every 2^shift-th event of a kind ("task", "submit", "user", ...: the list
 * is in docs/observability.md) per worker; 0 = each one. ENOENT: no such kind.
 * EINVAL: shift above 31. */
GMK_API int gmk_trace_set_sampling(struct gmk_kernel *kernel, const char *kind, unsigned shift);

/* Receives output in pieces of any size. Returns 0, or a negative code that stops the
 * export and is returned from it. */
typedef int (*gmk_write_fn)(void *arg, const void *bytes, size_t size);

/* What an export saw. */
typedef struct gmk_trace_stats {
    uint64_t records;     /* events written out */
    uint64_t overwritten; /* bytes that newer records had replaced before the export */
    uint64_t torn;        /* blocks of 512 bytes that their writer took back while they were read */
    uint64_t malformed;   /* blocks whose rest made no sense: memory was damaged */
} gmk_trace_stats_t;

/* Writes everything the rings hold, while the engine goes on. `stats` may be NULL.
 * EHALTED, or what `write` returned; it must not call another export of this engine. Any thread, also a handler; never blocks by itself. */
GMK_API int gmk_trace_export(struct gmk_kernel *kernel, gmk_write_fn write, void *arg,
                             gmk_trace_stats_t *stats);

#ifdef __cplusplus
}
#endif
