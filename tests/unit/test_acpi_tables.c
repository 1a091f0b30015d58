/* Test of ACPI tables: SRAT, SLIT, FADT, DSDT and MCFG, their limits, and damage inside them. */
#include "tests/lib/acpi_fixture.h"

static void tables_cut_before_their_lists_are_refused(void **state) {
    (void)state;
    acpi_build_begin(&b, "APIC", 3);
    acpi_build_put(&b, 1, 4);
    finish();
    acpi_build_begin(&b, "SRAT", 3);
    acpi_build_put(&b, 1, 4);
    finish();
    acpi_build_begin(&b, "FACP", 3);
    acpi_build_put(&b, 1, 4);
    finish();
    acpi_build_begin(&b, "SLIT", 1);
    finish();
    acpi_build_begin(&b, "MCFG", 1);
    finish();
    read_all();
    assert_non_null(acpi_build_wrong(&b, "APIC"));
    assert_non_null(acpi_build_wrong(&b, "SRAT"));
    assert_non_null(acpi_build_wrong(&b, "FACP"));
    assert_non_null(acpi_build_wrong(&b, "SLIT"));
    assert_null(acpi_build_wrong(&b, "MCFG")); /* an empty list is a list */
    assert_int_equal(info.cpu_count, 1);
    assert_int_equal(info.node_count, 1);
    assert_false(info.has_fadt);
}

/* ---- SRAT and SLIT ------------------------------------------------------------------------ */

static void some_cpus(unsigned count) {
    acpi_build_madt(&b);
    for (uint32_t i = 0; i < count; i++) {
        acpi_build_x2apic(&b, i, i, 1);
    }
    finish();
}

static void nodes_are_numbered_in_the_order_they_come(void **state) {
    (void)state;
    some_cpus(3);
    acpi_build_srat(&b, 3);
    acpi_build_srat_memory(&b, 77, 0x100000, 0x1000, 1);
    acpi_build_srat_cpu(&b, 0x12345605, 1, 1);
    acpi_build_srat_cpu(&b, 9, 2, 0); /* not enabled */
    acpi_build_srat_x2apic(&b, 77, 0);
    finish();
    read_all();
    assert_null(acpi_build_wrong(&b, "SRAT"));
    assert_int_equal(info.node_count, 2);
    assert_int_equal(info.node_domain[0], 77);
    assert_int_equal(info.node_domain[1], 0x12345605);
    assert_int_equal(info.cpus[0].node, 0);
    assert_int_equal(info.cpus[1].node, 1);
    assert_int_equal(info.cpus[2].node, 0);
}

static void domains_have_8_bits_before_revision_2(void **state) {
    (void)state;
    some_cpus(1);
    acpi_build_srat(&b, 1);
    acpi_build_srat_cpu(&b, 0x12345605, 0, 1);
    finish();
    read_all();
    assert_int_equal(info.node_domain[0], 5);
}

static void further_nodes_join_the_first(void **state) {
    (void)state;
    acpi_build_srat(&b, 3);
    for (uint32_t i = 0; i < ACPI_NODES_MAX + 2; i++) {
        acpi_build_srat_memory(&b, 100 + i, (uint64_t)i << 32, 0x10000, 1);
    }
    finish();
    read_all();
    assert_int_equal(info.node_count, ACPI_NODES_MAX);
    assert_int_equal(info.memory[7].node, 7);
    assert_int_equal(info.memory[8].node, 0);
    assert_int_equal(info.memory[9].node, 0);
    assert_non_null(acpi_build_wrong(&b, "SRAT"));
}

