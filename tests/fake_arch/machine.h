/* Machine: several CPUs in one process, for tests of the kernel's scheduling.
 *
 * Each kernel thread is a coroutine (ucontext). One CPU runs at a time; the machine changes CPUs at
 * every lock operation and wherever IF comes on, by a seeded random choice, and delivers pending
 * interrupts there when IF is on. So all interleavings of critical sections can happen, each
 * seed is one of them, and it can be run again.
 *
 * The clock moves a little at each step. When every CPU idles it jumps to the next timer; when there
 * is none, nothing will ever happen again, and machine_run() returns.
 *
 * Included by one test program, after nothing else of the kernel. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

/* ThreadSanitizer does not know that swapcontext() changes stacks, and crashes. One thread runs, so
 * it would find nothing either. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MACHINE_RUNS false
#endif
#elif defined(__SANITIZE_THREAD__)
#define MACHINE_RUNS false
#endif
#ifndef MACHINE_RUNS
#define MACHINE_RUNS true /* machine_run() works in this build */
#endif

#define MACHINE_CPUS  4u
#define MACHINE_STACK ((size_t)64 * 1024)

struct machine_cpu {
    struct cpu cpu;
    ucontext_t flow; /* where it stands while another CPU runs */
    bool irq_on, idles, started;
    bool ipi;             /* a reschedule interrupt is pending */
    uint64_t deadline_ns; /* of the timer's hardware */
    uint64_t timer_sets, timer_irqs, ipis;
};

static struct machine {
    struct machine_cpu at[MACHINE_CPUS];
    unsigned now_on; /* the CPU that runs */
    uint64_t now_ns, random, steps;
    ucontext_t outside;
    int64_t frames, stacks, blocks; /* allocated */
    int64_t fail_after;             /* the n-th allocation from now on fails; 0: none */
    bool running;
} machine;

struct cpu *cpus[CPUS_MAX];
unsigned cpu_count;

static inline uint64_t machine_random(uint64_t below) {
    machine.random ^= machine.random << 13;
    machine.random ^= machine.random >> 7;
    machine.random ^= machine.random << 17;
    return machine.random % below;
}

static struct machine_cpu *machine_cpu(void) {
    return &machine.at[machine.now_on];
}

/* What the entry code does on its way back to user mode, where a test has user threads. */
static void (*machine_to_user)(void);
/* A context of the machine's own, not a thread's stack: user_machine.h. */
static ucontext_t *(*machine_boundary)(const struct arch_context *context);
/* Looks at everything, at every step. */
static void (*machine_watch)(void);

/* ---- Interrupts and changing CPUs ---------------------------------------------------- */

static inline bool machine_pending(const struct machine_cpu *c) {
    return c->ipi || c->deadline_ns <= machine.now_ns;
}

/* What the entry code and irq_dispatch() do. IF is on. */
static inline void machine_interrupt(void) {
    struct machine_cpu *c = machine_cpu();
    c->irq_on = false;
    c->cpu.in_irq = true;
    if (c->ipi) {
        c->ipi = false;
        c->ipis++;
        c->cpu.resched = true;
    } else {
        c->deadline_ns = UINT64_MAX;
        c->timer_irqs++;
        timer_isr();
    }
    c->cpu.in_irq = false;
    sched_irq_exit();
    if (machine_to_user != NULL)
        machine_to_user();
    machine_cpu()->irq_on = true; /* the thread may be elsewhere now */
}

/* A moment in which other CPUs may run, and in which interrupts are taken. */
static inline void machine_step(void) {
    if (!machine.running)
        return;
    machine.steps++;
    machine.now_ns += machine_random(200);
    if (machine_watch != NULL)
        machine_watch();
    if (machine_random(2) == 0)
        swapcontext(&machine_cpu()->flow, &machine.outside);
    for (int i = 0; i < 3 && machine_cpu()->irq_on && machine_pending(machine_cpu()); i++)
        machine_interrupt();
}

