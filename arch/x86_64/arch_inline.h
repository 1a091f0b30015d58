/* Arch, inline: the duties of arch/arch.h that are a few instructions on x86_64. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu;

#define ARCH_FLAG_IF    0x200u                /* RFLAGS.IF, Intel SDM 1 3.4.3 */
#define ARCH_DIRECT_MAP 0xffff800000000000ull /* LAYOUT_DIRECT (kernel/mem/layout.h) */

static inline bool arch_irq_enabled(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return (flags & ARCH_FLAG_IF) != 0;
}

static inline void arch_irq_enable(void) {
    __asm__ volatile("sti" ::: "memory");
}

static inline bool arch_irq_disable(void) {
    bool on = arch_irq_enabled();
    __asm__ volatile("cli" ::: "memory");
    return on;
}

static inline void arch_irq_restore(bool on) {
    if (on)
        arch_irq_enable();
}

/* `sti` takes effect after the instruction that follows it, so an interrupt that is already
 * pending ends the `hlt` (Intel SDM 2B, STI). */
static inline void arch_idle(void) {
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

static inline void arch_relax(void) {
    __builtin_ia32_pause();
}

/* gs points at struct cpu, whose first word is its own address. Volatile: the answer changes when the
 * thread moves, so the compiler may neither keep an old one nor read it ahead of a `cli`. */
static inline struct cpu *arch_cpu(void) {
    struct cpu *cpu;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline void *arch_phys(uint64_t pa) {
    return (void *)(uintptr_t)(ARCH_DIRECT_MAP + pa);
}

static inline uint64_t arch_cycles(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

_Noreturn static inline void arch_halt_forever(void) {
    for (;;)
        __asm__ volatile("cli; hlt" ::: "memory");
}
