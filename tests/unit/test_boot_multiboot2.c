/* Test of the Multiboot2 road: a block as GRUB makes it, and one thing wrong with it at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.c"
#include "boot/multiboot2.c"
#include "boot/roads.c"
#include "tests/lib/road_check.h"

#define PA 0x9d000u

static struct boot_info info;
static uint8_t block[8192];
static uint32_t used, last; /* bytes so far; where the last tag is */

static void tag(uint32_t type, const void *data, uint32_t size) {
    uint32_t whole = 8 + size;
    last = used;
    memcpy(block + used, &type, 4);
    memcpy(block + used + 4, &whole, 4);
    memcpy(block + used + 8, data, size);
    used += (whole + 7) & ~7u;
}

static int start(void **state) {
    (void)state;
    memset(&info, 0, sizeof info);
    memset(block, 0, sizeof block);
    used = 8;
    return 0;
}

static int stop(void **state) {
    (void)state;
    assert_null(road_check(&info));
    return 0;
}

/* Reads an exact copy on the heap, so that a sanitizer sees a byte too many. */
static void read_copy(uint32_t claimed, uint32_t there) {
    uint8_t *copy = malloc(there);
    memcpy(block, &claimed, 4);
    memcpy(copy, block, there);
    multiboot2_read(&info, copy, PA, there);
    free(copy);
}

static void read_all(void) {
    tag(TAG_END, "", 0);
    read_copy(used, used);
}

struct entry {
    uint64_t base, size;
    uint32_t type, reserved;
};
struct map {
    uint32_t step, version;
    struct entry entries[3];
};
static const struct map usual_map = {
    24, 0, {{0, 0x9fc00, 1, 0}, {0x7fe0000, 0x20000, 3, 0}, {0x100000000, 0x40000000, 1, 0}}};

static void a_block_is_told_whole(void **state) {
    (void)state;
    static const uint8_t screen[30] = {0, 0, 0, 0xfd, 0, 0,  0, 0, 0, 16, 0, 0, 0, 4, 0,
                                       0, 0, 3, 0,    0, 32, 1, 0, 0, 16, 8, 8, 8, 0, 8};
    uint8_t module[8 + 12] = "\0\0\0\1\0\2\0\1initrd.cpio";
    tag(TAG_CMDLINE, "cpus=2", 7);
    tag(TAG_LOADER, "GRUB 2.06", 10);
    tag(TAG_MODULE, module, sizeof module);
    tag(TAG_MEMORY_MAP, &usual_map, sizeof usual_map);
    tag(TAG_FRAMEBUFFER, screen, sizeof screen);
    tag(99, "unknown", 7);
    tag(TAG_ACPI_NEW, "RSD PTR 0123456789012345678901234567", 36);
    uint64_t rsdp = PA + last + 8;
    tag(TAG_ACPI_OLD, "RSD PTR 012345678901", 20);
    read_all();
    assert_null(info.complaint);
    assert_string_equal(info.cmdline, "cpus=2");
    assert_string_equal(info.loader, "GRUB 2.06");
    assert_int_equal(info.module_count, 1);
    assert_int_equal(info.modules[0].base, 0x1000000);
    assert_int_equal(info.modules[0].size, 0x200);
    assert_string_equal(info.modules[0].name, "initrd.cpio");
    assert_int_equal(info.rsdp, rsdp); /* the newer one, though the older came last */
    assert_int_equal(info.framebuffer.kind, BOOT_FB_RGB);
    assert_int_equal(info.framebuffer.base, 0xfd000000);
    assert_int_equal(info.framebuffer.width, 1024);
    assert_int_equal(info.framebuffer.height, 768);
    assert_int_equal(info.framebuffer.red_shift, 16);
    assert_int_equal(info.ranges[0].kind, BOOT_LOADER); /* the block itself */
    assert_int_equal(info.ranges[0].base, PA);
    assert_int_equal(info.ranges[1].size, 0x9fc00);
    assert_int_equal(info.ranges[2].kind, BOOT_ACPI_RECLAIM);
    assert_int_equal(info.ranges[3].base, 0x100000000);
}

static void a_block_of_an_impossible_size_is_not_read(void **state) {
    (void)state;
    static const uint32_t sizes[][2] = {{0, 64}, {15, 64}, {65, 64}, {UINT32_MAX, 64}, {16, 3}};
    for (unsigned i = 0; i < 5; i++) {
        start(NULL);
        tag(TAG_CMDLINE, "cpus=2", 7);
        read_copy(sizes[i][0], sizes[i][1]);
        assert_string_equal(info.complaint,
                            "multiboot2: the block's size is impossible: nothing was read");
        assert_string_equal(info.cmdline, "");
    }
}

static void a_tag_of_an_impossible_size_ends_the_walk(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 7, 1000, UINT32_MAX, UINT32_MAX - 6};
    for (unsigned i = 0; i < 5; i++) {
        start(NULL);
        tag(TAG_CMDLINE, "before", 7);
        tag(TAG_LOADER, "damaged", 8);
        memcpy(block + last + 4, &sizes[i], 4);
        tag(TAG_CMDLINE, "behind", 7);
        read_all();
        assert_non_null(info.complaint);
        assert_string_equal(info.cmdline, "before");
    }
    start(NULL); /* a text that reaches beyond the block, without an end in it */
    tag(TAG_CMDLINE, "12345678", 8);
    block[last + 4]++;
    read_copy(used, used);
    assert_string_equal(info.cmdline, "");
}

