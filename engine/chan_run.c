/* Channel, delivery: tokens, cursors, and the handlers' outcomes. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/enqueue.h"
#include "engine/gather.h"
#include "engine/group.h"
#include "engine/lane.h"
#include "engine/token.h"
#include "engine/wake.h"

/* ---- Tokens ---------------------------------------------------------------------------- */

#define TOKEN_OF_TIMER 1u /* meta1: the only token that wakes SUB_WAITING */

static gmk_task_t token_for(const struct chan_sub *sub, unsigned priority) {
    return token_make(TOKEN_SUBSCRIPTION, (uintptr_t)sub, sub->chan, priority);
}

/* A token that was counted in the state already. */
static void token_out(struct agent *a, struct chan_sub *sub, unsigned priority) {
    gmk_task_t token = token_for(sub, priority);
    int status = enqueue(a, &token, ENQUEUE_AGAIN);
    K_ASSERT(status == GMK_OK, "there is room for the tokens of every subscription");
}

/* The same for a parallel subscription's, which may have many: only its last one has a
 * place reserved. */
static void token_out_parallel(struct agent *a, struct chan_sub *sub, unsigned priority) {
    gmk_task_t token = token_for(sub, priority);
    if (enqueue(a, &token, ENQUEUE_NEW) == GMK_OK)
        return;
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    while (SUB_TOKENS(state) > 1) /* bounded: others only take tokens away as well, or add few */
        if (atomic_compare_exchange_weak_explicit(&sub->state, &state, state - SUB_TOKEN,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
    token_out(a, sub, priority);
}

/* What a subscription in `state` becomes when a message of `priority` came. `state` itself:
 * nothing to do. */
static uint32_t scheduled(const struct engine *eng, uint32_t state, unsigned priority) {
    bool urgent = priority == 0;
    switch ((enum sub_kind)SUB_KIND(state)) {
    case SUB_PARALLEL: /* one token more, so that messages need not wait behind a long handler */
        return SUB_TOKENS(state) < (eng->cfg.deterministic ? 1 : eng->n_workers) ? state + SUB_TOKEN
                                                                                 : state;
    case SUB_IDLE:
        state += (uint32_t)SUB_QUEUED - SUB_IDLE;
        return SUB_TOKENS(state) == 0 || (urgent && SUB_TOKENS(state) < SUB_TOKENS_MAX)
                   ? (state | (urgent ? SUB_URGENT : 0)) + SUB_TOKEN
                   : state;
    case SUB_QUEUED: /* a more urgent token; the other will find nothing to do */
        return urgent && !(state & SUB_URGENT) && SUB_TOKENS(state) < SUB_TOKENS_MAX
                   ? (state | SUB_URGENT) + SUB_TOKEN
                   : state;
    case SUB_RUNNING:
        return state + ((uint32_t)SUB_AGAIN - SUB_RUNNING);
    case SUB_PULL_WAITS:
        return state - ((uint32_t)SUB_PULL_WAITS - SUB_PULLED);
    default:
        return state;
    }
}

/* Somebody pulled in vain; or, if the subscription has ended meanwhile, its next user is called for nothing. */
static void sub_wake(struct chan_sub *sub) {
    /* Acquire pairs with the release of the state in subscribe_locked(): it is complete. */
    gmk_waker_t *waker = atomic_load_explicit(&sub->waker, memory_order_acquire);
    if (GMK_LIKELY(waker != NULL))
        waker->wake(waker);
}

void sub_schedule(struct agent *a, struct chan_sub *sub, unsigned priority) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed); /* after C4 */
    uint32_t next;
    do {
        next = scheduled(a->eng, state, priority);
        if (next == state)
            return;
        /* Release/acquire: the state hands the subscription from worker to worker. */
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (SUB_KIND(next) == SUB_PULLED)
        sub_wake(sub);
    if (SUB_TOKENS(next) == SUB_TOKENS(state))
        return;
    if (SUB_KIND(next) == SUB_PARALLEL)
        token_out_parallel(a, sub, priority);
    else
        token_out(a, sub, priority);
}

/* ---- Reading the log --------------------------------------------------------------------- */

static bool is_published(const struct channel *ch, uint64_t at) {
    return atomic_load_explicit(&ch->cells[at & (ch->slots - 1)].half.turn, memory_order_acquire) ==
           (uint32_t)(at + 1);
}

/* Deterministic mode: what was sent in this tick is delivered in the next one. */
static bool is_of_next_tick(struct agent *a, const struct channel *ch, const struct chan_sub *sub) {
    if (GMK_LIKELY(!a->eng->cfg.deterministic))
        return false;
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_relaxed);
    return is_published(ch, at) &&
           atomic_load_explicit(&ch->tick, memory_order_relaxed) ==
               atomic_load_explicit(&a->eng->lane->tick, memory_order_relaxed) &&
           at >= atomic_load_explicit(&ch->tick_end, memory_order_relaxed) &&
           !atomic_load_explicit(&a->eng->dropping, memory_order_relaxed);
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

bool sub_claim(struct agent *a, struct channel *ch, struct chan_sub *sub, gmk_task_t *out) {
    /* First the count, then the claim: until the message has ended, `running` says so. */
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
            chan_bytes_leave(ch, out->len);
            return true;
        }
    }
    sub_unpin(a, sub);
    return false;
}

