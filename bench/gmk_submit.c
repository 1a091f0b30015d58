/* Submit: a million trivial tasks from a thread outside the engine, one by one and 32 at a
 * time, at three trace levels; and one task at a time into a sleeping engine. */
#include "bench/gmk.h"

#define BULK 32u

enum { TYPE_COUNT = 1, TYPE_STAMP };

static int handle_count(gmk_ctx_t *ctx) {
    (void)ctx;
    bench_done();
    return GMK_OK;
}

static int handle_stamp(gmk_ctx_t *ctx) {
    bench_wake_landed(ctx->task->meta0);
    return GMK_OK;
}

static const gmk_handler_fn handlers[] = {handle_count, handle_stamp};

static int boot_level(const struct bench_config *config, enum gmk_trace_level level) {
    gmk_boot_cfg_t cfg = {.trace_level = (uint8_t)level};
    return gmk_bench_boot(config, &cfg, handlers, 2);
}

static int open_default(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_OFF);
}

static int open_warn(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_WARN);
}

static int open_all(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_ALL);
}

static void run_one(const struct bench_config *config, struct bench_run *run) {
    gmk_task_t task = {.type = TYPE_COUNT};
    uint64_t start = bench_now_ns();
    for (uint64_t i = 0; i < config->count; i++) {
        task.meta0 = i;
        gmk_bench_submit(&task);
    }
    bench_count_wait(run, start, config->count);
}

static void run_bulk(const struct bench_config *config, struct bench_run *run) {
    gmk_task_t tasks[BULK] = {{.type = TYPE_COUNT}};
    for (uint32_t k = 1; k < BULK; k++) {
        tasks[k] = tasks[0];
    }
    uint64_t start = bench_now_ns();
    for (uint64_t i = 0; i < config->count; i += BULK) {
        uint64_t n = config->count - i < BULK ? config->count - i : BULK;
        for (uint64_t k = 0; k < n; k++) {
            tasks[k].meta0 = i + k;
        }
        gmk_bench_submit_n(tasks, (uint32_t)n);
    }
    bench_count_wait(run, start, config->count);
}

static void submit_stamp(uint64_t stamp_ns) {
    gmk_task_t task = {.type = TYPE_STAMP, .meta0 = stamp_ns};
    gmk_bench_submit(&task);
}

static void run_wake(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, submit_stamp);
}

const struct bench_contestant gmk_submit_one = {open_default, run_one, gmk_bench_halt};
const struct bench_contestant gmk_submit_bulk = {open_default, run_bulk, gmk_bench_halt};
const struct bench_contestant gmk_submit_trace_warn = {open_warn, run_one, gmk_bench_halt};
const struct bench_contestant gmk_submit_trace_all = {open_all, run_one, gmk_bench_halt};
const struct bench_contestant gmk_wake = {open_default, run_wake, gmk_bench_halt};