static void a_block_without_an_end_is_reported(void **state) {
    (void)state;
    tag(TAG_CMDLINE, "cpus=2", 7);
    read_copy(used, used);
    assert_string_equal(info.complaint, "multiboot2: the block ends without an end tag");
    assert_string_equal(info.cmdline, "cpus=2");
}

static void tags_too_short_for_their_type_are_skipped(void **state) {
    (void)state;
    static const uint32_t types[] = {TAG_MODULE, TAG_MEMORY_MAP, TAG_FRAMEBUFFER, TAG_ACPI_OLD,
                                     TAG_ACPI_NEW};
    static const uint32_t enough[] = {9, 8, 23, 20, 36};
    uint8_t data[64];
    memset(data, 0x18, sizeof data);
    for (unsigned i = 0; i < 5; i++) {
        for (uint32_t size = 0; size < enough[i]; size++) {
            start(NULL);
            tag(types[i], data, size);
            read_all();
            assert_non_null(info.complaint);
            assert_int_equal(info.module_count + info.framebuffer.kind + info.rsdp, 0);
            assert_int_equal(info.range_count, 1); /* the block */
        }
    }
}

static void an_rgb_screen_without_its_colours_is_skipped(void **state) {
    (void)state;
    uint8_t screen[24] = {0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 32, 1};
    tag(TAG_FRAMEBUFFER, screen, sizeof screen);
    read_copy(used, used); /* it is the last thing in the block */
    assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
    assert_string_equal(info.complaint,
                        "multiboot2: the framebuffer is neither RGB nor text: no screen");
}

static void memory_entries_of_an_odd_size_are_refused(void **state) {
    (void)state;
    static const uint32_t steps[] = {0, 1, 16, 23, 25, 28, UINT32_MAX};
    for (unsigned i = 0; i < 7; i++) {
        start(NULL);
        struct map map = usual_map;
        map.step = steps[i];
        tag(TAG_MEMORY_MAP, &map, sizeof map);
        read_all();
        assert_non_null(info.complaint);
        assert_int_equal(info.range_count, 1);
    }
    start(NULL); /* larger entries are fine, and so is half a one at the end */
    struct map map = usual_map;
    map.step = 32;
    tag(TAG_MEMORY_MAP, &map, sizeof map);
    read_all();
    assert_null(info.complaint);
    assert_int_equal(info.range_count, 3);
}

static void a_module_that_ends_before_it_starts_is_skipped(void **state) {
    (void)state;
    tag(TAG_MODULE, "\0\0\0\2\0\0\0\1x", 10);
    read_all();
    assert_int_equal(info.module_count, 0);
    assert_non_null(info.complaint);
}

static void the_newer_root_pointer_wins_when_it_comes_last_too(void **state) {
    (void)state;
    tag(TAG_ACPI_OLD, "RSD PTR 012345678901", 20);
    tag(TAG_ACPI_NEW, "RSD PTR 0123456789012345678901234567", 36);
    uint64_t rsdp = PA + last + 8;
    read_all();
    assert_int_equal(info.rsdp, rsdp);
    const struct boot_range *kept = &info.ranges[info.range_count - 1];
    assert_int_equal(kept->base, rsdp);
    assert_int_equal(kept->size, 36);
    assert_int_equal(kept->kind, BOOT_ACPI_RECLAIM);
}

static void a_screen_that_cannot_be_is_left_out(void **state) {
    /* Each change: an offset in the tag's contents, a value, and what it makes of the screen. */
    static const struct {
        uint8_t at, value;
    } changes[] = {
        {8 + 1, 0x0f}, /* lines overlap: 3840 bytes for 1024 pixels */
        {12 + 1, 0},   /* no width */
        {16 + 3, 1},   /* 16 million lines */
        {20, 15},      /* odd pixels */
        {24, 28},      /* red reaches out of the pixel */
        {25, 0},       /* no red */
        {21, 0},       /* a palette */
        {3, 0},        /* nowhere */
    };
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint8_t screen[30] = {0, 0, 0, 0xfd, 0, 0,  0, 0, 0, 16, 0, 0, 0, 4, 0,
                              0, 0, 3, 0,    0, 32, 1, 0, 0, 16, 8, 8, 8, 0, 8};
        screen[changes[i].at] = changes[i].value;
        start(state);
        tag(TAG_FRAMEBUFFER, screen, 30);
        read_all();
        assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
        assert_non_null(info.complaint);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_is_told_whole, start, stop),
        cmocka_unit_test_setup_teardown(a_block_of_an_impossible_size_is_not_read, start, stop),
        cmocka_unit_test_setup_teardown(a_tag_of_an_impossible_size_ends_the_walk, start, stop),
        cmocka_unit_test_setup_teardown(a_block_without_an_end_is_reported, start, stop),
        cmocka_unit_test_setup_teardown(tags_too_short_for_their_type_are_skipped, start, stop),
        cmocka_unit_test_setup_teardown(an_rgb_screen_without_its_colours_is_skipped, start, stop),
        cmocka_unit_test_setup_teardown(memory_entries_of_an_odd_size_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(the_newer_root_pointer_wins_when_it_comes_last_too, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_screen_that_cannot_be_is_left_out, start, stop),
        cmocka_unit_test_setup_teardown(a_module_that_ends_before_it_starts_is_skipped, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
