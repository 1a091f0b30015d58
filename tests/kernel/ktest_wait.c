/* Test of waiting: no wake-up is lost and no limit is missed, with every CPU at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hal/hal.h"
#include "kernel/core/cpu.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define ROUNDS  4000u
#define MEMBERS (2 * CPUS_MAX)
#define WORKER  THREAD_PRIORITY_WORKER

static _Atomic uint32_t wrong;

static int fresh(void **state) {
    (void)state;
    atomic_store(&wrong, 0);
    return 0;
}

/* `each` threads on every CPU run fn(number). */
static void on_every_cpu(unsigned each, void (*fn)(void *arg)) {
    static struct thread *threads[MEMBERS];
    unsigned n = 0;
    for (unsigned i = 0; i < each; i++)
        for (unsigned cpu = 0; cpu < cpu_count; cpu++, n++) {
            threads[n] = thread_start("ktest", 0, WORKER, (int)cpu, fn, (void *)(uintptr_t)n);
            assert_non_null(threads[n]);
        }
    for (unsigned i = 0; i < n; i++)
        thread_join(threads[i]);
}

/* ---- Rings of threads ---------------------------------------------------------------------- */

static _Atomic uint32_t baton; /* counts up; member i takes it when baton % members == i */
static unsigned members, rounds;

static void pass_baton(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg;
    for (unsigned round = 0; round < rounds; round++) {
        uint32_t mine = round * members + me;
        for (uint32_t now; (now = atomic_load(&baton)) != mine;)
            if (!wait_block(&baton, now, UINT64_MAX))
                atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&baton, 1);
        (void)wait_wake(&baton, UINT32_MAX);
    }
}

static void a_baton_goes_round_all_cpus(void **state) {
    (void)state;
    atomic_store(&baton, 0);
    members = 2 * cpu_count;
    rounds = ROUNDS / members / cpu_count + 1; /* every hand-over wakes all the others */
    on_every_cpu(2, pass_baton);
    assert_int_equal(atomic_load(&baton), rounds * members);
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ---- Locks ------------------------------------------------------------------------------------ */

static struct hal_lock lock;
static uint64_t guarded, copy;

static void add_under_lock(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        hal_lock(&lock);
        if (guarded != copy)
            atomic_fetch_add(&wrong, 1);
        guarded++;
        if (i % 8 == 0)
            sched_yield();
        copy++;
        hal_unlock(&lock);
    }
}

static void one_thread_at_a_time_holds_a_lock(void **state) {
    (void)state;
    guarded = copy = 0;
    on_every_cpu(2, add_under_lock);
    assert_int_equal(guarded, 2ull * cpu_count * ROUNDS);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(atomic_load(&lock.state), 0);
}

/* ---- Wakes and limits ----------------------------------------------------------------------------- */

static _Atomic uint32_t word, waiters, woken, expired;

/* Even members wait with short limits, odd ones wake: the two race for every wait. */
static void race(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg;
    if (me / cpu_count == 0) {
        for (unsigned i = 0; i < ROUNDS / 4; i++) {
            uint64_t limit = 1000 + 700 * (i % 64);
            uint64_t begin = time_now_ns();
            if (wait_block(&word, atomic_load(&word), limit))
                atomic_fetch_add(&woken, 1);
            else if (time_now_ns() - begin < limit)
                atomic_fetch_add(&wrong, 1);
            else
                atomic_fetch_add(&expired, 1);
        }
        atomic_fetch_sub(&waiters, 1);
    } else {
        for (unsigned i = 0; atomic_load(&waiters) != 0; i++) {
            atomic_fetch_add(&word, 1);
            (void)wait_wake(&word, 1);
            if (i % 4 == 0)
                (void)wait_block(&woken, atomic_load(&woken), 20000);
        }
    }
}

static void a_wait_ends_by_a_wake_or_by_its_limit_and_by_one_of_them(void **state) {
    (void)state;
    atomic_store(&woken, 0);
    atomic_store(&expired, 0);
    atomic_store(&waiters, cpu_count);
    on_every_cpu(2, race);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(atomic_load(&woken) + atomic_load(&expired), ROUNDS / 4 * cpu_count);
    assert_int_equal(wait_wake(&word, UINT32_MAX), 0); /* nobody was left behind */
}

static void a_limit_is_kept_and_none_means_no_wait(void **state) {
    (void)state;
    _Atomic uint32_t own = 3;
    assert_true(wait_block(&own, 4, UINT64_MAX));
    assert_false(wait_block(&own, 3, 0));
    for (unsigned i = 0; i < 20; i++) {
        uint64_t begin = time_now_ns();
        assert_false(wait_block(&own, 3, 100000 * (i + 1)));
        assert_true(time_now_ns() - begin >= 100000 * (i + 1));
    }
}

/* ---- From interrupts ----------------------------------------------------------------------------------- */

static _Atomic uint32_t rung;
static struct timer bells[CPUS_MAX];

static void ring_bell(struct timer *timer) {
    (void)timer;
    atomic_fetch_add(&rung, 1);
    (void)wait_wake(&rung, UINT32_MAX);
}

static void sleep_till_rung(void *arg) {
    uint32_t me = (uint32_t)(uintptr_t)arg % cpu_count;
    for (unsigned i = 0; i < 200; i++) {
        uint32_t seen = atomic_load(&rung);
        if (!timer_start(&bells[me], time_now_ns() + 20000, ring_bell))
            atomic_fetch_add(&wrong, 1);
        while (atomic_load(&rung) == seen)
            (void)wait_block(&rung, seen, UINT64_MAX);
        (void)timer_stop(&bells[me]);
    }
}

static void interrupts_wake_threads_on_all_cpus(void **state) {
    (void)state;
    atomic_store(&rung, 0);
    on_every_cpu(1, sleep_till_rung);
    assert_true(atomic_load(&rung) >= 200);
    assert_int_equal(atomic_load(&wrong), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(a_baton_goes_round_all_cpus),
        TEST(one_thread_at_a_time_holds_a_lock),
        TEST(a_wait_ends_by_a_wake_or_by_its_limit_and_by_one_of_them),
        TEST(a_limit_is_kept_and_none_means_no_wait),
        TEST(interrupts_wake_threads_on_all_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
