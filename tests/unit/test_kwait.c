/* Kernel waits: waiting, waking and time limits, on a machine of make-believe whose CPUs are
 * interleaved in thousands of ways. See tests/fake_arch/machine.h. */
#include "tests/fake_arch/sched_machine.h"

/* A counting semaphore over the futex: the classic user. */
static _Atomic uint32_t tokens;
static unsigned taken;

static void take_tokens(void *arg) {
    for (unsigned i = 0; i < (unsigned)(uintptr_t)arg; i++) {
        for (;;) {
            uint32_t now = atomic_load(&tokens);
            if (now != 0) {
                machine_step();
                if (atomic_compare_exchange_strong(&tokens, &now, now - 1))
                    break;
            } else {
                machine_step(); /* between the look and the sleep */
                assert_true(wait_block(&tokens, 0, UINT64_MAX));
            }
        }
        taken++;
    }
}

static void give_tokens(void *arg) {
    for (unsigned i = 0; i < (unsigned)(uintptr_t)arg; i++) {
        atomic_fetch_add(&tokens, 1);
        machine_step();
        (void)wait_wake(&tokens, 1);
    }
}

static void no_wakeup_is_lost(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10 * SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        atomic_store(&tokens, 0);
        taken = 0;
        for (unsigned i = 0; i < 3; i++) {
            spawn(100 + i % 2, -1, take_tokens, (void *)20);
            spawn(100, -1, give_tokens, (void *)20);
        }
        machine_run();
        assert_int_equal(taken, 60);
        assert_int_equal(alive(), 0);
        check_at_rest();
    }
}

static _Atomic uint32_t word, sleepers;
static unsigned woken_count, expired_count;

static void wait_briefly(void *arg) {
    for (unsigned i = 0; i < 30; i++) {
        uint64_t limit = 1 + machine_random((uint64_t)(uintptr_t)arg);
        uint64_t start = machine.now_ns;
        uint32_t seen = atomic_load(&word);
        if (wait_block(&word, seen, limit)) {
            woken_count++;
        } else {
            expired_count++;
            assert_true(machine.now_ns >= start + limit);
        }
    }
    atomic_fetch_sub(&sleepers, 1);
}

static void wake_often(void *arg) {
    (void)arg;
    while (atomic_load(&sleepers) != 0) {
        atomic_fetch_add(&word, 1);
        (void)wait_wake(&word, 1 + (uint32_t)machine_random(3));
        work(3);
        sched_yield();
    }
}

static void a_wait_ends_once_by_a_wake_or_by_its_limit(void **state) {
    (void)state;
    unsigned both = 0;
    for (uint64_t seed = 1; seed <= 3 * SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        woken_count = expired_count = 0;
        atomic_store(&sleepers, 4);
        for (unsigned i = 0; i < 4; i++)
            spawn(100 + i, -1, wait_briefly, (void *)(uintptr_t)(1500 + 500 * (seed % 4)));
        spawn(100, -1, wake_often, NULL);
        machine_run();
        assert_int_equal(woken_count + expired_count, 120);
        assert_int_equal(alive(), 0);
        both += woken_count != 0 && expired_count != 0;
        check_at_rest(); /* no timer is left, no bucket holds anybody */
    }
    assert_true(both > SEEDS); /* the two did race */
}

static void wait_in_order(void *arg) {
    assert_false(wait_block(&word, atomic_load(&word), 1000 * (uint64_t)(uintptr_t)arg));
    order[order_count++] = (unsigned)(uintptr_t)arg;
}

static void limits_come_in_their_order(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(1, seed);
        order_count = 0;
        for (unsigned i = 0; i < 32; i++)
            spawn(100, -1, wait_in_order, (void *)(uintptr_t)(1000 + 100 * ((i * 11) % 32)));
        machine_run();
        assert_int_equal(order_count, 32);
        for (unsigned i = 0; i < 32; i++)
            assert_int_equal(order[i], 1000 + 100 * i);
    }
}

static void wait_for_word(void *arg) {
    _Atomic uint32_t *w = arg;
    assert_true(wait_block(w, 0, UINT64_MAX));
    ran++;
}

static _Atomic uint32_t words[3];

static unsigned blocked(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < THREADS_KERNEL_MAX; i++)
        n += table[i] != NULL && table[i]->state == THREAD_BLOCKED;
    return n;
}

static void wake_some(void *arg) {
    (void)arg;
    while (blocked() != 8)
        work(10);
    assert_int_equal(wait_wake(&words[2], 5), 0);
    assert_int_equal(wait_wake(&words[0], 0), 0);
    assert_int_equal(wait_wake(&words[0], 2), 2);
    work(300);
    assert_int_equal(ran, 2);
    assert_int_equal(wait_wake(&words[0], UINT32_MAX), 2);
    assert_int_equal(wait_wake(&words[1], UINT32_MAX), 4);
}

