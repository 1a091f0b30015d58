/* Test of format: agreement with the C library, bounds, and what it does not know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/format.h"

#define ROOM 256

/* Unchecked on purpose: unknown conversions are passed through here. */
static void expect(const char *wanted, const char *text, ...) {
    char out[ROOM];
    va_list args;
    va_start(args, text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t length = format_vstring(out, sizeof out, text, args);
#pragma GCC diagnostic pop
    va_end(args);
    if (strcmp(out, wanted) != 0 || length != strlen(wanted)) {
        fail_msg("\"%s\" gives \"%s\" (%zu), expected \"%s\"", text, out, length, wanted);
    }
}

/* The C library is the expectation. */
#define SAME(text, ...)                                           \
    do {                                                          \
        char wanted[ROOM];                                        \
        (void)snprintf(wanted, sizeof wanted, text, __VA_ARGS__); \
        expect(wanted, text, __VA_ARGS__);                        \
    } while (0)

static void plain_text_and_percent_print_themselves(void **state) {
    (void)state;
    expect("", "");
    expect("plain text", "plain text");
    expect("100%", "100%%");
    expect("%", "%%");
}

#define SIGNED(flags, value)                                \
    do {                                                    \
        SAME("%" flags "d", (int)(value));                  \
        SAME("%" flags "i", (int)(value));                  \
        SAME("%" flags "hd", (short)(value));               \
        SAME("%" flags "hhd", (signed char)(value));        \
        SAME("%" flags "ld", (long)(value));                \
        SAME("%" flags "lld", (long long)(value));          \
        SAME("%" flags "jd", (intmax_t)(value));            \
        SAME("%" flags "td", (ptrdiff_t)(value));           \
        SAME("%" flags "u", (unsigned)(value));             \
        SAME("%" flags "hu", (unsigned short)(value));      \
        SAME("%" flags "hhu", (unsigned char)(value));      \
        SAME("%" flags "lx", (unsigned long)(value));       \
        SAME("%" flags "llX", (unsigned long long)(value)); \
        SAME("%" flags "ju", (uintmax_t)(value));           \
        SAME("%" flags "zx", (size_t)(value));              \
        SAME("%" flags "x", (unsigned)(value));             \
        SAME("%" flags "X", (unsigned)(value));             \
    } while (0)

static void numbers_of_every_length_print_as_in_the_c_library(void **state) {
    (void)state;
    static const long long values[] = {0,         1,         -1,         9,         10,       127,
                                       128,       -128,      255,        32767,     -32768,   65535,
                                       INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        SIGNED("", values[i]);
        SIGNED("1", values[i]);
        SIGNED("25", values[i]);
        SIGNED("-25", values[i]);
        SIGNED("025", values[i]);
        SIGNED(".0", values[i]);
        SIGNED(".25", values[i]);
        SIGNED("30.25", values[i]);
        SIGNED("-30.25", values[i]);
    }
    SAME("%llu %zu", (unsigned long long)UINT64_MAX, (size_t)SIZE_MAX);
}

static void strings_and_characters_are_padded_and_cut(void **state) {
    (void)state;
    SAME("[%s][%8s][%-8s][%.2s][%8.2s][%.0s]", "text", "text", "text", "text", "text", "text");
    SAME("[%c][%5c][%-5c]", 'a', 'b', 'c');
    expect("(null)", "%s", (char *)NULL);
}

static void stars_take_width_and_precision_from_the_arguments(void **state) {
    (void)state;
    SAME("[%*d][%-*d][%*d]", 6, 42, 6, 42, -6, 42);
    SAME("[%.*d][%.*d][%*.*s]", 4, 42, -1, 42, 6, 2, "text");
}

static void a_string_is_never_read_past_its_precision(void **state) {
    (void)state;
    /* On the heap, so that AddressSanitizer sees one byte too many. */
    char *slice = malloc(3);
    assert_non_null(slice);
    memcpy(slice, "abc", 3);
    expect("abc", "%.3s", slice);
    expect("ab", "%.*s", 2, slice);
    expect("", "%.0s", slice);
    free(slice);
}

static void pointers_print_as_0x_and_digits_also_null(void **state) {
    (void)state;
    SAME("%p", (void *)(uintptr_t)0xdeadbeef);
    SAME("[%20p][%-20p]", (void *)(uintptr_t)0x1234, (void *)(uintptr_t)0x1234);
    expect("0x0", "%p", (void *)NULL);
}

static void unknown_conversions_print_themselves_and_take_no_argument(void **state) {
    (void)state;
    expect("%y 5", "%y %d", 5);
    expect("%f 5", "%f %d", 5);
    expect("%n", "%n");
    expect("%+d 5", "%+d %d", 5);
    expect("%-*.3q 5", "%-*.3q %d", 5);
    expect("%ls 5", "%ls %d", 5);
    expect("%", "%");
    expect("end %", "end %");
    expect("%08", "%08");
    expect("%ll", "%ll");
}

static void output_is_cut_terminated_and_the_full_length_returned(void **state) {
    (void)state;
    for (size_t size = 1; size <= 12; size++) {
        char out[16];
        memset(out, '#', sizeof out);
        assert_int_equal(format_string(out, size, "%s-%d", "hello", 1234), 10);
        size_t shown = size - 1 < 10 ? size - 1 : 10;
        assert_memory_equal(out, "hello-1234", shown);
        assert_int_equal(out[shown], '\0');
        for (size_t i = shown + 1; i < sizeof out; i++) {
            assert_int_equal(out[i], '#'); /* nothing behind the terminator is touched */
        }
    }
    assert_int_equal(format_string(NULL, 0, "%d", 12345), 5);
}

/* Unchecked on purpose: the compiler knows that C does not allow these widths. */
static size_t length_of(const char *text, ...) {
    va_list args;
    va_start(args, text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t length = format_vstring(NULL, 0, text, args);
#pragma GCC diagnostic pop
    va_end(args);
    return length;
}

static void width_and_precision_are_bounded(void **state) {
    (void)state;
    assert_int_equal(length_of("%99999999999999999999d", 1), FORMAT_WIDTH_MAX);
    assert_int_equal(length_of("%.*d", INT32_MAX, 1), FORMAT_WIDTH_MAX);
    assert_int_equal(length_of("%*d", INT32_MIN, 1), FORMAT_WIDTH_MAX);
}

struct collected {
    char text[ROOM];
    size_t used;
    unsigned pieces;
};

static void collect(void *arg, const char *piece, size_t length) {
    struct collected *c = arg;
    assert_true(length > 0);
    assert_true(c->used + length < sizeof c->text);
    memcpy(c->text + c->used, piece, length);
    c->used += length;
    c->pieces++;
}

static size_t through_sink(struct collected *c, const char *text, ...) FORMAT_CHECKED(2, 3);
static size_t through_sink(struct collected *c, const char *text, ...) {
    va_list args;
    va_start(args, text);
    size_t length = format_to(collect, c, text, args);
    va_end(args);
    return length;
}

static void a_sink_gets_every_piece_in_order(void **state) {
    (void)state;
    struct collected c = {.used = 0};
    assert_int_equal(through_sink(&c, "a%40db%sc%%", 7, ""), 44);
    char wanted[ROOM];
    (void)snprintf(wanted, sizeof wanted, "a%40db%sc%%", 7, "");
    assert_string_equal(c.text, wanted);
    assert_true(c.pieces > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_and_percent_print_themselves),
        cmocka_unit_test(numbers_of_every_length_print_as_in_the_c_library),
        cmocka_unit_test(strings_and_characters_are_padded_and_cut),
        cmocka_unit_test(stars_take_width_and_precision_from_the_arguments),
        cmocka_unit_test(a_string_is_never_read_past_its_precision),
        cmocka_unit_test(pointers_print_as_0x_and_digits_also_null),
        cmocka_unit_test(unknown_conversions_print_themselves_and_take_no_argument),
        cmocka_unit_test(output_is_cut_terminated_and_the_full_length_returned),
        cmocka_unit_test(width_and_precision_are_bounded),
        cmocka_unit_test(a_sink_gets_every_piece_in_order),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
