/* Channel: a named, typed, bounded conduit of tasks from any sender to its subscribers. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/module.h"
#include "ggmk/task.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Options of a channel. */
#define GMK_CHAN_P2P      0x00u /* one subscriber; a second gets EEXIST */
#define GMK_CHAN_FANOUT   0x01u /* every subscriber gets every message */
#define GMK_CHAN_LOSSLESS 0x00u /* full: the sender gets EAGAIN, nothing is ever dropped */
#define GMK_CHAN_LOSSY    0x02u /* full: the slowest subscriber loses its oldest message */
#define GMK_CHAN_REPLAY   0x04u /* messages stay until acknowledged with gmk_chan_ack() */
#define GMK_CHAN_LOOSE \
    0x08u /* its type may be 0 (any) and such as the engine does not know;
                                   messages of those are counted under no type */

/* Options of a subscription. Ordered (default): one message at a time, in the order of
 * the channel, with ctx->lost. Parallel: as many at a time as there are workers, in any
 * order; not on replay channels (EINVAL). */
#define GMK_SUB_ORDERED  0x00u
#define GMK_SUB_PARALLEL 0x01u

/* Ids of the system's channels. Failed tasks arrive on sys.error, everything that could
 * not be handled on sys.dropped, each as the original task with its payload and
 * gmk_task_reason(). They are lossy fan-out channels and carry every type. */
#define GMK_CHAN_SYS_DROPPED 1u
#define GMK_CHAN_SYS_ERROR   2u

/* Opens a channel. `slots` (power of two, 0 = cfg.channel_slots): messages it holds; the
 * top tenth of them is reserved for priority 0. EEXIST, ELIMIT, EINVAL, ENOMEM; EPERM: names
 * that begin with "sys." are the engine's. */
GMK_API int gmk_chan_open(gmk_ctx_t *ctx, const char *name, uint32_t type, uint32_t options,
                          uint32_t slots, uint32_t *out_chan);

/* The same, and the payloads that wait in it have at most `bytes` bytes together (0: no bound);
 * beyond that it is full. Each counts as the block that can hold it, a power of two and at least
 * 64, once per subscription. A single larger one never fits (EINVAL at the send). Not for replay
 * channels (EINVAL). */
GMK_API int gmk_chan_open_bounded(gmk_ctx_t *ctx, const char *name, uint32_t type, uint32_t options,
                                  uint32_t slots, uint64_t bytes, uint32_t *out_chan);

/* Finds a channel by name. ENOENT. */
GMK_API int gmk_chan_find(gmk_ctx_t *ctx, const char *name, uint32_t *out_chan);

/* Subscribes: `fn` gets every message sent from now on, as its own task, with `state` in
 * ctx->state. `on_error` (may be NULL) gets a message whose handler failed, before it
 * goes to sys.error. ENOENT, EEXIST (point-to-point is taken), ELIMIT, ECLOSED. */
GMK_API int gmk_chan_sub(gmk_ctx_t *ctx, uint32_t chan, gmk_handler_fn fn, gmk_handler_fn on_error,
                         void *state, uint32_t options, uint32_t *out_sub);

/* Ends a subscription while traffic runs: messages it has not started are dead-lettered
 * with GMK_DROP_CLOSED; one that runs finishes. ENOENT. */
GMK_API int gmk_chan_unsub(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub);

/* Closes: later sends get ECLOSED; what was accepted before is still delivered. The id
 * and the name stay taken until the last message is handled, on a replay channel until it
 * is acknowledged. ENOENT, ECLOSED. */
GMK_API int gmk_chan_close(gmk_ctx_t *ctx, uint32_t chan);

/* Sends. The task is copied; on GMK_OK the channel owns one reference of the payload.
 * ETYPE: the channel carries another type. EAGAIN: full (lossless) or nobody subscribes
 * to a lossless channel yet; nothing was taken. ECLOSED, ENOENT, EINVAL, ETENANT, ELIMIT (the
 * tenant's), EHALTED; EPERM: a USER module and a channel of the system. A lossy channel says
 * EAGAIN only while its oldest message is just being written; without subscribers it takes
 * the message and dead-letters it. Never blocks. */
