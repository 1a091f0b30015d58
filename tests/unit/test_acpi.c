/* Test of ACPI: whole machines are read right, and every kind of damage is refused with a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/acpi_build.h"

#define BASE 0x7fe0000u

static struct acpi_build b;
static struct acpi_info info;

static int start(void **state) {
    (void)state;
    acpi_build_init(&b, BASE);
    memset(&info, 0xa5, sizeof info);
    return 0;
}

static int stop(void **state) {
    (void)state;
    acpi_build_fini(&b);
    return 0;
}

static bool read_root(uint64_t rsdp) {
    b.note_count = 0;
    return acpi_read(&b.reader, rsdp, &info);
}

/* Builds the root over what is there and reads everything. */
static void read_all(void) {
    assert_true(read_root(acpi_build_root(&b, 2)));
}

static void expect_defaults(void) {
    assert_int_equal(info.cpu_count, 1);
    assert_true(info.cpus[0].enabled);
    assert_int_equal(info.cpus[0].nmi_lint, ACPI_NO_NMI);
    assert_int_equal(info.ioapic_count, 1);
    assert_int_equal(info.ioapics[0].base, 0xfec00000u);
    assert_int_equal(info.lapic_base, 0xfee00000u);
    assert_true(info.has_pic);
    assert_int_equal(info.node_count, 1);
    assert_int_equal(info.distance[3][3], ACPI_LOCAL);
    assert_int_equal(info.distance[3][4], ACPI_REMOTE);
    assert_false(info.has_fadt);
    assert_false(info.has_s5);
    assert_int_equal(info.memory_count + info.mcfg_count + info.override_count, 0);
}

static void a_whole_machine_is_read_from_either_root(void **state) {
    (void)state;
    for (uint8_t revision = 0; revision <= 2; revision += 2) {
        acpi_build_fini(&b);
        acpi_build_init(&b, BASE);
        assert_true(read_root(acpi_build_machine(&b, revision)));
        for (unsigned i = 0; i < b.note_count; i++) {
            assert_null(b.notes[i].wrong);
        }
        assert_int_equal(info.cpu_count, 4);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(info.cpus[i].apic_id, i);
            assert_int_equal(info.cpus[i].uid, i);
            assert_int_equal(info.cpus[i].node, i / 2);
            assert_int_equal(info.cpus[i].nmi_lint, 1);
            assert_true(info.cpus[i].enabled);
        }
        assert_int_equal(info.ioapic_count, 1);
        assert_int_equal(info.override_count, 2);
        assert_int_equal(info.overrides[0].gsi, 2);
        assert_false(info.overrides[0].level || info.overrides[0].active_low);
        assert_true(info.overrides[1].level);
        assert_false(info.overrides[1].active_low);
        assert_int_equal(info.node_count, 2);
        assert_int_equal(info.memory_count, 3);
        assert_int_equal(info.memory[2].base, 0x8000000);
        assert_int_equal(info.memory[2].size, 0x8000000);
        assert_int_equal(info.memory[2].node, 1);
        assert_int_equal(info.distance[0][1], 21);
        assert_int_equal(info.distance[1][1], 10);
        assert_true(info.has_fadt && info.has_reset && info.has_s5 && info.pm_timer_32);
        assert_int_equal(info.pm1a_control, 0x604);
        assert_int_equal(info.pm_timer, 0x608);
        assert_int_equal(info.reset_address, 0xcf9);
        assert_int_equal(info.reset_space, ACPI_IO);
        assert_int_equal(info.reset_value, 0x0f);
        assert_int_equal(info.s5_a, 7);
        assert_int_equal(info.s5_b, 1);
        assert_int_equal(info.mcfg_count, 1);
        assert_int_equal(info.mcfg[0].base, 0xb0000000u);
        assert_int_equal(info.mcfg[0].bus_last, 255);
    }
}

/* ---- Roots -------------------------------------------------------------------------- */

static void without_a_root_pointer_there_are_defaults(void **state) {
    (void)state;
    const uint64_t nowhere[] = {0, BASE, BASE + ACPI_BUILD_SIZE - 8, UINT64_MAX - 4};
    for (unsigned i = 0; i < 4; i++) {
        memset(&info, 0xa5, sizeof info);
        assert_false(read_root(nowhere[i]));
        assert_non_null(acpi_build_wrong(&b, "RSDP"));
        expect_defaults();
    }
}