/* Replay: the log keeps its own reference, and what is delivered again is no task of the
 * group any more that it belonged to the first time. */
static void replay_taken(struct agent *a, struct chan_sub *sub, gmk_task_t *task) {
    if (task->payload != NULL && block_owns(&a->eng->arena.blocks, task->payload))
        (void)block_retain(&a->eng->arena.blocks, task->payload, 1);
    if (task->seq <= sub->fresh)
        task->group = 0;
    else
        sub->fresh = task->seq;
}

bool sub_take(struct agent *a, struct channel *ch, struct chan_sub *sub, gmk_task_t *out,
              uint64_t *lost) {
    *lost = 0;
    if (GMK_UNLIKELY(a->eng->cfg.deterministic) && !sub_is_pulled(sub) &&
        is_of_next_tick(a, ch, sub))
        return false;
    if (GMK_LIKELY(sub->exclusive)) {
        uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_relaxed);
        if (at >= atomic_load_explicit(&sub->end, memory_order_acquire) || !chan_read(ch, at, out))
            return false;
        out->sub = (uint8_t)(sub->index + 1);
        if (GMK_UNLIKELY(ch->options & GMK_CHAN_REPLAY))
            replay_taken(a, sub, out); /* before the store: an acknowledgement may follow it */
        atomic_store_explicit(&sub->cursor, at + 1, memory_order_release); /* C1 */
        chan_bytes_leave(ch, out->len);
    } else {
        if (!sub_claim(a, ch, sub, out))
            return false;
        *lost = out->seq - 1 - sub->expected;
        sub->expected = out->seq;
    }
    chan_made_room(a, ch);
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
    _Atomic uint64_t *counter = completed ? &sub->delivered : &sub->dropped;
    if (GMK_LIKELY(sub->exclusive)) {
        count_add(counter, 1); /* only the token's holder gets here */
        return;
    }
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    sub_unpin(a, sub);
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
static enum delivery deliver(struct agent *a, struct chan_sub *sub, gmk_task_t *task, uint64_t lost,
                             uint64_t *due) {
    struct engine *eng = a->eng;
    struct type_info *type = &eng->types[engine_type_index(eng, task->type)];
    struct run_target target;
    int status;

    chan_target(eng, task, &target);
    group_turn_to(a, task->group);
    enum gmk_drop_reason reason = run_obstacle(a, task);
    if (sub_is_cut(sub))
        reason = GMK_DROP_CLOSED;
    else if (atomic_load_explicit(&type->poisoned, memory_order_relaxed) && !chan_is_systems(task))
        reason = GMK_DROP_POISONED; /* but its letters arrive */
    if (GMK_UNLIKELY(reason != GMK_DROP_NONE)) {
        task_dropped(a, task, reason);
        return DELIVERED;
    }
    trace_event(&a->trace, TRACE_DELIVER, sub->chan);
    a->held++;
    atomic_store_explicit(&sub->holder, a->index + 1, memory_order_relaxed);
    enum run_outcome outcome = run_handler(a, task, &target, lost, &status);
    atomic_store_explicit(&sub->holder, 0, memory_order_relaxed);
    a->held--;
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

bool sub_is_done(const struct channel *ch, const struct chan_sub *sub) {
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
    if (at >= atomic_load_explicit(&sub->end, memory_order_acquire))
        return true;
    /* Closed: everything is delivered, and what may be replayed is acknowledged. */
    return chan_is_closed(ch) && at == chan_end(ch) &&
           (!(ch->options & GMK_CHAN_REPLAY) ||
            atomic_load_explicit(&sub->acked, memory_order_acquire) == at);
}

bool sub_has_next(const struct channel *ch, const struct chan_sub *sub) {
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
    return at < atomic_load_explicit(&sub->end, memory_order_acquire) && is_published(ch, at);
}

/* Is a sender about to write the next message? Looks at the log for some microseconds, as
 * long as that pays (sub.patience) and nobody else wants the worker: a stream that pauses
 * for less than a wake-up takes should not cost its sender one. */
static bool linger(struct agent *a, const struct channel *ch, struct chan_sub *sub) {
    if (sub->patience == 0 || a->depth != 0 || a->eng->cfg.deterministic || gather_visible(a))
        return false;
    for (uint32_t i = 0; i < CHAN_LINGER; i++) {
        if (sub_has_next(ch, sub)) {
            sub->patience = CHAN_PATIENCE;
            return true;
        }
        /* Not closer on its heels: a line that is read while it is written travels between
         * the two for every message, where some that wait together come in one go. */
        for (uint32_t k = 0; k < CHAN_PAUSE; k++)
            hal_relax();
    }
    sub->patience--;
    return false;
}

/* Changes the kind while others may change the tokens. */
static void sub_become(struct chan_sub *sub, enum sub_kind kind, uint32_t more_tokens) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    uint32_t next;
    do {
        next = (state & ~(SUB_TOKEN - 1)) + more_tokens * SUB_TOKEN + (uint32_t)kind;
        /* Release: what we wrote into the subscription, for the next holder. */
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

/* Nothing to read: gives the token up. True: somebody called since we looked, so go on. (A
 * sender that calls later finds it idle.) */
static bool sub_idle(struct chan_sub *sub) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    bool called;
    do {
        called = SUB_KIND(state) == SUB_AGAIN;
    } while (!atomic_compare_exchange_weak_explicit(
        &sub->state, &state, (state & ~(SUB_TOKEN - 1)) + (called ? SUB_RUNNING : SUB_IDLE),
        memory_order_acq_rel, memory_order_relaxed));
    if (called)
        hal_fence(); /* C4 pairs with announce() and chan_nudge(): the state, then what they wrote */
    return called;
}

/* How urgent is what comes next? `priority` is the token's that brought us here. */
static unsigned next_priority(const struct channel *ch, const struct chan_sub *sub,
                              unsigned priority) {
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_relaxed);
    if (at < atomic_load_explicit(&ch->urgent_end, memory_order_relaxed))
        return 0;
    return priority != 0 ? priority : GMK_PRIO_DEFAULT;
}

