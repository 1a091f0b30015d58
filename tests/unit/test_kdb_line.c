/* Test of the monitor's line: what a terminal sends, and what it shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/debug/kdb_line.c"

static struct kdb_line line;
static char shown[4096]; /* what a terminal would show: backspaces done, bells counted */
static size_t shown_used;
static unsigned bells;

static void show(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\b')
            shown_used--;
        else if (text[i] == '\a')
            bells++;
        else
            shown[shown_used++] = text[i];
    }
}

static int fresh(void **state) {
    (void)state;
    memset(&line, 0, sizeof line);
    memset(shown, 0, sizeof shown);
    shown_used = bells = 0;
    return 0;
}

/* Types bytes; returns how many lines came out of them. The last one stays in `line`. */
static unsigned type(const char *bytes) {
    unsigned lines = 0;
    for (; *bytes != '\0'; bytes++)
        lines += kdb_line_byte(&line, (uint8_t)*bytes, show);
    return lines;
}

static void enter(const char *text) {
    assert_int_equal(type(text), 0);
    assert_int_equal(type("\r"), 1);
    kdb_line_next(&line);
}

static void a_line_ends_at_cr_lf_or_both_once(void **state) {
    (void)state;
    assert_int_equal(type("one\r"), 1);
    assert_string_equal(line.text, "one");
    kdb_line_next(&line);
    assert_int_equal(type("\ntwo\n"), 1);
    assert_string_equal(line.text, "two");
    kdb_line_next(&line);
    assert_int_equal(type("\n\n"), 2);
    assert_string_equal(shown, "one\ntwo\n\n\n");
}

static void backspace_and_delete_take_the_last_byte_and_no_more(void **state) {
    (void)state;
    type("abc\b\x7f"
         "d\r");
    assert_string_equal(line.text, "ad");
    kdb_line_next(&line);
    type("x\b\b\b"
         "y\r");
    assert_string_equal(line.text, "y");
}

static void ctrl_u_forgets_the_line_and_ctrl_c_ends_it_empty(void **state) {
    (void)state;
    assert_int_equal(type("reboot\x15help"), 0);
    assert_string_equal(line.text, "help");
    assert_int_equal(type("\x03"), 1);
    assert_string_equal(line.text, "");
}

static void a_line_that_is_too_long_rings_and_keeps_what_fits(void **state) {
    (void)state;
    for (unsigned i = 0; i < 500; i++)
        type("x");
    assert_int_equal(line.length, KDB_LINE_MAX - 1u);
    assert_int_equal(strlen(line.text), KDB_LINE_MAX - 1u);
    assert_int_equal(bells, 500u - (KDB_LINE_MAX - 1u));
}

static void arrows_walk_through_the_history(void **state) {
    (void)state;
    enter("one");
    enter("two");
    type("\x1b[A");
    assert_string_equal(line.text, "two");
    type("\x1b[A");
    assert_string_equal(line.text, "one");
    type("\x1b[A"); /* there is no older one */
    assert_int_equal(bells, 1);
    assert_string_equal(line.text, "one");
    type("\x1b[B");
    assert_string_equal(line.text, "two");
    type("!\r");
    assert_string_equal(line.text, "two!");
    assert_string_equal(strrchr(shown, 't'), "two!\n");
}

static void the_history_keeps_the_newest_and_no_repetitions(void **state) {
    (void)state;
    char name[3] = "a0";
    for (unsigned i = 0; i < 10; i++) {
        name[1] = (char)('0' + i);
        enter(name);
        enter(name);
        enter("");
    }
    assert_int_equal(line.kept, 10);
    for (unsigned i = 0; i < KDB_HISTORY; i++)
        type("\x1b[A");
    assert_string_equal(line.text, "a2");
    type("\x1b[A");
    assert_int_equal(bells, 1);
}

static void other_keys_and_bytes_are_ignored(void **state) {
    (void)state;
    type("a\x1b[C\x1b[3~\x1bOP\x01\xc3\xa4"
         "b\r");
    /* ESC O P: the O ends the sequence, the P is typed. */
    assert_string_equal(line.text, "aPb");
    assert_string_equal(shown, "aPb\n");
}

static void no_input_leaves_the_line_damaged(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        shown_used = 2048; /* backspaces go back from here */
        if (kdb_line_byte(&line, (uint8_t)(seed >> 24), show))
            kdb_line_next(&line);
        assert_true(line.length < KDB_LINE_MAX);
        assert_int_equal(line.text[line.length], '\0');
        assert_int_equal(strlen(line.text), line.length);
    }
}

static void words_are_separated_by_any_blanks(void **state) {
    (void)state;
    char *words[KDB_WORDS_MAX];
    char text[] = "  peek   ffff 10 ";
    assert_int_equal(kdb_words(text, words), 3);
    assert_string_equal(words[0], "peek");
    assert_string_equal(words[1], "ffff");
    assert_string_equal(words[2], "10");
    char none[] = "   ";
    assert_int_equal(kdb_words(none, words), 0);
    char eight[] = "1 2 3 4 5 6 7 8", nine[] = "1 2 3 4 5 6 7 8 9";
    assert_int_equal(kdb_words(eight, words), 8);
    assert_int_equal(kdb_words(nine, words), KDB_WORDS_MAX + 1u);
}

static void numbers_are_read_whole_or_not_at_all(void **state) {
    (void)state;
    uint64_t n = 0;
    assert_true(kdb_number("42", 10, &n) && n == 42);
    assert_true(kdb_number("0x2a", 10, &n) && n == 42);
    assert_true(kdb_number("2A", 16, &n) && n == 42);
    assert_true(kdb_number("ffffffffffffffff", 16, &n) && n == UINT64_MAX);
    assert_true(kdb_number("18446744073709551615", 10, &n) && n == UINT64_MAX);
    const char *const bad[] = {
        "", "0x", "x", "-1", "4 2", "42a", "18446744073709551616", "0x10000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(kdb_number(bad[i], 10, &n));
    assert_false(kdb_number("fffg", 16, &n));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_ends_at_cr_lf_or_both_once, fresh),
        cmocka_unit_test_setup(backspace_and_delete_take_the_last_byte_and_no_more, fresh),
        cmocka_unit_test_setup(ctrl_u_forgets_the_line_and_ctrl_c_ends_it_empty, fresh),
        cmocka_unit_test_setup(a_line_that_is_too_long_rings_and_keeps_what_fits, fresh),
        cmocka_unit_test_setup(arrows_walk_through_the_history, fresh),
        cmocka_unit_test_setup(the_history_keeps_the_newest_and_no_repetitions, fresh),
        cmocka_unit_test_setup(other_keys_and_bytes_are_ignored, fresh),
        cmocka_unit_test_setup(no_input_leaves_the_line_damaged, fresh),
        cmocka_unit_test(words_are_separated_by_any_blanks),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
