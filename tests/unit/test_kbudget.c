/* Budgets, deadlines, feedback: who gets how much time, on a machine of make-believe whose clock is exact. */
#include "tests/fake_arch/user_calls.h"

#define MS UINT64_C(1000000)
/* What a thread may use beyond its budget: until its interrupt has stopped it. The next period pays. */
#define OVERRUN 20000u

static uint64_t until;

static void compute(uint64_t arg) {
    (void)arg;
    while (machine.now_ns < until)
        machine_step();
}

static void limit(struct who who, uint64_t budget, uint64_t period, unsigned flags) {
    gmk_sched_args_t args = {.priority = GMK_PRIORITY_NORMAL,
                             .flags = (uint16_t)flags,
                             .budget_ns = budget,
                             .period_ns = period};
    assert_int_equal(thread_user_sched(who.t, who.serial, &args), GMK_OK);
}

static uint64_t used(struct who who) {
    return who.t->run_cycles;
}

/* ---- Budgets ----------------------------------------------------------------------------------- */

static struct who watched;
static uint64_t watched_period, watched_before;

/* In no period more than the budget; what was too much counts in the next one. */
static void watch_period(void) {
    const struct thread *t = watched.t;
    uint64_t total = t->run_cycles;
    for (unsigned i = 0; i < cpu_count; i++)
        if (machine.at[i].cpu.current == t)
            total += machine.now_ns - t->since_cycles;
    if (t->budget.period_end != watched_period) {
        watched_period = t->budget.period_end;
        watched_before = total;
    }
    assert_true(total - watched_before <= t->budget.amount + OVERRUN);
}

static void a_budget_is_kept_in_every_period_and_used_to_the_full(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        build((unsigned)(1 + seed % 2), seed);
        until = machine.now_ns + 60 * MS;
        struct who who = user_new(GMK_PRIORITY_NORMAL, compute, 0, 0);
        limit(who, MS, 5 * MS, 0);
        watched = who;
        watched_period = 0;
        assert_int_equal(thread_user_start(who.t, who.serial), GMK_OK);
        machine_watch = watch_period;
        machine_run();
        machine_watch = NULL;
        assert_int_equal(who.t->state, THREAD_EXITED);
        assert_true(used(who) >= 11 * MS);
        assert_true(used(who) <= 13 * MS + OVERRUN);
        thread_user_end(who.t, who.serial);
        check_all_given_back();
    }
}

static void others_have_the_rest(void **state) {
    (void)state;
    build(1, 5);
    until = machine.now_ns + 50 * MS;
    struct who limited = user_new(200, compute, 0, 0), other = user_spawn(100, compute, 0);
    gmk_sched_args_t args = {
        .priority = 200, .flags = GMK_SCHED_FIXED, .budget_ns = 2 * MS, .period_ns = 10 * MS};
    assert_int_equal(thread_user_sched(limited.t, limited.serial, &args), GMK_OK);
    assert_int_equal(thread_user_start(limited.t, limited.serial), GMK_OK);
    machine_run();
    assert_in_range(used(limited), 9 * MS, 10 * MS + OVERRUN + 2 * MS);
    assert_in_range(used(other), 37 * MS, 41 * MS);
}

static void a_units_budget_holds_for_all_its_threads_on_all_cpus(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct who who[4];
        build(4, seed);
        machine_unit.cpu_permille = 300;
        until = machine.now_ns + 400 * MS;
        uint64_t sum = 0;
        for (unsigned i = 0; i < 4; i++)
            who[i] = user_spawn(GMK_PRIORITY_NORMAL, compute, 0);
        machine_run();
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(who[i].t->state, THREAD_EXITED);
            sum += used(who[i]);
        }
        /* 30 ms of every 100; the run ends 1 ms after a period's start. */
        assert_in_range(sum, 119 * MS, 124 * MS + 8 * OVERRUN);
    }
}

static struct who limited;

static void change_it(uint64_t arg) {
    (void)arg;
    work(2000);
    gmk_sched_args_t free = {.priority = 90};
    assert_int_equal(call_sched(&limited, &free), GMK_OK);
}