/* Somebody more urgent waits for this worker. */
static bool must_give_way(struct agent *a, unsigned priority) {
    return GMK_UNLIKELY(atomic_load_explicit(&a->eng->special, memory_order_relaxed) != 0) &&
           priority != 0 && !ring_empty_mpmc(a->eng->ready[0]);
}

/* A batch is over: does anybody else want this worker? */
static bool is_wanted(struct agent *a) {
    return a->depth != 0 || a->eng->cfg.deterministic || gather_visible(a);
}

/* Lets others run: a token goes to the end of the queue. */
static void sub_requeue(struct agent *a, struct channel *ch, struct chan_sub *sub,
                        unsigned priority) {
    priority = next_priority(ch, sub, priority);
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    uint32_t next;
    bool push;
    do {
        push = SUB_TOKENS(state) == 0 || (priority == 0 && SUB_TOKENS(state) < SUB_TOKENS_MAX);
        next = (state & ~(SUB_TOKEN - 1)) + (push ? SUB_TOKEN : 0) + SUB_QUEUED +
               (push && priority == 0 ? SUB_URGENT : 0);
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (push)
        token_out(a, sub, priority);
    a->quantum = 1; /* a batch is worth many tasks: the shared queues get a look now */
}

void sub_give_back(struct agent *a, struct chan_sub *sub) {
    sub_requeue(a, &a->eng->channels[sub->chan], sub, GMK_PRIO_DEFAULT);
}

/* The held message waits for its time, and everything behind it. */
static void sub_wait_for(struct agent *a, struct chan_sub *sub, unsigned priority, uint64_t due) {
    gmk_task_t token = token_for(sub, priority);
    token.meta1 = TOKEN_OF_TIMER;
    sub_become(sub, SUB_WAITING, 1);
    if (timer_push(a, &token, due))
        return;
    /* A full timed queue costs the delay, not the message. */
    int status = enqueue(a, &token, ENQUEUE_AGAIN);
    K_ASSERT(status == GMK_OK, "there is room for the tokens of every subscription");
}

/* Nothing to take. True: go on. */
static bool ran_dry(struct agent *a, struct channel *ch, struct chan_sub *sub, uint32_t batch,
                    unsigned priority) {
    if (batch >= CHAN_STREAM)
        sub->patience = CHAN_PATIENCE;
    if (sub_is_done(ch, sub) && sub_end_if_done(a, ch, sub, true))
        return false;
    if (is_of_next_tick(a, ch, sub)) {
        sub_requeue(a, ch, sub, priority);
        return false;
    }
    return linger(a, ch, sub) || sub_idle(sub);
}

static void run_ordered(struct agent *a, struct channel *ch, struct chan_sub *sub,
                        unsigned priority) {
    gmk_task_t task;
    uint64_t lost, due;

    for (uint32_t batch = 0;; batch++) {
        if (GMK_UNLIKELY(batch % CHAN_BATCH == CHAN_BATCH - 1 && is_wanted(a)) ||
            (batch != 0 && must_give_way(a, next_priority(ch, sub, priority)))) {
            sub_requeue(a, ch, sub, priority);
            return;
        }
        if (sub->holds) {
            sub->holds = false;
            task = sub->held;
            lost = 0;
        } else if (!sub_take(a, ch, sub, &task, &lost)) {
            if (!ran_dry(a, ch, sub, batch, priority))
                return;
            continue;
        }
        enum delivery end = deliver(a, sub, &task, lost, &due);
        if (end == HELD_NOW)
            sub_requeue(a, ch, sub, priority);
        else if (end == HELD_TIMED)
            sub_wait_for(a, sub, priority, due);
        if (end != DELIVERED)
            return;
    }
}

/* A token came to an ordered subscription. True: it is the caller's now. */
static bool take_token(struct chan_sub *sub, bool of_timer) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    uint32_t kind, next;
    bool mine;
    do {
        kind = SUB_KIND(state);
        mine = kind == SUB_QUEUED || kind == SUB_IDLE || (kind == SUB_WAITING && of_timer);
        /* One that comes too late, after a more urgent one, is only counted; but the holder
         * looks again, since the subscription may have waited for it to end. */
        if (mine || kind == SUB_RUNNING)
            kind = mine ? SUB_RUNNING : SUB_AGAIN;
        next = ((state - SUB_TOKEN) & ~(SUB_TOKEN - 1)) + kind +
               (kind == SUB_QUEUED ? state & SUB_URGENT : 0);
        /* Acquire: what the last holder wrote into the subscription. */
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return mine;
}

/* ---- A parallel subscription's turn --------------------------------------------------------------- */

/* The token found nothing and ends. */
static void retire_token(struct agent *a, struct channel *ch, struct chan_sub *sub,
                         unsigned priority) {
    /* As soon as the token is gone, another worker may end the subscription, and with it the
     * channel: the pin keeps both for our last look. */
    atomic_fetch_add_explicit(&sub->running, 1, memory_order_seq_cst);
    uint32_t before = atomic_fetch_sub_explicit(&sub->state, SUB_TOKEN, memory_order_seq_cst);
    hal_fence(); /* C4: the count, then the turn */
    bool more = sub_has_next(ch, sub);
    bool done = SUB_TOKENS(before) == 1 && sub_is_done(ch, sub);
    sub_unpin(a, sub);
    if (more)
        sub_schedule(a, sub, priority);
    else if (done)
        (void)sub_end_if_done(a, ch, sub, false);
}

static void run_parallel(struct agent *a, struct channel *ch, struct chan_sub *sub,
                         unsigned priority) {
    gmk_task_t task;
    for (uint32_t batch = 0; batch < CHAN_BATCH; batch++) {
        if (batch != 0 && must_give_way(a, next_priority(ch, sub, priority)))
            break;
        if (is_of_next_tick(a, ch, sub))
            break;
        if (!sub_claim(a, ch, sub, &task)) {
            retire_token(a, ch, sub, priority);
            return;
        }
        chan_made_room(a, ch);
        if (sub_is_cut(sub))
            task_dropped(a, &task, GMK_DROP_CLOSED);
        else
            run_task(a, &task);
    }
    token_out_parallel(a, sub, next_priority(ch, sub, priority));
}

void sub_turn(struct agent *a, struct chan_sub *sub, unsigned priority) {
    run_ordered(a, &a->eng->channels[sub->chan], sub, priority);
}

void sub_run(struct agent *a, struct chan_sub *sub, const gmk_task_t *token) {
    struct channel *ch = &a->eng->channels[sub->chan]; /* a token out: it cannot end */
    if (chan_is_parallel(sub))
        run_parallel(a, ch, sub, gmk_task_priority(token));
    else if (take_token(sub, token->meta1 == TOKEN_OF_TIMER))
        run_ordered(a, ch, sub, gmk_task_priority(token));
}