static void memory_that_cannot_be_is_left_out(void **state) {
    (void)state;
    acpi_build_srat(&b, 3);
    acpi_build_srat_memory(&b, 1, UINT64_MAX - 10, 100, 1);
    acpi_build_srat_memory(&b, 2, 0x1000, 0, 1);
    acpi_build_srat_memory(&b, 3, 0x1000, 0x1000, 0);
    finish();
    read_all();
    assert_int_equal(info.memory_count, 0);
    assert_int_equal(info.node_count, 1);
    assert_non_null(acpi_build_wrong(&b, "SRAT"));
    acpi_build_fini(&b);
    acpi_build_init(&b, 0x4000);
    acpi_build_srat(&b, 3);
    for (uint32_t i = 0; i < ACPI_MEMORY_MAX + 1; i++) {
        acpi_build_srat_memory(&b, 1, (uint64_t)i << 20, 0x1000, 1);
    }
    finish();
    read_all();
    assert_int_equal(info.memory_count, ACPI_MEMORY_MAX);
    assert_non_null(acpi_build_wrong(&b, "SRAT"));
}

static void short_and_unknown_srat_entries_are_skipped(void **state) {
    (void)state;
    acpi_build_srat(&b, 3);
    acpi_build_put(&b, 0x0480, 4); /* nobody knows it */
    for (unsigned type = 0; type < 3; type++) {
        acpi_build_put(&b, 0x0f00u | type, 2);
        acpi_build_put(&b, UINT64_MAX, 8); /* everything enabled */
        acpi_build_put(&b, UINT64_MAX, 5);
    }
    acpi_build_srat_memory(&b, 6, 0x1000, 0x2000, 1);
    finish();
    read_all();
    assert_string_equal(acpi_build_wrong(&b, "SRAT"), "an entry is too short");
    assert_int_equal(info.memory_count, 1);
    assert_int_equal(info.memory[0].base, 0x1000);
    assert_int_equal(info.node_domain[0], 6);
}

static void two_nodes(uint32_t first, uint32_t second) {
    acpi_build_srat(&b, 3);
    acpi_build_srat_memory(&b, first, 0, 0x1000, 1);
    acpi_build_srat_memory(&b, second, 0x10000, 0x1000, 1);
    finish();
}

static void distances_go_by_domain(void **state) {
    (void)state;
    static const uint8_t matrix[] = {10, 11, 12, 13, 10, 15, 16, 17, 10};
    acpi_build_slit(&b, 3, matrix); /* before the SRAT */
    finish();
    two_nodes(2, 0);
    read_all();
    assert_null(acpi_build_wrong(&b, "SLIT"));
    assert_int_equal(info.distance[0][1], 16); /* from domain 2 to domain 0 */
    assert_int_equal(info.distance[1][0], 12);
    assert_int_equal(info.distance[0][0], 10);
    assert_int_equal(info.distance[2][3], ACPI_REMOTE);
}

static void domains_beyond_the_matrix_have_usual_distances(void **state) {
    (void)state;
    static const uint8_t matrix[] = {10, 99, 99, 10};
    two_nodes(1, 2);
    acpi_build_slit(&b, 2, matrix);
    finish();
    read_all();
    assert_int_equal(info.distance[0][1], ACPI_REMOTE);
    assert_int_equal(info.distance[1][1], ACPI_LOCAL);
}

static void an_impossible_matrix_is_refused_whole(void **state) {
    (void)state;
    static const uint8_t matrices[][4] = {{10, 99, 99, 11}, {10, 99, 9, 10}, {0, 99, 99, 0}};
    static const uint64_t counts[] = {0, 3, 1ull << 32, 1ull << 33, UINT64_MAX};
    for (unsigned i = 0; i < 8; i++) {
        acpi_build_fini(&b);
        acpi_build_init(&b, 0x4000);
        two_nodes(0, 1);
        acpi_build_slit(&b, 2, matrices[i < 3 ? i : 0]);
        finish();
        if (i >= 3) {
            set(b.tables[1], 44 + 3, 10, 1);
            set(b.tables[1], 36, counts[i - 3], 8);
            acpi_build_seal(&b, b.tables[1]);
        }
        read_all();
        assert_non_null(acpi_build_wrong(&b, "SLIT"));
        assert_int_equal(info.distance[0][1], ACPI_REMOTE);
        assert_int_equal(info.distance[1][1], ACPI_LOCAL);
    }
}

