/* Kernel timers: order, stopping and the hardware's deadline, on a machine of make-believe. */
#include "tests/fake_arch/machine.h"

#include "kernel/time/timer.c"

/* Only the timers are under test: nobody switches threads here. */
void sched_irq_exit(void) {}
void sched_cpu_init(struct cpu *cpu) {
    (void)cpu;
}
_Noreturn void sched_idle_loop(void) {
    abort();
}

#define MANY 400u

static struct timer timers[TIMERS_PER_CPU + 1];
static struct timer *fired[4 * TIMERS_PER_CPU];
static unsigned fired_count;

static void note(struct timer *timer) {
    assert_true(machine_cpu()->cpu.in_irq);
    assert_int_equal(timer->slot, 0);
    assert_true(timer->at_ns <= machine.now_ns);
    fired[fired_count++] = timer;
}

static int set_up(void **state) {
    (void)state;
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        if (queues[i].heap != NULL) {
            free(queues[i].heap);
            machine.frames--;
        }
    memset(queues, 0, sizeof(queues));
    memset(timers, 0, sizeof(timers));
    fired_count = 0;
    machine_start(2, 7);
    return 0;
}

/* Lets time pass; every interrupt that is due is taken by CPU 0. */
static void pass(uint64_t ns) {
    uint64_t end = machine.now_ns + ns;
    struct machine_cpu *c = &machine.at[0];
    machine.now_on = 0;
    while (c->deadline_ns <= end) {
        machine.now_ns = c->deadline_ns > machine.now_ns ? c->deadline_ns : machine.now_ns;
        machine_interrupt();
    }
    machine.now_ns = end;
}

static void check_heap(unsigned cpu) {
    struct timer_queue *q = &queues[cpu];
    for (uint32_t i = 0; i < q->count; i++) {
        assert_int_equal(q->heap[i]->slot, i + 1);
        assert_true(i == 0 || q->heap[(i - 1) / 2]->at_ns <= q->heap[i]->at_ns);
    }
    assert_true(q->count == 0 || q->set_ns <= q->heap[0]->at_ns);
    assert_true(q->set_ns == machine.at[cpu].deadline_ns);
}

static void timers_fire_in_the_order_of_their_times(void **state) {
    (void)state;
    uint64_t start = machine.now_ns;
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(timer_start(&timers[i], start + machine_random(1000000), note));
        check_heap(0);
    }
    pass(1000000);
    assert_int_equal(fired_count, MANY);
    for (unsigned i = 1; i < MANY; i++)
        assert_true(fired[i - 1]->at_ns <= fired[i]->at_ns);
    assert_int_equal(machine.at[0].deadline_ns, UINT64_MAX);
}

static void a_timer_that_is_started_when_none_is_left_fires_too(void **state) {
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_true(timer_start(&timers[0], machine.now_ns + 1000, note));
        pass(1000);
        assert_int_equal(fired_count, i + 1);
    }
}

static void a_stopped_timer_does_not_fire_and_the_others_do(void **state) {
    (void)state;
    uint64_t start = machine.now_ns;
    for (unsigned i = 0; i < MANY; i++)
        assert_true(timer_start(&timers[i], start + machine_random(1000000), note));
    for (unsigned i = 0; i < MANY; i += 2) {
        assert_true(timer_stop(&timers[i]));
        assert_false(timer_stop(&timers[i]));
        check_heap(0);
    }
    pass(1000000);
    assert_int_equal(fired_count, MANY / 2);
    for (unsigned i = 0; i < fired_count; i++)
        assert_int_equal((fired[i] - timers) % 2, 1);
}

static void only_an_earlier_timer_sets_the_hardware(void **state) {
    (void)state;
    uint64_t start = machine.now_ns;
    assert_true(timer_start(&timers[0], start + 500, note));
    assert_int_equal(machine.at[0].deadline_ns, start + 500);
    assert_true(timer_start(&timers[1], start + 900, note));
    assert_int_equal(machine.at[0].timer_sets, 1);
    assert_true(timer_start(&timers[2], start + 300, note));
    assert_int_equal(machine.at[0].timer_sets, 2);
    assert_int_equal(machine.at[0].deadline_ns, start + 300);
}

static void waiting_with_a_limit_again_and_again_sets_the_hardware_once(void **state) {
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_true(timer_start(&timers[0], machine.now_ns + 1000000, note));
        assert_true(timer_stop(&timers[0]));
        machine.now_ns += 1000;
    }
    assert_int_equal(machine.at[0].timer_sets, 1);
}

static void an_idle_cpu_gets_no_interrupt_for_a_stopped_timer(void **state) {
    (void)state;
    assert_true(timer_start(&timers[0], machine.now_ns + 1000, note));
    assert_true(timer_start(&timers[1], machine.now_ns + 5000, note));
    assert_true(timer_stop(&timers[0]));
    timer_idle();
    assert_int_equal(machine.at[0].deadline_ns, timers[1].at_ns);
    assert_true(timer_stop(&timers[1]));
    timer_idle();
    assert_int_equal(machine.at[0].deadline_ns, UINT64_MAX);
    uint64_t sets = machine.at[0].timer_sets;
    timer_idle();
    assert_int_equal(machine.at[0].timer_sets, sets);
}

