/* Test of string: the kernel's memory and text functions against loops that are plainly right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ROOM  96u /* more than one of each step, at each alignment */
#define SHIFT 9u

static uint8_t buffer[ROOM], wanted[ROOM];

static void fill(void) {
    for (unsigned i = 0; i < ROOM; i++)
        buffer[i] = wanted[i] = (uint8_t)(i * 7 + 1);
}

/* The compiler must neither see the size nor make a call of the loop. */
static size_t hide(size_t value) {
    static volatile size_t hidden;
    hidden = value;
    return hidden;
}

static void same(const char *what, size_t size, size_t from, size_t to) {
    for (unsigned i = 0; i < ROOM; i++)
        if (buffer[i] != wanted[i])
            fail_msg("%s of %zu bytes, %zu to %zu: byte %u", what, size, from, to, i);
}

static void memset_fills_exactly_its_bytes(void **state) {
    (void)state;
    for (size_t at = 0; at < SHIFT; at++) {
        for (size_t size = 0; at + size <= ROOM; size++) {
            fill();
            for (volatile size_t i = 0; i < size; i++)
                wanted[at + i] = 0xee;
            assert_ptr_equal(memset(buffer + at, (int)hide(0x3ee), hide(size)), buffer + at);
            same("memset", size, at, at);
        }
    }
}

static void memmove_is_right_for_every_overlap(void **state) {
    (void)state;
    for (size_t from = 0; from < 2 * SHIFT; from++) {
        for (size_t to = 0; to < 2 * SHIFT; to++) {
            for (size_t size = 0; size <= 40; size++) {
                fill();
                uint8_t copy[ROOM];
                for (volatile size_t i = 0; i < size; i++)
                    copy[i] = wanted[from + i];
                for (volatile size_t i = 0; i < size; i++)
                    wanted[to + i] = copy[i];
                assert_ptr_equal(memmove(buffer + to, buffer + from, hide(size)), buffer + to);
                same("memmove", size, from, to);
            }
        }
    }
}

static void memcpy_copies_exactly_its_bytes(void **state) {
    (void)state;
    for (size_t from = 0; from < SHIFT; from++) {
        for (size_t size = 0; size <= 30; size++) {
            fill();
            for (volatile size_t i = 0; i < size; i++)
                wanted[50 + i] = wanted[from + i];
            assert_ptr_equal(memcpy(buffer + 50, buffer + from, hide(size)), buffer + 50);
            same("memcpy", size, from, 50);
        }
    }
}

static void memcmp_finds_the_first_difference_as_unsigned(void **state) {
    (void)state;
    for (size_t size = 1; size <= 40; size++) {
        for (size_t at = 0; at < size; at++) {
            fill();
            assert_int_equal(memcmp(buffer, wanted, hide(size)), 0);
            wanted[at] = 0x80;
            buffer[at] = 0x7f;
            if (at + 1 < size)
                buffer[at + 1] = 0xff; /* later ones do not count */
            assert_true(memcmp(buffer, wanted, hide(size)) < 0);
            assert_true(memcmp(wanted, buffer, hide(size)) > 0);
            assert_int_equal(memcmp(buffer, wanted, hide(at)), 0);
        }
    }
}

static void texts_compare_by_unsigned_bytes_up_to_the_limit(void **state) {
    (void)state;
    assert_int_equal(strlen(""), 0);
    assert_int_equal(strlen("abc"), 3);
    assert_int_equal(strcmp("abc", "abc"), 0);
    assert_true(strcmp("ab", "abc") < 0);
    assert_true(strcmp("abc", "ab") > 0);
    assert_true(strcmp("\x7f", "\x80") < 0);
    assert_int_equal(strncmp("abcX", "abcY", 3), 0);
    assert_true(strncmp("abcX", "abcY", 4) < 0);
    assert_int_equal(strncmp("abc", "abc", 100), 0);
    assert_int_equal(strncmp("a", "b", hide(0)), 0);
}

static void bits_are_counted(void **state) {
    (void)state;
    for (unsigned n = 0; n <= 64; n++) {
        uint64_t bits = n == 64 ? UINT64_MAX : ((uint64_t)1 << hide(n)) - 1;
        assert_int_equal(__builtin_popcountll(bits), n);
        assert_int_equal(__builtin_popcountll(~bits), 64 - n);
    }
    assert_int_equal(__builtin_popcountll(hide(0x8000000000000001ull)), 2);
    assert_int_equal(__builtin_popcountll(hide(0x5a5a5a5a5a5a5a5aull)), 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memset_fills_exactly_its_bytes),
        cmocka_unit_test(memmove_is_right_for_every_overlap),
        cmocka_unit_test(memcpy_copies_exactly_its_bytes),
        cmocka_unit_test(memcmp_finds_the_first_difference_as_unsigned),
        cmocka_unit_test(texts_compare_by_unsigned_bytes_up_to_the_limit),
        cmocka_unit_test(bits_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
