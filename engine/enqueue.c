/* Enqueue: choosing the queue, spilling, and announcing. See enqueue.h. */
#include "engine/enqueue.h"

#include "engine/chan.h"
#include "engine/lane.h"
#include "engine/token.h"
#include "engine/wake.h"

uint32_t enqueue_again_max(uint32_t n_workers, uint32_t subs_max) {
    return n_workers * (GMK_HELP_DEPTH_MAX + 2) + SUB_TOKENS_MAX * subs_max;
}

uint64_t enqueue_overflow_slots(uint32_t n_workers, uint32_t subs_max) {
    uint64_t half = enqueue_again_max(n_workers, subs_max) + AGENTS_MAX;
    uint64_t slots = 64;
    while (slots / 2 < half) /* at most 13 doublings: half < 2^18 */
        slots *= 2;
    return slots;
}

/* Must what comes again go first? `special`, which every gather() looks at anyway, counts the
 * bucket's tasks too, so nearly always it alone says no. */
static bool is_congested(const struct engine *eng) {
    return GMK_UNLIKELY(atomic_load_explicit(&eng->special, memory_order_relaxed) >=
                        eng->overflow_half) &&
           ring_count_mpmc(eng->overflow) >= eng->overflow_half;
}

/* Into a queue that engine.special counts: first the count, so that it is never too low. */
static bool push_special(struct engine *eng, struct ring_mpmc *ring, const gmk_task_t *task) {
    atomic_fetch_add_explicit(&eng->special, 1, memory_order_relaxed);
    if (ring_push_mpmc(ring, task))
        return true;
    atomic_fetch_sub_explicit(&eng->special, 1, memory_order_relaxed);
    return false;
}

static bool push_ready(struct engine *eng, const gmk_task_t *task) {
    unsigned priority = gmk_task_priority(task);
    return priority == 2 ? ring_push_mpmc(eng->ready[2], task)
                         : push_special(eng, eng->ready[priority], task);
}

static bool push_local(struct agent *a, const gmk_task_t *task, enum enqueue_how how) {
    if (how == ENQUEUE_AGAIN)
        return localq_push(a->local, task);
    /* Relaxed: only this worker fills the slot. */
    if (atomic_load_explicit(&a->local->newest_state, memory_order_relaxed) == LOCALQ_NEWEST_NONE)
        return localq_push_newest(a->local, task);
    return localq_space(a->local) > a->eng->local_reserve && localq_push(a->local, task);
}

void late_push(struct agent *a, const gmk_task_t *token) {
    struct engine *eng = a->eng;
    K_ASSERT(token->len == TOKEN_SUBSCRIPTION, "a client has nothing else that comes again");
    struct chan_sub *sub = (struct chan_sub *)(uintptr_t)token->meta0;
    /* Release, both: pair with the exchanges in late_take(). */
    if (atomic_fetch_add_explicit(&sub->late, 1, memory_order_acq_rel) != 0)
        return; /* it is in the list */
    atomic_fetch_add_explicit(&eng->special, 1, memory_order_relaxed);
    struct chan_sub *first = atomic_load_explicit(&eng->late, memory_order_relaxed);
    do {
        sub->late_next = first;
    } while (!atomic_compare_exchange_weak_explicit(&eng->late, &first, sub, memory_order_release,
                                                    memory_order_relaxed));
}

void late_take(struct agent *a) {
    struct chan_sub *sub = atomic_exchange_explicit(&a->eng->late, NULL, memory_order_acquire);
    while (sub != NULL) { /* at most subs_max */
        struct chan_sub *next = sub->late_next;
        atomic_fetch_sub_explicit(&a->eng->special, 1, memory_order_relaxed);
        uint32_t tokens = atomic_exchange_explicit(&sub->late, 0, memory_order_acq_rel);
        for (; tokens != 0; tokens--) { /* at most SUB_TOKENS_MAX */
            gmk_task_t token =
                token_make(TOKEN_SUBSCRIPTION, (uintptr_t)sub, sub->chan, GMK_PRIO_DEFAULT);
            (void)enqueue(a, &token, ENQUEUE_AGAIN);
        }
        sub = next;
    }
}

/* Into the overflow bucket, which has room (enqueue.h). Still its ring may say "full": a worker that
 * was stopped in the middle of taking a task keeps that cell, and after a whole lap it is the next
 * one (ring_mpmc.h). Bounded by how long that worker is stopped; it needs nothing of ours. But a
 * client may be a system call that does not let it go on: it leaves the token in a list. */
static void spill(struct agent *a, const gmk_task_t *task) {
    struct ring_mpmc *overflow = a->eng->overflow;
    while (!push_special(a->eng, overflow, task)) {
        K_ASSERT(!ring_full_mpmc(overflow),
                 "the overflow bucket holds everything that can come again");
        if (!a->is_worker) {
            late_push(a, task);
            return;
        }
        hal_yield_cpu();
    }
    agent_sched(a, SCHED_OVERFLOW, 1);
}

int enqueue(struct agent *a, const gmk_task_t *task, enum enqueue_how how) {
    struct engine *eng = a->eng;
    if (GMK_UNLIKELY(task->flags & GMK_TASK_DETERMINISTIC) || GMK_UNLIKELY(eng->cfg.deterministic))
        return lane_add(a, task, how);

    if (how == ENQUEUE_NEW && is_congested(eng))
        return GMK_EAGAIN;
    bool taken = a->is_worker && gmk_task_priority(task) == 2 && push_local(a, task, how);
    if (!taken)
        taken = push_ready(eng, task);
    if (GMK_UNLIKELY(!taken)) {
        if (how == ENQUEUE_NEW)
            return GMK_EAGAIN;
        spill(a, task);
    }
    wake_for_work(a);
    return GMK_OK;
}

bool enqueue_local(struct agent *a, const gmk_task_t *task) {
    if (is_congested(a->eng) || !push_local(a, task, ENQUEUE_NEW))
        return false;
    wake_for_work(a);
    return true;
}

uint32_t enqueue_n(struct agent *a, const gmk_task_t *tasks, uint32_t count) {
    struct engine *eng = a->eng;
    uint32_t taken = 0;
    while (taken < count) {
        const gmk_task_t *task = &tasks[taken];
        uint32_t run = 1;
        if (gmk_task_priority(task) == 2 && !(task->flags & GMK_TASK_DETERMINISTIC)) {
            while (taken + run < count && gmk_task_priority(task + run) == 2 &&
                   !(task[run].flags & GMK_TASK_DETERMINISTIC))
                run++;
            uint32_t got =
                is_congested(eng) ? 0 : (uint32_t)ring_push_n_mpmc(eng->ready[2], task, run);
            taken += got;
            if (got < run)
                break;
        } else {
            if (enqueue(a, task, ENQUEUE_NEW) != GMK_OK)
                break;
            taken++;
        }
    }
    if (taken != 0)
        wake_for_work(a);
    return taken;
}
