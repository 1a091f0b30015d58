/* Test of module sections: GMK_MODULE registers by itself, and nothing counts twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/module.h"
#include "tests/lib/log_capture.h"

static gmk_module_t first_module = {.name = "first"};
GMK_MODULE(first_module)

static gmk_module_t second_module = {.name = "second"};
GMK_MODULE(second_module)

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

static bool has(const gmk_module_t *module) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < set.count; i++)
        found += set.entries[i].module == module;
    assert_true(found <= 1);
    return found == 1;
}

static void registered_modules_are_found_without_a_list(void **state) {
    (void)state;
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 2);
    assert_true(has(&first_module));
    assert_true(has(&second_module));
    assert_int_equal(module_check(&set), GMK_OK);
}

static void registered_modules_can_be_left_out(void **state) {
    (void)state;
    assert_int_equal(module_collect(&set, NULL, 0, false), GMK_OK);
    assert_int_equal(set.count, 0);
}

static void a_module_that_is_listed_and_registered_counts_once(void **state) {
    (void)state;
    gmk_module_t third = {.name = "third"};
    gmk_module_t *mods[] = {&third, &second_module};
    assert_int_equal(module_collect(&set, mods, 2, true), GMK_OK);
    assert_int_equal(set.count, 3);
    /* The list comes first, in its order. */
    assert_ptr_equal(set.entries[0].module, &third);
    assert_ptr_equal(set.entries[1].module, &second_module);
    assert_ptr_equal(set.entries[2].module, &first_module);
    assert_int_equal(module_check(&set), GMK_OK);
}

static void two_different_modules_of_one_name_are_EEXIST_across_both(void **state) {
    (void)state;
    gmk_module_t imitation = {.name = "first"};
    gmk_module_t *mods[] = {&imitation};
    assert_int_equal(module_collect(&set, mods, 1, true), GMK_OK);
    assert_int_equal(module_check(&set), GMK_EEXIST);
    assert_true(log_capture_has("are both named \"first\""));
}

static void empty_missing_and_repeated_ranges_change_nothing(void **state) {
    (void)state;
    gmk_module_t *const none[] = {NULL, NULL};
    gmk_modules_section(NULL, NULL);
    gmk_modules_section(none, none);
    gmk_modules_section(&none[1], &none[0]);
    for (int i = 0; i < 100; i++)
        gmk_modules_section((gmk_module_t *const *)__start_gmk_modules,
                            (gmk_module_t *const *)__stop_gmk_modules);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 2);
}

static gmk_module_t library_module = {.name = "library"};
static gmk_module_t *const library_section[2 * MODULE_SECTIONS_MAX] = {NULL, &library_module, NULL,
                                                                       &first_module};

static void padding_and_repetition_in_a_librarys_section_are_passed_over(void **state) {
    (void)state;
    gmk_modules_section(&library_section[0], &library_section[4]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 3);
    assert_true(has(&library_module));
}

static void more_libraries_than_there_is_room_for_are_ELIMIT_at_boot(void **state) {
    (void)state;
    /* Two ranges are known: the program's and the one above. */
    for (size_t i = 2; i < MODULE_SECTIONS_MAX; i++)
        gmk_modules_section(&library_section[4 + i], &library_section[5 + i]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 3);
    gmk_modules_section(&library_section[4], &library_section[5]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_ELIMIT);
    assert_true(log_capture_has("GMK_ELIMIT: modules are registered in more than 32 libraries"));
    assert_int_equal(module_collect(&set, NULL, 0, false), GMK_OK);
}

/* The range that the padding test registered goes and comes back. */
static void a_library_that_goes_takes_its_modules_along(void **state) {
    (void)state;
    gmk_modules_section_gone(&library_section[0], &library_section[4]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 2);
    assert_false(has(&library_module));
    /* A range that nobody knows changes nothing. */
    gmk_modules_section_gone(&library_section[0], &library_section[4]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_int_equal(set.count, 2);
    gmk_modules_section(&library_section[0], &library_section[4]);
    assert_int_equal(module_collect(&set, NULL, 0, true), GMK_OK);
    assert_true(has(&library_module));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(registered_modules_are_found_without_a_list),
        TEST(registered_modules_can_be_left_out),
        TEST(a_module_that_is_listed_and_registered_counts_once),
        TEST(two_different_modules_of_one_name_are_EEXIST_across_both),
        TEST(empty_missing_and_repeated_ranges_change_nothing),
        TEST(padding_and_repetition_in_a_librarys_section_are_passed_over),
        TEST(a_library_that_goes_takes_its_modules_along),
        TEST(more_libraries_than_there_is_room_for_are_ELIMIT_at_boot),
    };
    return cmocka_run_group_tests_name("module sections", tests, NULL, NULL);
}
