/* Test of the end of units: whenever and however it begins, in small steps, and everything they had comes
 * back. */
#include "tests/fake_arch/cap_machine.h"

#define FRAMES  64u
#define OBJECTS 400u

static struct notify a_notify;

static struct unit *make(void) {
    return machine_unit("unit", FRAMES, OBJECTS);
}

static struct thread *thread(struct unit *unit) {
    struct thread *t = NULL;
    assert_int_equal(machine_thread(unit, &t), GMK_OK);
    return t;
}

static gmk_unit_info_t info(struct unit *unit) {
    gmk_unit_info_t i;
    assert_int_equal(unit_info(unit, unit->object.serial, &i), GMK_OK);
    return i;
}

static void watch(struct unit *unit, uint64_t bits) {
    const struct notify_ref ref = {.notify = &a_notify, .serial = 1, .bits = bits};
    assert_int_equal(unit_watch(unit, unit->object.serial, &ref), GMK_OK);
}

/* Its capability goes, the reaper works, and nothing is left. */
static void finish(struct unit *unit) {
    unit_end(unit, unit->object.serial);
    machine_reap();
    machine_free_threads();
    assert_true(root_is_full());
    assert_int_equal(unit_pool.used, 0);
}

static void the_last_threads_status_is_the_units(void **state) {
    (void)state;
    machine_start(6);
    struct unit *unit = make();
    struct thread *a = thread(unit), *b = thread(unit);
    unit_started(unit);
    watch(unit, 0x10);
    machine_exit(a, 1);
    assert_int_equal(info(unit).state, GMK_UNIT_ALIVE);
    machine_exit(b, 2);
    assert_int_equal(info(unit).state, GMK_UNIT_DYING);
    assert_int_equal(machine.signal_count, 0);
    machine_reap();
    assert_int_equal(info(unit).state, GMK_UNIT_DEAD);
    assert_int_equal(info(unit).status, 2);
    assert_int_equal(info(unit).frames_max, 0); /* its budget is gone */
    assert_int_equal(machine.signal_count, 1);
    assert_ptr_equal(machine.signals[0].notify, &a_notify);
    assert_int_equal(machine.signals[0].bits, 0x10);
    watch(unit, 0x20); /* too late: at once */
    assert_int_equal(machine.signal_count, 2);
    assert_int_equal(machine.signals[1].bits, 0x20);
    finish(unit);
}

static void the_first_kill_counts(void **state) {
    (void)state;
    machine_start(7);
    struct unit *unit = make();
    unit_kill(unit, 5); /* before it ever started */
    unit_kill(unit, 6);
    machine_reap();
    unit_kill(unit, 7);
    assert_int_equal(info(unit).status, 5);
    assert_false(machine.submitted);
    finish(unit);
    unit = make();
    struct thread *t = thread(unit);
    unit_started(unit);
    unit_kill(unit, 8);
    machine_exit(t, 9);
    machine_reap();
    assert_int_equal(info(unit).status, 8);
    finish(unit);
}

static void a_dying_unit_accepts_no_threads_and_no_buffers(void **state) {
    (void)state;
    machine_start(8);
    struct unit *unit = make();
    struct thread *t = thread(unit);
    unit_kill(unit, 0);
    struct thread *late;
    assert_int_equal(machine_thread(unit, &late), GMK_ESTATE);
    uint64_t user;
    gmk_msg_t *kernel;
    assert_int_equal(unit_msg_alloc(unit, &user, &kernel), GMK_ESTATE);
    assert_int_equal(t->state, THREAD_NEW); /* the reaper does it, not the call */
    machine_reap();
    assert_int_equal(t->state, THREAD_EXITED);
    assert_int_equal(t->status, GMK_EKILLED);
    finish(unit);
}

static void a_thread_that_ends_its_own_unit_ends_at_once(void **state) {
    (void)state;
    machine_start(19);
    struct unit *unit = make();
    struct thread *t = thread(unit), *other = thread(unit);
    machine.cpu.current = t;
    unit_kill(unit, 4);
    machine.cpu.current = NULL;
    assert_int_equal(t->state, THREAD_EXITED);
    assert_int_equal(other->state, THREAD_NEW);
    machine_reap();
    assert_int_equal(info(unit).status, 4);
    finish(unit);
}

