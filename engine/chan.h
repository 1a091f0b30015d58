/* Channel: one log of messages per channel, one cursor per subscription.
 *
 * A sender claims the next position of the log, writes the message there once, and makes
 * sure that every subscription has a token in the run queues. A token is a task; the worker
 * that gets it handles what lies between the subscription's cursor and the log's end. So
 * the log is the subscriber's queue, fan-out costs one write whatever the number of
 * subscribers, a sequence number is a position, a gap is a jump of the cursor, replay is
 * setting the cursor back, and backpressure is the distance to the slowest cursor.
 *
 * The claim. `tail` is one word [ position : 56 | closed : 1 | subscriptions : 7 ], so a
 * sender's one compare-and-swap decides at the same instant its position, that the channel
 * is open, and exactly how many subscriptions will see the message: that many references
 * the payload gets, that many deliveries are counted. Subscribing, unsubscribing and
 * closing change the same word.
 *
 * The cell. As in ring_mpmc.h the cell is a task and its first word the turn: the low 32
 * bits of position + 1 say that the message is there. Subscribers write nothing into it.
 * Cells are read and written as relaxed atomic words, because a subscription that does not
 * own its cursor alone (lossy, parallel) copies first and claims afterwards.
 *
 * Who moves a cursor:
 *   ordered, lossless: the worker that holds the token, alone: a plain store;
 *   parallel:          any worker with a token: compare-and-swap;
 *   lossy:             also a sender that needs room: it takes the oldest message of the
 *                      slowest subscription, by the same compare-and-swap, and dead-letters it.
 * A cell may be written again when every cursor (replay: every acknowledgement) has passed
 * it; `gate` caches that minimum, which only grows.
 *
 * No lost wake-up: sender: turn = position + 1 (seq_cst), then look at the subscription's
 * state; worker: state = idle (seq_cst), then look at the next cell's turn. One of the two
 * sees the other. */
#pragma once

#include "engine/engine.h"
#include "engine/run.h"

#define CHAN_BATCH 64u       /* messages one token handles before others get the worker */
#define CHAN_LINGER 32u      /* looks at an empty log before a token is given up */
#define CHAN_PUBLISH 16u     /* messages between two stores of an ordered cursor */
#define CHAN_SLOTS_MIN 4u
#define CHAN_SLOTS_MAX (1u << 20)

#define CHAN_SUBS_BITS 7
#define CHAN_SUBS_MASK ((UINT64_C(1) << CHAN_SUBS_BITS) - 1)
#define CHAN_CLOSED (UINT64_C(1) << CHAN_SUBS_BITS)
#define CHAN_POS_SHIFT (CHAN_SUBS_BITS + 1)

/* A message in the log: a task as atomic words, its first half word the turn. */
#define CHAN_CELL_WORDS (sizeof(gmk_task_t) / sizeof(uint64_t))
union chan_cell {
    _Atomic uint64_t words[CHAN_CELL_WORDS];
    struct {
        _Atomic uint32_t turn;
        _Atomic uint32_t type;
    } half; /* words[0] */
};
GMK_STATIC_ASSERT(sizeof(union chan_cell) == GMK_CACHE_LINE, "one cell per line");

/* Low byte of chan_sub.state; in SUB_QUEUED the next byte is the token's priority. */
enum sub_state {
    SUB_FREE,    /* the slot is not in use */
    SUB_IDLE,    /* no token, no message */
    SUB_QUEUED,  /* a token is in the run queues */
    SUB_RUNNING, /* a worker holds it */
    SUB_AGAIN,   /* the same, and messages came since it last looked */
    SUB_WAITING, /* its message waits for its time (retry, yield_at): that timer's token goes on */
    SUB_PARALLEL /* counted in `tokens` instead */
};
#define SUB_STATE(word) ((word) & 0xffu)
#define SUB_QUEUED_AT(priority) (SUB_QUEUED | (uint32_t)(priority) << 8)