static void a_root_pointer_needs_both_its_sums(void **state) {
    (void)state;
    uint64_t rsdp = acpi_build_machine(&b, 2);
    acpi_build_at(&b, rsdp)[25] ^= 1; /* in the second half: the RSDT is used, it is empty */
    assert_true(read_root(rsdp));
    assert_non_null(acpi_build_wrong(&b, "RSDP"));
    assert_null(acpi_build_wrong(&b, "RSDT"));
    assert_int_equal(info.cpu_count, 1);
    acpi_build_at(&b, rsdp)[9] ^= 1; /* in the first half */
    assert_false(read_root(rsdp));
    expect_defaults();
}

static void a_root_pointer_of_an_impossible_length_is_not_followed(void **state) {
    (void)state;
    uint64_t rsdp = acpi_build_machine(&b, 2);
    static const uint32_t sizes[] = {0, 20, 35, 5000, 0xffffffffu};
    for (unsigned i = 0; i < 5; i++) {
        memcpy(acpi_build_at(&b, rsdp) + 20, &sizes[i], 4);
        assert_true(read_root(rsdp));
        assert_non_null(acpi_build_wrong(&b, "RSDP"));
    }
    assert_true(b.map_max < 5000);
}

static void a_bad_xsdt_is_replaced_by_the_rsdt(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 3, 7, 1);
    uint64_t madt = acpi_build_end(&b, true);
    uint64_t rsdp = acpi_build_root(&b, 2);
    uint64_t xsdt, rsdt = 0;
    memcpy(&xsdt, acpi_build_at(&b, rsdp) + 24, 8);
    acpi_build_begin(&b, "RSDT", 1);
    acpi_build_put(&b, madt, 4);
    uint64_t whole = acpi_build_end(&b, false);
    memcpy(&rsdt, acpi_build_at(&b, rsdp) + 16, 4);
    memcpy(acpi_build_at(&b, rsdt), acpi_build_at(&b, whole), 40);
    acpi_build_at(&b, xsdt)[12] ^= 1;
    assert_true(read_root(rsdp));
    assert_string_equal(acpi_build_wrong(&b, "XSDT"), "its checksum is wrong");
    assert_int_equal(info.cpus[0].apic_id, 7);
}

static void another_table_in_place_of_the_root_is_refused(void **state) {
    (void)state;
    uint64_t rsdp = acpi_build_machine(&b, 0);
    uint64_t rsdt = 0;
    memcpy(&rsdt, acpi_build_at(&b, rsdp) + 16, 4);
    memcpy(acpi_build_at(&b, rsdt), "XXXX", 4);
    acpi_build_seal(&b, rsdt);
    assert_false(read_root(rsdp));
    expect_defaults();
}

static void a_root_that_names_too_many_tables_is_cut(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 0, 5, 1);
    uint64_t madt = acpi_build_end(&b, false);
    acpi_build_begin(&b, "RSDT", 1);
    for (unsigned i = 0; i < ACPI_TABLES_MAX; i++) {
        acpi_build_put(&b, BASE + ACPI_BUILD_SIZE, 4);
    }
    acpi_build_put(&b, madt, 4);
    uint64_t rsdt = acpi_build_end(&b, false);
    uint64_t rsdp = acpi_build_root(&b, 0);
    uint8_t *at = acpi_build_at(&b, rsdp);
    uint32_t old = 0;
    memcpy(&old, at + 16, 4);
    memcpy(acpi_build_at(&b, rsdp) + 16, &rsdt, 4);
    for (unsigned i = 0; i < 4; i++) { /* the checksum follows the change */
        at[8] = (uint8_t)(at[8] + (uint8_t)(old >> 8 * i) - (uint8_t)(rsdt >> 8 * i));
    }
    assert_true(read_root(rsdp));
    assert_string_equal(acpi_build_wrong(&b, "RSDT"), "it names more tables than are read");
    assert_int_equal(info.cpu_count, 1);
    assert_int_equal(info.cpus[0].apic_id, 0); /* the MADT was one too far */
}

