/* Kernel bench: measurements of the kernel's own paths, run inside it.
 *
 * One image (build/gmk_bench.elf) holds them all; `bench=NAME` on the command line picks one
 * group, nothing means all. Under QEMU's counting clock (-icount shift=0) a tick is exactly
 * one instruction; without it the same lines are times. Each line is
 *   bench NAME p50 N worst N
 * where a sample is the mean of a small batch, for a path too short to be timed alone. */
#pragma once

#include "arch/arch.h"

#define KBENCH_SAMPLES 201u

struct kbench {
    uint64_t at[KBENCH_SAMPLES];
    unsigned count;
};

/* Forgets all samples; adds one (beyond KBENCH_SAMPLES: ignored); prints the line. */
void kbench_begin(struct kbench *bench);
void kbench_add(struct kbench *bench, uint64_t ticks);
void kbench_print(const struct kbench *bench, const char *name);
void kbench_line(const char *name, uint64_t p50, uint64_t worst);

/* The groups. Thread context, everything is up. */
void kbench_memory(void);     /* frames, mappings */
void kbench_log(void);        /* one line */
void kbench_interrupts(void); /* entry to task, wake of a parked CPU */
void kbench_throughput(void); /* independent tasks on all CPUs, wall time */
void kbench_idle(void);       /* ten seconds of nothing */
void kbench_footprint(void);  /* memory in use after boot */
