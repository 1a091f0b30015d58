/* Notification, inside: the list of those who wait, for notify.c and notify_fast.c. */
#pragma once

#include "arch_user.h"
#include "ggmk/error.h"
#include "kernel/ipc/notify.h"
#include "kernel/sched/runq.h"

static const uint64_t no_words[4];

/* What the short paths leave to those that see to everything: as the system calls, arguments checked
 * by nobody yet. They remember the capability in thread->signals and thread->waits. */
uint64_t notify_signal_slow(uint64_t handle, uint64_t bits);
uint64_t notify_wait_slow(uint64_t handle, uint64_t mask, uint64_t timeout);
uint64_t notify_both_slow(uint64_t signal, uint64_t wait, uint64_t bits, uint64_t mask,
                          uint64_t timeout);
/* The second half of signal-and-wait: the signal is given, and `t` (may be NULL) has its bits but
 * does not run yet. What goes wrong with the wait goes wrong after the signal, as in two calls. */
uint64_t notify_then_wait(struct thread *t, struct notify *n, uint32_t serial, uint64_t mask,
                          uint64_t timeout);

/* ---- The list, under the lock ------------------------------------------------------------ */

static inline void list_add(struct notify *n, struct thread *t) {
    struct thread *first = n->waiters;
    if (GMK_LIKELY(first == NULL)) {
        n->waiters = t->block.next = t->block.prev = t;
        return;
    }
    t->block.next = first;
    t->block.prev = first->block.prev;
    first->block.prev->block.next = t;
    first->block.prev = t;
}

static inline void list_remove(struct notify *n, struct thread *t) {
    block_over(t);
    if (GMK_LIKELY(t->block.next == t)) {
        n->waiters = NULL;
        return;
    }
    t->block.prev->block.next = t->block.next;
    t->block.next->block.prev = t->block.prev;
    if (n->waiters == t)
        n->waiters = t->block.next;
}

/* The first waiter goes on with these bits: it is ours to make ready. */
static inline void release(struct notify *n, struct thread *t, uint64_t bits) {
    list_remove(n, t);
    arch_user_result(t, GMK_OK, bits, no_words);
}
