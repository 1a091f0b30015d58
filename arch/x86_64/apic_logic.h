/* APIC logic: what goes into which register, as pure functions (Intel SDM 3A chapter 11; the
 * I/O APIC's from the 82093AA data sheet). Tested on the host. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Registers of the local APIC, by their offset in memory. x2APIC has the same ones as MSRs, and
 * ICR in one piece of 64 bits (SDM 3A table 11-6). */
enum apic_register {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_ERRORS = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_SPURIOUS_ENABLE   (1u << 8)
#define APIC_LVT_MASKED        (1u << 16)
#define APIC_LVT_NMI           (4u << 8)
#define APIC_LVT_TSC_DEADLINE  (2u << 17)
#define APIC_ICR_NMI           (4u << 8)
#define APIC_ICR_INIT          (5u << 8)
#define APIC_ICR_STARTUP       (6u << 8)
#define APIC_ICR_PENDING       (1u << 12)
#define APIC_ICR_ASSERT        (1u << 14)
#define APIC_ID_BROADCAST      0xffu /* as an 8-bit destination: everybody */
#define APIC_TIMER_DIVIDE_BITS 7u    /* the timer divides by 2^0 .. 2^7 */

static inline uint32_t apic_msr(unsigned reg) {
    return 0x800u + reg / 16u;
}

/* The whole ICR: the destination is in its top 32 bits, of which xAPIC uses the top 8. */
static inline uint64_t apic_icr(uint32_t apic_id, uint32_t command, bool x2apic) {
    return (uint64_t)(x2apic ? apic_id : apic_id << 24) << 32 | command;
}

/* Code of the divide register for 2^log2: 0 is 1011b, 1 is 0000b, ... 7 is 1010b; bit 2 is
 * reserved (SDM 3A figure 11-10). */
static inline uint32_t apic_divide_code(unsigned log2) {
    unsigned n = (log2 - 1u) & 7u;
    return (n & 3u) | (n & 4u) << 1;
}

/* The least division with which a 32-bit count lasts `seconds` at `hz` undivided. */
static inline unsigned apic_divide_for(uint64_t hz, unsigned seconds) {
    unsigned log2 = 0;
    while (log2 < APIC_TIMER_DIVIDE_BITS && (hz >> log2) * seconds > UINT32_MAX)
        log2++;
    return log2;
}

/* An entry of the I/O APIC's redirection table: physical destination, fixed delivery. */
static inline uint64_t ioapic_entry(unsigned vector, uint32_t apic_id, bool level,
                                    bool active_low) {
    return (uint64_t)apic_id << 56 | (level ? 1u << 15 : 0u) | (active_low ? 1u << 13 : 0u) |
           vector;
}
#define IOAPIC_MASKED (1u << 16)
