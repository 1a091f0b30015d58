/* Latency: the longest stretch with interrupts off, by what began it.
 *
 * While interrupts are off nothing more urgent can start on a CPU, so the longest such stretch is a part
 * of every worst case (docs/realtime.md). The instrument takes the cycle counter when IF goes off and
 * when it comes on again, and keeps the longest difference of each kind: the system call, interrupt or
 * exception by which the CPU came into the kernel, or a thread of the kernel that turned IF off
 * itself. A stretch that begins in one thread's system call and ends in another thread belongs to the
 * call: that is what delayed the interrupt.
 *
 * In DEV, and with -DGMK_LATENCY=1; otherwise nothing of it exists but latency_report(). Beginnings and
 * ends: arch_irq_disable() and arch_irq_enable(), and the entry code. Not seen: the instructions of
 * the entry and exit themselves, about forty, and non-maskable interrupts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(GMK_PROFILE_DEV) || defined(GMK_LATENCY)
#define LATENCY_ON 1
#else
#define LATENCY_ON 0
#endif

enum latency_kind {
    LATENCY_SYSCALL = 0,         /* + number */
    LATENCY_VECTOR = 128,        /* + vector of an interrupt or exception */
    LATENCY_FOREIGN = 128 + 256, /* a foreign system call: in its frame the vector is 256 */
    LATENCY_KERNEL,              /* a thread of the kernel */
    LATENCY_KINDS
};

/* IF is off, and was on before. This CPU. */
void latency_begin(unsigned kind);
/* IF will be on with the next instructions. */
void latency_end(void);

/* Longest of a kind in cycles; 0: never, or the instrument is not built in. */
uint64_t latency_longest(unsigned kind);
/* The kind with the longest stretch below `cycles`; LATENCY_KINDS: none. */
unsigned latency_next(uint64_t cycles);
/* Forgets all. For tests and the monitor. */
void latency_reset(void);
/* "IPC_CALL", "interrupt 32", "exception 14", "kernel thread in frob+0x12". */
#define LATENCY_NAME_MAX 72u
void latency_name(unsigned kind, char *out, size_t size);
/* One line into the log: the three longest. */
void latency_report(void);
