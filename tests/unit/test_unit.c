/* Test of units: their making, their threads and message buffers, and what can be seen of them. Their end:
 * test_unit_end.c. */
#include "tests/fake_arch/cap_machine.h"

#define FRAMES  64u
#define OBJECTS 400u

static gmk_unit_args_t usual(void) {
    return (gmk_unit_args_t){
        .name = "unit", .frames = FRAMES, .objects = OBJECTS, .priority_max = 100};
}

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

/* Its capability goes, the reaper works, and nothing is left. */
static void finish(struct unit *unit) {
    unit_end(unit, unit->object.serial);
    machine_reap();
    machine_free_threads();
    assert_true(root_is_full());
    assert_int_equal(unit_pool.used, 0);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static void bad_arguments_are_refused_and_cost_nothing(void **state) {
    (void)state;
    machine_start(1);
    struct unit *unit;
    gmk_unit_args_t args = usual();
    memset(args.name, 'x', sizeof(args.name));
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EINVAL);
    args = usual();
    args.flags = 1;
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EINVAL);
    args = usual();
    args.cpu_permille = UNIT_PERMILLE_MAX + 1;
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EINVAL);
    args = usual();
    assert_int_equal(unit_create(machine_root, &args, 99, &unit), GMK_ERANGE);
    args.frames = machine_root->frames_max + 1;
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EBUDGET);
    args = usual();
    args.objects = machine_root->objects_max - 1; /* and two for the unit and its factory */
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EBUDGET);
    args = usual();
    args.frames = 0; /* no page table */
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_EBUDGET);
    assert_true(root_is_full());
    assert_int_equal(unit_pool.used, 0);
}

static void a_unit_that_cannot_be_made_leaves_nothing_behind(void **state) {
    (void)state;
    machine_start(2);
    unsigned failed = 0;
    for (uint32_t n = 1;; n++) {
        gmk_unit_args_t args = usual();
        struct unit *unit;
        machine.fail_after = n;
        int status = unit_create(machine_root, &args, 100, &unit);
        machine.fail_after = 0;
        if (status == GMK_OK) {
            finish(unit);
            break;
        }
        failed++;
        assert_int_equal(status, GMK_ENOMEM);
        assert_true(root_is_full());
        assert_int_equal(unit_pool.used, 0);
    }
    assert_true(failed >= 1); /* at least the page table's root */
    /* Threads: the message buffer's frame. */
    struct unit *unit = make();
    struct thread *t = NULL;
    uint64_t before = unit->factory->frames_free, objects = unit->factory->objects_free;
    machine.fail_after = 1;
    assert_int_equal(machine_thread(unit, &t), GMK_ENOMEM);
    assert_int_equal(unit->factory->frames_free, before);
    assert_int_equal(unit->factory->objects_free, objects);
    assert_int_equal(machine_thread(unit, &t), GMK_OK);
    finish(unit);
}

static void memory_is_made_before_it_is_needed(void **state) {
    (void)state;
    machine_start(22);
    struct unit *made[20];
    unsigned steps = 0;
    for (unsigned i = 0; i < 20; i++) {
        while (unit_prepare())
            steps++;
        assert_int_equal(unit_pool.used, i);
        int64_t frames = machine.frames;
        made[i] = make();
        assert_int_equal(machine.frames, frames + 1); /* its root, and nothing else */
    }
    assert_in_range(steps, 1, 20);
    machine.fail_after = 1;
    (void)unit_prepare(); /* nothing to be had: unit_create() will say so */
    machine.fail_after = 0;
    for (unsigned i = 0; i < 20; i++)
        unit_end(made[i], made[i]->object.serial);
    machine_reap();
    assert_true(root_is_full());
}

static void a_name_cannot_forge_a_line_of_the_log(void **state) {
    (void)state;
    machine_start(21);
    struct unit *unit = machine_unit("a\n[\033 b\377", 2, 2);
    assert_string_equal(unit->name, "a?[? b?");
    finish(unit);
}

static void a_new_unit_is_what_was_asked_for(void **state) {
    (void)state;
    machine_start(3);
    struct unit *unit = make();
    gmk_unit_info_t i = info(unit);
    assert_string_equal(i.name, "unit");
    assert_int_equal(i.state, GMK_UNIT_NEW);
    assert_int_equal(i.frames_max, FRAMES);
    assert_int_equal(i.frames_used, 1); /* the root */
    assert_int_equal(i.objects_max, OBJECTS);
    assert_int_equal(i.objects_used, 0);
    assert_int_equal(i.caps, 2);
    assert_int_equal(machine_root->frames_max - machine_root->frames_free, FRAMES);
    assert_int_equal(machine_root->objects_max - machine_root->objects_free, OBJECTS + 2);
    unit_started(unit);
    assert_int_equal(info(unit).state, GMK_UNIT_ALIVE);
    assert_int_equal(unit_info(unit, unit->object.serial + 1, &i), GMK_EHANDLE);
    finish(unit);
}

