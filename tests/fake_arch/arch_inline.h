/* Fake arch: the inline duties of arch/arch.h for kernel sources that run in a test process.
 *
 * A CPU is a number, IF a flag, and the clock a variable: what they do is up to the test, which
 * defines the functions below. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cpu;

bool arch_irq_disable(void);
void arch_irq_restore(bool on);
void arch_irq_enable(void);
bool arch_irq_enabled(void);
void arch_idle(void);
void arch_relax(void);
struct cpu *arch_cpu(void);
uint64_t arch_cycles(void);

static inline void *arch_phys(uint64_t pa) {
    return (void *)(uintptr_t)pa;
}
static inline void arch_page_clear(void *page) {
    memset(page, 0, 4096);
}
static inline void arch_page_copy(void *to, const void *from) {
    memcpy(to, from, 4096);
}

static inline bool arch_ticket(_Atomic uint16_t *next, const _Atomic uint16_t *serving,
                               uint16_t *ticket) {
    *ticket = (*next)++;
    return *serving == *ticket;
}

static inline void arch_serve_next(_Atomic uint16_t *serving) {
    ++*serving;
}

static inline void arch_call_keeping(void (*fn)(void), const void *a, uintptr_t b, const void *c) {
    ((void (*)(const void *, uintptr_t, const void *))fn)(a, b, c);
}

static inline void arch_copy_words(void *to, const void *from, size_t words) {
    for (size_t i = 0; i < words; i++)
        ((uint64_t *)to)[i] = ((const uint64_t *)from)[i];
}