struct chan_sub {
    /* The word that senders and workers meet at. Ordered: enum sub_state. */
    alignas(GMK_FALSE_SHARING) _Atomic uint32_t state;
    _Atomic uint32_t tokens;   /* parallel: tokens out */
    _Atomic uint32_t running;  /* shared cursor: messages taken and not ended, claims under way */
    _Atomic uint64_t cursor;   /* next position to take */
    _Atomic uint64_t acked;    /* replay: positions below it are done with */
    _Atomic uint64_t delivered_to; /* replay: positions below it went to the handler */
    _Atomic uint64_t end;      /* position it ends at, UINT64_MAX while it is subscribed */
    _Atomic uint64_t delivered;
    _Atomic uint64_t dropped;
    /* Owned by the holder of the token. */
    uint64_t at;               /* ordered: true cursor; `cursor` follows it in steps */
    uint64_t expected;         /* ordered: position of the next message if none was lost */
    uint32_t unpublished;      /* ordered: messages since `cursor` was stored */
    gmk_task_t held;           /* ordered: a message that gave way or waits for its retry */
    bool holds;
    /* Set by subscribe, constant while in use. */
    gmk_handler_fn fn;
    gmk_handler_fn on_error;
    void *user;                /* ctx->state of the handler */
    uint64_t start;
    uint16_t module;
    uint16_t trace_name;
    uint8_t options;
    bool of_module;            /* the handler's state is its module's */
    uint16_t chan;
    uint8_t index;             /* 0-based; tasks carry index + 1 */
};

struct channel {
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t tail; /* written by senders */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t gate; /* cached minimum of the cursors */
    _Atomic uint64_t refused;
    /* Constant while open. */
    alignas(GMK_FALSE_SHARING) union chan_cell *cells;
    uint64_t slots;
    uint64_t reserve;  /* of them for priority 0 */
    uint32_t type;     /* 0: any (the system's channels) */
    uint32_t options;
    uint16_t id;
    _Atomic uint32_t live;      /* bit per subscription slot in use; changes under the lock */
    _Atomic uint32_t open;      /* 1 while name and id are taken */
    _Atomic uint32_t waiting;   /* senders that wait for room */
    uint64_t delivered_before;  /* by subscriptions that ended; under the lock */
    uint64_t dropped_before;
    uint64_t base;              /* position of the first message since it was opened */
    char name[GMK_NAME_MAX];
    _Atomic(struct chan_sub *) subs[GMK_SUBS_MAX]; /* where live has a bit */
};

static inline uint64_t chan_pos(uint64_t tail) {
    return tail >> CHAN_POS_SHIFT;
}

static inline uint32_t chan_sub_count(uint64_t tail) {
    return (uint32_t)(tail & CHAN_SUBS_MASK);
}

static inline bool chan_is_exclusive(const struct channel *ch, const struct chan_sub *sub) {
    return !(ch->options & GMK_CHAN_LOSSY) && !(sub->options & GMK_SUB_PARALLEL);
}

/* NULL when the id is not an open channel's. */
static inline struct channel *chan_at(struct engine *eng, uint32_t id) {
    struct channel *ch = &eng->channels[id < GMK_CHANNELS_MAX ? id : 0];
    /* Acquire pairs with chan_open(): an open channel is complete. [0] is never open. */
    return atomic_load_explicit(&ch->open, memory_order_acquire) ? ch : NULL;
}

static inline bool chan_is_parallel(const struct chan_sub *sub) {
    return (sub->options & GMK_SUB_PARALLEL) != 0;
}

/* The log's end: positions below it are claimed. */
static inline uint64_t chan_end(const struct channel *ch) {
    return chan_pos(atomic_load_explicit(&ch->tail, memory_order_acquire));
}

static inline bool chan_is_closed(const struct channel *ch) {
    return (atomic_load_explicit(&ch->tail, memory_order_acquire) & CHAN_CLOSED) != 0;
}

