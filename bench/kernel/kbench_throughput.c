/* Kernel bench, throughput: independent tasks on every CPU, wall time; and how quiet idle is. */
#include "bench/kernel/kbench.h"

#include "ggmk/ggmk.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define TYPE_BENCH_WORK 4001u
#define WORK_TASKS      20000u
#define WORK_ROUNDS     2000u /* steps of a task: some microseconds */
#define WORK_SAMPLES    9u

static int run_work(gmk_ctx_t *ctx) {
    uint64_t x = ctx->task->meta0 | 1;
    for (unsigned i = 0; i < WORK_ROUNDS; i++)
        x = x * 6364136223846793005ull + 1442695040888963407ull;
    ctx->task->meta1 = x; /* kept, so that the compiler keeps the work */
    return GMK_OK;
}

static const gmk_handler_reg_t work_handlers[] = {{TYPE_BENCH_WORK, run_work, "bench.work"}};
static gmk_module_t work_bench = {.name = "work_bench",
                                  .version = GMK_VERSION(1, 0, 0),
                                  .handlers = work_handlers,
                                  .n_handlers = 1};

static uint64_t one_round(gmk_kernel_t *kernel) {
    uint64_t start = time_now_ns();
    for (uint32_t i = 0; i < WORK_TASKS;) {
        int status = gmk_submit(kernel, &(gmk_task_t){.type = TYPE_BENCH_WORK, .meta0 = i});
        if (status == GMK_OK)
            i++;
        else
            sched_yield(); /* full: the workers are busy */
    }
    (void)gmk_drain(kernel, UINT64_MAX);
    return time_now_ns() - start;
}

void kbench_throughput(void) {
    static struct kbench bench;
    static gmk_kernel_t kernel;
    gmk_module_t *modules[] = {&work_bench};
    const gmk_boot_cfg_t cfg = {.arena_size = 8u << 20,
                                .no_auto_modules = true,
                                .pin_workers = true,
                                .hang_ns = UINT64_MAX};
    int status = gmk_boot(&kernel, &cfg, modules, 1);
    if (status != GMK_OK) {
        kprint("bench throughput failed: %s\n", gmk_strerror(status));
        return;
    }
    kbench_begin(&bench);
    for (unsigned i = 0; i < WORK_SAMPLES; i++)
        kbench_add(&bench, one_round(&kernel) / WORK_TASKS);
    (void)gmk_halt(&kernel);
    kbench_print(&bench, "work-ns-per-task");
}

/* ---- Idle ------------------------------------------------------------------------------------ */

#define IDLE_NS   10000000000ull
#define SETTLE_NS 3000000000ull /* the watchdog has seen that all rest, and rests too */

struct taken {
    uint64_t all, timer;
};

static struct taken taken_so_far(void) {
    struct taken sum = {0};
    for (unsigned i = 0; i < cpu_count; i++) {
        sum.all += cpus[i]->irq_count;
        sum.timer += cpus[i]->timer_count;
    }
    return sum;
}

void kbench_idle(void) {
    static _Atomic uint32_t never;
    (void)wait_block(&never, 0, SETTLE_NS);
    kprint("bench: idle begins\n");
    struct taken before = taken_so_far();
    (void)wait_block(&never, 0, IDLE_NS);
    struct taken after = taken_so_far();
    kprint("bench: idle ends\n");
    uint64_t all = after.all - before.all, timer = after.timer - before.timer;
    kbench_line("idle-interrupts", all, all);
    kbench_line("idle-timer-interrupts", timer, timer); /* the end of this wait is one */
}