static void a_wake_wakes_as_many_as_asked_for_and_only_of_its_word(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(2, seed);
        ran = 0;
        for (unsigned i = 0; i < 8; i++)
            spawn(150, -1, wait_for_word, &words[i % 2]);
        spawn(100, -1, wake_some, NULL);
        machine_run();
        assert_int_equal(ran, 8);
        assert_int_equal(alive(), 0);
    }
}

static void no_wait_when_the_word_differs_or_there_is_no_time(void *arg) {
    (void)arg;
    atomic_store(&word, 5);
    assert_true(wait_block(&word, 4, UINT64_MAX));
    assert_true(wait_block(&word, 4, 0));
    assert_false(wait_block(&word, 5, 0));
    assert_true(wait_block(&word, 4, 1000));
    ran++;
}

static void waiting_needs_the_expected_word_and_time(void **state) {
    (void)state;
    build(1, 1);
    ran = 0;
    spawn(100, -1, no_wait_when_the_word_differs_or_there_is_no_time, NULL);
    machine_run();
    assert_int_equal(ran, 1);
    check_at_rest();
}

/* From interrupt context, as device handlers do it. */
static struct timer irq_timer;

static void give_in_interrupt(struct timer *timer) {
    (void)timer;
    atomic_fetch_add(&tokens, 1);
    assert_int_equal(wait_wake(&tokens, 1), 1);
}

static void wait_for_interrupt(void *arg) {
    (void)arg;
    assert_true(timer_start(&irq_timer, machine.now_ns + 50000, give_in_interrupt));
    take_tokens((void *)1);
}

static void an_interrupt_wakes_a_thread(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(2, seed);
        atomic_store(&tokens, 0);
        taken = 0;
        spawn(100, 1, wait_for_interrupt, NULL);
        machine_run();
        assert_int_equal(taken, 1);
        assert_int_equal(alive(), 0);
    }
}

/* Two wait for one word, the less urgent one first in line. */
static _Atomic uint32_t starting_gun;
static unsigned urgent_ran;

static void run_first(void *arg) {
    (void)arg;
    assert_true(wait_block(&starting_gun, 0, UINT64_MAX));
    urgent_ran++;
}

static void run_second(void *arg) {
    (void)arg;
    assert_true(wait_block(&starting_gun, 0, UINT64_MAX));
    assert_int_equal(urgent_ran, 1);
    ran++;
}

static void fire_gun(void *arg) {
    (void)arg;
    atomic_store(&starting_gun, 1);
    assert_int_equal(wait_wake(&starting_gun, UINT32_MAX), 2);
}

/* The waker is preempted by the first that it wakes; the second must be ready by then. */
static void those_woken_together_run_by_urgency_whoever_wakes_them(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(1, seed);
        atomic_store(&starting_gun, 0);
        ran = urgent_ran = 0;
        spawn(110, 0, run_second, NULL);
        machine_run();
        spawn(150, 0, run_first, NULL);
        machine_run();
        spawn(50, 0, fire_gun, NULL);
        machine_run();
        assert_int_equal(ran, 1);
        check_at_rest();
    }
}

/* A clock's tick: starts itself again each time it fires. */
static struct timer clock_tick;
static unsigned ticks;

static void tick_again(struct timer *timer) {
    ticks++;
    machine_step();
    assert_true(timer_start(timer, machine.now_ns + 1 + machine_random(2000), tick_again));
    machine_step();
}

static void keep_ticking(void *arg) {
    (void)arg;
    assert_true(timer_start(&clock_tick, machine.now_ns + 1000, tick_again));
    atomic_store(&word, 1);
    work(200);
}

static void stop_ticking(void *arg) {
    (void)arg;
    while (atomic_load(&word) == 0)
        machine_step();
    work((unsigned)machine_random(100));
    (void)timer_stop(&clock_tick);
    unsigned seen = ticks;
    assert_int_equal(clock_tick.slot, 0);
    work(50);
    assert_int_equal(ticks, seen);
}

static void a_timer_that_starts_itself_again_can_be_stopped_from_anywhere(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(2, seed);
        atomic_store(&word, 0);
        clock_tick = (struct timer){0};
        spawn(100, 0, keep_ticking, NULL);
        spawn(100, 1, stop_ticking, NULL);
        machine_run();
        assert_int_equal(alive(), 0);
        check_at_rest();
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(no_wakeup_is_lost),
        TEST(a_wait_ends_once_by_a_wake_or_by_its_limit),
        TEST(limits_come_in_their_order),
        TEST(a_wake_wakes_as_many_as_asked_for_and_only_of_its_word),
        TEST(waiting_needs_the_expected_word_and_time),
        TEST(an_interrupt_wakes_a_thread),
        TEST(those_woken_together_run_by_urgency_whoever_wakes_them),
        TEST(a_timer_that_starts_itself_again_can_be_stopped_from_anywhere),
    };
    if (!MACHINE_RUNS) {
        print_message("skipped: this build cannot follow coroutines\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
