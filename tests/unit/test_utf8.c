/* Test of UTF-8: all of RFC 3629 against an independent decoder, and cuts at each place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/utf8.h"

/* Writes a code point in `length` bytes, shortest or not; returns the length. */
static size_t encode(char out[4], uint32_t code, size_t length) {
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1;) {
        out[i] = (char)(0x80u | (code & 0x3fu));
        code >>= 6;
    }
    out[0] = (char)(length == 1 ? code : marks[length] | code);
    return length;
}

static size_t shortest(uint32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void every_code_point_is_known_in_its_shortest_form_only(void **state) {
    (void)state;
    static const uint32_t room[] = {0, 0x80, 0x800, 0x10000, 0x200000};
    for (uint32_t code = 0; code < 0x200000; code++) {
        bool real = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        for (size_t length = 1; length <= 4; length++) {
            if (code >= room[length]) {
                continue;
            }
            char text[4];
            encode(text, code, length);
            size_t expected = real && length == shortest(code) ? length : 0;
            if (utf8_char(text, length) != expected) {
                fail_msg("U+%04X in %zu bytes: expected %zu", (unsigned)code, length, expected);
            }
        }
    }
}

static void no_character_reaches_beyond_the_end(void **state) {
    (void)state;
    const char *text = "\xf0\x9f\x98\x80";
    assert_int_equal(utf8_char(text, 0), 0);
    for (size_t size = 1; size < 4; size++) {
        assert_int_equal(utf8_char(text, size), 0);
    }
    assert_int_equal(utf8_char(text, 4), 4);
}

static void each_byte_that_cannot_begin_a_character_is_refused(void **state) {
    (void)state;
    for (unsigned byte = 0x80; byte <= 0xff; byte++) {
        char text[4] = {(char)byte, (char)0x80, (char)0x80, (char)0x80};
        bool lead = byte >= 0xc2 && byte <= 0xf4;
        if (!lead) {
            assert_int_equal(utf8_char(text, 4), 0);
        }
    }
    assert_false(utf8_valid("ab\xff", 3));
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10));
}

static void a_cut_never_splits_a_character_and_loses_at_most_three_bytes(void **state) {
    (void)state;
    const char *text = "a\xc3\xa4"
                       "b\xe2\x82\xac"
                       "c\xf0\x9f\x98\x80"
                       "d";
    size_t size = strlen(text);
    for (size_t limit = 0; limit <= size + 2; limit++) {
        size_t cut = utf8_cut(text, size, limit);
        assert_true(cut <= limit);
        assert_true(cut <= size);
        assert_true(utf8_valid(text, cut));
        assert_true(limit > size || limit - cut <= 3);
    }
    assert_int_equal(utf8_cut("abcdef", 6, 4), 4);
    assert_int_equal(utf8_cut("abc\x80\x80\x80\x80", 7, 5), 5); /* not UTF-8: any place is right */
}

static void length_stops_at_the_limit(void **state) {
    (void)state;
    const char four[4] = {'a', 'b', 'c', 'd'}; /* not terminated */
    assert_int_equal(utf8_length(four, 4), 4);
    assert_int_equal(utf8_length("ab", 4), 2);
    assert_int_equal(utf8_length("", 4), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_known_in_its_shortest_form_only),
        cmocka_unit_test(no_character_reaches_beyond_the_end),
        cmocka_unit_test(each_byte_that_cannot_begin_a_character_is_refused),
        cmocka_unit_test(a_cut_never_splits_a_character_and_loses_at_most_three_bytes),
        cmocka_unit_test(length_stops_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