static void the_root_pointer_is_found_in_steps_of_16(void **state) {
    (void)state;
    static uint8_t area[1024];
    uint64_t rsdp = acpi_build_machine(&b, 0);
    assert_int_equal(acpi_find_rsdp(area, sizeof area), SIZE_MAX);
    memcpy(area + 24, acpi_build_at(&b, rsdp), 20);
    assert_int_equal(acpi_find_rsdp(area, sizeof area), SIZE_MAX);
    memcpy(area + 1008, acpi_build_at(&b, rsdp), 16); /* cut off by the end */
    assert_int_equal(acpi_find_rsdp(area, sizeof area), SIZE_MAX);
    memcpy(area + 64, acpi_build_at(&b, rsdp), 20);
    assert_int_equal(acpi_find_rsdp(area, sizeof area), 64);
    area[64 + 19] ^= 1;
    assert_int_equal(acpi_find_rsdp(area, sizeof area), SIZE_MAX);
    assert_int_equal(acpi_find_rsdp(area, 0), SIZE_MAX);
}

/* ---- Tables -------------------------------------------------------------------------- */

static void a_table_with_a_wrong_sum_or_length_is_refused(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 35, 36 + ACPI_TABLE_SIZE, 0xffffffffu, ACPI_BUILD_SIZE};
    uint64_t rsdp = acpi_build_machine(&b, 2);
    uint64_t madt = b.tables[2];
    for (unsigned i = 0; i <= 5; i++) {
        uint8_t *at = acpi_build_at(&b, madt), saved[16];
        memcpy(saved, at, sizeof saved);
        if (i == 5) {
            at[9] ^= 0x40;
        } else {
            memcpy(at + 4, &lengths[i], 4);
        }
        assert_true(read_root(rsdp));
        assert_non_null(acpi_build_wrong(&b, "APIC"));
        assert_int_equal(info.cpu_count, 1);    /* the default */
        assert_int_equal(info.memory_count, 3); /* the others are read */
        memcpy(at, saved, sizeof saved);
    }
    assert_true(read_root(rsdp));
    assert_null(acpi_build_wrong(&b, "APIC"));
    assert_true(b.map_max <= ACPI_TABLE_SIZE);
}

static void a_table_outside_of_memory_is_refused(void **state) {
    (void)state;
    const uint64_t nowhere[] = {0, BASE + ACPI_BUILD_SIZE - 10, UINT64_MAX - 20, 1ull << 60};
    b.table_count = 4;
    memcpy(b.tables, nowhere, sizeof nowhere);
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 0, 9, 1);
    (void)acpi_build_end(&b, true);
    read_all();
    assert_non_null(acpi_build_wrong(&b, "????"));
    assert_int_equal(info.cpus[0].apic_id, 9);
}

static void of_two_tables_of_a_name_the_first_counts(void **state) {
    (void)state;
    for (uint8_t i = 0; i < 2; i++) {
        acpi_build_madt(&b);
        acpi_build_cpu(&b, 0, 4 + i, 1);
        (void)acpi_build_end(&b, true);
    }
    read_all();
    assert_int_equal(info.cpu_count, 1);
    assert_int_equal(info.cpus[0].apic_id, 4);
}

static void unknown_tables_are_checked_and_named(void **state) {
    (void)state;
    acpi_build_begin(&b, "HPET", 1);
    acpi_build_zeros(&b, 20);
    uint64_t hpet = acpi_build_end(&b, true);
    uint64_t rsdp = acpi_build_root(&b, 0);
    assert_true(read_root(rsdp));
    assert_null(acpi_build_wrong(&b, "HPET"));
    acpi_build_at(&b, hpet)[40] = 1;
    assert_true(read_root(rsdp));
    assert_non_null(acpi_build_wrong(&b, "HPET"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_machine_is_read_from_either_root, start, stop),
        cmocka_unit_test_setup_teardown(without_a_root_pointer_there_are_defaults, start, stop),
        cmocka_unit_test_setup_teardown(a_root_pointer_needs_both_its_sums, start, stop),
        cmocka_unit_test_setup_teardown(a_root_pointer_of_an_impossible_length_is_not_followed,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_bad_xsdt_is_replaced_by_the_rsdt, start, stop),
        cmocka_unit_test_setup_teardown(another_table_in_place_of_the_root_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_root_that_names_too_many_tables_is_cut, start, stop),
        cmocka_unit_test_setup_teardown(the_root_pointer_is_found_in_steps_of_16, start, stop),
        cmocka_unit_test_setup_teardown(a_table_with_a_wrong_sum_or_length_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_table_outside_of_memory_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(of_two_tables_of_a_name_the_first_counts, start, stop),
        cmocka_unit_test_setup_teardown(unknown_tables_are_checked_and_named, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
