/* Enqueue: the one way into the run queues.
 *
 * Submit, emit, channel delivery, yield, retry, timer fire and bridge arrival all end here,
 * and nothing else writes to a run queue (the tree's own test checks it). Where a task goes:
 *   - into the ordered lane, if it or the engine is deterministic;
 *   - normal priority, from a worker: into its own queue, the newest slot first; the last
 *     slots (engine.local_reserve) are kept for tasks that come again;
 *   - else into the shared ready ring of its priority;
 *   - a task that comes AGAIN and finds all that full: into the overflow bucket, which has
 *     room for everything that can come again at the same time, so it is never lost.
 *
 * Who may call: the agent's own thread. Never blocks. Announces the work (wake.h). */
#pragma once

#include "engine/engine.h"

enum enqueue_how {
    ENQUEUE_NEW,  /* may be refused with EAGAIN: its sender can keep it */
    ENQUEUE_AGAIN /* was inside already (yield, retry, token): always finds room */
};

int enqueue(struct agent *a, const gmk_task_t *task, enum enqueue_how how);

/* A worker's own new task of normal priority, into its own queue only; false when that is
 * full. For gmk_spawn(), which then runs it instead. */
bool enqueue_local(struct agent *a, const gmk_task_t *task);

/* Up to `count` new tasks with one wake-up; how many were taken, in order. */
uint32_t enqueue_n(struct agent *a, const gmk_task_t *tasks, uint32_t count);

/* How many tasks the overflow bucket must hold: one per handler that can be on a worker's
 * stack, one per subscription's token. */
uint64_t enqueue_overflow_slots(uint32_t n_workers, uint32_t subs_max);
