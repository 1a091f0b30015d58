/* Test of threads: they start, run where and when they should, and leave nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hal/hal.h"
#include "kernel/core/cpu.h"
#include "kernel/mem/frame.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define NORMAL  THREAD_PRIORITY_NORMAL
#define WORKER  THREAD_PRIORITY_WORKER
#define LAST    ((int)cpu_count - 1)
#define LONG_NS 20000000000ull /* bounds what should end at once, on a slow emulator too */

static _Atomic uint32_t ran, go;

static int fresh(void **state) {
    (void)state;
    atomic_store(&ran, 0);
    atomic_store(&go, 0);
    return 0;
}

static struct thread *start(unsigned priority, int cpu, void (*fn)(void *), void *arg) {
    struct thread *thread = thread_start("ktest", 0, priority, cpu, fn, arg);
    assert_non_null(thread);
    return thread;
}

static uint64_t stack_frames(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.by_owner[FRAME_STACK];
}

static bool soon(_Atomic uint32_t *word, uint32_t value) {
    uint64_t end = time_now_ns() + LONG_NS;
    while (atomic_load(word) != value && time_now_ns() < end)
        sched_yield();
    return atomic_load(word) == value;
}

static void count(void *arg) {
    atomic_fetch_add(&ran, (uint32_t)(uintptr_t)arg);
}

/* ---- Life ------------------------------------------------------------------------------ */

static void each_thread_runs_once_and_its_stack_is_given_back(void **state) {
    (void)state;
    struct thread *threads[32];
    thread_join(start(NORMAL, -1, count, (void *)1)); /* what is allocated once */
    uint64_t before = stack_frames();
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 32; i++)
            threads[i] = start(NORMAL, -1, count, (void *)1);
        for (unsigned i = 0; i < 32; i++)
            thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&ran), 1 + 5 * 32);
    assert_int_equal(stack_frames(), before);
}

static void note_cpu(void *arg) {
    *(unsigned *)arg = cpu_this()->index; /* pinned */
}

static void a_pinned_thread_runs_on_its_cpu(void **state) {
    (void)state;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        unsigned seen = CPUS_MAX;
        thread_join(start(NORMAL, (int)cpu, note_cpu, &seen));
        assert_int_equal(seen, cpu);
    }
    assert_null(thread_start("ktest", 0, NORMAL, (int)cpu_count, count, NULL));
}

static void wait_for_go(void *arg) {
    (void)arg;
    while (atomic_load(&go) == 0)
        (void)wait_block(&go, 0, UINT64_MAX);
    atomic_fetch_add(&ran, 1);
}

static void count_thread(void *arg, const struct thread *thread) {
    (void)thread;
    ++*(unsigned *)arg;
}

static void threads_beyond_the_maximum_are_refused_and_the_others_live_on(void **state) {
    (void)state;
    static struct thread *threads[THREADS_MAX];
    unsigned before = 0, started = 0, now = 0;
    thread_each(count_thread, &before);
    while (started < THREADS_MAX) {
        threads[started] = thread_start("ktest", 0, NORMAL, -1, wait_for_go, NULL);
        if (threads[started] == NULL)
            break;
        started++;
    }
    thread_each(count_thread, &now);
    /* Where memory is short that may be the limit that is met first. */
    assert_int_equal(now, before + started);
    assert_true(now <= THREADS_MAX && started > 16);
    atomic_store(&go, 1);
    (void)wait_wake(&go, UINT32_MAX);
    for (unsigned i = 0; i < started; i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&ran), started);
    thread_join(start(NORMAL, -1, count, (void *)1));
}

/* ---- Local pointer ------------------------------------------------------------------------- */

static _Atomic uint32_t mixed_up;

static void keep_local(void *arg) {
    if (hal_local != NULL)
        atomic_fetch_add(&mixed_up, 1);
    hal_local = arg;
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 16 == 0)
            sched_yield();
        if (hal_local != arg)
            atomic_fetch_add(&mixed_up, 1);
    }
}

static void forget_local(void *value) {
    atomic_fetch_add(&ran, *(uint32_t *)value + (hal_local == NULL ? 1 : 0));
}

static void keep_local_until_the_end(void *arg) {
    keep_local(arg);
    hal_local_on_exit(forget_local);
}

static void each_thread_has_its_own_hal_local_and_hears_of_its_end(void **state) {
    (void)state;
    static uint32_t values[8];
    struct thread *threads[8];
    atomic_store(&mixed_up, 0);
    for (unsigned i = 0; i < 8; i++)
        threads[i] = start(NORMAL, -1, keep_local_until_the_end, &values[i]);
    for (unsigned i = 0; i < 8; i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&mixed_up), 0);
    assert_int_equal(atomic_load(&ran), 8);
}

/* ---- Priorities -------------------------------------------------------------------------------- */

static _Atomic uint32_t at_once, too_soon;

static void start_urgent_and_lazy(void *arg) {
    (void)arg;
    struct thread *urgent = thread_start("urgent", 0, WORKER + 9, LAST, count, (void *)1);
    atomic_store(&at_once, atomic_load(&ran) == 1);
    struct thread *lazy = thread_start("lazy", 0, WORKER - 9, LAST, count, (void *)10);
    atomic_store(&too_soon, atomic_load(&ran) != 1);
    if (urgent != NULL)
        thread_join(urgent);
    if (lazy != NULL)
        thread_join(lazy);
}

static void a_more_urgent_thread_runs_before_its_start_returns(void **state) {
    (void)state;
    thread_join(start(WORKER, LAST, start_urgent_and_lazy, NULL));
    assert_int_equal(atomic_load(&ran), 11);
    assert_true(atomic_load(&at_once));
    assert_false(atomic_load(&too_soon));
}

