/* Magazine: the private stack of free blocks from which one thread allocates.
 *
 * After Bonwick and Adams, "Magazines and Vmem" (USENIX 2001): an allocation pops, a free
 * pushes, and only a full or an empty magazine talks to the shared pool, a batch at a
 * time. So the usual pair of operations touches no shared line and needs no atomic
 * read-modify-write. Unlike theirs, our shared pool keeps bits, not whole magazines:
 * nothing is stranded in a half-full magazine that nobody owns.
 *
 * One thread at a time owns a magazine and calls these; hand-over needs the caller's own
 * synchronisation. Counters are written by the owner alone and read by anybody. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Slots are what is left of 512 bytes: the address of magazine i is then one shift. */
#define MAG_BYTES 512u
#define MAG_SLOTS ((MAG_BYTES - 40u) / 4u)
/* Blocks per exchange with the pool: a whole word of free bits. */
#define MAG_BATCH 64u

struct magazine {
    /* Owner only. */
    uint32_t count; /* blocks in slot[0 .. count-1] */
    uint32_t hint;  /* where in the pool the next look starts */
    /* Constant after init. */
    uint32_t limit; /* most blocks kept; 0 sends every block through the pool */
    uint32_t batch; /* blocks per exchange, 1 .. MAG_BATCH */
    /* Owner writes, anybody reads. */
    _Atomic uint64_t allocs;
    _Atomic uint64_t frees;
    _Atomic uint64_t fails;
    /* Owner only: numbers of free blocks, hottest on top. */
    uint32_t slot[MAG_SLOTS];
};

_Static_assert(sizeof(struct magazine) == MAG_BYTES, "magazine i is at a shift, not a product");
_Static_assert(MAG_SLOTS > MAG_BATCH, "a refill must fit, and a drain must leave something hot");

/* A counter with one writer: no read-modify-write, so no bus lock; readers see whole words. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount) {
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* `share` is how many blocks this magazine may hold back from everybody else. */
static inline void magazine_init(struct magazine *mag, size_t share, uint32_t hint) {
    mag->count = 0;
    mag->hint = hint;
    mag->limit = share > MAG_SLOTS ? MAG_SLOTS : (uint32_t)share;
    /* Half moves and half stays, so that neither a free nor an allocation right after an
     * exchange needs another one; a large magazine moves whole words of bits. */
    mag->batch = mag->limit >= MAG_BATCH + MAG_BATCH / 2 ? MAG_BATCH : (mag->limit + 1) / 2;
    if (mag->batch == 0)
        mag->batch = 1;
    atomic_init(&mag->allocs, 0);
    atomic_init(&mag->frees, 0);
    atomic_init(&mag->fails, 0);
}

/* High-water mark: how much left the shared pool at most. Callers come once per batch. */
static inline void high_water_add(_Atomic size_t *out, _Atomic size_t *high, size_t amount) {
    size_t now = atomic_fetch_add_explicit(out, amount, memory_order_relaxed) + amount;
    size_t seen = atomic_load_explicit(high, memory_order_relaxed);
    /* Repeats only while another thread raises the mark and ours is still above it. */
    while (now > seen && !atomic_compare_exchange_weak_explicit(
                             high, &seen, now, memory_order_relaxed, memory_order_relaxed)) {}
}
