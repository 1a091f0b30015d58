/* User threads: their life, and being killed and suspended in every state, on a machine of make-believe
 * whose CPUs are interleaved in thousands of ways. See tests/fake_arch/user_machine.h. */
#include "tests/fake_arch/user_calls.h"

/* ---- Life -------------------------------------------------------------------------------------- */

static void count_and_end(uint64_t arg) {
    ran += (unsigned)arg;
    work(5);
}

static void threads_start_end_and_give_their_memory_back(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        ran = 0;
        struct who who[10];
        for (unsigned i = 0; i < 10; i++)
            who[i] = user_spawn(GMK_PRIORITY_NORMAL, count_and_end, 1);
        machine_run();
        assert_int_equal(ran, 10);
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(user_info(who[i]).state, GMK_THREAD_EXITED);
            thread_user_end(who[i].t, who[i].serial);
        }
        check_all_given_back();
        check_at_rest();
    }
}

static void end_with(uint64_t status) {
    call_exit((int64_t)status, false);
    fail_msg("an ended thread goes on");
}

static void an_exit_status_can_be_read_until_the_capability_ends(void **state) {
    (void)state;
    build(2, 3);
    struct who who = user_spawn(GMK_PRIORITY_NORMAL, end_with, 42);
    machine_run();
    assert_int_equal(user_info(who).status, 42);
    thread_user_end(who.t, who.serial);
    gmk_thread_info_t info;
    assert_int_equal(thread_user_info(who.t, who.serial, &info), GMK_EHANDLE);
    assert_int_equal(thread_user_start(who.t, who.serial), GMK_EHANDLE);
    assert_int_equal(thread_user_suspend(who.t, who.serial), GMK_EHANDLE);
}

static void a_detached_thread_leaves_nothing_behind(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build((unsigned)(1 + seed % 3), seed);
        ran = 0;
        struct who who = user_new(GMK_PRIORITY_NORMAL, count_and_end, 1, GMK_THREAD_DETACHED);
        assert_int_equal(thread_user_start(who.t, who.serial), GMK_OK);
        machine_run();
        assert_int_equal(ran, 1);
        check_all_given_back();
    }
}

static void memory_is_used_again_under_another_serial(void **state) {
    (void)state;
    build(1, 1);
    struct who first = user_spawn(GMK_PRIORITY_NORMAL, count_and_end, 1);
    machine_run();
    thread_user_end(first.t, first.serial);
    struct who second = user_new(GMK_PRIORITY_NORMAL, count_and_end, 1, 0);
    assert_ptr_equal(second.t, first.t);
    assert_int_not_equal(second.serial, first.serial);
    thread_user_kill(first.t, first.serial, 0); /* a stranger's */
    assert_int_equal(second.t->state, THREAD_NEW);
    thread_user_end(second.t, second.serial);
    check_all_given_back();
}

static void what_cannot_be_made_costs_nothing(void **state) {
    (void)state;
    build(1, 1);
    struct thread *t;
    gmk_thread_args_t good = {.entry = GMK_USER_MIN, .stack = GMK_USER_MIN, .priority = 100}, args;
    machine_unit.priority_max = 150;
#define REFUSED(change, error)                                              \
    do {                                                                    \
        args = good;                                                        \
        change;                                                             \
        assert_int_equal(thread_user_new(&machine_unit, &args, &t), error); \
        check_all_given_back();                                             \
    } while (false)
    REFUSED(args.priority = 151, GMK_ERANGE);
    REFUSED(args.priority = 248, GMK_EINVAL);
    REFUSED(args.flags = 8, GMK_EINVAL);
    REFUSED(args.reserved = 1, GMK_EINVAL);
    REFUSED(args.entry = GMK_USER_MIN - 1, GMK_EINVAL);
    REFUSED(args.entry = GMK_USER_MAX, GMK_EINVAL);
    REFUSED(args.stack = GMK_USER_MAX + 1, GMK_EINVAL);
    REFUSED(args.tls = GMK_USER_MAX, GMK_EINVAL);
    machine_factory.objects_free = 0;
    assert_int_equal(thread_user_new(&machine_unit, &good, &t), GMK_EBUDGET);
    machine_factory = (struct factory){.frames_free = 3, .objects_free = 1};
    assert_int_equal(thread_user_new(&machine_unit, &good, &t), GMK_EBUDGET);
    assert_int_equal(machine_factory.objects_free, 1);
    machine_unit_init();
    machine_unit.state = GMK_UNIT_DYING;
    assert_int_equal(thread_user_new(&machine_unit, &good, &t), GMK_ESTATE);
    machine_unit.thread_count = 0;
    check_all_given_back();
#undef REFUSED
}

