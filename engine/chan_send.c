/* Channel, sending: claim, write, announce; eviction and waiting for room. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/gather.h"
#include "engine/group.h"
#include "engine/lane.h"
#include "engine/tenant.h"
#include "engine/wake.h"

/* Position below which every cell may be written again. */
static uint64_t gate_compute(struct channel *ch, uint64_t shape, uint64_t end) {
    uint64_t least = end;
    CHAN_EACH_SUB(ch, sub) {
        /* C1 pairs with the cursor stores in chan_run.c: the cell has been read. */
        uint64_t at = atomic_load_explicit(shape_options(shape) & GMK_CHAN_REPLAY ? &sub->acked
                                                                                  : &sub->cursor,
                                           memory_order_acquire);
        least = at < least ? at : least;
    }
    /* Release, and acquire where it is loaded, hand C1 on to other senders. An older and
     * smaller value may overwrite a newer one: that costs a computation, nothing else. */
    atomic_store_explicit(&ch->gate, least, memory_order_release);
    return least;
}

/* Room for a message at the end `end`, in cells; computes the gate only when it must. */
static uint64_t room(struct channel *ch, uint64_t shape, uint64_t end, bool urgent) {
    uint64_t limit = shape_limit(shape, urgent);
    uint64_t gate = atomic_load_explicit(&ch->gate, memory_order_acquire);
    if (end - gate >= limit || (end - gate > limit / 2 && end % CHAN_GATE_STEP == 0))
        gate = gate_compute(ch, shape, end);
    return end - gate < limit ? limit - (end - gate) : 0;
}

/* Lossy and full: the oldest message of every subscription that is in the way becomes a
 * dead letter. */
static void evict(struct agent *a, struct channel *ch, uint64_t end, uint64_t limit) {
    CHAN_EACH_SUB(ch, sub) {
        gmk_task_t task;
        if (end - atomic_load_explicit(&sub->cursor, memory_order_acquire) < limit ||
            !sub_pin(a, ch, sub))
            continue;
        /* Again, now that it cannot be another's: a later subscription starts at the end. */
        if (end - atomic_load_explicit(&sub->cursor, memory_order_acquire) >= limit &&
            sub_claim(a, ch, sub, &task))
            task_dropped(a, &task, GMK_DROP_FULL);
        sub_unpin(a, sub);
    }
}

/* No room at `end`. True: look again, something changed or is about to. */
static bool make_room(struct agent *a, struct channel *ch, uint64_t shape, uint64_t end,
                      bool urgent, uint32_t *tries) {
    if (!(shape_options(shape) & GMK_CHAN_LOSSY) || ++*tries > CHAN_EVICT_TRIES)
        return false;
    if (*tries > 1)
        hal_relax(); /* the oldest message is being written, or somebody took it */
    evict(a, ch, end, shape_limit(shape, urgent));
    return true;
}

/* Claims up to `want` positions from *pos on for *subs subscriptions. Returns how many, or
 * why none. */
