/* Allocation guard: what all parts of an arena share to report damage and to fail on demand.
 *
 * Profiles. With GMK_PROFILE_DEV defined every allocation and every free is checked in
 * full (canary, poison, atomic state) and allocations can be told to fail. Without it the
 * same code compiles, but the compiler drops the branches; what stays is the check that
 * costs one compare: is this pointer one of ours, aligned, and live?
 *
 * Any thread may call anything here. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef GMK_PROFILE_DEV
#define ALLOC_DEV 1
#else
#define ALLOC_DEV 0
#endif

/* Told about each damage found: `what` is one English phrase, `block` the pointer. May be
 * called on any thread; it may stop the program, and if it returns, the operation that
 * found the damage changes nothing and fails. */
typedef void (*alloc_corruption_fn)(const char *what, void *block);

struct alloc_guard {
    alloc_corruption_fn on_corruption; /* may be NULL; constant after init */
    _Atomic uint64_t corruptions;      /* reports so far */
    _Atomic int64_t fail_in;           /* DEV: attempts until one fails; 0 or less is off */
    _Atomic uint64_t injected;         /* DEV: failures made on demand so far */
};

static inline void guard_report(struct alloc_guard *guard, const char *what, void *block) {
    atomic_fetch_add_explicit(&guard->corruptions, 1, memory_order_relaxed);
    if (guard->on_corruption != NULL)
        guard->on_corruption(what, block);
}

/* Shall this attempt fail? Exactly one attempt of all threads sees the count go 1 -> 0. */
static inline bool guard_inject(struct alloc_guard *guard) {
    if (!ALLOC_DEV)
        return false;
    if (atomic_load_explicit(&guard->fail_in, memory_order_relaxed) <= 0)
        return false;
    if (atomic_fetch_sub_explicit(&guard->fail_in, 1, memory_order_relaxed) != 1)
        return false;
    atomic_fetch_add_explicit(&guard->injected, 1, memory_order_relaxed);
    return true;
}

/* What every part of the arena reports. Sums of counters that their owners write alone:
 * exact when nobody allocates meanwhile, otherwise at most a few operations behind. */
struct part_stats {
    size_t size;     /* bytes of the arena given to this part, its bookkeeping included */
    size_t total;    /* bytes it can hand out */
    size_t used;     /* bytes handed out now, in whole blocks of their class */
    size_t free;     /* total - used */
    size_t high;     /* high-water mark; see the part for what it counts */
    uint64_t allocs; /* successful allocations */
    uint64_t frees;  /* blocks given back */
    uint64_t fails;  /* allocations refused: exhausted, bad size, or on demand */
};
