/* Test of capabilities: what a handle gives, what derivation narrows, what taking back takes, and what a
 * full table says. Histories at random: test_cap_model.c. */
#include "tests/fake_arch/cap_machine.h"

#define UNITS   4u
#define OBJECTS 5u

static struct unit *units_of_test[UNITS];
static struct object things[OBJECTS];

static void build(uint64_t seed) {
    machine_start(seed);
    for (unsigned i = 0; i < UNITS; i++)
        units_of_test[i] = machine_unit("test", 10, 10);
    for (unsigned i = 0; i < OBJECTS; i++)
        things[i] = machine_object(GMK_CAP_PORT + i);
}

static void tear_down(void) {
    for (unsigned i = 0; i < UNITS; i++) {
        cap_check_table(units_of_test[i]);
        unit_end(units_of_test[i], units_of_test[i]->object.serial);
    }
    machine_reap();
    assert_true(root_is_full());
}

static int get(struct unit *unit, uint32_t handle, unsigned type, unsigned rights) {
    struct cap_view view;
    return cap_get(unit, unit->caps, handle, type, rights, &view);
}

static uint32_t put(struct unit *unit, struct object *object, unsigned rights) {
    int64_t handle = cap_insert(unit, object, rights, 0);
    assert_true(handle > 0 && handle <= INT32_MAX);
    return (uint32_t)handle;
}

static uint32_t derive(struct unit *from, uint32_t handle, struct unit *to, unsigned rights) {
    int64_t made = cap_derive(from, handle, to, rights, 0);
    assert_true(made > 0);
    return (uint32_t)made;
}

/* ---- Looking up ---------------------------------------------------------------------------- */

static void a_handle_gives_its_object_and_the_first_thing_wrong_is_told(void **state) {
    (void)state;
    build(1);
    struct unit *unit = units_of_test[0];
    uint32_t h = put(unit, &things[0], GMK_RIGHT_READ | GMK_RIGHT_WRITE);
    struct cap_view view;
    assert_int_equal(cap_get(unit, unit->caps, h, GMK_CAP_PORT, GMK_RIGHT_READ, &view), GMK_OK);
    assert_ptr_equal(view.object, &things[0]);
    assert_int_equal(view.serial, things[0].serial);
    assert_int_equal(view.slot, GMK_HANDLE_SLOT(h));
    assert_int_equal(view.depth, 0);
    assert_int_equal(get(unit, h, GMK_CAP_NONE, GMK_RIGHT_WRITE), GMK_OK);
    assert_int_equal(get(unit, h, GMK_CAP_NOTIFY, GMK_RIGHT_MANAGE), GMK_ECAPTYPE);
    assert_int_equal(get(unit, h, GMK_CAP_PORT, GMK_RIGHT_MANAGE), GMK_ERIGHTS);
    assert_int_equal(get(unit, h, GMK_CAP_PORT, GMK_RIGHT_READ | GMK_RIGHT_MANAGE), GMK_ERIGHTS);
    assert_int_equal(get(unit, h ^ 1u << 31, GMK_CAP_PORT, 0), GMK_EHANDLE);
    assert_int_equal(get(unit, h + 256, GMK_CAP_NOTIFY, 0), GMK_EHANDLE);
    assert_int_equal(get(units_of_test[1], h, GMK_CAP_PORT, 0), GMK_EHANDLE);
    for (unsigned slot = 0; slot < 256; slot++)
        for (unsigned generation = 0; generation < 4; generation++) {
            uint32_t forged = GMK_HANDLE(slot, generation);
            if (forged != h && forged != GMK_SELF_UNIT && forged != GMK_SELF_FACTORY)
                assert_int_equal(get(unit, forged, GMK_CAP_NONE, 0), GMK_EHANDLE);
        }
    tear_down();
}

