/* Spinlock: short critical sections of the kernel, interrupts off.
 *
 * A ticket lock, so waiting is first come, first served and bounded by (CPUs - 1) holds. Every
 * lock has a class; classes are numbered in the order in which they may be taken
 * (docs/locking.md). DEV and STANDARD know the owner and refuse a second taking; DEV checks the
 * order at run time (panic names both classes) and measures the longest hold per class.
 *
 * Any context but NMI. The holder must not block, allocate from a slower allocator of a lower
 * class, or touch memory that may fault. */
#pragma once

#include "arch/arch.h"

#include <stdatomic.h>

/* In order: a CPU that holds one may take only later ones. X(name, what it guards) */
#define LOCK_CLASS_LIST(X)                                                                 \
    X(LOCK_UNIT, "one unit: state, threads, ports")                                        \
    X(LOCK_THREAD, "one thread as an object: status, watcher")                             \
    X(LOCK_CHANNEL, "receiving from one end of a channel; its life")                       \
    X(LOCK_SPACE, "one space: mappings, the user half of its page tables")                 \
    X(LOCK_MEMORY, "one memory object: pages, mappings")                                   \
    X(LOCK_OBJECT, "one factory, registry, I/O port range, interrupt or timer capability") \
    X(LOCK_IRQ_TABLE, "handlers by vector, routes")                                        \
    X(LOCK_VM, "the kernel's mappings and page tables")                                    \
    X(LOCK_SLAB, "one slab cache's partial list")                                          \
    X(LOCK_SHOOTDOWN, "the right to ask for a TLB shootdown")                              \
    X(LOCK_FRAMES, "one node's frame bitmap")                                              \
    X(LOCK_POOL, "one pool of objects")                                                    \
    X(LOCK_IRQ_CLIENT, "an engine client that CPUs share")                                 \
    X(LOCK_ENGINE, "the engine's channels, or its groups: who has which number")           \
    X(LOCK_CHAN_WAIT, "threads that wait at one end, or for room in one channel")          \
    X(LOCK_PORT, "one port: its queues")                                                   \
    X(LOCK_CAPS, "writing to one unit's capabilities")                                     \
    X(LOCK_NOTIFY, "one notification")                                                     \
    X(LOCK_WORDS, "one bucket of user words")                                              \
    X(LOCK_WAIT, "one bucket of waiting threads")                                          \
    X(LOCK_RUNQ, "one CPU's run queue")                                                    \
    X(LOCK_TIMER, "one CPU's timer queue")                                                 \
    X(LOCK_LEAF, "tests and statistics: takes nothing after")

enum lock_class {
#define LOCK_CLASS_ENUM(name, guards) name,
    LOCK_CLASS_LIST(LOCK_CLASS_ENUM)
#undef LOCK_CLASS_ENUM
        LOCK_CLASSES
};

struct spinlock {
    _Atomic uint16_t next;    /* ticket to take */
    _Atomic uint16_t serving; /* ticket that holds it */
    uint8_t class;            /* enum lock_class */
    _Atomic uint32_t owner;   /* CPU index + 1; 0 when free */
    uint64_t since;           /* cycles at which it was taken (DEV) */
};

#define SPINLOCK_INIT(lock_class) \
    { .class = (lock_class) }

void spin_init(struct spinlock *lock, enum lock_class class);

/* Turns IF off and takes the lock; returns what spin_unlock() needs to put IF back. */
bool spin_lock(struct spinlock *lock);
bool spin_try_lock(struct spinlock *lock, bool *irq);
void spin_unlock(struct spinlock *lock, bool irq);
/* IF off, or the answer is stale for a caller that is not pinned. */
bool spin_is_mine(const struct spinlock *lock);

/* The same for callers that have IF off already, in line: short paths count instructions. Out of line
 * in DEV. */
static inline void spin_enter(struct spinlock *lock);
static inline void spin_leave(struct spinlock *lock);
#include "kernel/core/lock_inline.h"

/* For kdb and tests: a class's name; cycles of its longest hold (0 but in DEV). */
const char *lock_class_name(enum lock_class class);
uint64_t lock_longest_hold(enum lock_class class);
