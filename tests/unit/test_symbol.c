/* Test of symbol: the name of a function for every address, with a small table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/symbol.c"

const uint32_t ksyms_count = 3;
const uint32_t ksyms_offsets[] = {0x200000, 0x200010, 0x200100};
const char ksyms_names[] = "first\0second.part.0\0last";

static const char *name_at(uint64_t offset) {
    static char text[64];
    size_t length = symbol_format(LAYOUT_IMAGE + offset, text, sizeof text);
    assert_int_equal(length, strlen(text));
    return text;
}

static void an_address_belongs_to_the_last_function_that_begins_before_it(void **state) {
    (void)state;
    assert_string_equal(name_at(0x200000), "first+0x0");
    assert_string_equal(name_at(0x20000f), "first+0xf");
    assert_string_equal(name_at(0x200010), "second.part.0+0x0");
    assert_string_equal(name_at(0x2000ff), "second.part.0+0xef");
    assert_string_equal(name_at(0x200123), "last+0x23");
}

static void what_is_in_no_function_has_no_name(void **state) {
    (void)state;
    assert_string_equal(name_at(0x1fffff), "?");
    assert_string_equal(name_at(0x200100 + SYMBOL_LAST_MAX + 1u), "?");
    assert_string_equal(name_at(UINT64_C(0) - LAYOUT_IMAGE), "?");              /* NULL */
    assert_string_equal(name_at(UINT64_C(0x1000) - LAYOUT_IMAGE), "?");         /* low */
    assert_string_equal(name_at(LAYOUT_DIRECT - LAYOUT_IMAGE + 0x200000), "?"); /* direct map */
}

static void a_short_buffer_is_respected(void **state) {
    (void)state;
    char text[8] = "1234567";
    assert_int_equal(symbol_format(LAYOUT_IMAGE + 0x200012, text, 4), 17);
    assert_string_equal(text, "sec");
    assert_int_equal(text[4], '5');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_belongs_to_the_last_function_that_begins_before_it),
        cmocka_unit_test(what_is_in_no_function_has_no_name),
        cmocka_unit_test(a_short_buffer_is_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