static void spin_for_go(void *arg) {
    (void)arg;
    atomic_fetch_add(&ran, 1);
    uint64_t end = time_now_ns() + LONG_NS;
    while (atomic_load(&go) == 0 && time_now_ns() < end)
        arch_relax();
}

static void give_go(void *arg) {
    (void)arg;
    atomic_store(&go, 1);
}

static void a_more_urgent_thread_preempts_on_another_cpu(void **state) {
    (void)state;
    struct thread *busy = start(NORMAL, LAST, spin_for_go, NULL);
    assert_true(soon(&ran, 1));
    thread_join(start(WORKER, LAST, give_go, NULL));
    assert_int_equal(atomic_load(&go), 1);
    thread_join(busy);
}

static void threads_of_one_priority_share_a_cpu_in_slices(void **state) {
    (void)state;
    struct thread *busy = start(NORMAL, LAST, spin_for_go, NULL);
    assert_true(soon(&ran, 1));
    uint64_t begin = time_now_ns();
    thread_join(start(NORMAL, LAST, give_go, NULL)); /* never, if nobody took the CPU away */
    assert_true(time_now_ns() - begin < LONG_NS);
    thread_join(busy);
}

static void yield_for_go(void *arg) {
    (void)arg;
    atomic_fetch_add(&ran, 1);
    uint64_t end = time_now_ns() + LONG_NS;
    while (atomic_load(&go) == 0 && time_now_ns() < end)
        sched_yield();
}

static void a_thread_that_yields_does_not_starve_less_urgent_ones(void **state) {
    (void)state;
    struct thread *busy = start(WORKER, LAST, yield_for_go, NULL);
    assert_true(soon(&ran, 1));
    uint64_t begin = time_now_ns();
    thread_join(start(NORMAL, LAST, give_go, NULL));
    assert_true(time_now_ns() - begin < LONG_NS);
    thread_join(busy);
}

static void start_two_and_spin(void *arg) {
    (void)arg;
    struct thread *first = thread_start("first", 0, NORMAL, -1, spin_for_go, NULL);
    struct thread *second = thread_start("second", 0, NORMAL - 1, -1, give_go, NULL);
    spin_for_go(NULL);
    if (first != NULL)
        thread_join(first);
    if (second != NULL)
        thread_join(second);
}

static void two_threads_started_in_a_row_run_on_two_idle_cpus(void **state) {
    (void)state;
    if (cpu_count < 3)
        skip();
    for (unsigned i = 0; i < 20; i++) {
        (void)fresh(NULL);
        uint64_t begin = time_now_ns();
        thread_join(start(WORKER, 0, start_two_and_spin, NULL));
        assert_true(time_now_ns() - begin < LONG_NS);
        assert_int_equal(atomic_load(&go), 1);
    }
}

/* ---- Registers ------------------------------------------------------------------------------------- */

/* Eight values that live in registers, changed with every step; the same in every thread. */
static uint64_t churn(uint64_t seed, uint32_t steps) {
    uint64_t a = seed, b = ~seed, c = seed * 3, d = seed * 5, e = 7, f = 11, g = 13, h = 17;
    for (uint32_t i = 0; i < steps; i++) {
        a += b ^ (h >> 3);
        b = (b << 7 | b >> 57) + c;
        c ^= d + i;
        d = d * 0x9e3779b97f4a7c15ull + e;
        e += f << 1;
        f ^= g + a;
        g = (g << 13 | g >> 51) ^ b;
        h += g + d;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
}

#define CHURN_STEPS 300000u
static uint64_t churned[4];

static void churn_once(void *arg) {
    uint64_t *out = arg;
    *out = churn((uint64_t)(out - churned) + 1, CHURN_STEPS);
    atomic_fetch_add(&ran, 1);
}

static struct timer tick;

static void tick_again(struct timer *timer) {
    if (atomic_load(&go) == 0)
        (void)timer_start(timer, time_now_ns() + 50000, tick_again);
    (void)wait_wake(&mixed_up, 1);
}

/* More urgent than those that compute: each tick interrupts and preempts one of them. */
static void wake_with_ticks(void *arg) {
    (void)arg;
    (void)timer_start(&tick, time_now_ns() + 50000, tick_again);
    while (atomic_load(&ran) < 4)
        (void)wait_block(&mixed_up, atomic_load(&mixed_up), 1000000);
    atomic_store(&go, 1);
    (void)timer_stop(&tick);
}

static void registers_survive_preemption(void **state) {
    (void)state;
    struct thread *threads[4];
    struct thread *ticker = start(WORKER + 1, LAST, wake_with_ticks, NULL);
    for (unsigned i = 0; i < 4; i++)
        threads[i] = start(NORMAL, LAST, churn_once, &churned[i]);
    for (unsigned i = 0; i < 4; i++)
        thread_join(threads[i]);
    thread_join(ticker);
    for (unsigned i = 0; i < 4; i++)
        assert_true(churned[i] == churn(i + 1, CHURN_STEPS));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(each_thread_runs_once_and_its_stack_is_given_back),
        TEST(a_pinned_thread_runs_on_its_cpu),
        TEST(threads_beyond_the_maximum_are_refused_and_the_others_live_on),
        TEST(each_thread_has_its_own_hal_local_and_hears_of_its_end),
        TEST(a_more_urgent_thread_runs_before_its_start_returns),
        TEST(a_more_urgent_thread_preempts_on_another_cpu),
        TEST(threads_of_one_priority_share_a_cpu_in_slices),
        TEST(a_thread_that_yields_does_not_starve_less_urgent_ones),
        TEST(two_threads_started_in_a_row_run_on_two_idle_cpus),
        TEST(registers_survive_preemption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
