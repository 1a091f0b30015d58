/* Channel, one message: the usual case of sending and of pulling, in a straight line and in line.
 *
 * A system call sends or takes one message, with interrupts off, and instructions count. What chan_send.c
 * and chan_pull.c do for every kind of channel is here for the plain one: a message without group
 * and of no special urgency, one subscription, no reserve in use, no accounts. It is the same
 * protocol, with the same names (C1 .. C5); what is not plain goes the long way, from its start. */
#pragma once

#include "engine/chan.h"
#include "engine/counts.h"

/* trace_event() as a call only when somebody listens. */
#define CHAN_TRACE(a, kind, value)                                        \
    do {                                                                  \
        if (GMK_UNLIKELY(trace_on(&(a)->trace, trace_kinds[kind].level))) \
            trace_event(&(a)->trace, (kind), (value));                    \
    } while (0)

/* Nothing about the message, the channel or the engine asks for more than a cell. */
static inline bool chan_is_plain(const struct agent *a, const struct channel *ch, uint64_t tail,
                                 uint64_t shape, const gmk_task_t *task) {
    /* Open, and for one subscription: the lower bits of the tail are 1. */
    return (tail & (CHAN_CLOSED | CHAN_SUBS_MASK)) == 1 && shape_type(shape) == task->type &&
           task->flags <= GMK_PRIORITIES && task->flags != GMK_PRIO(0) && task->group == 0 &&
           a->eng->plain && atomic_load_explicit(&ch->shape, memory_order_acquire) == shape &&
           /* Acquire: C1, handed on by the gate. */
           chan_pos(tail) - atomic_load_explicit(&ch->gate, memory_order_acquire) < ch->limit;
}

/* Writes the cell that was claimed, and calls who waits for it. */
static inline void chan_fill_one(struct agent *a, struct channel *ch, uint64_t pos,
                                 const gmk_task_t *task) {
    union chan_cell *cell = &ch->cells[pos & (ch->slots - 1)];
    uint64_t flags = task->flags, when_ns = 0;
    if (GMK_UNLIKELY((++a->stamp_count & a->eng->stamp_mask) == 0)) {
        flags |= GMK_TASK_STAMPED;
        when_ns = hal_now_ns();
    }
    GMK_STATIC_ASSERT(offsetof(gmk_task_t, channel) == 10, "channel is byte 2 of word 1");
    GMK_STATIC_ASSERT(offsetof(gmk_task_t, tenant) == 12, "tenant is byte 4 of word 1");
    const uint64_t word1 = flags | (uint64_t)ch->id << 16 | (uint64_t)task->tenant << 32;
    atomic_store_explicit(&cell->half.type, task->type, memory_order_relaxed);
    atomic_store_explicit(&cell->words[1], word1, memory_order_relaxed);
    atomic_store_explicit(&cell->words[2], pos + 1, memory_order_relaxed);
    atomic_store_explicit(&cell->words[3], (uintptr_t)task->payload, memory_order_relaxed);
    atomic_store_explicit(&cell->words[4], (uint64_t)task->len, memory_order_relaxed);
    atomic_store_explicit(&cell->words[5], task->meta0, memory_order_relaxed);
    atomic_store_explicit(&cell->words[6], task->meta1, memory_order_relaxed);
    atomic_store_explicit(&cell->words[7], when_ns, memory_order_relaxed);
    /* C2, as in publish(). */
    atomic_store_explicit(&cell->half.turn, (uint32_t)(pos + 1), memory_order_release);
    hal_fence(); /* C4, as in announce() */
    CHAN_EACH_SUB(ch, sub) {
        if (atomic_load_explicit(&sub->state, memory_order_relaxed) != SUB_PULLED)
            sub_schedule(a, sub, gmk_task_priority(task));
    }
}

/* GMK_OK, or why not. Of the task only what a sender may say is read. */
static inline int chan_emit_one(struct agent *a, struct channel *ch, uint64_t shape,
                                const gmk_task_t *task) {
    uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_acquire);
    if (GMK_LIKELY(chan_is_plain(a, ch, tail, shape, task)) &&
        (task->len == 0 || chan_bytes_enter(ch, task->len))) {
        uint64_t pos = chan_pos(tail);
        /* As in claim(). */
        if (GMK_LIKELY(atomic_compare_exchange_strong_explicit(
                &ch->tail, &tail, tail + (UINT64_C(1) << CHAN_POS_SHIFT), memory_order_acq_rel,
                memory_order_relaxed))) {
            agent_count(a, task, COUNT_EMITTED, 1);
            CHAN_TRACE(a, TRACE_SEND, ch->id);
            chan_fill_one(a, ch, pos, task);
            return GMK_OK;
        }
        chan_bytes_leave(ch, task->len);
    }
    int sent = chan_emit_to(a, ch->id, shape, task, 1);
    return sent > 0 ? GMK_OK : sent;
}

