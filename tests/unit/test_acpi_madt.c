/* Test of the MADT: CPUs, interrupt controllers, their limits, and what damage inside it does. */
#include "tests/lib/acpi_fixture.h"

static void cpus_are_kept_by_their_flags(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 1, 10, 1);
    acpi_build_cpu(&b, 2, 11, 0); /* empty socket */
    acpi_build_cpu(&b, 3, 12, 2); /* may come later */
    acpi_build_cpu(&b, 4, 0xff, 1);
    acpi_build_x2apic(&b, 500, 300, 1);
    acpi_build_x2apic(&b, 501, 301, 0);
    finish();
    read_all();
    assert_null(acpi_build_wrong(&b, "APIC"));
    assert_int_equal(info.cpu_count, 3);
    assert_true(info.cpus[0].enabled);
    assert_int_equal(info.cpus[1].apic_id, 12);
    assert_false(info.cpus[1].enabled);
    assert_int_equal(info.cpus[2].apic_id, 300);
    assert_int_equal(info.cpus[2].uid, 500);
    assert_int_equal(info.ioapic_count, 0);
}

static void a_cpu_that_comes_twice_counts_once(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 1, 10, 1);
    acpi_build_x2apic(&b, 1, 10, 1);
    finish();
    read_all();
    assert_int_equal(info.cpu_count, 1);
    assert_string_equal(acpi_build_wrong(&b, "APIC"), "it names a CPU twice");
}

static void more_cpus_than_fit_are_counted(void **state) {
    (void)state;
    acpi_build_madt(&b);
    for (uint32_t i = 0; i < ACPI_CPUS_MAX + 9; i++) {
        acpi_build_x2apic(&b, i, i, 1);
    }
    for (uint32_t i = 0; i < ACPI_IOAPICS_MAX + 1; i++) {
        acpi_build_ioapic(&b, (uint8_t)i, 0xfec00000u + i * 0x1000, 24 * i);
    }
    for (uint8_t i = 0; i < ACPI_OVERRIDES_MAX + 1; i++) {
        acpi_build_override(&b, i, i, 0);
    }
    finish();
    read_all();
    assert_int_equal(info.cpu_count, ACPI_CPUS_MAX);
    assert_int_equal(info.cpus_dropped, 9);
    assert_int_equal(info.cpus[ACPI_CPUS_MAX - 1].apic_id, ACPI_CPUS_MAX - 1);
    assert_int_equal(info.ioapic_count, ACPI_IOAPICS_MAX);
    assert_int_equal(info.ioapics[7].gsi_base, 168);
    assert_int_equal(info.override_count, ACPI_OVERRIDES_MAX);
    assert_string_equal(acpi_build_wrong(&b, "APIC"), "it names more CPUs than are kept");
}

static void a_madt_without_cpus_keeps_the_one_that_runs(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_ioapic(&b, 2, 0xfec01000u, 0);
    finish();
    read_all();
    assert_int_equal(info.cpu_count, 1);
    assert_true(info.cpus[0].enabled);
    assert_int_equal(info.ioapics[0].base, 0xfec01000u);
    assert_int_equal(info.ioapics[0].id, 2);
    assert_string_equal(acpi_build_wrong(&b, "APIC"), "it names no CPU");
}

static void interrupt_flags_are_read_as_isa_means_them(void **state) {
    (void)state;
    static const struct {
        uint16_t flags;
        bool low, level;
    } cases[] = {{0x0, false, false}, {0x5, false, false}, {0x7, true, false},
                 {0xd, false, true},  {0xf, true, true},   {0x3, true, false}};
    acpi_build_madt(&b);
    for (uint8_t i = 0; i < 6; i++) {
        acpi_build_override(&b, i, 20u + i, cases[i].flags);
    }
    finish();
    read_all();
    assert_int_equal(info.override_count, 6);
    for (uint8_t i = 0; i < 6; i++) {
        assert_int_equal(info.overrides[i].isa, i);
        assert_int_equal(info.overrides[i].gsi, 20u + i);
        assert_int_equal(info.overrides[i].active_low, cases[i].low);
        assert_int_equal(info.overrides[i].level, cases[i].level);
    }
}