static void a_timer_stopped_from_another_cpu_costs_one_empty_interrupt_at_most(void **state) {
    (void)state;
    assert_true(timer_start(&timers[0], machine.now_ns + 1000, note));
    assert_true(timer_start(&timers[1], machine.now_ns + 5000, note));
    machine.now_on = 1;
    assert_true(timer_stop(&timers[0]));
    assert_int_equal(machine.at[1].timer_sets, 0);
    pass(10000);
    assert_int_equal(fired_count, 1);
    assert_ptr_equal(fired[0], &timers[1]);
    assert_int_equal(machine.at[0].timer_irqs, 2);
}

static void a_queue_takes_its_maximum_and_then_refuses_but_for_the_reserve(void **state) {
    (void)state;
    unsigned most = TIMERS_PER_CPU - TIMERS_RESERVED;
    for (unsigned i = 0; i < most; i++)
        assert_true(timer_start(&timers[i], machine.now_ns + 1000 + i, note));
    assert_false(timer_start(&timers[most], machine.now_ns + 10, note));
    assert_int_equal(timers[most].slot, 0);
    assert_true(timer_stop(&timers[0]));
    assert_true(timer_start(&timers[most], machine.now_ns + 10, note));
    for (unsigned i = most + 1; i < TIMERS_PER_CPU; i++)
        timer_start_reserved(&timers[i], machine.now_ns + 2000 + i, note);
    assert_false(timer_start(&timers[TIMERS_PER_CPU], machine.now_ns + 10, note));
    pass(10000);
    assert_int_equal(fired_count, TIMERS_PER_CPU - 1);
}

/* A hundred at once would keep everything else off the CPU for as long as they take. */
static void one_interrupt_calls_a_few_timers_and_the_next_one_comes_at_once(void **state) {
    (void)state;
    uint64_t at = machine.now_ns + 10;
    for (unsigned i = 0; i < 100; i++)
        assert_true(timer_start(&timers[i], at, note));
    machine.now_ns = at;
    machine_interrupt();
    assert_int_equal(fired_count, TIMERS_PER_ISR);
    assert_true(machine.at[0].deadline_ns <= at);
    pass(0);
    assert_int_equal(fired_count, 100);
}

static void a_timer_may_be_started_anew_wherever_it_pends(void **state) {
    (void)state;
    machine.now_on = 1;
    assert_true(timer_start(&timers[0], machine.now_ns + 500, note));
    machine.now_on = 0;
    assert_true(timer_restart(&timers[0], machine.now_ns + 300, note));
    assert_true(timer_pending(&timers[0]));
    assert_int_equal(queues[1].count, 0);
    assert_true(timer_restart(&timers[0], machine.now_ns + 100, note));
    pass(100);
    assert_int_equal(fired_count, 1);
    assert_false(timer_pending(&timers[0]));
    assert_false(timer_cancel(&timers[0]));
}

static void start_again_in_the_past(struct timer *timer) {
    fired[fired_count++] = timer;
    if (fired_count < 10)
        assert_true(timer_start(timer, 1, start_again_in_the_past));
}

static void a_function_that_starts_its_own_timer_in_the_past_does_not_hold_the_cpu(void **state) {
    (void)state;
    assert_true(timer_start(&timers[0], machine.now_ns + 10, start_again_in_the_past));
    pass(1000);
    assert_int_equal(fired_count, 10);
    assert_int_equal(machine.at[0].timer_irqs, 10); /* one each, not ten in the first */
}

static void stop_myself(struct timer *timer) {
    fired[fired_count++] = timer;
    assert_false(timer_stop(timer));
    assert_false(timer_stop(&timers[1]) && timers[1].slot != 0);
}

static void a_function_may_stop_its_own_timer_and_others(void **state) {
    (void)state;
    assert_true(timer_start(&timers[0], machine.now_ns + 10, stop_myself));
    assert_true(timer_start(&timers[1], machine.now_ns + 20, note));
    pass(1000);
    assert_int_equal(fired_count, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_the_order_of_their_times),
        TEST(a_timer_that_is_started_when_none_is_left_fires_too),
        TEST(a_stopped_timer_does_not_fire_and_the_others_do),
        TEST(only_an_earlier_timer_sets_the_hardware),
        TEST(waiting_with_a_limit_again_and_again_sets_the_hardware_once),
        TEST(an_idle_cpu_gets_no_interrupt_for_a_stopped_timer),
        TEST(a_timer_stopped_from_another_cpu_costs_one_empty_interrupt_at_most),
        TEST(a_queue_takes_its_maximum_and_then_refuses_but_for_the_reserve),
        TEST(one_interrupt_calls_a_few_timers_and_the_next_one_comes_at_once),
        TEST(a_timer_may_be_started_anew_wherever_it_pends),
        TEST(a_function_that_starts_its_own_timer_in_the_past_does_not_hold_the_cpu),
        TEST(a_function_may_stop_its_own_timer_and_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
