/* CPU: the block of data that each CPU has for itself.
 *
 * gs (x86_64) points at it. The first words have fixed places, so that one load through gs reads
 * each: its own address; the engine's one thread-local word (hal_local), which is switched with the
 * thread; and what the entry of a system call needs. */
#pragma once

#include "arch/arch.h"

#include <stdatomic.h>

#define CPUS_MAX 64u

struct runq;
struct space;
struct thread;

struct cpu {
    struct cpu *self;       /* at gs:0 */
    void *local;            /* at gs:8: hal_local of the running thread (arch/.../hal_local.h) */
    struct thread *current; /* at gs:16 */
    uintptr_t stack_top;    /* at gs:24: of the current thread's kernel stack; user threads only */
    uint64_t scratch;       /* at gs:32: the entry code's */
    struct space
        *_Atomic space; /* at gs:40: whose root is loaded, NULL: the kernel's (mem/space.h) */
    uint32_t index;     /* 0 is the CPU that booted */
    uint32_t apic_id;   /* hardware's name for it */
    uint32_t node;      /* NUMA node */

    /* Touched by this CPU only, IF off. */
    struct runq *rq; /* its run queue: constant */
    struct thread *idle;
    struct thread *fpu_owner; /* whose vector registers this CPU holds; NULL: nobody's */
    bool fpu_on;              /* they can be used: no trap */
    bool in_irq;              /* between irq entry and exit */
    bool resched;             /* switch threads before returning from the interrupt */
    void *irq_local;          /* hal_local of interrupt handlers: to the engine they are a thread */
    uint64_t irq_count;       /* interrupts taken */
    uint64_t ipi_count[4];    /* by enum arch_ipi */
    uint64_t timer_count;
    uint64_t idle_ns; /* time spent in arch_idle() */
    uint64_t switch_count;
    uint32_t locks_held; /* DEV: bit per enum lock_class */
    uint64_t
        off_since; /* kernel/debug/latency.h: cycles when IF went off; what did it, and where */
    uintptr_t off_site;
    uint32_t off_kind;

    _Atomic bool online;  /* set by the CPU itself; the run queue and IPIs may be used */
    _Atomic bool stopped; /* panic: it has parked */

    struct arch_cpu_data *arch; /* descriptor tables, interrupt stacks */
};

_Static_assert(offsetof(struct cpu, current) == 16, "arch: entry code");
_Static_assert(offsetof(struct cpu, stack_top) == 24, "arch: entry code");
_Static_assert(offsetof(struct cpu, scratch) == 32, "arch: entry code");
_Static_assert(offsetof(struct cpu, space) == 40, "arch: entry code");

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
