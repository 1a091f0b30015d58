/* Channel subscriptions: coming, going, acknowledging and replaying. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/enqueue.h"
#include "engine/tenant.h"
#include "engine/wake.h"

struct chan_sub *sub_at(struct channel *ch, uint32_t index) {
    uint32_t live = atomic_load_explicit(&ch->live, memory_order_acquire);
    return index < GMK_SUBS_MAX && (live >> index & 1u)
               ? atomic_load_explicit(&ch->subs[index], memory_order_acquire)
               : NULL;
}

/* Lets every subscription look at what changed (closed, ended). No lock held. */
void chan_nudge(struct agent *a, struct channel *ch) {
    hal_fence(); /* C4 pairs with the fences in chan_run.c: what changed, then the states */
    CHAN_EACH_SUB(ch, sub) {
        sub_schedule(a, sub, GMK_PRIO_DEFAULT);
    }
    wake_waiting(a->eng);
    chan_tell_room(ch);
}

/* ---- Coming ---------------------------------------------------------------------------- */

/* A structure from the engine's pool; they are never freed, only given back. */
static struct chan_sub *sub_find_free(struct engine *eng) {
    for (uint32_t i = 0; i < eng->subs_max; i++)
        if (atomic_load_explicit(&eng->subs[i].state, memory_order_relaxed) == SUB_FREE)
            return &eng->subs[i];
    return NULL;
}

static void sub_fill(struct engine *eng, struct chan_sub *sub, struct channel *ch, uint32_t index,
                     const struct sub_request *request) {
    atomic_store_explicit(&sub->delivered, 0, memory_order_relaxed);
    atomic_store_explicit(&sub->dropped, 0, memory_order_relaxed);
    atomic_store_explicit(&sub->end, UINT64_MAX, memory_order_relaxed);
    atomic_fetch_and_explicit(&sub->running, ~SUB_END_WAITS, memory_order_relaxed);
    sub->holds = false;
    sub->patience = 0;
    sub->fn = request->fn;
    sub->on_error = request->on_error;
    atomic_store_explicit(&sub->waker, request->waker, memory_order_relaxed);
    sub->user = request->user;
    sub->module = request->module;
    sub->of_module = request->of_module;
    sub->trace_name = (uint16_t)trace_intern(
        &eng->trace, strcmp(ch->name, ch->label) == 0 ? ch->label : "channel");
    sub->options = (uint8_t)request->options;
    sub->exclusive = !(ch->options & GMK_CHAN_LOSSY) && !(request->options & GMK_SUB_PARALLEL);
    sub->plain = sub->exclusive && !(ch->options & GMK_CHAN_REPLAY);
    sub->chan = ch->id;
    sub->index = (uint8_t)index;
}

static void sub_start_at(struct chan_sub *sub, uint64_t start) {
    sub->start = start;
    sub->expected = start;
    sub->fresh = start;
    atomic_store_explicit(&sub->cursor, start, memory_order_relaxed);
    atomic_store_explicit(&sub->acked, start, memory_order_relaxed);
}

