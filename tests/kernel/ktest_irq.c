/* Test of interrupts: routes, handlers, and what comes unasked. The device is
 * the real-time clock, which nearly every PC has on ISA line 8, and the serial
 * line talking to itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/io.h"
#include "ggmk/error.h"
#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/time/timer.h"

#define NO_SUCH_GSI   4000u
#define UNUSED_VECTOR 0x9au
#define WAIT_NS       1000000000ull /* for what must come */
#define QUIET_NS      2000000ull    /* for what must not */

static _Atomic uint32_t came;
static _Atomic bool in_irq, irq_off;
static void *_Atomic local_inside;

static bool wait_count(_Atomic uint32_t *count, uint32_t wanted, uint64_t ns) {
    uint64_t end = time_now_ns() + ns;
    while (atomic_load(count) < wanted && time_now_ns() < end)
        arch_relax();
    return atomic_load(count) >= wanted;
}

/* ---- The device: MC146818 data sheet, registers A to D
 * ---------------------------------------- */

#define RTC_PERIODIC 0x40u /* in B: on; in C: it has come */

static unsigned gsi;
static bool level, active_low;
static uint8_t rtc_a; /* as it was */

static uint8_t rtc_get(uint8_t reg) {
    out8(0x70, reg);
    return in8(0x71);
}

static void rtc_set(uint8_t reg, uint8_t value) {
    out8(0x70, reg);
    out8(0x71, value);
}

static void rtc_stop(void) {
    rtc_set(0xb, (uint8_t)(rtc_get(0xb) & ~RTC_PERIODIC));
    (void)rtc_get(0xc); /* takes the request back */
}

/* Within 122 us, until rtc_stop(). */
static void interrupt_soon(void) {
    (void)rtc_get(0xc);
    rtc_set(0xa, 0x23);
    rtc_set(0xb, (uint8_t)(rtc_get(0xb) | RTC_PERIODIC));
}

