/* Test of user mode's pure half: which flags, ranges and CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/user.h"

static void user_code_gets_its_flags_and_no_others(void **state) {
    (void)state;
    assert_int_equal(user_flags(0), 0x202);
    for (unsigned bit = 0; bit < 64; bit++) {
        static const unsigned allowed[] = {0, 2, 4, 6, 7, 8, 10, 11, 18, 21};
        bool user = false;
        for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
            user = user || allowed[i] == bit;
        assert_int_equal(user_flags(1ull << bit), 0x202 | (user ? 1ull << bit : 0));
    }
}

static void a_range_lies_wholly_in_the_user_half(void **state) {
    (void)state;
    static const struct {
        uint64_t at, size;
        bool in;
    } ranges[] = {
        {GMK_USER_MIN, 1, true},
        {GMK_USER_MIN - 1, 1, false},
        {GMK_USER_MIN - 1, 2, false},
        {GMK_USER_MAX - 1, 1, true},
        {GMK_USER_MAX - 1, 2, false},
        {GMK_USER_MAX, 1, false},
        {GMK_USER_MIN, GMK_USER_MAX - GMK_USER_MIN, true},
        {GMK_USER_MIN, GMK_USER_MAX - GMK_USER_MIN + 1, false},
        {GMK_USER_MIN, UINT64_MAX, false},
        {GMK_USER_MIN, UINT64_MAX - GMK_USER_MIN + 1, false},
        {GMK_USER_MIN, UINT64_MAX - GMK_USER_MIN + 2, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, UINT64_MAX, false},
        {0xffff800000000000, 8, false},
        {0, 1, false},
        {0, 0, true},
        {UINT64_MAX, 0, true},
    };
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        assert_int_equal(user_range(ranges[i].at, ranges[i].size), ranges[i].in);
}

static void only_some_cpus_show_the_kernels_memory(void **state) {
    (void)state;
    struct cpu_features f = {.vendor = "GenuineIntel"};
    assert_true(user_sees_kernel(&f, 0));
    assert_true(user_sees_kernel(&f, ~1ull));
    assert_false(user_sees_kernel(&f, 1));
    strcpy(f.vendor, "AuthenticAMD");
    assert_false(user_sees_kernel(&f, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_code_gets_its_flags_and_no_others),
        cmocka_unit_test(a_range_lies_wholly_in_the_user_half),
        cmocka_unit_test(only_some_cpus_show_the_kernels_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