/* From one instant on every claim counts this subscription: the swap of `tail`. */
static int join(struct channel *ch, struct chan_sub *sub) {
    uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
    atomic_store_explicit(&ch->subs[sub->index], sub, memory_order_release);
    do {
        if (tail & CHAN_CLOSED)
            return GMK_ECLOSED;
        sub_start_at(sub, chan_pos(tail));
        /* The bit first: a sender that counts us must also find us. */
        atomic_fetch_or_explicit(&ch->live, 1u << sub->index, memory_order_release);
    } while (!atomic_compare_exchange_weak_explicit(&ch->tail, &tail, tail + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    return GMK_OK;
}

static int subscribe_locked(struct agent *a, struct channel *ch, const struct sub_request *request,
                            uint32_t *out_sub) {
    uint32_t live = atomic_load_explicit(&ch->live, memory_order_relaxed);
    bool taken = chan_sub_count(atomic_load_explicit(&ch->tail, memory_order_relaxed)) != 0;
    if (taken && !(ch->options & GMK_CHAN_FANOUT))
        return GMK_EEXIST;
    if (~live == 0)
        return GMK_ELIMIT;
    struct chan_sub *sub = sub_find_free(a->eng);
    if (sub == NULL)
        return GMK_ELIMIT;
    uint32_t index = (uint32_t)__builtin_ctz(~live);
    sub_fill(a->eng, sub, ch, index, request);
    int status = join(ch, sub);
    if (status != GMK_OK) {
        atomic_fetch_and_explicit(&ch->live, ~(1u << index), memory_order_release);
        return status;
    }
    /* Only now: a token would look at a cursor that does not stand yet. So senders may have
     * passed us by since the swap; we call for them. */
    uint32_t kind = sub_is_pulled(sub)      ? SUB_PULL_WAITS
                    : chan_is_parallel(sub) ? SUB_PARALLEL
                                            : SUB_IDLE;
    atomic_store_explicit(&sub->state, kind, memory_order_seq_cst);
    hal_fence(); /* C4 */
    if (!sub_is_pulled(sub) || sub_has_next(ch, sub))
        sub_schedule(a, sub, GMK_PRIO_DEFAULT);
    *out_sub = index;
    return GMK_OK;
}

int chan_subscribe(struct agent *a, uint32_t id, const struct sub_request *request,
                   uint32_t *out_sub) {
    uint32_t index;
    struct engine *eng = a->eng;
    if ((request->fn == NULL) == (request->waker == NULL) ||
        (request->options & ~(uint32_t)GMK_SUB_PARALLEL))
        return GMK_EINVAL;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = chan_at(eng, id);
    if (request->shape != 0 && chan_shape(eng, id) != request->shape)
        ch = NULL;
    int status = ch == NULL ? GMK_ENOENT : GMK_OK;
    if (ch != NULL && (ch->options & GMK_CHAN_REPLAY) && (request->options & GMK_SUB_PARALLEL))
        status = GMK_EINVAL; /* acknowledging "up to" needs an order */
    if (status == GMK_OK)
        status = subscribe_locked(a, ch, request, &index);
    hal_short_unlock(&eng->channel_lock);
    if (status == GMK_OK && out_sub != NULL)
        *out_sub = index;
    if (status == GMK_OK) {
        hal_fence(); /* pairs with the bits that waiters set: a sender may wait for us */
        wake_waiting(eng);
        chan_tell_room(ch);
    }
    return status;
}

/* ---- Going ------------------------------------------------------------------------------ */

int chan_unsubscribe(struct agent *a, uint32_t id, uint32_t index) {
    struct engine *eng = a->eng;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = chan_at(eng, id);
    struct chan_sub *sub = ch != NULL ? sub_at(ch, index) : NULL;
    bool ours = sub != NULL && atomic_load_explicit(&sub->end, memory_order_relaxed) == UINT64_MAX;
    if (ours) {
        uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
        do {
            /* Before the swap, so that nobody takes a message that no longer counts us. If
             * the swap fails the end was too near for a moment; who stopped there is called
             * again below, and ends only under the lock that we hold. */
            atomic_store_explicit(&sub->end, chan_pos(tail), memory_order_seq_cst);
        } while (!atomic_compare_exchange_weak_explicit(
            &ch->tail, &tail, tail - 1, memory_order_acq_rel, memory_order_acquire));
    }
    hal_short_unlock(&eng->channel_lock);
    if (!ours)
        return GMK_ENOENT;
    sub_to_workers(a, sub); /* if it is pulled: they drop what nobody will take any more */
    chan_nudge(a, ch);
    return GMK_OK;
}

/* Replay: the log's own references of messages that nobody acknowledged. */
static void release_unacked(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    gmk_task_t task;
    uint64_t end = atomic_load_explicit(&sub->end, memory_order_relaxed);
    end = end < chan_end(ch) ? end : chan_end(ch);
    for (uint64_t at = atomic_load_explicit(&sub->acked, memory_order_acquire);
         (ch->options & GMK_CHAN_REPLAY) && at < end; at++) /* at most ch->slots */
        if (chan_read(ch, at, &task))
            payload_release(a, task.payload);
}

bool sub_pin(struct agent *a, const struct channel *ch, struct chan_sub *sub) {
    /* C6 pairs with sub_stop(): it sees the pin, or we see that it is ending. */
    atomic_fetch_add_explicit(&sub->running, 1, memory_order_seq_cst);
    uint32_t kind = SUB_KIND(atomic_load_explicit(&sub->state, memory_order_seq_cst));
    if (kind != SUB_FREE && kind != SUB_ENDING && sub->chan == ch->id)
        return true;
    sub_unpin(a, sub); /* whoever uses it now may have seen the pin */
    return false;
}

void sub_unpin(struct agent *a, struct chan_sub *sub) {
    const uint32_t last = SUB_END_WAITS | 1u;
    uint32_t pins = atomic_load_explicit(&sub->running, memory_order_relaxed);
    /* seq_cst: C6; and release: what we did to the subscription. The last pin and the call
     * it owes go in one step: from then on the structure may serve another subscription. */
    while (!atomic_compare_exchange_weak_explicit(&sub->running, &pins, pins == last ? 0 : pins - 1,
                                                  memory_order_seq_cst, memory_order_relaxed))
        continue;
    if (GMK_UNLIKELY(pins == last))
        sub_schedule(a, sub, GMK_PRIO_DEFAULT);
}

/* Says that the subscription ends, unless it may not: a token is out, a message runs, or a
 * sender holds it. True: nobody will look at it any more. Who is not the holder may come too
 * late, when the structure serves another subscription: only a parallel one is his to end. */
static bool sub_stop(struct chan_sub *sub, const struct channel *ch, bool holder) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_seq_cst);
    do {
        uint32_t kind = SUB_KIND(state);
        bool may = holder ? kind == SUB_RUNNING || kind == SUB_AGAIN : kind == SUB_PARALLEL;
        if (!may || SUB_TOKENS(state) != 0 || sub->chan != ch->id || !sub_is_done(ch, sub))
            return false;
        /* C6 pairs with sub_pin() and sub_unpin(): the state, then the count. */
        if (!atomic_compare_exchange_strong_explicit(&sub->state, &state, SUB_ENDING,
                                                     memory_order_seq_cst, memory_order_seq_cst))
            continue;
        uint32_t pins =
            atomic_fetch_or_explicit(&sub->running, SUB_END_WAITS, memory_order_seq_cst);
        if ((pins & ~SUB_END_WAITS) == 0)
            return true;
        state = holder ? SUB_RUNNING : SUB_PARALLEL;
        atomic_store_explicit(&sub->state, state, memory_order_seq_cst);
        /* The last one to unpin may have called while we said ENDING: look again. */
    } while ((atomic_load_explicit(&sub->running, memory_order_seq_cst) & ~SUB_END_WAITS) == 0);
    return false;
}

