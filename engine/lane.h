/* Lane: the ordered lane, where tasks run one at a time in an order that only depends on
 * what was sent, never on threads or clocks.
 *
 * Time goes in ticks. What is queued during a tick is delivered at the next one: sorted by
 * the id of the channel that carried it (plain tasks first, as channel 0), and within a
 * channel in the order queued. Since one task runs at a time, that order is itself a
 * function of the input. A running hash over every handler call (type, channel, sequence,
 * words, payload bytes, result) proves it: same seed and input, same hash.
 *
 * Two uses:
 *   - cfg.deterministic: everything goes through the lane, nothing runs but in gmk_drain()
 *     and gmk_halt(), on the calling thread, and engine time moves one microsecond a tick,
 *     or jumps to the next timer when nothing else is left;
 *   - a task flagged GMK_TASK_DETERMINISTIC in a normal engine: a token takes the lane from
 *     worker to worker.
 *
 * A lane task that waits (group, full channel) runs what comes after it in the lane, nested,
 * on its own stack: the lane stays one at a time, and cannot wait for itself.
 *
 * The lock guards the two batches; the handler runs without it. */
#pragma once

#include "engine/engine.h"
#include "engine/enqueue.h"

#define LANE_BATCH   64u /* tasks of one turn of the token */
#define LANE_TICK_NS 1000u

struct lane_batch {
    gmk_task_t *tasks;
    uint32_t count;
};

struct lane {
    struct hal_lock lock;
    /* Guarded by lock. */
    struct lane_batch current; /* being run, sorted through `order` */
    struct lane_batch next;    /* collects */
    uint32_t *order;           /* [slots] indices into current.tasks */
    uint32_t cursor;
    uint32_t slots;   /* of each batch */
    uint32_t reserve; /* of them for tasks that come again */
    bool token_out;
    uint64_t serial;                /* tasks taken so far */
    _Atomic(struct agent *) holder; /* the worker whose turn it is; NULL between turns */
    _Atomic uint64_t tick;
    _Atomic uint64_t hash;
};

size_t lane_bytes(uint32_t slots);
void lane_init(struct lane *lane, void *memory, uint32_t slots, uint32_t reserve);

/* enqueue()'s branch for the lane. GMK_OK or GMK_EAGAIN (new tasks only). */
int lane_add(struct agent *a, const gmk_task_t *task, enum enqueue_how how);

/* Runs the next task. False when there is none (deterministic mode: no timer either). */
bool lane_step(struct agent *a);

/* Does this worker hold the lane's token, and is there something to run? */
bool lane_calls(struct agent *a);

/* The lane's token: some steps, then the next worker's turn. */
void lane_run_token(struct agent *a);

/* A handler is about to run / has returned: the hash takes note. */
void lane_note_begin(struct agent *a, const gmk_task_t *task);
void lane_note_end(struct agent *a, int status);

static inline bool lane_is_noted(const struct engine *eng, const gmk_task_t *task) {
    return GMK_UNLIKELY(eng->cfg.deterministic) ||
           GMK_UNLIKELY((task->flags & GMK_TASK_DETERMINISTIC) && task->channel == 0);
}
