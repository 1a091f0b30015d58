/* Timers: what has to happen at a time, per CPU, without a tick.
 *
 * Each CPU has a heap of pending timers and programs the hardware for the earliest one only; an
 * idle CPU with none gets no timer interrupt. A timer belongs to the CPU that started it. */
#pragma once

#include "arch/arch.h"

/* Pending at once on a CPU. Those in reserve are the scheduler's: for slices and budgets of its own, and for
 * the refill of each user thread's budget. */
#define TIMERS_PER_CPU  4096u
#define TIMERS_RESERVED 1056u
#define TIMERS_PER_ISR  8u /* called in one interrupt; more that are due come with the next one */

/* Zeroed before its first use. */
struct timer {
    uint64_t at_ns;
    void (*fn)(struct timer *timer); /* in the timer interrupt, IF off: be short */
    uint32_t slot;                   /* place in the heap + 1; 0 when not pending */
    uint32_t cpu;
};

void timer_cpu_init(struct cpu *cpu);
/* Arms it on this CPU; it must not be pending. False: TIMERS_PER_CPU - TIMERS_RESERVED are pending. */
bool timer_start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer));
/* The same out of the reserve: always possible. */
void timer_start_reserved(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer));
/* timer_cancel(), and timer_start() on this CPU. */
bool timer_restart(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer));
/* After this it is not pending and fn does not run any more (but for a call from within fn itself).
 * Waits for an fn that runs on another CPU, so the caller holds no lock that fn takes. True if it
 * was pending. Any CPU, any context but NMI. */
bool timer_stop(struct timer *timer);
/* As timer_stop(), but does not wait for an fn that runs: for one that looks for itself whether it is
 * still wanted, under a lock that the caller may hold. The starts and cancels of one timer exclude
 * each other by that lock; the timer's memory stays one. */
bool timer_cancel(struct timer *timer);
/* For the same callers, under the same lock. */
static inline bool timer_pending(const struct timer *timer) {
    return __atomic_load_n(&timer->slot, __ATOMIC_RELAXED) != 0;
}
void timer_isr(void); /* the CPU's timer fired; IF off */

/* The CPU is going to sleep: no interrupt may come for a timer that was stopped. IF off. */
void timer_idle(void);

/* Nanoseconds since boot, monotonic on and across CPUs. Any context. */
static inline uint64_t time_now_ns(void) {
    return arch_time_ns();
}
