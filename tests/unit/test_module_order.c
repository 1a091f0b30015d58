/* Test of module order: dependencies first, else as given; what is missing or circular is
 * refused by name. Random sets are compared with the definition of the order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/module.h"
#include "tests/lib/log_capture.h"

static struct module_set set;

static int fresh(void **state) {
    (void)state;
    log_capture_start();
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    return 0;
}

#define DEPENDS(...)                               \
    .depends = (const char *const[]){__VA_ARGS__}, \
    .n_depends = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

static int check(gmk_module_t *mods, uint32_t n_mods) {
    gmk_module_t *pointers[GMK_MODULES_MAX];
    for (uint32_t i = 0; i < n_mods; i++)
        pointers[i] = &mods[i];
    log_capture_start();
    int status = module_collect(&set, pointers, n_mods, false);
    assert_int_equal(status, GMK_OK);
    return module_check(&set);
}

/* The names in boot order, with blanks between. */
static const char *order(void) {
    static char text[GMK_MODULES_MAX * (GMK_NAME_MAX + 1)];
    size_t used = 0;
    for (uint32_t i = 0; i < set.count; i++)
        used += (size_t)snprintf(&text[used], sizeof text - used, "%s%s", i == 0 ? "" : " ",
                                 set.entries[i].module->name);
    return text;
}

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

static void without_dependencies_the_order_is_the_one_given(void **state) {
    (void)state;
    gmk_module_t mods[] = {{.name = "c"}, {.name = "a"}, {.name = "b"}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_OK);
    assert_string_equal(order(), "c a b");
}

static void what_a_module_needs_stands_before_it(void **state) {
    (void)state;
    gmk_module_t mods[] = {
        {.name = "app", DEPENDS("net", "log")},
        {.name = "net", DEPENDS("clock")},
        {.name = "log"},
        {.name = "clock", DEPENDS("log")},
    };
    assert_int_equal(check(mods, COUNT(mods)), GMK_OK);
    assert_string_equal(order(), "log clock net app");
}

static void modules_that_are_ready_keep_the_order_given(void **state) {
    (void)state;
    gmk_module_t mods[] = {
        {.name = "x", DEPENDS("z")}, {.name = "y"}, {.name = "z"}, {.name = "w"}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_OK);
    assert_string_equal(order(), "y z x w");
}

static void naming_a_dependency_twice_changes_nothing(void **state) {
    (void)state;
    gmk_module_t mods[] = {{.name = "a", DEPENDS("b", "b")}, {.name = "b"}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_OK);
    assert_string_equal(order(), "b a");
}

static void a_missing_dependency_is_EDEPEND_and_names_both(void **state) {
    (void)state;
    gmk_module_t mods[] = {{.name = "b"}, {.name = "a", DEPENDS("b", "ghost")}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_EDEPEND);
    assert_true(
        log_capture_has("GMK_EDEPEND: module \"a\" depends on \"ghost\", which is not there"));
    assert_int_equal(log_captured_lines, 1);
}

static void bad_dependency_lists_are_EINVAL_or_ELIMIT(void **state) {
    (void)state;
    gmk_module_t null_list[] = {{.name = "a", .n_depends = 1}};
    assert_int_equal(check(null_list, 1), GMK_EINVAL);
    assert_true(log_capture_has("module \"a\": n_depends is 1 but depends is NULL"));
    gmk_module_t null_name[] = {{.name = "a", DEPENDS("a", NULL)}};
    assert_int_equal(check(null_name, 1), GMK_EINVAL);
    assert_true(log_capture_has("module \"a\": depends[1] is NULL, empty or has 48 bytes or more"));
    gmk_module_t absurd[] = {{.name = "a", DEPENDS("b")}};
    absurd[0].n_depends = UINT32_MAX;
    assert_int_equal(check(absurd, 1), GMK_ELIMIT);
    assert_true(log_capture_has("module \"a\": 4294967295 dependencies, at most 128"));
}

static void a_module_may_depend_only_on_equal_or_more_privileged_ones(void **state) {
    (void)state;
    for (unsigned user = GMK_USER; user <= GMK_KERNEL; user++) {
        for (unsigned used = GMK_USER; used <= GMK_KERNEL; used++) {
            gmk_module_t mods[] = {
                {.name = "a", .privilege = (enum gmk_privilege)user, DEPENDS("b")},
                {.name = "b", .privilege = (enum gmk_privilege)used}};
            assert_int_equal(check(mods, 2), used >= user ? GMK_OK : GMK_EPERM);
            if (used < user)
                assert_true(log_capture_has(
                    "GMK_EPERM: module \"a\" depends on \"b\", which is less privileged"));
        }
    }
}

/* ---- Circles --------------------------------------------------------------------------- */

static void a_circle_is_ECYCLE_and_is_printed(void **state) {
    (void)state;
    gmk_module_t mods[] = {
        {.name = "a", DEPENDS("b")}, {.name = "b", DEPENDS("c")}, {.name = "c", DEPENDS("a")}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_ECYCLE);
    assert_true(log_capture_has("GMK_ECYCLE: modules depend in a circle: a -> b -> c -> a\n"));
    assert_int_equal(log_captured_lines, 1);
}

static void a_module_that_needs_itself_is_the_smallest_circle(void **state) {
    (void)state;
    gmk_module_t mods[] = {{.name = "a", DEPENDS("a")}};
    assert_int_equal(check(mods, 1), GMK_ECYCLE);
    assert_true(log_capture_has("circle: a -> a\n"));
}

