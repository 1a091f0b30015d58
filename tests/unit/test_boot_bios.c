/* Test of our own loader's road: what it hands over is told, and another version is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/bios.c"
#include "boot/boot_info.c"
#include "boot/roads.c"
#include "tests/lib/road_check.h"

static struct boot_info info;
static struct bios_boot boot;

static int start(void **state) {
    (void)state;
    memset(&info, 0, sizeof info);
    boot = (struct bios_boot){.magic = BIOS_BOOT_MAGIC,
                              .size = sizeof boot,
                              .kept_base = 0x8000,
                              .kept_size = 0x3000,
                              .initrd_base = 0x1000000,
                              .initrd_size = 0x200,
                              .range_count = 3,
                              .ranges = {{0, 0x9fc00, 1, 1},
                                         {0x9fc00, 0x400, 2, 1},
                                         {0x100000, 0x7ee0000, 1, 0}}, /* to be ignored */
                              .cmdline = "cpus=2"};
    return 0;
}

static int stop(void **state) {
    (void)state;
    assert_null(road_check(&info));
    return 0;
}

static void a_machine_is_told_whole(void **state) {
    (void)state;
    boot.screen = (struct boot_framebuffer){
        .base = 0xb8000, .kind = BOOT_FB_TEXT, .pitch = 160, .width = 80, .height = 25};
    boot.ranges_dropped = 5;
    bios_read(&info, &boot, sizeof boot);
    assert_null(info.complaint);
    assert_string_equal(info.cmdline, "cpus=2");
    assert_int_equal(info.module_count, 1);
    assert_int_equal(info.modules[0].base, 0x1000000);
    assert_string_equal(info.modules[0].name, "initrd");
    assert_int_equal(info.range_count, 3); /* two of the map, and what the loader keeps */
    assert_int_equal(info.ranges[1].kind, BOOT_RESERVED);
    assert_int_equal(info.ranges[2].kind, BOOT_LOADER);
    assert_int_equal(info.dropped_ranges, 5);
    assert_int_equal(info.framebuffer.kind, BOOT_FB_TEXT);
}

static void another_version_is_refused(void **state) {
    (void)state;
    bios_read(&info, &boot, sizeof boot - 1);
    assert_non_null(info.complaint);
    bios_read(&info, NULL, 0);
    boot.size++;
    bios_read(&info, &boot, sizeof boot);
    boot.size--;
    boot.magic ^= 1;
    bios_read(&info, &boot, sizeof boot);
    assert_int_equal(info.range_count + info.module_count, 0);
}

static void a_screen_of_unknown_kind_is_refused(void **state) {
    (void)state;
    boot.screen = (struct boot_framebuffer){
        .base = 0xb8000, .kind = 77, .pitch = 160, .width = 80, .height = 25};
    bios_read(&info, &boot, sizeof boot);
    assert_non_null(info.complaint);
    assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
}

static void what_is_missing_is_left_out(void **state) {
    (void)state;
    boot.initrd_size = 0;
    boot.kept_size = 0;
    boot.range_count = 0;
    bios_read(&info, &boot, sizeof boot);
    assert_null(info.complaint);
    assert_int_equal(info.range_count + info.module_count + info.framebuffer.kind, 0);
}

static void a_screen_of_no_kind_is_left_out(void **state) {
    (void)state;
    boot.screen = (struct boot_framebuffer){.base = 0xfd000000,
                                            .kind = 3,
                                            .pitch = 4096,
                                            .width = 1024,
                                            .height = 768,
                                            .bits_per_pixel = 32,
                                            .red_bits = 8,
                                            .green_bits = 8,
                                            .blue_bits = 8};
    bios_read(&info, &boot, sizeof boot);
    assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
    assert_non_null(info.complaint);
}

static void too_many_ranges_and_an_endless_text_are_cut(void **state) {
    (void)state;
    boot.range_count = UINT32_MAX;
    for (uint32_t i = 0; i < BIOS_RANGES_MAX; i++) {
        boot.ranges[i] = (struct bios_range){(uint64_t)i << 20, 0x1000, 1, 1};
    }
    memset(boot.cmdline, 'x', sizeof boot.cmdline);
    struct bios_boot *copy = malloc(sizeof boot);
    *copy = boot;
    bios_read(&info, copy, sizeof boot);
    free(copy);
    assert_non_null(info.complaint);
    assert_int_equal(info.range_count, BIOS_RANGES_MAX + 1);
    assert_int_equal(info.cmdline_length, BIOS_CMDLINE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_is_told_whole, start, stop),
        cmocka_unit_test_setup_teardown(another_version_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_screen_of_unknown_kind_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_is_missing_is_left_out, start, stop),
        cmocka_unit_test_setup_teardown(a_screen_of_no_kind_is_left_out, start, stop),
        cmocka_unit_test_setup_teardown(too_many_ranges_and_an_endless_text_are_cut, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
