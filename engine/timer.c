/* Timer queue: pushing, firing, and keeping next_due right. See timer.h. */
#include "engine/timer.h"

#include "engine/enqueue.h"
#include "engine/group.h"
#include "engine/run.h"
#include "engine/wake.h"

/* Under the lock: tells everybody the earliest time, and how many wait. */
static void timer_publish(struct timer_queue *q) {
    uint64_t due;
    if (!heap_peek_due(&q->heap, &due))
        due = TIMER_NEVER;
    /* seq_cst pairs with the loads in wake.c: a parking worker sees this time, or we see
     * the timekeeper or the parked worker. */
    atomic_store_explicit(&q->next_due, due, memory_order_seq_cst);
    atomic_store_explicit(&q->waiting, heap_count(&q->heap), memory_order_relaxed);
}

/* Was it the sender who chose the time? */
static bool is_sent_later(const gmk_task_t *task) {
    return (task->flags & GMK_TASK_TOKEN) == 0 && gmk_task_retries(task) == 0 &&
           task->yield_count == 0;
}

/* Under the lock, which timer_drop_waiting() takes after the state has changed: so what it
 * does not find is refused here. */
static bool is_too_late(struct engine *eng, const gmk_task_t *task) {
    return atomic_load_explicit(&eng->state, memory_order_relaxed) >= ENGINE_HALTING &&
           is_sent_later(task);
}

bool timer_push(struct agent *a, const gmk_task_t *task, uint64_t due_ns) {
    struct timer_queue *q = &a->eng->timers;
    if (due_ns == TIMER_NEVER)
        due_ns = TIMER_NEVER - 1;
    hal_lock(&q->lock);
    uint64_t earliest = timer_next(q);
    bool pushed = !is_too_late(a->eng, task) && heap_push(&q->heap, due_ns, q->order, task);
    if (pushed) {
        q->order++;
        timer_publish(q);
    }
    hal_unlock(&q->lock);
    if (!pushed)
        return false;
    agent_sched(a, SCHED_TIMERS, 1);
    if (due_ns < earliest && !a->eng->cfg.deterministic)
        wake_for_timer(a->eng);
    return true;
}

static bool peek_due(const struct timer_queue *q, uint64_t now, gmk_task_t *out) {
    uint64_t due;
    return heap_peek_due(&q->heap, &due) && due <= now && heap_peek(&q->heap, out);
}

bool timer_take_due(struct agent *a, gmk_task_t *out) {
    struct timer_queue *q = &a->eng->timers;
    uint64_t now = engine_now(a->eng);
    bool taken = false;

    hal_lock(&q->lock);
    for (uint32_t i = 0; !taken && i < TIMER_BATCH && peek_due(q, now, out); i++) {
        taken = gmk_task_priority(out) == 2 && !(out->flags & GMK_TASK_DETERMINISTIC);
        if (!taken && enqueue(a, out, ENQUEUE_NEW) != GMK_OK)
            break; /* no room: it stays here and is tried again */
        (void)heap_pop(&q->heap, out);
        trace_event(&a->trace, TRACE_TIMER, out->type);
    }
    timer_publish(q);
    hal_unlock(&q->lock);
    return taken;
}

uint32_t timer_poll(struct agent *a) {
    struct timer_queue *q = &a->eng->timers;
    uint64_t now = engine_now(a->eng);
    uint32_t moved = 0;
    gmk_task_t task;

    hal_lock(&q->lock);
    while (moved < TIMER_BATCH && peek_due(q, now, &task)) {
        if (enqueue(a, &task, ENQUEUE_NEW) != GMK_OK)
            break; /* no room: it stays here and is tried again */
        (void)heap_pop(&q->heap, &task);
        moved++;
        trace_event(&a->trace, TRACE_TIMER, task.type);
    }
    timer_publish(q);
    hal_unlock(&q->lock);
    return moved;
}

bool timer_take(struct agent *a, gmk_task_t *out) {
    struct timer_queue *q = &a->eng->timers;
    hal_lock(&q->lock);
    bool taken = heap_pop(&q->heap, out);
    timer_publish(q);
    hal_unlock(&q->lock);
    return taken;
}

static bool drop_sent_later(gmk_task_t *task, void *arg) {
    if (!is_sent_later(task))
        return false;
    task_dropped(arg, task, GMK_DROP_HALT);
    return true;
}

static bool drop_canceled(gmk_task_t *task, void *arg) {
    struct agent *a = arg;
    if (task->group == 0 || !group_is_canceled(a->eng, task->group))
        return false;
    task_dropped(a, task, GMK_DROP_CANCELED);
    return true;
}

static void drop_if(struct agent *a, bool (*drop)(gmk_task_t *task, void *arg)) {
    struct timer_queue *q = &a->eng->timers;
    hal_lock(&q->lock);
    heap_remove_if(&q->heap, drop, a);
    timer_publish(q);
    hal_unlock(&q->lock);
}

void timer_drop_waiting(struct agent *a) {
    drop_if(a, drop_sent_later);
}

void timer_drop_canceled(struct agent *a) {
    drop_if(a, drop_canceled);
}

bool timer_take_due_token(struct agent *a, gmk_task_t *out) {
    struct timer_queue *q = &a->eng->timers;
    uint64_t due;
    if (timer_next(q) > engine_now(a->eng))
        return false;
    hal_lock(&q->lock);
    bool taken = heap_peek_due(&q->heap, &due) && due <= engine_now(a->eng) &&
                 heap_peek(&q->heap, out) && (out->flags & GMK_TASK_TOKEN) &&
                 heap_pop(&q->heap, out);
    if (taken)
        timer_publish(q);
    hal_unlock(&q->lock);
    return taken;
}
