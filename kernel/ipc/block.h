/* Block: how a user thread waits, and how a wait ends early.
 *
 * A user thread waits only at the boundary to user mode: its kernel stack holds nothing but its user
 * frame, and what it will return with is written into that frame (arch_user_result()). So to end a
 * wait nothing has to be unwound, a thread that waits can be killed where it is, and a switch to it
 * is a load of its stack pointer.
 *
 * What it waits in is `thread->block.kind` and `.object`. Kind, object and the queue's links are
 * guarded by that object's lock. The one who takes a thread out of its queue under that lock owns the
 * right, and has the duty, to let it go on: sched_ready(), or a direct switch. Nobody else does. It
 * says block_over() before it releases the lock.
 *
 * Ends from outside (timeout, kill) go through block_cancel(): read kind and object, lock, look
 * again, take out, write the error, ready. Objects are type-stable, so a stale pointer still locks.
 * That needs a kind and an object which belong together: the order of the stores in block_begin() and
 * of the loads in block_look() makes sure of it, as in a sequence lock.
 *
 * Timers. A wait that ends in time leaves its timer where it is; the next wait with a limit moves it.
 * So a wake-up costs nothing for it, and a timer that fires looks whether its time has come. */
#pragma once

#include "kernel/sched/thread.h"

/* The current thread, at the boundary, waits in `kind` of `object` from here on, without a limit. Under
 * the object's lock, before it enters the queue. Orders: see block_look(). */
static inline void block_begin(struct thread *thread, enum block_kind kind, void *object) {
    atomic_store_explicit(&thread->block.until_ns, GMK_FOREVER, memory_order_relaxed);
    atomic_signal_fence(memory_order_release);
    (*(uint32_t *)&thread->block
          .sequence)++; /* one store, and nobody else's: an ordinary one will do */
    atomic_store_explicit(&thread->block.object, object, memory_order_release);
    atomic_store_explicit(&thread->block.kind, (uint8_t)kind, memory_order_release);
}

/* The thread has been taken out of what it waited in. Under that object's lock. */
static inline void block_over(struct thread *thread) {
    atomic_store_explicit(&thread->block.kind, BLOCK_NONE, memory_order_relaxed);
}

/* Does it wait in `kind` of `object`, and is that the wait of `sequence` (UINT32_MAX: whichever)? Under
 * the object's lock. */
static inline bool block_is(const struct thread *thread, enum block_kind kind, const void *object,
                            uint32_t sequence) {
    return atomic_load_explicit(&thread->block.kind, memory_order_relaxed) == kind &&
           atomic_load_explicit(&thread->block.object, memory_order_relaxed) == object &&
           (sequence == UINT32_MAX ||
            atomic_load_explicit(&thread->block.sequence, memory_order_relaxed) == sequence);
}

/* The same as block_begin(), for at most timeout_ns: arms its timer unless that is GMK_FOREVER. False:
 * no timer is free (GMK_ELIMIT), nothing was changed. */
bool block_prepare(struct thread *thread, enum block_kind kind, void *object, uint64_t timeout_ns);

/* Ends the wait of `thread` with `status` as its rax, if it still is the one of `sequence`
 * (UINT32_MAX: whichever). True if it was this call that ended it. IF off, no lock held. */
bool block_cancel(struct thread *thread, uint32_t sequence, int64_t status);

/* The same, but the thread does not go on: it ends. */
void block_take_out(struct thread *thread);

/* What a thread waits in, as one who holds no lock sees it: kind and object of one and the same wait.
 * False: in nothing, or it changed just now. */
struct block_seen {
    uint32_t sequence;
    enum block_kind kind;
    void *object;
};
bool block_look(struct thread *thread, struct block_seen *seen);

/* One per kind, in the file of its object: takes the thread out if it still waits there. Returns
 * true with nothing locked if it did. */
typedef bool (*block_remove_fn)(struct thread *thread, void *object, uint32_t sequence);
bool port_block_remove(struct thread *thread, void *port, uint32_t sequence);
bool notify_block_remove(struct thread *thread, void *notify, uint32_t sequence);
bool word_block_remove(struct thread *thread, void *bucket, uint32_t sequence);
bool chan_block_remove(struct thread *thread, void *channel, uint32_t sequence);
