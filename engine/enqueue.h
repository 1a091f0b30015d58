/* Enqueue: the one way into the run queues.
 *
 * Submit, emit, channel delivery, yield, retry, timer fire and bridge arrival all end here,
 * and nothing else writes to a run queue (the tree's own test checks it). Where a task goes:
 *   - into the ordered lane, if it or the engine is deterministic;
 *   - normal priority, from a worker: into its own queue, the newest slot first; the last
 *     slots (engine.local_reserve) are kept for tasks that come again;
 *   - else into the shared ready ring of its priority;
 *   - a task that comes AGAIN and finds all that full: into the overflow bucket, so it is
 *     never lost.
 *
 * Why the bucket never overflows. A task that comes again had a place before, and finds it
 * free unless a new task took it. So once the bucket is half full no queue takes new tasks,
 * and from then on it can grow only by what is on its way: handlers that were on some
 * worker's stack, tokens, and one push per agent that had looked just before.
 *
 * Who may call: the agent's own thread. Never blocks. Announces the work (wake.h). */
#pragma once

#include "engine/engine.h"

enum enqueue_how {
    ENQUEUE_NEW,  /* may be refused with EAGAIN: its sender can keep it */
    ENQUEUE_AGAIN /* was inside already (yield, retry, token): always finds room */
};

int enqueue(struct agent *a, const gmk_task_t *task, enum enqueue_how how);

/* A subscription's token that even the overflow bucket cannot take just now waits in engine.late: a
 * client puts it there, the next worker that gathers or is about to park queues it. */
void late_push(struct agent *a, const gmk_task_t *token);
void late_take(struct agent *a);

/* A worker's own new task of normal priority, into its own queue only; false when that is
 * full. For gmk_spawn(), which then runs it instead. */
bool enqueue_local(struct agent *a, const gmk_task_t *task);

/* Up to `count` new tasks with one wake-up; how many were taken, in order. */
uint32_t enqueue_n(struct agent *a, const gmk_task_t *tasks, uint32_t count);

/* How many tasks can come again at the same time: one per handler that can be on a worker's
 * stack, and every subscription's tokens that have a place reserved. */
uint32_t enqueue_again_max(uint32_t n_workers, uint32_t subs_max);

/* Slots of the overflow bucket: twice what can be on its way when it is half full. */
uint64_t enqueue_overflow_slots(uint32_t n_workers, uint32_t subs_max);
