/* Channel, delivery: tokens, cursors, and the handlers' outcomes. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/enqueue.h"
#include "engine/group.h"
#include "engine/token.h"
#include "engine/wake.h"

/* ---- Tokens ---------------------------------------------------------------------------- */

static gmk_task_t token_for(const struct chan_sub *sub, unsigned priority) {
    return token_make(TOKEN_SUBSCRIPTION, (uintptr_t)sub, sub->chan, priority);
}

/* A token that must find room: the subscription's first. */
static void token_out(struct agent *a, struct chan_sub *sub, unsigned priority) {
    gmk_task_t token = token_for(sub, priority);
    int status = enqueue(a, &token, ENQUEUE_AGAIN);
    K_ASSERT(status == GMK_OK, "there is room for one token per subscription");
}

/* Parallel: one token more, up to the number of workers, so that messages need not wait
 * behind a long handler. */
static void schedule_parallel(struct agent *a, struct chan_sub *sub, unsigned priority) {
    uint32_t out = atomic_load_explicit(&sub->tokens, memory_order_relaxed);
    do {
        if (out >= a->eng->n_workers)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&sub->tokens, &out, out + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (out == 0) {
        token_out(a, sub, priority);
        return;
    }
    gmk_task_t token = token_for(sub, priority);
    if (enqueue(a, &token, ENQUEUE_NEW) != GMK_OK)
        atomic_fetch_sub_explicit(&sub->tokens, 1, memory_order_relaxed);
}

void sub_schedule(struct agent *a, struct chan_sub *sub, unsigned priority) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed); /* after C4 */
    for (;;) {
        uint32_t next;
        if (SUB_STATE(state) == SUB_PARALLEL) {
            schedule_parallel(a, sub, priority);
            return;
        }
        if (state == SUB_IDLE)
            next = SUB_QUEUED_AT(priority);
        else if (state == SUB_RUNNING)
            next = SUB_AGAIN;
        else if (SUB_STATE(state) == SUB_QUEUED && priority == 0 && state != SUB_QUEUED_AT(0))
            next = SUB_QUEUED_AT(0); /* a more urgent token; the other will find nothing to do */
        else
            return;
        /* Release/acquire: the state hands the subscription from worker to worker. */
        if (atomic_compare_exchange_weak_explicit(&sub->state, &state, next, memory_order_acq_rel,
                                                  memory_order_relaxed))
            break;
    }
    if (state == SUB_IDLE) {
        token_out(a, sub, priority);
    } else if (state != SUB_RUNNING) {
        gmk_task_t token = token_for(sub, 0);
        (void)enqueue(a, &token, ENQUEUE_NEW); /* refused: the first token is still out */
    }
}

/* ---- Reading the log --------------------------------------------------------------------- */

static bool is_published(const struct channel *ch, uint64_t at) {
    return atomic_load_explicit(&ch->cells[at & (ch->slots - 1)].half.turn,
                                memory_order_acquire) == (uint32_t)(at + 1);
}

bool chan_read(const struct channel *ch, uint64_t at, gmk_task_t *out) {
    const union chan_cell *cell = &ch->cells[at & (ch->slots - 1)];
    uint64_t words[CHAN_CELL_WORDS];
    /* C3 pairs with C2 in publish(). */
    if (!is_published(ch, at))
        return false;
    for (size_t i = 0; i < CHAN_CELL_WORDS; i++)
        words[i] = atomic_load_explicit(&cell->words[i], memory_order_relaxed);
    memcpy(out, words, sizeof(*out));
    return true;
}