/* Whatever the reaper finds left, the whole table is emptied. */
static void threads_may_be_gone_before_the_reaper_comes(void **state) {
    (void)state;
    machine_start(20);
    for (unsigned gone = 0; gone <= 9; gone++) {
        struct unit *unit = make();
        struct thread *threads[9];
        for (unsigned i = 0; i < 9; i++)
            threads[i] = thread(unit);
        unit_kill(unit, 4);
        for (unsigned i = 0; i < gone; i++)
            machine_exit(threads[i], 0);
        machine_reap();
        assert_int_equal(info(unit).state, GMK_UNIT_DEAD);
        assert_int_equal(info(unit).caps, 0);
        cap_check_table(unit);
        finish(unit);
    }
}

static void the_end_waits_for_a_thread_that_still_runs_elsewhere(void **state) {
    (void)state;
    machine_start(9);
    struct unit *unit = make();
    for (unsigned i = 0; i < 10; i++)
        (void)thread(unit);
    machine.lingering = thread(unit);
    for (unsigned i = 0; i < 10; i++)
        (void)thread(unit);
    unit_kill(unit, 3);
    machine_reap();
    assert_int_equal(info(unit).state, GMK_UNIT_DYING);
    assert_int_equal(info(unit).threads, 1);
    assert_int_equal(machine.steps, 0); /* its space is in use */
    machine_leave_cpu();
    machine_reap();
    assert_int_equal(info(unit).state, GMK_UNIT_DEAD);
    finish(unit);
}

static void what_it_had_ends_and_what_others_hold_comes_back_later(void **state) {
    (void)state;
    machine_start(10);
    struct unit *unit = make(), *other = make();
    static struct object mine;
    mine = machine_object(GMK_CAP_PORT);
    mine.factory = unit->factory;
    assert_int_equal(factory_take_object(unit->factory), GMK_OK);
    assert_true(cap_insert(unit, &mine, 31, 0) > 0);
    /* A thread of it, whose capability another unit has. */
    struct thread *t = thread(unit);
    int64_t handle = cap_insert(other, &t->object, 31, 0);
    assert_true(handle > 0);
    unit_started(unit);
    machine_exit(t, 1);
    machine_reap();
    assert_int_equal(machine.ended_count, 1);
    assert_ptr_equal(machine.ended[0], &mine);
    uint64_t free = machine_root->objects_free;
    unit_end(unit, unit->object.serial);
    assert_int_equal(machine_root->objects_free, free + 1); /* its budget is still charged */
    assert_int_equal(cap_drop(other, (uint32_t)handle), GMK_OK);
    assert_int_equal(machine_root->objects_free, free + 2 + OBJECTS);
    finish(other);
}

static void units_may_hold_each_other_and_themselves(void **state) {
    (void)state;
    machine_start(11);
    struct unit *a = make(), *b = make(), *c = make();
    assert_true(cap_insert(a, &b->object, 31, 0) > 0);
    assert_true(cap_insert(b, &c->object, 31, 0) > 0);
    assert_true(cap_insert(c, &a->object, 31, 0) > 0);
    struct unit *self = make();
    assert_true(cap_insert(self, &self->object, 31, 0) > 0);
    unit_kill(self, 1);
    unit_kill(b, 1);
    machine_reap();
    assert_true(root_is_full());
    assert_int_equal(unit_pool.used, 0);
    assert_int_equal(machine.signal_count, 0);
}

static void its_capability_may_go_at_any_moment(void **state) {
    (void)state;
    for (unsigned when = 0; when < 200; when++) {
        machine_start(12);
        struct unit *unit = make();
        uint32_t serial = unit->object.serial;
        for (unsigned i = 0; i < 9; i++)
            (void)thread(unit);
        static struct object things[20];
        for (unsigned i = 0; i < 20; i++) {
            things[i] = machine_object(GMK_CAP_NOTIFY);
            assert_true(cap_insert(unit, &things[i], 31, 0) > 0);
        }
        unit_kill(unit, 0);
        unsigned steps = 0;
        machine.submitted = false;
        while (steps < when && reap_some())
            steps++;
        unit_end(unit, serial);
        unit_end(unit, serial);
        reaper.scheduled = machine.submitted = true; /* the task that was in the middle of it */
        machine_reap();
        assert_int_equal(machine.ended_count, 20);
        machine_free_threads();
        assert_true(root_is_full());
        assert_int_equal(unit_pool.used, 0);
        if (steps < when)
            return;
    }
    fail();
}

