/* Run: one task through its handler, and what becomes of it.
 *
 * Every task that was taken in ends exactly once: task_completed(), task_failed() or
 * task_dropped(). Until then it may come again (yield, retry). Each end counts, gives the
 * group's credit back, and passes the payload's reference on (to sys.error, sys.dropped)
 * or releases it. */
#pragma once

#include "engine/engine.h"

/* What a handler run asks for. */
enum run_outcome {
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_AGAIN, /* yield: queue it again, now or at ctx->resume_ns */
    RUN_RETRY, /* queue it again after the backoff */
};

/* What runs a task: its type's handler, or a subscription's. */
struct run_target {
    gmk_handler_fn fn;
    void *state;
    uint16_t module;
    uint16_t trace_name;
};

/* Gathered task -> handler -> its end or its next round. `task` is the caller's copy and
 * is changed. Workers, and whoever steps the lane. */
void run_task(struct agent *a, gmk_task_t *task);

/* Runs the handler only: context, trace, histograms. *status gets what it returned. */
enum run_outcome run_handler(struct agent *a, gmk_task_t *task, const struct run_target *target,
                             uint64_t lost, int *status);

/* Does something forbid that the task starts? Its drop reason, or GMK_DROP_NONE. */
enum gmk_drop_reason run_obstacle(struct agent *a, const gmk_task_t *task);

/* Makes the next round of a task ready: counts it and sets *due_ns (0: now). Or says why
 * there is none: the limit of yields or retries. */
enum gmk_drop_reason run_prepare_again(struct agent *a, gmk_task_t *task, enum run_outcome outcome,
                                       uint64_t *due_ns);

/* Queues a task that was inside already, now or at due_ns. Never fails. */
void run_queue_again(struct agent *a, const gmk_task_t *task, uint64_t due_ns);

void task_completed(struct agent *a, gmk_task_t *task);
void task_failed(struct agent *a, gmk_task_t *task, int status);
void task_dropped(struct agent *a, gmk_task_t *task, enum gmk_drop_reason reason);

/* A message was pulled: it has ended well, and its payload is the caller's. */
void task_pulled(struct agent *a, gmk_task_t *task);

/* Drops one reference of a payload, if it is the engine's to drop. */
void payload_release(struct agent *a, void *payload);
