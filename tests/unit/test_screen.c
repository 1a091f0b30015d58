/* Test of screen: where characters go in the grid, and what is drawn of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/font.c"
#include "kernel/core/font_data.c"
#include "kernel/core/screen.c"

#define COLUMNS 10u
#define ROWS    4u

static uint16_t grid[COLUMNS * ROWS];
static char seen[ROWS][COLUMNS + 1u]; /* what has been drawn; '#' is what is not ASCII */
static bool inverse[ROWS][COLUMNS];
static unsigned drawn;

static uint32_t fake_glyph(uint32_t character) {
    return character < 0x7f ? character : '#';
}

static void fake_draw(uint32_t c, uint32_t r, uint32_t glyph, bool inverted) {
    assert_true(c < COLUMNS && r < ROWS);
    seen[r][c] = (char)glyph;
    drawn++;
    inverse[r][c] = inverted;
}

/* The cursor's place: the only inverted cell. */
static unsigned cursor(void) {
    unsigned count = 0, place = 0;
    for (unsigned i = 0; i < ROWS * COLUMNS; i++)
        if (inverse[i / COLUMNS][i % COLUMNS]) {
            count++;
            place = i;
        }
    assert_int_equal(count, 1);
    return place;
}

static void fake_clear(void) {
    for (unsigned r = 0; r < ROWS; r++)
        memset(seen[r], ' ', COLUMNS);
}

static int fresh(void **state) {
    (void)state;
    const struct screen_driver driver = {COLUMNS, ROWS, fake_glyph, fake_clear, fake_draw};
    memset(seen, 0, sizeof seen);
    memset(inverse, 0, sizeof inverse);
    screen_attach(&driver, grid);
    return 0;
}

static void print(const char *text) {
    screen_write(text, strlen(text));
}

static void a_new_screen_is_blank(void **state) {
    (void)state;
    for (unsigned r = 0; r < ROWS; r++)
        assert_string_equal(seen[r], "          ");
}

static void text_runs_over_lines_and_wraps(void **state) {
    (void)state;
    print("hello\nworld, again\n");
    assert_string_equal(seen[0], "hello     ");
    assert_string_equal(seen[1], "world, aga");
    assert_string_equal(seen[2], "in        ");
    assert_int_equal(cursor(), 3u * COLUMNS);
}

static void the_last_line_scrolls_and_only_what_changes_is_drawn(void **state) {
    (void)state;
    print("a\nb\nc\nd");
    drawn = 0;
    print("\n");
    assert_string_equal(seen[0], "b         ");
    assert_string_equal(seen[2], "d         ");
    assert_string_equal(seen[3], "          ");
    assert_true(drawn <= ROWS + 2u); /* one cell of each row, and the cursor twice */
}

static void control_characters_move_and_the_rest_of_them_do_nothing(void **state) {
    (void)state;
    print("abc\rX\tY\b\bZ\x01\x1b\x7f");
    assert_string_equal(seen[0], "Xbc    ZY ");
    print("\n\b\b!");
    assert_string_equal(seen[1], "!         ");
    print("\t\t.");
    assert_string_equal(seen[2], ".         ");
}

static void characters_beyond_ascii_take_one_cell_and_bad_bytes_one_each(void **state) {
    (void)state;
    print("\xc3\xa4|\xe2\x82\xac|\xff\xfe|\xc3");
    assert_string_equal(seen[0], "#|#|##|#  ");
}

static void the_cursor_leaves_no_trace(void **state) {
    (void)state;
    print("one\ntwo");
    for (unsigned i = 0; i < 20; i++)
        print("\nx");
    for (unsigned r = 0; r < ROWS; r++)
        assert_string_equal(seen[r], "x         ");
    assert_int_equal(cursor(), (ROWS - 1u) * COLUMNS + 1u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_screen_is_blank, fresh),
        cmocka_unit_test_setup(text_runs_over_lines_and_wraps, fresh),
        cmocka_unit_test_setup(the_last_line_scrolls_and_only_what_changes_is_drawn, fresh),
        cmocka_unit_test_setup(control_characters_move_and_the_rest_of_them_do_nothing, fresh),
        cmocka_unit_test_setup(characters_beyond_ascii_take_one_cell_and_bad_bytes_one_each, fresh),
        cmocka_unit_test_setup(the_cursor_leaves_no_trace, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
