/* Bump: scratch memory of one worker, given out by moving a mark and taken back as a whole.
 *
 * Problem: handlers need short-lived memory that lives no longer than a tick and must cost
 * nearly nothing, counters included.
 * Idea: a private region per worker; an allocation subtracts. Nothing is freed alone;
 * bump_reset() at the end of the tick takes all of it back. What is left and the number of
 * allocations share one 64-bit word,
 *     bits 30..63 bytes left | 0..29 allocations since the reset,
 * so one subtraction of (bytes << 30) - 1 keeps both, its borrow is the test for "too much", and
 * one store publishes them. Every allocation takes a multiple of BUMP_GRAIN bytes, so the usual
 * alignments need no rounding, and in a region of at most BUMP_SIZE_MAX the count fits.
 * A size is looked at before it is rounded or shifted: none can wrap.
 * Invariant: left <= size, left % BUMP_GRAIN == 0, size % BUMP_ALIGN_MAX == 0.
 * Who may call: the owning worker; bump_stats() anybody.
 * GNU extension: __builtin_sub_overflow, so that the borrow is one instruction.
 * In DEV a reset fills what was used with poison, and bump_alloc() can fail on demand. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block_guard.h"
#include "engine/block_mag.h"
#include "ggmk/base.h"

#define BUMP_GRAIN      16u
#define BUMP_ALIGN_MAX  4096u /* largest alignment one may ask for */
#define BUMP_SIZE_MAX   (UINT64_C(1) << 32)
#define BUMP_COUNT_BITS 30u
#define BUMP_COUNT_MASK ((UINT64_C(1) << BUMP_COUNT_BITS) - 1u)

_Static_assert(BUMP_SIZE_MAX / BUMP_GRAIN <= BUMP_COUNT_MASK, "the count fits below");
_Static_assert(2 * BUMP_SIZE_MAX + BUMP_ALIGN_MAX <= UINT64_C(1) << (64u - BUMP_COUNT_BITS),
               "any request fits above");

struct bump {
    /* Owner writes, anybody reads. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t mark; /* bytes left and count, see above */
    _Atomic uint64_t fails;
    _Atomic uint64_t resets;
    _Atomic uint64_t dropped; /* allocations that resets took back */
    _Atomic size_t high;      /* highest use at a reset so far */
    /* Constant after bump_init(). */
    char *end;
    size_t size;
    struct alloc_guard *guard;
};

/* `memory` and `size` are multiples of BUMP_ALIGN_MAX, size at most BUMP_SIZE_MAX; else GMK_EINVAL. */
int bump_init(struct bump *bump, void *memory, size_t size, struct alloc_guard *guard);

/* Counts a refused request; returns NULL. In bump.c. */
void *bump_refuse(struct bump *bump);

/* `size` bytes at a multiple of `align`, valid until the next bump_reset(). NULL when size is
 * 0, align is no power of two up to BUMP_ALIGN_MAX, or less than that is left: then nothing
 * changed but the fail counter. Owner only. */
static inline void *bump_alloc(struct bump *bump, size_t size, size_t align) {
    uint64_t mark = atomic_load_explicit(&bump->mark, memory_order_relaxed);
    /* size - 1: a size of 0 becomes the largest and fails by the same comparison. */
    if (GMK_UNLIKELY(size - 1 >= BUMP_SIZE_MAX))
        return bump_refuse(bump);
    if (GMK_UNLIKELY(align - 1 >= BUMP_ALIGN_MAX) || GMK_UNLIKELY((align & (align - 1)) != 0))
        return bump_refuse(bump);
    uint64_t left = mark >> BUMP_COUNT_BITS;
    /* The end is a multiple of every alignment, so rounding the address up is rounding left down. */
    uint64_t skip = align <= BUMP_GRAIN ? 0 : left & (align - 1);
    uint64_t bytes = skip + ((size + (BUMP_GRAIN - 1)) & ~(uint64_t)(BUMP_GRAIN - 1));
    uint64_t step = (bytes << BUMP_COUNT_BITS) - 1; /* - 1: subtracting it counts one more */
    uint64_t next;
    if (GMK_UNLIKELY(__builtin_sub_overflow(mark, step, &next)))
        return bump_refuse(bump);
    if (ALLOC_DEV && guard_inject(bump->guard))
        return bump_refuse(bump);
    atomic_store_explicit(&bump->mark, next, memory_order_relaxed);
    return bump->end - (left - skip);
}

static inline char *bump_base(const struct bump *bump) {
    return bump->end - bump->size;
}

/* Takes everything back. Pointers from bump_alloc() are void from here on. Owner only. */
void bump_reset(struct bump *bump);

/* Counters of one worker's region. frees counts allocations taken back by resets; high is
 * the most bytes used between two resets. Any thread. */
void bump_stats(const struct bump *bump, struct part_stats *out);
