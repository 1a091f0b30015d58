/* Test of the histogram: the error bound against sorted values, exact counts and sums,
 * merging, and reading beside the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "engine/hist.h"

static struct hist hist;
static struct hist other;
static struct hist_view view;

static int empty(void **state) {
    (void)state;
    memset(&hist, 0, sizeof hist);
    memset(&other, 0, sizeof other);
    memset(&view, 0, sizeof view);
    return 0;
}

static uint64_t next_random(uint64_t *seed) { /* splitmix64 */
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- Buckets ------------------------------------------------------------------------ */

static void buckets_cover_all_values_once_and_in_order(void **state) {
    (void)state;
    assert_int_equal(hist_bucket_first(0), 0);
    for (unsigned i = 0; i + 1u < HIST_BUCKETS; i++) {
        assert_true(hist_bucket_last(i) >= hist_bucket_first(i));
        assert_true(hist_bucket_last(i) + 1u == hist_bucket_first(i + 1u));
    }
    assert_true(hist_bucket_last(HIST_BUCKETS - 1u) == UINT64_MAX);
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        assert_int_equal(hist_bucket(hist_bucket_first(i)), i);
        assert_int_equal(hist_bucket(hist_bucket_last(i)), i);
    }
}

static void small_values_have_buckets_of_their_own(void **state) {
    (void)state;
    for (uint64_t value = 0; value < 32; value++) {
        unsigned bucket = hist_bucket(value);
        assert_true(hist_bucket_first(bucket) == value);
        assert_true(hist_bucket_last(bucket) == value);
    }
}

/* ---- Quantiles ------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void check_against_sorted(uint64_t *values, size_t count) {
    static const uint32_t points[] = {0,      1,      100000, 250000, 500000, 750000,
                                      900000, 990000, 999000, 999999, 1000000};
    memset(&view, 0, sizeof view);
    hist_add(&view, &hist);
    qsort(values, count, sizeof values[0], compare);
    assert_int_equal(view.count, count);
    assert_true(view.max == values[count - 1u]);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    assert_true(view.sum == sum);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        uint64_t rank = ((uint64_t)count * points[i] + 999999u) / 1000000u;
        uint64_t exact = values[rank == 0 ? 0 : rank - 1u];
        uint64_t shown = hist_quantile(&view, points[i]);
        uint64_t error = shown > exact ? shown - exact : exact - shown;
        if (error > exact / HIST_ERROR_INVERSE) {
            fail_msg("quantile %u of %zu values: expected %llu within 1/32, got %llu", points[i],
                     count, (unsigned long long)exact, (unsigned long long)shown);
        }
    }
}

static void quantiles_are_right_to_one_part_in_32(void **state) {
    static uint64_t values[20000];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t random = seed;
        size_t count = next_random(&random) % 20000u + 1u;
        empty(state);
        for (size_t i = 0; i < count; i++) {
            /* Sizes of all magnitudes, as times have: a random number of random bits. */
            unsigned shift = (unsigned)(next_random(&random) % (seed % 2u == 0 ? 64u : 20u));
            values[i] = next_random(&random) >> (seed % 2u == 0 ? shift : 40u + shift);
            hist_record(&hist, values[i]);
        }
        check_against_sorted(values, count);
    }
}

static void one_value_is_every_quantile(void **state) {
    (void)state;
    hist_record(&hist, 1000003);
    hist_add(&view, &hist);
    assert_true(hist_quantile(&view, 1000000) == 1000003);
    assert_true(hist_quantile(&view, 2000000) == 1000003); /* more than all is all */
    assert_true(hist_quantile(&view, 0) == 1000003);
    assert_int_equal(hist_mean(&view), 1000003);
}

static void an_empty_histogram_is_zero_everywhere(void **state) {
    (void)state;
    hist_add(&view, &hist);
    assert_int_equal(view.count, 0);
    assert_int_equal(hist_quantile(&view, 500000), 0);
    assert_int_equal(hist_mean(&view), 0);
    assert_int_equal(hist_count_below(&view, UINT64_MAX), 0);
}

