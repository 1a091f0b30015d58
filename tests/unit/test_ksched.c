/* Kernel scheduler: what runs where, on a machine of make-believe whose CPUs are interleaved in
 * thousands of ways. See tests/fake_arch/machine.h. */
#include "tests/fake_arch/sched_machine.h"

/* ---- Life ------------------------------------------------------------------------------------ */

static void count_up(void *arg) {
    ran += (unsigned)(uintptr_t)arg;
    work(5);
}

static void join_children(void *arg) {
    (void)arg;
    struct thread *t[10];
    for (unsigned i = 0; i < 10; i++)
        t[i] = spawn(THREAD_PRIORITY_NORMAL, -1, count_up, (void *)1);
    for (unsigned i = 0; i < 10; i++)
        thread_join(t[i]);
    ran += 1000;
}

static void threads_start_end_and_leave_nothing_behind(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        ran = 0;
        int64_t blocks = machine.blocks, stacks = machine.stacks;
        spawn(THREAD_PRIORITY_NORMAL, -1, join_children, NULL);
        machine_run();
        assert_int_equal(ran, 1010);
        assert_int_equal(alive(), 0);
        assert_int_equal(machine.blocks, blocks + 1); /* the parent: nobody joined it */
        assert_int_equal(machine.stacks, stacks + 1);
        check_at_rest();
    }
}

static void on_exit_fn(void *value) {
    assert_null(machine_cpu()->cpu.local);
    ran += *(unsigned *)value;
}

static void use_local(void *arg) {
    assert_null(machine_cpu()->cpu.local);
    machine_cpu()->cpu.local = arg;
    thread_current()->local_exit = on_exit_fn;
    for (unsigned i = 0; i < 20; i++) {
        sched_yield();
        work(3);
        assert_ptr_equal(machine_cpu()->cpu.local, arg);
    }
}

static void each_thread_has_its_own_local_pointer_until_it_ends(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        unsigned values[6] = {1, 10, 100, 1000, 10000, 100000};
        ran = 0;
        for (unsigned i = 0; i < 6; i++)
            spawn(THREAD_PRIORITY_NORMAL, -1, use_local, &values[i]);
        machine_run();
        assert_int_equal(ran, 111111);
    }
}

static void what_cannot_be_started_leaves_nothing_behind(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 2; n++) {
        build(1, 1);
        int64_t blocks = machine.blocks, stacks = machine.stacks;
        machine.fail_after = n;
        assert_null(thread_start("test", 0, 1, -1, count_up, NULL));
        assert_int_equal(machine.blocks, blocks);
        assert_int_equal(machine.stacks, stacks);
    }
    assert_null(thread_start("test", 0, 1, 1, count_up, NULL)); /* no such CPU */
    unsigned started = 0;
    while (thread_start("test", 0, 1, -1, count_up, NULL) != NULL)
        started++;
    assert_int_equal(started, THREADS_KERNEL_MAX - 2); /* the boot thread and the idle one */
    machine_run();
    assert_int_equal(alive(), 0);
}

/* ---- Order --------------------------------------------------------------------------------------- */

static void note_order(void *arg) {
    order[order_count++] = (unsigned)(uintptr_t)arg;
}

static void start_all(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < 32; i++)
        spawn(10 + (i * 7) % 32, 0, note_order, (void *)(uintptr_t)((i * 7) % 32));
}

static void the_most_urgent_thread_runs_first(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        order_count = 0;
        spawn(THREAD_PRIORITY_WORKER, 0, start_all, NULL);
        machine_run();
        assert_int_equal(order_count, 32);
        for (unsigned i = 0; i < 32; i++)
            assert_int_equal(order[i], 31 - i);
    }
}

static void preempts(void *arg) {
    (void)arg;
    unsigned before = order_count;
    spawn(200, 0, note_order, (void *)1); /* more urgent: runs at once */
    assert_int_equal(order_count, before + 1);
    spawn(50, 0, note_order, (void *)2);  /* less: when we have ended */
    spawn(100, 0, note_order, (void *)3); /* as urgent: later too */
    assert_int_equal(order_count, before + 1);
    order[order_count++] = 4;
}

static void a_more_urgent_thread_preempts_and_a_less_urgent_one_waits(void **state) {
    (void)state;
    build(1, 5);
    machine.now_ns = 1000;
    order_count = 0;
    spawn(100, 0, preempts, NULL);
    machine_run();
    assert_int_equal(order_count, 4);
    static const unsigned expected[] = {1, 4, 3, 2};
    assert_memory_equal(order, expected, sizeof(expected));
}

static bool stop_spinning;

static void spin_until_told(void *arg) {
    (void)arg;
    while (!stop_spinning)
        machine_step();
    order[order_count++] = 1;
}

static void tell(void *arg) {
    (void)arg;
    stop_spinning = true;
    order[order_count++] = 2;
}

