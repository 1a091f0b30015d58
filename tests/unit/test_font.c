/* Test of font: the built-in characters, and PSF files good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/font.c"
#include "kernel/core/font_data.c"

static struct font font;

static const uint8_t *rows_of(uint32_t character) {
    return font.glyphs + (size_t)font_glyph(&font, character) * 16u;
}

static void every_printable_character_has_a_picture_of_its_own(void **state) {
    (void)state;
    font_builtin(&font);
    const uint8_t blank[16] = {0};
    for (uint32_t a = 0x20; a < 0x7f; a++) {
        assert_int_equal(memcmp(rows_of(a), blank, 16) == 0, a == ' ');
        for (uint32_t b = a + 1u; b < 0x7f; b++)
            assert_memory_not_equal(rows_of(a), rows_of(b), 16);
    }
}

static void characters_leave_a_gap_to_their_neighbours(void **state) {
    (void)state;
    font_builtin(&font);
    for (uint32_t c = 0x21; c < 0x7f; c++) {
        for (unsigned y = 0; y < 16 && c != '_'; y++)
            assert_int_equal(rows_of(c)[y] & 1u, 0); /* the rightmost column */
        assert_int_equal(rows_of(c)[0] | rows_of(c)[15], 0);
    }
}

static void what_the_font_lacks_is_a_box(void **state) {
    (void)state;
    font_builtin(&font);
    const uint8_t *box = font_data[FONT_DATA_COUNT - 1u];
    const uint32_t strange[] = {0x00, 0x1f, 0x7f, 0x80, 0xe4, 0x20ac, 0xfffd, 0x1f600, UINT32_MAX};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        assert_ptr_equal(rows_of(strange[i]), box);
}

static void characters_are_decoded_from_utf8(void **state) {
    (void)state;
    assert_int_equal(font_character("A", 1), 'A');
    assert_int_equal(font_character("\xc3\xa4", 2), 0xe4);
    assert_int_equal(font_character("\xe2\x82\xac", 3), 0x20ac);
    assert_int_equal(font_character("\xf0\x9f\x98\x80", 4), 0x1f600);
}

/* ---- PSF files ----------------------------------------------------------------------- */

static uint8_t file[8192];

static size_t make_psf1(uint8_t mode, uint8_t height) {
    memset(file, 0, sizeof file);
    memcpy(file, (uint8_t[]){0x36, 0x04, mode, height}, 4);
    for (size_t i = 0; i < 256u * height; i++)
        file[4 + i] = (uint8_t)(i / height);
    return 4u + 256u * (size_t)height;
}

static size_t make_psf2(uint32_t count, uint32_t width, uint32_t height, const char *map,
                        size_t map_size) {
    uint32_t glyph = height * ((width + 7u) / 8u);
    struct psf2_header h = {PSF2_MAGIC, 0,     sizeof h, map != NULL ? PSF2_MAP : 0,
                            count,      glyph, height,   width};
    memset(file, 0, sizeof file);
    memcpy(file, &h, sizeof h);
    if (map_size > 0)
        memcpy(&file[sizeof h + (size_t)count * glyph], map, map_size);
    return sizeof h + (size_t)count * glyph + map_size;
}

static void a_psf1_file_without_a_map_has_its_glyphs_at_their_codes(void **state) {
    (void)state;
    assert_null(font_open_psf(&font, file, make_psf1(0, 14)));
    assert_int_equal(font.height, 14);
    assert_int_equal(font.width, 8);
    assert_int_equal(font_glyph(&font, 'A'), 'A');
    assert_int_equal(font_glyph(&font, 0xe4), 0xe4);
    assert_int_equal(font_glyph(&font, 0x20ac), '?');
}

