/* Vectors: which interrupt vector means what, the one table.
 *
 *   0x00-0x1f  exceptions and NMI (Intel SDM 3A 6.2)
 *   0x20-0x2f  the two 8259 PICs: masked, so only their spurious interrupts 0x27 and 0x2f can come
 *   0x30-0x6f  devices, by slot of kernel/irq/irq.c
 *   0xf0-0xf2  interrupts between CPUs, by enum arch_ipi (the fourth, STOP, is an NMI)
 *   0xf8       the local APIC's timer
 *   0xfe       the local APIC's errors
 *   0xff       the local APIC's spurious interrupt: not to be acknowledged (SDM 3A 11.9)
 *
 * A higher number is served first when several wait (SDM 3A 11.8.3): other CPUs wait for the
 * answer to an IPI, and nobody waits for a device as urgently. */
#pragma once

#define VECTOR_PIC      0x20u
#define VECTOR_DEVICES  0x30u
#define VECTOR_IPI      0xf0u
#define VECTOR_TIMER    0xf8u
#define VECTOR_ERROR    0xfeu
#define VECTOR_SPURIOUS 0xffu
