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

#define ENGINES    1000u
#define SUBMITTERS 2u

enum { WORK = 1, SPREAD, AGAIN };

static gmk_kernel_t kernel;
static _Atomic uint64_t taken;   /* submits from outside that answered OK */
static _Atomic uint64_t emitted; /* emits that did */
static _Atomic uint64_t ended;   /* handlers that ran to their end */
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
            atomic_fetch_add(&emitted, 1);
    if (gmk_emit_at(ctx, &child, gmk_now(ctx) + 50000) == GMK_OK)
        atomic_fetch_add(&emitted, 1);
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

static const gmk_handler_reg_t handlers[] = {{WORK, work_handler, "work"},
                                             {SPREAD, spread_handler, "spread"},
                                             {AGAIN, again_handler, "again"}};

/* ---- The submitters ------------------------------------------------------------------------ */

static void check_answer(int status) {
    if (status == GMK_OK) {
        atomic_fetch_add(&taken, 1);
    } else if (status != GMK_EHALTED && status != GMK_EAGAIN) {
        fprintf(stderr, "a submit gave %s; only OK, EHALTED and EAGAIN are right\n",
                gmk_error_name(status));
        abort();
    } else {
        hal_yield_cpu(); /* nobody to submit to: let the next engine boot, or this one work */
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
    struct rand_state rand = rand_seed((uintptr_t)arg);
    gmk_counts_t counts;
    for (uint32_t i = 0; atomic_load(&stop) == 0; i++) {
        if (i % 2048 == 0)
            sched_pause(); /* the engines need the CPUs more */
        gmk_task_t task = {.type = 1 + rand_below(&rand, 3)};
        switch (rand_below(&rand, 8)) {
        case 0: {
            int status = gmk_submit_at(&kernel, &task, hal_now_ns() + rand_below(&rand, 100000));
            check_answer(status == GMK_ELIMIT ? GMK_EAGAIN : status); /* the timed queue's "full" */
            break;
        }
        case 1:
        case 4:
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

static gmk_counts_t sum; /* over all engines, as each was left */

static int early_init(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

/* The last thing that halt calls: nothing runs any more, and the counters are still there. */
static void early_fini(gmk_ctx_t *ctx) {
    gmk_counts_t counts;
    ASSERT_OK(gmk_counts(ctx->kernel, &counts));
    if (counts.queued != 0)
        fail_msg("halt left %llu tasks behind", (unsigned long long)counts.queued);
    sum.submitted += counts.submitted;
    sum.emitted += counts.emitted;
    sum.completed += counts.completed;
    sum.failed += counts.failed;
    sum.dropped += counts.dropped;
}

static void run_engine(struct rand_state *rand) {
    gmk_module_t module = {.name = "stress",
                           .handlers = handlers,
                           .n_handlers = 3,
                           .privilege = GMK_KERNEL,
                           .early_init = early_init,
                           .early_fini = early_fini};
    gmk_module_t *mods[] = {&module};
    gmk_boot_cfg_t cfg = {.arena_size = 8u << 20,
                          .n_workers = 1 + rand_below(rand, 2),
                          .retry_base_ns = 10000,
                          .no_auto_modules = true,
                          .ready_slots = 256,
                          .halt_timeout_ns = SCHED_LIMIT_NS};
    ASSERT_OK(gmk_boot(&kernel, &cfg, mods, 1));
    for (uint32_t i = rand_below(rand, 20); i > 0; i--)
        hal_yield_cpu();
    ASSERT_OK(gmk_halt(&kernel));
}

static void every_task_taken_in_a_thousand_engines_ran_or_was_dead_lettered(void **state) {
    (void)state;
    const char *times = getenv("GGMK_STRESS");
    uint32_t engines = ENGINES * (times != NULL ? (uint32_t)strtoul(times, NULL, 10) : 1);
    struct hal_thread threads[SUBMITTERS];
    struct rand_state rand = rand_seed(1);
    for (uintptr_t i = 0; i < SUBMITTERS; i++)
        assert_int_equal(hal_thread_start(&threads[i], "submit", 0, -1, submitter, (void *)(i + 1)),
                         0);
    for (uint32_t i = 0; i < engines; i++)
        run_engine(&rand);
    atomic_store(&stop, 1);
    for (uintptr_t i = 0; i < SUBMITTERS; i++)
        hal_thread_join(&threads[i]);
    printf("%llu submitted, %llu emitted, %llu dead-lettered\n", (unsigned long long)sum.submitted,
           (unsigned long long)sum.emitted, (unsigned long long)sum.dropped);
    assert_int_equal(sum.submitted, atomic_load(&taken));
    assert_int_equal(sum.emitted, atomic_load(&emitted));
    assert_int_equal(sum.completed, atomic_load(&ended));
    assert_int_equal(sum.failed, 0);
    assert_int_equal(sum.submitted + sum.emitted, sum.completed + sum.dropped);
    assert_true(sum.submitted > engines); /* it was under load */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_taken_in_a_thousand_engines_ran_or_was_dead_lettered),
    };
    return cmocka_run_group_tests_name("stress_halt", tests, NULL, NULL);
}
