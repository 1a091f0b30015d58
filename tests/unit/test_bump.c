/* Test of bump: aligned, disjoint, exhausted exactly, no size wraps, counters exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/bump.h"
#include "ggmk/error.h"

#define SIZE (4u * 4096u)

static _Alignas(4096) char region[SIZE + 4096];
static struct alloc_guard guard;
static struct bump bump;

static int fresh_bump(void **state) {
    (void)state;
    memset(&guard, 0, sizeof guard);
    memset(region, 0x11, sizeof region);
    return bump_init(&bump, region, SIZE, &guard);
}

static struct part_stats stats(void) {
    struct part_stats s;
    bump_stats(&bump, &s);
    assert_int_equal(s.total, SIZE);
    assert_int_equal(s.used + s.free, SIZE);
    return s;
}

static void pieces_are_aligned_inside_and_disjoint(void **state) {
    (void)state;
    char *end = region;
    for (size_t align = 1; align <= 4096; align *= 2) {
        size_t size = align / 3 + 1;
        char *piece = bump_alloc(&bump, size, align);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % align, 0);
        assert_true(piece >= end);
        end = piece + size;
        assert_true(end <= region + SIZE);
    }
}

static void the_region_is_used_to_its_last_byte(void **state) {
    (void)state;
    for (unsigned i = 0; i < SIZE / 64; i++)
        assert_ptr_equal(bump_alloc(&bump, 64, 16), region + (size_t)i * 64);
    assert_int_equal(stats().free, 0);
    assert_null(bump_alloc(&bump, 1, 1));
    assert_int_equal(stats().fails, 1);
    bump_reset(&bump);
    assert_ptr_equal(bump_alloc(&bump, SIZE, 4096), region);
    assert_null(bump_alloc(&bump, 1, 1));
}

static void one_byte_too_many_is_refused_and_changes_nothing(void **state) {
    (void)state;
    assert_non_null(bump_alloc(&bump, SIZE - 64, 16));
    assert_null(bump_alloc(&bump, 65, 16));
    assert_null(bump_alloc(&bump, 64, 4096));
    assert_int_equal(stats().used, SIZE - 64);
    assert_non_null(bump_alloc(&bump, 64, 64));
    assert_int_equal(stats().free, 0);
}

static void sizes_that_would_wrap_are_refused(void **state) {
    (void)state;
    const size_t absurd[] = {0,
                             SIZE + 1,
                             UINT32_MAX - 15u,
                             UINT32_MAX - 1u,
                             UINT32_MAX,
                             (size_t)UINT32_MAX + 1,
                             (size_t)UINT32_MAX + 2,
                             (size_t)1 << 33,
                             (size_t)1 << 34,
                             (size_t)1 << 62,
                             SIZE_MAX / 2,
                             SIZE_MAX / 2 + 1,
                             SIZE_MAX - 4096,
                             SIZE_MAX - 31,
                             SIZE_MAX - 15,
                             SIZE_MAX - 1,
                             SIZE_MAX};
    const size_t aligns[] = {1, 16, 64, 4096};
    uint64_t refused = 0;
    for (unsigned used = 0; used <= 48; used += 16) {
        for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
            for (size_t k = 0; k < 4; k++, refused++)
                assert_null(bump_alloc(&bump, absurd[i], aligns[k]));
        }
        assert_int_equal(stats().used, used);
        assert_int_equal(stats().fails, refused);
        assert_ptr_equal(bump_alloc(&bump, 16, 1), region + used);
    }
}

static void alignments_that_are_none_are_refused(void **state) {
    (void)state;
    const size_t bad[] = {0, 3, 24, 4097, 8192, SIZE_MAX, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(bump_alloc(&bump, 16, bad[i]));
    assert_int_equal(stats().used, 0);
    assert_int_equal(stats().fails, sizeof bad / sizeof bad[0]);
}

static void counters_tell_allocations_resets_and_the_high_water_mark(void **state) {
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_non_null(bump_alloc(&bump, 100, 16)); /* takes 112 */
    struct part_stats s = stats();
    assert_int_equal(s.allocs, 10);
    assert_int_equal(s.frees, 0);
    assert_int_equal(s.used, 1120);
    assert_int_equal(s.high, 1120);
    bump_reset(&bump);
    assert_non_null(bump_alloc(&bump, 1, 1));
    s = stats();
    assert_int_equal(s.allocs, 11);
    assert_int_equal(s.frees, 10);
    assert_int_equal(s.used, 16);
    assert_int_equal(s.high, 1120);
    assert_int_equal(s.fails, 0);
}

static void regions_that_are_no_whole_pages_are_refused(void **state) {
    (void)state;
    struct bump other;
    assert_int_equal(bump_init(&other, NULL, SIZE, &guard), GMK_EINVAL);
    assert_int_equal(bump_init(&other, region + 16, SIZE, &guard), GMK_EINVAL);
    assert_int_equal(bump_init(&other, region, 0, &guard), GMK_EINVAL);
    assert_int_equal(bump_init(&other, region, SIZE - 16, &guard), GMK_EINVAL);
    assert_int_equal(bump_init(&other, region, (size_t)BUMP_SIZE_MAX + 4096, &guard), GMK_EINVAL);
}

static void memory_behind_the_region_is_never_touched(void **state) {
    (void)state;
    char *piece;
    while ((piece = bump_alloc(&bump, 33, 8)) != NULL)
        memset(piece, 0x77, 33);
    bump_reset(&bump);
    for (size_t i = SIZE; i < sizeof region; i++)
        assert_int_equal(region[i], 0x11);
}

static void in_dev_a_reset_makes_old_contents_unreadable(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    unsigned char *piece = bump_alloc(&bump, 64, 16);
    memset(piece, 0, 64);
    bump_reset(&bump);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(piece[i], 0xdd);
}

static void in_dev_the_nth_allocation_fails_on_demand(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    for (int64_t n = 1; n <= 5; n++) {
        bump_reset(&bump);
        atomic_store(&guard.fail_in, n);
        for (int64_t i = 1; i <= 5; i++)
            assert_int_equal(bump_alloc(&bump, 16, 16) == NULL, i == n);
    }
    assert_int_equal(atomic_load(&guard.injected), 5);
    assert_int_equal(stats().fails, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pieces_are_aligned_inside_and_disjoint, fresh_bump),
        cmocka_unit_test_setup(the_region_is_used_to_its_last_byte, fresh_bump),
        cmocka_unit_test_setup(one_byte_too_many_is_refused_and_changes_nothing, fresh_bump),
        cmocka_unit_test_setup(sizes_that_would_wrap_are_refused, fresh_bump),
        cmocka_unit_test_setup(alignments_that_are_none_are_refused, fresh_bump),
        cmocka_unit_test_setup(counters_tell_allocations_resets_and_the_high_water_mark,
                               fresh_bump),
        cmocka_unit_test_setup(regions_that_are_no_whole_pages_are_refused, fresh_bump),
        cmocka_unit_test_setup(memory_behind_the_region_is_never_touched, fresh_bump),
        cmocka_unit_test_setup(in_dev_a_reset_makes_old_contents_unreadable, fresh_bump),
        cmocka_unit_test_setup(in_dev_the_nth_allocation_fails_on_demand, fresh_bump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
