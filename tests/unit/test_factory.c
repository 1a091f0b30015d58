/* Test of factories and of the lives of objects: budgets are exact, an end waits for what was taken, and
 * memory goes to a new life only when nobody uses it. */
#include "tests/fake_arch/cap_machine.h"

#define SEEDS 200u
#define STEPS 400u
#define MOST  24u

static uint64_t frames_of(const struct factory *f) {
    return f->frames_max - f->frames_free;
}
static uint64_t objects_of(const struct factory *f) {
    return f->objects_max - f->objects_free;
}

static struct factory *split(struct factory *parent, uint64_t frames, uint64_t objects) {
    int status;
    struct factory *child = factory_split(parent, frames, objects, &status);
    assert_int_equal(status, GMK_OK);
    assert_non_null(child);
    return child;
}

static void end(struct factory *f) {
    factory_end(f, f->object.serial);
}

/* ---- Budgets ------------------------------------------------------------------------------- */

static void a_budget_gives_exactly_what_it_has(void **state) {
    (void)state;
    machine_start(1);
    struct factory *f = split(machine_root, 10, 2);
    assert_int_equal(factory_take_frames(f, 11), GMK_EBUDGET);
    assert_int_equal(factory_take_frames(f, 10), GMK_OK);
    assert_int_equal(factory_take_frames(f, 1), GMK_EBUDGET);
    assert_int_equal(factory_take_frames(f, 0), GMK_OK);
    assert_int_equal(factory_take_frames(f, UINT64_MAX), GMK_EBUDGET);
    assert_int_equal(factory_take_object(f), GMK_OK);
    assert_int_equal(factory_take_object(f), GMK_OK);
    assert_int_equal(factory_take_object(f), GMK_EBUDGET);
    assert_int_equal(factory_take_frames(NULL, 1000), GMK_OK);
    factory_give_frames(NULL, 1000);
    factory_give_frames(f, 10);
    factory_give_object(f);
    factory_give_object(f);
    assert_int_equal(frames_of(f) + objects_of(f), 0);
    end(f);
    assert_true(root_is_full());
}

static void a_split_takes_from_the_parent_or_nothing_at_all(void **state) {
    (void)state;
    machine_start(2);
    struct factory *f = split(machine_root, 10, 5);
    int status;
    assert_null(factory_split(f, 11, 0, &status));
    assert_int_equal(status, GMK_EBUDGET);
    assert_null(factory_split(f, 10, 6, &status));
    assert_int_equal(status, GMK_EBUDGET);
    assert_null(factory_split(f, 10, 5, &status)); /* nothing is left for itself */
    assert_int_equal(status, GMK_EBUDGET);
    assert_null(factory_split(f, UINT64_MAX, UINT64_MAX, &status));
    assert_int_equal(frames_of(f) + objects_of(f), 0);
    struct factory *child = split(f, 10, 4);
    assert_int_equal(frames_of(f), 10);
    assert_int_equal(objects_of(f), 5);
    end(child);
    assert_int_equal(frames_of(f) + objects_of(f), 0);
    end(f);
    assert_true(root_is_full());
}

static void splitting_has_a_depth_and_an_end_goes_up_all_of_it(void **state) {
    (void)state;
    machine_start(3);
    struct factory *chain[FACTORY_DEPTH_MAX];
    struct factory *parent = machine_root;
    for (unsigned i = 0; i < FACTORY_DEPTH_MAX; i++)
        parent = chain[i] = split(parent, 100 - i, 100 - 2 * i);
    int status;
    assert_null(factory_split(parent, 0, 0, &status));
    assert_int_equal(status, GMK_ELIMIT);
    assert_int_equal(factory_take_frames(parent, 1), GMK_OK);
    for (unsigned i = 0; i < FACTORY_DEPTH_MAX; i++)
        end(chain[i]);
    assert_false(root_is_full());
    assert_int_equal(factory_pool.used, 1 + FACTORY_DEPTH_MAX);
    factory_give_frames(parent, 1); /* the last thing that was missing */
    assert_true(root_is_full());
    assert_int_equal(factory_pool.used, 1);
}