bool sub_end_if_done(struct agent *a, struct channel *ch, struct chan_sub *sub, bool holder) {
    struct engine *eng = a->eng;
    hal_short_lock(&eng->channel_lock);
    bool done = sub_stop(sub, ch, holder);
    if (done) {
        release_unacked(a, ch, sub);
        ch->delivered_before += atomic_load_explicit(&sub->delivered, memory_order_relaxed);
        ch->dropped_before += atomic_load_explicit(&sub->dropped, memory_order_relaxed);
        atomic_fetch_and_explicit(&ch->live, ~(1u << sub->index), memory_order_release);
        atomic_store_explicit(&sub->state, SUB_FREE, memory_order_release);
        chan_made_room(a, ch); /* senders need not wait for this one any more */
        chan_release_if_done(eng, ch);
    }
    hal_short_unlock(&eng->channel_lock);
    return done;
}

/* ---- Acknowledging and replaying ------------------------------------------------------------ */

/* The live subscription of a replay channel, or NULL and why. */
static struct chan_sub *replay_sub(struct engine *eng, uint32_t id, uint32_t index, int *why) {
    struct channel *ch = chan_at(eng, id);
    struct chan_sub *sub = ch != NULL ? sub_at(ch, index) : NULL;
    *why = sub == NULL ? GMK_ENOENT : GMK_OK;
    if (sub != NULL && !(ch->options & GMK_CHAN_REPLAY)) {
        *why = GMK_EINVAL;
        return NULL;
    }
    return sub;
}

