/* CPU: the block of data that each CPU has for itself.
 *
 * gs (x86_64) points at it. The first two words have fixed places: its own address, and the engine's
 * one thread-local word (hal_local), which is switched with the thread, so that one load through
 * gs reads each. */
#pragma once

#include "arch/arch.h"

#include <stdatomic.h>

#define CPUS_MAX 64u

struct thread;

struct cpu {
    struct cpu *self; /* at gs:0 */
    void *local;      /* at gs:8: hal_local of the running thread (arch/.../hal_local.h) */
    uint32_t index;   /* 0 is the CPU that booted */
    uint32_t apic_id; /* hardware's name for it */
    uint32_t node;    /* NUMA node */

    /* Touched by this CPU only, IF off. */
    struct thread *current;
    struct thread *idle;
    bool in_irq;           /* between irq entry and exit */
    bool resched;          /* switch threads before returning from the interrupt */
    void *irq_local;       /* hal_local of interrupt handlers: to the engine they are a thread */
    uint64_t irq_count;    /* interrupts taken */
    uint64_t ipi_count[4]; /* by enum arch_ipi */
    uint64_t timer_count;
    uint64_t idle_ns; /* time spent in arch_idle() */
    uint64_t switch_count;
    uint32_t locks_held; /* DEV: bit per enum lock_class */

    _Atomic bool online;  /* set by the CPU itself; the run queue and IPIs may be used */
    _Atomic bool stopped; /* panic: it has parked */

    struct arch_cpu_data *arch; /* descriptor tables, interrupt stacks */
};

/* The CPUs, by index; NULL where none came up. cpu_count is constant after SMP start. */
extern struct cpu *cpus[CPUS_MAX];
extern unsigned cpu_count;
extern struct cpu boot_cpu; /* of CPU 0: needed before there is memory */

/* Makes the block of another CPU, in memory of its node, with descriptor tables and interrupt
 * stacks (arch_cpu_prepare()), and enters it in cpus[]. NULL: no memory. Boot, before the CPU is
 * started. */
struct cpu *cpu_new(uint32_t index, uint32_t apic_id, uint32_t node);

/* This CPU; the caller keeps IF off, or is pinned, for as long as it uses it. */
static inline struct cpu *cpu_this(void) {
    return arch_cpu();
}