bool sub_claim(struct channel *ch, struct chan_sub *sub, gmk_task_t *out) {
    /* First the count, then the claim: the subscription cannot end under us. */
    atomic_fetch_add_explicit(&sub->running, 1, memory_order_seq_cst);
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
    for (;;) {
        if (at >= atomic_load_explicit(&sub->end, memory_order_acquire) || !chan_read(ch, at, out))
            break;
        /* Copied first, claimed now: who wins had a copy that nobody could overwrite, since
         * the cell is free for writing only after this. Release: C1. */
        if (atomic_compare_exchange_weak_explicit(&sub->cursor, &at, at + 1, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            out->sub = (uint8_t)(sub->index + 1);
            return true;
        }
    }
    atomic_fetch_sub_explicit(&sub->running, 1, memory_order_release);
    return false;
}

/* Tells senders how far this subscription has read. */
static void cursor_publish(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    if (sub->unpublished == 0)
        return;
    sub->unpublished = 0;
    atomic_store_explicit(&sub->cursor, sub->at, memory_order_seq_cst); /* C1 */
    if (GMK_UNLIKELY(atomic_load_explicit(&ch->waiting, memory_order_seq_cst) != 0))
        wake_waiting(a->eng);
}

/* The next message of an ordered subscription, and how many were lost before it. */
static bool take_ordered(struct agent *a, struct channel *ch, struct chan_sub *sub,
                         gmk_task_t *out, uint64_t *lost) {
    if (chan_is_exclusive(ch, sub)) {
        if (sub->at >= atomic_load_explicit(&sub->end, memory_order_acquire) ||
            !chan_read(ch, sub->at, out))
            return false;
        sub->at++;
        out->sub = (uint8_t)(sub->index + 1);
        *lost = 0;
        if (++sub->unpublished >= CHAN_PUBLISH || sub->unpublished * 4 > ch->slots)
            cursor_publish(a, ch, sub);
    } else {
        if (!sub_claim(ch, sub, out))
            return false;
        *lost = out->seq - 1 - sub->expected;
        sub->expected = out->seq;
    }
    if (GMK_UNLIKELY(ch->options & GMK_CHAN_REPLAY)) {
        /* Release pairs with chan_ack(). The log keeps its own reference. */
        atomic_store_explicit(&sub->delivered_to, sub->at, memory_order_release);
        if (out->payload != NULL && block_owns(&a->eng->arena.blocks, out->payload))
            (void)block_retain(&a->eng->arena.blocks, out->payload, 1);
    }
    return true;
}

/* ---- One message ---------------------------------------------------------------------------- */

void chan_target(struct engine *eng, const gmk_task_t *task, struct run_target *target) {
    struct channel *ch = &eng->channels[task->channel];
    struct chan_sub *sub = atomic_load_explicit(&ch->subs[task->sub - 1], memory_order_acquire);
    void *state = sub->of_module ? eng->modules.entries[sub->module].state : sub->user;
    *target = (struct run_target){sub->fn, state, sub->module, sub->trace_name};
}

void chan_delivery_ended(struct agent *a, const gmk_task_t *task, bool completed) {
    struct channel *ch = &a->eng->channels[task->channel];
    struct chan_sub *sub = atomic_load_explicit(&ch->subs[task->sub - 1], memory_order_acquire);
    atomic_fetch_add_explicit(completed ? &sub->delivered : &sub->dropped, 1,
                              memory_order_relaxed);
    if (chan_is_exclusive(ch, sub))
        return;
    /* Release pairs with the acquire in sub_end_if_done(). */
    if (atomic_fetch_sub_explicit(&sub->running, 1, memory_order_acq_rel) == 1 &&
        chan_is_parallel(sub))
        (void)sub_end_if_done(a, ch, sub);
}

bool chan_on_error(struct agent *a, gmk_task_t *task) {
    struct run_target target;
    int status;
    chan_target(a->eng, task, &target);
    struct chan_sub *sub = atomic_load_explicit(
        &a->eng->channels[task->channel].subs[task->sub - 1], memory_order_acquire);
    if (sub->on_error == NULL)
        return false;
    target.fn = sub->on_error;
    /* GMK_OK: dealt with. Anything else: the failure goes on to sys.error. */
    return run_handler(a, task, &target, 0, &status) == RUN_COMPLETED;
}

enum delivery {
    DELIVERED, /* ended, one way or another */
    HELD_NOW,  /* comes again at once */
    HELD_TIMED /* comes again at *due */
};

/* Handles one message of an ordered subscription. */
static enum delivery deliver(struct agent *a, struct chan_sub *sub, gmk_task_t *task,
                             uint64_t lost, uint64_t *due) {
    struct engine *eng = a->eng;
    struct type_info *type = &eng->types[engine_type_index(eng, task->type)];
    struct run_target target;
    int status;

    chan_target(eng, task, &target);
    group_turn_to(a, task->group);
    enum gmk_drop_reason reason = run_obstacle(a, task);
    if (atomic_load_explicit(&sub->end, memory_order_acquire) != UINT64_MAX)
        reason = GMK_DROP_CLOSED;
    else if (atomic_load_explicit(&type->poisoned, memory_order_relaxed))
        reason = GMK_DROP_POISONED;
    if (GMK_UNLIKELY(reason != GMK_DROP_NONE)) {
        task_dropped(a, task, reason);
        return DELIVERED;
    }
    enum run_outcome outcome = run_handler(a, task, &target, lost, &status);
    if (GMK_LIKELY(outcome == RUN_COMPLETED)) {
        task_completed(a, task);
        return DELIVERED;
    }
    if (outcome == RUN_FAILED) {
        if (chan_on_error(a, task))
            task_completed(a, task);
        else
            task_failed(a, task, status);
        return DELIVERED;
    }
    reason = run_prepare_again(a, task, outcome, due);
    if (reason != GMK_DROP_NONE) {
        task_dropped(a, task, reason);
        return DELIVERED;
    }
    sub->held = *task;
    sub->holds = true;
    return *due != 0 ? HELD_TIMED : HELD_NOW;
}

/* ---- An ordered subscription's turn ------------------------------------------------------------ */

static bool sub_is_done(const struct channel *ch, const struct chan_sub *sub) {
    uint64_t at = chan_is_exclusive(ch, sub)
                      ? sub->at
                      : atomic_load_explicit(&sub->cursor, memory_order_acquire);
    return !sub->holds && (at >= atomic_load_explicit(&sub->end, memory_order_acquire) ||
                           (chan_is_closed(ch) && at == chan_end(ch)));
}

static bool has_next(struct channel *ch, struct chan_sub *sub) {
    uint64_t at = chan_is_exclusive(ch, sub)
                      ? sub->at
                      : atomic_load_explicit(&sub->cursor, memory_order_acquire);
    return sub->holds || sub_is_done(ch, sub) ||
           (at < atomic_load_explicit(&sub->end, memory_order_acquire) && is_published(ch, at));
}

/* Nothing to read: give the token up. True: something came meanwhile, go on. */
static bool sub_idle(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    cursor_publish(a, ch, sub);
    for (uint32_t i = 0; i < CHAN_LINGER; i++) { /* a busy sender is about to write the next */
        if (has_next(ch, sub))
            return true;
        hal_relax();
    }
    uint32_t state = SUB_RUNNING;
    if (!atomic_compare_exchange_strong_explicit(&sub->state, &state, SUB_IDLE,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        /* SUB_AGAIN: a sender called. From here on we answer to the next call. */
        atomic_store_explicit(&sub->state, SUB_RUNNING, memory_order_release);
        hal_fence(); /* C4: the state, then the turn */
        return true;
    }
    hal_fence(); /* C4 pairs with announce(): the state, then the turn */
    /* Another worker may hold the token by now: look only at what senders write. */
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
    bool more = is_published(ch, at) || chan_is_closed(ch) ||
                atomic_load_explicit(&sub->end, memory_order_acquire) != UINT64_MAX;
    state = SUB_IDLE;
    return more && atomic_compare_exchange_strong_explicit(&sub->state, &state, SUB_RUNNING,
                                                           memory_order_acq_rel,
                                                           memory_order_relaxed);
}

/* Somebody more urgent waits for this worker. */
static bool must_give_way(struct agent *a, unsigned priority) {
    return priority != 0 &&
           GMK_UNLIKELY(atomic_load_explicit(&a->eng->special, memory_order_relaxed) != 0) &&
           !ring_empty_mpmc(a->eng->ready[0]);
}

/* Lets others run: the token goes to the end of the queue. */
static void sub_requeue(struct agent *a, struct channel *ch, struct chan_sub *sub,
                        unsigned priority) {
    cursor_publish(a, ch, sub);
    atomic_store_explicit(&sub->state, SUB_QUEUED_AT(priority), memory_order_release);
    token_out(a, sub, priority);
}

void sub_give_back(struct agent *a, struct chan_sub *sub) {
    sub_requeue(a, &a->eng->channels[sub->chan], sub, GMK_PRIO_DEFAULT);
}

/* The held message waits for its time, and everything behind it. */
static void sub_wait_for(struct agent *a, struct channel *ch, struct chan_sub *sub,
                         unsigned priority, uint64_t due) {
    gmk_task_t token = token_for(sub, priority);
    token.meta1 = 1; /* the only token that wakes SUB_WAITING */
    cursor_publish(a, ch, sub);
    atomic_store_explicit(&sub->state, SUB_WAITING, memory_order_release);
    if (timer_push(a, &token, due))
        return;
    atomic_store_explicit(&sub->state, SUB_QUEUED_AT(priority), memory_order_release);
    token_out(a, sub, priority); /* a full timed queue costs the delay, not the message */
}

static void run_ordered(struct agent *a, struct channel *ch, struct chan_sub *sub,
                        unsigned priority) {
    gmk_task_t task;
    uint64_t lost, due;

    for (uint32_t batch = 0;; batch++) {
        if (batch >= CHAN_BATCH || (batch != 0 && must_give_way(a, priority))) {
            sub_requeue(a, ch, sub, priority);
            return;
        }
        lost = 0;
        if (sub->holds) {
            sub->holds = false;
            task = sub->held;
        } else if (!take_ordered(a, ch, sub, &task, &lost)) {
            if (sub_is_done(ch, sub)) {
                cursor_publish(a, ch, sub);
                if (sub_end_if_done(a, ch, sub))
                    return;
            }
            if (!sub_idle(a, ch, sub))
                return;
            continue;
        }
        enum delivery end = deliver(a, sub, &task, lost, &due);
        if (end == HELD_NOW)
            sub_requeue(a, ch, sub, priority);
        else if (end == HELD_TIMED)
            sub_wait_for(a, ch, sub, priority, due);
        if (end != DELIVERED)
            return;
    }
}

/* ---- A parallel subscription's turn --------------------------------------------------------------- */

static void run_parallel(struct agent *a, struct channel *ch, struct chan_sub *sub,
                         unsigned priority) {
    gmk_task_t task;
    for (uint32_t batch = 0; batch < CHAN_BATCH && !must_give_way(a, priority); batch++) {
        if (!sub_claim(ch, sub, &task)) {
            /* Acquire/release and C4: the count, then the turn; see sub_schedule(). */
            atomic_fetch_sub_explicit(&sub->tokens, 1, memory_order_seq_cst);
            hal_fence();
            uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
            if (at < atomic_load_explicit(&sub->end, memory_order_acquire) && is_published(ch, at))
                schedule_parallel(a, sub, priority);
            else
                (void)sub_end_if_done(a, ch, sub);
            return;
        }
        if (GMK_UNLIKELY(atomic_load_explicit(&ch->waiting, memory_order_seq_cst) != 0))
            wake_waiting(a->eng);
        if (atomic_load_explicit(&sub->end, memory_order_acquire) != UINT64_MAX)
            task_dropped(a, &task, GMK_DROP_CLOSED);
        else
            run_task(a, &task);
    }
    gmk_task_t token = token_for(sub, priority);
    if (enqueue(a, &token, ENQUEUE_NEW) == GMK_OK)
        return;
    uint32_t out = atomic_load_explicit(&sub->tokens, memory_order_relaxed);
    while (out > 1) { /* at most n_workers steps: others leave as well */
        if (atomic_compare_exchange_weak_explicit(&sub->tokens, &out, out - 1,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
    }
    token_out(a, sub, priority);
}

void sub_run(struct agent *a, struct chan_sub *sub, const gmk_task_t *token) {
    struct channel *ch = &a->eng->channels[sub->chan];
    unsigned priority = gmk_task_priority(token);
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);

    if (SUB_STATE(state) == SUB_PARALLEL) {
        run_parallel(a, ch, sub, priority);
        return;
    }
    do {
        bool mine = SUB_STATE(state) == SUB_QUEUED || (state == SUB_WAITING && token->meta1 == 1);
        if (!mine)
            return; /* a more urgent token was faster */
        /* Acquire: what the last holder wrote into the subscription. */
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, SUB_RUNNING,
                                                    memory_order_acq_rel, memory_order_relaxed));
    run_ordered(a, ch, sub, priority);
}
