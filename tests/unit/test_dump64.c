/* Test of dump64: what leaves over the line comes back whole with everybody's tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/debug/dump64.c"

static char text[16384];
static size_t used, longest;

static void keep(const char *line, size_t length) {
    assert_true(length > 0 && line[length - 1u] == '\n');
    assert_null(memchr(line, '\n', length - 1u)); /* one line per call */
    memcpy(text + used, line, length);
    used += length;
    text[used] = '\0';
    longest = length > longest ? length : longest;
}

static void dump_of(const char *bytes, size_t size, size_t piece) {
    struct dump64 dump;
    used = longest = 0;
    dump64_begin(&dump, "X", keep);
    for (size_t at = 0; at < size; at += piece)
        dump64_write(&dump, bytes + at, size - at < piece ? size - at : piece);
    dump64_end(&dump);
}

/* The samples of RFC 4648, 10; sums as POSIX cksum prints them. */
static void known_texts_give_known_lines(void **state) {
    (void)state;
    dump_of("", 0, 1);
    assert_string_equal(text, "-----BEGIN X-----\n-----END X 0 4294967295-----\n");
    dump_of("f", 1, 1);
    assert_non_null(strstr(text, "\nZg==\n-----END X 1 "));
    dump_of("fo", 2, 1);
    assert_non_null(strstr(text, "\nZm8=\n"));
    dump_of("foobar", 6, 2);
    assert_string_equal(text, "-----BEGIN X-----\nZm9vYmFy\n-----END X 6 2606601686-----\n");
    dump_of("123456789", 9, 9); /* the usual check of a CRC */
    assert_non_null(strstr(text, " 9 930766865-----\n"));
}

static void lines_are_as_long_as_mail_allows(void **state) {
    (void)state;
    char bytes[1000];
    memset(bytes, 0xa5, sizeof bytes);
    dump_of(bytes, sizeof bytes, 333);
    assert_int_equal(longest, 77); /* 76 and the newline */
}

static void the_size_of_pieces_does_not_matter(void **state) {
    (void)state;
    char bytes[500], whole[sizeof text];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37u);
    dump_of(bytes, sizeof bytes, sizeof bytes);
    memcpy(whole, text, sizeof whole);
    for (size_t piece = 1; piece < 130; piece++) {
        dump_of(bytes, sizeof bytes, piece);
        assert_string_equal(text, whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_give_known_lines),
        cmocka_unit_test(lines_are_as_long_as_mail_allows),
        cmocka_unit_test(the_size_of_pieces_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
