/* References: the clocks of known rate that a PC may have, polled.
 *
 * Each is looked for before it is used, because a machine may lack any of them: ports without a
 * device read as all ones. */
#include "arch/x86_64/reference.h"

#include <stddef.h>
#include <string.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "kernel/core/acpi.h"

/* ---- PIT: Intel 8254, channel 2 ------------------------------------------------------------ */

enum { PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61 };

/* It counts down; latched so that the two halves belong together. */
static uint32_t pit_read(void) {
    out8(PIT_COMMAND, 0x80);
    uint32_t low = in8(PIT_CHANNEL2);
    return ~(low | (uint32_t)in8(PIT_CHANNEL2) << 8);
}

const struct reference *reference_pit(void) {
    static const struct reference pit = {"pit", 1193182, 0xffff, pit_read};
    out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & 0xfcu) | 1u)); /* gate on, speaker off */
    out8(PIT_COMMAND, 0xb0); /* both bytes, mode 0: past its end it counts on from 0xffff */
    out8(PIT_CHANNEL2, 0xff);
    out8(PIT_CHANNEL2, 0xff);
    out8(PIT_COMMAND, 0xe8); /* read back: the channel's mode */
    return (in8(PIT_CHANNEL2) & 0x3fu) == 0x30u ? &pit : NULL;
}

/* ---- ACPI's power management timer (ACPI 6.5, 4.8.3.3) --------------------------------------- */

static uint32_t pm_read(void) {
    return in32((uint16_t)acpi.pm_timer);
}

const struct reference *reference_pm_timer(void) {
    static const struct reference pm = {"pm timer", 3579545, 0xffffff, pm_read};
    return acpi.pm_timer != 0 && pm_read() != UINT32_MAX ? &pm : NULL;
}

/* ---- The local APIC's timer ------------------------------------------------------------------ */

/* It counts down from what apic_timer_begin() has set, and stops at 0. */
static uint32_t apic_read_counter(void) {
    return ~apic_read(APIC_TIMER_CURRENT);
}

const struct reference apic_counter = {"local APIC", 1000000000, UINT32_MAX, apic_read_counter};

/* Hardware's has any rate. In machines that QEMU or KVM make, which may have no other clock, it
 * counts nanoseconds: QEMU hw/intc/apic.c; Linux arch/x86/kvm/lapic.h, APIC_BUS_CYCLE_NS. */
const struct reference *reference_apic(void) {
    uint32_t out[4];
    if (!cpu_features.hypervisor)
        return NULL;
    cpuid(0x40000000u, 0, out);
    bool qemu = memcmp(&out[1], "TCGTCGTCGTCG", 12) == 0;
    bool kvm = memcmp(&out[1], "KVMKVMKVM\0\0\0", 12) == 0;
    return qemu || kvm ? &apic_counter : NULL;
}