/* The last thread has the priority of the first two and their only CPU. */
static void time_slices_let_everyone_of_a_priority_run(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        build(1 + seed % 2, seed);
        stop_spinning = false;
        order_count = 0;
        uint64_t start = machine.now_ns;
        spawn(100, 0, spin_until_told, NULL);
        spawn(100, 0, spin_until_told, NULL);
        spawn(100, 0, tell, NULL);
        machine_run();
        assert_int_equal(order_count, 3);
        assert_int_equal(order[0], 2);
        assert_true(machine.now_ns - start >= 2 * THREAD_SLICE_NS);
        assert_true(machine.at[0].timer_irqs <= 5);
        check_at_rest();
    }
}

/* An urgent thread becomes ready in the very interrupt that ends a slice, each time: the one whose slice
 * it was must not come back before its equals. The first spinner arms a timer for that moment. */
static _Atomic uint32_t alarm;
static void sound_alarm(struct timer *timer) {
    (void)timer;
    (void)wait_wake(&alarm, 1);
}

static void answer_alarms(void *arg) {
    (void)arg;
    thread_current()->floor = 150; /* feedback may lower it, so its own slice is timed, too */
    while (!stop_spinning)
        (void)wait_block(&alarm, 0, 3 * THREAD_SLICE_NS);
}

static void sound_alarms_at_the_ends_of_slices(void *arg) {
    (void)arg;
    static struct timer timer;
    uint64_t end = machine.now_ns + 40 * THREAD_SLICE_NS;
    memset(&timer, 0, sizeof timer);
    while (!stop_spinning && machine.now_ns < end) {
        if (runqs[0]->slice_armed && timer.slot == 0)
            (void)timer_start(&timer, runqs[0]->slice.at_ns, sound_alarm);
        machine_step();
    }
    (void)timer_stop(&timer);
    order[order_count++] = 1;
}

static void an_urgent_one_that_wakes_at_the_ends_of_slices_does_not_stop_turns(void **state) {
    (void)state;
    build(1, 7);
    stop_spinning = false;
    order_count = 0;
    spawn(200, 0, answer_alarms, NULL);
    spawn(100, 0, sound_alarms_at_the_ends_of_slices, NULL);
    spawn(100, 0, tell, NULL);
    machine_run();
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 1);
    check_at_rest();
}

static void yield_until_told(void *arg) {
    (void)arg;
    while (!stop_spinning) {
        work(3);
        sched_yield();
    }
    order[order_count++] = 1;
}

static void a_thread_that_yields_lets_even_a_less_urgent_one_finish(void **state) {
    (void)state;
    build(1, 3);
    stop_spinning = false;
    order_count = 0;
    spawn(100, 0, yield_until_told, NULL);
    spawn(50, 0, tell, NULL);
    machine_run();
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 1);
    check_at_rest();
}

/* A thread alone on its CPU is not disturbed. */
static void spin_a_while(void *arg) {
    (void)arg;
    uint64_t end = machine.now_ns + 20 * THREAD_SLICE_NS;
    while (machine.now_ns < end)
        machine_step();
}

static void a_thread_alone_takes_no_timer_interrupt(void **state) {
    (void)state;
    build(2, 9);
    spawn(100, 1, spin_a_while, NULL);
    machine_run();
    assert_int_equal(machine.at[1].timer_irqs, 0);
    assert_int_equal(machine.at[0].timer_irqs, 0);
}

/* ---- Several CPUs --------------------------------------------------------------------------------- */

static unsigned together, together_max;

static void be_there_at_once(void *arg) {
    (void)arg;
    together++;
    together_max = together > together_max ? together : together_max;
    work(400);
    together--;
}

static void unpinned_threads_spread_over_idle_cpus(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(4, seed);
        together = together_max = 0;
        for (unsigned i = 0; i < 4; i++)
            spawn(100, -1, be_there_at_once, NULL);
        machine_run();
        assert_int_equal(together_max, 4);
        check_at_rest();
    }
}

static void occupy(void *arg) {
    (void)arg;
    spawn(90, -1, be_there_at_once, NULL); /* waits behind us, unless somebody takes it */
    be_there_at_once(NULL);
}

static void an_idle_cpu_takes_a_thread_that_waits_elsewhere(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(2, seed);
        together = together_max = 0;
        spawn(100, 0, occupy, NULL);
        machine_run();
        assert_int_equal(together_max, 2);
    }
}

static unsigned delay, waited;

static void note_wait(void *arg) {
    (void)arg;
    waited = together; /* 1: whoever started us still runs, on the other CPU */
}

static void start_and_stay(void *arg) {
    (void)arg;
    work(delay);
    together = 1;
    spawn(90, -1, note_wait, NULL);
    work(3000);
    together = 0;
}

static void work_a_little(void *arg) {
    (void)arg;
    work(100);
}

