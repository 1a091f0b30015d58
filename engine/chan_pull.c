/* Channel, pulling: subscriptions without a handler, and listeners for room. See chan.h.
 *
 * To the log a pulled subscription is like any other: a cursor that holds up lossless senders and
 * loses messages of lossy channels. Only who moves the cursor differs: not a worker with a token,
 * but a thread of the user's, when it likes. So there is nothing to queue, and what is left of the
 * state is whether somebody waits to be called (SUB_PULL_WAITS).
 *
 * No call is lost, for the reason told in chan.h: a sender writes the turn and looks at the state
 * behind a fence; who found nothing sets the state and looks at the turn behind a fence.
 *
 * Nothing here sleeps or takes a lock for long, so a kernel may pull where it cannot be preempted. It
 * ends by handing over: a subscription that was cut, or whose channel is closed and drained,
 * becomes an ordinary one in the queue, and a worker drops what is left and frees it. */
#include "engine/chan.h"

static bool is_pullable(uint32_t state) {
    return SUB_KIND(state) == SUB_PULLED || SUB_KIND(state) == SUB_PULL_WAITS;
}

void sub_to_workers(struct agent *a, struct chan_sub *sub) {
    uint32_t state = atomic_load_explicit(&sub->state, memory_order_relaxed);
    do {
        if (!is_pullable(state))
            return;
        /* Release: what the puller wrote into the subscription, for the worker. */
    } while (!atomic_compare_exchange_weak_explicit(&sub->state, &state, SUB_IDLE,
                                                    memory_order_acq_rel, memory_order_relaxed));
    sub_schedule(a, sub, GMK_PRIO_DEFAULT);
}

/* Who pulls found nothing: from now on a message calls. */
static void arm(struct chan_sub *sub) {
    uint32_t pulled = SUB_PULLED; /* else it is armed already, or has ended */
    (void)atomic_compare_exchange_strong_explicit(&sub->state, &pulled, SUB_PULL_WAITS,
                                                  memory_order_seq_cst, memory_order_relaxed);
    hal_fence(); /* C4 pairs with announce() and chan_nudge(): the state, then what they wrote */
}

/* The payload at the cursor is longer than wanted. */
static bool is_too_long(const struct channel *ch, const struct chan_sub *sub, uint32_t len_max,
                        gmk_task_t *out) {
    gmk_task_t next;
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_acquire);
    if (!chan_read(ch, at, &next) || next.len <= len_max)
        return false;
    out->len = next.len;
    return true;
}

/* Something forbids that it is delivered: as for handlers, but for a type's poison, which is about
 * its handler. */
static bool is_obstructed(struct agent *a, const struct chan_sub *sub, gmk_task_t *task) {
    enum gmk_drop_reason reason = run_obstacle(a, task);
    if (sub_is_cut(sub))
        reason = GMK_DROP_CLOSED;
    if (GMK_LIKELY(reason == GMK_DROP_NONE))
        return false;
    task_dropped(a, task, reason);
    return true;
}

int chan_pull(struct agent *a, uint32_t id, uint32_t index, uint32_t len_max, gmk_task_t *out,
              uint64_t *lost) {
    struct channel *ch = chan_at(a->eng, id);
    struct chan_sub *sub = ch != NULL ? sub_at(ch, index) : NULL;
    if (GMK_UNLIKELY(sub == NULL ||
                     !is_pullable(atomic_load_explicit(&sub->state, memory_order_relaxed))))
        return GMK_ENOENT;
    for (bool armed = false;;) { /* each round drops a message, at most ch->slots, or is the last */
        if (len_max != UINT32_MAX && is_too_long(ch, sub, len_max, out))
            return GMK_ERANGE;
        if (sub_take(a, ch, sub, out, lost)) {
            if (GMK_UNLIKELY(is_obstructed(a, sub, out)))
                continue;
            trace_event(&a->trace, TRACE_DELIVER, ch->id);
            task_pulled(a, out);
            return GMK_OK;
        }
        if (GMK_UNLIKELY(sub_is_done(ch, sub))) {
            sub_to_workers(a, sub);
            return GMK_ECLOSED;
        }
        if (armed)
            return GMK_EAGAIN;
        arm(sub);
        armed = true;
    }
}

bool chan_waits(struct agent *a, uint32_t id, uint32_t index) {
    struct channel *ch = chan_at(a->eng, id);
    struct chan_sub *sub = ch != NULL ? sub_at(ch, index) : NULL;
    return sub != NULL && sub_has_next(ch, sub);
}

void chan_end_pulled(struct agent *a) {
    for (uint32_t id = 1; id < GMK_CHANNELS_MAX; id++) {
        struct channel *ch = chan_at(a->eng, id);
        for (uint32_t i = 0; ch != NULL && i < GMK_SUBS_MAX; i++) {
            struct chan_sub *sub = sub_at(ch, i);
            if (sub != NULL && sub_is_pulled(sub))
                (void)chan_unsubscribe(a, id, i);
        }
    }
}

int chan_on_room(struct agent *a, uint32_t id, gmk_waker_t *room) {
    struct engine *eng = a->eng;
    hal_short_lock(&eng->channel_lock);
    struct channel *ch = chan_at(eng, id);
    if (ch != NULL) /* release pairs with the acquire in chan_tell_room() */
        atomic_store_explicit(&ch->room, room, memory_order_release);
    hal_short_unlock(&eng->channel_lock);
    return ch != NULL ? GMK_OK : GMK_ENOENT;
}
