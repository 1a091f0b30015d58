/* TSC: the kernel's clock.
 *
 * Problem: the time-stamp counter is the one clock that costs a few cycles, but says neither how
 * fast it is nor that it is the same on every CPU. Idea: ask for the rate where somebody knows it
 * (CPUID, the hypervisor), else measure it; compare CPUs when they start and give one that
 * differs an offset; compare with a second clock later and complain.
 *
 * Invariants: after arch_time_init() the rate never changes, so time does not jump; and after
 * arch_smp_start() no offset does. Any context may read, an NMI too: nothing is locked.
 *
 * Not here: a TSC that stops or changes its rate while the CPU sleeps or saves power. CPUs of the
 * last fifteen years promise that theirs does not (bit "invariant TSC"); without the bit, as in
 * emulators, the drift check is what would notice. */
#include "arch/x86_64/tsc.h"

#include <stdatomic.h>

#include "arch/arch.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/reference.h"
#include "arch/x86_64/tsc_math.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"

#define ASSUMED_HZ     1000000000ull /* nobody knows the rate: emulators often count ns */
#define DRIFT_WARN_PPM 1000          /* beyond what either clock is unsure of */

static struct {
    uint64_t base; /* TSC at which time began */
    uint64_t mul;  /* 0 until the rate is known: time stands at 0 */
    uint64_t mul_ticks;
    uint64_t hz;
    uint32_t error_ppm; /* 0: somebody told it */
    const char *source;
} tsc = {.source = "none"};

/* Added to a CPU's TSC to get the boot CPU's; used only if one is not 0. */
static uint64_t offsets[CPUS_MAX];
static _Atomic bool offsets_used;

/* The second clock, and where both stood when the first was calibrated. */
static const struct reference *second;
static struct moment second_start;

uint64_t tsc_read(void) {
    __asm__ volatile("lfence" ::: "memory"); /* rdtsc may run ahead: SDM 2B, RDTSC */
    return arch_cycles();
}

/* ---- Reading -------------------------------------------------------------------------------- */

uint64_t tsc_to_ns(uint64_t ticks) {
    return tsc_scale(ticks, tsc.mul, TSC_NS_SHIFT);
}

uint64_t arch_time_ns(void) {
    uint64_t ticks;
    /* Relaxed: it is set while the CPU that needs it waits in tsc_answer(). */
    if (GMK_LIKELY(!atomic_load_explicit(&offsets_used, memory_order_relaxed))) {
        ticks = tsc_read();
    } else { /* counter and offset must be of the same CPU */
        bool irq = arch_irq_disable();
        ticks = tsc_read() + offsets[arch_cpu()->index];
        arch_irq_restore(irq);
    }
    return tsc_to_ns(ticks - tsc.base);
}

uint64_t tsc_from_ns(uint64_t ns) {
    return tsc_scale(ns, tsc.mul_ticks, TSC_TICKS_SHIFT) + 1u + tsc.base -
           offsets[arch_cpu()->index];
}

uint64_t arch_cycles_khz(void) {
    return tsc.hz / 1000u;
}

const char *arch_time_source(void) {
    return tsc.source;
}

/* ---- Finding the rate ------------------------------------------------------------------------- */

/* Rate by CPUID 15h: crystal * ebx / eax, where 16h may have to help out with the crystal's rate
 * (SDM 3B 19.7.3). 0: not told. */
static uint64_t rate_cpuid(void) {
    uint32_t max[4], ratio[4], base[4];
    cpuid(0, 0, max);
    if (max[0] < 0x15u)
        return 0;
    cpuid(0x15u, 0, ratio);
    if (ratio[0] == 0 || ratio[1] == 0)
        return 0;
    if (ratio[2] != 0)
        return (uint64_t)ratio[2] * ratio[1] / ratio[0];
    if (max[0] < 0x16u)
        return 0;
    cpuid(0x16u, 0, base);
    return (uint64_t)(base[0] & 0xffffu) * 1000000u;
}

/* Rate by the leaf that VMware defined and KVM shares. 0: not told. */
static uint64_t rate_hypervisor(void) {
    uint32_t out[4];
    if (!cpu_features.hypervisor)
        return 0;
    cpuid(0x40000000u, 0, out);
    if (out[0] < 0x40000010u || out[0] > 0x4000ffffu)
        return 0;
    cpuid(0x40000010u, 0, out);
    return (uint64_t)out[0] * 1000u;
}

static bool take_rate(uint64_t hz, uint32_t error_ppm, const char *source) {
    if (hz < TSC_HZ_MIN || hz > TSC_HZ_MAX)
        return false;
    tsc.hz = hz;
    tsc.error_ppm = error_ppm;
    tsc.source = source;
    return true;
}

static bool measure(const struct reference *ref) {
    struct calibration result;
    return ref != NULL && calibrate(ref, tsc_read, &result) &&
           take_rate(result.hz, result.error_ppm, ref->name);
}

static void find_rate(const struct reference *pit, const struct reference *pm) {
    if (take_rate(rate_cpuid(), 0, "cpuid 15h") || take_rate(rate_hypervisor(), 0, "hypervisor") ||
        measure(pm) || measure(pit) || measure(reference_apic())) /* the finer one first */
        return;
    tsc.hz = ASSUMED_HZ;
    tsc.source = "assumed";
    klog_warn("time", "no clock of known rate: the TSC is taken for 1 GHz");
}