static void only_the_circle_is_printed_not_the_way_to_it(void **state) {
    (void)state;
    gmk_module_t mods[] = {{.name = "fine"},
                           {.name = "way", DEPENDS("fine", "in")},
                           {.name = "in", DEPENDS("fine", "round")},
                           {.name = "round", DEPENDS("in", "fine")},
                           {.name = "after", DEPENDS("round")}};
    assert_int_equal(check(mods, COUNT(mods)), GMK_ECYCLE);
    assert_true(log_capture_has("circle: in -> round -> in\n"));
}

static char ring_names[GMK_MODULES_MAX][GMK_NAME_MAX];
static const char *ring_next[GMK_MODULES_MAX];
static gmk_module_t ring[GMK_MODULES_MAX];

/* A circle of n modules whose names have `length` bytes. */
static void make_ring(uint32_t n, size_t length) {
    for (uint32_t i = 0; i < n; i++) {
        memset(ring_names[i], 'x', length);
        ring_names[i][length] = '\0';
        char number[8];
        snprintf(number, sizeof number, "%03u", i);
        memcpy(ring_names[i], number, 3);
        ring_next[i] = ring_names[(i + 1) % n];
        ring[i] = (gmk_module_t){.name = ring_names[i], .depends = &ring_next[i], .n_depends = 1};
    }
}

static void circles_of_every_size_are_found_and_fit_a_line(void **state) {
    (void)state;
    const size_t lengths[] = {3, 17, GMK_NAME_MAX - 1};
    for (size_t k = 0; k < COUNT(lengths); k++) {
        for (uint32_t n = 1; n <= GMK_MODULES_MAX; n++) {
            make_ring(n, lengths[k]);
            assert_int_equal(check(ring, n), GMK_ECYCLE);
            assert_null(strstr(log_captured, "...")); /* nothing was cut off */
            /* Begins and ends with the same name. */
            char last[GMK_NAME_MAX + 8];
            snprintf(last, sizeof last, " -> %s\n", ring_names[0]);
            assert_true(log_capture_has(last));
            snprintf(last, sizeof last, "circle: %s", ring_names[0]);
            assert_true(log_capture_has(last));
        }
    }
    assert_true(log_capture_has(" -> (126 more) -> ")); /* the longest names: two fit */
}

/* ---- Random sets -------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 33) % bound);
}

enum { RANDOM_MODULES = 24, RANDOM_DEPENDS = 4, RANDOM_SETS = 2000 };

static const char *random_depends[RANDOM_MODULES][RANDOM_DEPENDS];

static uint32_t place_of(const char *name) {
    uint32_t place = 0;
    while (strcmp(set.entries[place].module->name, name) != 0)
        place++;
    return place;
}

/* Each module must stand behind all it needs, and each earlier one that was given later
 * must have been allowed to overtake: the modules given before it were not ready. */
static void check_order(const gmk_module_t *mods) {
    for (uint32_t p = 0; p < set.count; p++) {
        const gmk_module_t *module = set.entries[p].module;
        assert_ptr_equal(module, &mods[set.entries[p].given]);
        for (uint32_t d = 0; d < module->n_depends; d++)
            assert_true(place_of(module->depends[d]) < p);
        for (uint32_t q = p + 1; q < set.count; q++) {
            if (set.entries[q].given > set.entries[p].given)
                continue;
            uint32_t latest = 0;
            for (uint32_t d = 0; d < set.entries[q].module->n_depends; d++) {
                uint32_t place = place_of(set.entries[q].module->depends[d]);
                latest = place > latest ? place : latest;
            }
            assert_true(latest >= p);
        }
    }
}

static void random_sets_are_ordered_by_the_definition_or_are_circular(void **state) {
    (void)state;
    uint32_t ordered = 0;
    for (uint32_t round = 0; round < RANDOM_SETS; round++) {
        make_ring(RANDOM_MODULES, 3);
        for (uint32_t m = 0; m < RANDOM_MODULES; m++) {
            ring[m].depends = random_depends[m];
            ring[m].n_depends = random_below(RANDOM_DEPENDS + 1) / (1 + round % 3);
            for (uint32_t d = 0; d < ring[m].n_depends; d++)
                random_depends[m][d] = ring_names[random_below(RANDOM_MODULES)];
        }
        int status = check(ring, RANDOM_MODULES);
        if (status == GMK_OK) {
            check_order(ring);
            ordered++;
        } else {
            assert_int_equal(status, GMK_ECYCLE);
        }
    }
    assert_true(ordered > 10 && ordered < RANDOM_SETS - 10); /* both kinds were met */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_dependencies_the_order_is_the_one_given),
        TEST(what_a_module_needs_stands_before_it),
        TEST(modules_that_are_ready_keep_the_order_given),
        TEST(naming_a_dependency_twice_changes_nothing),
        TEST(a_missing_dependency_is_EDEPEND_and_names_both),
        TEST(bad_dependency_lists_are_EINVAL_or_ELIMIT),
        TEST(a_module_may_depend_only_on_equal_or_more_privileged_ones),
        TEST(a_circle_is_ECYCLE_and_is_printed),
        TEST(a_module_that_needs_itself_is_the_smallest_circle),
        TEST(only_the_circle_is_printed_not_the_way_to_it),
        TEST(circles_of_every_size_are_found_and_fit_a_line),
        TEST(random_sets_are_ordered_by_the_definition_or_are_circular),
    };
    return cmocka_run_group_tests_name("module order", tests, NULL, NULL);
}