static void stale_handles_stay_refused_as_long_as_there_are_generations(void **state) {
    (void)state;
    build(2);
    struct unit *unit = units_of_test[0];
    uint32_t first = put(unit, &things[0], 1);
    cap_drop(unit, first);
    things[0] = machine_object(GMK_CAP_PORT);
    assert_int_equal(get(unit, first, GMK_CAP_NONE, 0), GMK_EHANDLE);
    /* Slots come in turn: the same one only after all others. */
    unsigned turn = 0;
    uint32_t h = first;
    do {
        h = put(unit, &things[0], 1);
        assert_int_equal(cap_drop(unit, h), GMK_OK);
        things[0] = machine_object(GMK_CAP_PORT);
        machine.ended_count = 0;
        turn++;
    } while (GMK_HANDLE_SLOT(h) != GMK_HANDLE_SLOT(first));
    assert_int_equal(turn, GMK_CAPS_MAX - 3); /* all but 0, 1, 2 */
    assert_int_equal(h >> 8, (first >> 8) + 1);
    assert_int_equal(get(unit, first, GMK_CAP_NONE, 0), GMK_EHANDLE);
    /* A generation is never 0, also when it has gone round. */
    struct cap *cap = &unit->caps[GMK_HANDLE_SLOT(first)];
    atomic_store(&cap->head, CAP_HEAD(GMK_CAP_NONE, 0, 0, CAP_GENERATION_MASK));
    unit->caps_last = (uint8_t)(GMK_HANDLE_SLOT(first) - 1);
    h = put(unit, &things[0], 1);
    assert_int_equal(h, GMK_HANDLE(GMK_HANDLE_SLOT(first), 1));
    cap_drop(unit, h);
    tear_down();
}

static void a_full_table_says_so_and_changes_nothing(void **state) {
    (void)state;
    build(3);
    struct unit *unit = units_of_test[0], *other = units_of_test[1];
    uint32_t first = put(unit, &things[0], GMK_RIGHTS_ALL), last = first;
    for (unsigned i = 0; i < GMK_CAPS_MAX - 4; i++)
        last = derive(unit, first, unit, 1);
    assert_int_equal(cap_count(unit), GMK_CAPS_MAX - 1);
    assert_int_equal(cap_insert(unit, &things[1], 1, 0), GMK_ELIMIT);
    assert_int_equal(cap_derive(unit, first, unit, 1, 0), GMK_ELIMIT);
    uint32_t theirs = put(other, &things[1], GMK_RIGHTS_ALL);
    assert_int_equal(cap_move(other, theirs, unit), GMK_ELIMIT);
    assert_int_equal(get(other, theirs, GMK_CAP_NONE, GMK_RIGHTS_ALL), GMK_OK);
    /* A slot that was revoked, but nobody has looked at since, is as good as free. */
    assert_int_equal(cap_revoke(unit, first), GMK_OK);
    assert_int_equal(cap_count(unit), GMK_CAPS_MAX - 1);
    assert_true(cap_move(other, theirs, unit) > 0);
    assert_int_equal(get(unit, last, GMK_CAP_NONE, 0), GMK_EHANDLE);
    cap_check_table(unit);
    tear_down();
}

/* ---- Deriving ----------------------------------------------------------------------------------- */

static void derivation_only_narrows(void **state) {
    (void)state;
    build(4);
    struct unit *unit = units_of_test[0], *other = units_of_test[1];
    for (unsigned have = 0; have <= GMK_RIGHTS_ALL; have++) {
        uint32_t h = put(unit, &things[0], have);
        for (unsigned want = 0; want <= 64; want++)
            for (unsigned leaves = 0; leaves < 2; leaves++) {
                bool good = (want & ~have) == 0 && (!leaves || (have & GMK_RIGHT_GRANT) != 0);
                struct unit *to = leaves ? other : unit;
                int64_t made = cap_derive(unit, h, to, want, 0);
                assert_true(good ? made > 0 : made == GMK_ERIGHTS);
                if (!good)
                    continue;
                assert_int_equal(get(to, (uint32_t)made, GMK_CAP_PORT, want), GMK_OK);
                if (want != GMK_RIGHTS_ALL)
                    assert_int_equal(get(to, (uint32_t)made, GMK_CAP_PORT, GMK_RIGHTS_ALL),
                                     GMK_ERIGHTS);
                assert_int_equal(cap_drop(to, (uint32_t)made), GMK_OK);
            }
        assert_int_equal(machine.ended_count, 0); /* dropping what is derived ends nothing */
        cap_drop(unit, h);
        assert_int_equal(machine.ended_count, 1);
        machine.ended_count = 0;
        things[0] = machine_object(GMK_CAP_PORT);
    }
    tear_down();
}

