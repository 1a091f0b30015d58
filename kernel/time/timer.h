/* Timers: what has to happen at a time, per CPU, without a tick.
 *
 * Each CPU has a heap of pending timers and programs the hardware for the earliest one only; an
 * idle CPU with none gets no timer interrupt. A timer belongs to the CPU that started it. */
#pragma once

#include "arch/arch.h"

#define TIMERS_PER_CPU 512u

/* Zeroed before its first use. */
struct timer {
    uint64_t at_ns;
    void (*fn)(struct timer *timer); /* in the timer interrupt, IF off: be short */
    uint32_t slot;                   /* place in the heap + 1; 0 when not pending */
    uint32_t cpu;
};

void timer_cpu_init(struct cpu *cpu);
/* Arms it on this CPU; it must not be pending. False: TIMERS_PER_CPU are pending. */
bool timer_start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer));
/* After this it is not pending and fn does not run any more (but for a call from within fn itself).
 * Waits for an fn that runs on another CPU, so the caller holds no lock that fn takes. True if it
 * was pending. Any CPU, any context but NMI. */
bool timer_stop(struct timer *timer);
void timer_isr(void); /* the CPU's timer fired; IF off */

/* The CPU is going to sleep: no interrupt may come for a timer that was stopped. IF off. */
void timer_idle(void);

/* Nanoseconds since boot, monotonic on and across CPUs. Any context. */
static inline uint64_t time_now_ns(void) {
    return arch_time_ns();
}
