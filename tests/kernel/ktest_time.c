/* Test of time: the clock's rate and order on all CPUs, and the one-shot timer
 * under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/reference.h"
#include "arch/x86_64/tsc.h"
#include "arch/x86_64/tsc_math.h"
#include "kernel/core/cpu.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"
#include "lib/rand.h"

#define READS         100000u
#define ROUNDS        20000u
#define WAIT_NS       2000000000ull
#define RATE_PPM_MAX  1000 /* what calibration promises, 0.1 % */
#define SHOTS         1000u
#define SHOTS_AT_ONCE 250u

/* ---- The clock
 * ------------------------------------------------------------------------------
 */

static void the_clock_does_not_go_back(void **state) {
    (void)state;
    uint64_t first = time_now_ns(), last = first;
    for (unsigned i = 0; i < READS; i++) {
        uint64_t now = time_now_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(last > first);
}

static _Atomic uint64_t latest;
static _Atomic uint32_t back; /* times at which somebody saw the clock behind `latest` */

static void race_the_clock(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t seen = atomic_load_explicit(&latest, memory_order_acquire);
        uint64_t now = time_now_ns();
        if (now < seen)
            atomic_fetch_add(&back, 1);
        while (seen < now && !atomic_compare_exchange_weak(&latest, &seen, now))
            ;
    }
}

static void what_one_cpu_has_seen_is_past_for_all_others(void **state) {
    (void)state;
    struct thread *threads[CPUS_MAX];
    atomic_store(&latest, 0);
    atomic_store(&back, 0);
    for (unsigned i = 0; i < cpu_count; i++) {
        threads[i] = thread_start("clock", 0, THREAD_PRIORITY_NORMAL, (int)i, race_the_clock, NULL);
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < cpu_count; i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&back), 0);
}

/* Against any clock of known rate that there is, over 20 ms. */
static void the_rate_is_right_to_a_thousandth(void **state) {
    (void)state;
    const struct reference *ref = reference_pm_timer();
    if (ref == NULL)
        ref = reference_pit();
    if (ref == NULL)
        skip();
    struct moment from, to;
    struct calibration c;
    assert_true(calibrate_moment(ref, tsc_read, &from));
    uint64_t end = time_now_ns() + 20000000;
    while (time_now_ns() < end)
        arch_relax();
    assert_true(calibrate_moment(ref, tsc_read, &to));
    assert_true(calibrate_between(ref, &from, &to, &c));
    int64_t ppm = tsc_ppm(c.hz, arch_cycles_khz() * 1000);
    int64_t bound = RATE_PPM_MAX + c.error_ppm;
    if (ppm < -bound || ppm > bound)
        fail_msg("%s says %lld ppm more, of %lld", ref->name, (long long)ppm, (long long)bound);
}

static void the_source_has_a_name(void **state) {
    (void)state;
    assert_true(strlen(arch_time_source()) > 2);
    assert_true(arch_cycles_khz() >= 1000);
}

/* ---- The timer
 * --------------------------------------------------------------------------------
 */

static struct timer timers[SHOTS_AT_ONCE];
static _Atomic uint32_t fired, early, out_of_order;
static uint64_t last_at;

static void on_shot(struct timer *timer) {
    if (time_now_ns() < timer->at_ns)
        atomic_fetch_add(&early, 1);
    if (timer->at_ns < last_at)
        atomic_fetch_add(&out_of_order, 1);
    last_at = timer->at_ns;
    atomic_fetch_add(&fired, 1);
}

static int timers_fresh(void **state) {
    (void)state;
    memset(timers, 0, sizeof timers);
    atomic_store(&fired, 0);
    atomic_store(&early, 0);
    atomic_store(&out_of_order, 0);
    last_at = 0;
    return 0;
}

static bool wait_fired(uint32_t wanted) {
    uint64_t end = time_now_ns() + WAIT_NS;
    while (atomic_load(&fired) < wanted && time_now_ns() < end)
        arch_relax();
    return atomic_load(&fired) == wanted;
}

static void a_thousand_shots_one_by_one_all_fire_and_none_early(void **state) {
    (void)state;
    struct rand_state dice = rand_seed(1);
    for (uint32_t i = 0; i < SHOTS; i++) {
        uint64_t at = time_now_ns() + rand_below(&dice, 200000);
        assert_true(timer_start(&timers[0], at, on_shot));
        assert_true(wait_fired(i + 1));
    }
    assert_int_equal(atomic_load(&early), 0);
}