static void a_badge_is_set_once(void **state) {
    (void)state;
    build(5);
    struct unit *unit = units_of_test[0];
    struct cap_view view;
    uint32_t h = put(unit, &things[0], GMK_RIGHTS_ALL);
    uint32_t badged = (uint32_t)cap_derive(unit, h, unit, 2, UINT64_MAX);
    assert_int_equal(cap_get(unit, unit->caps, badged, 0, 0, &view), GMK_OK);
    assert_int_equal(view.badge, UINT64_MAX);
    assert_int_equal(cap_derive(unit, badged, unit, 2, 7), GMK_EINVAL);
    uint32_t same = derive(unit, badged, unit, 2);
    assert_int_equal(cap_get(unit, unit->caps, same, 0, 0, &view), GMK_OK);
    assert_int_equal(view.badge, UINT64_MAX);
    tear_down();
}

static void derivation_has_a_depth(void **state) {
    (void)state;
    build(6);
    struct unit *unit = units_of_test[0];
    uint32_t chain[GMK_CAP_DEPTH_MAX + 1] = {put(unit, &things[0], GMK_RIGHTS_ALL)};
    for (unsigned i = 1; i <= GMK_CAP_DEPTH_MAX; i++)
        chain[i] = derive(unit, chain[i - 1], unit, GMK_RIGHTS_ALL);
    assert_int_equal(cap_derive(unit, chain[GMK_CAP_DEPTH_MAX], unit, 1, 0), GMK_ELIMIT);
    for (unsigned i = 0; i <= GMK_CAP_DEPTH_MAX; i++)
        assert_int_equal(get(unit, chain[i], GMK_CAP_PORT, 31), GMK_OK);
    assert_int_equal(cap_revoke(unit, chain[3]), GMK_OK);
    for (unsigned i = 0; i <= GMK_CAP_DEPTH_MAX; i++)
        assert_int_equal(get(unit, chain[i], GMK_CAP_PORT, 31), i <= 3 ? GMK_OK : GMK_EHANDLE);
    tear_down();
}

/* What the kernel put into a new unit does not end when it is dropped, and hands on. */
static void what_the_kernel_gave_is_not_the_units_to_end(void **state) {
    (void)state;
    build(7);
    struct unit *unit = units_of_test[0];
    struct factory *factory = unit->factory;
    assert_int_equal(get(unit, GMK_SELF_UNIT, GMK_CAP_UNIT, 1 | 2 | 8), GMK_OK);
    assert_int_equal(get(unit, GMK_SELF_UNIT, GMK_CAP_UNIT, GMK_RIGHT_MANAGE), GMK_ERIGHTS);
    assert_int_equal(get(unit, GMK_SELF_FACTORY, GMK_CAP_FACTORY, 1 | 2 | 16), GMK_OK);
    uint32_t mine = derive(unit, GMK_SELF_FACTORY, unit, 1);
    assert_int_equal(cap_drop(unit, GMK_SELF_FACTORY), GMK_OK);
    assert_int_equal(cap_drop(unit, GMK_SELF_UNIT), GMK_OK);
    assert_int_equal(get(unit, mine, GMK_CAP_NONE, 0), GMK_EHANDLE);
    assert_int_equal(unit->state, GMK_UNIT_NEW);
    assert_false(factory->ended);
    tear_down();
}