static int64_t claim(struct agent *a, struct channel *ch, uint64_t shape, uint32_t want,
                     bool urgent, uint64_t *pos, uint32_t *subs) {
    uint32_t tries = 0;
    uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
    for (;;) {
        uint64_t end = chan_pos(tail);
        /* Is it still the channel we looked at? If it changes from here on, so does the tail. */
        if (GMK_UNLIKELY(atomic_load_explicit(&ch->shape, memory_order_relaxed) != shape))
            return GMK_ENOENT;
        if (GMK_UNLIKELY(tail & CHAN_CLOSED))
            return GMK_ECLOSED;
        *subs = chan_sub_count(tail);
        if (GMK_UNLIKELY(*subs == 0))
            return shape_options(shape) & GMK_CHAN_LOSSY ? 0 : GMK_EAGAIN;
        uint64_t cells = room(ch, shape, end, urgent);
        if (GMK_UNLIKELY(cells == 0)) {
            uint64_t now = atomic_load_explicit(&ch->tail, memory_order_acquire);
            if (now == tail && !make_room(a, ch, shape, end, urgent, &tries))
                return GMK_EAGAIN;
            tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
            continue;
        }
        uint32_t count = cells < want ? (uint32_t)cells : want;
        /* Acquire: the subscriptions we count. Release: hands on what we acquired. */
        if (atomic_compare_exchange_weak_explicit(&ch->tail, &tail,
                                                  tail + ((uint64_t)count << CHAN_POS_SHIFT),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *pos = end;
            return count;
        }
    }
}

/* What follows a claim before the messages show. */
static void claimed(struct agent *a, struct channel *ch, uint64_t pos, uint64_t count,
                    bool urgent) {
    if (GMK_UNLIKELY(urgent)) {
        uint64_t known = atomic_load_explicit(&ch->urgent_end, memory_order_relaxed);
        /* Relaxed: a hint how urgent the token is. */
        while (known < pos + count &&
               !atomic_compare_exchange_weak_explicit(&ch->urgent_end, &known, pos + count,
                                                      memory_order_relaxed, memory_order_relaxed))
            continue;
    }
    if (GMK_UNLIKELY(a->eng->cfg.deterministic)) {
        uint64_t tick = atomic_load_explicit(&a->eng->lane->tick, memory_order_relaxed);
        if (atomic_exchange_explicit(&ch->tick, tick, memory_order_relaxed) != tick)
            atomic_store_explicit(&ch->tick_end, pos, memory_order_relaxed);
    }
}

/* Writes one message into its cell and shows it. */
static void publish(struct channel *ch, uint64_t pos, const gmk_task_t *task) {
    union chan_cell *cell = &ch->cells[pos & (ch->slots - 1)];
    uint64_t words[CHAN_CELL_WORDS];
    /* The line of a cell some messages ahead starts its way from the reader's cache now, or
     * the barrier behind a message would wait for it; but not in a full log, whose next cells
     * are being read. (GNU extension.) */
    if (pos - atomic_load_explicit(&ch->gate, memory_order_relaxed) < ch->slots - ch->slots / 4)
        __builtin_prefetch(&ch->cells[(pos + CHAN_AHEAD) & (ch->slots - 1)], 1);
    memcpy(words, task, sizeof(words));
    /* Relaxed words: a reader with a shared cursor may still copy what was here, and will
     * find that its claim fails. */
    atomic_store_explicit(&cell->half.type, task->type, memory_order_relaxed);
    for (size_t i = 1; i < CHAN_CELL_WORDS; i++)
        atomic_store_explicit(&cell->words[i], words[i], memory_order_relaxed);
    /* C2 pairs with C3 in chan_read(): the message is complete. */
    atomic_store_explicit(&cell->half.turn, (uint32_t)(pos + 1), memory_order_release);
}

/* Everything that one delivery more or less than one costs: references, credits, counts. */
static void account(struct agent *a, const gmk_task_t *task, uint32_t subs) {
    if (subs > 1 && task->payload != NULL && block_owns(&a->eng->arena.blocks, task->payload)) {
        int status = block_retain(&a->eng->arena.blocks, task->payload, subs - 1);
        K_ASSERT(status == GMK_OK, "the sender holds a reference");
    }
    if (GMK_UNLIKELY(subs > 1 && a->eng->channels[task->channel].bytes_max != 0))
        atomic_fetch_add_explicit(&a->eng->channels[task->channel].bytes,
                                  (subs - 1) * chan_weight(task->len), memory_order_relaxed);
    for (uint32_t i = 0; task->group != 0 && i < subs; i++)
        group_spawn(a, task->group);
    for (uint32_t i = 1; a->eng->count_inflight && i < subs; i++)
        tenant_join(a->eng, task->tenant);
    agent_count(a, task, COUNT_EMITTED, subs);
}

static bool carries(struct engine *eng, uint64_t shape, uint32_t type) {
    if (shape_type(shape) != 0)
        return shape_type(shape) == type;
    return engine_type_index(eng, type) != 0 ||
           (shape_options(shape) & GMK_CHAN_LOOSE && type != 0 && type < GMK_TYPES_MAX);
}

/* May this task travel on this channel? */
static int check(struct agent *a, uint64_t shape, const gmk_task_t *task) {
    if (!carries(a->eng, shape, task->type))
        return GMK_ETYPE;
    if ((task->flags & ~GMK_TASK_USER_FLAGS) != 0 ||
        (task->flags & GMK_TASK_PRIO_MASK) > GMK_PRIORITIES)
        return GMK_EINVAL;
    if (task->tenant >= a->eng->cfg.n_tenants)
        return GMK_ETENANT;
    if (task->group != 0 && group_find(a->eng, task->group) == NULL)
        return GMK_EINVAL;
    return task->len != 0 && task->payload == NULL ? GMK_EINVAL : GMK_OK;
}

/* The runtime's own fields, as they travel. */
static gmk_task_t message(const struct channel *ch, const gmk_task_t *task, uint64_t pos) {
    gmk_task_t copy = *task;
    copy.channel = ch->id;
    copy.sub = 0;
    copy.yield_count = 0;
    copy.seq = pos + 1;
    if (!(copy.flags & GMK_TASK_DEADLINE) && gmk_task_reason(&copy) == GMK_DROP_NONE)
        copy.when_ns = 0;
    return copy;
}

static void announce(struct agent *a, struct channel *ch, unsigned priority) {
    hal_fence(); /* C4 pairs with the fences in chan_run.c: the turns, then the states */
    CHAN_EACH_SUB(ch, sub) {
        sub_schedule(a, sub, priority);
    }
}

/* Lossy, and nobody listens. */
static void drop_unheard(struct agent *a, struct channel *ch, const gmk_task_t *task) {
    gmk_task_t copy = message(ch, task, 0);
    copy.seq = 0;
    account(a, &copy, 1);
    chan_bytes_leave(ch, copy.len);
    task_dropped(a, &copy, GMK_DROP_CLOSED);
}

/* Sends a run of checked messages of one urgency. How many were taken, or why none. */
static int64_t send_run(struct agent *a, struct channel *ch, uint64_t shape,
                        const gmk_task_t *tasks, uint32_t count, bool stamp) {
    bool urgent = gmk_task_priority(tasks) == 0;
    uint64_t pos = 0;
    uint32_t subs = 0;
    int64_t got = claim(a, ch, shape, count, urgent, &pos, &subs);
    if (got < 0)
        return got;
    if (got == 0) {
        drop_unheard(a, ch, tasks);
        return 1;
    }
    claimed(a, ch, pos, (uint64_t)got, urgent);
    for (int64_t i = 0; i < got; i++) {
        gmk_task_t copy = message(ch, &tasks[i], pos + (uint64_t)i);
        if (stamp)
            agent_stamp(a, &copy);
        account(a, &copy, subs);
        publish(ch, pos + (uint64_t)i, &copy);
    }
    trace_event(&a->trace, TRACE_SEND, ch->id);
    announce(a, ch, gmk_task_priority(tasks));
    return got;
}

/* Messages from the first on that can share one claim: checked, admitted, same urgency. */
static uint32_t admit_run(struct agent *a, struct channel *ch, uint64_t shape,
                          const gmk_task_t *tasks, uint32_t count, int *why) {
    uint32_t run = 0;
    *why = GMK_OK;
    while (run < count &&
           (gmk_task_priority(&tasks[run]) == 0) == (gmk_task_priority(tasks) == 0)) {
        *why = check(a, shape, &tasks[run]);
        if (*why == GMK_OK && !tenant_enter(a->eng, tasks[run].tenant))
            *why = GMK_ELIMIT;
        if (*why == GMK_OK && !chan_bytes_enter(ch, tasks[run].len)) {
            tenant_leave(a->eng, tasks[run].tenant);
            *why = chan_weight(tasks[run].len) > ch->bytes_max ? GMK_EINVAL : GMK_EAGAIN;
        }
        if (*why != GMK_OK)
            break;
        run++;
    }
    return run;
}

static void refused(struct agent *a, struct channel *ch, int why) {
    agent_sched(a, SCHED_REFUSED, 1);
    if (why == GMK_EAGAIN) {
        atomic_fetch_add_explicit(&ch->refused, 1, memory_order_relaxed);
        trace_event(&a->trace, TRACE_FULL, ch->id);
    }
}

int chan_emit_n(struct agent *a, uint32_t id, const gmk_task_t *tasks, uint32_t count) {
    return chan_emit_to(a, id, chan_shape(a->eng, id), tasks, count);
}

int chan_emit_to(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *tasks,
                 uint32_t count) {
    struct channel *ch = &a->eng->channels[shape != 0 ? id : 0];
    uint32_t taken = 0;
    int why = shape == 0 || chan_shape(a->eng, id) != shape ? GMK_ENOENT : GMK_OK;

    while (why == GMK_OK && taken < count) {
        uint32_t run = admit_run(a, ch, shape, tasks + taken, count - taken, &why);
        if (run == 0)
            break;
        int64_t got = send_run(a, ch, shape, tasks + taken, run, true);
        for (uint32_t i = got > 0 ? (uint32_t)got : 0; i < run; i++) {
            tenant_leave(a->eng, tasks[taken + i].tenant);
            chan_bytes_leave(ch, tasks[taken + i].len);
        }
        if (got > 0)
            taken += (uint32_t)got;
        else
            why = (int)got;
    }
    if (taken == 0 && why != GMK_OK)
        refused(a, ch, why);
    return taken != 0 || count == 0 ? (int)taken : why;
}

int chan_send_letter(struct agent *a, uint32_t id, const gmk_task_t *task) {
    uint64_t shape = chan_shape(a->eng, id);
    struct channel *ch = &a->eng->channels[shape != 0 ? id : 0];
    if (shape == 0 || chan_sub_count(atomic_load_explicit(&ch->tail, memory_order_relaxed)) == 0)
        return GMK_EAGAIN;
    tenant_join(a->eng, task->tenant); /* what was inside stays inside, whatever the limit */
    int64_t got = send_run(a, ch, shape, task, 1, false);
    if (got < 0)
        tenant_leave(a->eng, task->tenant);
    return got < 0 ? (int)got : GMK_OK;
}

/* ---- Waiting for room -------------------------------------------------------------------- */

/* channel.waiting: whose ticket, and these bits. */
#define WAITS_ARMED  1u /* the heavy barrier behind it is over */
#define WAITS_URGENT 2u /* room for priority 0 is enough */
#define WAITS_TICKET 4u

struct room_wait {
    struct channel *ch;
    uint64_t shape;
    uint32_t ticket; /* the waiting agent's */
    uint32_t len;    /* of its payload */
    bool urgent;
};

static struct room_wait room_wait_of(struct agent *a, uint32_t id, uint64_t shape,
                                     const gmk_task_t *task) {
    bool urgent = gmk_task_priority(task) == 0;
    return (struct room_wait){
        .ch = &a->eng->channels[id < GMK_CHANNELS_MAX ? id : 0],
        .shape = shape,
        .ticket = (a->index + 1) * WAITS_TICKET | (urgent ? WAITS_URGENT : 0),
        .len = task->len,
        .urgent = urgent,
    };
}

/* Would a send be answered with anything but EAGAIN? */
static bool can_send(const struct room_wait *w) {
    uint64_t tail = atomic_load_explicit(&w->ch->tail, memory_order_acquire);
    if ((tail & CHAN_CLOSED) ||
        atomic_load_explicit(&w->ch->shape, memory_order_relaxed) != w->shape)
        return true;
    uint64_t bytes_max = w->ch->bytes_max, weight = bytes_max != 0 ? chan_weight(w->len) : 0;
    bool fits = weight == 0 || weight > bytes_max ||
                atomic_load_explicit(&w->ch->bytes, memory_order_relaxed) + weight <= bytes_max;
    return fits && chan_sub_count(tail) != 0 &&
           (shape_options(w->shape) & GMK_CHAN_LOSSY ||
            room(w->ch, w->shape, chan_pos(tail), w->urgent) != 0);
}

/* The last look before sleeping. */
static bool has_room(struct engine *eng, void *arg) {
    struct room_wait *w = arg;
    (void)eng;
    if (can_send(w))
        return true;
    /* C5 pairs with chan_made_room(): it sees that we wait, or we see the room. The heavy
     * barrier is ours, so that taking a message costs none. An armed ticket's barrier is
     * over; it serves everybody until somebody makes room. */
    uint32_t serves = WAITS_ARMED | (w->urgent ? WAITS_URGENT : 0);
    if ((atomic_load_explicit(&w->ch->waiting, memory_order_seq_cst) & serves) != serves) {
        uint32_t mine = w->ticket;
        atomic_store_explicit(&w->ch->waiting, mine, memory_order_seq_cst);
        if (!hal_barrier_all())
            hal_fence();
        (void)atomic_compare_exchange_strong_explicit(&w->ch->waiting, &mine, mine | WAITS_ARMED,
                                                      memory_order_seq_cst, memory_order_relaxed);
    }
    return can_send(w);
}

/* Before it sleeps, the sender looks for some microseconds, until there is room for many. A
 * worker that could run something else does that instead. */
static void wait_awake(struct agent *a, const struct room_wait *w) {
    uint64_t slots = shape_slots(w->shape);
    if (a->is_worker && (a->eng->cfg.deterministic || gather_visible(a) || lane_calls(a)))
        return;
    for (uint32_t i = 0; i < CHAN_SPIN_LOOKS; i++) {
        for (uint32_t k = 0; k < CHAN_SPIN_PAUSE; k++)
            hal_relax();
        uint64_t tail = atomic_load_explicit(&w->ch->tail, memory_order_acquire);
        if (atomic_load_explicit(&w->ch->shape, memory_order_relaxed) != w->shape)
            return; /* the tail may be another channel's */
        uint64_t behind = chan_pos(tail) - gate_compute(w->ch, w->shape, chan_pos(tail));
        if ((tail & CHAN_CLOSED) || behind < slots - slots / 4)
            return;
    }
}

void chan_made_room(struct agent *a, struct channel *ch) {
    /* C5 pairs with has_room(). */
    if (hal_barrier_is_asymmetric())
        atomic_signal_fence(memory_order_seq_cst);
    else
        hal_fence();
    uint32_t waiting = atomic_load_explicit(&ch->waiting, memory_order_relaxed);
    if (GMK_LIKELY(waiting == 0))
        return;
    hal_fence(); /* of two subscriptions that were slowest together, one sees both moves */
    uint64_t shape = atomic_load_explicit(&ch->shape, memory_order_relaxed);
    uint64_t end = chan_end(ch);
    if (end - gate_compute(ch, shape, end) >= shape_limit(shape, waiting & WAITS_URGENT))
        return; /* a slower one still holds everybody up */
    if (atomic_exchange_explicit(&ch->waiting, 0, memory_order_seq_cst) != 0) {
        wake_waiting(a->eng);
        chan_tell_room(ch);
    }
}

bool chan_is_full(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *task) {
    struct room_wait w = room_wait_of(a, id, shape, task);
    return !can_send(&w);
}

int chan_want_room(struct agent *a, uint32_t id, uint64_t shape, const gmk_task_t *task) {
    struct room_wait w = room_wait_of(a, id, shape, task);
    return has_room(a->eng, &w) ? GMK_EAGAIN : GMK_OK;
}

/* Is the subscription that is in the way the caller's own, further down on this stack? */
static bool is_own_way(struct agent *a, const struct room_wait *w) {
    uint64_t end = chan_end(w->ch);
    CHAN_EACH_SUB(w->ch, sub) {
        if (atomic_load_explicit(&sub->holder, memory_order_relaxed) == a->index + 1 &&
            end - atomic_load_explicit(&sub->cursor, memory_order_relaxed) >=
                shape_limit(w->shape, w->urgent))
            return true;
    }
    return false;
}

/* With many handlers on the stack already, rather look again for a while, since the
 * subscriber runs on another worker, than put one more on top. */
static bool is_deep(struct agent *a, uint32_t *polls) {
    if (!a->is_worker || a->depth < GMK_SPAWN_DEPTH || ++*polls > CHAN_DEEP_POLLS)
        return false;
    hal_yield_cpu();
    return true;
}

int chan_send(struct agent *a, uint32_t id, const gmk_task_t *task, uint64_t timeout_ns) {
    uint64_t until = 0; /* not known yet: most sends do not wait */
    uint32_t polls = 0;
    for (;;) {
        struct room_wait w = room_wait_of(a, id, chan_shape(a->eng, id), task);
        int status = chan_emit_n(a, id, task, 1);
        if (GMK_LIKELY(status != GMK_EAGAIN))
            return status > 0 ? GMK_OK : status;
        if (a->is_worker && a->depth >= GMK_HELP_DEPTH_MAX)
            return GMK_EDEPTH;
        uint64_t now = hal_now_ns();
        if (until == 0)
            until = timeout_ns < TIMER_NEVER - now ? now + timeout_ns : TIMER_NEVER;
        if (now >= until)
            return GMK_ETIMEOUT;
        if (a->is_worker && chan_help(a, &a->eng->channels[id]))
            continue;
        if (a->held != 0 && is_own_way(a, &w))
            return GMK_EDEPTH; /* the subscriber waits below us on this stack */
        wait_awake(a, &w);
        if (a->held != 0 && !a->eng->cfg.deterministic) {
            wake_rest(a, has_room, &w, CHAN_REST_NS);
            continue;
        }
        if (is_deep(a, &polls))
            continue;
        status = wake_wait_until(a, has_room, &w, until == TIMER_NEVER ? HAL_FOREVER : until - now);
        if (status != GMK_OK)
            return status;
    }
}
