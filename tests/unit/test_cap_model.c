/* Test of capabilities against a model: a list of capabilities with their parents, in which taking back is
 * done the slow and obvious way. Thousands of random steps on several units must give what it says. */
#include "tests/fake_arch/cap_machine.h"

#define UNITS   4u
#define SEEDS   60u
#define STEPS   3000u
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

#define MODEL_MAX 4096

static struct model {
    bool there; /* in its slot, and not revoked */
    unsigned unit, rights, thing;
    uint32_t handle;
    uint64_t badge;
    int parent; /* -1: the first */
    unsigned depth;
} model[MODEL_MAX];
static int model_count;

static void model_revoke(int at) {
    for (int i = at + 1; i < model_count; i++)
        for (int up = model[i].parent; up != -1; up = model[up].parent)
            if (up == at)
                model[i].there = false;
}

static int model_add(unsigned unit, uint32_t handle, unsigned rights, uint64_t badge,
                     unsigned thing, int parent) {
    assert_true(model_count < MODEL_MAX);
    model[model_count] = (struct model){.there = true,
                                        .unit = unit,
                                        .rights = rights,
                                        .thing = thing,
                                        .handle = handle,
                                        .badge = badge,
                                        .parent = parent,
                                        .depth = parent < 0 ? 0 : model[parent].depth + 1};
    return model_count++;
}

static void model_check(int at) {
    const struct model *m = &model[at];
    struct unit *unit = units_of_test[m->unit];
    struct cap_view view;
    int status = cap_get(unit, unit->caps, m->handle, GMK_CAP_NONE, 0, &view);
    assert_int_equal(status, m->there ? GMK_OK : GMK_EHANDLE);
    if (!m->there)
        return;
    assert_ptr_equal(view.object, &things[m->thing]);
    assert_int_equal(view.rights, m->rights);
    assert_int_equal(view.badge, m->badge);
    assert_int_equal(view.depth, m->depth);
}

static void model_derive(int at) {
    const struct model m = model[at];
    unsigned to = (unsigned)machine_random(UNITS), rights = (unsigned)machine_random(32);
    if (machine_random(3) != 0)
        rights &= m.rights;
    uint64_t badge = machine_random(4) == 0 ? 1 + machine_random(100) : 0;
    int64_t want = GMK_OK;
    if (!m.there)
        want = GMK_EHANDLE;
    else if ((rights & ~m.rights) != 0 || (to != m.unit && (m.rights & GMK_RIGHT_GRANT) == 0))
        want = GMK_ERIGHTS;
    else if (badge != 0 && m.badge != 0)
        want = GMK_EINVAL;
    else if (m.depth == GMK_CAP_DEPTH_MAX)
        want = GMK_ELIMIT;
    int64_t got = cap_derive(units_of_test[m.unit], m.handle, units_of_test[to], rights, badge);
    if (want == GMK_OK && got == GMK_ELIMIT) { /* the table is full, and must be */
        unsigned count = 2;
        for (int i = 0; i < model_count; i++)
            count += model[i].there && model[i].unit == to;
        assert_int_equal(count, GMK_CAPS_MAX - 1);
        return;
    }
    if (want != GMK_OK)
        assert_int_equal(got, want);
    else
        model_add(to, (uint32_t)got, rights, badge != 0 ? badge : m.badge, m.thing, at);
}

static void model_drop(int at, bool whole) {
    struct model *m = &model[at];
    struct unit *unit = units_of_test[m->unit];
    unsigned ended = machine.ended_count;
    int got = whole ? cap_drop(unit, m->handle) : cap_revoke(unit, m->handle);
    assert_int_equal(got, m->there ? GMK_OK : GMK_EHANDLE);
    bool ends = whole && m->there && m->depth == 0;
    assert_int_equal(machine.ended_count, ended + ends);
    if (!m->there)
        return;
    model_revoke(at);
    m->there = !whole;
    machine.ended_count = 0;
    if (ends) /* another life: a new first capability */
        things[m->thing] = machine_object(GMK_CAP_PORT + m->thing);
}

static void model_move(int at) {
    const struct model m = model[at];
    unsigned to = (unsigned)machine_random(UNITS);
    int64_t want = GMK_OK;
    if (!m.there)
        want = GMK_EHANDLE;
    else if (to != m.unit && (m.rights & GMK_RIGHT_GRANT) == 0)
        want = GMK_ERIGHTS;
    int64_t got = cap_move(units_of_test[m.unit], m.handle, units_of_test[to]);
    if (want != GMK_OK || got < 0) {
        assert_int_equal(got, want != GMK_OK ? want : GMK_ELIMIT);
        return;
    }
    model_revoke(at);
    model[at].there = false;
    int moved = model_add(to, (uint32_t)got, m.rights, m.badge, m.thing, m.parent);
    model[moved].depth = m.depth;
}

static void model_new_first(void) {
    unsigned thing = (unsigned)machine_random(OBJECTS), unit = (unsigned)machine_random(UNITS);
    for (int i = 0; i < model_count; i++)
        if (model[i].there && model[i].thing == thing && model[i].depth == 0)
            return; /* it has its first one */
    int64_t handle = cap_insert(units_of_test[unit], &things[thing], GMK_RIGHTS_ALL, 0);
    if (handle > 0)
        model_add(unit, (uint32_t)handle, GMK_RIGHTS_ALL, 0, thing, -1);
    else
        assert_int_equal(handle, GMK_ELIMIT);
}

static void model_step(void) {
    if (model_count == 0 || machine_random(20) == 0) {
        model_new_first();
        return;
    }
    /* Mostly recent ones, which are mostly alive. */
    uint64_t back = machine_random(3) == 0 ? (uint64_t)model_count : 40;
    back = back < (uint64_t)model_count ? back : (uint64_t)model_count;
    int at = model_count - 1 - (int)machine_random(back);
    uint64_t what = machine_random(100);
    if (what < 55)
        model_derive(at);
    else if (what < 62)
        model_drop(at, false);
    else if (what < 74)
        model_drop(at, true);
    else if (what < 82)
        model_move(at);
    else
        model_check(at);
}

static void thousands_of_random_steps_give_what_the_model_says(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        build(seed);
        model_count = 0;
        for (unsigned step = 0; step < STEPS && model_count < MODEL_MAX; step++) {
            model_step();
            if (step % 256 == 0)
                for (int i = 0; i < model_count; i++)
                    model_check(i);
        }
        for (unsigned i = 0; i < UNITS; i++)
            cap_check_table(units_of_test[i]);
        for (int i = 0; i < model_count; i++)
            model_check(i);
        tear_down();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_random_steps_give_what_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