/* The message at the cursor is there: *out, but for the runtime's fields other than `seq`. False:
 * it asks for more. */
static inline bool chan_take_one(struct agent *a, struct channel *ch, struct chan_sub *sub,
                                 const union chan_cell *cell, uint64_t at, uint32_t len_max,
                                 gmk_task_t *out) {
    uint64_t word1 = atomic_load_explicit(&cell->words[1], memory_order_relaxed);
    uint64_t word4 = atomic_load_explicit(&cell->words[4], memory_order_relaxed);
    if (GMK_UNLIKELY((word1 & (GMK_TASK_DEADLINE | GMK_TASK_STAMPED)) != 0 || word4 > len_max ||
                     !sub->plain || !a->eng->plain || sub_is_cut(sub) ||
                     atomic_load_explicit(&a->eng->dropping, memory_order_relaxed) != 0))
        return false; /* a word 4 with a group is larger than any length */
    out->type = atomic_load_explicit(&cell->half.type, memory_order_relaxed);
    out->flags = (uint16_t)word1;
    out->seq = atomic_load_explicit(&cell->words[2], memory_order_relaxed);
    out->payload = (void *)(uintptr_t)atomic_load_explicit(&cell->words[3], memory_order_relaxed);
    out->len = (uint32_t)word4;
    out->meta0 = atomic_load_explicit(&cell->words[5], memory_order_relaxed);
    out->meta1 = atomic_load_explicit(&cell->words[6], memory_order_relaxed);
    atomic_store_explicit(&sub->cursor, at + 1, memory_order_release); /* C1 */
    if (out->len != 0)
        chan_bytes_leave(ch, out->len);
    CHAN_TRACE(a, TRACE_DELIVER, ch->id);
    count_add(&sub->delivered, 1);
    agent_count_type(a, engine_type_index(a->eng, out->type), out, COUNT_COMPLETED, 1);
    hal_fence(); /* C5, as in chan_made_room() */
    if (GMK_UNLIKELY(atomic_load_explicit(&ch->waiting, memory_order_relaxed) != 0))
        chan_made_room(a, ch);
    if (GMK_UNLIKELY(atomic_load_explicit(&a->eng->quiet_waiters, memory_order_relaxed) != 0))
        counts_nudge_quiet(a->eng);
    return true;
}

/* As chan_pull(), but of *out only what a sender says, and `seq`, is written. `sub` is the channel's,
 * pulled, and nobody ends it meanwhile. */
static inline int chan_pull_one(struct agent *a, struct channel *ch, struct chan_sub *sub,
                                uint32_t len_max, gmk_task_t *out, uint64_t *lost) {
    uint64_t at = atomic_load_explicit(&sub->cursor, memory_order_relaxed);
    const union chan_cell *cell = &ch->cells[at & (ch->slots - 1)];
    *lost = 0;
    /* C3 pairs with C2 in publish() and chan_fill_one(). */
    if (atomic_load_explicit(&cell->half.turn, memory_order_acquire) != (uint32_t)(at + 1)) {
        uint32_t pulled = SUB_PULLED;
        if (GMK_UNLIKELY(chan_is_closed(ch) || !sub->plain))
            return chan_pull(a, ch->id, sub->index, len_max, out, lost);
        /* Armed already: whoever writes the turn now will find it so. Else as in arm(). */
        if (atomic_load_explicit(&sub->state, memory_order_acquire) == SUB_PULL_WAITS)
            return GMK_EAGAIN;
        (void)atomic_compare_exchange_strong_explicit(&sub->state, &pulled, SUB_PULL_WAITS,
                                                      memory_order_seq_cst, memory_order_relaxed);
        hal_fence(); /* C4 */
        if (GMK_LIKELY(atomic_load_explicit(&cell->half.turn, memory_order_acquire) !=
                       (uint32_t)(at + 1)))
            return chan_is_closed(ch) ? chan_pull(a, ch->id, sub->index, len_max, out, lost)
                                      : GMK_EAGAIN;
    }
    if (GMK_LIKELY(chan_take_one(a, ch, sub, cell, at, len_max, out)))
        return GMK_OK;
    return chan_pull(a, ch->id, sub->index, len_max, out, lost);
}
