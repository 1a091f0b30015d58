/* Test of the engine inside the kernel: a worker per CPU, tasks on all of them, and silence when
 * there is nothing to do.
 *
 * The program's module is in the kernel's own engine: it is halted and started again for that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "hal/kernel/dump.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define LONG_NS   20000000000ull /* bounds what should end at once */
#define SILENT_NS 3000000000ull
#define TREE      512u

enum { MEET = 900, TRUNK, LEAF };

static _Atomic uint64_t met;
static _Atomic uint32_t leaves, by_worker[CPUS_MAX], strays;

static void check_cpu(gmk_ctx_t *ctx) {
    bool irq = arch_irq_disable();
    if (cpu_this()->index != gmk_self_worker(ctx))
        atomic_fetch_add(&strays, 1);
    arch_irq_restore(irq);
}

/* Ends when a task has begun on every worker: so all must run at the same time. */
static int meet(gmk_ctx_t *ctx) {
    uint64_t all = (uint64_t)-1 >> (64 - cpu_count), end = time_now_ns() + LONG_NS;
    check_cpu(ctx);
    atomic_fetch_or(&met, 1ull << gmk_self_worker(ctx));
    while (atomic_load(&met) != all && time_now_ns() < end)
        arch_relax();
    return GMK_OK;
}

static int trunk(gmk_ctx_t *ctx) {
    const gmk_task_t task = {.type = LEAF};
    for (unsigned i = 0; i < TREE; i++)
        if (gmk_spawn(ctx, &task) != GMK_OK)
            return GMK_EFAIL;
    return GMK_OK;
}

static int leaf(gmk_ctx_t *ctx) {
    check_cpu(ctx);
    uint64_t end = time_now_ns() + 50000;
    while (time_now_ns() < end)
        arch_relax();
    atomic_fetch_add(&by_worker[gmk_self_worker(ctx)], 1);
    atomic_fetch_add(&leaves, 1);
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = MEET, .fn = meet, .name = "meet"},
    {.type = TRUNK, .fn = trunk, .name = "trunk"},
    {.type = LEAF, .fn = leaf, .name = "leaf"},
};
static gmk_module_t ktest_engine_module = {
    .name = "ktest_engine",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = handlers,
    .n_handlers = 3,
};
GMK_MODULE(ktest_engine_module)

static void sleep_ns(uint64_t ns) {
    _Atomic uint32_t never = 0;
    (void)wait_block(&never, 0, ns);
}

static int restart(void **state) {
    (void)state;
    int status = engine_stop();
    engine_start();
    return status;
}

/* ---- Workers ------------------------------------------------------------------------------- */

static void find_worker(void *arg, const struct thread *thread) {
    uint64_t *seen = arg;
    if (strncmp(thread->name, "gmk-w", 5) == 0 && strncmp(thread->name, "gmk-wa", 6) != 0 &&
        thread->affinity != UINT64_MAX)
        *seen |= 1ull << thread->cpu;
}

static void every_cpu_has_a_worker_pinned_to_it(void **state) {
    (void)state;
    uint64_t seen = 0;
    thread_each(find_worker, &seen);
    assert_true(seen == (uint64_t)-1 >> (64 - cpu_count));
}

static void tasks_run_on_all_cpus_at_the_same_time(void **state) {
    (void)state;
    const gmk_task_t task = {.type = MEET};
    atomic_store(&met, 0);
    for (unsigned i = 0; i < cpu_count; i++)
        assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_OK);
    assert_int_equal(gmk_drain(&kernel_engine, LONG_NS), GMK_OK);
    assert_true(atomic_load(&met) == (uint64_t)-1 >> (64 - cpu_count));
    assert_int_equal(atomic_load(&strays), 0);
}

static void what_one_worker_has_too_much_of_is_stolen_by_the_others(void **state) {
    (void)state;
    const gmk_task_t task = {.type = TRUNK};
    gmk_sched_stats_t before, after;
    assert_int_equal(gmk_sched_stats(&kernel_engine, &before), GMK_OK);
    assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_OK);
    assert_int_equal(gmk_drain(&kernel_engine, LONG_NS), GMK_OK);
    assert_int_equal(gmk_sched_stats(&kernel_engine, &after), GMK_OK);
    assert_int_equal(atomic_load(&leaves), TREE);
    if (cpu_count > 1)
        assert_true(after.stolen > before.stolen);
    unsigned helped = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        helped += atomic_load(&by_worker[i]) != 0;
    assert_true(helped > 1 || cpu_count == 1); /* an emulator may let some of its CPUs starve */
    assert_int_equal(atomic_load(&strays), 0);
}

static void the_monitor_can_have_the_engines_dump(void **state) {
    (void)state;
    assert_true(hal_dump_request_fire());
}

/* ---- Silence ---------------------------------------------------------------------------------- */

/* The clock that ends the wait may be a little fast, and is then set once more. */
static void an_idle_system_takes_no_interrupt_but_the_one_that_ends_the_wait(void **state) {
    (void)state;
    uint64_t before[CPUS_MAX], sum = 0;
    unsigned disturbed = 0;
    sleep_ns(2500000000ull); /* the watchdog makes sure that nothing hangs, and goes to sleep */
    for (unsigned i = 0; i < cpu_count; i++)
        before[i] = cpus[i]->irq_count;
    sleep_ns(SILENT_NS);
    for (unsigned i = 0; i < cpu_count; i++) {
        sum += cpus[i]->irq_count - before[i];
        disturbed += cpus[i]->irq_count != before[i];
    }
    assert_int_equal(disturbed, 1);
    assert_in_range(sum, 1, 2);
}

static void an_engine_that_slept_serves_at_once(void **state) {
    (void)state;
    const gmk_task_t task = {.type = MEET};
    for (unsigned round = 0; round < 20; round++) {
        atomic_store(&met, 0);
        for (unsigned i = 0; i < cpu_count; i++)
            assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_OK);
        assert_int_equal(gmk_drain(&kernel_engine, LONG_NS), GMK_OK);
        sleep_ns(1000000 * (round % 4));
    }
}

static void the_engine_halts_and_starts_again(void **state) {
    (void)state;
    const gmk_task_t task = {.type = MEET};
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(engine_stop(), GMK_OK);
        assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_EHALTED);
        engine_start();
        atomic_store(&met, (uint64_t)-1 >> (64 - cpu_count));
        assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cpu_has_a_worker_pinned_to_it),
        cmocka_unit_test(tasks_run_on_all_cpus_at_the_same_time),
        cmocka_unit_test(what_one_worker_has_too_much_of_is_stolen_by_the_others),
        cmocka_unit_test(the_monitor_can_have_the_engines_dump),
        cmocka_unit_test(an_idle_system_takes_no_interrupt_but_the_one_that_ends_the_wait),
        cmocka_unit_test(an_engine_that_slept_serves_at_once),
        cmocka_unit_test(the_engine_halts_and_starts_again),
    };
    return cmocka_run_group_tests(tests, restart, NULL);
}
