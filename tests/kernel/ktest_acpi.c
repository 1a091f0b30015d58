/* Test of ACPI in the kernel: the machine is the one that the tables describe, and damage to any of
 * them is survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "kernel/core/acpi.h"
#include "kernel/core/cpu.h"
#include "kernel/debug/readable.h"
#include "kernel/mem/vm.h"

/* A reader that hands out copies, of which one has a byte changed. */
static struct {
    void *copy;
    unsigned calls, damaged_call; /* counted from 1; 0: none */
    size_t damaged_byte;
    unsigned tables, wrong;
} view;

static const void *map(void *arg, uint64_t pa, size_t size) {
    (void)arg;
    free(view.copy);
    view.copy = malloc(size);
    assert_non_null(view.copy);
    bool direct = debug_readable((vaddr_t)arch_phys(pa), size, NULL);
    if (!direct && view.damaged_call != 0)
        return NULL; /* a damaged address could be a device's */
    const void *bytes = direct ? arch_phys(pa) : vm_map_phys(pa, size, 0);
    assert_non_null(bytes);
    memcpy(view.copy, bytes, size);
    if (!direct)
        vm_unmap_phys((void *)(uintptr_t)bytes, size);
    if (++view.calls == view.damaged_call)
        ((uint8_t *)view.copy)[view.damaged_byte % size] ^= 0x10;
    return view.copy;
}

static void note(void *arg, const char signature[4], uint32_t length, const char *wrong) {
    (void)arg;
    (void)signature;
    (void)length;
    view.tables++;
    view.wrong += wrong != NULL;
}

static const struct acpi_reader reader = {.map = map, .note = note};
static struct acpi_info info;

static bool read_tables(unsigned damaged_call, size_t damaged_byte) {
    view.calls = view.tables = view.wrong = 0;
    view.damaged_call = damaged_call;
    view.damaged_byte = damaged_byte;
    bool usable = acpi_read(&reader, boot_info.rsdp, &info);
    free(view.copy);
    view.copy = NULL;
    return usable;
}

static void the_boot_cpu_and_its_node_are_in_the_tables(void **state) {
    (void)state;
    unsigned found = 0;
    for (uint32_t i = 0; i < acpi.cpu_count; i++)
        found += acpi.cpus[i].enabled && acpi.cpus[i].apic_id == cpus[0]->apic_id;
    assert_int_equal(found, 1);
    assert_true(acpi.node_count >= 1);
    for (unsigned i = 0; i < cpu_count; i++)
        assert_true(cpus[i]->node < acpi.node_count);
    assert_true(acpi.ioapic_count >= 1);
    assert_int_not_equal(acpi.lapic_base, 0);
}

static void reading_again_finds_the_same_machine(void **state) {
    (void)state;
    if (boot_info.rsdp == 0)
        skip();
    assert_true(read_tables(0, 0));
    assert_int_equal(view.wrong, 0);
    assert_true(view.tables >= 3);
    assert_int_equal(info.cpu_count, acpi.cpu_count);
    assert_memory_equal(info.cpus, acpi.cpus, sizeof info.cpus);
    assert_int_equal(info.node_count, acpi.node_count);
    assert_int_equal(info.memory_count, acpi.memory_count);
    assert_memory_equal(info.distance, acpi.distance, sizeof info.distance);
    assert_int_equal(info.pm1a_control, acpi.pm1a_control);
    assert_int_equal(info.has_s5, acpi.has_s5);
}

static void a_changed_byte_anywhere_is_survived(void **state) {
    (void)state;
    if (boot_info.rsdp == 0)
        skip();
    (void)read_tables(0, 0);
    unsigned calls = view.calls, noticed = 0;
    for (unsigned call = 1; call <= calls; call++) {
        for (size_t byte = 0; byte < 48; byte += 5) {
            bool usable = read_tables(call, byte);
            assert_true(info.cpu_count >= 1 && info.cpu_count <= ACPI_CPUS_MAX);
            assert_true(info.node_count >= 1);
            assert_true(usable || info.cpu_count == 1);
            noticed += view.wrong > 0;
        }
    }
    assert_true(noticed > calls); /* the checksums do see it */
}

static void without_tables_there_is_one_cpu(void **state) {
    (void)state;
    acpi_defaults(&info);
    assert_int_equal(info.cpu_count, 1);
    assert_int_equal(info.ioapic_count, 1);
    assert_int_equal(info.node_count, 1);
    assert_false(info.has_fadt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_boot_cpu_and_its_node_are_in_the_tables),
        cmocka_unit_test(reading_again_finds_the_same_machine),
        cmocka_unit_test(a_changed_byte_anywhere_is_survived),
        cmocka_unit_test(without_tables_there_is_one_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