static void the_largest_and_smallest_values_fit(void **state) {
    (void)state;
    hist_record(&hist, 0);
    hist_record(&hist, UINT64_MAX);
    hist_add(&view, &hist);
    assert_int_equal(view.count, 2);
    assert_true(view.max == UINT64_MAX);
    assert_true(hist_quantile(&view, 1000000) == UINT64_MAX);
    assert_true(hist_quantile(&view, 500000) == 0);
}

static void quantiles_of_huge_counts_do_not_overflow(void **state) {
    (void)state;
    view.counts[hist_bucket(10)] = UINT64_C(1) << 60;
    view.counts[hist_bucket(20)] = UINT64_C(1) << 60;
    view.count = UINT64_C(1) << 61;
    view.max = 20;
    assert_true(hist_quantile(&view, 499999) == 10);
    assert_true(hist_quantile(&view, 500000) == 10);
    assert_true(hist_quantile(&view, 500001) == 20);
}

static void counts_below_a_bound_are_exact_at_the_ends_of_buckets(void **state) {
    (void)state;
    uint64_t random = 7;
    static uint64_t values[5000];
    for (size_t i = 0; i < 5000; i++) {
        values[i] = next_random(&random) % 100000u;
        hist_record(&hist, values[i]);
    }
    hist_add(&view, &hist);
    uint64_t before = 0;
    for (unsigned bucket = 0; bucket <= hist_bucket(100000); bucket++) {
        uint64_t bound = hist_bucket_last(bucket);
        uint64_t exact = 0;
        for (size_t i = 0; i < 5000; i++) {
            exact += values[i] <= bound;
        }
        assert_int_equal(hist_count_below(&view, bound), exact);
        if (bound > hist_bucket_first(bucket)) { /* inside a bucket: its own are left out */
            assert_int_equal(hist_count_below(&view, bound - 1u), before);
        }
        before = exact;
    }
}

/* ---- Several ------------------------------------------------------------------------------- */

static void adding_two_equals_recording_into_one(void **state) {
    (void)state;
    static struct hist both;
    static struct hist_view expected;
    memset(&both, 0, sizeof both);
    memset(&expected, 0, sizeof expected);
    uint64_t random = 99;
    for (int i = 0; i < 10000; i++) {
        uint64_t value = next_random(&random) >> (i % 50);
        hist_record(i % 3 == 0 ? &hist : &other, value);
        hist_record(&both, value);
    }
    hist_add(&view, &hist);
    hist_add(&view, &other);
    hist_add(&expected, &both);
    assert_memory_equal(&view, &expected, sizeof view);
}

#define RECORDS 2000000u

static void *keep_recording(void *arg) {
    struct hist *mine = arg;
    for (uint32_t i = 0; i < RECORDS; i++) {
        hist_record(mine, i % 1000u);
    }
    return NULL;
}

static void a_reader_beside_the_writer_sees_counts_that_only_grow(void **state) {
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_recording, &hist), 0);
    uint64_t before = 0;
    while (before < RECORDS) {
        memset(&view, 0, sizeof view);
        hist_add(&view, &hist);
        assert_true(view.count >= before);
        before = view.count;
        uint64_t highest = hist_quantile(&view, 1000000);
        assert_true(highest <= 999);
        assert_true(hist_quantile(&view, 500000) <= highest);
    }
    pthread_join(thread, NULL);
    memset(&view, 0, sizeof view);
    hist_add(&view, &hist);
    assert_int_equal(view.count, RECORDS);
    assert_true(view.sum == UINT64_C(999) * 500 * (RECORDS / 1000u));
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, empty)
    const struct CMUnitTest tests[] = {
        T(buckets_cover_all_values_once_and_in_order),
        T(small_values_have_buckets_of_their_own),
        T(quantiles_are_right_to_one_part_in_32),
        T(one_value_is_every_quantile),
        T(an_empty_histogram_is_zero_everywhere),
        T(the_largest_and_smallest_values_fit),
        T(quantiles_of_huge_counts_do_not_overflow),
        T(counts_below_a_bound_are_exact_at_the_ends_of_buckets),
        T(adding_two_equals_recording_into_one),
        T(a_reader_beside_the_writer_sees_counts_that_only_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
