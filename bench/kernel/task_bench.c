/* Task bench: the measuring half, in portable C on the engine's public API and hal_cycles(). */
#include "bench/kernel/task_bench.h"

#include "ggmk/ggmk.h"
#include "hal/hal.h"

#define BATCHES     64u
#define BATCH_TASKS 128u
#define CHAIN_LINKS 8192u

enum { TYPE_EMPTY = 1, TYPE_CHAIN = 2, TYPE_FEEDER = 3 };

static struct {
    uint64_t spent[BATCHES]; /* ticks of each batch */
    uint64_t started;
    uint32_t batch;
    uint32_t left;
    _Atomic uint32_t done;
} bench;

static void sort_u64(uint64_t *at, unsigned count) {
    for (unsigned i = 1; i < count; i++) {
        uint64_t value = at[i];
        unsigned j = i;
        for (; j > 0 && at[j - 1] > value; j--)
            at[j] = at[j - 1];
        at[j] = value;
    }
}

static void batch_ended(uint32_t tasks) {
    bench.spent[bench.batch++] = (hal_cycles() - bench.started) / tasks;
}

static void bench_reset(void) {
    bench.batch = 0;
    bench.left = 0;
    atomic_store_explicit(&bench.done, 0, memory_order_relaxed);
}

static void bench_finish(void) {
    atomic_store_explicit(&bench.done, 1, memory_order_release); /* pairs with wait_done() */
    hal_wake(&bench.done, 1);
}

static void wait_done(void) {
    /* The acquire pairs with bench_finish(): the batches are written before it. */
    while (atomic_load_explicit(&bench.done, memory_order_acquire) == 0)
        (void)hal_wait(&bench.done, 0, HAL_FOREVER);
}

/* An empty task: all that is measured is the engine. */
static int run_empty(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

/* Each link submits the next one; a batch ends every BATCH_TASKS links. */
static int run_chain(gmk_ctx_t *ctx) {
    if (bench.left % BATCH_TASKS == 0) {
        if (bench.left != 0)
            batch_ended(BATCH_TASKS);
        bench.started = hal_cycles();
    }
    if (bench.left++ == CHAIN_LINKS) {
        bench_finish();
        return GMK_OK;
    }
    return gmk_submit(ctx->kernel, &(gmk_task_t){.type = TYPE_CHAIN});
}

/* Fills the worker's queue with a batch of empty tasks and queues itself behind them, so that
 * what lies between two of its runs is a batch of submits and a batch of dispatches. */
static int run_feeder(gmk_ctx_t *ctx) {
    if (bench.left++ != 0)
        batch_ended(BATCH_TASKS + 1);
    if (bench.batch == BATCHES) {
        bench_finish();
        return GMK_OK;
    }
    bench.started = hal_cycles();
    for (unsigned i = 0; i < BATCH_TASKS; i++) {
        int status = gmk_submit(ctx->kernel, &(gmk_task_t){.type = TYPE_EMPTY});
        if (status != GMK_OK)
            return status;
    }
    return gmk_submit(ctx->kernel, &(gmk_task_t){.type = TYPE_FEEDER});
}

static const gmk_handler_reg_t bench_handlers[] = {
    {TYPE_EMPTY, run_empty, "bench.empty"},
    {TYPE_CHAIN, run_chain, "bench.chain"},
    {TYPE_FEEDER, run_feeder, "bench.feeder"},
};
static gmk_module_t bench_module = {
    .name = "task_bench",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = bench_handlers,
    .n_handlers = 3,
};

static void measure(gmk_kernel_t *kernel, uint32_t type, const char *name,
                    task_bench_report report) {
    bench_reset();
    if (gmk_submit(kernel, &(gmk_task_t){.type = type}) != GMK_OK)
        return;
    wait_done();
    sort_u64(bench.spent, bench.batch);
    report(name, bench.spent[bench.batch / 2], bench.spent[bench.batch - 1]);
}

void task_bench(task_bench_report report) {
    static gmk_kernel_t kernel;
    gmk_module_t *modules[] = {&bench_module};
    /* No watchdog reports under a clock that counts instructions; no timing of tasks. */
    const gmk_boot_cfg_t cfg = {.n_workers = 1,
                                .no_auto_modules = true,
                                .arena_size = 4u << 20,
                                .max_timers = 64,
                                .hang_ns = UINT64_MAX};
    int status = gmk_boot(&kernel, &cfg, modules, 1);
    if (status != GMK_OK) {
        gmk_log(NULL, GMK_LOG_ERROR, "task bench: the engine did not boot: %s",
                gmk_strerror(status));
        return;
    }
    measure(&kernel, TYPE_CHAIN, "task-chain", report);
    measure(&kernel, TYPE_FEEDER, "task-batch", report);
    (void)gmk_halt(&kernel);
}
