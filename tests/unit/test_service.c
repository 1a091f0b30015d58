/* Test of service: publish, look up by version and privilege, withdraw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/service.h"

static struct service_table table;
static const int clock_ops = 1;
static const int other_ops = 2;

enum { OWNER = 3, STRANGER = 4 };

static int fresh_table(void **state) {
    (void)state;
    memset(&table, 0, sizeof table);
    return 0;
}

static int publish(const char *name, uint32_t version, enum gmk_privilege level) {
    return service_publish(&table, OWNER, name, version, &clock_ops, level);
}

static int why_not(const char *name, uint32_t version, enum gmk_privilege privilege) {
    int why = 12345;
    const void *found = service_get(&table, privilege, name, version, &why);
    /* A reason and an interface exclude each other. */
    assert_int_equal(found == NULL, why != GMK_OK);
    return why;
}

static void a_published_service_is_found_as_published(void **state) {
    (void)state;
    assert_int_equal(publish("clock", GMK_VERSION(1, 2, 3), GMK_USER), GMK_OK);
    int why = 12345;
    assert_ptr_equal(service_get(&table, GMK_USER, "clock", GMK_VERSION(1, 2, 3), &why),
                     &clock_ops);
    assert_int_equal(why, GMK_OK);
    assert_ptr_equal(service_get(&table, GMK_USER, "clock", GMK_VERSION(1, 2, 3), NULL),
                     &clock_ops);
}

static void what_was_never_published_is_ENOENT(void **state) {
    (void)state;
    assert_int_equal(why_not("clock", 0, GMK_KERNEL), GMK_ENOENT);
    assert_int_equal(why_not("", 0, GMK_KERNEL), GMK_ENOENT);
    assert_int_equal(why_not(NULL, 0, GMK_KERNEL), GMK_ENOENT);
    assert_null(service_get(&table, GMK_KERNEL, "clock", 0, NULL));
}

