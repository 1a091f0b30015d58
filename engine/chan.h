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
 * The shape. What a channel is (type, options, size, and which opening of this id) is one
 * word as well, zero while it is closed. A sender reads it first, checks its message against
 * it, and claims only while it still stands: a channel that was closed and opened anew under
 * its feet has another shape, and positions that go on one lap further.
 *
 * Who moves a cursor:
 *   ordered, lossless: the worker that holds the token, alone: a plain store;
 *   parallel:          any worker with a token: compare-and-swap;
 *   lossy:             also a sender that needs room: it takes the oldest message of the
 *                      slowest subscription, by the same compare-and-swap, and dead-letters it.
 * A cell may be written again when every cursor (replay: every acknowledgement) has passed
 * it; `gate` caches that minimum, which only grows.
 *
 * The subscription's state is one word, [ tokens : 16 | urgent : 1 | kind : 8 ]. Tokens are
 * counted, so a subscription ends only when none is out, and its memory can serve the next
 * one. A pulled subscription has none until it ends. Ordered: one token, or two when a message of priority 0 came while the first one
 * waits in a slower queue. Parallel: up to one per worker.
 *
 *   FREE --subscribe--> IDLE --sub_schedule()--> QUEUED --token arrives--> RUNNING
 *   RUNNING --sub_idle()--> IDLE          RUNNING --sub_requeue()--> QUEUED
 *   RUNNING --sub_wait_for()--> WAITING --the timer's token--> RUNNING
 *   RUNNING --sub_schedule()--> AGAIN --sub_idle()--> RUNNING
 *   RUNNING, or PARALLEL without tokens --sub_end_if_done()--> ENDING --> FREE
 *
 *   FREE --subscribe--> PULL_WAITS <--chan_pull() found nothing / sub_schedule() wakes--> PULLED
 *   PULLED or PULL_WAITS --sub_to_workers(): cut, or closed and drained--> QUEUED, as above
 *
 * No lost wake-up. A sender writes the cell's turn, then, behind a full barrier, looks at the
 * state and changes it: a running subscription that looked too early cannot go idle any more
 * (AGAIN). Parallel: the state may say that enough tokens are out; so a worker that found
 * nothing first takes its token from the count and then, behind a barrier, looks again. One
 * of the two sees the other (tests/model/chan_wake.pml, chan_tokens.pml).
 *
 * No use after the end: whoever is neither token holder nor under the lock (a sender that
 * evicts, a worker that has just retired its token) pins the subscription by `running`
 * first and looks at the state afterwards; sub_end_if_done() says ENDING first and looks at
 * `running` afterwards. Only the state of a subscription that has ended is ever touched: by
 * sub_schedule(), which costs its next user at most a token that finds nothing to do. */
#pragma once

#include "engine/engine.h"
#include "engine/run.h"

#define CHAN_BATCH       64u      /* messages one token handles before others get the worker */
#define CHAN_LINGER      16u      /* looks at an empty log before a busy token is given up ... */
#define CHAN_PAUSE       16u      /* ... and pauses between two of them: some us in all */
#define CHAN_PATIENCE    4u       /* such times in vain, until messages stream again */
#define CHAN_STREAM      8u       /* messages in one turn that make a stream */
#define CHAN_SPIN_LOOKS  16u      /* looks of a sender at a full log before it sleeps ... */
#define CHAN_SPIN_PAUSE  32u      /* ... and pauses between two of them */
#define CHAN_REST_NS     1000000u /* between two looks of a waiting stage at its subscriber's token */
#define CHAN_DEEP_POLLS  1024u    /* yields of the CPU of a sender with a deep stack */
#define CHAN_AHEAD       4u       /* cells between a message and the one its sender prepares */
#define CHAN_GATE_STEP   64u /* messages between two looks at the cursors, in a half full log */
#define CHAN_REPLAY_NS   50000000u /* how long a worker may linger at what is replayed */
#define CHAN_EVICT_TRIES 64u       /* looks at a message in the way that is just being written */
#define CHAN_SLOTS_MIN   4u
#define CHAN_SLOTS_MAX   (1u << 20)

