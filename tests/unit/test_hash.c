/* Test of hash and rand: known values, mixing, reference sequences, even draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/hash.h"
#include "lib/rand.h"

static uint64_t hash_of(const void *data, size_t size) {
    return hash_end(hash_bytes(hash_begin(0), data, size));
}

/* Trace hashes are compared between machines and releases: the function may not change. */
static void the_hash_of_known_input_stays_what_it_was(void **state) {
    (void)state;
    assert_int_equal(hash_text(""), UINT64_C(0x98c64936e78b9278));
    assert_int_equal(hash_text("ggmk"), UINT64_C(0xedec63ec3753d9e9));
    assert_int_equal(hash_text("sys.dropped"), UINT64_C(0xf675bb7622ebf180));
    assert_int_equal(hash_end(hash_u64(hash_begin(1), 2)), UINT64_C(0x3452c2ba5a5a319a));
}

static void text_and_bytes_agree(void **state) {
    (void)state;
    assert_int_equal(hash_text("a name of channel"), hash_of("a name of channel", 17));
}

static void order_length_and_seed_of_the_input_matter(void **state) {
    (void)state;
    uint64_t h = hash_begin(0);
    assert_true(hash_u64(hash_u64(h, 1), 2) != hash_u64(hash_u64(h, 2), 1));
    assert_true(hash_bytes(hash_bytes(h, "ab", 2), "c", 1) !=
                hash_bytes(hash_bytes(h, "a", 1), "bc", 2));
    assert_true(hash_of("\0\0", 2) != hash_of("\0\0\0", 3));
    assert_true(hash_end(hash_begin(0)) != hash_end(hash_begin(1)));
    assert_true(hash_end(hash_u64(h, 0)) != hash_end(h));
}

static void an_unaligned_start_makes_no_difference(void **state) {
    (void)state;
    static const char text[] = "0123456789abcdefghij";
    char room[64];
    for (size_t at = 0; at < 8; at++) {
        memcpy(room + at, text, sizeof text);
        assert_int_equal(hash_of(room + at, 20), hash_of(text, 20));
    }
}

/* Each input bit should flip each output bit about every second time. */
static void every_input_bit_moves_half_of_the_output(void **state) {
    (void)state;
    enum { SAMPLES = 200 };
    struct rand_state rand = rand_seed(3);
    for (unsigned bit = 0; bit < 64; bit++) {
        unsigned moved = 0;
        for (int i = 0; i < SAMPLES; i++) {
            uint64_t value = rand_next(&rand);
            uint64_t a = hash_end(hash_u64(hash_begin(0), value));
            uint64_t b = hash_end(hash_u64(hash_begin(0), value ^ (UINT64_C(1) << bit)));
            moved += (unsigned)__builtin_popcountll(a ^ b);
        }
        unsigned mean = moved / SAMPLES;
        if (mean < 29 || mean > 35) {
            fail_msg("input bit %u moves %u of 64 output bits, expected about 32", bit, mean);
        }
    }
}

static void a_hundred_thousand_names_do_not_collide(void **state) {
    (void)state;
    enum { NAMES = 100000, TABLE = 1 << 18 };
    static uint64_t table[TABLE];
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "channel.%d", i);
        uint64_t h = hash_text(name);
        size_t at = (size_t)h % TABLE;
        while (table[at] != 0) {
            assert_true(table[at] != h);
            at = (at + 1) % TABLE;
        }
        table[at] = h;
    }
}

/* First outputs of the authors' reference code, https://prng.di.unimi.it/ */
static void splitmix_and_xoshiro_follow_their_reference(void **state) {
    (void)state;
    uint64_t counter = 1234567;
    assert_int_equal(rand_splitmix(&counter), UINT64_C(6457827717110365317));
    assert_int_equal(rand_splitmix(&counter), UINT64_C(3203168211198807973));
    struct rand_state reference = {{1, 2, 3, 4}};
    assert_int_equal(rand_next(&reference), 11520);
    assert_int_equal(rand_next(&reference), 0);
    assert_int_equal(rand_next(&reference), 1509978240);
    assert_int_equal(rand_next(&reference), UINT64_C(1215971899390074240));
}

static void the_same_seed_gives_the_same_numbers(void **state) {
    (void)state;
    struct rand_state a = rand_seed(5), b = rand_seed(5), c = rand_seed(6);
    unsigned same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rand_next(&a);
        assert_int_equal(x, rand_next(&b));
        same += x == rand_next(&c);
    }
    assert_int_equal(same, 0);
}

static void numbers_below_a_bound_are_in_range_and_even(void **state) {
    (void)state;
    enum { BOUND = 7, DRAWS = 70000 };
    struct rand_state rand = rand_seed(0);
    unsigned seen[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t value = rand_below(&rand, BOUND);
        assert_true(value < BOUND);
        seen[value]++;
    }
    for (int i = 0; i < BOUND; i++) {
        assert_in_range(seen[i], DRAWS / BOUND - 500, DRAWS / BOUND + 500);
    }
    assert_int_equal(rand_below(&rand, 0), 0);
    assert_int_equal(rand_below(&rand, 1), 0);
    for (int i = 0; i < 1000; i++) { /* here nearly every second draw is drawn again */
        assert_true(rand_below(&rand, 0x80000001u) <= 0x80000000u);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_of_known_input_stays_what_it_was),
        cmocka_unit_test(text_and_bytes_agree),
        cmocka_unit_test(order_length_and_seed_of_the_input_matter),
        cmocka_unit_test(an_unaligned_start_makes_no_difference),
        cmocka_unit_test(every_input_bit_moves_half_of_the_output),
        cmocka_unit_test(a_hundred_thousand_names_do_not_collide),
        cmocka_unit_test(splitmix_and_xoshiro_follow_their_reference),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(numbers_below_a_bound_are_in_range_and_even),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