/* It is throttled for the next second, and then not any more. */
static void a_throttled_thread_goes_on_when_its_limit_is_taken_away(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build((unsigned)(1 + seed % 2), seed);
        until = machine.now_ns + 10 * MS;
        limited = user_new(90, compute, 0, 0);
        limit(limited, 10000, 1000 * MS, 0);
        assert_int_equal(thread_user_start(limited.t, limited.serial), GMK_OK);
        (void)user_spawn(100, change_it, 0);
        uint64_t start = machine.now_ns;
        machine_run();
        assert_int_equal(limited.t->state, THREAD_EXITED);
        assert_true(machine.now_ns - start < 20 * MS);
        check_at_rest();
    }
}

static void a_throttled_thread_can_be_killed_and_suspended(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        build(2, seed);
        until = machine.now_ns + 30 * MS;
        struct who who[2];
        for (unsigned i = 0; i < 2; i++) {
            who[i] = user_new(90, compute, 0, 0);
            limit(who[i], 20000, MS, 0);
            assert_int_equal(thread_user_start(who[i].t, who[i].serial), GMK_OK);
        }
        assert_int_equal(thread_user_suspend(who[0].t, who[0].serial), GMK_OK);
        machine_run();
        assert_int_equal(who[0].t->state, THREAD_STOPPED);
        assert_int_equal(who[1].t->state, THREAD_EXITED);
        thread_user_kill(who[0].t, who[0].serial, 1);
        assert_int_equal(who[0].t->state, THREAD_EXITED);
        for (unsigned i = 0; i < 2; i++)
            thread_user_end(who[i].t, who[i].serial);
        machine_run();
        check_all_given_back();
    }
}

/* ---- The deadline band -------------------------------------------------------------------------- */

#define JOBS 12u
struct job {
    uint64_t work, period;
    unsigned done;
};
static struct job jobs[4];
static uint64_t first_release;

static uint64_t sys_sleep_until(uint64_t at, uint64_t a1) {
    struct thread *t = machine_box_enter();
    (void)a1;
    spin_unlock(&machine_box.lock, false);
    t->block.until_ns = at;
    sched_block_user();
}

/* Wakes those whose time has come. */
static void release(void *arg) {
    (void)arg;
    _Atomic uint32_t word = 0;
    while (jobs[0].done < JOBS || jobs[1].done < JOBS || jobs[2].done < JOBS) {
        bool irq = spin_lock(&machine_box.lock);
        struct thread *t = machine_box.head, *due = NULL;
        for (; t != NULL && due == NULL; t = t->block.next)
            due = t->block.until_ns <= machine.now_ns ? t : NULL;
        if (due != NULL)
            (void)machine_box_take(due);
        spin_unlock(&machine_box.lock, false);
        if (due != NULL) {
            arch_user_status(due, 0);
            sched_ready_irq(due, false);
        }
        arch_irq_restore(irq);
        if (due == NULL)
            (void)wait_block(&word, 0, 50000);
    }
}

static void be_periodic(uint64_t which) {
    struct job *job = &jobs[which];
    for (unsigned i = 0; i < JOBS; i++) {
        uint64_t start = first_release + i * job->period, before;
        (void)machine_call(sys_sleep_until, start, 0);
        const struct thread *me = machine_cpu()->cpu.current;
        before = me->run_cycles + machine.now_ns - me->since_cycles;
        while (me->run_cycles + machine.now_ns - me->since_cycles - before < job->work)
            machine_step();
        assert_true(machine.now_ns <= start + job->period); /* its deadline */
        job->done++;
    }
}

