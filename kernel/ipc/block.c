/* Block: the beginning and the early end of a user thread's wait. See block.h.
 *
 * Lock: none of its own; the object's, by the kind's function. The timer of a wait fires in interrupt
 * context on the CPU where the wait began, and knows nothing but the thread: whether the time of the
 * wait that it finds has come is in `until_ns`. */
#include "kernel/ipc/block.h"

#include "arch_user.h"

static const block_remove_fn removers[BLOCK_KINDS] = {
    [BLOCK_RECV] = port_block_remove,      [BLOCK_SEND] = port_block_remove,
    [BLOCK_CALL] = port_block_remove,      [BLOCK_REPLY] = port_block_remove,
    [BLOCK_KERNEL] = port_block_remove,    [BLOCK_NOTIFY] = notify_block_remove,
    [BLOCK_WORD] = word_block_remove,      [BLOCK_CHAN_SEND] = chan_block_remove,
    [BLOCK_CHAN_RECV] = chan_block_remove,
};

/* Why it is right. A wait stores its sequence, then its object, then its kind, and before that the one
 * before has stored NONE. So a kind that is read after a sequence belongs to that wait or a later one,
 * and an object read after that kind likewise. If the sequence is still the same at the end, there was
 * no later one. */
bool block_look(struct thread *thread, struct block_seen *seen) {
    /* Acquires pair with the releases in block_begin(). */
    seen->sequence = atomic_load_explicit(&thread->block.sequence, memory_order_acquire);
    seen->kind = atomic_load_explicit(&thread->block.kind, memory_order_acquire);
    seen->object = atomic_load_explicit(&thread->block.object, memory_order_acquire);
    return seen->kind != BLOCK_NONE &&
           atomic_load_explicit(&thread->block.sequence, memory_order_relaxed) == seen->sequence;
}

bool block_cancel(struct thread *thread, uint32_t sequence, int64_t status) {
    struct block_seen seen;
    if (!block_look(thread, &seen) || (sequence != UINT32_MAX && sequence != seen.sequence) ||
        !removers[seen.kind](thread, seen.object, seen.sequence))
        return false;
    if (seen.kind != BLOCK_KERNEL) /* those have a frame without places for results */
        arch_user_status(thread, status);
    sched_ready_irq(thread, false);
    return true;
}

void block_take_out(struct thread *thread) {
    struct block_seen seen;
    if (block_look(thread, &seen))
        (void)removers[seen.kind](thread, seen.object, seen.sequence);
}

static void on_timeout(struct timer *timer) {
    struct thread *thread =
        (struct thread *)(void *)((char *)timer - offsetof(struct thread, timer_memory));
    /* Acquire pairs with the release in block_begin(): an end as old as this wait, or newer. */
    uint32_t sequence = atomic_load_explicit(&thread->block.sequence, memory_order_acquire);
    if (atomic_load_explicit(&thread->block.until_ns, memory_order_relaxed) <= time_now_ns())
        (void)block_cancel(thread, sequence, GMK_ETIMEOUT);
}

bool block_prepare(struct thread *thread, enum block_kind kind, void *object, uint64_t timeout_ns) {
    uint64_t until = GMK_FOREVER;
    if (timeout_ns != GMK_FOREVER) {
        uint64_t now = time_now_ns();
        until = timeout_ns < GMK_FOREVER - now ? now + timeout_ns : GMK_FOREVER - 1;
        /* Its function may run elsewhere just now, for the wait before: it will find another sequence. */
        (void)timer_cancel(&thread->timer_memory);
        if (!timer_start(&thread->timer_memory, until, on_timeout))
            return false;
    }
    block_begin(thread, kind, object);
    atomic_store_explicit(&thread->block.until_ns, until, memory_order_relaxed);
    return true;
}