int chan_ack(struct agent *a, uint32_t id, uint32_t index, uint64_t seq) {
    struct engine *eng = a->eng;
    int status;
    gmk_task_t task;
    hal_short_lock(&eng->channel_lock);
    struct chan_sub *sub = replay_sub(eng, id, index, &status);
    struct channel *ch = &eng->channels[id < GMK_CHANNELS_MAX ? id : 0];
    /* Delivered: handled or being handled. Acquire pairs with sub_take(): the delivery
     * has its own reference. */
    if (sub != NULL && seq > atomic_load_explicit(&sub->cursor, memory_order_acquire))
        status = GMK_ERANGE;
    uint64_t at = status == GMK_OK ? atomic_load_explicit(&sub->acked, memory_order_relaxed) : 0;
    for (; status == GMK_OK && at < seq; at++) { /* at most ch->slots */
        if (chan_read(ch, at, &task))
            payload_release(a, task.payload);
        atomic_store_explicit(&sub->acked, at + 1, memory_order_release); /* C1 */
    }
    if (status == GMK_OK)
        chan_made_room(a, ch); /* the lock keeps the channel */
    hal_short_unlock(&eng->channel_lock);
    if (status == GMK_OK && chan_is_closed(ch))
        chan_nudge(a, ch); /* it may have waited for this to end */
    return status;
}

/* Takes an ordered subscription from where it rests. False: its handler runs, or has given
 * way in the middle of a message. */
bool sub_seize(struct chan_sub *sub) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_acquire);
    while (SUB_KIND(state) == SUB_IDLE || SUB_KIND(state) == SUB_QUEUED)
        if (atomic_compare_exchange_weak_explicit(&sub->state, &state,
                                                  (state & ~(SUB_TOKEN - 1)) + SUB_RUNNING,
                                                  memory_order_acq_rel, memory_order_acquire))
            return true;
    return false;
}

/* Sets the cursor back. Every message will end once more, so it begins once more. The
 * caller holds the subscription. */
static int rewind_to(struct agent *a, struct channel *ch, struct chan_sub *sub, uint64_t seq) {
    gmk_task_t task;
    uint64_t end = atomic_load_explicit(&sub->cursor, memory_order_relaxed);
    if (seq - 1 < atomic_load_explicit(&sub->acked, memory_order_relaxed) || seq - 1 > end)
        return GMK_ERANGE;
    for (uint64_t at = seq - 1; at < end; at++) { /* at most ch->slots */
        if (chan_read(ch, at, &task)) {
            agent_count(a, &task, COUNT_EMITTED, 1);
            tenant_join(a->eng, task.tenant);
        }
    }
    atomic_store_explicit(&sub->cursor, seq - 1, memory_order_release);
    return GMK_OK;
}

/* One try. The subscription may be held by a worker that only lingers: GMK_EBUSY, try again. */
static int try_replay(struct agent *a, uint32_t id, uint32_t index, uint64_t seq) {
    struct engine *eng = a->eng;
    int status;
    hal_short_lock(&eng->channel_lock);
    struct chan_sub *sub = replay_sub(eng, id, index, &status);
    bool own =
        sub != NULL &&
        ((a->ctx->task != NULL && a->ctx->task->channel == id && a->ctx->task->sub == index + 1) ||
         sub_is_pulled(sub)); /* the caller is who pulls */
    bool seized = sub != NULL && seq != 0 && !own && sub_seize(sub);
    if (sub != NULL && seq == 0)
        status = GMK_ERANGE;
    else if (sub != NULL && !own && (!seized || sub->holds))
        status = GMK_EBUSY;
    if (status == GMK_OK)
        status = rewind_to(a, &eng->channels[id], sub, seq);
    hal_short_unlock(&eng->channel_lock);
    if (seized)
        sub_give_back(a, sub);
    return status;
}

int chan_replay(struct agent *a, uint32_t id, uint32_t index, uint64_t seq) {
    int status = try_replay(a, id, index, seq);
    /* In time, not in tries: the worker may have lost its CPU for as long as the platform likes. */
    uint64_t end = hal_now_ns() + CHAN_REPLAY_NS;
    while (status == GMK_EBUSY && hal_now_ns() < end) {
        hal_yield_cpu();
        status = try_replay(a, id, index, seq);
    }
    return status;
}