/* Work of 85 % of a CPU with periods that no fixed order would do, and a hog besides. */
static void deadlines_are_kept_while_a_hog_computes(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        build(1, seed);
        static const uint64_t periods[] = {4 * MS, 5 * MS, 7 * MS}, work_ns[] = {MS, MS, 2 * MS};
        first_release = machine.now_ns + MS;
        until = first_release + 90 * MS;
        for (unsigned i = 0; i < 3; i++) {
            struct who who = user_new(GMK_PRIORITY_NORMAL, be_periodic, i, 0);
            jobs[i] = (struct job){.work = work_ns[i], .period = periods[i]};
            limit(who, work_ns[i] + 150000, periods[i], GMK_SCHED_DEADLINE);
            assert_int_equal(who.t->assigned, GMK_PRIORITY_DEADLINE);
            assert_int_equal(thread_user_start(who.t, who.serial), GMK_OK);
        }
        (void)user_spawn(240, compute, 0);
        (void)spawn(252, 0, release, NULL);
        machine_run();
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(jobs[i].done, JOBS);
    }
}

/* One that wants more than it said does not take it from the others. */
static void who_computes_for_ever_in_the_band_gets_its_budget_and_no_more(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        build(1, seed);
        until = machine.now_ns + 60 * MS;
        struct who greedy = user_new(GMK_PRIORITY_NORMAL, compute, 0, 0);
        struct who other = user_spawn(GMK_PRIORITY_NORMAL, compute, 0);
        limit(greedy, 3 * MS, 10 * MS, GMK_SCHED_DEADLINE);
        assert_int_equal(thread_user_start(greedy.t, greedy.serial), GMK_OK);
        machine_run();
        assert_in_range(used(greedy), 15 * MS, 21 * MS + OVERRUN);
        assert_in_range(used(other), 38 * MS, 46 * MS);
    }
}

static void the_bands_list_is_in_the_order_of_deadlines_and_heirs_come_first(void **state) {
    (void)state;
    static const uint64_t deadlines[] = {50, 20, 90, 0, 20, 10, 0, 70},
                          wanted[] = {0, 0, 10, 20, 20, 50, 70, 90};
    build(1, 1);
    struct who who[8];
    for (unsigned i = 0; i < 8; i++) {
        who[i] = user_new(100, compute, 0, 0);
        who[i].t->priority = GMK_PRIORITY_DEADLINE;
        who[i].t->deadline = deadlines[i];
        runq_push(runqs[0], who[i].t, i % 2 != 0);
    }
    const struct thread *t = runqs[0]->heads[GMK_PRIORITY_DEADLINE];
    for (unsigned i = 0; i < 8; i++, t = t->next)
        assert_int_equal(t->deadline, wanted[i]);
    assert_ptr_equal(runqs[0]->heads[GMK_PRIORITY_DEADLINE], who[3].t); /* first come first */
    for (unsigned i = 0; i < 8; i++)
        thread_user_end(who[i].t, who[i].serial);
    assert_int_equal(runq_top(runqs[0]), IDLE_PRIORITY);
    check_all_given_back();
}

static int ask(struct who who, uint64_t budget, uint64_t period, uint64_t affinity) {
    gmk_sched_args_t args = {.flags = GMK_SCHED_DEADLINE,
                             .affinity = affinity,
                             .budget_ns = budget,
                             .period_ns = period};
    return thread_user_sched(who.t, who.serial, &args);
}

static void the_band_admits_nine_tenths_of_each_cpu(void **state) {
    (void)state;
    build(2, 1);
    struct who who[6];
    for (unsigned i = 0; i < 6; i++)
        who[i] = user_new(100, compute, 0, 0);
    assert_int_equal(ask(who[0], 5 * MS, 10 * MS, 0), GMK_OK);
    assert_int_equal(ask(who[1], 5 * MS, 10 * MS, 0), GMK_OK); /* the other CPU */
    assert_int_not_equal(who[0].t->budget.home, who[1].t->budget.home);
    for (unsigned i = 0; i < 2; i++) /* whom it admitted stays on its CPU */
        assert_int_equal(who[i].t->affinity, 1u << who[i].t->budget.home);
    assert_int_equal(ask(who[2], 5 * MS, 10 * MS, 0), GMK_ELIMIT);
    assert_int_equal(who[2].t->assigned, 100); /* nothing has changed */
    assert_int_equal(ask(who[2], 4 * MS, 10 * MS, 1), GMK_OK);
    assert_int_equal(ask(who[3], 4 * MS, 10 * MS, 1), GMK_ELIMIT);
    assert_int_equal(ask(who[3], 4 * MS, 10 * MS, 0), GMK_OK);
    assert_int_equal(ask(who[4], 10000, 10 * MS, 0), GMK_ELIMIT);
    assert_int_equal(ask(who[2], 3 * MS, 10 * MS, 1), GMK_OK); /* in place of its own */
    assert_int_equal(ask(who[4], MS, 10 * MS, 0), GMK_OK);
    gmk_sched_args_t leave = {.priority = 100};
    assert_int_equal(thread_user_sched(who[0].t, who[0].serial, &leave), GMK_OK);
    assert_int_equal(ask(who[5], 5 * MS, 10 * MS, 0), GMK_OK);
    for (unsigned i = 0; i < 6; i++)
        thread_user_end(who[i].t, who[i].serial);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bands[i].load, 0);
        assert_int_equal(bands[i].members, 0);
    }
}

