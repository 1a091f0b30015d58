/* Ring, many producers and many consumers: a bounded FIFO of tasks, one cell per cache line.
 *
 * Problem: any number of threads push and pop tasks; a thread that is preempted in the
 * middle must not stop the others; handing over one task must move one line.
 *
 * Idea (after Dmitry Vyukov's bounded MPMC queue): every cell carries the number of its
 * turn, so producers and consumers agree cell by cell and share only one position each.
 * A cell is a gmk_task_t and the turn is its first word: the consumer's look at the turn
 * already fetches the task. Unlike Vyukov's, a consumer does not write into the cell to
 * give it back. It writes to `freed`, a dense array with one turn per cell, 16 to a line:
 * the cell then travels one way only, and returning 32 cells dirties two lines, not 32.
 *
 *   position p lives in cell p & mask
 *   freed[p & mask] == p      the cell is free for the push at position p
 *   cell.turn == p + 1        the task of position p is in the cell
 *   push:  freed == p?  -> push_pos: p -> p+1  -> write cell -> turn = p + 1
 *   pop:   turn == p+1? -> pop_pos:  p -> p+1  -> read cell  -> freed = p + capacity
 *
 * Producers look at `freed` in runs: free_until says that the cells of all positions below
 * it have been seen free, and lies on the line that a producer owns anyway. It only saves
 * looks: it may be outdated, never wrong, because a free cell stays free until it is pushed.
 *
 * Why 32-bit turns are enough for 64-bit positions: a cell's turn words only grow, and those
 * of neighbouring laps differ modulo 2^32 because capacity <= 2^30. So a word that matches
 * the position we hold is either meant for it, or newer by a multiple of 2^32. In the second
 * case the position was taken long ago, positions never return in 64 bits, and so our
 * compare-and-swap fails, and a free_until written from it lies behind and is ignored.
 *
 * Invariants: pop_pos <= push_pos <= pop_pos + capacity. Each cell has exactly one
 * owner between a successful swap and the store of the next turn.
 *
 * Who may call: anyone, any number of threads at once.
 *
 * What false and 0 mean: push says "full" when the next cell is not free, pop says "empty"
 * when the next cell holds no task. A peer that was stopped between its swap and its turn
 * keeps its own cells unavailable: then "full" may come with up to its cells fewer tasks
 * inside, and "empty" may come with later tasks inside. ring_empty_mpmc() is false in that
 * case: a worker parks only after ring_empty_mpmc() said true. When no peer is in the
 * middle of an operation, both answers are exact.
 *
 * It does not wait, wake or allocate. */
#pragma once

#include "engine/ring_spsc.h"
#include "ggmk/task.h"

#define RING_MPMC_CAPACITY_MIN 2u
#define RING_LOOK_AHEAD        64u /* cells that a single push looks at in one go: bounds it */
#define RING_FETCH_AHEAD       8u /* cells between a single push and the one it asks the cache for */

union ring_cell {
    _Atomic uint32_t turn; /* gmk_task_t's first word */
    gmk_task_t task;
};

GMK_STATIC_ASSERT(sizeof(union ring_cell) == GMK_CACHE_LINE, "one cell per line");
GMK_STATIC_ASSERT(offsetof(gmk_task_t, turn) == 0, "the turn is the task's first word");

