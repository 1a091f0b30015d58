/* Cmocka inside the kernel: the part of cmocka's interface that the tests use.
 *
 * The test sources are those that run hosted, unchanged; tests/kernel/lib/cmocka.c says how a
 * test ends here. Names and meanings are cmocka's (https://api.cmocka.org). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func;
    CMFixtureFunction teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(f) \
    { #f, f, NULL, NULL, NULL }
#define cmocka_unit_test_setup(f, setup) \
    { #f, f, setup, NULL, NULL }
#define cmocka_unit_test_teardown(f, after) \
    { #f, f, NULL, after, NULL }
#define cmocka_unit_test_setup_teardown(f, setup, teardown) \
    { #f, f, setup, teardown, NULL }
#define cmocka_unit_test_prestate(f, state) \
    { #f, f, NULL, NULL, state }
#define cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, state) \
    { #f, f, setup, teardown, state }

#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    cmocka_run_group_tests(tests, setup, teardown)

/* Returns how many of the group failed. */
int cmocka_run(const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
               CMFixtureFunction teardown);

/* Where an assertion stands. */
#define CMOCKA_HERE __FILE__, __LINE__

/* These end the test. */
_Noreturn void cmocka_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void cmocka_skip(const char *file, int line);
#define fail_msg(...) cmocka_fail(CMOCKA_HERE, __VA_ARGS__)
#define fail()        cmocka_fail(CMOCKA_HERE, "failed")
#define skip()        cmocka_skip(CMOCKA_HERE)

void print_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Integers of any type and pointers as one type; both sides of a comparison alike. */
#define CMOCKA_INT(value) ((uint64_t)(value))
#define CMOCKA_PTR(value) ((uint64_t)(uintptr_t)(value))

void cmocka_true(bool is, const char *text, const char *file, int line);
void cmocka_equal(uint64_t a, uint64_t b, bool wanted, const char *file, int line);
void cmocka_range(uint64_t value, uint64_t low, uint64_t high, bool wanted, const char *file,
                  int line);
void cmocka_string(const char *a, const char *b, bool wanted, const char *file, int line);
void cmocka_memory(const void *a, const void *b, size_t size, bool wanted, const char *file,
                   int line);

#define assert_true(c)                      cmocka_true(CMOCKA_INT(c) != 0, #c, CMOCKA_HERE)
#define assert_false(c)                     cmocka_true(CMOCKA_INT(c) == 0, "not " #c, CMOCKA_HERE)
#define assert_null(p)                      cmocka_true(CMOCKA_PTR(p) == 0, #p " == NULL", CMOCKA_HERE)
#define assert_non_null(p)                  cmocka_true(CMOCKA_PTR(p) != 0, #p " != NULL", CMOCKA_HERE)
#define assert_int_equal(a, b)              cmocka_equal(CMOCKA_INT(a), CMOCKA_INT(b), true, CMOCKA_HERE)
#define assert_int_not_equal(a, b)          cmocka_equal(CMOCKA_INT(a), CMOCKA_INT(b), false, CMOCKA_HERE)
#define assert_ptr_equal(a, b)              cmocka_equal(CMOCKA_PTR(a), CMOCKA_PTR(b), true, CMOCKA_HERE)
#define assert_ptr_not_equal(a, b)          cmocka_equal(CMOCKA_PTR(a), CMOCKA_PTR(b), false, CMOCKA_HERE)
#define assert_string_equal(a, b)           cmocka_string(a, b, true, CMOCKA_HERE)
#define assert_string_not_equal(a, b)       cmocka_string(a, b, false, CMOCKA_HERE)
#define assert_memory_equal(a, b, size)     cmocka_memory(a, b, size, true, CMOCKA_HERE)
#define assert_memory_not_equal(a, b, size) cmocka_memory(a, b, size, false, CMOCKA_HERE)
#define assert_in_range(value, low, high) \
    cmocka_range(CMOCKA_INT(value), CMOCKA_INT(low), CMOCKA_INT(high), true, CMOCKA_HERE)
#define assert_not_in_range(value, low, high) \
    cmocka_range(CMOCKA_INT(value), CMOCKA_INT(low), CMOCKA_INT(high), false, CMOCKA_HERE)
