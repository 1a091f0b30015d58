/* Arch, inline: the duties of arch/arch.h that are a few instructions on x86_64. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/debug/latency.h"

struct cpu;

#define ARCH_FLAG_IF    0x200u                /* RFLAGS.IF, Intel SDM 1 3.4.3 */
#define ARCH_DIRECT_MAP 0xffff800000000000ull /* LAYOUT_DIRECT (kernel/mem/layout.h) */

static inline bool arch_irq_enabled(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return (flags & ARCH_FLAG_IF) != 0;
}

static inline void arch_irq_enable(void) {
#if LATENCY_ON
    if (!arch_irq_enabled())
        latency_end();
#endif
    __asm__ volatile("sti" ::: "memory");
}

static inline bool arch_irq_disable(void) {
    bool on = arch_irq_enabled();
    __asm__ volatile("cli" ::: "memory");
#if LATENCY_ON
    if (on)
        latency_begin(LATENCY_KERNEL);
#endif
    return on;
}

static inline void arch_irq_restore(bool on) {
    if (on)
        arch_irq_enable();
}

/* `sti` takes effect after the instruction that follows it, so an interrupt that is already
 * pending ends the `hlt` (Intel SDM 2B, STI). */
static inline void arch_idle(void) {
#if LATENCY_ON
    latency_end();
#endif
    __asm__ volatile("sti; hlt; cli" ::: "memory");
#if LATENCY_ON
    latency_begin(LATENCY_KERNEL);
#endif
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

/* Whole pages: the CPU moves them in lines. */
static inline void arch_page_clear(void *page) {
    uint64_t count = 512;
    __asm__ volatile("rep stosq" : "+D"(page), "+c"(count) : "a"(0) : "memory");
}

static inline void arch_page_copy(void *to, const void *from) {
    uint64_t count = 512;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

static inline uint64_t arch_cycles(void) {
    uint64_t low, high; /* upper halves are cleared (Intel SDM 2B, RDTSC) */
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return high << 32 | low;
}

/* Takes a ticket, and tells whether it is the one that is served. An acquire when it is: a locked
 * instruction is a full barrier (Intel SDM 3A 8.2.5). */
static inline bool arch_ticket(_Atomic uint16_t *next, const _Atomic uint16_t *serving,
                               uint16_t *ticket) {
    uint16_t mine = 1;
    bool served;
    __asm__ volatile("lock xaddw %1, %2\n\t"
                     "cmpw %1, %3"
                     : "=@ccz"(served), "+r"(mine), "+m"(*next)
                     : "m"(*serving)
                     : "memory");
    *ticket = mine;
    return served;
}

/* Serves the next ticket: by the holder alone, so no other writes it. A release, as every store here. */
static inline void arch_serve_next(_Atomic uint16_t *serving) {
    __asm__ volatile("incw %0" : "+m"(*serving)::"memory", "cc");
}

/* Calls fn(a, b, c) from the middle of hot code, where that happens seldom: every register is kept, so that
 * the code around needs no stack for it (syscall.S). */
static inline void arch_call_keeping(void (*fn)(void), const void *a, uintptr_t b, const void *c) {
    __asm__ volatile("call user_call_keeping" : : "a"(fn), "D"(a), "S"(b), "d"(c) : "memory", "cc");
}

/* Copies 64-bit words, upwards. */
static inline void arch_copy_words(void *to, const void *from, size_t words) {
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

_Noreturn static inline void arch_halt_forever(void) {
    for (;;)
        __asm__ volatile("cli; hlt" ::: "memory");
}