#define CHAN_SUBS_BITS 7
#define CHAN_SUBS_MASK ((UINT64_C(1) << CHAN_SUBS_BITS) - 1)
#define CHAN_CLOSED    (UINT64_C(1) << CHAN_SUBS_BITS)
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

/* Low byte of chan_sub.state. */
enum sub_kind {
    SUB_FREE,     /* the slot is not in use */
    SUB_IDLE,     /* nothing to do; a token that comes all the same finds that out */
    SUB_QUEUED,   /* a token is in the run queues */
    SUB_RUNNING,  /* a worker holds it */
    SUB_AGAIN,    /* the same, and something came since it last looked */
    SUB_WAITING,  /* its message waits for its time (retry, yield_at): that timer's token goes on */
    SUB_PARALLEL, /* only the tokens count */
    SUB_PULLED,   /* chan_pull() takes from it, when it likes */
    SUB_PULL_WAITS, /* the same, and the next message calls the waker */
    SUB_ENDING      /* sub_end_if_done() decides */
};
#define SUB_KIND(word)   ((word)&0xffu)
#define SUB_URGENT       0x100u /* with SUB_QUEUED: one of the tokens is of priority 0 */
#define SUB_TOKEN        (1u << 16)
#define SUB_TOKENS(word) ((word) >> 16)
#define SUB_END_WAITS    (1u << 31) /* in `running`: an end was tried; the last pin calls again */
#define SUB_TOKENS_MAX   2u         /* of an ordered subscription: bounds the overflow bucket */

struct chan_sub {
    /* The word that senders and workers meet at; a busy one seldom changes. */
    alignas(GMK_FALSE_SHARING) _Atomic uint32_t state;
    /* Written for every message by who takes it. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t cursor; /* next position to take */
    _Atomic uint64_t acked; /* replay: positions below it are done with */
    _Atomic uint64_t delivered;
    _Atomic uint64_t dropped;
    _Atomic uint32_t running; /* pins: messages of a shared cursor that have not ended, looks */
    _Atomic uint32_t holder;  /* ordered: agent whose handler runs, index + 1; 0 = none */
    _Atomic uint32_t late;    /* tokens that no queue took (late_push()) */
    struct chan_sub *late_next;
    bool holds;        /* `held` is in use; token holder only, as what follows */
    uint8_t patience;  /* how often it may yet linger in vain */
    uint64_t expected; /* position of the next message if none was lost */
    uint64_t fresh;    /* replay: positions below it were delivered before */
    gmk_task_t held;   /* ordered: a message that gave way or waits for its retry */
    /* Set by subscribe, constant while in use, but for `end`. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t end; /* position it ends at, or UINT64_MAX */
    gmk_handler_fn fn;
    gmk_handler_fn on_error;
    _Atomic(gmk_waker_t *) waker; /* pulled: called instead of a worker; NULL: handled */
    void *user;                   /* ctx->state of the handler */
    uint64_t start;
    uint16_t module;
    uint16_t trace_name;
    uint16_t chan;
    uint8_t options;
    uint8_t index;  /* 0-based; tasks carry index + 1 */
    bool of_module; /* the handler's state is its module's */
    bool exclusive; /* only the token holder moves the cursor */
    bool plain;     /* exclusive, and what is taken is gone */
};