/* ---- FADT, DSDT, MCFG --------------------------------------------------------------------- */

static void an_old_fadt_has_the_old_fields_only(void **state) {
    (void)state;
    acpi_build_fadt(&b, 116);
    set(b.base, 64, 0xb004, 4);
    set(b.base, 68, 0x12345, 4); /* no port */
    set(b.base, 76, 0xb008, 4);
    set(b.base, 112, 1u << 10, 4); /* a reset register that is not there */
    finish();
    read_all();
    assert_null(acpi_build_wrong(&b, "FACP"));
    assert_true(info.has_fadt);
    assert_int_equal(info.pm1a_control, 0xb004);
    assert_int_equal(info.pm1b_control, 0);
    assert_int_equal(info.pm_timer, 0xb008);
    assert_false(info.has_reset || info.pm_timer_32 || info.hardware_reduced || info.has_s5);
}

static void extended_fields_are_preferred_where_they_are_used(void **state) {
    (void)state;
    acpi_build_fadt(&b, 276);
    set(b.base, 64, 0xb004, 4);
    set(b.base, 68, 0xb104, 4);
    set(b.base, 76, 0xb008, 4);
    set(b.base, 172, ACPI_IO, 1);
    set(b.base, 176, 0x1804, 8);
    set(b.base, 184, ACPI_MEMORY, 1); /* not a port: the old one counts */
    set(b.base, 188, 0xfed00000u, 8);
    set(b.base, 208, ACPI_IO, 1); /* port 0: not used */
    finish();
    read_all();
    assert_int_equal(info.pm1a_control, 0x1804);
    assert_int_equal(info.pm1b_control, 0xb104);
    assert_int_equal(info.pm_timer, 0xb008);
}

static void a_hardware_reduced_machine_sleeps_by_its_register(void **state) {
    (void)state;
    acpi_build_fadt(&b, 268);
    set(b.base, 64, 0xb004, 4);
    set(b.base, 112, 1u << 20 | 1u << 10, 4);
    set(b.base, 116, ACPI_MEMORY, 1);
    set(b.base, 120, 0xfea00002u, 8);
    set(b.base, 128, 0x42, 1);
    set(b.base, 244, ACPI_MEMORY, 1);
    set(b.base, 248, 0xfea00000u, 8);
    finish();
    read_all();
    assert_true(info.hardware_reduced);
    assert_int_equal(info.pm1a_control, 0);
    assert_int_equal(info.sleep_control.space, ACPI_MEMORY);
    assert_int_equal(info.sleep_control.address, 0xfea00000u);
    assert_true(info.has_reset);
    assert_int_equal(info.reset_space, ACPI_MEMORY);
    assert_int_equal(info.reset_address, 0xfea00002u);
    assert_int_equal(info.reset_value, 0x42);
}

static void read_dsdt(const char *aml, size_t size) {
    acpi_build_fini(&b);
    acpi_build_init(&b, 0x4000);
    acpi_build_begin(&b, "DSDT", 2);
    for (size_t i = 0; i < size; i++) {
        acpi_build_put(&b, (uint8_t)aml[i], 1);
    }
    b.dsdt = acpi_build_end(&b, false);
    acpi_build_fadt(&b, 244);
    set(b.base + b.table, 140, b.dsdt, 8);
    finish();
    read_all();
}

static void the_off_values_are_found_in_the_program(void **state) {
    (void)state;
    read_dsdt("abc\x08_S5_\x12\x08\x04\x0a\x05\x0a\x03\x00\x00", 17);
    assert_true(info.has_s5);
    assert_int_equal(info.s5_a, 5);
    assert_int_equal(info.s5_b, 3);
    read_dsdt("\x08\\_S5_\x12\x46\x00\x02\x01\x00", 12);
    assert_true(info.has_s5);
    assert_int_equal(info.s5_a, 1);
    assert_int_equal(info.s5_b, 0);
}

