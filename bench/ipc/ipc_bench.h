/* IPC benchmark: the loop that both contestants share: our user programs, and a Linux guest's.
 *
 * A sample is the mean of IPC_BATCH runs of a job, divided by `per_run`, in ticks of the time-stamp
 * counter. Under QEMU's counting clock (-icount shift=0) a tick is exactly one instruction; elsewhere
 * the same lines are cycles. p50 and worst are over IPC_SAMPLES samples; the first are dropped, when
 * caches of every kind fill. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPC_SAMPLES 201u
#define IPC_WARM    8u
#define IPC_BATCH   16u

typedef void (*ipc_line_fn)(const char *name, uint64_t p50, uint64_t worst);

static inline uint64_t ipc_ticks(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

/* Shell's gaps are enough for a few hundred samples. */
static inline void ipc_sort(uint64_t *at, unsigned count) {
    for (unsigned gap = count / 2; gap > 0; gap /= 2)
        for (unsigned i = gap; i < count; i++) {
            uint64_t value = at[i];
            unsigned j = i;
            for (; j >= gap && at[j - gap] > value; j -= gap)
                at[j] = at[j - gap];
            at[j] = value;
        }
}

/* Inline, so that a job given by name is called directly. */
static inline __attribute__((always_inline)) void
ipc_bench(const char *name, unsigned per_run, void (*job)(void *arg), void *arg, ipc_line_fn line) {
    static uint64_t at[IPC_SAMPLES];
    for (unsigned i = 0; i < IPC_WARM + IPC_SAMPLES; i++) {
        uint64_t from = ipc_ticks();
        for (unsigned n = 0; n < IPC_BATCH; n++)
            job(arg);
        uint64_t ticks = (ipc_ticks() - from) / (IPC_BATCH * (uint64_t)per_run);
        if (i >= IPC_WARM)
            at[i - IPC_WARM] = ticks;
    }
    ipc_sort(at, IPC_SAMPLES);
    line(name, at[IPC_SAMPLES / 2], at[IPC_SAMPLES - 1]);
}

/* Latencies of a timer under load: how many were below each power of two, and the worst. */
struct rt_histogram {
    uint64_t below[40]; /* [i]: less than 2^i ns, and not less than 2^(i-1) */
    uint64_t count, worst;
};

static inline void rt_add(struct rt_histogram *h, uint64_t ns) {
    unsigned bits = ns == 0 ? 0 : 64u - (unsigned)__builtin_clzll(ns);
    h->below[bits < 39 ? bits : 39]++;
    h->count++;
    h->worst = ns > h->worst ? ns : h->worst;
}

/* p50 and p99 as upper bounds of their powers of two, and the worst. */
static inline void rt_print(const struct rt_histogram *h, const char *name, ipc_line_fn line) {
    uint64_t seen = 0, p50 = 0, p99 = 0;
    for (unsigned i = 0; i < 40; i++) {
        seen += h->below[i];
        if (p50 == 0 && 2 * seen >= h->count)
            p50 = 1ull << i;
        if (p99 == 0 && 100 * seen >= 99 * h->count)
            p99 = 1ull << i;
    }
    char text[48];
    size_t length = 0;
    for (; name[length] != '\0' && length < sizeof text - 5; length++)
        text[length] = name[length];
    text[length] = '\0';
    line(name, p50, h->worst);
    const char *suffix = "-p99";
    for (unsigned i = 0; i < 5; i++)
        text[length + i] = suffix[i];
    line(text, p99, h->worst);
}
