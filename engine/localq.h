/* Local queue: the tasks of one worker, from which idle workers may steal.
 *
 * Problem: a worker pushes and pops its own tasks hundreds of millions of times a second,
 * and now and then another worker wants half of them.
 *
 * Idea (after Go's and Tokio's run queues): a bounded ring with one producer, the owner.
 * Everyone takes at the old end through one word, `head`, so tasks leave in FIFO order and
 * a thief gets the oldest half. A thief first claims, then copies, then gives the slots
 * back, so no slot is ever read while it may be written:
 *
 *   head = [ real : 48 | lag : 16 ]     real: position of the next task to take
 *                                       lag:  tasks before real that a thief still copies
 *   owner pop    head: (r, 0) -> (r+1, 0), or (r, l) -> (r+1, l+1) while a thief copies
 *   thief claim  head: (r, 0) -> (r+n, n)            only one thief at a time
 *   thief done   head: (r, l) -> (r, 0)
 *   owner push   slot [tail] is free while tail - (real - lag) < capacity; tail -> tail+1
 *
 * A 48-bit position makes the compare-and-swap safe against reuse: a thief would have to
 * sleep between its load and its swap for exactly 2^48 pops, a month at 100 million a
 * second.
 *
 * Beside the ring there is one slot for the newest task: what a handler emitted last is
 * probably still in the cache and runs next. `newest_state` guards it. Taking it costs one
 * compare-and-swap, the same as a pop from the ring, so letting thieves take it too is free,
 * and a task never has to wait behind a long handler of its own worker.
 *
 * Invariants: real - lag <= real <= tail <= real - lag + capacity (modulo 2^48); slots
 * [real - lag, real) belong to the thief, [real, tail) hold tasks, the rest are the owner's.
 *
 * Who may call: the owner alone: _push, _push_n, _push_newest, _pop, _pop_newest, _refill,
 * _space. Anyone, the owner of `into` for that argument: _steal, _steal_newest, _count.
 *
 * A thief stopped in the middle of its copy keeps other thieves out and its slots occupied
 * (the owner sees a shorter queue and overflows earlier); the owner never waits for it.
 *
 * It does not wait, wake or allocate. */
#pragma once

#include "engine/ring_mpmc.h"

#define LOCALQ_SLOTS        256u /* the default capacity */
#define LOCALQ_CAPACITY_MIN 2u
#define LOCALQ_CAPACITY_MAX 32768u /* lag must fit 16 bits */
#define LOCALQ_STEAL_MAX    64u    /* tasks moved by one steal: bounds its time */

#define LOCALQ_LAG_BITS 16
#define LOCALQ_POS_MASK ((UINT64_C(1) << 48) - 1)

enum localq_newest_state {
    LOCALQ_NEWEST_NONE = 0,   /* the slot is the owner's to fill */
    LOCALQ_NEWEST_FULL = 1,   /* the slot holds a task; whoever swaps this away owns it */
    LOCALQ_NEWEST_LEAVING = 2 /* a thief copies it */
};

struct localq {
    /* Shared between owner and thieves. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t head;
    /* Written by the owner only; thieves read. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t tail; /* 48 bits */
    gmk_task_t *slots;                                /* constant after init */
    uint64_t capacity;                                /* constant after init */
    _Atomic uint32_t newest_state;
    alignas(GMK_CACHE_LINE) gmk_task_t newest;
};

/* Bytes of memory for a queue of `capacity` slots; 0 unless capacity is a power of two in
 * LOCALQ_CAPACITY_MIN .. LOCALQ_CAPACITY_MAX. */
size_t localq_bytes(uint32_t capacity);

/* Makes an empty queue at `memory`, which must be aligned to GMK_FALSE_SHARING and hold
 * localq_bytes(). GMK_OK; GMK_EINVAL for NULL, a bad capacity or alignment; GMK_ENOMEM when
 * `bytes` is too small. On error nothing is written. */
int localq_init(struct localq **out, void *memory, size_t bytes, uint32_t capacity);

/* The same, positions starting at `start` (its low 48 bits): for tests near the wrap. */
int localq_init_at(struct localq **out, void *memory, size_t bytes, uint32_t capacity,
                   uint64_t start);

/* Thief: moves about half of the victim's tasks, at most LOCALQ_STEAL_MAX and what fits
 * `into`: the oldest to *first, the others in order to the end of `into`, the caller's own
 * queue. Returns how many were taken, 0 when there is nothing to take or another thief is at
 * it. Takes from the ring only; see localq_steal_newest(). `victim` != `into`. */
size_t localq_steal(struct localq *victim, struct localq *into, gmk_task_t *first);

/* Owner: moves up to `max` tasks from the front of `ring` to the end of the queue, as many
 * as there are and fit; returns how many. One copy, one swap on the ring (two where the
 * queue's memory wraps). */
size_t localq_refill(struct localq *q, struct ring_mpmc *ring, size_t max);

RING_INLINE uint64_t localq_head_real(uint64_t head) {
    return head >> LOCALQ_LAG_BITS;
}

RING_INLINE uint64_t localq_head_lag(uint64_t head) {
    return head & ((1u << LOCALQ_LAG_BITS) - 1);
}

RING_INLINE uint64_t localq_head_pack(uint64_t real, uint64_t lag) {
    return real << LOCALQ_LAG_BITS | lag; /* bits above 48 fall off: real is modulo 2^48 */
}

/* Free slots, as the owner sees them: never more than there are. The owner keeps a reserve
 * for yielded tasks by pushing others only while this is above its watermark. */