static void an_ended_factory_waits_for_frames_and_objects(void **state) {
    (void)state;
    machine_start(4);
    struct factory *f = split(machine_root, 4, 4);
    assert_int_equal(factory_take_frames(f, 2), GMK_OK);
    assert_int_equal(factory_take_object(f), GMK_OK);
    uint32_t serial = f->object.serial;
    factory_end(f, serial + 1); /* another life's */
    assert_false(f->ended);
    factory_end(f, serial);
    factory_end(f, serial); /* it is over */
    factory_give_frames(f, 1);
    factory_give_object(f);
    assert_false(root_is_full());
    assert_int_equal(factory_take_frames(f, 1), GMK_OK); /* who holds it may still take */
    factory_give_frames(f, 2);
    assert_true(root_is_full());
    assert_int_equal(factory_take_frames(f, 1), GMK_EBUDGET); /* gone: nothing is there */
}

/* ---- Trees of them ------------------------------------------------------------------------ */

static struct {
    struct factory *all[MOST];
    unsigned count;
    struct charge {
        struct factory *factory;
        uint64_t frames;
    } charges[STEPS];
    unsigned charged;
} tree;

static void give_one_back(unsigned at) {
    factory_give_frames(tree.charges[at].factory, tree.charges[at].frames);
    tree.charges[at] = tree.charges[--tree.charged];
}

static void tree_step(void) {
    struct factory *f = tree.all[machine_random(tree.count)];
    uint64_t n = machine_random(20), what = machine_random(16);
    int status;
    if (what < 5) {
        struct factory *child = tree.count < MOST ? factory_split(f, n, n, &status) : NULL;
        if (child != NULL)
            tree.all[tree.count++] = child;
    } else if (what < 10) {
        if (factory_take_frames(f, n) == GMK_OK)
            tree.charges[tree.charged++] = (struct charge){f, n};
    } else if (what < 15) {
        if (tree.charged > 0)
            give_one_back((unsigned)machine_random(tree.charged));
    } else if (tree.count > 1) {
        unsigned at = 1 + (unsigned)machine_random(tree.count - 1);
        end(tree.all[at]);
        tree.all[at] = tree.all[--tree.count];
    }
    for (unsigned i = 0; i < tree.count; i++)
        assert_true(tree.all[i]->frames_free <= tree.all[i]->frames_max);
}

/* Charged and ended in random order: never more than there is, and in the end all of it is back. */
static void random_trees_come_back_exactly(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        machine_start(seed);
        tree.all[0] = machine_root;
        tree.count = 1;
        tree.charged = 0;
        for (unsigned step = 0; step < STEPS; step++)
            tree_step();
        while (tree.charged > 0)
            give_one_back(tree.charged - 1);
        while (tree.count > 1)
            end(tree.all[--tree.count]);
        assert_true(root_is_full());
        assert_int_equal(factory_pool.used, 1);
    }
}

/* ---- Objects ----------------------------------------------------------------------------------- */

static struct object_pool small = OBJECT_POOL(GMK_CAP_PORT, LOCK_PORT, 200, 50);
static struct object_pool large = OBJECT_POOL(GMK_CAP_MEMORY, LOCK_MEMORY, 9000, 3);

static void finish(struct object_pool *pool, struct object *object) {
    object_end_locked(object);
    object_free(pool, object);
}

static void objects_have_serials_room_and_a_limit(void **state) {
    (void)state;
    machine_start(5);
    struct factory *f = split(machine_root, 0, 100);
    struct object *made[50];
    int status;
    for (unsigned i = 0; i < 50; i++) {
        made[i] = object_new(&small, f, &status);
        assert_non_null(made[i]);
        assert_int_equal((uintptr_t)made[i] % OBJECT_ALIGN, 0);
        assert_int_equal(made[i]->type, GMK_CAP_PORT);
        assert_int_equal(made[i]->lock.class, LOCK_PORT);
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(made[k]->serial, made[i]->serial);
            assert_true((char *)made[k] + 200 <= (char *)made[i] ||
                        (char *)made[i] + 200 <= (char *)made[k]);
        }
        memset(made[i] + 1, 0xff, 200 - sizeof(struct object)); /* all of it is ours */
    }
    assert_null(object_new(&small, f, &status));
    assert_int_equal(status, GMK_ELIMIT);
    assert_int_equal(objects_of(f), 50);
    struct object *memory = object_new(&large, f, &status);
    memset(memory + 1, 0xff, 9000 - sizeof(struct object));
    finish(&large, memory);
    for (unsigned i = 0; i < 50; i++)
        finish(&small, made[i]);
    assert_int_equal(objects_of(f), 0);
    int64_t frames = machine.frames;
    for (unsigned i = 0; i < 50; i++)
        made[i] = object_new(&small, f, &status);
    assert_int_equal(machine.frames, frames); /* the same memory again */
    for (unsigned i = 0; i < 50; i++)
        finish(&small, made[i]);
    end(f);
    assert_true(root_is_full());
}

