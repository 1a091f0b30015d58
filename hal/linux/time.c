/* Time on Linux: the monotonic clock, and the CPU's own counter where it can be trusted.
 *
 * hal_now_ns() is CLOCK_MONOTONIC through the vDSO: about 20 ns, monotonic on every CPU, and
 * the kernel's problem when a counter misbehaves. hal_cycles() is the counter itself, for
 * stamps on hot paths. It is used only if the CPU promises that it runs at a constant rate in
 * every sleep state ("invariant TSC", AMD APM 3 CPUID 8000_0007 EDX[8], Intel SDM 3B 18.17);
 * emulators do not, and get the clock with a rate of one million kHz, that is, nanoseconds. */
#define _GNU_SOURCE 1

#include "hal/hal.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define NS_PER_SECOND     UINT64_C(1000000000)
#define CLOCK_KHZ         UINT64_C(1000000) /* hal_now_ns() seen as a counter */
#define CALIBRATION_NS    5000000           /* 5 ms: the ends are read to 50 ns, so 20 ppm */
#define CALIBRATION_TRIES 8

uint64_t hal_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

enum { COUNTER_UNKNOWN, COUNTER_GOOD, COUNTER_BAD };

static _Atomic int counter_state = COUNTER_UNKNOWN;

/* Asked once; racing threads find the same answer, so relaxed order is enough. */
static int counter_probe(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    bool known = __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) != 0;
    int state = known && (edx & (1u << 8)) != 0 ? COUNTER_GOOD : COUNTER_BAD;
    atomic_store_explicit(&counter_state, state, memory_order_relaxed);
    return state;
}

static bool counter_is_good(void) {
    int state = atomic_load_explicit(&counter_state, memory_order_relaxed);
    if (__builtin_expect(state == COUNTER_UNKNOWN, 0)) {
        state = counter_probe();
    }
    return state == COUNTER_GOOD;
}

uint64_t hal_cycles(void) {
    return __builtin_expect(counter_is_good(), 1) ? __builtin_ia32_rdtsc() : hal_now_ns();
}

/* One reading of both clocks: the try with the shortest way between them counts. */
static void read_both(uint64_t *ns, uint64_t *cycles) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t before = __builtin_ia32_rdtsc();
        uint64_t clock = hal_now_ns();
        uint64_t after = __builtin_ia32_rdtsc();
        if (after - before < best) {
            best = after - before;
            *ns = clock;
            *cycles = before + best / 2;
        }
    }
}

static uint64_t measure_khz(void) {
    if (!counter_is_good()) {
        return CLOCK_KHZ;
    }
    uint64_t ns0 = 0, ns1 = 0, cycles0 = 0, cycles1 = 0;
    read_both(&ns0, &cycles0);
    nanosleep(&(struct timespec){.tv_nsec = CALIBRATION_NS}, NULL);
    do {
        read_both(&ns1, &cycles1); /* again if a signal cut the sleep short */
    } while (ns1 - ns0 < CALIBRATION_NS);
    uint64_t khz = (cycles1 - cycles0) * CLOCK_KHZ / (ns1 - ns0);
    return khz != 0 ? khz : 1;
}

#elif defined(__aarch64__)

/* The generic timer's virtual count: constant rate and one value for all CPUs by
 * architecture (Arm ARM D12.1). The rate is in a register. */
uint64_t hal_cycles(void) {
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

static uint64_t measure_khz(void) {
    uint64_t hz;
    __asm__("mrs %0, cntfrq_el0" : "=r"(hz));
    return hz >= 1000 ? hz / 1000 : 1;
}

#else

uint64_t hal_cycles(void) {
    return hal_now_ns();
}

static uint64_t measure_khz(void) {
    return CLOCK_KHZ;
}

#endif

uint64_t hal_cycles_khz(void) {
    static _Atomic uint64_t result;
    uint64_t khz = atomic_load_explicit(&result, memory_order_relaxed);
    if (khz == 0) {
        /* Threads that measure at the same time agree on the first to finish. */
        uint64_t mine = measure_khz();
        if (atomic_compare_exchange_strong_explicit(&result, &khz, mine, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            khz = mine;
        }
    }
    return khz;
}
