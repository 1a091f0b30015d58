/* Test of framebuffer: pixels of each size end up where they should, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/font.c"
#include "kernel/core/font_data.c"
#include "kernel/core/framebuffer.c"

#define WIDTH  40u /* five characters, */
#define HEIGHT 35u /* two rows and a rest */
#define GAP    12u /* bytes behind each line */

static uint8_t video[HEIGHT * (WIDTH * 4u + GAP)];
static bool mapping_fails;

void *vm_map_phys(paddr_t pa, size_t size, unsigned prot) {
    assert_int_equal(pa, 0xfd000000u);
    assert_true(size <= sizeof video);
    assert_int_equal(prot, PAGE_WRITE | PAGE_COMBINE);
    return mapping_fails ? NULL : video;
}

bool initrd_find(const char *name, struct cpio_entry *entry) {
    (void)entry;
    assert_string_equal(name, "etc/font.psf");
    return false;
}

void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    (void)level, (void)module, (void)fmt;
}

static struct boot_framebuffer fb_of(uint8_t bits) {
    struct boot_framebuffer fb = {.base = 0xfd000000u,
                                  .kind = BOOT_FB_RGB,
                                  .pitch = WIDTH * (bits / 8u) + GAP,
                                  .width = WIDTH,
                                  .height = HEIGHT,
                                  .bits_per_pixel = bits};
    if (bits == 16)
        fb.red_shift = 11, fb.red_bits = 5, fb.green_shift = 5, fb.green_bits = 6, fb.blue_bits = 5;
    else
        fb.red_shift = 16, fb.red_bits = 8, fb.green_shift = 8, fb.green_bits = 8, fb.blue_bits = 8;
    return fb;
}

/* Draws one character and compares every byte of the memory with what it should be. */
static void check_draw(uint8_t bits, uint32_t lit, bool inverted) {
    struct screen_driver driver;
    struct boot_framebuffer fb = fb_of(bits);
    memset(video, 0x5a, sizeof video);
    assert_null(framebuffer_open(&driver, &fb));
    assert_int_equal(driver.columns, 5);
    assert_int_equal(driver.rows, 2);
    driver.draw(3, 1, driver.glyph('g'), inverted);
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t at = 0; at < fb.pitch; at++) {
            uint32_t x = at / (bits / 8u), expected = 0x5a;
            if (x >= 24 && x < 32 && y >= 16 && y < 32) {
                bool on = (font_data['g' - 0x20][y - 16] >> (31u - x) & 1u) != 0;
                expected = (on != inverted ? lit : 0) >> (8u * (at % (bits / 8u))) & 0xffu;
            }
            assert_int_equal(video[y * fb.pitch + at], expected);
        }
}

static void characters_are_drawn_in_each_pixel_size(void **state) {
    (void)state;
    check_draw(32, 0xd0d0d0, false);
    check_draw(24, 0xd0d0d0, true);
    check_draw(16, 26u << 11 | 52u << 5 | 26u, false); /* 0xd0 of 8 bits, in 5 and 6 */
}

static void clearing_leaves_no_point_lit(void **state) {
    (void)state;
    struct screen_driver driver;
    struct boot_framebuffer fb = fb_of(32);
    memset(video, 0x5a, sizeof video);
    assert_null(framebuffer_open(&driver, &fb));
    driver.clear();
    for (uint32_t i = 0; i < HEIGHT * fb.pitch; i++)
        assert_int_equal(video[i], 0);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    struct screen_driver driver;
    struct boot_framebuffer fb = fb_of(32);
    fb.bits_per_pixel = 8;
    assert_string_equal(framebuffer_open(&driver, &fb), "its pixels do not have 16, 24 or 32 bits");
    fb = fb_of(32), fb.pitch = WIDTH * 4u - 1u;
    assert_string_equal(framebuffer_open(&driver, &fb), "its size makes no sense");
    fb = fb_of(32), fb.width = 0x40000000u; /* width * 4 wraps */
    assert_string_equal(framebuffer_open(&driver, &fb), "its size makes no sense");
    fb = fb_of(32), fb.height = 0;
    assert_string_equal(framebuffer_open(&driver, &fb), "its size makes no sense");
    fb = fb_of(16), fb.red_shift = 12;
    assert_string_equal(framebuffer_open(&driver, &fb), "its colours are not inside a pixel");
    fb = fb_of(32), fb.blue_shift = 255;
    assert_string_equal(framebuffer_open(&driver, &fb), "its colours are not inside a pixel");
    mapping_fails = true;
    fb = fb_of(32);
    assert_string_equal(framebuffer_open(&driver, &fb), "its memory cannot be mapped");
    mapping_fails = false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_drawn_in_each_pixel_size),
        cmocka_unit_test(clearing_leaves_no_point_lit),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