static void what_makes_no_sense_is_refused_and_changes_nothing(void **state) {
    (void)state;
    build(2, 1);
    struct who who = user_new(100, compute, 0, 0);
    machine_unit.priority_max = 150;
    static const struct {
        gmk_sched_args_t args;
        int status;
    } bad[] = {
        {{.priority = 248}, GMK_EINVAL},
        {{.priority = 151}, GMK_ERANGE},
        {{.priority = 100, .flags = 4}, GMK_EINVAL},
        {{.priority = 100, .affinity = 4}, GMK_EINVAL},
        {{.priority = 100, .slice_us = 99}, GMK_EINVAL},
        {{.priority = 100, .slice_us = 1000001}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = 20000}, GMK_EINVAL},
        {{.priority = 100, .period_ns = MS}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = 2 * MS, .period_ns = MS}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = 9999, .period_ns = MS}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = 20000, .period_ns = 99999}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = MS, .period_ns = UINT64_MAX}, GMK_EINVAL},
        {{.priority = 100, .budget_ns = 20000, .period_ns = MS, .deadline_ns = MS}, GMK_EINVAL},
        {{.flags = GMK_SCHED_DEADLINE, .budget_ns = 20000, .period_ns = MS}, GMK_ERANGE},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(thread_user_sched(who.t, who.serial, &bad[i].args), bad[i].status);
        assert_int_equal(who.t->assigned, 100);
        assert_int_equal(who.t->special, 0);
    }
    machine_unit.priority_max = GMK_PRIORITY_MAX;
    gmk_sched_args_t args = {.flags = GMK_SCHED_DEADLINE};
    assert_int_equal(thread_user_sched(who.t, who.serial, &args), GMK_EINVAL);
    args = (gmk_sched_args_t){
        .flags = GMK_SCHED_DEADLINE, .budget_ns = 200000, .period_ns = MS, .deadline_ns = 100000};
    assert_int_equal(thread_user_sched(who.t, who.serial, &args), GMK_EINVAL);
    thread_user_end(who.t, who.serial);
    assert_int_equal(thread_user_sched(who.t, who.serial, &args), GMK_EHANDLE);
}

/* ---- Feedback ----------------------------------------------------------------------------------------- */

static unsigned finished;

static void wait_often(uint64_t arg) {
    (void)arg;
    for (unsigned i = 0; i < 20; i++)
        (void)machine_call(sys_sleep_until, machine.now_ns + MS, 0);
    finished++;
}

static void wake_sleepers(void *arg) {
    (void)arg;
    _Atomic uint32_t word = 0;
    while (finished == 0) {
        bool irq = arch_irq_disable();
        struct thread *t = machine_box.head;
        if (t != NULL && t->block.until_ns <= machine.now_ns)
            (void)sys_wake(false, 0);
        arch_irq_restore(irq);
        (void)wait_block(&word, 0, 100000);
    }
}

