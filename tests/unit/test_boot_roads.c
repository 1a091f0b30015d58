/* Test of boot roads: what all of them put into boot_info fits, and is counted where it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.c"
#include "boot/roads.c"
#include "tests/lib/road_check.h"

static struct boot_info info;

static int start(void **state) {
    (void)state;
    memset(&info, 0, sizeof info);
    return 0;
}

static int stop(void **state) {
    (void)state;
    assert_null(road_check(&info));
    return 0;
}

static void ranges_beyond_the_table_are_counted(void **state) {
    (void)state;
    boot_add_range(&info, 0x1000, 0, BOOT_RAM); /* empty: of no interest */
    for (uint64_t i = 0; i < BOOT_RANGES_MAX + 7; i++) {
        boot_add_range(&info, i << 20, 0x1000, BOOT_RAM);
    }
    assert_int_equal(info.range_count, BOOT_RANGES_MAX);
    assert_int_equal(info.dropped_ranges, 7);
    assert_int_equal(info.ranges[BOOT_RANGES_MAX - 1].base, (BOOT_RANGES_MAX - 1) << 20);
}

static void modules_beyond_the_table_are_counted(void **state) {
    (void)state;
    for (uint64_t i = 0; i < BOOT_MODULES_MAX + 3; i++) {
        boot_add_module(&info, i << 20, i, i == 0 ? NULL : "initrd", 100);
    }
    assert_int_equal(info.module_count, BOOT_MODULES_MAX);
    assert_int_equal(info.dropped_modules, 3);
    assert_string_equal(info.modules[0].name, "");
    assert_string_equal(info.modules[1].name, "initrd");
    assert_int_equal(info.modules[5].size, 5);
}

static void text_needs_no_end_and_may_be_too_long(void **state) {
    (void)state;
    char *text = malloc(5000); /* a sanitizer sees a byte too many */
    memset(text, 'x', 5000);
    boot_set_cmdline(&info, text, 5000);
    assert_int_equal(info.cmdline_length, 5000);
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    boot_set_cmdline(&info, text, BOOT_CMDLINE_MAX);
    assert_int_equal(info.cmdline_length, BOOT_CMDLINE_MAX);
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    boot_set_cmdline(&info, text + 4990, 10);
    assert_string_equal(info.cmdline, "xxxxxxxxxx");
    boot_add_module(&info, 1, 1, text + 4990, 10);
    assert_string_equal(info.modules[0].name, "xxxxxxxxxx");
    boot_add_module(&info, 1, 1, text, 5000);
    assert_int_equal(strlen(info.modules[1].name), BOOT_NAME_MAX - 1);
    boot_set_cmdline(&info, NULL, 10);
    assert_string_equal(info.cmdline, "");
    assert_int_equal(info.cmdline_length, 0);
    boot_set_cmdline(&info, "short\0hidden", 12);
    assert_string_equal(info.cmdline, "short");
    assert_int_equal(info.cmdline_length, 5);
    free(text);
}

static void only_memory_below_the_limit_is_reached(void **state) {
    (void)state;
    info.early_offset = 0x1000000000000;
    assert_null(boot_reach(&info, 0, 1));
    assert_null(boot_reach(&info, BOOT_REACH, 0));
    assert_null(boot_reach(&info, BOOT_REACH - 8, 9));
    assert_null(boot_reach(&info, 0x1000, UINT64_MAX));
    assert_null(boot_reach(&info, UINT64_MAX, 1));
    assert_ptr_equal(boot_reach(&info, BOOT_REACH - 8, 8),
                     (const void *)(0x1000000000000 + BOOT_REACH - 8));
}

static void the_first_complaint_is_kept(void **state) {
    (void)state;
    road_complain(&info, "first");
    road_complain(&info, "second");
    assert_string_equal(info.complaint, "first");
}

