/* Channel, sending: claim, write, announce; eviction and waiting for room. See chan.h. */
#include "engine/chan.h"

#include <string.h>

#include "engine/group.h"
#include "engine/tenant.h"
#include "engine/wake.h"

/* Position below which every cell may be written again. */
static uint64_t gate_compute(struct channel *ch, uint64_t end) {
    uint64_t least = end;
    CHAN_EACH_SUB(ch, sub) {
        /* C1 pairs with the cursor stores in chan_run.c: the cell has been read. */
        uint64_t at = atomic_load_explicit(
            ch->options & GMK_CHAN_REPLAY ? &sub->acked : &sub->cursor, memory_order_acquire);
        least = at < least ? at : least;
    }
    /* Release, and acquire where it is loaded, hand C1 on to other senders. An older and
     * smaller value may overwrite a newer one: that costs a computation, nothing else. */
    atomic_store_explicit(&ch->gate, least, memory_order_release);
    return least;
}

/* Room for a message at the end `end`, in cells; computes the gate only when it must. */
static uint64_t room(struct channel *ch, uint64_t end, bool urgent) {
    uint64_t limit = ch->slots - (urgent ? 0 : ch->reserve);
    uint64_t gate = atomic_load_explicit(&ch->gate, memory_order_acquire);
    if (end - gate >= limit)
        gate = gate_compute(ch, end);
    return end - gate < limit ? limit - (end - gate) : 0;
}

/* Lossy and full: the oldest message of every subscription that is in the way becomes a
 * dead letter. False: nothing could be taken (a sender is in the middle of writing it). */
static bool evict(struct agent *a, struct channel *ch, uint64_t end, bool urgent) {
    uint64_t limit = ch->slots - (urgent ? 0 : ch->reserve);
    bool any = false;
    CHAN_EACH_SUB(ch, sub) {
        gmk_task_t task;
        if (end - atomic_load_explicit(&sub->cursor, memory_order_acquire) < limit)
            continue;
        if (!sub_claim(ch, sub, &task))
            continue;
        any = true;
        task_dropped(a, &task, GMK_DROP_FULL);
    }
    return any;
}

/* Claims up to `want` positions from *pos on for *subs subscriptions. Returns how many, or
 * why none. */