/* ---- Direct switches ------------------------------------------------------------------------------ */

#define ROUNDS 30u
static unsigned players;

static void play(uint64_t arg) {
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(call_pass(), 7);
        ran++;
        work((unsigned)machine_random(4));
    }
    players--;
    while (call_wake(true)) /* nobody is left waiting */
        ;
}

static void wake_until_all_have_ended(uint64_t arg) {
    (void)arg;
    while (players != 0) {
        (void)call_wake(machine_random(2) != 0);
        call_yield();
        work((unsigned)machine_random(20));
    }
}

static void threads_that_hand_over_to_each_other_all_get_through(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        ran = 0;
        players = 6;
        struct who who[7];
        for (unsigned i = 0; i < 6; i++)
            who[i] = user_spawn(90 + (unsigned)machine_random(40), play, 0);
        who[6] = user_spawn(85, wake_until_all_have_ended, 0);
        machine_run();
        assert_int_equal(ran, 6 * ROUNDS);
        for (unsigned i = 0; i < 7; i++)
            thread_user_end(who[i].t, who[i].serial);
        check_all_given_back();
        check_at_rest();
    }
}

static void note_turns(uint64_t arg) {
    for (unsigned i = 0; i < 4; i++) {
        order[order_count++] = (unsigned)arg;
        call_yield();
    }
}

static void yield_goes_round_those_of_one_priority(void **state) {
    (void)state;
    build(1, 1);
    order_count = 0;
    for (unsigned i = 0; i < 3; i++)
        (void)user_spawn(100, note_turns, i);
    (void)user_spawn(90, note_turns, 9);
    machine_run();
    assert_int_equal(order_count, 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(order[i], i < 12 ? i % 3 : 9);
}

/* ---- Being killed and suspended in every state --------------------------------------------------- */

static bool stop_running;
static unsigned loops;

static void run_until_told(uint64_t arg) {
    (void)arg;
    while (!stop_running) {
        loops++;
        work(3);
    }
}

static void wait_once(uint64_t arg) {
    (void)arg;
    int64_t got = call_wait();
    ran += got == 7 ? 1 : 100;
}

static void call_all_the_time(uint64_t arg) {
    (void)arg;
    while (!stop_running) {
        loops++;
        call_yield();
    }
}

/* What the victim is doing, and how urgent it is: below 100 it waits for a CPU on a machine with one. */
static const struct {
    void (*entry)(uint64_t arg);
    unsigned priority;
    bool started, suspended;
} victims[] = {
    {run_until_told, 90, false, false},   {run_until_told, 90, true, false},
    {run_until_told, 110, true, false},   {wait_once, 110, true, false},
    {call_all_the_time, 90, true, false}, {call_all_the_time, 110, true, false},
    {run_until_told, 110, true, true},    {wait_once, 110, true, true},
};
#define VICTIMS (sizeof(victims) / sizeof(victims[0]))

static struct who victim;

static void be_there(uint64_t arg) {
    (void)arg;
    if (machine_random(2) != 0)
        work((unsigned)machine_random(300));
}

static void kill_the_victim(uint64_t which) {
    be_there(0);
    if (victims[which].suspended)
        (void)call_suspend(&victim);
    call_kill(&victim, -5);
    call_kill(&victim, -6); /* too late */
    ran += 1000;
}

static void a_thread_is_killed_in_every_state(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++)
        for (unsigned i = 0; i < VICTIMS; i++) {
            build(1 + seed % MACHINE_CPUS, seed * 8 + i);
            ran = 0;
            stop_running = false;
            victim = user_new(victims[i].priority, victims[i].entry, 0, 0);
            /* The killer is the more urgent one on a single CPU: the others run until they are killed. */
            struct who killer = user_spawn(cpu_count == 1 ? 120 : 100, kill_the_victim, i);
            if (victims[i].started)
                assert_int_equal(thread_user_start(victim.t, victim.serial), GMK_OK);
            machine_run();
            assert_int_equal(ran, 1000);
            gmk_thread_info_t info = user_info(victim);
            assert_int_equal(info.state, GMK_THREAD_EXITED);
            assert_int_equal(info.status, -5);
            thread_user_end(victim.t, victim.serial);
            thread_user_end(killer.t, killer.serial);
            check_all_given_back();
            check_at_rest();
        }
}