static void same_major_and_at_least_minor_and_patch_fits(void **state) {
    (void)state;
    assert_int_equal(publish("clock", GMK_VERSION(2, 3, 4), GMK_USER), GMK_OK);
    const struct {
        uint32_t want;
        int why;
    } cases[] = {
        {GMK_VERSION(2, 3, 4), GMK_OK},       {GMK_VERSION(2, 3, 3), GMK_OK},
        {GMK_VERSION(2, 0, 0), GMK_OK},       {GMK_VERSION(2, 2, 4095), GMK_OK},
        {GMK_VERSION(2, 3, 5), GMK_EVERSION}, {GMK_VERSION(2, 4, 0), GMK_EVERSION},
        {GMK_VERSION(1, 3, 4), GMK_EVERSION}, {GMK_VERSION(3, 0, 0), GMK_EVERSION},
        {GMK_VERSION(1, 0, 0), GMK_EVERSION}, {GMK_VERSION(255, 4095, 4095), GMK_EVERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(why_not("clock", cases[i].want, GMK_USER), cases[i].why);
}

static void a_less_privileged_caller_is_EPERM_whatever_the_version(void **state) {
    (void)state;
    assert_int_equal(publish("irq", GMK_VERSION(1, 0, 0), GMK_DRIVER), GMK_OK);
    assert_int_equal(why_not("irq", GMK_VERSION(1, 0, 0), GMK_USER), GMK_EPERM);
    assert_int_equal(why_not("irq", GMK_VERSION(9, 0, 0), GMK_USER), GMK_EPERM);
    assert_int_equal(why_not("irq", GMK_VERSION(1, 0, 0), GMK_DRIVER), GMK_OK);
    assert_int_equal(why_not("irq", GMK_VERSION(1, 0, 0), GMK_KERNEL), GMK_OK);
}

static void a_taken_name_is_EEXIST_for_everybody(void **state) {
    (void)state;
    assert_int_equal(publish("clock", GMK_VERSION(1, 0, 0), GMK_USER), GMK_OK);
    assert_int_equal(publish("clock", GMK_VERSION(2, 0, 0), GMK_USER), GMK_EEXIST);
    assert_int_equal(service_publish(&table, STRANGER, "clock", 0, &other_ops, GMK_USER),
                     GMK_EEXIST);
    assert_ptr_equal(service_get(&table, GMK_USER, "clock", GMK_VERSION(1, 0, 0), NULL),
                     &clock_ops);
}

static void bad_arguments_are_EINVAL(void **state) {
    (void)state;
    char longest[GMK_NAME_MAX];
    memset(longest, 'x', sizeof longest);
    longest[GMK_NAME_MAX - 1] = '\0';
    char too_long[GMK_NAME_MAX + 1];
    memset(too_long, 'x', sizeof too_long);
    too_long[GMK_NAME_MAX] = '\0';

    assert_int_equal(publish(NULL, 0, GMK_USER), GMK_EINVAL);
    assert_int_equal(publish("", 0, GMK_USER), GMK_EINVAL);
    assert_int_equal(publish(too_long, 0, GMK_USER), GMK_EINVAL);
    assert_int_equal(publish("x", 0, (enum gmk_privilege)3), GMK_EINVAL);
    assert_int_equal(service_publish(&table, OWNER, "x", 0, NULL, GMK_USER), GMK_EINVAL);
    assert_int_equal(publish(longest, 0, GMK_USER), GMK_OK);
    assert_int_equal(why_not(longest, 0, GMK_USER), GMK_OK);
    assert_int_equal(why_not(too_long, 0, GMK_USER), GMK_ENOENT);
}

static void a_withdrawn_service_is_not_returned_any_more(void **state) {
    (void)state;
    assert_int_equal(publish("clock", 0, GMK_USER), GMK_OK);
    assert_int_equal(service_withdraw(&table, OWNER, "clock"), GMK_OK);
    assert_int_equal(why_not("clock", 0, GMK_KERNEL), GMK_ENOENT);
    assert_int_equal(service_withdraw(&table, OWNER, "clock"), GMK_ENOENT);
    assert_int_equal(service_withdraw(&table, OWNER, NULL), GMK_ENOENT);
    /* The name is free again. */
    assert_int_equal(service_publish(&table, STRANGER, "clock", 0, &other_ops, GMK_USER), GMK_OK);
    assert_ptr_equal(service_get(&table, GMK_USER, "clock", 0, NULL), &other_ops);
}

static void nobody_withdraws_what_another_module_published(void **state) {
    (void)state;
    assert_int_equal(publish("clock", 0, GMK_USER), GMK_OK);
    assert_int_equal(service_withdraw(&table, STRANGER, "clock"), GMK_EPERM);
    assert_int_equal(why_not("clock", 0, GMK_USER), GMK_OK);
}

static void the_name_is_copied(void **state) {
    (void)state;
    char name[] = "clock";
    assert_int_equal(publish(name, 0, GMK_USER), GMK_OK);
    name[0] = 'b';
    assert_int_equal(why_not("clock", 0, GMK_USER), GMK_OK);
    assert_int_equal(why_not("block", 0, GMK_USER), GMK_ENOENT);
}

static void a_full_table_is_ELIMIT_until_one_is_withdrawn(void **state) {
    (void)state;
    char name[GMK_NAME_MAX];
    for (unsigned i = 0; i < GMK_SERVICES_MAX; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(publish(name, i, GMK_USER), GMK_OK);
    }
    assert_int_equal(publish("one more", 0, GMK_USER), GMK_ELIMIT);
    /* A duplicate is told apart from a full table. */
    assert_int_equal(publish("s0", 0, GMK_USER), GMK_EEXIST);
    assert_int_equal(service_withdraw(&table, OWNER, "s77"), GMK_OK);
    assert_int_equal(publish("one more", 0, GMK_USER), GMK_OK);
}

static void everything_of_a_module_is_taken_back_at_once(void **state) {
    (void)state;
    assert_int_equal(publish("a", 0, GMK_USER), GMK_OK);
    assert_int_equal(publish("b", 0, GMK_USER), GMK_OK);
    assert_int_equal(service_publish(&table, STRANGER, "c", 0, &other_ops, GMK_USER), GMK_OK);
    assert_int_equal(service_withdraw_all(&table, OWNER), 2);
    assert_int_equal(why_not("a", 0, GMK_USER), GMK_ENOENT);
    assert_int_equal(why_not("b", 0, GMK_USER), GMK_ENOENT);
    assert_int_equal(why_not("c", 0, GMK_USER), GMK_OK);
    assert_int_equal(service_withdraw_all(&table, OWNER), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_table)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_published_service_is_found_as_published),
        TEST(what_was_never_published_is_ENOENT),
        TEST(same_major_and_at_least_minor_and_patch_fits),
        TEST(a_less_privileged_caller_is_EPERM_whatever_the_version),
        TEST(a_taken_name_is_EEXIST_for_everybody),
        TEST(bad_arguments_are_EINVAL),
        TEST(a_withdrawn_service_is_not_returned_any_more),
        TEST(nobody_withdraws_what_another_module_published),
        TEST(the_name_is_copied),
        TEST(a_full_table_is_ELIMIT_until_one_is_withdrawn),
        TEST(everything_of_a_module_is_taken_back_at_once),
    };
    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
