/* Scheduler, against its invariants: threads that do everything at random, on a machine of make-believe; at
 * every step everything is looked at: the most urgent one runs or is on its way, each ready thread
 * is in one queue, and no Realtime thread waits for long while a CPU runs something less urgent. At
 * the end nobody is lost. */
#include "tests/fake_arch/user_calls.h"

#define ACTORS    10u
#define ACTIONS   60u
#define GRACE     4000u /* steps in which an urgent thread has to find its CPU */
#define END_STEPS 400000u

static struct who actors[ACTORS];
static bool winding_up;
static unsigned urgent_waits; /* steps in a row */

/* ---- The watch ------------------------------------------------------------------------------- */

static unsigned check_list(unsigned cpu, unsigned priority) {
    struct thread *head = runqs[cpu]->heads[priority], *t = head;
    unsigned count = 0;
    assert_non_null(t);
    do {
        assert_int_equal(t->state, THREAD_READY);
        assert_int_equal(t->priority, priority);
        assert_int_equal(t->cpu, cpu);
        assert_true(t->affinity >> cpu & 1);
        assert_ptr_equal(t->next->prev, t);
        if (priority == GMK_PRIORITY_DEADLINE && t->next != head)
            assert_true(t->deadline <= t->next->deadline);
        count++;
        t = t->next;
    } while (t != head);
    return count;
}

/* Lists that are not marked are looked at now and then. */
static unsigned check_queue(unsigned i) {
    struct runq *rq = runqs[i];
    unsigned count = 0;
    int top = IDLE_PRIORITY;
    for (unsigned w = 0; w < QUEUE_WORDS; w++) {
        assert_int_equal((rq->lists >> w & 1) != 0, rq->words[w] != 0);
        for (uint64_t bits = rq->words[w]; bits != 0; bits &= bits - 1) {
            top = (int)(w * 64 + (unsigned)__builtin_ctzll(bits));
            count += check_list(i, (unsigned)top);
        }
    }
    assert_int_equal(runq_top(rq), top);
    for (unsigned p = 0; machine.steps % 256 == 0 && p < THREAD_PRIORITIES; p++)
        assert_int_equal((rq->words[p / 64] >> p % 64 & 1) != 0, rq->heads[p] != NULL);
    return count;
}

static void check_running(unsigned i) {
    struct runq *rq = runqs[i];
    const struct machine_cpu *c = &machine.at[i];
    const struct thread *t = c->cpu.current;
    bool told = c->cpu.resched || rq->kicked || (t->special & SPECIAL_RESCHED) != 0;
    if (t == c->cpu.idle) {
        assert_int_equal(runq_priority(rq), IDLE_PRIORITY);
        /* It sleeps only while there is nothing to do. */
        assert_true(runq_top(rq) == IDLE_PRIORITY || told || !c->idles);
        return;
    }
    if (t->state != THREAD_RUNNING)
        return; /* EXITED, on its last steps */
    assert_int_equal(runq_priority(rq), t->priority);
    if (head_goes_before(rq) && !told)
        fail_msg("CPU %u runs %u (base %u, deadline %llu, special %x), and %u waits (base %u, "
                 "deadline %llu, special %x)",
                 i, t->priority, t->base, (unsigned long long)t->deadline, t->special,
                 rq->heads[runq_top(rq)]->priority, rq->heads[runq_top(rq)]->base,
                 (unsigned long long)rq->heads[runq_top(rq)]->deadline,
                 rq->heads[runq_top(rq)]->special);
    assert_true(!runq_needs_slice(rq, t) || rq->slice_armed || told);
    assert_true((t->special & SPECIAL_AFFINITY) == 0 || (t->affinity >> i & 1) != 0 || told);
}

/* Does a Realtime thread wait that could run elsewhere at once? */
static bool urgent_waits_in_vain(void) {
    for (unsigned i = 0; i < cpu_count; i++) {
        int top = runq_top(runqs[i]);
        for (unsigned j = 0; top >= THREAD_PRIORITY_REALTIME && j < cpu_count; j++)
            if (runq_priority(runqs[j]) < top && (runqs[i]->heads[top]->affinity >> j & 1) != 0)
                return true;
    }
    return false;
}

static void watch(void) {
    unsigned queued = 0, ready = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        if (runqs[i] == NULL || runqs[i]->lock.owner != 0)
            return;
    for (unsigned i = 0; i < cpu_count; i++) {
        queued += check_queue(i);
        check_running(i);
    }
    for (unsigned i = 1; i < pool.made; i++)
        ready += thread_users[i]->state == THREAD_READY;
    for (unsigned i = 0; i < 16; i++) /* idle ones are READY without being queued */
        ready += table[i] != NULL && table[i]->state == THREAD_READY &&
                 strncmp(table[i]->name, "idle", 4) != 0;
    assert_int_equal(queued, ready);
    urgent_waits = urgent_waits_in_vain() ? urgent_waits + 1 : 0;
    if (urgent_waits < GRACE)
        return;
    for (unsigned i = 0; i < cpu_count; i++)
        print_message("CPU %u runs %d, and %d waits\n", i, runq_priority(runqs[i]),
                      runq_top(runqs[i]));
    fail();
}

/* ---- What they do ---------------------------------------------------------------------------------- */

