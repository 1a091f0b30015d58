/* Timer queue: tasks that wait for their time, in exact order.
 *
 * A bounded min-heap behind a lock, keyed by (due time, order of arrival), both 64 bits,
 * so that equal times keep their order for ever. `next_due` tells everyone, without the
 * lock, when to look. Busy workers look now and then; among sleeping workers one, the
 * timekeeper, sleeps no longer than until next_due (wake.c).
 *
 * Who may call: any agent. The lock is held for O(log n) steps. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ggmk/task.h"
#include "hal/hal.h"
#include "lib/heap.h"

#define TIMER_NEVER UINT64_MAX
#define TIMER_BATCH 32u /* tasks moved by one look: bounds the time under the lock */

struct agent;

struct timer_queue {
    struct hal_lock lock;
    /* Guarded by lock. */
    struct heap heap;
    uint64_t order;
    /* Written under the lock, read without: due time of the earliest task, and how many wait. */
    _Atomic uint64_t next_due;
    _Atomic uint32_t waiting;
};

/* Queues the task for `due_ns`, and makes sure somebody will be awake then. False when
 * the queue is full, or the engine halts and the time was its sender's choice: it will not
 * come. */
bool timer_push(struct agent *a, const gmk_task_t *task, uint64_t due_ns);

/* Takes the first due task of normal priority, to be run at once: in a run queue another
 * worker, or a newer task, could overtake it. Due tasks of other priorities before it are
 * enqueued. False when there is none. */
bool timer_take_due(struct agent *a, gmk_task_t *out);

/* Enqueues the tasks that are due, at most TIMER_BATCH; what finds no room stays here.
 * Returns how many moved. For the ordered lane. */
uint32_t timer_poll(struct agent *a);

/* Halt begins: dead-letters what its sender queued for a later time; retries and yields in
 * progress stay. Later ones are refused. */
void timer_drop_waiting(struct agent *a);

/* A group was cancelled: dead-letters its tasks and those of the groups below it. */
void timer_drop_canceled(struct agent *a);

/* Takes the earliest task if it is due and a token (a subscription's retry). */
bool timer_take_due_token(struct agent *a, gmk_task_t *out);

/* Takes the earliest task whatever its time; false when there is none. For halt. */
bool timer_take(struct agent *a, gmk_task_t *out);

/* Due time of the earliest task, TIMER_NEVER when there is none. */
static inline uint64_t timer_next(const struct timer_queue *q) {
    /* Acquire pairs with the release in timer_publish(). */
    return atomic_load_explicit(&q->next_due, memory_order_acquire);
}
