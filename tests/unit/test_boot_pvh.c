/* Test of the PVH road: a machine as QEMU describes it, and one thing wrong with it at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.c"
#include "boot/pvh.c"
#include "boot/roads.c"
#include "tests/lib/road_check.h"

#define SIZE 0x10000u
/* A piece of memory that ends where reach ends, so that a sanitizer sees a byte too many. */
#define BASE    (BOOT_REACH - SIZE)
#define START   (BASE + 0x100)
#define MODULES (BASE + 0x200)
#define TEXT    (BASE + 0x300)
#define RANGES  (BASE + 0x400)

static struct boot_info info;
static uint8_t *memory;
static struct pvh_start_info *machine;

static void *at(uint64_t pa) {
    return memory + (pa - BASE);
}

static int start(void **state) {
    (void)state;
    static const struct pvh_range ranges[] = {
        {0, 0x9fc00, 1, 0}, {0xf0000, 0x10000, 2, 0}, {0x100000, 0x7ef0000, 1, 0}};
    static const struct pvh_module module = {0x7000000, 0x400, TEXT + 6, 0};
    memory = calloc(1, SIZE);
    machine = at(START);
    *machine = (struct pvh_start_info){.magic = PVH_MAGIC,
                                       .version = 1,
                                       .module_count = 1,
                                       .modules = MODULES,
                                       .cmdline = TEXT,
                                       .rsdp = 0xf59e0,
                                       .memory_map = RANGES,
                                       .memory_map_count = 3};
    memcpy(at(MODULES), &module, sizeof module);
    memcpy(at(TEXT), "kdb=1\0initrd", 13);
    memcpy(at(RANGES), ranges, sizeof ranges);
    memset(&info, 0, sizeof info);
    info.early_offset = (uint64_t)(uintptr_t)memory - BASE;
    return 0;
}

static int stop(void **state) {
    (void)state;
    assert_null(road_check(&info));
    free(memory);
    return 0;
}

static void a_machine_is_told_whole(void **state) {
    (void)state;
    pvh_read(&info, START);
    assert_null(info.complaint);
    assert_string_equal(info.cmdline, "kdb=1");
    assert_int_equal(info.rsdp, 0xf59e0);
    assert_int_equal(info.module_count, 1);
    assert_int_equal(info.modules[0].base, 0x7000000);
    assert_int_equal(info.modules[0].size, 0x400);
    assert_string_equal(info.modules[0].name, "initrd");
    assert_int_equal(info.range_count, 3);
    assert_int_equal(info.ranges[1].kind, BOOT_RESERVED);
    assert_int_equal(info.ranges[2].base, 0x100000);
    assert_int_equal(info.ranges[2].size, 0x7ef0000);
}

static void without_its_start_information_there_is_nothing(void **state) {
    (void)state;
    const uint64_t nowhere[] = {0, BOOT_REACH, UINT64_MAX, BOOT_REACH - 30, RANGES};
    for (unsigned i = 0; i < 5; i++) {
        info.complaint = NULL;
        pvh_read(&info, nowhere[i]);
        assert_non_null(info.complaint);
        assert_int_equal(info.range_count + info.module_count, 0);
    }
}

static void version_0_ends_before_the_memory_map(void **state) {
    (void)state;
    uint64_t end = BOOT_REACH - offsetof(struct pvh_start_info, memory_map);
    machine->version = 0;
    pvh_read(&info, START);
    assert_int_equal(info.range_count, 0);
    info.module_count = 0;
    memcpy(at(end), machine, offsetof(struct pvh_start_info, memory_map));
    pvh_read(&info, end);
    assert_string_equal(info.complaint, "pvh: version 0 has no memory map");
    assert_int_equal(info.module_count, 1);
    assert_int_equal(info.range_count, 0);
}

static void lists_out_of_reach_are_reported(void **state) {
    (void)state;
    machine->memory_map = BOOT_REACH - 24 * 3 + 1;
    pvh_read(&info, START);
    assert_non_null(info.complaint);
    assert_int_equal(info.range_count, 0);
    info.complaint = NULL;
    machine->memory_map = RANGES;
    machine->modules = 1ull << 60;
    info.module_count = 0;
    pvh_read(&info, START);
    assert_non_null(info.complaint);
    assert_int_equal(info.module_count, 0);
    assert_int_equal(info.range_count, 3);
}

static void absurd_counts_are_cut(void **state) {
    (void)state;
    struct pvh_range *ranges = at(BASE + 0x1000);
    for (uint32_t i = 0; i < BOOT_TABLE_MAX + 1; i++) {
        ranges[i] = (struct pvh_range){(uint64_t)i << 20, 0x1000, 1, 0};
    }
    machine->memory_map = BASE + 0x1000;
    machine->memory_map_count = UINT32_MAX;
    pvh_read(&info, START);
    assert_string_equal(info.complaint, "pvh: a table has too many entries, the rest was not read");
    assert_int_equal(info.range_count, BOOT_RANGES_MAX);
    assert_int_equal(info.dropped_ranges, BOOT_TABLE_MAX - BOOT_RANGES_MAX);
}

static void texts_end_where_memory_does(void **state) {
    (void)state;
    memset(at(BOOT_REACH - 4), 'x', 4);
    machine->cmdline = BOOT_REACH - 4;
    pvh_read(&info, START);
    assert_string_equal(info.cmdline, "xxxx");
    machine->cmdline = BOOT_REACH;
    pvh_read(&info, START);
    assert_string_equal(info.cmdline, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_is_told_whole, start, stop),
        cmocka_unit_test_setup_teardown(without_its_start_information_there_is_nothing, start,
                                        stop),
        cmocka_unit_test_setup_teardown(version_0_ends_before_the_memory_map, start, stop),
        cmocka_unit_test_setup_teardown(lists_out_of_reach_are_reported, start, stop),
        cmocka_unit_test_setup_teardown(absurd_counts_are_cut, start, stop),
        cmocka_unit_test_setup_teardown(texts_end_where_memory_does, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