static void no_off_values_are_better_than_wrong_ones(void **state) {
    (void)state;
    static const struct {
        const char *aml;
        size_t size;
    } cases[] = {{"", 0},
                 {"\x08_S5_", 5},
                 {"\x08_S5_\x12", 6},
                 {"\x08_S5_\x12\x08", 7},
                 {"\x08_S5_\x12\x08\x04", 8},
                 {"\x08_S5_\x12\x08\x04\x0a", 9},
                 {"\x08_S5_\x12\x08\x04\x0a\x05", 10},
                 {"\x08_S5_\x12\xc8\x04\x00\x00\x02", 11},
                 {"\x08_S5_\x12\x08\x04\x0c\x05\x00", 11},
                 {"_S5_\x12\x08\x04\x00\x00\x00", 10},
                 {"\x08_S4_\x12\x08\x04\x00\x00", 10}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_dsdt(cases[i].aml, cases[i].size);
        assert_null(acpi_build_wrong(&b, "DSDT"));
        assert_false(info.has_s5);
    }
}

static void a_damaged_dsdt_is_not_searched(void **state) {
    (void)state;
    uint64_t rsdp = acpi_build_machine(&b, 2);
    acpi_build_at(&b, b.dsdt)[36] ^= 1;
    assert_true(acpi_read(&b.reader, rsdp, &info));
    assert_string_equal(acpi_build_wrong(&b, "DSDT"), "its checksum is wrong");
    assert_true(info.has_fadt);
    assert_false(info.has_s5);
}

static void pci_express_ranges_are_kept_if_they_make_sense(void **state) {
    (void)state;
    acpi_build_begin(&b, "MCFG", 1);
    acpi_build_zeros(&b, 8);
    acpi_build_mcfg(&b, 0xe0000000u, 1, 5, 4);
    acpi_build_mcfg(&b, 0x5000000000ull, 2, 3, 4);
    acpi_build_zeros(&b, 15); /* not quite an entry */
    finish();
    read_all();
    assert_int_equal(info.mcfg_count, 1);
    assert_int_equal(info.mcfg[0].base, 0x5000000000ull);
    assert_int_equal(info.mcfg[0].segment, 2);
    assert_int_equal(info.mcfg[0].bus_first, 3);
    assert_non_null(acpi_build_wrong(&b, "MCFG"));
    acpi_build_begin(&b, "MCFG", 1);
    acpi_build_zeros(&b, 8);
    for (uint8_t i = 0; i < ACPI_MCFG_MAX + 1; i++) {
        acpi_build_mcfg(&b, 0xe0000000u, i, 0, 255);
    }
    b.table_count = 0;
    finish();
    read_all();
    assert_int_equal(info.mcfg_count, ACPI_MCFG_MAX);
    assert_non_null(acpi_build_wrong(&b, "MCFG"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tables_cut_before_their_lists_are_refused),
        TEST(nodes_are_numbered_in_the_order_they_come),
        TEST(domains_have_8_bits_before_revision_2),
        TEST(further_nodes_join_the_first),
        TEST(memory_that_cannot_be_is_left_out),
        TEST(short_and_unknown_srat_entries_are_skipped),
        TEST(distances_go_by_domain),
        TEST(domains_beyond_the_matrix_have_usual_distances),
        TEST(an_impossible_matrix_is_refused_whole),
        TEST(an_old_fadt_has_the_old_fields_only),
        TEST(extended_fields_are_preferred_where_they_are_used),
        TEST(a_hardware_reduced_machine_sleeps_by_its_register),
        TEST(the_off_values_are_found_in_the_program),
        TEST(no_off_values_are_better_than_wrong_ones),
        TEST(a_damaged_dsdt_is_not_searched),
        TEST(pci_express_ranges_are_kept_if_they_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
