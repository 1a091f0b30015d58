/* Test of memory map: hand-made absurdities, and random ranges against a model of every address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "lib/rand.h"
#include "tests/lib/memmap_model.h"

#define GIB (1ull << 30)

static struct memmap map;

static int start(void **state) {
    (void)state;
    memset(&map, 0, sizeof map);
    return 0;
}

static void expect(unsigned i, uint64_t base, uint64_t end, uint32_t kind) {
    assert_true(i < map.count);
    assert_int_equal(map.at[i].base, base);
    assert_int_equal(map.at[i].end, end);
    assert_int_equal(map.at[i].kind, kind);
}

static void an_empty_map_stays_empty(void **state) {
    (void)state;
    memmap_finish(&map);
    assert_int_equal(map.count, 0);
    memmap_add(&map, 0x1000, 0, BOOT_RAM);
    memmap_claim(&map, 0x1000, 0, BOOT_RESERVED);
    memmap_finish(&map);
    assert_int_equal(map.count, 0);
    assert_int_equal(map.empties, 2);
}

static void ranges_come_out_sorted_and_merged(void **state) {
    (void)state;
    memmap_add(&map, 4 * GIB, GIB, BOOT_RAM);
    memmap_add(&map, 0x100000, 0x100000, BOOT_RAM);
    memmap_add(&map, 0, 0x9f000, BOOT_RAM);
    memmap_add(&map, 0xf0000, 0x10000, BOOT_RESERVED);
    memmap_add(&map, 0x200000, 0x100000, BOOT_RAM);
    memmap_finish(&map);
    assert_int_equal(map.count, 4);
    expect(0, 0, 0x9f000, BOOT_RAM);
    expect(1, 0xf0000, 0x100000, BOOT_RESERVED);
    expect(2, 0x100000, 0x300000, BOOT_RAM);
    expect(3, 4 * GIB, 5 * GIB, BOOT_RAM);
    assert_int_equal(map.overlaps + map.empties + map.wrapped + map.dropped, 0);
}

static void the_stronger_kind_wins_in_either_order(void **state) {
    (void)state;
    for (int order = 0; order < 2; order++) {
        memset(&map, 0, sizeof map);
        memmap_add(&map, 0x1000, order == 0 ? 0x9000 : 0x2000, order == 0 ? BOOT_RAM : BOOT_BAD);
        if (order == 0) {
            memmap_add(&map, 0x1000, 0x2000, BOOT_BAD);
        } else {
            memmap_add(&map, 0x1000, 0x9000, BOOT_RAM);
        }
        assert_int_equal(map.overlaps, 1);
        expect(0, 0x1000, 0x3000, BOOT_BAD);
        expect(1, 0x3000, 0xa000, BOOT_RAM);
        assert_int_equal(map.count, 2);
    }
}

static void a_hole_in_the_middle_splits_ram(void **state) {
    (void)state;
    memmap_add(&map, 0, GIB, BOOT_RAM);
    memmap_add(&map, 0x10000, 0x1000, BOOT_ACPI_NVS);
    assert_int_equal(map.count, 3);
    expect(1, 0x10000, 0x11000, BOOT_ACPI_NVS);
}

static void a_claim_replaces_stronger_kinds_too(void **state) {
    (void)state;
    memmap_add(&map, 0, 0x8000, BOOT_RAM);
    memmap_add(&map, 0x2000, 0x2000, BOOT_BAD);
    memmap_claim(&map, 0x1000, 0x4000, BOOT_LOADER);
    memmap_finish(&map);
    assert_int_equal(map.count, 3);
    expect(1, 0x1000, 0x5000, BOOT_LOADER);
    expect(2, 0x5000, 0x8000, BOOT_RAM);
    assert_int_equal(map.overlaps, 1); /* of the adds; a claim overlaps on purpose */
}

static void ram_shrinks_to_whole_frames_and_the_rest_stays(void **state) {
    (void)state;
    memmap_add(&map, 0x1234, 0x3000, BOOT_RAM);         /* 0x2000 .. 0x4000 */
    memmap_add(&map, 0x8001, 0xfff, BOOT_RAM);          /* nothing */
    memmap_add(&map, 0xa800, 0x400, BOOT_RAM);          /* nothing */
    memmap_add(&map, 0x10010, 0x20, BOOT_ACPI_RECLAIM); /* as it is */
    memmap_add(&map, 0x20000, 0x1800, BOOT_RAM);
    memmap_add(&map, 0x21800, 0x800, BOOT_RAM); /* makes the frame whole */
    memmap_finish(&map);
    assert_int_equal(map.count, 3);
    expect(0, 0x2000, 0x4000, BOOT_RAM);
    expect(1, 0x10010, 0x10030, BOOT_ACPI_RECLAIM);
    expect(2, 0x20000, 0x22000, BOOT_RAM);
}

static void a_range_that_wraps_is_cut_and_counted(void **state) {
    (void)state;
    memmap_add(&map, UINT64_MAX - 0xfff, UINT64_MAX, BOOT_RESERVED);
    assert_int_equal(map.wrapped, 1);
    expect(0, UINT64_MAX - 0xfff, UINT64_MAX, BOOT_RESERVED);
    memmap_add(&map, UINT64_MAX - 0x1fff, 0x2000, BOOT_RESERVED); /* exactly to the end */
    assert_int_equal(map.wrapped, 1);
    memmap_add(&map, 0, UINT64_MAX, BOOT_RAM);
    memmap_finish(&map);
    assert_int_equal(map.count, 2);
    expect(0, 0, UINT64_MAX - 0x1fff, BOOT_RAM);
}

