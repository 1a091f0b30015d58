/* Port queue: what the files of kernel/ipc/port*.c and inherit.c share.
 *
 * _locked is not in the names: all that take a port need its lock, unless they say otherwise. */
#pragma once

#include "arch_user.h"
#include "kernel/ipc/port.h"
#include "kernel/sched/runq.h"

/* ---- Queues ------------------------------------------------------------------------------ */

/* Callers: sorted by key. Bounded by PORT_CALLERS_MAX steps, few when priorities are the same. */
void caller_insert(struct port *port, struct thread *thread);
void caller_remove(struct port *port, struct thread *thread);
/* Does it wait in port.callers? */
static inline bool caller_is_queued(const struct port *port, const struct thread *thread) {
    return thread->block.object == port && thread->donor_of == NULL &&
           (thread->block.kind == BLOCK_CALL || thread->block.kind == BLOCK_SEND ||
            thread->block.kind == BLOCK_KERNEL);
}

static inline void receiver_push(struct port *port, struct thread *thread) {
    struct thread *first = port->receivers;
    thread->block.next = first;
    if (first != NULL)
        first->block.prev = thread;
    port->receivers = thread;
}
/* The first one, out of the stack and out of its wait. */
static inline void receiver_pop(struct port *port, struct thread *first) {
    port->receivers = first->block.next;
    block_over(first);
}

/* The thread becomes the server of the port; returns the one that was, if that is another: it needs
 * inherit_update() once no lock is held. */
struct thread *port_serve(struct port *port, struct thread *thread);
/* The thread stops to be the server of whichever port, unless it is `but`. No lock held. */
void port_leave(struct thread *thread, const struct port *but);

/* ---- Messages ---------------------------------------------------------------------------- */

static inline bool tag_is_valid(uint32_t tag) {
    return (tag & ~GMK_TAG_MASK) == 0 && GMK_TAG_BYTES(tag) <= GMK_MSG_WORDS_MAX * 8 &&
           GMK_TAG_CAPS(tag) <= GMK_MSG_CAPS_MAX;
}
static inline unsigned tag_words(uint32_t tag) {
    return (GMK_TAG_BYTES(tag) + 7) / 8;
}

/* What is in the buffer of one thread's message, to the other's. Either unit may write there meanwhile,
 * and gets what it deserves: each word is read once. */
static inline void message_copy(const gmk_msg_t *from, gmk_msg_t *to, unsigned words) {
    if (words > GMK_MSG_WORDS_REG)
        arch_copy_words(&to->words[GMK_MSG_WORDS_REG], &from->words[GMK_MSG_WORDS_REG],
                        words - GMK_MSG_WORDS_REG);
}

/* Keeps what a system call says for the time until it is delivered. */
static inline void message_keep(struct thread *thread, uint32_t tag, uint64_t badge,
                                const uint64_t words[GMK_MSG_WORDS_REG]) {
    thread->block.tag = tag;
    thread->block.badge = badge;
    for (unsigned i = 0; i < GMK_MSG_WORDS_REG; i++)
        thread->block.words[i] = words[i];
}
/* Capabilities of the message that `from` keeps, derived into the table of `to`: all, or an error and
 * none. Nothing to do and GMK_OK when there are none. */
int message_caps(struct thread *from, struct thread *to);
/* The kept message of `from` becomes what recv of `to` returns; `call`: with its token. */
void message_deliver(struct thread *from, struct thread *to, bool call);

/* ---- Calls ---------------------------------------------------------------------------------- */

/* The call was delivered to `server`: the caller waits for its reply, in the same wait. */
void call_received(struct thread *server, struct thread *caller);
/* A call that was received is over, its token dead. Returns who held it: needs inherit_update(). */
struct thread *call_over(struct thread *caller);
/* The thread, taken out of its wait, goes on with a status. `kernel`: it waited in BLOCK_KERNEL; then no
 * lock is held. */
void wait_end(struct thread *thread, bool kernel, int64_t status);
/* ---- Inheritance --------------------------------------------------------------------------- */

/* `donor` waits for a reply of `server`, by the port whose lock is held. */
void donor_add(struct thread *server, struct thread *donor);
struct thread *donor_remove(struct thread *donor); /* returns the server */
/* Computes the priority anew. True: it has changed, and whoever has it as an input must know. Any locks
 * but run queues'. */
bool inherit_refresh(struct thread *thread);
extern _Atomic uint64_t inherit_cut;

/* ---- Slow paths ------------------------------------------------------------------------------ */

/* From the fast paths. They never return: the thread goes on from its frame, or waits. Not _Noreturn,
 * which would make the compiler take the paths before them for cold. */
uint64_t ipc_call_slow(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                       uint64_t w3);
uint64_t ipc_reply_recv_slow(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1,
                             uint64_t w2, uint64_t w3, uint64_t rax);
/* cap_get() for a port; remembers what it found. */
int port_get(struct thread *thread, struct port_cache *cache, uint32_t handle, unsigned right);
/* The current thread receives by thread->receives_by; `next`, if any, goes on first: it has just got its
 * reply. */
uint64_t port_receive(struct thread *thread, uint64_t timeout, struct thread *next);

/* The current thread's system call returns this. */
_Noreturn static inline void leave_with(struct thread *self, int64_t rax) {
    arch_user_status(self, rax);
    arch_user_leave(self);
}