/* ---- Steps -------------------------------------------------------------------------------------------- */

static void a_large_unit_ends_in_many_small_steps(void **state) {
    (void)state;
    machine_start(13);
    struct unit *unit = make(), *small = make();
    for (unsigned i = 0; i < 200; i++)
        (void)thread(unit);
    static struct object things[MACHINE_LOG - 10];
    for (unsigned i = 0; i < 200; i++) {
        things[i] = machine_object(GMK_CAP_NOTIFY);
        assert_true(cap_insert(unit, &things[i], 31, 0) > 0);
    }
    unit_kill(unit, 0);
    unit_kill(small, 0);
    machine.submitted = false;
    unsigned steps = 0, small_steps = 0, ended = 0;
    uint32_t threads = unit->thread_count;
    while (reap_some()) {
        steps++;
        assert_true(threads - unit->thread_count <= REAPER_THREADS);
        threads = unit->thread_count;
        assert_true(machine.ended_count - ended <= REAPER_CAPS);
        ended = machine.ended_count;
        if (small->state == GMK_UNIT_DEAD && small_steps == 0)
            small_steps = steps;
    }
    assert_true(steps >= 200 / REAPER_THREADS + 200 / REAPER_CAPS);
    assert_true(small_steps < 20); /* it does not wait behind the large one */
    unit_end(small, small->object.serial);
    finish(unit);
}

static void a_full_engine_is_asked_again_later(void **state) {
    (void)state;
    machine_start(14);
    struct unit *a = make(), *b = make();
    machine.submit_status = GMK_EAGAIN;
    unit_kill(a, 1);
    assert_false(machine.submitted);
    assert_non_null(machine.timer);
    unit_kill(b, 2); /* the timer is enough for both */
    for (unsigned i = 0; i < 3; i++) {
        struct timer *timer = machine.timer;
        machine.timer = NULL;
        if (i == 2)
            machine.submit_status = GMK_OK;
        timer->fn(timer);
    }
    assert_null(machine.timer);
    machine_reap();
    assert_int_equal(info(a).state, GMK_UNIT_DEAD);
    assert_int_equal(info(b).state, GMK_UNIT_DEAD);
    unit_end(a, a->object.serial);
    finish(b);
    /* Going down: nobody is asked any more. */
    a = make();
    machine.submit_status = GMK_EHALTED;
    unit_kill(a, 1);
    assert_null(machine.timer);
    machine.submit_status = GMK_OK;
    reaper_wake();
    finish(a);
}

static void large_memory_and_ports_are_reaped_too(void **state) {
    (void)state;
    machine_start(15);
    for (unsigned which = 0; which < 3; which++) {
        machine.memory_left = which != 0; /* two steps each */
        machine.ports_left = which != 1;
        reaper_wake();
        reaper_wake();
        assert_true(machine.submitted);
        machine_reap();
        assert_false(machine.memory_left);
        assert_false(machine.ports_left);
        assert_false(reaper.scheduled);
        assert_false(reaper.other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_threads_status_is_the_units),
        cmocka_unit_test(the_first_kill_counts),
        cmocka_unit_test(a_dying_unit_accepts_no_threads_and_no_buffers),
        cmocka_unit_test(a_thread_that_ends_its_own_unit_ends_at_once),
        cmocka_unit_test(threads_may_be_gone_before_the_reaper_comes),
        cmocka_unit_test(the_end_waits_for_a_thread_that_still_runs_elsewhere),
        cmocka_unit_test(what_it_had_ends_and_what_others_hold_comes_back_later),
        cmocka_unit_test(units_may_hold_each_other_and_themselves),
        cmocka_unit_test(its_capability_may_go_at_any_moment),
        cmocka_unit_test(a_large_unit_ends_in_many_small_steps),
        cmocka_unit_test(a_full_engine_is_asked_again_later),
        cmocka_unit_test(large_memory_and_ports_are_reaped_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
