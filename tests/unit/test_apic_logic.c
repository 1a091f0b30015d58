/* Test of the APIC's logic: what is written where, for both kinds of local APIC
 * and the I/O APIC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/apic_logic.h"
#include "arch/x86_64/vectors.h"

/* Intel SDM 3A, table 11-6. */
static void registers_are_msrs_from_800h_in_x2apic_mode(void **state) {
    (void)state;
    assert_int_equal(apic_msr(APIC_ID), 0x802);
    assert_int_equal(apic_msr(APIC_TPR), 0x808);
    assert_int_equal(apic_msr(APIC_EOI), 0x80b);
    assert_int_equal(apic_msr(APIC_SPURIOUS), 0x80f);
    assert_int_equal(apic_msr(APIC_ERRORS), 0x828);
    assert_int_equal(apic_msr(APIC_ICR), 0x830);
    assert_int_equal(apic_msr(APIC_LVT_TIMER), 0x832);
    assert_int_equal(apic_msr(APIC_LVT_LINT0), 0x835);
    assert_int_equal(apic_msr(APIC_LVT_LINT1), 0x836);
    assert_int_equal(apic_msr(APIC_LVT_ERROR), 0x837);
    assert_int_equal(apic_msr(APIC_TIMER_INITIAL), 0x838);
    assert_int_equal(apic_msr(APIC_TIMER_CURRENT), 0x839);
    assert_int_equal(apic_msr(APIC_TIMER_DIVIDE), 0x83e);
}

static void a_command_names_its_cpu_in_8_or_in_32_bits(void **state) {
    (void)state;
    assert_int_equal(apic_icr(3, 0xf2, false), 0x03000000000000f2ull);
    assert_int_equal(apic_icr(254, 0xf2, false), 0xfe000000000000f2ull);
    assert_int_equal(apic_icr(3, 0xf2, true), 0x00000003000000f2ull);
    assert_int_equal(apic_icr(0x12345, 0xf2, true), 0x00012345000000f2ull);
}

/* SDM 3A 8.4.4.1: the values of the universal start-up algorithm. */
static void start_up_commands_are_the_manuals(void **state) {
    (void)state;
    assert_int_equal(APIC_ICR_INIT | APIC_ICR_ASSERT, 0x4500);
    assert_int_equal(APIC_ICR_STARTUP | APIC_ICR_ASSERT | 0x9f, 0x469f);
    assert_int_equal(APIC_ICR_NMI, 0x400);
}

/* SDM 3A figure 11-10, all eight. */
static void every_division_has_its_code(void **state) {
    (void)state;
    static const uint32_t codes[] = {0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa};
    for (unsigned log2 = 0; log2 <= APIC_TIMER_DIVIDE_BITS; log2++)
        assert_int_equal(apic_divide_code(log2), codes[log2]);
}

static void the_division_is_the_least_that_reaches_far_enough(void **state) {
    (void)state;
    assert_int_equal(apic_divide_for(24000000, 4), 0);
    assert_int_equal(apic_divide_for(1000000000, 4), 0);
    assert_int_equal(apic_divide_for(1100000000, 4), 1);
    assert_int_equal(apic_divide_for(4000000000u, 4), 2);
    for (uint64_t hz = 1000; hz < 100000000000u; hz = hz * 3 / 2) {
        unsigned log2 = apic_divide_for(hz, 4);
        assert_true(log2 == APIC_TIMER_DIVIDE_BITS || (hz >> log2) * 4 <= UINT32_MAX);
        assert_true(log2 == 0 || (hz >> (log2 - 1)) * 4 > UINT32_MAX);
    }
}

/* 82093AA data sheet, 3.2.4. */
static void an_entry_says_vector_cpu_trigger_and_polarity(void **state) {
    (void)state;
    assert_int_equal(ioapic_entry(0x34, 0, false, false), 0x34);
    assert_int_equal(ioapic_entry(0x34, 5, false, false), 0x0500000000000034ull);
    assert_int_equal(ioapic_entry(0x34, 0, true, false), 0x8034);
    assert_int_equal(ioapic_entry(0x34, 0, false, true), 0x2034);
    assert_int_equal(ioapic_entry(0x6f, 254, true, true) | IOAPIC_MASKED, 0xfe0000000001a06full);
}

static void vectors_do_not_overlap(void **state) {
    (void)state;
    assert_true(VECTOR_PIC >= 32 && VECTOR_PIC % 8 == 0);
    assert_true(VECTOR_DEVICES >= VECTOR_PIC + 16);
    assert_true(VECTOR_IPI >= VECTOR_DEVICES + 64);
    assert_true(VECTOR_TIMER >= VECTOR_IPI + 3);
    assert_true(VECTOR_ERROR > VECTOR_TIMER && VECTOR_SPURIOUS > VECTOR_ERROR);
    assert_int_equal(VECTOR_SPURIOUS & 0xf, 0xf); /* old ones have these bits fixed */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_are_msrs_from_800h_in_x2apic_mode),
        cmocka_unit_test(a_command_names_its_cpu_in_8_or_in_32_bits),
        cmocka_unit_test(start_up_commands_are_the_manuals),
        cmocka_unit_test(every_division_has_its_code),
        cmocka_unit_test(the_division_is_the_least_that_reaches_far_enough),
        cmocka_unit_test(an_entry_says_vector_cpu_trigger_and_polarity),
        cmocka_unit_test(vectors_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