static void end_the_victim(uint64_t which) {
    (void)which;
    be_there(0);
    call_end(&victim);
}

static void the_end_of_its_capability_ends_a_thread_in_every_state(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (unsigned i = 0; i < VICTIMS; i++) {
            build(1 + seed % MACHINE_CPUS, seed * 8 + i);
            stop_running = false;
            victim = user_new(victims[i].priority, victims[i].entry, 0, 0);
            struct who killer = user_spawn(cpu_count == 1 ? 120 : 100, end_the_victim, i);
            if (victims[i].started)
                assert_int_equal(thread_user_start(victim.t, victim.serial), GMK_OK);
            machine_run();
            thread_user_end(killer.t, killer.serial);
            check_all_given_back();
            check_at_rest();
        }
}

/* While it is suspended it does nothing; afterwards it goes on as if nothing had been. */
static void suspend_the_victim(uint64_t which) {
    for (unsigned round = 0; round < 3; round++) {
        be_there(0);
        int status = call_suspend(&victim);
        assert_int_equal(status, victim.t->state == THREAD_EXITED ? GMK_ESTATE : GMK_OK);
        unsigned before = loops;
        assert_true(victim.t->state != THREAD_RUNNING && victim.t->state != THREAD_READY);
        if (victims[which].entry == wait_once)
            (void)call_wake(machine_random(2) != 0);
        assert_true(victim.t->state != THREAD_RUNNING && victim.t->state != THREAD_READY);
        work(200);
        assert_int_equal(loops, before);
        assert_true(victim.t->state != THREAD_RUNNING && victim.t->state != THREAD_READY);
        if (!victims[which].started && round == 0) {
            assert_int_equal(call_start(&victim), GMK_OK); /* it becomes STOPPED */
            work(100);
            assert_int_equal(loops, before);
        }
        (void)call_resume(&victim);
    }
    stop_running = true;
    while (call_wake(false))
        ;
    ran += 1000;
}

static void a_thread_is_suspended_in_every_state_and_goes_on(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++)
        for (unsigned i = 0; i < VICTIMS; i++) {
            build(1 + seed % MACHINE_CPUS, seed * 8 + i);
            ran = loops = 0;
            stop_running = false;
            victim = user_new(victims[i].priority, victims[i].entry, 0, 0);
            struct who other = user_spawn(cpu_count == 1 ? 120 : 100, suspend_the_victim, i);
            if (victims[i].started)
                assert_int_equal(thread_user_start(victim.t, victim.serial), GMK_OK);
            machine_run();
            if (victims[i].entry == wait_once && victim.t->state == THREAD_BLOCKED)
                thread_user_kill(victim.t, victim.serial, 0); /* it began to wait after the end */
            else if (victims[i].entry == wait_once)
                assert_int_equal(ran, 1001);
            assert_int_equal(victim.t->state, THREAD_EXITED);
            thread_user_end(victim.t, victim.serial);
            thread_user_end(other.t, other.serial);
            check_all_given_back();
            check_at_rest();
        }
}

/* ---- Of itself, and of each other -------------------------------------------------------------------- */

static struct who pair[2];

static void suspend_myself(uint64_t arg) {
    (void)arg;
    assert_int_equal(call_suspend(&pair[0]), GMK_OK);
    ran++;
}