void arch_time_init(void) {
    if (!cpu_features.tsc_constant)
        klog_debug("time", "the CPU does not promise an invariant TSC");

    tsc.base = tsc_read();
    const struct reference *pit = reference_pit(), *pm = reference_pm_timer();
    find_rate(pit, pm);
    tsc.mul_ticks = tsc_mul_ticks(tsc.hz);
    tsc.mul = tsc_mul_ns(tsc.hz);
    second = pm != NULL ? pm : pit;
    if (second != NULL && !calibrate_moment(second, tsc_read, &second_start))
        second = NULL;
    klog_info("time", "TSC %llu.%03llu MHz by %s, off by at most %u ppm",
              (unsigned long long)(tsc.hz / 1000000u), (unsigned long long)(tsc.hz / 1000u % 1000u),
              tsc.source, tsc.error_ppm);
}

void tsc_check_drift(void) {
    struct moment now;
    struct calibration check;
    if (second == NULL || !calibrate_moment(second, tsc_read, &now))
        return;
    uint64_t passed = tsc_to_ns(now.cycles - second_start.cycles);
    if (passed >= (uint64_t)second->mask * NS_PER_SECOND / second->hz ||
        !calibrate_between(second, &second_start, &now, &check))
        return; /* too late to tell: the second clock has wrapped */
    int64_t ppm = tsc_ppm(check.hz, tsc.hz);
    int64_t unsure = (int64_t)tsc.error_ppm + check.error_ppm;
    bool bad = ppm > unsure + DRIFT_WARN_PPM || ppm < -unsure - DRIFT_WARN_PPM;
    klog(bad ? GMK_LOG_WARN : GMK_LOG_DEBUG, "time",
         "%s and TSC differ by %lld ppm (%lld ppm unsure) after %llu us", second->name,
         (long long)ppm, (long long)unsure, (unsigned long long)(passed / 1000u));
}

/* ---- Comparing CPUs ------------------------------------------------------------------------------
 *
 * As Cristian's algorithm sets clocks: ask, and note the time before and after; the answer was
 * given in between. The round with the narrowest interval counts. A CPU that does not answer in
 * time is a thread of a busy host, whose TSC is the host's.
 *
 * A question is the asked CPU's index and the number of the round. CPUs are asked in the order of
 * their indexes, so a higher index says that one's own turn is over. */

#define SYNC_ROUNDS 16u
#define SYNC_OVER   SYNC_ROUNDS
#define SYNC_HZ     2000u /* a comparison takes at most 1/2000 s; hardware needs some us */
#define SYNC_SPINS  1000u /* looks before others may run: a pause is slow in emulators */

static struct {
    _Atomic uint32_t question, answer; /* index << 8 | round */
    uint64_t stamp;                    /* written before answer */
} sync;

/* Bounded by tsc_ask(), which ends the turn. */
void tsc_answer(void) {
    uint32_t me = arch_cpu()->index, last = 0;
    for (uint32_t i = 1; last != (me << 8 | SYNC_OVER); i++) {
        /* Acquire pairs with the release in ask_once(), and its acquire with the release below. */
        uint32_t question = atomic_load_explicit(&sync.question, memory_order_acquire);
        if (question >> 8 > me)
            return;
        if (question >> 8 == me && question != last) {
            last = question;
            sync.stamp = tsc_read();
            atomic_store_explicit(&sync.answer, question, memory_order_release);
        }
        if (i % SYNC_SPINS == 0)
            arch_relax();
    }
}

/* How wide the round's interval is; UINT64_MAX if no answer comes before `end`. */
static uint64_t ask_once(uint32_t question, uint64_t end, int64_t *ahead) {
    uint64_t before = tsc_read(), after = before;
    atomic_store_explicit(&sync.question, question, memory_order_release);
    for (uint32_t i = 1; after < end; i++) {
        bool answered = atomic_load_explicit(&sync.answer, memory_order_acquire) == question;
        after = tsc_read();
        if (answered) {
            *ahead = (int64_t)(sync.stamp - before - (after - before) / 2);
            return after - before;
        }
        if (i % SYNC_SPINS == 0)
            arch_relax();
    }
    return UINT64_MAX;
}

void tsc_ask(unsigned index) {
    uint64_t best = UINT64_MAX, end = tsc_read() + tsc.hz / SYNC_HZ;
    int64_t ahead = 0;
    for (uint32_t round = 0; round < SYNC_ROUNDS; round++) {
        int64_t now_ahead = 0;
        uint64_t width = ask_once(index << 8 | round, end, &now_ahead);
        if (width < best) {
            best = width;
            ahead = now_ahead;
        }
    }
    atomic_store_explicit(&sync.question, index << 8 | SYNC_OVER, memory_order_release);
    if (best == UINT64_MAX || (uint64_t)(ahead < 0 ? -ahead : ahead) <= best / 2)
        return;
    offsets[index] = (uint64_t)-ahead;
    atomic_store_explicit(&offsets_used, true, memory_order_relaxed);
    klog_warn("time", "CPU %u's TSC is %lld cycles ahead (give or take %llu): corrected", index,
              (long long)ahead, (unsigned long long)(best / 2));
}