/* ---- Threads and their buffers ------------------------------------------------------------------ */

static void threads_have_buffers_of_their_own_and_a_limit(void **state) {
    (void)state;
    machine_start(4);
    struct unit *unit = make();
    struct thread *made[UNIT_THREADS_MAX], *more;
    for (unsigned i = 0; i < UNIT_THREADS_MAX; i++) {
        made[i] = thread(unit);
        made[i]->msg->words[0] = i;
        assert_int_equal(made[i]->msg_user, UNIT_MSG_BASE + i * sizeof(gmk_msg_t));
    }
    for (unsigned i = 0; i < UNIT_THREADS_MAX; i++)
        assert_int_equal(made[i]->msg->words[0], i);
    assert_int_equal(info(unit).frames_used, 1 + UNIT_MSG_PAGES);
    assert_int_equal(machine_thread(unit, &more), GMK_ELIMIT);
    machine_exit(made[77], 0);
    thread_user_end(made[77], made[77]->object.serial);
    more = thread(unit);
    assert_int_equal(more->msg_user, made[77]->msg_user);
    assert_int_equal(info(unit).threads, UNIT_THREADS_MAX);
    finish(unit);
}

static void an_exhausted_budget_refuses_threads_and_buffers(void **state) {
    (void)state;
    machine_start(5);
    struct unit *unit = machine_unit("poor", 2, 9);
    struct thread *t = NULL;
    for (unsigned i = 0; i < 8; i++)
        (void)thread(unit);
    assert_int_equal(machine_thread(unit, &t), GMK_EBUDGET); /* the ninth needs another page */
    assert_int_equal(info(unit).objects_used, 8);
    finish(unit);
    unit = machine_unit("poor", 10, 3);
    for (unsigned i = 0; i < 3; i++)
        (void)thread(unit);
    assert_int_equal(machine_thread(unit, &t), GMK_EBUDGET);
    finish(unit);
}

/* ---- Looking at them --------------------------------------------------------------------------------- */

static void count_unit(void *arg, struct unit *unit) {
    (void)unit;
    ++*(unsigned *)arg;
}
static unsigned count_units(void) {
    unsigned count = 0;
    unit_each(count_unit, &count);
    return count;
}

static void each_unit_is_seen_until_it_is_dead_and_forgotten(void **state) {
    (void)state;
    machine_start(16);
    assert_int_equal(count_units(), 0);
    struct unit *a = make(), *b = make();
    assert_int_equal(count_units(), 2);
    assert_int_not_equal(a->id, b->id);
    assert_int_not_equal(a->index, b->index);
    unit_end(a, a->object.serial);
    assert_int_equal(count_units(), 2);
    machine_reap();
    assert_int_equal(count_units(), 1);
    unit_kill(b, 0);
    machine_reap();
    assert_int_equal(count_units(), 1); /* its status can be read */
    uint32_t id = b->id;
    finish(b);
    a = make();
    assert_true(a->id > id);
    finish(a);
}

static void the_time_of_ended_threads_stays_in_the_account(void **state) {
    (void)state;
    machine_start(17);
    struct unit *unit = make();
    struct thread *a = thread(unit), *b = thread(unit);
    unit_started(unit);
    a->run_cycles = 1000;
    b->run_cycles = 30;
    assert_int_equal(info(unit).run_ns, 1030);
    machine_exit(a, 0);
    assert_int_equal(info(unit).run_ns, 1030);
    b->run_cycles = 50;
    assert_int_equal(info(unit).run_ns, 1050);
    finish(unit);
}

static void there_are_as_many_units_as_places(void **state) {
    (void)state;
    machine_start(18);
    struct unit *made[UNITS_MAX];
    for (unsigned i = 0; i < UNITS_MAX; i++)
        made[i] = machine_unit("unit", 2, 2);
    gmk_unit_args_t args = usual();
    struct unit *more;
    assert_int_equal(unit_create(machine_root, &args, 100, &more), GMK_ELIMIT);
    for (unsigned i = 0; i < UNITS_MAX; i++)
        unit_end(made[i], made[i]->object.serial);
    machine_reap();
    assert_true(root_is_full());
    finish(make());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_refused_and_cost_nothing),
        cmocka_unit_test(a_unit_that_cannot_be_made_leaves_nothing_behind),
        cmocka_unit_test(memory_is_made_before_it_is_needed),
        cmocka_unit_test(a_name_cannot_forge_a_line_of_the_log),
        cmocka_unit_test(a_new_unit_is_what_was_asked_for),
        cmocka_unit_test(threads_have_buffers_of_their_own_and_a_limit),
        cmocka_unit_test(an_exhausted_budget_refuses_threads_and_buffers),
        cmocka_unit_test(each_unit_is_seen_until_it_is_dead_and_forgotten),
        cmocka_unit_test(the_time_of_ended_threads_stays_in_the_account),
        cmocka_unit_test(there_are_as_many_units_as_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