/* Chooses the next CPU. False: all idle, and no timer will ever fire. */
static inline bool machine_choose(void) {
    uint64_t next = UINT64_MAX;
    unsigned ready[MACHINE_CPUS], count = 0;
    for (unsigned i = 0; i < cpu_count; i++) {
        struct machine_cpu *c = &machine.at[i];
        if (c->started && (!c->idles || machine_pending(c)))
            ready[count++] = i;
        if (c->started && c->deadline_ns < next)
            next = c->deadline_ns;
    }
    if (count == 0 && next != UINT64_MAX) {
        machine.now_ns = next;
        return machine_choose();
    }
    if (count != 0)
        machine.now_on = ready[machine_random(count)];
    return count != 0;
}

static inline void machine_run(void) {
    machine.running = true;
    while (machine_choose())
        swapcontext(&machine.outside, &machine_cpu()->flow);
    machine.running = false;
    machine.now_on = 0;
}

/* The same, but for this long at most: goes on where it was the next time. */
static inline void machine_run_for(uint64_t ns) {
    uint64_t end = machine.now_ns + ns;
    machine.running = true;
    while (machine.now_ns < end && machine_choose())
        swapcontext(&machine.outside, &machine_cpu()->flow);
    machine.running = false;
    machine.now_on = 0;
}

/* ---- arch.h ------------------------------------------------------------------------------ */

bool arch_irq_disable(void) {
    bool on = machine_cpu()->irq_on;
    machine_cpu()->irq_on = false;
    return on;
}

void arch_irq_restore(bool on) {
    if (!on)
        return;
    machine_cpu()->irq_on = true;
    machine_step();
}

void arch_irq_enable(void) {
    arch_irq_restore(true);
}

bool arch_irq_enabled(void) {
    return machine_cpu()->irq_on;
}

void arch_idle(void) {
    struct machine_cpu *c = machine_cpu();
    while (!machine_pending(c)) {
        c->idles = true;
        swapcontext(&c->flow, &machine.outside);
        c->idles = false;
    }
    c->irq_on = true;
    machine_interrupt();
    machine_cpu()->irq_on = false;
}

void arch_relax(void) {
    machine_step();
}

struct cpu *arch_cpu(void) {
    return &machine_cpu()->cpu;
}

uint64_t arch_time_ns(void) {
    return machine.now_ns;
}

uint64_t arch_cycles(void) {
    return machine.now_ns;
}

uint64_t arch_cycles_khz(void) {
    return 1000000; /* a cycle is a nanosecond */
}

void arch_timer_set(uint64_t deadline_ns) {
    machine_cpu()->deadline_ns = deadline_ns;
    machine_cpu()->timer_sets++;
}

void arch_ipi_send(unsigned cpu, enum arch_ipi ipi) {
    assert_int_equal(ipi, ARCH_IPI_RESCHED);
    assert_true(cpu < cpu_count);
    machine.at[cpu].ipi = true;
}

/* A context's `stack` is its ucontext, at the low end of the real stack. */
static inline void machine_entry(unsigned high, unsigned low, unsigned arg_high, unsigned arg_low) {
    void (*entry)(void *arg) = (void (*)(void *))(((uintptr_t)high << 32) | low);
    entry((void *)(((uintptr_t)arg_high << 32) | arg_low));
}

static void machine_context(ucontext_t *context, void *stack, size_t size, void (*entry)(void *),
                            void *arg) {
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = size;
    context->uc_link = NULL;
    uintptr_t e = (uintptr_t)entry, a = (uintptr_t)arg;
    makecontext(context, (void (*)(void))machine_entry, 4, (unsigned)(e >> 32), (unsigned)e,
                (unsigned)(a >> 32), (unsigned)a);
}

/* The kernel believes in stacks of THREAD_STACK_SIZE; a test process needs more, and takes the
 * memory behind vm_stack_alloc(). */
void arch_context_init(struct arch_context *context, void *stack_top, void (*entry)(void *arg),
                       void *arg) {
    char *stack = (char *)stack_top - THREAD_STACK_SIZE;
    ucontext_t *u = (ucontext_t *)(void *)stack;
    machine_context(u, stack + sizeof(*u), MACHINE_STACK - sizeof(*u), entry, arg);
    context->stack = (uintptr_t)u;
}

