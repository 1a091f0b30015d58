/* Timer queue: pushing, firing, and keeping next_due right. See timer.h. */
#include "engine/timer.h"

#include "engine/enqueue.h"
#include "engine/run.h"
#include "engine/wake.h"

/* Under the lock: tells everybody the earliest time. */
static void timer_publish(struct timer_queue *q) {
    uint64_t due;
    if (!heap_peek_due(&q->heap, &due))
        due = TIMER_NEVER;
    /* seq_cst pairs with the loads in wake.c: a parking worker sees this time, or we see
     * the timekeeper or the parked worker. */
    atomic_store_explicit(&q->next_due, due, memory_order_seq_cst);
}

bool timer_push(struct agent *a, const gmk_task_t *task, uint64_t due_ns) {
    struct timer_queue *q = &a->eng->timers;
    if (due_ns == TIMER_NEVER)
        due_ns = TIMER_NEVER - 1;
    hal_lock(&q->lock);
    uint64_t earliest = timer_next(q);
    bool pushed = heap_push(&q->heap, due_ns, q->order, task);
    if (pushed) {
        q->order++;
        if (due_ns < earliest)
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

uint32_t timer_poll(struct agent *a) {
    struct timer_queue *q = &a->eng->timers;
    uint64_t now = engine_now(a->eng);
    uint32_t moved = 0;
    uint64_t due;
    gmk_task_t task;

    hal_lock(&q->lock);
    while (moved < TIMER_BATCH && heap_peek_due(&q->heap, &due) && due <= now &&
           heap_peek(&q->heap, &task)) {
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

/* Was it the sender who chose the time? */
static bool drop_sent_later(gmk_task_t *task, void *arg) {
    if ((task->flags & GMK_TASK_TOKEN) || gmk_task_retries(task) != 0 || task->yield_count != 0)
        return false;
    task_dropped(arg, task, GMK_DROP_HALT);
    return true;
}

void timer_drop_waiting(struct agent *a) {
    struct timer_queue *q = &a->eng->timers;
    hal_lock(&q->lock);
    heap_remove_if(&q->heap, drop_sent_later, a);
    timer_publish(q);
    hal_unlock(&q->lock);
}