static void a_thread_suspends_itself_and_is_resumed(void **state) {
    (void)state;
    build(2, 1);
    ran = 0;
    pair[0] = user_spawn(100, suspend_myself, 0);
    machine_run();
    assert_int_equal(ran, 0);
    assert_int_equal(pair[0].t->state, THREAD_STOPPED);
    assert_int_equal(thread_user_resume(pair[0].t, pair[0].serial), GMK_OK);
    machine_run();
    assert_int_equal(ran, 1);
}

static void kill_myself(uint64_t arg) {
    (void)arg;
    call_kill(&pair[0], 3);
    ran++;
}

static void a_thread_that_kills_itself_does_not_return(void **state) {
    (void)state;
    build(2, 1);
    ran = 0;
    pair[0] = user_spawn(100, kill_myself, 0);
    machine_run();
    assert_int_equal(ran, 0);
    assert_int_equal(user_info(pair[0]).status, 3);
}

static void suspend_the_other(uint64_t me) {
    (void)call_suspend(&pair[1 - me]);
}

static void kill_the_other(uint64_t me) {
    call_kill(&pair[1 - me], 9);
}

/* Each waits for the other one with IF off: at least one stops, and nobody waits for ever. */
static void two_threads_that_suspend_each_other_do_not_hang_the_machine(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        build(2, seed);
        for (unsigned i = 0; i < 2; i++)
            pair[i] = user_new(100, suspend_the_other, i, 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(thread_user_start(pair[i].t, pair[i].serial), GMK_OK);
        machine_run();
        for (unsigned i = 0; i < 2; i++)
            assert_true(pair[i].t->state == THREAD_STOPPED || pair[i].t->state == THREAD_EXITED);
        for (unsigned i = 0; i < 2; i++)
            thread_user_end(pair[i].t, pair[i].serial);
        check_all_given_back();
    }
}

static void two_threads_that_kill_each_other_both_end(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        build(2, seed);
        for (unsigned i = 0; i < 2; i++)
            pair[i] = user_new(100, kill_the_other, i, 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(thread_user_start(pair[i].t, pair[i].serial), GMK_OK);
        machine_run();
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pair[i].t->state, THREAD_EXITED);
            thread_user_end(pair[i].t, pair[i].serial);
        }
        check_all_given_back();
        check_at_rest();
    }
}

static void leave_with_all(uint64_t arg) {
    (void)arg;
    be_there(0);
    call_exit(1, true);
}

static void an_exit_of_the_whole_unit_ends_all_its_threads(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        stop_running = false;
        struct who who[6];
        for (unsigned i = 0; i < 5; i++)
            who[i] = user_new(90 + i, victims[i].entry, 0, 0);
        who[5] = user_new(120, leave_with_all, 0, 0);
        for (unsigned i = 1; i < 6; i++)
            assert_int_equal(thread_user_start(who[i].t, who[i].serial), GMK_OK);
        machine_run();
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(who[i].t->state, THREAD_EXITED);
            thread_user_end(who[i].t, who[i].serial);
        }
        check_all_given_back();
        check_at_rest();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_start_end_and_give_their_memory_back),
        cmocka_unit_test(an_exit_status_can_be_read_until_the_capability_ends),
        cmocka_unit_test(a_detached_thread_leaves_nothing_behind),
        cmocka_unit_test(memory_is_used_again_under_another_serial),
        cmocka_unit_test(what_cannot_be_made_costs_nothing),
        cmocka_unit_test(threads_that_hand_over_to_each_other_all_get_through),
        cmocka_unit_test(yield_goes_round_those_of_one_priority),
        cmocka_unit_test(a_thread_is_killed_in_every_state),
        cmocka_unit_test(the_end_of_its_capability_ends_a_thread_in_every_state),
        cmocka_unit_test(a_thread_is_suspended_in_every_state_and_goes_on),
        cmocka_unit_test(a_thread_suspends_itself_and_is_resumed),
        cmocka_unit_test(a_thread_that_kills_itself_does_not_return),
        cmocka_unit_test(two_threads_that_suspend_each_other_do_not_hang_the_machine),
        cmocka_unit_test(two_threads_that_kill_each_other_both_end),
        cmocka_unit_test(an_exit_of_the_whole_unit_ends_all_its_threads),
    };
    if (!MACHINE_RUNS) {
        print_message("skipped: this build cannot follow coroutines\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