static void memory_that_is_held_is_not_used_again(void **state) {
    (void)state;
    machine_start(6);
    int status;
    struct object *first = object_new(&large, NULL, &status);
    uint32_t serial = first->serial;
    assert_false(object_hold(first, serial + 1));
    assert_int_equal(first->holds, 0);
    assert_true(object_hold(first, serial));
    assert_true(object_hold(first, serial));
    finish(&large, first);
    assert_int_equal(large.used, 1);
    assert_false(object_hold(first, serial)); /* it is over, but this changes nothing */
    struct object *second = object_new(&large, NULL, &status);
    assert_ptr_not_equal(second, first);
    object_release(first);
    assert_int_equal(large.used, 2);
    object_release(first);
    assert_int_equal(large.used, 1);
    struct object *third = object_new(&large, NULL, &status);
    assert_ptr_equal(third, first);
    assert_int_not_equal(third->serial, serial);
    assert_false(object_hold(third, serial));
    finish(&large, second);
    finish(&large, third);
    assert_int_equal(large.used, 0);
}

static void a_locked_look_tells_this_life_from_another(void **state) {
    (void)state;
    machine_start(7);
    int status;
    struct object *object = object_new(&large, NULL, &status);
    uint32_t serial = object->serial;
    assert_true(object_enter(object, serial));
    object_end_locked(object);
    object_leave(object);
    assert_false(object_enter(object, serial));
    object_free(&large, object);
    object = object_new(&large, NULL, &status);
    assert_false(object_enter(object, serial));
    assert_int_equal(machine.cpu.locks_held, 0);
    finish(&large, object);
    large.last_serial = UINT32_MAX;
    object = object_new(&large, NULL, &status);
    assert_int_equal(object->serial, 1); /* 0 is nobody's */
    finish(&large, object);
}

static void without_a_frame_nothing_is_charged(void **state) {
    (void)state;
    machine_start(8);
    static struct object_pool fresh = OBJECT_POOL(GMK_CAP_PORT, LOCK_PORT, 100, 5);
    struct factory *f = split(machine_root, 0, 1);
    int status;
    machine.fail_after = 1;
    assert_null(object_new(&fresh, f, &status));
    assert_int_equal(status, GMK_ENOMEM);
    assert_int_equal(objects_of(f), 0);
    assert_int_equal(fresh.used, 0);
    struct object *object = object_new(&fresh, f, &status);
    assert_non_null(object);
    assert_null(object_new(&fresh, f, &status));
    assert_int_equal(status, GMK_EBUDGET);
    finish(&fresh, object);
    end(f);
    assert_true(root_is_full());
}

static void numbers_of_objects_tell_them_apart_and_nothing_else(void **state) {
    (void)state;
    machine_start(9);
    int status;
    struct object *a = object_new(&small, NULL, &status), *b = object_new(&small, NULL, &status);
    uint64_t number = object_number(a, a->serial);
    assert_int_equal(number, object_number(a, a->serial));
    assert_int_not_equal(number, object_number(b, b->serial));
    assert_int_not_equal(number, object_number(a, a->serial + 1));
    assert_int_not_equal(number >> 12, (uintptr_t)a >> 12);
    finish(&small, a);
    finish(&small, b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_gives_exactly_what_it_has),
        cmocka_unit_test(a_split_takes_from_the_parent_or_nothing_at_all),
        cmocka_unit_test(splitting_has_a_depth_and_an_end_goes_up_all_of_it),
        cmocka_unit_test(an_ended_factory_waits_for_frames_and_objects),
        cmocka_unit_test(random_trees_come_back_exactly),
        cmocka_unit_test(objects_have_serials_room_and_a_limit),
        cmocka_unit_test(memory_that_is_held_is_not_used_again),
        cmocka_unit_test(a_locked_look_tells_this_life_from_another),
        cmocka_unit_test(without_a_frame_nothing_is_charged),
        cmocka_unit_test(numbers_of_objects_tell_them_apart_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