static void who_computes_gives_way_to_who_waits_within_its_class(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        build(1, seed);
        finished = 0;
        until = machine.now_ns + 100 * MS;
        struct who hog = user_spawn(GMK_PRIORITY_NORMAL, compute, 0);
        struct who other = user_spawn(GMK_PRIORITY_NORMAL, compute, 0);
        struct who waits = user_spawn(GMK_PRIORITY_NORMAL - 8, wait_often, 0);
        (void)spawn(252, 0, wake_sleepers, NULL);
        machine_run();
        assert_true(user_info(hog).priority < GMK_PRIORITY_NORMAL);
        assert_true(user_info(hog).priority >= 80 && user_info(other).priority >= 80);
        assert_int_equal(finished, 1);
        assert_true(user_info(waits).priority <= GMK_PRIORITY_NORMAL);
        assert_int_equal(waits.t->assigned, GMK_PRIORITY_NORMAL - 8);
    }
}

static void yield_for_ever(uint64_t arg) {
    (void)arg;
    while (finished == 0 && machine.now_ns < until)
        call_yield();
}

static void pass_for_ever(uint64_t arg) {
    (void)arg;
    while (finished == 0 && machine.now_ns < until)
        (void)call_pass();
    while (call_wake(false))
        ;
}

static void finish(uint64_t arg) {
    (void)arg;
    finished++;
}

/* Threads that never use up a slice, each for itself: they wake each other, or yield to each other. */
static void nobody_starves_in_its_class_whatever_the_others_do(void **state) {
    (void)state;
    static void (*const selfish[])(uint64_t) = {yield_for_ever, pass_for_ever, compute};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        build(1, seed);
        finished = 0;
        until = machine.now_ns + 2000 * MS;
        uint64_t start = machine.now_ns;
        for (unsigned i = 0; i < 3; i++)
            (void)user_spawn(GMK_PRIORITY_NORMAL, selfish[seed % 3], 0);
        (void)user_spawn(81, finish, 0);
        while (finished == 0)
            machine_run_for(5 * MS);
        assert_true(machine.now_ns - start < 500 * MS);
        until = 0;
        machine_run();
    }
}

static void a_fixed_thread_and_a_realtime_one_are_not_moved(void **state) {
    (void)state;
    build(1, 1);
    until = machine.now_ns + 40 * MS;
    struct who who[4];
    for (unsigned i = 0; i < 4; i++)
        who[i] = user_spawn(i < 2 ? GMK_PRIORITY_NORMAL : GMK_PRIORITY_REALTIME, compute, 0);
    gmk_sched_args_t fixed = {.priority = GMK_PRIORITY_NORMAL, .flags = GMK_SCHED_FIXED};
    assert_int_equal(thread_user_sched(who[0].t, who[0].serial, &fixed), GMK_OK);
    machine_run();
    assert_int_equal(user_info(who[0]).priority, GMK_PRIORITY_NORMAL);
    assert_int_equal(user_info(who[2]).priority, GMK_PRIORITY_REALTIME);
    assert_int_equal(user_info(who[3]).priority, GMK_PRIORITY_REALTIME);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_is_kept_in_every_period_and_used_to_the_full),
        cmocka_unit_test(others_have_the_rest),
        cmocka_unit_test(a_units_budget_holds_for_all_its_threads_on_all_cpus),
        cmocka_unit_test(a_throttled_thread_goes_on_when_its_limit_is_taken_away),
        cmocka_unit_test(a_throttled_thread_can_be_killed_and_suspended),
        cmocka_unit_test(deadlines_are_kept_while_a_hog_computes),
        cmocka_unit_test(who_computes_for_ever_in_the_band_gets_its_budget_and_no_more),
        cmocka_unit_test(the_bands_list_is_in_the_order_of_deadlines_and_heirs_come_first),
        cmocka_unit_test(the_band_admits_nine_tenths_of_each_cpu),
        cmocka_unit_test(what_makes_no_sense_is_refused_and_changes_nothing),
        cmocka_unit_test(who_computes_gives_way_to_who_waits_within_its_class),
        cmocka_unit_test(nobody_starves_in_its_class_whatever_the_others_do),
        cmocka_unit_test(a_fixed_thread_and_a_realtime_one_are_not_moved),
    };
    if (!MACHINE_RUNS) {
        print_message("skipped: this build cannot follow coroutines\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