/* The other CPU becomes idle at about the moment when there is something for it. */
static void no_thread_waits_while_a_cpu_goes_idle(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
        build(2, seed);
        together = waited = 0;
        delay = 40 + (unsigned)machine_random(120);
        spawn(100, 0, start_and_stay, NULL);
        spawn(100, 1, work_a_little, NULL);
        machine_run();
        assert_int_equal(waited, 1);
        check_at_rest();
    }
}

static void stay_on(void *arg) {
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(machine.now_on, (uintptr_t)arg);
        work(2);
        sched_yield();
    }
}

static void a_pinned_thread_never_leaves_its_cpu(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(3, seed);
        for (unsigned i = 0; i < 6; i++)
            spawn(100, (int)(i % 2), stay_on, (void *)(uintptr_t)(i % 2));
        machine_run();
        assert_int_equal(alive(), 0);
        check_at_rest();
    }
}

/* ---- Nobody starves ---------------------------------------------------------------------------- */

#define PATIENCE 20000u /* steps until what should happen soon counts as never */

static bool happened;

static void let_it_happen(void *arg) {
    (void)arg;
    happened = true;
}

static void hog(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < PATIENCE && !happened; i++)
        machine_step();
}

static void start_two_and_stay(void *arg) {
    spawn(90, -1, hog, NULL);
    if (arg != NULL)
        work((unsigned)machine_random(60));
    spawn(80, -1, let_it_happen, NULL);
    hog(NULL);
}

/* Both could go to the same idle CPU, and the second would wait there for the first one's end. */
static void two_threads_started_in_a_row_go_to_two_idle_cpus(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(3, seed);
        happened = false;
        uint64_t begin = machine.steps;
        spawn(100, 0, start_two_and_stay, (void *)(uintptr_t)(seed % 2));
        machine_run();
        assert_true(happened);
        assert_true(machine.steps - begin < PATIENCE);
        check_at_rest();
    }
}

static void yield_until_it_happens(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < PATIENCE / 10 && !happened; i++)
        sched_yield();
    assert_true(happened);
}

/* They would give way to each other for ever. */
static void two_threads_that_yield_to_each_other_let_a_less_urgent_one_finish(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(1, seed);
        happened = false;
        spawn(100, 0, yield_until_it_happens, NULL);
        spawn(100, 0, yield_until_it_happens, NULL);
        spawn(90, 0, let_it_happen, NULL);
        machine_run();
        assert_true(happened);
        check_at_rest();
    }
}

static struct thread *mortal;

static _Atomic uint32_t never;

static void end_and_leave_a_new_thread(void *arg) {
    (void)arg;
    (void)wait_block(&never, 0, 4000); /* the hog waits already */
    spawn(50, 0, work_a_little, NULL);
}

static void wait_for_the_end(void *arg) {
    (void)arg;
    thread_join(mortal);
    happened = true;
}

static void hog_from_a_moment_on(void *arg) {
    (void)arg;
    (void)wait_block(&never, 0, 1 + machine_random(12000));
    for (unsigned i = 0; i < PATIENCE && !happened; i++)
        machine_step();
    assert_true(happened);
}

/* The thread that runs next says that the one before has ended, and may be preempted at once. */
static void an_ended_thread_is_joined_however_unimportant_the_next_one_is(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
        build(2, seed);
        happened = false;
        spawn(90, 0, hog_from_a_moment_on, NULL);
        mortal = spawn(120, 0, end_and_leave_a_new_thread, NULL);
        spawn(200, 1, wait_for_the_end, NULL);
        machine_run();
        check_at_rest();
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(threads_start_end_and_leave_nothing_behind),
        TEST(each_thread_has_its_own_local_pointer_until_it_ends),
        TEST(what_cannot_be_started_leaves_nothing_behind),
        TEST(the_most_urgent_thread_runs_first),
        TEST(a_more_urgent_thread_preempts_and_a_less_urgent_one_waits),
        TEST(time_slices_let_everyone_of_a_priority_run),
        TEST(an_urgent_one_that_wakes_at_the_ends_of_slices_does_not_stop_turns),
        TEST(a_thread_that_yields_lets_even_a_less_urgent_one_finish),
        TEST(a_thread_alone_takes_no_timer_interrupt),
        TEST(unpinned_threads_spread_over_idle_cpus),
        TEST(an_idle_cpu_takes_a_thread_that_waits_elsewhere),
        TEST(no_thread_waits_while_a_cpu_goes_idle),
        TEST(a_pinned_thread_never_leaves_its_cpu),
        TEST(two_threads_started_in_a_row_go_to_two_idle_cpus),
        TEST(two_threads_that_yield_to_each_other_let_a_less_urgent_one_finish),
        TEST(an_ended_thread_is_joined_however_unimportant_the_next_one_is),
    };
    if (!MACHINE_RUNS) {
        print_message("skipped: this build cannot follow coroutines\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