struct channel {
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t tail; /* written by senders */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t gate; /* cached minimum of the cursors */
    _Atomic uint64_t urgent_end; /* positions below it may hold messages of priority 0 */
    _Atomic uint64_t refused;
    _Atomic uint64_t bytes; /* of payloads in the log, once per subscription; if bytes_max != 0 */
    /* Deterministic mode: where the log ended when this tick began. */
    _Atomic uint64_t tick;
    _Atomic uint64_t tick_end;
    /* Written when something changes, read by everyone. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t shape; /* 0: not open */
    _Atomic uint32_t live;    /* bit per subscription slot in use; changes under the lock */
    _Atomic uint32_t waiting; /* a sender waits for room (its ticket); who makes room clears it */
    _Atomic(gmk_waker_t *) room; /* told of room along with those that wait */
    uint16_t id;                 /* constant since the first opening */
    uint32_t opening;            /* how often this id was opened; under the lock */
    /* Constant while open. For subscriptions, and for senders that have claimed. */
    uint32_t type; /* 0: any (the system's channels) */
    uint32_t options;
    union chan_cell *cells;
    uint64_t slots;
    uint64_t bytes_max;        /* 0: no bound */
    uint64_t limit;            /* slots for messages that are not of priority 0 */
    uint64_t base;             /* position of the first message since it was opened */
    uint64_t delivered_before; /* by subscriptions that ended; under the lock */
    uint64_t dropped_before;
    _Atomic(struct chan_sub *) subs[GMK_SUBS_MAX]; /* where live has a bit */
    char name[GMK_NAME_MAX];
    char label[GMK_NAME_MAX]; /* the first name this id had: constant, so traces may keep it */
};

/* The shape word: [ opening : 32 | open : 1 | log2(slots) : 8 | options : 4 | type : 12 ]. */
#define SHAPE_OPEN (UINT64_C(1) << 24)
GMK_STATIC_ASSERT(GMK_TYPES_MAX <= 1u << 12, "a type fits its bits of the shape");

static inline uint64_t shape_make(uint32_t opening, uint32_t type, uint32_t options,
                                  uint32_t slots) {
    return (uint64_t)opening << 32 | SHAPE_OPEN | (uint64_t)(unsigned)__builtin_ctz(slots) << 16 |
           (uint64_t)options << 12 | type;
}

static inline uint32_t shape_type(uint64_t shape) {
    return (uint32_t)shape & 0xfffu;
}

static inline uint32_t shape_options(uint64_t shape) {
    return (uint32_t)shape >> 12 & 0xfu;
}

static inline uint64_t shape_slots(uint64_t shape) {
    return UINT64_C(1) << (shape >> 16 & 0xffu);
}

/* Slots that a message may use: the top tenth is for priority 0. */
static inline uint64_t shape_limit(uint64_t shape, bool urgent) {
    uint64_t slots = shape_slots(shape);
    return urgent ? slots : slots - (slots >= 10 ? slots / 10 : 1);
}

static inline uint64_t chan_pos(uint64_t tail) {
    return tail >> CHAN_POS_SHIFT;
}

static inline uint32_t chan_sub_count(uint64_t tail) {
    return (uint32_t)(tail & CHAN_SUBS_MASK);
}

/* 0 when the id is not an open channel's. */
static inline uint64_t chan_shape(struct engine *eng, uint32_t id) {
    /* Acquire pairs with chan_open(): an open channel is complete. [0] is never open. */
    return atomic_load_explicit(&eng->channels[id < GMK_CHANNELS_MAX ? id : 0].shape,
                                memory_order_acquire);
}

/* NULL when the id is not an open channel's. */
static inline struct channel *chan_at(struct engine *eng, uint32_t id) {
    return chan_shape(eng, id) != 0 ? &eng->channels[id] : NULL;
}

