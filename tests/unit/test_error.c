/* Test of error: every code has its own name and a sentence, unknown ones say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"

static void every_code_is_named_as_it_is_spelled(void **state) {
    (void)state;
#define CHECK(name, value, sentence)                   \
    assert_string_equal(gmk_error_name(value), #name); \
    assert_string_equal(gmk_strerror(value), sentence);
    GMK_ERROR_LIST(CHECK)
#undef CHECK
}

static void codes_keep_their_published_values(void **state) {
    (void)state;
    assert_int_equal(GMK_OK, 0);
    assert_int_equal(GMK_RETRY, 1);
    assert_int_equal(GMK_EINVAL, -1);
    assert_int_equal(GMK_ECYCLE, -8);
    assert_int_equal(GMK_EFAIL, -25);
    assert_int_equal(GMK_ENOSYS, -35);
}

static void unknown_codes_have_a_name_and_a_sentence_too(void **state) {
    (void)state;
    const int unknown[] = {3, 1000, -36, -1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(gmk_error_name(unknown[i]), "GMK_E?");
        assert_string_equal(gmk_strerror(unknown[i]), "unknown error code");
    }
}

static void sentences_are_for_people(void **state) {
    (void)state;
#define CHECK(name, value, sentence)    \
    assert_true(strlen(sentence) >= 7); \
    assert_true(strlen(sentence) <= 80);
    GMK_ERROR_LIST(CHECK)
    GMK_DROP_LIST(CHECK)
#undef CHECK
}

static void every_drop_reason_is_named_and_fits_its_four_bits(void **state) {
    (void)state;
#define CHECK(name, value, sentence)                  \
    assert_string_equal(gmk_drop_name(value), #name); \
    assert_true((value) <= 15);
    GMK_DROP_LIST(CHECK)
#undef CHECK
    assert_string_equal(gmk_drop_name(12), "GMK_DROP_?");
    assert_string_equal(gmk_drop_name(UINT32_MAX), "GMK_DROP_?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_named_as_it_is_spelled),
        cmocka_unit_test(codes_keep_their_published_values),
        cmocka_unit_test(unknown_codes_have_a_name_and_a_sentence_too),
        cmocka_unit_test(sentences_are_for_people),
        cmocka_unit_test(every_drop_reason_is_named_and_fits_its_four_bits),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