void arch_context_switch(struct arch_context *from, const struct arch_context *to) {
    ucontext_t here;
    assert_false(machine_cpu()->irq_on);
    ucontext_t *boundary = machine_boundary != NULL ? machine_boundary(to) : NULL;
    from->stack = (uintptr_t)&here;
    swapcontext(&here, boundary != NULL ? boundary : (ucontext_t *)to->stack);
    assert_false(machine_cpu()->irq_on);
}

/* ---- Locks: one CPU runs at a time, so a flag is enough -------------------------------------- */

void spin_init(struct spinlock *lock, enum lock_class class) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t) class);
}

bool spin_is_mine(const struct spinlock *lock) {
    return lock->owner == machine.now_on + 1;
}

bool spin_lock(struct spinlock *lock) {
    bool irq = arch_irq_disable();
    machine_step();
    assert_false(spin_is_mine(lock));
    uint32_t held = machine_cpu()->cpu.locks_held;
    assert_true(held >> lock->class == 0); /* the order of classes */
    while (lock->owner != 0)
        machine_step();
    lock->owner = machine.now_on + 1;
    machine_cpu()->cpu.locks_held |= 1u << lock->class;
    return irq;
}

void spin_unlock(struct spinlock *lock, bool irq) {
    assert_true(spin_is_mine(lock));
    machine_cpu()->cpu.locks_held &= ~(1u << lock->class);
    lock->owner = 0;
    if (irq)
        arch_irq_restore(true);
    else
        machine_step();
}

/* ---- Memory and the end -------------------------------------------------------------------------- */

static inline void *machine_memory(size_t size, int64_t *count) {
    if (machine.fail_after > 0 && --machine.fail_after == 0)
        return NULL;
    ++*count;
    void *at = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    assert_non_null(at);
    memset(at, 0, size);
    return at;
}

paddr_t frame_alloc_zeroed(enum frame_owner owner) {
    (void)owner;
    return (paddr_t)(uintptr_t)machine_memory(PAGE_SIZE, &machine.frames);
}

paddr_t frame_alloc_run(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner) {
    (void)align, (void)limit, (void)owner;
    return (paddr_t)(uintptr_t)machine_memory(count * PAGE_SIZE, &machine.frames);
}

void *kzalloc(size_t size) {
    return machine_memory(size, &machine.blocks);
}

void kfree(void *block) {
    machine.blocks -= block != NULL;
    free(block);
}

void *vm_stack_alloc(size_t size) {
    assert_int_equal(size, THREAD_STACK_SIZE);
    return machine_memory(MACHINE_STACK, &machine.stacks);
}

void vm_stack_free(void *stack, size_t size) {
    (void)size;
    machine.stacks--;
    free(stack);
}

_Noreturn void panic(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- Set up ------------------------------------------------------------------------------------------ */

static char machine_flows[MACHINE_CPUS][MACHINE_STACK];

/* A CPU's boot flow: it becomes the idle thread, as kernel_cpu_main() does. */
static inline void machine_boot_flow(void *arg) {
    (void)arg;
    sched_idle_loop();
}

/* Builds `count` CPUs. The flow that calls is none of their threads: threads that it starts run in
 * machine_run(), which ends when nothing is left to do. */
static inline void machine_start(unsigned count, uint64_t seed) {
    int64_t frames = machine.frames;
    memset(&machine, 0, sizeof(machine));
    machine.frames = frames;
    machine.random = seed * 2654435761u + 88172645463325252ull;
    machine.now_ns = 1000000;
    cpu_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct machine_cpu *c = &machine.at[i];
        machine.now_on = i;
        cpus[i] = c->cpu.self = &c->cpu;
        c->cpu.index = i;
        c->deadline_ns = UINT64_MAX;
        timer_cpu_init(&c->cpu);
        sched_cpu_init(&c->cpu);
        machine_context(&c->flow, machine_flows[i], MACHINE_STACK, machine_boot_flow, NULL);
        atomic_store(&c->cpu.online, true);
        c->started = true;
    }
    machine.now_on = 0;
}
