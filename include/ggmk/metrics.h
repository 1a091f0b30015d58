/* Metrics: exact counts, latency percentiles, exports and dumps of a running engine. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/module.h"
#include "ggmk/trace.h" /* gmk_write_fn */

#ifdef __cplusplus
extern "C" {
#endif

/* What every task ends up in exactly one of. Each is counted per worker, type and tenant
 * with plain stores and summed when read; the conservation law
 *     submitted + emitted = completed + failed + dropped + queued
 * holds exactly whenever the engine is quiet, whatever the trace level. Channel messages
 * count once per subscriber (emitted), as does each delivery's end. */
typedef struct gmk_counts {
    uint64_t submitted; /* taken from outside */
    uint64_t emitted;   /* taken from handlers and channels */
    uint64_t completed; /* handlers that returned GMK_OK */
    uint64_t failed;    /* handlers that returned a failure */
    uint64_t dropped;   /* dead-lettered */
    uint64_t queued;    /* the difference: waiting, running or timed */
    uint64_t yields;    /* times a task gave way (not an end) */
    uint64_t retries;   /* times a task asked for another try (not an end) */
} gmk_counts_t;

/* What the scheduler did, summed over workers. */
typedef struct gmk_sched_stats {
    uint64_t gathered;  /* tasks taken from the shared ready rings */
    uint64_t local;     /* tasks taken from the worker's own queue */
    uint64_t stolen;    /* tasks taken from another worker's queue */
    uint64_t overflow;  /* tasks that had to use the overflow bucket */
    uint64_t parks;     /* times a worker went to sleep */
    uint64_t wakes;     /* wake-ups sent to sleeping workers */
    uint64_t refused;   /* submits and emits answered with an error */
    uint64_t timers;    /* tasks that waited for their time */
    uint64_t bad_frees; /* frees of what was not a live block: see the log */
    uint64_t hangs;     /* reports of the hang detector */
} gmk_sched_stats_t;

/* One part of the arena, in bytes and calls. high_water counts what was taken from the
 * part, per-worker caches included. */
typedef struct gmk_part_stats {
    uint64_t total;
    uint64_t used;
    uint64_t free;
    uint64_t high_water;
    uint64_t allocs;
    uint64_t frees;
    uint64_t fails;
} gmk_part_stats_t;

enum gmk_arena_part { GMK_PART_TASKS, GMK_PART_TRACE, GMK_PART_BLOCKS, GMK_PART_BUMP, GMK_PARTS };

typedef struct gmk_latency {
    uint64_t count; /* samples: one task in 2^cfg.stamp_shift */
    uint64_t p50_ns, p99_ns, p999_ns, max_ns, mean_ns;
} gmk_latency_t;

enum gmk_latency_kind {
    GMK_LATENCY_QUEUE,   /* queued -> handler starts */
    GMK_LATENCY_HANDLER, /* handler starts -> returns */
};

/* Reads; any thread; EHALTED when not running, ENOENT/ETENANT for unknown ids. */
GMK_API int gmk_counts(struct gmk_kernel *kernel, gmk_counts_t *out);
GMK_API int gmk_type_counts(struct gmk_kernel *kernel, uint32_t type, gmk_counts_t *out);
GMK_API int gmk_tenant_counts(struct gmk_kernel *kernel, uint8_t tenant, gmk_counts_t *out);
GMK_API int gmk_sched_stats(struct gmk_kernel *kernel, gmk_sched_stats_t *out);
GMK_API int gmk_arena_stats(struct gmk_kernel *kernel, enum gmk_arena_part part,
                            gmk_part_stats_t *out);
GMK_API int gmk_latency(struct gmk_kernel *kernel, enum gmk_latency_kind kind, gmk_latency_t *out);

/* A module's own counter: register once (init), then add from any context of any worker.
 * EEXIST, ELIMIT (GMK_METRICS_MAX), EINVAL. */
#define GMK_METRICS_MAX 64u
GMK_API int gmk_metric_register(gmk_ctx_t *ctx, const char *name, const char *help,
                                uint32_t *out_id);
GMK_API void gmk_metric_inc(gmk_ctx_t *ctx, uint32_t metric, uint64_t delta);
GMK_API int gmk_metric_read(struct gmk_kernel *kernel, uint32_t metric, uint64_t *out);

/* Everything above in the Prometheus text format 0.0.4. `write` must not call back into
 * this engine's readers or exports: they wait for each other. */
GMK_API int gmk_prometheus(struct gmk_kernel *kernel, gmk_write_fn write, void *arg);

/* For people: workers and what each runs, queues, channels, groups, types.
 * Safe while everything runs, and in a signal handler when `write` is. */
GMK_API int gmk_dump(struct gmk_kernel *kernel, gmk_write_fn write, void *arg);

#ifdef __cplusplus
}
#endif