GMK_API int gmk_chan_emit(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task);

/* Sends `count` messages in order, with one wake-up; returns how many were taken, or an
 * error when the first was refused. */
GMK_API int gmk_chan_emit_n(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *tasks, uint32_t count);

/* Sends, and when the channel is full waits for room: a handler runs the channel's waiting
 * subscribers, then other tasks (an ordered subscription's handler rests instead, lest it be
 * buried under a task that waits for it); an attached thread sleeps. ETIMEOUT, and as
 * gmk_chan_emit(). EDEPTH: handlers are nested too deep, or the subscriber in the way is the
 * caller itself. */
GMK_API int gmk_chan_send(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task,
                          uint64_t timeout_ns);

/* ---- Without a handler ------------------------------------------------------------------
 *
 * For partners that wait by means of their own: a thread, another process or unit. Log, order,
 * backpressure, loss, replay, trace and counts are those of handled subscriptions. */

/* Whom to tell. `wake` is called by whoever sends (closes, makes room ..), on any thread and in any
 * context in which that is possible: it must be short and must not call the engine. A call may
 * still be on its way when what it was for has ended, so a waker is memory that stays. */
typedef struct gmk_waker {
    void (*wake)(struct gmk_waker *self);
} gmk_waker_t;

/* Subscribes without a handler: messages wait for gmk_chan_pull(). The waker is called once
 * when there is something for a pull that found nothing, at first for the one that was not
 * made yet: a message, or that the channel is closed. Seldom it is called for nothing. Errors
 * as gmk_chan_sub(). */
GMK_API int gmk_chan_sub_pull(gmk_ctx_t *ctx, uint32_t chan, gmk_waker_t *waker, uint32_t *out_sub);

/* Takes the next message; one thread at a time for each subscription, and none while it is ended
 * with gmk_chan_unsub(). GMK_OK: *out is it, and its
 * payload's reference is the caller's, to be given back with gmk_free(); ctx->lost is the number of
 * messages lost just before it. For the engine it is delivered with that. EAGAIN: nothing there,
 * the waker will be called. ERANGE: its payload has more than len_max bytes; out->len says how many,
 * nothing was taken. ECLOSED: closed, and nothing is left; the subscription is gone. ENOENT: it was
 * none. */
GMK_API int gmk_chan_pull(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint32_t len_max,
                          gmk_task_t *out);

/* Names the channel's one listener for room (NULL: none). ENOENT. */
GMK_API int gmk_chan_on_room(gmk_ctx_t *ctx, uint32_t chan, gmk_waker_t *room);

/* After a send was answered with EAGAIN. GMK_OK: it would be now as well, and the listener will
 * be called when that may have changed. EAGAIN: it has changed already, send again. */
GMK_API int gmk_chan_want_room(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task);

/* ---- Replay and statistics -------------------------------------------------------------- */

/* Replay channels: everything up to and including sequence number `seq` is done with.
 * ERANGE: beyond what was delivered. */
GMK_API int gmk_chan_ack(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint64_t seq);

/* Delivers again from `seq` on, the first unacknowledged at the earliest (ERANGE).
 * EBUSY: its handler runs on another worker, or has given way in the middle of a message. */
GMK_API int gmk_chan_replay(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint64_t seq);

/* Counts of one channel, exact when nobody sends. */
typedef struct gmk_chan_stats {
    uint64_t sent;      /* messages accepted */
    uint64_t delivered; /* handler runs that ended well, over all subscriptions */
    uint64_t dropped;   /* deliveries dead-lettered */
    uint64_t refused;   /* sends answered with EAGAIN */
    uint64_t depth;     /* messages held for the slowest subscription */
    uint64_t slots;
    uint32_t n_subs;
    uint32_t type;
    const char *name;
} gmk_chan_stats_t;
GMK_API int gmk_chan_stats(gmk_ctx_t *ctx, uint32_t chan, gmk_chan_stats_t *out);

#ifdef __cplusplus
}
#endif
