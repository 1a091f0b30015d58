/* Ring, one producer and one consumer: a dense bounded FIFO of elements of any fixed size.
 *
 * Problem: hand elements from one thread to one other thread, in order, with as few
 * cache-line transfers as possible.
 *
 * Idea: two positions that only grow. `head` counts what was pushed and is written by the
 * producer alone, `tail` counts what was popped and is written by the consumer alone, so
 * neither side needs a read-modify-write. Each side keeps a private copy of the other's
 * position and looks at the real one only when the copy says "full" or "empty": in a busy
 * ring that is once per lap or per batch instead of once per element. Elements lie dense,
 * so a 48-byte message moves 3/4 of a line.
 *
 * Invariants: tail <= head <= tail + capacity, as modular 64-bit distances; the slots of
 * positions [tail, head) belong to the consumer, all others to the producer.
 *
 * Who may call: ring_push*_spsc one thread at a time, ring_pop*_spsc one thread at a time;
 * the two may be different threads. ring_count_spsc and ring_empty_spsc: anyone, as a hint.
 *
 * `elem_size` is passed to every call and must be the constant given to init: the functions
 * are inlined and the copies become plain word moves.
 *
 * It does not wait, wake or allocate. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/ring_copy.h"
#include "ggmk/base.h"
#include "ggmk/error.h"

#define RING_CAPACITY_MAX  (UINT64_C(1) << 30) /* slots of any ring; see ring_mpmc.h for why */
#define RING_ELEM_SIZE_MAX ((size_t)65536)     /* bytes of one element of an SPSC ring */

struct ring_spsc {
    /* Producer's lines. `slots` and `capacity` are constant after init; each side has its
     * own copy so that a push touches one control line. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t head; /* written by the producer only */
    uint64_t tail_seen;                               /* a past value of tail */
    unsigned char *push_slots;
    uint64_t push_capacity;
    /* Consumer's lines. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t tail; /* written by the consumer only */
    uint64_t head_seen;                               /* a past value of head */
    unsigned char *pop_slots;
    uint64_t pop_capacity;
};

/* Bytes of memory that a ring of this shape needs; 0 when the shape is not allowed:
 * capacity must be a power of two in 1 .. RING_CAPACITY_MAX, elem_size 1 .. RING_ELEM_SIZE_MAX. */
size_t ring_spsc_bytes(uint64_t capacity, size_t elem_size);

/* Makes an empty ring at `memory`, which must be aligned to GMK_FALSE_SHARING and hold
 * ring_spsc_bytes(). Nobody may use the ring before init returns. `*out` is the ring.
 * GMK_OK; GMK_EINVAL for NULL, a bad shape or alignment; GMK_ENOMEM when `bytes` is too
 * small. On error nothing is written. */
int ring_spsc_init(struct ring_spsc **out, void *memory, size_t bytes, uint64_t capacity,
                   size_t elem_size);

/* The same, with both positions starting at `start`: lets a test stand just before a wrap. */
int ring_spsc_init_at(struct ring_spsc **out, void *memory, size_t bytes, uint64_t capacity,
                      size_t elem_size, uint64_t start);

/* Copies `count` elements of constant size. Wide moves are right here: by the time a batch is
 * copied its stores have left the store buffer (compare ring_copy.h). */
RING_INLINE void ring_copy_n(unsigned char *to, const unsigned char *from, uint64_t count,
                             size_t elem_size) {
    for (uint64_t i = 0; i < count; i++) {
        memcpy(to, from, elem_size);
        to += elem_size;
        from += elem_size;
    }
}

/* Appends up to `count` elements, as many as fit; returns how many. Elements become visible
 * to the consumer together. */
RING_INLINE size_t ring_push_n_spsc(struct ring_spsc *ring, const void *elems, size_t count,
                                    size_t elem_size) {
    /* Our own variable: nobody else writes it. */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t capacity = ring->push_capacity;
    uint64_t space = capacity - (head - ring->tail_seen); /* modular: right across 2^64 */

    if (GMK_UNLIKELY(space < count)) {
        /* S1 pairs with S4 in ring_pop_n_spsc(): the consumer has read the slots we reuse. */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        space = capacity - (head - ring->tail_seen);
        if (space < count)
            count = (size_t)space;
        if (count == 0)
            return 0;
    }
    uint64_t index = head & (capacity - 1);
    uint64_t first = capacity - index < count ? capacity - index : count;
    const unsigned char *from = (const unsigned char *)elems;
    ring_copy_n(ring->push_slots + index * elem_size, from, first, elem_size);
    ring_copy_n(ring->push_slots, from + first * elem_size, count - first, elem_size);
    /* S2 pairs with S3 in ring_pop_n_spsc(): the slots are written before head admits them. */
    atomic_store_explicit(&ring->head, head + count, memory_order_release);
    return count;
}

/* Takes up to `count` elements, oldest first; returns how many there were. */
RING_INLINE size_t ring_pop_n_spsc(struct ring_spsc *ring, void *out, size_t count,
                                   size_t elem_size) {
    /* Our own variable: nobody else writes it. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t capacity = ring->pop_capacity;
    uint64_t ready = ring->head_seen - tail;

    if (GMK_UNLIKELY(ready < count)) {
        /* S3 pairs with S2 in ring_push_n_spsc(): what head admits has been written. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        ready = ring->head_seen - tail;
        if (ready < count)
            count = (size_t)ready;
        if (count == 0)
            return 0;
    }
    uint64_t index = tail & (capacity - 1);
    uint64_t first = capacity - index < count ? capacity - index : count;
    unsigned char *to = (unsigned char *)out;
    ring_copy_n(to, ring->pop_slots + index * elem_size, first, elem_size);
    ring_copy_n(to + first * elem_size, ring->pop_slots, count - first, elem_size);
    /* S4 pairs with S1 in ring_push_n_spsc(): the slots are read before they are given back. */
    atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
    return count;
}

/* Appends one element; false when the ring is full. */
RING_INLINE bool ring_push_spsc(struct ring_spsc *ring, const void *elem, size_t elem_size) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t capacity = ring->push_capacity;

    if (GMK_UNLIKELY(head - ring->tail_seen == capacity)) {
        /* S1, as in ring_push_n_spsc(). */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head - ring->tail_seen == capacity)
            return false;
    }
    ring_copy_words(ring->push_slots + (head & (capacity - 1)) * elem_size, elem, elem_size);
    /* S2, as in ring_push_n_spsc(). */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

/* Takes the oldest element; false when the ring is empty. */
RING_INLINE bool ring_pop_spsc(struct ring_spsc *ring, void *out, size_t elem_size) {
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (GMK_UNLIKELY(ring->head_seen == tail)) {
        /* S3, as in ring_pop_n_spsc(). */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (ring->head_seen == tail)
            return false;
    }
    uint64_t index = tail & (ring->pop_capacity - 1);
    ring_copy_words(out, ring->pop_slots + index * elem_size, elem_size);
    /* S4, as in ring_pop_n_spsc(). */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

/* Elements inside, at some moment during the call if one of the two sides calls it; for
 * anybody else a hint that never exceeds the capacity. */
RING_INLINE uint64_t ring_count_spsc(const struct ring_spsc *ring) {
    /* Hints: no data is read on their account, so relaxed is enough. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t used = head - tail;
    return used > ring->push_capacity ? ring->push_capacity : used;
}

RING_INLINE bool ring_empty_spsc(const struct ring_spsc *ring) {
    return ring_count_spsc(ring) == 0;
}

RING_INLINE uint64_t ring_capacity_spsc(const struct ring_spsc *ring) {
    return ring->push_capacity;
}
