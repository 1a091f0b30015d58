/* Timer: one interrupt at a time to come, per CPU, by the local APIC.
 *
 * Two ways. TSC-deadline mode compares the TSC itself with a register: exact (no machine at hand
 * has shown it to this code; its arithmetic is tested on the host). Else a counter of 32 bits
 * that ticks at a rate of its own, which is measured against the TSC once. It is programmed
 * slightly late, by the error of that measurement, so that an interrupt does not come too early and
 * cost a second one. A deadline beyond its range is counted in larger steps, up to 128 times as
 * long (minutes), and beyond even that approached in pieces.
 *
 * Invariants: a CPU without a deadline gets no timer interrupt; timer_isr() is never called before
 * the deadline. IF off. */
#include <stdalign.h>

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/reference.h"
#include "arch/x86_64/tsc.h"
#include "arch/x86_64/tsc_math.h"
#include "arch/x86_64/vectors.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/irq/irq.h"
#include "kernel/time/timer.h"

#define MSR_TSC_DEADLINE 0x6e0u
#define RANGE_SECONDS    4u       /* the counter lasts at least as long */
#define MEASURE_NS       1000000u /* the least time to measure over */

/* Written by the boot CPU before others run. */
static bool by_tsc;
static unsigned divide; /* log2 */
static uint64_t mul;    /* ns to counts: tsc_scale() with TSC_TICKS_SHIFT */

static struct moment start; /* when the counter had begun to count, for measuring */

/* One line of cache each: every CPU writes its own all the time. */
static struct {
    alignas(64) uint64_t deadline_ns; /* UINT64_MAX: none */
    unsigned divide;                  /* what its divide register holds, log2 */
} timers[CPUS_MAX];

/* Starts this CPU's counter; 0 stops it. */
static void count_down(uint64_t count) {
    unsigned *in_use = &timers[arch_cpu()->index].divide;
    unsigned wanted = divide;
    for (; count > UINT32_MAX && wanted < APIC_TIMER_DIVIDE_BITS; wanted++)
        count = count / 2 + 1; /* never short */
    if (wanted != *in_use) {
        apic_write(APIC_TIMER_DIVIDE, apic_divide_code(wanted));
        *in_use = wanted;
    }
    apic_write(APIC_TIMER_INITIAL, count < UINT32_MAX ? (uint32_t)count : UINT32_MAX);
}

static void arm(uint64_t deadline_ns) {
    if (by_tsc) { /* 0 disarms; a time that has passed fires at once */
        msr_write(MSR_TSC_DEADLINE, deadline_ns == UINT64_MAX ? 0 : tsc_from_ns(deadline_ns));
        return;
    }
    uint64_t count = 0; /* stops it */
    if (deadline_ns != UINT64_MAX) {
        uint64_t now = arch_time_ns();
        count = 1 + (deadline_ns > now ? tsc_scale(deadline_ns - now, mul, TSC_TICKS_SHIFT) : 0);
    }
    count_down(count);
}

void arch_timer_set(uint64_t deadline_ns) {
    timers[arch_cpu()->index].deadline_ns = deadline_ns;
    arm(deadline_ns);
}

static void on_timer(void *arg) {
    (void)arg;
    uint64_t *deadline_ns = &timers[arch_cpu()->index].deadline_ns;
    if (arch_time_ns() < *deadline_ns) { /* a piece of a long way; or just stopped */
        arm(*deadline_ns);
        return;
    }
    *deadline_ns = UINT64_MAX;
    timer_isr();
}

/* ---- Start -------------------------------------------------------------------------------------- */

/* The counter starts early in boot and is read late: measuring costs no waiting. */
void apic_timer_begin(void) {
    apic_write(APIC_TIMER_DIVIDE, apic_divide_code(0));
    apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
    if (!calibrate_moment(&apic_counter, tsc_read, &start))
        panic("timer: the local APIC's counter does not run");
}

/* Its rate; 0 if it has run out. */
static uint64_t measure(uint32_t *error_ppm) {
    struct moment now;
    while (tsc_to_ns(tsc_read() - start.cycles) < MEASURE_NS)
        arch_relax();
    if (!calibrate_moment(&apic_counter, tsc_read, &now))
        return 0;
    uint64_t cycles = now.cycles - start.cycles;
    uint32_t counts = now.count - start.count;
    *error_ppm = (uint32_t)((start.unsure + now.unsure) / 2 * 1000000u / cycles);
    return counts * arch_cycles_khz() / cycles * 1000u;
}

static void find_rate(void) {
    uint32_t error_ppm;
    uint64_t hz = measure(&error_ppm);
    if (hz == 0) { /* more than its range has passed since the start of boot */
        apic_timer_begin();
        hz = measure(&error_ppm);
    }
    K_ASSERT(hz != 0, "the counter lasts longer than it is measured");
    divide = apic_divide_for(hz, RANGE_SECONDS);
    mul = tsc_mul_ticks(hz >> divide);
    mul += mul * error_ppm / 1000000u + 1u;
    klog_info("time", "timer: local APIC, %llu kHz divided by %u, off by at most %u ppm",
              (unsigned long long)(hz / 1000u), 1u << divide, error_ppm);
}

void arch_timer_init(void) {
    struct cpu *cpu = arch_cpu();
    if (cpu->index == 0) {
        by_tsc = cpu_features.tsc_deadline;
        if (by_tsc)
            klog_info("time", "timer: TSC deadline");
        else
            find_rate();
        irq_claim(VECTOR_TIMER, on_timer, NULL);
    }
    timers[cpu->index].deadline_ns = UINT64_MAX;
    timers[cpu->index].divide = divide;
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_TIMER_DIVIDE, apic_divide_code(divide));
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (by_tsc ? APIC_LVT_TSC_DEADLINE : 0));
    __asm__ volatile("mfence" ::: "memory"); /* before the first deadline: SDM 3A 11.5.4.1 */
}