static void on_line(void *arg) {
    rtc_stop();
    atomic_store(&in_irq, cpu_this()->in_irq);
    atomic_store(&irq_off, !arch_irq_enabled());
    atomic_store(&local_inside, cpu_this()->local);
    atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static int with_line(void **state) {
    (void)state;
    gsi = arch_irq_isa_to_gsi(8, &level, &active_low);
    atomic_store(&came, 0);
    rtc_a = rtc_get(0xa);
    return 0;
}

static int without_line(void **state) {
    (void)state;
    (void)irq_detach(gsi);
    rtc_stop();
    rtc_set(0xa, rtc_a & 0x7f);
    return 0;
}

static void attach(void) {
    if ((rtc_get(0xd) & 0x7fu) != 0) /* no clock here */
        skip();
    assert_int_equal(irq_attach(gsi, level, active_low, on_line, &came, "test"), GMK_OK);
}

/* ---- Promises
 * -------------------------------------------------------------------------------
 */

static void a_line_reaches_its_handler(void **state) {
    (void)state;
    attach();
    for (uint32_t i = 1; i <= 10; i++) {
        interrupt_soon();
        assert_true(wait_count(&came, i, WAIT_NS));
    }
    assert_int_equal(atomic_load(&came), 10);
}

static void a_handler_runs_with_interrupts_off_and_a_thread_word_of_its_own(void **state) {
    (void)state;
    attach();
    void *mine = cpu_this()->local;
    interrupt_soon();
    assert_true(wait_count(&came, 1, WAIT_NS));
    assert_true(atomic_load(&in_irq));
    assert_true(atomic_load(&irq_off));
    assert_true(mine == NULL || atomic_load(&local_inside) != mine);
    assert_ptr_equal(cpu_this()->local, mine);
    assert_false(cpu_this()->in_irq);
}

static void a_line_has_one_handler_at_most(void **state) {
    (void)state;
    attach();
    assert_int_equal(irq_attach(gsi, level, active_low, on_line, &came, "second"), GMK_EEXIST);
    assert_int_equal(irq_detach(gsi), GMK_OK);
    assert_int_equal(irq_detach(gsi), GMK_ENOENT);
    assert_int_equal(irq_attach(gsi, level, active_low, on_line, &came, "again"), GMK_OK);
}

static void a_line_that_does_not_exist_is_refused(void **state) {
    (void)state;
    assert_int_equal(irq_attach(NO_SUCH_GSI, false, false, on_line, &came, "none"), GMK_EINVAL);
    assert_int_equal(irq_detach(NO_SUCH_GSI), GMK_ENOENT);
    assert_int_equal(irq_attach(gsi, false, false, NULL, NULL, "no handler"), GMK_EINVAL);
    arch_irq_mask(NO_SUCH_GSI); /* nothing to mask: no effect */
    arch_irq_unmask(NO_SUCH_GSI);
}

static void a_detached_handler_is_not_called_again(void **state) {
    (void)state;
    attach();
    assert_int_equal(irq_detach(gsi), GMK_OK);
    interrupt_soon();
    assert_false(wait_count(&came, 1, QUIET_NS));
}

static void a_masked_line_waits_until_it_is_unmasked(void **state) {
    (void)state;
    attach();
    arch_irq_mask(gsi);
    interrupt_soon();
    assert_false(wait_count(&came, 1, QUIET_NS));
    arch_irq_unmask(gsi);
    interrupt_soon();
    assert_true(wait_count(&came, 1, WAIT_NS));
}

static void what_is_attached_is_listed_with_its_count(void **state) {
    (void)state;
    attach();
    interrupt_soon();
    assert_true(wait_count(&came, 1, WAIT_NS));
    struct irq_info info;
    unsigned seen = 0;
    for (unsigned i = 0; irq_info(i, &info); i++) {
        if (info.gsi != gsi)
            continue;
        assert_string_equal(info.name, "test");
        assert_int_equal(info.count, 1);
        seen++;
    }
    assert_int_equal(seen, 1);
    assert_false(irq_info(IRQ_DEVICES_MAX, &info));
}

static void a_vector_that_nobody_expects_is_counted_and_the_next_interrupt_comes(void **state) {
    (void)state;
    uint64_t before = irq_unexpected();
    for (unsigned i = 1; i <= 3; i++) {
        uint64_t end = time_now_ns() + WAIT_NS;
        bool irq = arch_irq_disable();
        apic_send(cpu_this()->apic_id, UNUSED_VECTOR);
        arch_irq_restore(irq);
        while (irq_unexpected() < before + i && time_now_ns() < end)
            arch_relax();
        assert_int_equal(irq_unexpected(), before + i);
    }
}

static void a_spurious_interrupt_is_expected(void **state) {
    (void)state;
    uint64_t before = irq_unexpected();
    __asm__ volatile("int $0xff");
    assert_int_equal(irq_unexpected(), before);
}

/* ---- Serial, in loopback (PC16550D data sheet, 8.6.7: MCR bit 4)
 * ------------------------------- */

static uint64_t count_of(unsigned line) {
    struct irq_info info;
    for (unsigned i = 0; irq_info(i, &info); i++)
        if (info.gsi == line)
            return info.count;
    return 0;
}

static void on_serial(void *arg) {
    (void)arg;
    (void)in8(0x3f8); /* takes the byte, which ends the request */
}

/* Somebody listens to the line, or this test does. */
static void a_byte_on_the_serial_line_interrupts(void **state) {
    (void)state;
    bool serial_level, serial_low;
    unsigned line = arch_irq_isa_to_gsi(4, &serial_level, &serial_low);
    out8(0x3ff, 0xa5);
    if (in8(0x3ff) != 0xa5)
        skip();
    int status = irq_attach(line, serial_level, serial_low, on_serial, NULL, "loopback");
    uint64_t before = count_of(line), end = time_now_ns() + WAIT_NS;
    uint8_t modem = in8(0x3fc), interrupts = in8(0x3f9);
    out8(0x3fc, modem | 0x10);
    out8(0x3f9, 1);
    out8(0x3f8, '\r');
    while (count_of(line) == before && time_now_ns() < end)
        arch_relax();
    uint64_t after = count_of(line);
    out8(0x3fc, modem);
    out8(0x3f9, interrupts);
    if (status == GMK_OK)
        (void)irq_detach(line);
    assert_true(after > before);
}

int main(void) {
#define WITH_LINE(name) cmocka_unit_test_setup_teardown(name, with_line, without_line)
    const struct CMUnitTest tests[] = {
        WITH_LINE(a_line_reaches_its_handler),
        WITH_LINE(a_handler_runs_with_interrupts_off_and_a_thread_word_of_its_own),
        WITH_LINE(a_line_has_one_handler_at_most),
        WITH_LINE(a_line_that_does_not_exist_is_refused),
        WITH_LINE(a_detached_handler_is_not_called_again),
        WITH_LINE(a_masked_line_waits_until_it_is_unmasked),
        WITH_LINE(what_is_attached_is_listed_with_its_count),
        cmocka_unit_test(a_vector_that_nobody_expects_is_counted_and_the_next_interrupt_comes),
        cmocka_unit_test(a_spurious_interrupt_is_expected),
        cmocka_unit_test(a_byte_on_the_serial_line_interrupts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