/* ---- Taking back ------------------------------------------------------------------------------------ */

static void revoking_without_children_costs_nobody_a_walk(void **state) {
    (void)state;
    build(8);
    struct unit *unit = units_of_test[0];
    uint32_t h = put(unit, &things[0], GMK_RIGHTS_ALL);
    uint64_t before = cap_revocations;
    assert_int_equal(cap_revoke(unit, h), GMK_OK);
    assert_int_equal(cap_revocations, before);
    uint32_t child = derive(unit, h, unit, 1);
    assert_int_equal(cap_revoke(unit, h), GMK_OK);
    assert_int_equal(cap_revocations, before + 1);
    assert_int_equal(cap_revoke(unit, h), GMK_OK);
    assert_int_equal(cap_revocations, before + 1);
    assert_int_equal(get(unit, child, GMK_CAP_NONE, 0), GMK_EHANDLE);
    assert_int_equal(cap_revoke(unit, child), GMK_EHANDLE);
    assert_int_equal(cap_drop(unit, child), GMK_EHANDLE);
    tear_down();
}

static void a_moved_capability_keeps_its_depth_and_loses_its_children(void **state) {
    (void)state;
    build(9);
    struct unit *a = units_of_test[0], *b = units_of_test[1];
    uint32_t h = put(a, &things[0], GMK_RIGHTS_ALL), child = derive(a, h, b, 31);
    int64_t moved = cap_move(a, h, b);
    assert_true(moved > 0);
    assert_int_equal(get(a, h, GMK_CAP_NONE, 0), GMK_EHANDLE);
    assert_int_equal(get(b, child, GMK_CAP_NONE, 0), GMK_EHANDLE);
    assert_int_equal(machine.ended_count, 0);
    uint32_t weak = put(a, &things[1], GMK_RIGHTS_ALL & ~(unsigned)GMK_RIGHT_GRANT);
    assert_int_equal(cap_move(a, weak, b), GMK_ERIGHTS);
    assert_true(cap_move(a, weak, a) > 0); /* within the table nothing leaves */
    assert_int_equal(cap_move(a, weak, a), GMK_EHANDLE);
    assert_int_equal(cap_drop(b, (uint32_t)moved), GMK_OK);
    assert_int_equal(machine.ended_count, 1);
    assert_ptr_equal(machine.ended[0], &things[0]);
    tear_down();
}

static void what_the_kernel_gave_ends_with_the_unit_that_got_it(void **state) {
    (void)state;
    build(12);
    struct unit *a = units_of_test[0], *b = units_of_test[1];
    cap_insert_at(a, 3, &things[0], GMK_RIGHTS_ALL, 0);
    uint32_t granted = derive(a, GMK_HANDLE(3, 1), b, 31);
    int64_t moved = cap_move(a, GMK_HANDLE(3, 1), b);
    assert_true(moved > 0);
    assert_int_equal(get(b, granted, GMK_CAP_NONE, 0), GMK_EHANDLE);
    assert_int_equal(get(b, (uint32_t)moved, GMK_CAP_PORT, 31), GMK_OK);
    unit_kill(a, 0);
    assert_int_equal(get(b, (uint32_t)moved, GMK_CAP_PORT, 31), GMK_EHANDLE);
    machine_reap();
    assert_int_equal(machine.ended_count, 0); /* it was the kernel's */
    tear_down();
}

static void a_dying_unit_takes_nothing(void **state) {
    (void)state;
    build(10);
    struct unit *a = units_of_test[0], *b = units_of_test[1];
    uint32_t h = put(a, &things[0], GMK_RIGHTS_ALL);
    unit_kill(b, 5);
    assert_int_equal(cap_derive(a, h, b, 1, 0), GMK_ESTATE);
    assert_int_equal(cap_move(a, h, b), GMK_ESTATE);
    assert_int_equal(cap_insert(b, &things[1], 1, 0), GMK_ESTATE);
    assert_int_equal(get(a, h, GMK_CAP_PORT, 31), GMK_OK);
    machine_reap();
    assert_int_equal(cap_derive(a, h, b, 1, 0), GMK_ESTATE);
    tear_down();
}