static int64_t claim(struct agent *a, struct channel *ch, uint32_t want, bool urgent,
                     uint64_t *pos, uint32_t *subs) {
    uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
    for (;;) {
        uint64_t end = chan_pos(tail);
        if (GMK_UNLIKELY(tail & CHAN_CLOSED))
            return GMK_ECLOSED;
        *subs = chan_sub_count(tail);
        if (GMK_UNLIKELY(*subs == 0))
            return ch->options & GMK_CHAN_LOSSY ? 0 : GMK_EAGAIN;
        uint64_t cells = room(ch, end, urgent);
        uint64_t now = atomic_load_explicit(&ch->tail, memory_order_acquire);
        if (GMK_UNLIKELY(now != tail)) {
            tail = now;
            continue;
        }
        if (GMK_UNLIKELY(cells == 0)) {
            if (!(ch->options & GMK_CHAN_LOSSY) || !evict(a, ch, end, urgent))
                return GMK_EAGAIN;
            continue;
        }
        uint32_t count = cells < want ? (uint32_t)cells : want;
        /* Release/acquire: the payload references counted for `subs` follow this claim. */
        if (atomic_compare_exchange_weak_explicit(&ch->tail, &tail,
                                                  tail + ((uint64_t)count << CHAN_POS_SHIFT),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *pos = end;
            return count;
        }
    }
}

/* Writes one message into its cell and shows it. */
static void publish(struct channel *ch, uint64_t pos, const gmk_task_t *task) {
    union chan_cell *cell = &ch->cells[pos & (ch->slots - 1)];
    uint64_t words[CHAN_CELL_WORDS];
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
    for (uint32_t i = 0; task->group != 0 && i < subs; i++)
        group_spawn(a, task->group);
    for (uint32_t i = 1; a->eng->count_inflight && i < subs; i++)
        tenant_join(a->eng, task->tenant);
    agent_count(a, task, COUNT_EMITTED, subs);
}

/* May this task travel on this channel? */
static int check(struct agent *a, const struct channel *ch, const gmk_task_t *task) {
    if (ch->type != 0 && task->type != ch->type)
        return GMK_ETYPE;
    if (task->flags & ~GMK_TASK_USER_FLAGS)
        return GMK_EINVAL;
    if (task->tenant >= a->eng->cfg.n_tenants)
        return GMK_ETENANT;
    if (task->group != 0 && group_find(a->eng, task->group) == NULL)
        return GMK_EINVAL;
    if (task->len != 0 && task->payload == NULL)
        return GMK_EINVAL;
    return ch->type == 0 && task->type == 0 ? GMK_ETYPE : GMK_OK;
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
    hal_fence(); /* C4 pairs with the fence in sub_idle(): the turns, then the states */
    CHAN_EACH_SUB(ch, sub) {
        sub_schedule(a, sub, priority);
    }
}

/* Lossy, and nobody listens. */
static int drop_unheard(struct agent *a, struct channel *ch, const gmk_task_t *task) {
    gmk_task_t copy = message(ch, task, 0);
    copy.seq = 0;
    account(a, &copy, 1);
    task_dropped(a, &copy, GMK_DROP_CLOSED);
    return GMK_OK;
}

/* Sends a run of checked messages of one urgency. How many were taken, or why none. */
static int64_t send_run(struct agent *a, struct channel *ch, const gmk_task_t *tasks,
                        uint32_t count, bool stamp) {
    bool urgent = gmk_task_priority(tasks) == 0;
    uint64_t pos = 0;
    uint32_t subs = 0;
    int64_t got = claim(a, ch, count, urgent, &pos, &subs);
    if (got < 0)
        return got;
    if (got == 0) {
        (void)drop_unheard(a, ch, tasks);
        return 1;
    }
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
static uint32_t admit_run(struct agent *a, const struct channel *ch, const gmk_task_t *tasks,
                          uint32_t count, int *why) {
    uint32_t run = 0;
    *why = GMK_OK;
    while (run < count &&
           (gmk_task_priority(&tasks[run]) == 0) == (gmk_task_priority(tasks) == 0)) {
        *why = check(a, ch, &tasks[run]);
        if (*why == GMK_OK && !tenant_enter(a->eng, tasks[run].tenant))
            *why = GMK_ELIMIT;
        if (*why != GMK_OK)
            break;
        run++;
    }
    return run;
}

int chan_emit_n(struct agent *a, uint32_t id, const gmk_task_t *tasks, uint32_t count) {
    struct channel *ch = chan_at(a->eng, id);
    uint32_t taken = 0;
    int why = ch == NULL ? GMK_ENOENT : GMK_OK;

    while (why == GMK_OK && taken < count) {
        uint32_t run = admit_run(a, ch, tasks + taken, count - taken, &why);
        if (run == 0)
            break;
        int64_t got = send_run(a, ch, tasks + taken, run, true);
        for (uint32_t i = got > 0 ? (uint32_t)got : 0; i < run; i++)
            tenant_leave(a->eng, tasks[taken + i].tenant);
        if (got < 0) {
            why = (int)got;
            if (why == GMK_EAGAIN) {
                atomic_fetch_add_explicit(&ch->refused, 1, memory_order_relaxed);
                trace_event(&a->trace, TRACE_FULL, id);
            }
            break;
        }
        taken += (uint32_t)got;
    }
    if (taken == 0 && why != GMK_OK)
        agent_sched(a, SCHED_REFUSED, 1);
    return taken != 0 || count == 0 ? (int)taken : why;
}

int chan_send_letter(struct agent *a, uint32_t id, const gmk_task_t *task) {
    struct channel *ch = chan_at(a->eng, id);
    if (ch == NULL || chan_sub_count(atomic_load_explicit(&ch->tail, memory_order_relaxed)) == 0)
        return GMK_EAGAIN;
    tenant_join(a->eng, task->tenant); /* what was inside stays inside, whatever the limit */
    int64_t got = send_run(a, ch, task, 1, false);
    if (got < 0)
        tenant_leave(a->eng, task->tenant);
    return got < 0 ? (int)got : GMK_OK;
}

/* ---- Waiting for room -------------------------------------------------------------------- */

struct room_wait {
    struct channel *ch;
    bool urgent;
};

static bool has_room(struct engine *eng, void *arg) {
    struct room_wait *w = arg;
    uint64_t tail = atomic_load_explicit(&w->ch->tail, memory_order_seq_cst);
    (void)eng;
    if (tail & CHAN_CLOSED)
        return true;
    return chan_sub_count(tail) != 0 && room(w->ch, chan_pos(tail), w->urgent) != 0;
}

int chan_send(struct agent *a, uint32_t id, const gmk_task_t *task, uint64_t timeout_ns) {
    uint64_t until = timeout_ns == HAL_FOREVER ? TIMER_NEVER : hal_now_ns() + timeout_ns;
    struct room_wait w = {chan_at(a->eng, id), gmk_task_priority(task) == 0};
    for (;;) {
        int status = chan_emit_n(a, id, task, 1);
        if (status != GMK_EAGAIN)
            return status > 0 ? GMK_OK : status;
        if (a->is_worker && a->depth >= GMK_HELP_DEPTH_MAX)
            return GMK_EDEPTH;
        uint64_t now = until == TIMER_NEVER ? 0 : hal_now_ns();
        if (now >= until)
            return GMK_ETIMEOUT;
        /* seq_cst pairs with cursor_publish(): it sees us waiting, or we see the room. */
        atomic_fetch_add_explicit(&w.ch->waiting, 1, memory_order_seq_cst);
        status = wake_wait_until(a, has_room, &w, until == TIMER_NEVER ? HAL_FOREVER : until - now);
        atomic_fetch_sub_explicit(&w.ch->waiting, 1, memory_order_relaxed);
        if (status != GMK_OK)
            return status;
    }
}