/* ---- Registry (chan.c); these take the channel lock -------------------------------- */

int chan_open(struct agent *a, const char *name, uint32_t type, uint32_t options, uint32_t slots,
              uint32_t *out_id);
int chan_find(struct engine *eng, const char *name, uint32_t *out_id);
int chan_close(struct agent *a, uint32_t id);
int chan_stats(struct engine *eng, uint32_t id, gmk_chan_stats_t *out);

/* Loops over the live subscriptions. One that comes or goes meanwhile may or may not be
 * seen; a stale one is somebody's memory all the same, never freed. */
#define CHAN_EACH_SUB(ch, sub)                                                              \
    for (uint32_t live_ = atomic_load_explicit(&(ch)->live, memory_order_acquire), once_;   \
         live_ != 0; live_ &= live_ - 1)                                                    \
        for (struct chan_sub *sub = (once_ = 1, atomic_load_explicit(                       \
                 &(ch)->subs[__builtin_ctz(live_)], memory_order_acquire)); once_; once_ = 0)

/* A closed channel whose last subscription ended gives its name, id and log back. Under
 * the channel lock. */
void chan_release_if_done(struct engine *eng, struct channel *ch);

/* ---- Sending (chan_send.c) ----------------------------------------------------------- */

int chan_emit_n(struct agent *a, uint32_t id, const gmk_task_t *tasks, uint32_t count);
int chan_send(struct agent *a, uint32_t id, const gmk_task_t *task, uint64_t timeout_ns);

/* An ended task to a system channel. GMK_OK: the channel owns the payload now. */
int chan_send_letter(struct agent *a, uint32_t id, const gmk_task_t *task);

/* ---- Subscriptions (chan_sub.c) -------------------------------------------------------- */

struct sub_request {
    gmk_handler_fn fn;
    gmk_handler_fn on_error;
    void *user;
    uint32_t options;
    uint16_t module;
    bool of_module; /* the handler's state is its module's, whatever `user` says */
};
int chan_subscribe(struct agent *a, uint32_t id, const struct sub_request *request,
                   uint32_t *out_sub);
int chan_unsubscribe(struct agent *a, uint32_t id, uint32_t sub);
void chan_nudge(struct agent *a, struct channel *ch);
int chan_ack(struct agent *a, uint32_t id, uint32_t sub, uint64_t seq);
int chan_replay(struct agent *a, uint32_t id, uint32_t sub, uint64_t seq);

/* ---- Delivery (chan_run.c) ------------------------------------------------------------- */

/* Makes sure that a token is out for messages just published. */
void sub_schedule(struct agent *a, struct chan_sub *sub, unsigned priority);

/* Runs a subscription's token. */
void sub_run(struct agent *a, struct chan_sub *sub, const gmk_task_t *token);

/* The message at position `at`, if it is published: copied to *out. */
bool chan_read(const struct channel *ch, uint64_t at, gmk_task_t *out);

/* A delivery's handler, and its end. */
void chan_target(struct engine *eng, const gmk_task_t *task, struct run_target *target);
void chan_delivery_ended(struct agent *a, const gmk_task_t *task, bool completed);

/* Takes the oldest message of a shared cursor (lossy, parallel); false when there is none. */
bool sub_claim(struct channel *ch, struct chan_sub *sub, gmk_task_t *out);

/* Gives an ordered subscription that was taken out of turn back to the run queues. */
void sub_give_back(struct agent *a, struct chan_sub *sub);

/* Frees the slot of a subscription that has nothing left; false: it has. Ordered: only the
 * holder of the token. Takes the channel lock. */
bool sub_end_if_done(struct agent *a, struct channel *ch, struct chan_sub *sub);

/* Calls the subscription's error handler, if it has one; true: the failure is dealt with. */
bool chan_on_error(struct agent *a, gmk_task_t *task);
