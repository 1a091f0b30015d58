/* Test of timers on the real hardware clock: order, lateness of none, stopping from anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/core/cpu.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define MANY   200u
#define RACES  2000u
#define WORKER THREAD_PRIORITY_WORKER

static struct timer timers[MANY];
static unsigned order[MANY];
static _Atomic uint32_t fired, early, elsewhere;

static int fresh(void **state) {
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        timers[i] = (struct timer){0};
    atomic_store(&fired, 0);
    atomic_store(&early, 0);
    atomic_store(&elsewhere, 0);
    return 0;
}

static void sleep_ns(uint64_t ns) {
    _Atomic uint32_t never = 0;
    (void)wait_block(&never, 0, ns);
}

static void run_on(unsigned cpu, void (*fn)(void *arg), void *arg) {
    struct thread *thread = thread_start("ktest", 0, WORKER, (int)cpu, fn, arg);
    assert_non_null(thread);
    thread_join(thread);
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void note(struct timer *timer) {
    uint32_t at = atomic_fetch_add(&fired, 1);
    order[at] = (unsigned)(timer - timers);
    if (time_now_ns() < timer->at_ns)
        atomic_fetch_add(&early, 1);
    if (cpu_this()->index != timer->cpu || !cpu_this()->in_irq)
        atomic_fetch_add(&elsewhere, 1);
}

static void start_many(void *arg) {
    (void)arg;
    uint64_t base = time_now_ns() + 1000000;
    bool irq = arch_irq_disable(); /* so that all are pending before the first fires */
    for (unsigned i = 0; i < MANY; i++)
        (void)timer_start(&timers[i], base + (i * 7919u) % MANY * 10000ull, note);
    arch_irq_restore(irq);
    for (unsigned i = 0; i < 1000 && atomic_load(&fired) < MANY; i++)
        sleep_ns(5000000);
}

static void timers_fire_in_order_on_their_cpu_and_never_early(void **state) {
    (void)state;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        (void)fresh(NULL);
        run_on(cpu, start_many, NULL);
        assert_int_equal(atomic_load(&fired), MANY);
        assert_int_equal(atomic_load(&early), 0);
        assert_int_equal(atomic_load(&elsewhere), 0);
        for (unsigned i = 1; i < MANY; i++)
            assert_true(timers[order[i - 1]].at_ns <= timers[order[i]].at_ns);
    }
}

/* ---- Stopping ------------------------------------------------------------------------------------ */

static void stopped_timers_do_not_fire(void **state) {
    (void)state;
    uint64_t base = time_now_ns() + 2000000;
    for (unsigned i = 0; i < MANY; i++)
        assert_true(timer_start(&timers[i], base + i * 1000, note));
    unsigned stopped = 0;
    for (unsigned i = 0; i < MANY; i += 2)
        stopped += timer_stop(&timers[i]);
    for (unsigned i = 0; i < 1000 && atomic_load(&fired) < MANY - stopped; i++)
        sleep_ns(1000000);
    sleep_ns(2000000);
    assert_int_equal(atomic_load(&fired), MANY - stopped);
    for (unsigned i = 0; i < MANY; i++)
        assert_false(timer_stop(&timers[i]));
}

static struct timer contested;
static _Atomic uint32_t armed, inside, stops, hits, broken;

static void contested_fires(struct timer *timer) {
    (void)timer;
    atomic_store(&inside, 1);
    atomic_fetch_add(&hits, 1);
    atomic_store(&inside, 0);
}

/* The owner arms it; a thread on another CPU stops it at the moment when it should fire. */
static void arm(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < RACES; i++) {
        (void)timer_start(&contested, time_now_ns() + 3000 + 37 * (i % 100), contested_fires);
        atomic_store(&armed, 1);
        (void)wait_wake(&armed, 1);
        while (atomic_load(&armed) != 0)
            (void)wait_block(&armed, 1, UINT64_MAX);
    }
}

static void stop(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < RACES; i++) {
        while (atomic_load(&armed) == 0)
            (void)wait_block(&armed, 0, UINT64_MAX);
        uint64_t until = contested.at_ns;
        while (time_now_ns() < until)
            arch_relax();
        bool was_pending = timer_stop(&contested);
        atomic_fetch_add(&stops, was_pending);
        if (atomic_load(&inside) != 0 || contested.slot != 0 ||
            atomic_load(&stops) + atomic_load(&hits) != i + 1)
            atomic_fetch_add(&broken, 1);
        atomic_store(&armed, 0);
        (void)wait_wake(&armed, 1);
    }
}

static void a_timer_stopped_from_another_cpu_has_fired_once_or_never_will(void **state) {
    (void)state;
    if (cpu_count == 1)
        skip();
    struct thread *owner = thread_start("arm", 0, WORKER, 0, arm, NULL);
    struct thread *other = thread_start("stop", 0, WORKER, 1, stop, NULL);
    assert_true(owner != NULL && other != NULL);
    thread_join(owner);
    thread_join(other);
    assert_int_equal(atomic_load(&broken), 0);
    assert_int_equal(atomic_load(&stops) + atomic_load(&hits), RACES);
}

/* ---- No tick --------------------------------------------------------------------------------------- */

static uint64_t timer_interrupts(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        sum += cpus[i]->timer_count;
    return sum;
}

static void each_limit_of_a_wait_costs_one_timer_interrupt_and_nothing_else_ticks(void **state) {
    (void)state;
    sleep_ns(2500000000ull); /* the engine's watchdog comes to rest */
    uint64_t before = timer_interrupts();
    for (unsigned i = 0; i < 10; i++)
        sleep_ns(100000000);
    /* A clock that is a little fast is set once more. */
    assert_in_range(timer_interrupts() - before, 10, 20);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_order_on_their_cpu_and_never_early),
        TEST(stopped_timers_do_not_fire),
        TEST(a_timer_stopped_from_another_cpu_has_fired_once_or_never_will),
        TEST(each_limit_of_a_wait_costs_one_timer_interrupt_and_nothing_else_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