static void nmi_inputs_belong_to_one_cpu_or_to_all(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_nmi(&b, 2, 0); /* before the CPUs: the order must not matter */
    acpi_build_cpu(&b, 1, 10, 1);
    acpi_build_cpu(&b, 2, 11, 1);
    acpi_build_x2apic(&b, 300, 400, 1);
    acpi_build_put(&b, 0x0c0a, 4); /* x2APIC NMI for UID 300, LINT 1 */
    acpi_build_put(&b, 300, 4);
    acpi_build_put(&b, 1, 4);
    acpi_build_nmi(&b, 1, 2); /* there is no LINT 2 */
    finish();
    read_all();
    assert_int_equal(info.cpus[0].nmi_lint, ACPI_NO_NMI);
    assert_int_equal(info.cpus[1].nmi_lint, 0);
    assert_int_equal(info.cpus[2].nmi_lint, 1);
}

static void the_lapic_address_may_be_overridden(void **state) {
    (void)state;
    acpi_build_madt(&b);
    acpi_build_cpu(&b, 0, 0, 1);
    acpi_build_put(&b, 0x0c05, 4);
    acpi_build_put(&b, 0x123456000ull, 8);
    finish();
    set(b.tables[0], 40, 0, 4);
    acpi_build_seal(&b, b.tables[0]);
    read_all();
    assert_int_equal(info.lapic_base, 0x123456000ull);
    assert_false(info.has_pic);
}

static void a_damaged_list_ends_where_the_damage_is(void **state) {
    (void)state;
    static const uint16_t bad[] = {0x0000, 0x0100, 0xff00}; /* lengths 0, 1, and too many */
    for (unsigned i = 0; i < 3; i++) {
        acpi_build_fini(&b);
        acpi_build_init(&b, 0x1000);
        acpi_build_madt(&b);
        acpi_build_cpu(&b, 0, 3, 1);
        acpi_build_put(&b, bad[i], 2);
        acpi_build_put(&b, 0, 6);
        acpi_build_cpu(&b, 1, 4, 1);
        finish();
        read_all();
        assert_int_equal(info.cpu_count, 1);
        assert_int_equal(info.cpus[0].apic_id, 3);
        assert_non_null(acpi_build_wrong(&b, "APIC"));
    }
}

static void an_entry_too_short_for_its_type_is_skipped(void **state) {
    (void)state;
    static const uint8_t types[] = {0, 1, 2, 4, 5, 9, 10};
    acpi_build_madt(&b);
    for (unsigned i = 0; i < 7; i++) {
        acpi_build_put(&b, 0x0400u | types[i], 2);
        acpi_build_put(&b, 0x0101, 2);
    }
    acpi_build_put(&b, 0x0380, 3); /* a type that nobody knows */
    acpi_build_cpu(&b, 1, 4, 1);
    acpi_build_put(&b, 0, 1); /* half an entry */
    finish();
    read_all();
    assert_int_equal(info.cpu_count, 1);
    assert_int_equal(info.cpus[0].apic_id, 4);
    assert_int_equal(info.ioapic_count + info.override_count, 0);
    assert_string_equal(acpi_build_wrong(&b, "APIC"), "an entry is too short");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(cpus_are_kept_by_their_flags),
        TEST(a_cpu_that_comes_twice_counts_once),
        TEST(more_cpus_than_fit_are_counted),
        TEST(a_madt_without_cpus_keeps_the_one_that_runs),
        TEST(interrupt_flags_are_read_as_isa_means_them),
        TEST(nmi_inputs_belong_to_one_cpu_or_to_all),
        TEST(the_lapic_address_may_be_overridden),
        TEST(a_damaged_list_ends_where_the_damage_is),
        TEST(an_entry_too_short_for_its_type_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
