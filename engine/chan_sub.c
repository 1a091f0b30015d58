/* Channel subscriptions: coming, going, acknowledging and replaying. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/enqueue.h"
#include "engine/tenant.h"
#include "engine/wake.h"

static struct chan_sub *sub_at(struct channel *ch, uint32_t index) {
    uint32_t live = atomic_load_explicit(&ch->live, memory_order_acquire);
    return index < GMK_SUBS_MAX && (live >> index & 1u)
               ? atomic_load_explicit(&ch->subs[index], memory_order_acquire)
               : NULL;
}

/* Lets every subscription look at what changed (closed, ended). No lock held. */
void chan_nudge(struct agent *a, struct channel *ch) {
    hal_fence(); /* C4 pairs with the fence in sub_idle() */
    CHAN_EACH_SUB(ch, sub) {
        sub_schedule(a, sub, GMK_PRIO_DEFAULT);
    }
    wake_waiting(a->eng);
}

/* ---- Coming ---------------------------------------------------------------------------- */

/* A structure from the engine's pool; they are never freed, only given back. */
static struct chan_sub *sub_take(struct engine *eng) {
    for (uint32_t i = 0; i < eng->subs_max; i++)
        if (atomic_load_explicit(&eng->subs[i].state, memory_order_relaxed) == SUB_FREE)
            return &eng->subs[i];
    return NULL;
}

static void sub_fill(struct engine *eng, struct chan_sub *sub, struct channel *ch, uint32_t index,
                     const struct sub_request *request) {
    atomic_store_explicit(&sub->tokens, 0, memory_order_relaxed);
    atomic_store_explicit(&sub->delivered, 0, memory_order_relaxed);
    atomic_store_explicit(&sub->dropped, 0, memory_order_relaxed);
    atomic_store_explicit(&sub->end, UINT64_MAX, memory_order_relaxed);
    sub->unpublished = 0;
    sub->holds = false;
    sub->fn = request->fn;
    sub->on_error = request->on_error;
    sub->user = request->user;
    sub->module = request->module;
    sub->of_module = request->of_module;
    sub->trace_name = (uint16_t)trace_intern(&eng->trace, ch->name);
    sub->options = (uint8_t)request->options;
    sub->chan = ch->id;
    sub->index = (uint8_t)index;
    atomic_store_explicit(&sub->state,
                          request->options & GMK_SUB_PARALLEL ? SUB_PARALLEL : SUB_IDLE,
                          memory_order_release);
}

static void sub_start_at(struct chan_sub *sub, uint64_t start) {
    sub->start = start;
    sub->at = start;
    sub->expected = start;
    atomic_store_explicit(&sub->cursor, start, memory_order_relaxed);
    atomic_store_explicit(&sub->acked, start, memory_order_relaxed);
    atomic_store_explicit(&sub->delivered_to, start, memory_order_relaxed);
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
    if (live != 0 && !(ch->options & GMK_CHAN_FANOUT))
        return GMK_EEXIST;
    if (~live == 0)
        return GMK_ELIMIT;
    struct chan_sub *sub = sub_take(a->eng);
    if (sub == NULL)
        return GMK_ELIMIT;
    uint32_t index = (uint32_t)__builtin_ctz(~live);
    sub_fill(a->eng, sub, ch, index, request);
    int status = join(ch, sub);
    if (status != GMK_OK) {
        atomic_fetch_and_explicit(&ch->live, ~(1u << index), memory_order_release);
        atomic_store_explicit(&sub->state, SUB_FREE, memory_order_release);
        return status;
    }
    *out_sub = index;
    return GMK_OK;
}

int chan_subscribe(struct agent *a, uint32_t id, const struct sub_request *request,
                   uint32_t *out_sub) {
    uint32_t index;
    struct engine *eng = a->eng;
    if (request->fn == NULL || (request->options & ~(uint32_t)GMK_SUB_PARALLEL))
        return GMK_EINVAL;
    hal_lock(&eng->channel_lock);
    struct channel *ch = chan_at(eng, id);
    int status = ch == NULL ? GMK_ENOENT : GMK_OK;
    if (ch != NULL && (ch->options & GMK_CHAN_REPLAY) && (request->options & GMK_SUB_PARALLEL))
        status = GMK_EINVAL; /* acknowledging "up to" needs an order */
    if (status == GMK_OK)
        status = subscribe_locked(a, ch, request, &index);
    hal_unlock(&eng->channel_lock);
    if (status == GMK_OK && out_sub != NULL)
        *out_sub = index;
    if (status == GMK_OK)
        wake_waiting(eng); /* a sender may wait for the first subscriber */
    return status;
}

/* ---- Going ------------------------------------------------------------------------------ */

