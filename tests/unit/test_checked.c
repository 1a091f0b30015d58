/* Test of checked arithmetic: exact at the edges of size_t, never wrapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/checked.h"

#define UNTOUCHED ((size_t)0x5a5a)

/* Values around which sums and products start not to fit. */
static const size_t edges[] = {0,
                               1,
                               2,
                               3,
                               4095,
                               4096,
                               4097,
                               UINT32_MAX - 1u,
                               UINT32_MAX,
                               (size_t)UINT32_MAX + 1,
                               SIZE_MAX / 2,
                               SIZE_MAX / 2 + 1,
                               SIZE_MAX - 4096,
                               SIZE_MAX - 4095,
                               SIZE_MAX - 1,
                               SIZE_MAX};
#define EDGES (sizeof edges / sizeof edges[0])

__extension__ typedef unsigned __int128 wide; /* holds every exact result */

static void expect(bool fits, size_t got, bool said, wide exact) {
    assert_int_equal(said, fits);
    assert_int_equal(got, fits ? (size_t)exact : UNTOUCHED);
}

static void sums_differences_and_products_are_exact_or_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < EDGES; k++) {
            wide a = edges[i];
            wide b = edges[k];
            size_t out = UNTOUCHED;
            bool said = checked_add(edges[i], edges[k], &out);
            expect(a + b <= SIZE_MAX, out, said, a + b);
            out = UNTOUCHED;
            said = checked_mul(edges[i], edges[k], &out);
            expect(a * b <= SIZE_MAX, out, said, a * b);
            out = UNTOUCHED;
            said = checked_sub(edges[i], edges[k], &out);
            expect(b <= a, out, said, a - b);
        }
    }
}

static void rounding_up_is_exact_or_refused(void **state) {
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (size_t i = 0; i < EDGES; i++) {
            size_t align = (size_t)1 << shift;
            wide exact = ((wide)edges[i] + align - 1) / align * align;
            /* Also refused: a result that fits although value + align - 1 does not. */
            bool fits = (wide)edges[i] + align - 1 <= SIZE_MAX;
            size_t out = UNTOUCHED;
            bool said = checked_align_up(edges[i], align, &out);
            expect(fits, out, said, exact);
        }
    }
}

static void rounding_to_what_is_no_power_of_two_is_refused(void **state) {
    (void)state;
    const size_t bad[] = {0, 3, 6, 12, 4095, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t out = UNTOUCHED;
        assert_false(checked_is_power_of_two(bad[i]));
        assert_false(checked_align_up(64, bad[i], &out));
        assert_int_equal(out, UNTOUCHED);
    }
}

static void a_percentage_of_any_size_is_exact(void **state) {
    (void)state;
    for (unsigned percent = 0; percent <= 100; percent++)
        for (size_t i = 0; i < EDGES; i++)
            assert_int_equal(checked_percent(edges[i], percent),
                             (size_t)((wide)edges[i] * percent / 100));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_differences_and_products_are_exact_or_refused),
        cmocka_unit_test(rounding_up_is_exact_or_refused),
        cmocka_unit_test(rounding_to_what_is_no_power_of_two_is_refused),
        cmocka_unit_test(a_percentage_of_any_size_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
