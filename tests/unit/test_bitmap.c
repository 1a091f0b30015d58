/* Test of bitmap: the next set bit, ranges and the levels above agree with an array of bools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/bitmap.h"
#include "lib/rand.h"

#define BITS_MAX ((size_t)300000)
#define STEPS    4000u

static uint64_t memory[BITS_MAX / 32];
static uint8_t model_bits[BITS_MAX / 8 + 1];
static struct bitmap map;

static void check_levels(void) {
    for (unsigned n = 0; n + 1 < map.levels; n++) {
        for (size_t i = 0; i < bitmap_words_at(map.bits, n); i++) {
            bool set = (map.level[n + 1][i / 64] >> (i % 64) & 1) != 0;
            assert_int_equal(set, map.level[n][i] != 0);
        }
    }
}

static bool model(size_t i) {
    return (model_bits[i / 8] >> (i % 8) & 1) != 0;
}

static void model_set(size_t i, bool value) {
    uint8_t bit = (uint8_t)(1u << (i % 8));
    model_bits[i / 8] = (uint8_t)(value ? model_bits[i / 8] | bit : model_bits[i / 8] & ~bit);
}

static size_t model_next(size_t from, bool value, size_t end) {
    while (from < end && model(from) != value)
        from++;
    return from;
}

static void random_steps_agree_with_a_model(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 65, 4096, 4097, 262144, 262145, BITS_MAX};
    struct rand_state random = rand_seed(1);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint32_t bits = (uint32_t)sizes[s];
        assert_true(bitmap_words(bits) * 64 >= bits);
        bitmap_init(&map, memory, bits);
        memset(model_bits, 0, sizeof model_bits);
        for (unsigned step = 0; step < STEPS; step++) {
            size_t i = rand_below(&random, bits);
            size_t end = i + 1 + rand_below(&random, (uint32_t)(bits - i));
            switch (rand_below(&random, 200) == 0 ? 9 : rand_below(&random, 4)) {
            case 9:
                bitmap_set_range(&map, i, end);
                for (size_t n = i; n < end; n++)
                    model_set(n, true);
                break;
            case 0:
                bitmap_set(&map, i);
                model_set(i, true);
                break;
            case 1:
                bitmap_clear(&map, i);
                model_set(i, false);
                break;
            case 2: {
                size_t next = model_next(i, true, bits);
                assert_int_equal(bitmap_next(&map, i), next == bits ? BITMAP_NONE : next);
                break;
            }
            default:
                assert_int_equal(bitmap_next_clear(&map, i, end), model_next(i, false, end));
                assert_int_equal(bitmap_test(&map, i), model(i));
            }
        }
        check_levels();
    }
}

static void nothing_is_found_behind_the_last_bit(void **state) {
    (void)state;
    bitmap_init(&map, memory, 100);
    assert_int_equal(bitmap_next(&map, 0), BITMAP_NONE);
    bitmap_set(&map, 99);
    assert_int_equal(bitmap_next(&map, 0), 99);
    assert_int_equal(bitmap_next(&map, 99), 99);
    assert_int_equal(bitmap_next(&map, 100), BITMAP_NONE);
    assert_int_equal(bitmap_next(&map, 100000), BITMAP_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_agree_with_a_model),
        cmocka_unit_test(nothing_is_found_behind_the_last_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