static void kinds_of_memory_are_those_of_the_bios(void **state) {
    (void)state;
    static const uint32_t kinds[] = {BOOT_RESERVED, BOOT_RAM, BOOT_RESERVED, BOOT_ACPI_RECLAIM,
                                     BOOT_ACPI_NVS, BOOT_BAD, BOOT_RESERVED};
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(road_range_kind(i), kinds[i]);
    }
    assert_int_equal(road_range_kind(UINT32_MAX), BOOT_RESERVED);
}

static const struct boot_framebuffer rgb = {.base = 0xfd000000,
                                            .kind = BOOT_FB_RGB,
                                            .pitch = 4096,
                                            .width = 1024,
                                            .height = 768,
                                            .bits_per_pixel = 32,
                                            .red_shift = 16,
                                            .red_bits = 8,
                                            .green_shift = 8,
                                            .green_bits = 8,
                                            .blue_bits = 8};

static void screens_that_make_sense_are_taken(void **state) {
    (void)state;
    struct boot_framebuffer s = rgb;
    road_set_screen(&info, &s);
    assert_memory_equal(&info.framebuffer, &s, sizeof s);
    s.bits_per_pixel = 16;
    s.red_shift = 11, s.red_bits = 5, s.green_shift = 5, s.green_bits = 6, s.blue_bits = 5;
    s.pitch = 2048;
    road_set_screen(&info, &s);
    assert_int_equal(info.framebuffer.bits_per_pixel, 16);
    s = (struct boot_framebuffer){
        .base = 0xb8000, .kind = BOOT_FB_TEXT, .pitch = 160, .width = 80, .height = 25};
    road_set_screen(&info, &s);
    assert_int_equal(info.framebuffer.kind, BOOT_FB_TEXT);
    assert_null(info.complaint);
}

static void expect_no_screen(const struct boot_framebuffer *s) {
    start(NULL);
    road_set_screen(&info, s);
    assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
    assert_non_null(info.complaint);
}

static void screens_that_cannot_be_are_left_out(void **state) {
    (void)state;
    struct boot_framebuffer s;
#define WITHOUT_SENSE(change) \
    s = rgb;                  \
    s.change;                 \
    expect_no_screen(&s);
    WITHOUT_SENSE(base = 0)
    WITHOUT_SENSE(base = UINT64_MAX - 4096)
    WITHOUT_SENSE(width = 0)
    WITHOUT_SENSE(height = 0)
    WITHOUT_SENSE(width = 1025) /* wider than a line */
    WITHOUT_SENSE(height = UINT32_MAX)
    WITHOUT_SENSE(width = UINT32_MAX)
    WITHOUT_SENSE(kind = 3)
    WITHOUT_SENSE(pitch = 4095)
    WITHOUT_SENSE(pitch = UINT32_MAX)
    WITHOUT_SENSE(bits_per_pixel = 15)
    WITHOUT_SENSE(bits_per_pixel = 8)
    WITHOUT_SENSE(bits_per_pixel = 0)
    WITHOUT_SENSE(red_bits = 0)
    WITHOUT_SENSE(green_bits = 9)
    WITHOUT_SENSE(blue_shift = 25)
    WITHOUT_SENSE(red_shift = 255)
    s = (struct boot_framebuffer){
        .base = 1, .kind = BOOT_FB_TEXT, .pitch = 65536, .width = 16385, .height = 25};
    expect_no_screen(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges_beyond_the_table_are_counted, start, stop),
        cmocka_unit_test_setup_teardown(modules_beyond_the_table_are_counted, start, stop),
        cmocka_unit_test_setup_teardown(text_needs_no_end_and_may_be_too_long, start, stop),
        cmocka_unit_test_setup_teardown(only_memory_below_the_limit_is_reached, start, stop),
        cmocka_unit_test_setup_teardown(the_first_complaint_is_kept, start, stop),
        cmocka_unit_test_setup_teardown(kinds_of_memory_are_those_of_the_bios, start, stop),
        cmocka_unit_test_setup_teardown(screens_that_make_sense_are_taken, start, stop),
        cmocka_unit_test_setup_teardown(screens_that_cannot_be_are_left_out, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
