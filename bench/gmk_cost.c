/* Cost: what it costs to be observed: metrics and trace at three levels.
 *
 * The work is CHAINS chains of tasks that each emit their successor: it stays inside one
 * worker, fits its queue, and does nothing but schedule, so every nanosecond of observing
 * shows. Compared is the workers' CPU time, which other programs on the machine disturb
 * less than the clock on the wall.
 *
 * The engine's counters cannot be switched off (they are what drain and halt go by). A task
 * here moves two of them, emitted and completed; so one contestant moves two more in its
 * handler, by the public call, and the difference bounds what the engine's own cost. */
#include "bench/gmk.h"

#define CHAINS 64u

static uint32_t counters[2];

/* Emits the next link, or ends the chain. */
static int next_link(gmk_ctx_t *ctx, uint32_t type) {
    bench_done();
    if (ctx->task->meta0 == 0) {
        return GMK_OK;
    }
    gmk_task_t next = {.type = type, .meta0 = ctx->task->meta0 - 1};
    return gmk_emit(ctx, &next);
}

enum { TYPE_PLAIN = 1, TYPE_COUNTED };

static int handle_plain(gmk_ctx_t *ctx) {
    return next_link(ctx, TYPE_PLAIN);
}

static int handle_counted(gmk_ctx_t *ctx) {
    gmk_metric_inc(ctx, counters[0], 1);
    gmk_metric_inc(ctx, counters[1], 1);
    return next_link(ctx, TYPE_COUNTED);
}

static const gmk_handler_fn handlers[] = {handle_plain, handle_counted};

static int boot_with(const struct bench_config *config, const gmk_boot_cfg_t *cfg) {
    return gmk_bench_boot(config, cfg, handlers, 2);
}

/* The engine as it boots; each of the others changes one thing. */
static int open_default(const struct bench_config *config) {
    return boot_with(config, NULL);
}

static int open_warn(const struct bench_config *config) {
    return boot_with(config, &(gmk_boot_cfg_t){.trace_level = GMK_TRACE_WARN});
}

static int open_all(const struct bench_config *config) {
    return boot_with(config, &(gmk_boot_cfg_t){.trace_level = GMK_TRACE_ALL});
}

static int open_counted(const struct bench_config *config) {
    int status = boot_with(config, NULL);
    if (status == 0) {
        gmk_ctx_t *ctx = gmk_attach(&gmk_bench_kernel);
        gmk_bench_check(gmk_metric_register(ctx, "bench_one", "", &counters[0]), "metric");
        gmk_bench_check(gmk_metric_register(ctx, "bench_two", "", &counters[1]), "metric");
    }
    return status;
}

/* More than one tenant: each task is charged to its account, so that limits can be kept. */
static int open_tenants(const struct bench_config *config) {
    return boot_with(config, &(gmk_boot_cfg_t){.n_tenants = 2});
}

/* By default every 256th task is timed for the histograms; here hardly one. */
static int open_untimed(const struct bench_config *config) {
    return boot_with(config, &(gmk_boot_cfg_t){.stamp_shift = 20});
}

static void chains(const struct bench_config *config, struct bench_run *run, uint32_t type) {
    gmk_task_t first = {.type = type, .meta0 = config->count / CHAINS - 1};
    uint64_t start = bench_now_ns();
    for (unsigned i = 0; i < CHAINS; i++) {
        gmk_bench_submit(&first);
    }
    bench_count_wait(run, start, config->count / CHAINS * CHAINS);
}

static void run_plain(const struct bench_config *config, struct bench_run *run) {
    chains(config, run, TYPE_PLAIN);
}

static void run_counted(const struct bench_config *config, struct bench_run *run) {
    chains(config, run, TYPE_COUNTED);
}

const struct bench_contestant gmk_cost_default = {open_default, run_plain, gmk_bench_halt};
const struct bench_contestant gmk_cost_untimed = {open_untimed, run_plain, gmk_bench_halt};
const struct bench_contestant gmk_cost_counted = {open_counted, run_counted, gmk_bench_halt};
const struct bench_contestant gmk_cost_tenants = {open_tenants, run_plain, gmk_bench_halt};
const struct bench_contestant gmk_cost_warn = {open_warn, run_plain, gmk_bench_halt};
const struct bench_contestant gmk_cost_all = {open_all, run_plain, gmk_bench_halt};