RING_INLINE uint64_t localq_space(const struct localq *q) {
    /* L1 pairs with L7 in localq_steal(): the thief has read the slots it gave back. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */
    uint64_t oldest = localq_head_real(head) - localq_head_lag(head);
    return q->capacity - ((tail - oldest) & LOCALQ_POS_MASK);
}

/* Appends up to `count` tasks, as many as fit; returns how many. */
RING_INLINE size_t localq_push_n(struct localq *q, const gmk_task_t *tasks, size_t count) {
    uint64_t space = localq_space(q);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */

    if (space < count)
        count = (size_t)space;
    for (size_t i = 0; i < count; i++)
        q->slots[(tail + i) & (q->capacity - 1)] = tasks[i];
    /* L2 pairs with L5 in localq_steal(): the slots are written before tail admits them. */
    atomic_store_explicit(&q->tail, (tail + count) & LOCALQ_POS_MASK, memory_order_release);
    return count;
}

/* Appends one task; false when the queue is full. */
RING_INLINE bool localq_push(struct localq *q, const gmk_task_t *task) {
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */

    if (GMK_UNLIKELY(localq_space(q) == 0))
        return false;
    ring_copy_words(&q->slots[tail & (q->capacity - 1)], task, sizeof *task);
    /* L2, as in localq_push_n(). */
    atomic_store_explicit(&q->tail, (tail + 1) & LOCALQ_POS_MASK, memory_order_release);
    return true;
}

/* Takes the oldest task of the ring; false when there is none. Does not look at the newest
 * slot: the caller decides how often that one goes first. */
RING_INLINE bool localq_pop(struct localq *q, gmk_task_t *out) {
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */

    for (;;) {
        uint64_t real = localq_head_real(head);
        uint64_t lag = localq_head_lag(head);
        if (real == tail)
            return false;
        uint64_t next = localq_head_pack(real + 1, lag == 0 ? 0 : lag + 1);
        /* L3 pairs with L4 and L6 in localq_steal(): each task is claimed by one swap. The
         * slot was written by this same thread, so the load above may be relaxed. */
        if (atomic_compare_exchange_weak_explicit(&q->head, &head, next, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            ring_copy_words(out, &q->slots[real & (q->capacity - 1)], sizeof *out);
            return true;
        }
    }
}

/* Takes the newest slot's task; false when there is none. */
RING_INLINE bool localq_pop_newest(struct localq *q, gmk_task_t *out) {
    uint32_t full = LOCALQ_NEWEST_FULL;

    if (atomic_load_explicit(&q->newest_state, memory_order_relaxed) != LOCALQ_NEWEST_FULL)
        return false;
    /* N1 pairs with N4 in localq_steal_newest(): one of us gets the task. */
    if (!atomic_compare_exchange_strong_explicit(&q->newest_state, &full, LOCALQ_NEWEST_NONE,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    ring_copy_words(out, &q->newest, sizeof *out);
    return true;
}

/* Puts a task into the newest slot; the one that was there goes to the end of the ring.
 * False when that one, or the task itself while a thief is at the slot, does not fit: then
 * nothing changed. */
RING_INLINE bool localq_push_newest(struct localq *q, const gmk_task_t *task) {
    gmk_task_t displaced;
    /* N2 pairs with N5 in localq_steal_newest(): the thief has read the slot. */
    uint32_t state = atomic_load_explicit(&q->newest_state, memory_order_acquire);

    if (state == LOCALQ_NEWEST_LEAVING)
        return localq_push(q, task);
    if (state == LOCALQ_NEWEST_FULL) {
        if (localq_space(q) == 0)
            return false;
        if (localq_pop_newest(q, &displaced))
            (void)localq_push(q, &displaced); /* there is space, and only we take it */
        else
            return localq_push(q, task); /* a thief got it just now */
    }
    ring_copy_words(&q->newest, task, sizeof *task);
    /* N3 pairs with N4 in localq_steal_newest(): the slot is written before it is full. */
    atomic_store_explicit(&q->newest_state, LOCALQ_NEWEST_FULL, memory_order_release);
    return true;
}

/* Thief: takes the task of the newest slot; false when there is none. */
RING_INLINE bool localq_steal_newest(struct localq *victim, gmk_task_t *out) {
    uint32_t full = LOCALQ_NEWEST_FULL;

    if (atomic_load_explicit(&victim->newest_state, memory_order_relaxed) != LOCALQ_NEWEST_FULL)
        return false;
    /* N4 pairs with N3 in localq_push_newest(): the task is complete, and now ours alone. */
    if (!atomic_compare_exchange_strong_explicit(&victim->newest_state, &full,
                                                 LOCALQ_NEWEST_LEAVING, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    *out = victim->newest;
    /* N5 pairs with N2 in localq_push_newest(): the slot is read before it is given back. */
    atomic_store_explicit(&victim->newest_state, LOCALQ_NEWEST_NONE, memory_order_release);
    return true;
}

/* Tasks that wait in the queue, the newest slot included; exact for the owner while no thief
 * is at work, for others a hint, 0 .. capacity + 1. */
RING_INLINE uint64_t localq_count(const struct localq *q) {
    /* Hints: no task is read on their account, so relaxed is enough. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    uint64_t used = (tail - localq_head_real(head)) & LOCALQ_POS_MASK;

    if (used > LOCALQ_POS_MASK / 2)
        used = 0; /* tail is older than head */
    if (used > q->capacity)
        used = q->capacity;
    return used +
           (atomic_load_explicit(&q->newest_state, memory_order_relaxed) == LOCALQ_NEWEST_FULL);
}

RING_INLINE uint64_t localq_capacity(const struct localq *q) {
    return q->capacity;
}
