/* GMK contestants: our side of the jobs, written against the public headers only.
 *
 * gmk_engine.c boots and halts the one engine of a run; the other gmk_*.c files bring the
 * handlers and the submitting loops. Each run checks the engine's own books as well: the
 * conservation law must hold after it. */
#pragma once

#include "bench/lib/bench.h"
#include "ggmk/ggmk.h"

extern gmk_kernel_t gmk_bench_kernel;

/* Boots with one module of `handlers` (types 1 .. n) and the trace level given, workers at the
 * places of bench_worker_cpu(). `cfg` may be NULL. Returns 0 or the boot's error. */
int gmk_bench_boot(const struct bench_config *config, const gmk_boot_cfg_t *cfg,
                   gmk_handler_fn const *handlers, uint32_t n_handlers);
void gmk_bench_halt(void);

/* Submits until the engine takes it. A full queue is waited for the same way the raw pool
 * does: spin a little, then yield the CPU. */
void gmk_bench_submit(const gmk_task_t *task);
void gmk_bench_submit_n(const gmk_task_t *tasks, uint32_t count);

/* Prints what a refused call said and ends the program: a bench must not measure errors. */
void gmk_bench_check(int status, const char *what);

/* gmk_submit.c */
extern const struct bench_contestant gmk_submit_one;
extern const struct bench_contestant gmk_submit_bulk;
extern const struct bench_contestant gmk_submit_trace_warn;
extern const struct bench_contestant gmk_submit_trace_all;
extern const struct bench_contestant gmk_wake;

/* gmk_tree.c */
extern const struct bench_contestant gmk_tree;
extern const struct bench_contestant gmk_tree_wide;

/* gmk_chan.c */
extern const struct bench_contestant gmk_chan_stream;
extern const struct bench_contestant gmk_chan_bulk;
extern const struct bench_contestant gmk_chan_cold;
extern const struct bench_contestant gmk_chan_fan;
extern const struct bench_contestant gmk_chan_fan_bulk;

/* gmk_cost.c */
extern const struct bench_contestant gmk_cost_default;
extern const struct bench_contestant gmk_cost_untimed;
extern const struct bench_contestant gmk_cost_counted;
extern const struct bench_contestant gmk_cost_tenants;
extern const struct bench_contestant gmk_cost_warn;
extern const struct bench_contestant gmk_cost_all;