struct ring_mpmc {
    /* Constant after init. */
    union ring_cell *cells;
    _Atomic uint32_t *freed; /* the turn for which each cell is free */
    uint64_t capacity;
    /* Written by producers. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t push_pos;
    _Atomic uint64_t free_until;
    /* Written by consumers. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t pop_pos;
    alignas(GMK_FALSE_SHARING) unsigned char end_of_header[GMK_FALSE_SHARING];
};

/* Bytes of memory for a ring of `capacity` tasks; 0 unless capacity is a power of two in
 * RING_MPMC_CAPACITY_MIN .. RING_CAPACITY_MAX. */
size_t ring_mpmc_bytes(uint64_t capacity);

/* Makes an empty ring at `memory`, which must be aligned to GMK_FALSE_SHARING and hold
 * ring_mpmc_bytes(). GMK_OK; GMK_EINVAL for NULL, a bad capacity or alignment; GMK_ENOMEM
 * when `bytes` is too small. On error nothing is written. */
int ring_mpmc_init(struct ring_mpmc **out, void *memory, size_t bytes, uint64_t capacity);

/* The same, with both positions starting at `start`: lets a test stand just before a wrap. */
int ring_mpmc_init_at(struct ring_mpmc **out, void *memory, size_t bytes, uint64_t capacity,
                      uint64_t start);

/* Writes the value of a task into a cell we own; the turn is not touched, because a late
 * peer may still be looking at it. */
RING_INLINE void ring_cell_fill(union ring_cell *cell, const gmk_task_t *task) {
    const size_t skip = offsetof(gmk_task_t, flags);
    cell->task.type = task->type;
    ring_copy_words((unsigned char *)cell + skip, (const unsigned char *)task + skip,
                    sizeof(gmk_task_t) - skip);
}

/* The same in wide moves, for batches. */
RING_INLINE void ring_cell_fill_wide(union ring_cell *cell, const gmk_task_t *task) {
    const size_t skip = offsetof(gmk_task_t, type);
    memcpy((unsigned char *)cell + skip, (const unsigned char *)task + skip,
           sizeof(gmk_task_t) - skip);
}

/* How many cells from position `pos` on are free, up to `count`. */
RING_INLINE size_t ring_free_run(struct ring_mpmc *ring, uint64_t pos, size_t count) {
    const uint64_t mask = ring->capacity - 1;
    /* M1 pairs with M3: whoever moved free_until has seen the readers of those cells done. */
    uint64_t until = atomic_load_explicit(&ring->free_until, memory_order_acquire);

    if (GMK_LIKELY((int64_t)(until - pos) >= (int64_t)count))
        return count;
    if ((int64_t)(until - pos) < 0)
        until = pos;
    /* A batch looks no further than it needs: those words are where consumers write now. */
    const uint64_t limit = pos + (count > 1 ? count : RING_LOOK_AHEAD);
    const uint64_t known = until;
    /* M2 pairs with M8 in the pops: the last reader of the cell is done. */
    while (until != limit && atomic_load_explicit(&ring->freed[until & mask],
                                                  memory_order_acquire) == (uint32_t)until)
        until++;
    if (until != known)
        /* M3 pairs with M1: passes on what M2 has seen. */
        atomic_store_explicit(&ring->free_until, until, memory_order_release);
    return until - pos < count ? (size_t)(until - pos) : count;
}

/* Claims up to `count` cells for a producer: *pos is the first. 0 when none is free. */
RING_INLINE size_t ring_claim_push(struct ring_mpmc *ring, size_t count, uint64_t *pos) {
    /* M4: acquire keeps the looks at `freed` after it, see "Why 32-bit turns" above. */
    *pos = atomic_load_explicit(&ring->push_pos, memory_order_acquire);

    for (;;) { /* repeats only when another producer got cells meanwhile */
        size_t run = ring_free_run(ring, *pos, count);
        if (run == 0) {
            uint64_t now = atomic_load_explicit(&ring->push_pos, memory_order_acquire); /* M4 */
            if (now == *pos)
                return 0;
            *pos = now;
            continue;
        }
        /* Claims only; the data is ordered by the turns. Failure reloads as M4. */
        if (atomic_compare_exchange_weak_explicit(&ring->push_pos, pos, *pos + run,
                                                  memory_order_acq_rel, memory_order_acquire))
            return run;
    }
}

/* Claims up to `count` tasks for a consumer: *pos is the first. 0 when none is ready. */
RING_INLINE size_t ring_claim_pop(struct ring_mpmc *ring, size_t count, uint64_t *pos) {
    const uint64_t mask = ring->capacity - 1;
    /* M5: acquire keeps the looks at the turns after it. */
    *pos = atomic_load_explicit(&ring->pop_pos, memory_order_acquire);

    for (;;) { /* repeats only when another consumer got tasks meanwhile */
        size_t run = 0;
        /* M6 pairs with M7 in the pushes: the task is complete. */
        while (run < count &&
               atomic_load_explicit(&ring->cells[(*pos + run) & mask].turn, memory_order_acquire) ==
                   (uint32_t)(*pos + run + 1))
            run++;
        if (run == 0) {
            uint64_t now = atomic_load_explicit(&ring->pop_pos, memory_order_acquire); /* M5 */
            if (now == *pos)
                return 0;
            *pos = now;
            continue;
        }
        /* Claims only; the data is ordered by the turns. Failure reloads as M5. */
        if (atomic_compare_exchange_weak_explicit(&ring->pop_pos, pos, *pos + run,
                                                  memory_order_acq_rel, memory_order_acquire))
            return run;
    }
}

/* Appends one task; false when the ring is full. */
RING_INLINE bool ring_push_mpmc(struct ring_mpmc *ring, const gmk_task_t *task) {
    uint64_t pos;

    if (ring_claim_push(ring, 1, &pos) == 0)
        return false;
    union ring_cell *cell = &ring->cells[pos & (ring->capacity - 1)];
    /* GNU extension. For reading: asking for ownership this early takes the cell away from
     * the consumer and halves the throughput. */
    __builtin_prefetch(&ring->cells[(pos + RING_FETCH_AHEAD) & (ring->capacity - 1)], 0);
    ring_cell_fill(cell, task);
    /* M7 pairs with M6 in ring_claim_pop(): the cell is written before its turn. */
    atomic_store_explicit(&cell->turn, (uint32_t)(pos + 1), memory_order_release);
    return true;
}

/* Takes the oldest task; false when there is none. out->turn is not part of a task's value
 * and holds nothing useful afterwards. */
RING_INLINE bool ring_pop_mpmc(struct ring_mpmc *ring, gmk_task_t *out) {
    uint64_t pos;

    if (ring_claim_pop(ring, 1, &pos) == 0)
        return false;
    uint64_t index = pos & (ring->capacity - 1);
    ring_copy_words(out, &ring->cells[index].task, sizeof *out);
    /* M8 pairs with M2 in ring_free_run(): the cell is read before it is given back. */
    atomic_store_explicit(&ring->freed[index], (uint32_t)(pos + ring->capacity),
                          memory_order_release);
    return true;
}

/* Appends up to `count` tasks, as many as there are free cells in a row, with one swap;
 * returns how many. They are consecutive in the FIFO and become visible one by one. */
RING_INLINE size_t ring_push_n_mpmc(struct ring_mpmc *ring, const gmk_task_t *tasks, size_t count) {
    uint64_t pos;

    if (GMK_UNLIKELY(count > ring->capacity))
        count = (size_t)ring->capacity;
    count = ring_claim_push(ring, count, &pos);
    for (size_t i = 0; i < count; i++) {
        union ring_cell *cell = &ring->cells[(pos + i) & (ring->capacity - 1)];
        ring_cell_fill_wide(cell, &tasks[i]);
        /* M7, as in ring_push_mpmc(). */
        atomic_store_explicit(&cell->turn, (uint32_t)(pos + i + 1), memory_order_release);
    }
    return count;
}

/* Takes up to `count` tasks, oldest first, with one swap; returns how many were ready in a
 * row. out[].turn as in ring_pop_mpmc(). */
RING_INLINE size_t ring_pop_n_mpmc(struct ring_mpmc *ring, gmk_task_t *out, size_t count) {
    const uint64_t mask = ring->capacity - 1;
    uint64_t pos;

    if (GMK_UNLIKELY(count > ring->capacity))
        count = (size_t)ring->capacity;
    count = ring_claim_pop(ring, count, &pos);
    for (size_t i = 0; i < count; i++)
        out[i] = ring->cells[(pos + i) & mask].task;
    for (size_t i = 0; i < count; i++)
        /* M8, as in ring_pop_mpmc(). */
        atomic_store_explicit(&ring->freed[(pos + i) & mask], (uint32_t)(pos + i + ring->capacity),
                              memory_order_release);
    return count;
}

/* Positions claimed by producers and not yet by consumers: tasks inside plus pushes under
 * way. A hint, 0 .. capacity. */
RING_INLINE uint64_t ring_count_mpmc(const struct ring_mpmc *ring) {
    /* pop_pos first, so that an unchanged ring is never reported negative. Hints, relaxed. */
    uint64_t pop = atomic_load_explicit(&ring->pop_pos, memory_order_relaxed);
    uint64_t push = atomic_load_explicit(&ring->push_pos, memory_order_relaxed);
    uint64_t used = push - pop;
    if (used > UINT64_MAX / 2)
        return 0; /* the two loads were seen in the other order, and pop overtook push */
    return used > ring->capacity ? ring->capacity : used;
}

/* Is the oldest task there to be taken? A hint that reads what a pop reads, the next cell and
 * the consumers' position, and leaves the producers' position alone: a consumer that polls
 * it does not take that line from the producers, which would cost each of their pushes a
 * line transfer. Unlike ring_empty_mpmc() it may say no while a push is under way. */
RING_INLINE bool ring_ready_mpmc(const struct ring_mpmc *ring) {
    /* Relaxed and acquire as in ring_pop_mpmc(), whose swap decides. */
    uint64_t pos = atomic_load_explicit(&ring->pop_pos, memory_order_relaxed);
    const union ring_cell *cell = &ring->cells[pos & (ring->capacity - 1)];
    return atomic_load_explicit(&cell->turn, memory_order_acquire) == (uint32_t)(pos + 1);
}

/* True when no task is inside and no push is under way, at some moment; a hint. */
RING_INLINE bool ring_empty_mpmc(const struct ring_mpmc *ring) {
    return ring_count_mpmc(ring) == 0;
}

/* Were all cells claimed by producers, at some moment since the call? Never said of a ring that was
 * not, however long the caller is stopped in here: push_pos is read first, so what consumers do
 * in between makes the difference smaller. A push may fail without it: a stopped consumer. */
RING_INLINE bool ring_full_mpmc(const struct ring_mpmc *ring) {
    /* Acquire keeps the order of the two loads; it pairs with the swap in ring_claim_push(). */
    uint64_t push = atomic_load_explicit(&ring->push_pos, memory_order_acquire);
    uint64_t pop = atomic_load_explicit(&ring->pop_pos, memory_order_relaxed);
    return (int64_t)(push - pop) >= (int64_t)ring->capacity;
}

RING_INLINE uint64_t ring_capacity_mpmc(const struct ring_mpmc *ring) {
    return ring->capacity;
}