static void every_entry_of_a_full_boot_map_fits(void **state) {
    (void)state;
    /* The worst that BOOT_RANGES_MAX ranges can do: each cuts the one below in two. */
    for (uint64_t i = 0; i < BOOT_RANGES_MAX; i++) {
        memmap_add(&map, i * 0x10000, (2 * BOOT_RANGES_MAX - 2 * i) * 0x10000,
                   BOOT_RAM + (uint32_t)i);
    }
    assert_int_equal(map.count, 2 * BOOT_RANGES_MAX - 1);
    assert_int_equal(map.dropped, 0);
}

/* A full table, then ranges that need to split: safety costs memory. */
static void fill(struct memmap_model *model) {
    for (unsigned i = 0; i < MEMMAP_MAX; i++) {
        memmap_add(&map, (uint64_t)i * 4 * MODEL_CELL, 3 * MODEL_CELL, BOOT_RAM + (i & 1u));
        memmap_model_add(model, i * 4, 3, BOOT_RAM + (i & 1u));
    }
    assert_int_equal(map.count, MEMMAP_MAX);
    assert_int_equal(map.dropped, 0);
}

static void a_full_map_gives_up_memory_before_safety(void **state) {
    (void)state;
    static struct memmap_model model;
    memset(&model, 0, sizeof model);
    fill(&model);
    memmap_add(&map, 1 * MODEL_CELL, MODEL_CELL, BOOT_BAD); /* inside the first RAM entry */
    memmap_model_add(&model, 1, 1, BOOT_BAD);
    assert_true(map.dropped > 0);
    assert_int_equal(map.at[0].kind, BOOT_BAD);
    memmap_claim(&map, 9 * MODEL_CELL, MODEL_CELL, BOOT_RESERVED); /* and the kernel, in another */
    memmap_model_claim(&model, 9, 1, BOOT_RESERVED);
    memmap_claim(&map, 5 * MODEL_CELL, MODEL_CELL, BOOT_RAM); /* inside a stronger entry */
    memmap_model_claim(&model, 5, 1, BOOT_RAM);
    assert_null(memmap_model_is_safe(&model, &map));
    memmap_finish(&map); /* no RAM here is a whole frame, so there is room again */
    memmap_model_finish(&model);
    memmap_add(&map, MODEL_BYTES * 2, 0x10000, BOOT_RAM); /* might be what was dropped */
    assert_true(map.at[map.count - 1].end <= MODEL_BYTES);
    assert_null(memmap_model_is_safe(&model, &map));
}

static void any_ranges_agree_with_the_model(void **state) {
    (void)state;
    static struct memmap_model model;
    static const uint64_t bases[] = {0, 4 * GIB - MODEL_BYTES / 2, -MODEL_BYTES, 1ull << 46};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rand_state rand = rand_seed(seed);
        memset(&map, 0, sizeof map);
        memset(&model, 0, sizeof model);
        model.base = bases[seed % 4];
        unsigned ranges = 1 + (unsigned)(rand_next(&rand) % 250);
        unsigned longest = 1u << rand_next(&rand) % 11;
        for (unsigned i = 0; i < ranges; i++) {
            unsigned cell = (unsigned)(rand_next(&rand) % MODEL_CELLS);
            unsigned room = MODEL_CELLS - cell;
            unsigned count = (unsigned)(rand_next(&rand) % longest);
            count = count < room ? count : room;
            uint32_t kind = 1 + (uint32_t)(rand_next(&rand) % 6);
            uint64_t at = model.base + (uint64_t)cell * MODEL_CELL;
            bool claim = rand_next(&rand) % 16 == 0;
            (claim ? memmap_claim : memmap_add)(&map, at, (uint64_t)count * MODEL_CELL, kind);
            (claim ? memmap_model_claim : memmap_model_add)(&model, cell, count, kind);
        }
        assert_int_equal(map.dropped, 0);
        for (int finished = 0; finished < 2; finished++) {
            const char *wrong = memmap_model_compare(&model, &map);
            if (wrong != NULL) {
                fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
            }
            memmap_finish(&map);
            memmap_model_finish(&model);
        }
        assert_null(memmap_model_compare(&model, &map));
    }
}

static void the_kinds_of_the_boot_map_are_those_of_the_reader(void **state) {
    (void)state;
    assert_int_equal(MEMMAP_RAM, BOOT_RAM);
    assert_true(BOOT_RAM < BOOT_LOADER);
    assert_true(BOOT_LOADER < BOOT_RESERVED);
    assert_true(BOOT_RESERVED < BOOT_BAD);
    assert_true(MEMMAP_MAX >= 2 * BOOT_RANGES_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_map_stays_empty, start),
        cmocka_unit_test_setup(ranges_come_out_sorted_and_merged, start),
        cmocka_unit_test_setup(the_stronger_kind_wins_in_either_order, start),
        cmocka_unit_test_setup(a_hole_in_the_middle_splits_ram, start),
        cmocka_unit_test_setup(a_claim_replaces_stronger_kinds_too, start),
        cmocka_unit_test_setup(ram_shrinks_to_whole_frames_and_the_rest_stays, start),
        cmocka_unit_test_setup(a_range_that_wraps_is_cut_and_counted, start),
        cmocka_unit_test_setup(every_entry_of_a_full_boot_map_fits, start),
        cmocka_unit_test_setup(a_full_map_gives_up_memory_before_safety, start),
        cmocka_unit_test_setup(any_ranges_agree_with_the_model, start),
        cmocka_unit_test(the_kinds_of_the_boot_map_are_those_of_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