/* A search has a bound; what it did not reach, the next one does. */
static void a_revoked_slot_is_found_after_a_bounded_number_of_searches(void **state) {
    (void)state;
    build(13);
    struct unit *unit = units_of_test[0];
    uint32_t other = put(unit, &things[1], GMK_RIGHTS_ALL);
    uint32_t deep = put(unit, &things[0], GMK_RIGHTS_ALL);
    for (unsigned i = 1; i < GMK_CAP_DEPTH_MAX; i++)
        deep = derive(unit, deep, unit, GMK_RIGHTS_ALL);
    (void)derive(unit, other, unit, 1);
    while (cap_derive(unit, deep, unit, 1, 0) > 0)
        continue;
    for (unsigned start = 0; start < GMK_CAPS_MAX; start += 15) {
        unit->caps_sweep = (uint8_t)start;
        assert_int_equal(cap_revoke(unit, other), GMK_OK);
        unsigned tries = 1;
        int64_t made;
        while ((made = cap_derive(unit, other, unit, 1, 0)) == GMK_ELIMIT)
            tries++;
        assert_true(made > 0);
        assert_true(tries <= GMK_CAPS_MAX * GMK_CAP_DEPTH_MAX / CAP_SWEEP_LEVELS + 1);
    }
    tear_down();
}

/* Nobody looks at what was revoked, so the table is full of it, and each new one needs a search. */
static void a_storm_of_revoked_chains_harms_nobody_else(void **state) {
    (void)state;
    build(11);
    struct unit *unit = units_of_test[0];
    uint32_t root = put(unit, &things[0], GMK_RIGHTS_ALL);
    uint32_t other = put(unit, &things[1], GMK_RIGHTS_ALL), child = derive(unit, other, unit, 1);
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t chain[6] = {derive(unit, root, unit, GMK_RIGHTS_ALL)};
        for (unsigned i = 1; i < 6; i++)
            chain[i] = derive(unit, chain[i - 1], unit, GMK_RIGHTS_ALL);
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(get(unit, chain[i], GMK_CAP_PORT, 31), GMK_OK);
        assert_int_equal(cap_revoke(unit, root), GMK_OK);
        if (round % 2 == 0)
            assert_int_equal(get(unit, chain[round % 6], GMK_CAP_PORT, 31), GMK_EHANDLE);
        assert_int_equal(get(unit, GMK_SELF_UNIT, GMK_CAP_UNIT, 1), GMK_OK);
        assert_int_equal(get(unit, GMK_SELF_FACTORY, GMK_CAP_FACTORY, 1), GMK_OK);
        assert_int_equal(get(unit, child, GMK_CAP_PORT + 1, 1), GMK_OK);
        cap_check_table(unit);
    }
    tear_down();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_gives_its_object_and_the_first_thing_wrong_is_told),
        cmocka_unit_test(stale_handles_stay_refused_as_long_as_there_are_generations),
        cmocka_unit_test(a_full_table_says_so_and_changes_nothing),
        cmocka_unit_test(derivation_only_narrows),
        cmocka_unit_test(a_badge_is_set_once),
        cmocka_unit_test(derivation_has_a_depth),
        cmocka_unit_test(what_the_kernel_gave_is_not_the_units_to_end),
        cmocka_unit_test(revoking_without_children_costs_nobody_a_walk),
        cmocka_unit_test(a_moved_capability_keeps_its_depth_and_loses_its_children),
        cmocka_unit_test(what_the_kernel_gave_ends_with_the_unit_that_got_it),
        cmocka_unit_test(a_dying_unit_takes_nothing),
        cmocka_unit_test(a_revoked_slot_is_found_after_a_bounded_number_of_searches),
        cmocka_unit_test(a_storm_of_revoked_chains_harms_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
