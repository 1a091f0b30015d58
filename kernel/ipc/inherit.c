/* Inherit: the priority of a thread that works for others.
 *
 * See port.h for what it is. Here is why it is exact without a lock over the chain.
 *
 * A priority is computed from base, donors and the port's top, under the lock of the thread's run queue.
 * Two things can change at once: an input (say, who donates to S), and the value of an input (the donor's
 * own priority). Each is followed by a full barrier and then a look at the other:
 *   - who makes D a donor of S (or queues it at S's port) stores that, fence, and reads D's priority;
 *   - who changes D's priority stores that, fence, and reads what D donates to (Dekker).
 * So one of the two sees both, and recomputes S. Whoever changed S is in turn the one who passes on.
 * When nobody passes on any more, every priority is what its inputs say (tests/model/ipc_inherit.pml).
 *
 * A queue of callers is sorted by `key`, a copy of the priority that only this file and the queue
 * change, under the port's lock: a priority that has changed but was not passed on yet does not
 * disturb the order.
 *
 * Threads that wait for each other in a circle inherit from each other: while the circle lasts, a
 * priority that came in from outside may stay. They do not run, so nothing is lost; the first timeout
 * that breaks the circle makes it exact again. */
#include "kernel/core/panic.h"
#include "kernel/ipc/port_queue.h"

_Atomic uint64_t inherit_cut; /* chains that were longer than IPC_CHAIN_MAX */

/* Another CPU may change it just now: then it passes the change on. */
static unsigned priority_seen(const struct thread *thread) {
    return *(const volatile uint8_t *)&thread->priority;
}

unsigned inherit_effective(const struct thread *thread) {
    unsigned most = thread->base;
    const struct thread *donor = thread->donors;
    for (unsigned i = 0; i < thread->donor_count; i++, donor = donor->donor_next) {
        unsigned priority = priority_seen(donor);
        most = priority > most ? priority : most;
    }
    if (thread->served != NULL) {
        /* Relaxed: the fence in inherit_refresh() orders it. */
        unsigned top = atomic_load_explicit(&thread->served->top, memory_order_relaxed);
        most = top > most + 1 ? top - 1 : most;
    }
    return most;
}

/* Links of the only donor mean nothing: fast paths do not write them. */
void donor_add(struct thread *server, struct thread *donor) {
    struct runq *rq = sched_lock_thread(server);
    struct thread *first = server->donors;
    if (server->donor_count == 0)
        server->donors = first = donor;
    if (server->donor_count <= 1)
        first->donor_next = first->donor_prev = first;
    if (first != donor) {
        donor->donor_next = first;
        donor->donor_prev = first->donor_prev;
        first->donor_prev->donor_next = donor;
        first->donor_prev = donor;
    }
    server->donor_count++;
    donor->donor_of = server;
    sched_unlock(rq);
}

struct thread *donor_remove(struct thread *donor) {
    struct thread *server = donor->donor_of;
    struct runq *rq = sched_lock_thread(server);
    if (--server->donor_count == 0) {
        server->donors = NULL;
    } else {
        donor->donor_prev->donor_next = donor->donor_next;
        donor->donor_next->donor_prev = donor->donor_prev;
        if (server->donors == donor)
            server->donors = donor->donor_next;
    }
    donor->donor_of = NULL;
    sched_unlock(rq);
    return server;
}

bool inherit_refresh(struct thread *thread) {
    /* The caller's change of an input is visible before we read the inputs' values. Pairs with the
     * fence in inherit_next(). */
    atomic_thread_fence(memory_order_seq_cst);
    struct runq *rq = sched_lock_thread(thread);
    unsigned priority = inherit_effective(thread);
    if (priority == thread->priority) {
        sched_unlock(rq);
        return false;
    }
    sched_effective_unlock(rq, thread, priority);
    return true;
}

/* The priority of `thread` has changed. Who has it as an input? NULL: nobody. */
static struct thread *inherit_next(struct thread *thread) {
    /* The change is visible before we look whom it concerns. Pairs with the fences in
     * inherit_refresh() and caller_insert(). */
    atomic_thread_fence(memory_order_seq_cst);
    struct thread *next = *(struct thread *const volatile *)&thread->donor_of;
    struct block_seen seen;
    if (next != NULL || !block_look(thread, &seen))
        return next;
    if (seen.kind != BLOCK_CALL && seen.kind != BLOCK_SEND && seen.kind != BLOCK_KERNEL)
        return NULL;
    struct port *port = seen.object;
    spin_enter(&port->object.lock);
    if (caller_is_queued(port, thread)) {
        caller_remove(port, thread);
        caller_insert(port, thread);
        next = port->server;
    } else {
        next = thread->donor_of; /* it was received in the meantime */
    }
    spin_leave(&port->object.lock);
    return next;
}

void inherit_update(struct thread *thread) {
    for (unsigned i = 0; i < IPC_CHAIN_MAX; i++) {
        if (!inherit_refresh(thread))
            return;
        thread = inherit_next(thread);
        if (thread == NULL)
            return;
    }
    atomic_fetch_add_explicit(&inherit_cut, 1, memory_order_relaxed);
}