static void a_psf1_map_is_followed(void **state) {
    (void)state;
    size_t size = make_psf1(PSF1_MAP, 8);
    const uint8_t map[] = {0x41, 0,    0x91, 0x03, 0xff, 0xff, /* glyph 0: A, Alpha */
                           0xfe, 0xff, 0x42, 0,    0xff, 0xff, /* 1: a sequence only */
                           0x42, 0,    0xff, 0xff};            /* 2: B */
    memcpy(&file[size], map, sizeof map);
    assert_null(font_open_psf(&font, file, size + sizeof map));
    assert_int_equal(font_glyph(&font, 'A'), 0);
    assert_int_equal(font_glyph(&font, 0x391), 0);
    assert_int_equal(font_glyph(&font, 'B'), 2);
    assert_int_equal(font_glyph(&font, 'C'), '?');
}

static void a_psf2_map_is_followed(void **state) {
    (void)state;
    const char map[] = "A\xff\xc3\xa4\xe2\x82\xac\xff\xfe"
                       "BC\xff"
                       "B\xff";
    assert_null(font_open_psf(&font, file, make_psf2(64, 12, 24, map, sizeof map - 1u)));
    assert_int_equal(font_row_bytes(&font), 2);
    assert_int_equal(font_glyph(&font, 'A'), 0);
    assert_int_equal(font_glyph(&font, 0xe4), 1);
    assert_int_equal(font_glyph(&font, 0x20ac), 1);
    assert_int_equal(font_glyph(&font, 'B'), 3);
    assert_int_equal(font_glyph(&font, 'C'), '?');
    assert_null(font_open_psf(&font, file, make_psf2(63, 8, 16, NULL, 0)));
    assert_int_equal(font_glyph(&font, 'a'), 0); /* it has no '?' either */
}

static void a_bad_file_is_refused_and_the_font_stays(void **state) {
    (void)state;
    font_builtin(&font);
    struct font before = font;
    size_t whole = make_psf2(64, 8, 16, NULL, 0);
    struct psf2_header good, bad;
    memcpy(&good, file, sizeof good);
    assert_string_equal(font_open_psf(&font, "Hello, world", 12), "it is no PSF file");
    for (size_t size = 0; size < whole; size++)
        assert_non_null(font_open_psf(&font, file, size));
    bad = good, bad.width = 0xfffffff9u; /* rounded up it wraps */
    memcpy(file, &bad, sizeof bad);
    assert_string_equal(font_open_psf(&font, file, whole), "its characters are too large");
    bad = good, bad.glyph_size = 15;
    memcpy(file, &bad, sizeof bad);
    assert_string_equal(font_open_psf(&font, file, whole), "its sizes contradict each other");
    bad = good, bad.count = 65535;
    memcpy(file, &bad, sizeof bad);
    assert_string_equal(font_open_psf(&font, file, whole), "it ends before its last character");
    bad = good, bad.header_size = UINT32_MAX;
    memcpy(file, &bad, sizeof bad);
    assert_string_equal(font_open_psf(&font, file, whole), "it ends before its last character");
    assert_memory_equal(&font, &before, sizeof font);
}

static void a_map_that_ends_early_is_not_read_past(void **state) {
    (void)state;
    size_t whole = make_psf1(PSF1_MAP, 8);
    for (size_t map = 0; map < 16; map++) { /* odd sizes too; a sanitizer watches */
        uint8_t *exact = test_malloc(whole + map);
        memcpy(exact, file, whole);
        memset(exact + whole, 0xfe, map);
        assert_null(font_open_psf(&font, exact, whole + map));
        assert_int_equal(font_glyph(&font, 0x1234), '?');
        test_free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_printable_character_has_a_picture_of_its_own),
        cmocka_unit_test(characters_leave_a_gap_to_their_neighbours),
        cmocka_unit_test(what_the_font_lacks_is_a_box),
        cmocka_unit_test(characters_are_decoded_from_utf8),
        cmocka_unit_test(a_psf1_file_without_a_map_has_its_glyphs_at_their_codes),
        cmocka_unit_test(a_psf1_map_is_followed),
        cmocka_unit_test(a_psf2_map_is_followed),
        cmocka_unit_test(a_bad_file_is_refused_and_the_font_stays),
        cmocka_unit_test(a_map_that_ends_early_is_not_read_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