static unsigned any_priority(void) {
    static const uint8_t some[] = {5, 20, 90, 90, 100, 100, 110, 120, 150, 210, 220, 230, 240};
    return some[machine_random(sizeof(some))];
}

static void change_anything(struct who *who) {
    gmk_sched_args_t args = {.priority = (uint16_t)any_priority()};
    if (machine_random(3) == 0)
        args.affinity = 1 + machine_random((1u << cpu_count) - 1);
    if (machine_random(3) == 0)
        args.slice_us = 100;
    if (machine_random(4) == 0)
        args.flags |= GMK_SCHED_FIXED;
    if (machine_random(4) == 0) {
        args.period_ns = 100000 + machine_random(300000);
        args.budget_ns = 20000 + machine_random(50000);
        if (machine_random(2) == 0)
            args.flags |= GMK_SCHED_DEADLINE;
    }
    int status = call_sched(who, &args);
    assert_true(status == GMK_OK || status == GMK_ELIMIT || status == GMK_ESTATE);
}

static uint64_t sys_inherit(uint64_t who, uint64_t priority) {
    struct who *w = (struct who *)(uintptr_t)who;
    machine_user_of(w->t)->inherited = (unsigned)priority;
    machine_inherit(w->t);
    return 0;
}

static void act(void) {
    struct who *who = &actors[machine_random(ACTORS)];
    switch (machine_random(winding_up ? 3 : 12)) {
    case 0:
        call_yield();
        break;
    case 1:
        (void)call_wake(machine_random(2) != 0);
        break;
    case 2:
        work((unsigned)machine_random(200));
        break;
    case 3:
    case 4:
        (void)call_pass();
        break;
    case 5:
        (void)call_wait();
        break;
    case 6:
        (void)call_suspend(who);
        break;
    case 7:
    case 8:
        (void)call_resume(who);
        break;
    case 9:
        change_anything(who);
        break;
    case 10:
        (void)machine_call(sys_inherit, (uint64_t)(uintptr_t)who,
                           machine_random(2) == 0 ? 0 : any_priority());
        break;
    default:
        (void)machine_call(sys_info, (uint64_t)(uintptr_t)who, 0);
        break;
    }
}

static void live(uint64_t arg) {
    (void)arg;
    for (unsigned i = 0; i < ACTIONS; i++)
        act();
    ran++;
}

/* The one that nobody suspends and that needs no priority: it lets everybody go on until all have ended. */
static void wind_up(void *arg) {
    (void)arg;
    uint64_t until = machine.steps + END_STEPS;
    work(20000);
    winding_up = true;
    while (ran < ACTORS) {
        assert_true(machine.steps < until);
        bool irq = arch_irq_disable();
        for (unsigned i = 0; i < ACTORS; i++)
            (void)thread_user_resume(actors[i].t, actors[i].serial);
        while (sys_wake(false, 7) != 0)
            ;
        arch_irq_restore(irq);
        (void)wait_block((_Atomic uint32_t *)&(_Atomic uint32_t){0}, 0, 50000);
    }
}

static void whatever_happens_the_most_urgent_runs_and_nobody_is_lost(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        winding_up = false;
        ran = urgent_waits = 0;
        for (unsigned i = 0; i < ACTORS; i++)
            actors[i] = user_new(any_priority(), live, i, 0);
        for (unsigned i = 0; i < ACTORS; i++)
            assert_int_equal(thread_user_start(actors[i].t, actors[i].serial), GMK_OK);
        (void)spawn(245, -1, wind_up, NULL);
        machine_watch = watch;
        machine_run();
        machine_watch = NULL;
        assert_int_equal(ran, ACTORS);
        for (unsigned i = 0; i < ACTORS; i++)
            thread_user_end(actors[i].t, actors[i].serial);
        check_all_given_back();
        for (unsigned i = 0; i < cpu_count; i++)
            assert_int_equal(bands[i].load, 0);
    }
}

/* The same while threads are killed and made anew. */
static void replace(uint64_t arg) {
    for (unsigned i = 0; i < ACTIONS; i++) {
        struct who *who = &actors[machine_random(ACTORS)];
        act();
        if (machine_random(6) == 0 && arg % 2 == 0)
            call_kill(who, 1);
    }
}

static void whoever_is_killed_meanwhile_nobody_is_lost(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(1 + seed % MACHINE_CPUS, seed);
        winding_up = false;
        urgent_waits = 0;
        for (unsigned i = 0; i < ACTORS; i++)
            actors[i] = user_new(any_priority(), replace, i, 0);
        for (unsigned i = 0; i < ACTORS; i++)
            assert_int_equal(thread_user_start(actors[i].t, actors[i].serial), GMK_OK);
        machine_watch = watch;
        machine_run();
        machine_watch = NULL;
        for (unsigned i = 0; i < ACTORS; i++)
            thread_user_end(actors[i].t, actors[i].serial);
        machine_run();
        check_all_given_back();
        for (unsigned i = 0; i < cpu_count; i++)
            assert_int_equal(bands[i].load, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_the_most_urgent_runs_and_nobody_is_lost),
        cmocka_unit_test(whoever_is_killed_meanwhile_nobody_is_lost),
    };
    if (!MACHINE_RUNS) {
        print_message("skipped: this build cannot follow coroutines\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