static void shots_at_once_fire_in_the_order_of_their_times(void **state) {
    (void)state;
    struct rand_state dice = rand_seed(2);
    bool irq = arch_irq_disable(); /* all on one CPU, none before the last is set */
    uint64_t start = time_now_ns() + 5000000;
    for (uint32_t i = 0; i < SHOTS_AT_ONCE; i++)
        if (!timer_start(&timers[i], start + rand_below(&dice, 5000000), on_shot))
            atomic_fetch_add(&out_of_order, 1);
    arch_irq_restore(irq);
    assert_true(wait_fired(SHOTS_AT_ONCE));
    assert_int_equal(atomic_load(&early), 0);
    assert_int_equal(atomic_load(&out_of_order), 0);
}

static void a_time_that_has_passed_fires_at_once(void **state) {
    (void)state;
    static const uint64_t times[] = {0, 1, 1000};
    for (uint32_t i = 0; i < 3; i++) {
        last_at = 0;
        assert_true(timer_start(&timers[i], times[i], on_shot));
        assert_true(wait_fired(i + 1));
    }
}

/* The hardware's counter ends long before the time: as for a deadline beyond
 * its range. */
static void an_interrupt_before_the_time_sets_the_timer_again(void **state) {
    (void)state;
    if (cpu_features.tsc_deadline)
        skip();
    assert_true(timer_start(&timers[0], time_now_ns() + 50000000, on_shot));
    bool irq = arch_irq_disable();
    uint64_t before = cpu_this()->irq_count;
    apic_write(APIC_TIMER_INITIAL, 10);
    arch_irq_restore(irq);
    uint64_t end = time_now_ns() + 20000000;
    while (time_now_ns() < end)
        arch_relax();
    assert_true(cpu_this()->irq_count > before);
    assert_int_equal(atomic_load(&fired), 0);
    assert_true(wait_fired(1));
    assert_int_equal(atomic_load(&early), 0);
}

#define STOPS 10u
static uint32_t interrupted;

/* Interrupts of this CPU that other CPUs did not send. */
static uint64_t own_interrupts(void) {
    const struct cpu *cpu = cpu_this();
    uint64_t count = cpu->irq_count;
    for (unsigned i = 0; i < ARCH_IPI_STOP; i++)
        count -= cpu->ipi_count[i];
    return count;
}

/* With IF off, so that nobody else sets the timer; what has come meanwhile is then taken at once. On
 * a pinned thread: the hardware that was touched must be given back to the timer queue of its CPU. */
static void set_and_stop(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < STOPS; i++) {
        (void)arch_irq_disable();
        uint64_t before = own_interrupts(), now = time_now_ns();
        arch_timer_set(now + 1000000);
        arch_timer_set(UINT64_MAX);
        while (time_now_ns() < now + 3000000)
            arch_relax();
        arch_irq_enable();
        arch_relax();
        (void)arch_irq_disable();
        interrupted += own_interrupts() != before;
        arch_timer_set(0); /* the queue sets it to its own next time */
        arch_irq_enable();
    }
}

/* A device may interrupt CPU 0 meanwhile, but not every time. */
static void a_stopped_timer_does_not_interrupt(void **state) {
    (void)state;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        interrupted = 0;
        struct thread *thread =
            thread_start("stop", 0, THREAD_PRIORITY_WORKER, (int)cpu, set_and_stop, NULL);
        assert_non_null(thread);
        thread_join(thread);
        assert_true(interrupted <= STOPS / 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_does_not_go_back),
        cmocka_unit_test(what_one_cpu_has_seen_is_past_for_all_others),
        cmocka_unit_test(the_rate_is_right_to_a_thousandth),
        cmocka_unit_test(the_source_has_a_name),
        cmocka_unit_test_setup(a_thousand_shots_one_by_one_all_fire_and_none_early, timers_fresh),
        cmocka_unit_test_setup(shots_at_once_fire_in_the_order_of_their_times, timers_fresh),
        cmocka_unit_test_setup(a_time_that_has_passed_fires_at_once, timers_fresh),
        cmocka_unit_test_setup(an_interrupt_before_the_time_sets_the_timer_again, timers_fresh),
        cmocka_unit_test(a_stopped_timer_does_not_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