int chan_unsubscribe(struct agent *a, uint32_t id, uint32_t index) {
    struct engine *eng = a->eng;
    hal_lock(&eng->channel_lock);
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
    hal_unlock(&eng->channel_lock);
    if (!ours)
        return GMK_ENOENT;
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

bool sub_end_if_done(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    struct engine *eng = a->eng;
    hal_lock(&eng->channel_lock);
    uint64_t end = atomic_load_explicit(&sub->end, memory_order_seq_cst);
    uint64_t cursor = chan_is_exclusive(ch, sub)
                          ? sub->at
                          : atomic_load_explicit(&sub->cursor, memory_order_seq_cst);
    uint32_t state = SUB_STATE(atomic_load_explicit(&sub->state, memory_order_relaxed));
    /* Acquire pairs with the decrements: what ran has ended. */
    bool quiet = atomic_load_explicit(&sub->tokens, memory_order_acquire) == 0 &&
                 atomic_load_explicit(&sub->running, memory_order_acquire) == 0;
    bool done = state != SUB_FREE && quiet && sub->chan == ch->id &&
                (cursor >= end || (chan_is_closed(ch) && cursor == chan_end(ch)));
    if (done) {
        release_unacked(a, ch, sub);
        ch->delivered_before += atomic_load_explicit(&sub->delivered, memory_order_relaxed);
        ch->dropped_before += atomic_load_explicit(&sub->dropped, memory_order_relaxed);
        atomic_fetch_and_explicit(&ch->live, ~(1u << sub->index), memory_order_release);
        atomic_store_explicit(&sub->state, SUB_FREE, memory_order_release);
        chan_release_if_done(eng, ch);
    }
    hal_unlock(&eng->channel_lock);
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
    hal_lock(&eng->channel_lock);
    struct chan_sub *sub = replay_sub(eng, id, index, &status);
    struct channel *ch = &eng->channels[id < GMK_CHANNELS_MAX ? id : 0];
    /* Delivered: handled or being handled; `delivered_to` is the token holder's cursor. */
    if (sub != NULL && seq > atomic_load_explicit(&sub->delivered_to, memory_order_acquire))
        status = GMK_ERANGE;
    uint64_t at = status == GMK_OK ? atomic_load_explicit(&sub->acked, memory_order_relaxed) : 0;
    for (; status == GMK_OK && at < seq; at++) { /* at most ch->slots */
        if (chan_read(ch, at, &task))
            payload_release(a, task.payload);
        /* seq_cst: C1, and against senders that are about to wait for room. */
        atomic_store_explicit(&sub->acked, at + 1, memory_order_seq_cst);
    }
    hal_unlock(&eng->channel_lock);
    if (status == GMK_OK && atomic_load_explicit(&ch->waiting, memory_order_seq_cst) != 0)
        wake_waiting(eng);
    return status;
}

/* Takes an ordered subscription from wherever it rests. False: its handler runs elsewhere. */
static bool seize(struct chan_sub *sub, bool own) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_acquire);
    while (state == SUB_IDLE || SUB_STATE(state) == SUB_QUEUED)
        if (atomic_compare_exchange_weak_explicit(&sub->state, &state, SUB_RUNNING,
                                                  memory_order_acq_rel, memory_order_acquire))
            return true;
    return own && (state == SUB_RUNNING || state == SUB_AGAIN);
}

int chan_replay(struct agent *a, uint32_t id, uint32_t index, uint64_t seq) {
    struct engine *eng = a->eng;
    int status;
    hal_lock(&eng->channel_lock);
    struct chan_sub *sub = replay_sub(eng, id, index, &status);
    bool own = sub != NULL && a->ctx->task != NULL && a->ctx->task->channel == id &&
               a->ctx->task->sub == index + 1;
    if (sub != NULL && (seq == 0 || !seize(sub, own)))
        status = seq == 0 ? GMK_ERANGE : GMK_EBUSY;
    if (status != GMK_OK) {
        hal_unlock(&eng->channel_lock);
        return status;
    }
    struct channel *ch = &eng->channels[id];
    uint64_t acked = atomic_load_explicit(&sub->acked, memory_order_relaxed);
    if (seq - 1 < acked || seq - 1 > sub->at)
        status = GMK_ERANGE;
    if (status == GMK_OK) {
        gmk_task_t counted = {.type = ch->type, .tenant = 0};
        for (uint64_t at = seq - 1; at < sub->at; at++) { /* each will end once more */
            if (chan_read(ch, at, &counted)) {
                agent_count(a, &counted, COUNT_EMITTED, 1);
                tenant_join(eng, counted.tenant);
            }
        }
        sub->at = seq - 1;
    }
    hal_unlock(&eng->channel_lock);
    if (!own)
        sub_give_back(a, sub);
    return status;
}
