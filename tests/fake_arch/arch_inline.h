/* Fake arch: the inline duties of arch/arch.h for kernel sources that run in a test process.
 *
 * A CPU is a number, IF a flag, and the clock a variable: what they do is up to the test, which
 * defines the functions below. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