static inline bool chan_is_systems(const gmk_task_t *task) {
    return task->channel == GMK_CHAN_SYS_DROPPED || task->channel == GMK_CHAN_SYS_ERROR;
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

/* Was the subscription ended by gmk_chan_unsub()? */
static inline bool sub_is_cut(const struct chan_sub *sub) {
    return atomic_load_explicit(&sub->end, memory_order_acquire) != UINT64_MAX;
}

/* ---- Registry (chan.c); these take the channel lock -------------------------------- */

/* `bytes`: as gmk_chan_open_bounded(). */
int chan_open(struct agent *a, const char *name, uint32_t type, uint32_t options, uint32_t slots,
              uint64_t bytes, uint32_t *out_id);
/* *out_shape may be NULL; later calls that get it are meant for this very channel. */
int chan_find(struct engine *eng, const char *name, uint32_t *out_id, uint64_t *out_shape);
/* `shape` 0: whatever channel has the id. */
int chan_close(struct agent *a, uint32_t id, uint64_t shape);
/* Every pulled subscription becomes the workers', who drop what is left. The engine halts, and nobody
 * can pull any more. */
void chan_end_pulled(struct agent *a);
int chan_stats(struct engine *eng, uint32_t id, gmk_chan_stats_t *out);

/* Loops over the live subscriptions. One that comes or goes meanwhile may or may not be
 * seen; a stale one is somebody's memory all the same, never freed. */
/* NOLINTBEGIN(bugprone-macro-parentheses): `sub` is declared here */
#define CHAN_EACH_SUB(ch, sub)                                                                   \
    for (uint32_t live_ = atomic_load_explicit(&(ch)->live, memory_order_acquire), once_;        \
         live_ != 0; live_ &= live_ - 1)                                                         \
        for (struct chan_sub *sub =                                                              \
                 (once_ = 1,                                                                     \
                 atomic_load_explicit(&(ch)->subs[__builtin_ctz(live_)], memory_order_acquire)); \
             once_; once_ = 0)

/* NOLINTEND(bugprone-macro-parentheses) */

/* A closed channel whose last subscription ended gives its name, id and log back. Under
 * the channel lock. */
void chan_release_if_done(struct engine *eng, struct channel *ch);

/* ---- Sending (chan_send.c) ----------------------------------------------------------- */

int chan_emit_n(struct agent *a, uint32_t id, const gmk_task_t *tasks, uint32_t count);
/* The same to the very channel that had this shape: ENOENT when the id is another's by now. */
int chan_emit_to(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *tasks,
                 uint32_t count);
int chan_send(struct agent *a, uint32_t id, const gmk_task_t *task, uint64_t timeout_ns);

/* An ended task to a system channel. GMK_OK: the channel owns the payload now. */
int chan_send_letter(struct agent *a, uint32_t id, const gmk_task_t *task);

/* ---- Subscriptions (chan_sub.c) -------------------------------------------------------- */

struct sub_request {
    gmk_handler_fn fn;
    gmk_handler_fn on_error;
    gmk_waker_t *waker; /* pulled: instead of fn */
    void *user;
    uint64_t shape; /* of the channel that is meant; 0: whatever has the id */
    uint32_t options;
    uint16_t module;
    bool of_module; /* the handler's state is its module's, whatever `user` says */
};
int chan_subscribe(struct agent *a, uint32_t id, const struct sub_request *request,
                   uint32_t *out_sub);
int chan_unsubscribe(struct agent *a, uint32_t id, uint32_t index);
/* NULL: the channel has no such subscription. */
struct chan_sub *sub_at(struct channel *ch, uint32_t index);
void chan_nudge(struct agent *a, struct channel *ch);
int chan_ack(struct agent *a, uint32_t id, uint32_t index, uint64_t seq);
int chan_replay(struct agent *a, uint32_t id, uint32_t index, uint64_t seq);

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

/* Takes the oldest message of a shared cursor (lossy, parallel); false when there is none.
 * The caller keeps the subscription from ending: by a token or sub_pin(). */
bool sub_claim(struct agent *a, struct channel *ch, struct chan_sub *sub, gmk_task_t *out);

/* Keeps a subscription from ending; false: it is not the channel's any more. sub_unpin()
 * lets go, and calls a token when its end waits for nothing else. */
bool sub_pin(struct agent *a, const struct channel *ch, struct chan_sub *sub);
void sub_unpin(struct agent *a, struct chan_sub *sub);

/* Room was made: senders that sleep look again. The caller keeps the channel from ending. */
void chan_made_room(struct agent *a, struct channel *ch);

/* Would a send be answered with EAGAIN? */
bool chan_is_full(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *task);
/* As gmk_chan_want_room(). */
int chan_want_room(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *task);

/* Tells the channel's listener that a send may do now. */
static inline void chan_tell_room(struct channel *ch) {
    /* Acquire pairs with chan_on_room(): it is complete. */
    gmk_waker_t *room = atomic_load_explicit(&ch->room, memory_order_acquire);
    if (GMK_UNLIKELY(room != NULL))
        room->wake(room);
}

/* What a payload counts in a bounded log: the size of the block that holds it. (In DEV it may be the
 * next larger one, but the bound means the same everywhere.) */
static inline uint64_t chan_weight(uint64_t len) {
    return len == 0 ? 0 : block_bin_size(block_bin(len));
}

/* A payload enters a bounded log, if it fits; leaves it. */
static inline bool chan_bytes_enter(struct channel *ch, uint32_t len) {
    if (GMK_LIKELY(ch->bytes_max == 0))
        return true;
    uint64_t weight = chan_weight(len);
    /* Relaxed: a quota. Add first, so that racing senders cannot both pass. */
    uint64_t before = atomic_fetch_add_explicit(&ch->bytes, weight, memory_order_relaxed);
    if (before <= ch->bytes_max && weight <= ch->bytes_max - before)
        return true;
    atomic_fetch_sub_explicit(&ch->bytes, weight, memory_order_relaxed);
    return false;
}
static inline void chan_bytes_leave(struct channel *ch, uint32_t len) {
    if (GMK_UNLIKELY(ch->bytes_max != 0))
        atomic_fetch_sub_explicit(&ch->bytes, chan_weight(len), memory_order_relaxed);
}

/* Is there a published message at the cursor that the subscription is to have? */
bool sub_has_next(const struct channel *ch, const struct chan_sub *sub);

/* The next message of an ordered or pulled subscription, and how many were lost before it. Its
 * holder only. */
bool sub_take(struct agent *a, struct channel *ch, struct chan_sub *sub, gmk_task_t *out,
              uint64_t *lost);

/* ---- Pulling (chan_pull.c) ---------------------------------------------------------------- */

/* As gmk_chan_pull(); *lost: messages lost before it. */
int chan_pull(struct agent *a, uint32_t id, uint32_t index, uint32_t len_max, gmk_task_t *out,
              uint64_t *lost);
/* Is there something for chan_pull()? */
bool chan_waits(struct agent *a, uint32_t id, uint32_t index);
int chan_on_room(struct agent *a, uint32_t id, gmk_waker_t *room);

/* A pulled subscription that was cut, or has nothing left, becomes one that the workers end. */
void sub_to_workers(struct agent *a, struct chan_sub *sub);

static inline bool sub_is_pulled(const struct chan_sub *sub) {
    return atomic_load_explicit(&sub->waker, memory_order_relaxed) != NULL;
}

/* ---- Out of turn (chan_run.c) --------------------------------------------------------------- */

/* Takes an ordered subscription out of turn, from wherever it rests. False: it is held. A
 * token that was out for it will find nothing to do. */
bool sub_seize(struct chan_sub *sub);

/* Its turn, without a token; the caller has seized it. */
void sub_turn(struct agent *a, struct chan_sub *sub, unsigned priority);

/* A sender on a worker met a full log: runs tasks of priority 0, then subscribers of this
 * channel that wait for a worker. False: none does. Deep stacks come from running just
 * anything instead, such as the next sender. */
bool chan_help(struct agent *a, struct channel *ch);

/* Gives an ordered subscription that was taken out of turn back to the run queues. */
void sub_give_back(struct agent *a, struct chan_sub *sub);

/* Has it handled everything it ever will? (But messages may still run elsewhere.) */
bool sub_is_done(const struct channel *ch, const struct chan_sub *sub);

/* Frees the slot of a subscription that has nothing left; false: it has. `holder`: the caller
 * holds the token of an ordered one; else it is about a parallel one. Takes the channel lock. */
bool sub_end_if_done(struct agent *a, struct channel *ch, struct chan_sub *sub, bool holder);

/* Calls the subscription's error handler, if it has one; true: the failure is dealt with. */
bool chan_on_error(struct agent *a, gmk_task_t *task);
