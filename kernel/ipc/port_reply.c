/* Port replies: tokens, and everything that is done by one where the fast path does not do.
 *
 * A token is looked up in three steps: the number gives a thread's memory, what that thread waits in
 * gives a port to lock, and under the lock it is still the same call or the token is dead. The thread
 * that holds the token (donor_of) must be of the same unit as the one who uses it. */
#include "kernel/ipc/port_queue.h"
#include "kernel/sys/sys.h"

/* The thread that waits for a reply to this call (a token, shifted), with its port locked. NULL: none
 * that this unit may answer. */
static struct thread *token_enter(const struct unit *unit, uint32_t call) {
    struct thread *caller = thread_users[call >> 1 & (THREADS_MAX - 1)];
    struct block_seen seen;
    if (caller == NULL || !block_look(caller, &seen) ||
        (seen.kind != BLOCK_REPLY && seen.kind != BLOCK_KERNEL))
        return NULL;
    struct port *port = seen.object;
    spin_enter(&port->object.lock);
    const struct thread *holder = caller->donor_of;
    if (caller->block.object == port && caller->block.sequence == seen.sequence &&
        (caller->block.call & ~TOKEN_KERNEL) == call && holder != NULL && holder->unit == unit)
        return caller;
    spin_leave(&port->object.lock);
    return NULL;
}

static void token_leave(const struct thread *caller) {
    struct port *port = caller->block.object;
    spin_leave(&port->object.lock);
}

/* Gives the kept message of `self` to the caller, whose port is locked; unlocks. The caller has been taken
 * out of its wait, and is ours to let go on; *kill: by its end. */
static int reply_locked(struct thread *self, struct thread *caller, bool *kill) {
    bool kernel = caller->block.kind == BLOCK_KERNEL;
    uint32_t tag = self->block.tag;
    int error = kernel && GMK_TAG_CAPS(tag) != 0 ? GMK_EINVAL : message_caps(self, caller);
    if (error != GMK_OK) {
        token_leave(caller);
        return error;
    }
    struct thread *holder = call_over(caller);
    block_over(caller);
    if (kernel) {
        *kill = !fault_reply(caller, tag, self->block.words, self->msg);
    } else {
        message_copy(self->msg, caller->msg, tag_words(tag));
        arch_user_result(caller, tag, 0, self->block.words);
    }
    token_leave(caller);
    inherit_update(holder);
    return GMK_OK;
}

/* Answers the call of the token in `rax`. GMK_OK: *next is a thread to let go on, NULL when it has been
 * done. */
static int reply_slow(struct thread *self, uint64_t tag, const uint64_t words[GMK_MSG_WORDS_REG],
                      uint64_t rax, struct thread **next) {
    *next = NULL;
    if (!tag_is_valid((uint32_t)tag))
        return GMK_EINVAL;
    struct thread *caller = token_enter(self->unit, (uint32_t)(rax >> 31));
    if (caller == NULL)
        return GMK_ETOKEN;
    bool kernel = caller->block.kind == BLOCK_KERNEL, kill = false;
    message_keep(self, (uint32_t)tag, 0, words);
    int error = reply_locked(self, caller, &kill);
    if (error != GMK_OK)
        return error;
    if (kill)
        thread_user_kill(caller, caller->object.serial, GMK_EKILLED);
    if (kernel)
        sched_ready_irq(caller, false);
    else
        *next = caller;
    return GMK_OK;
}

uint64_t ipc_reply(uint64_t tag, uint64_t unused, uint64_t w0, uint64_t w1, uint64_t w2,
                   uint64_t w3, uint64_t rax) {
    (void)unused;
    struct thread *self = cpu_this()->current, *next;
    const uint64_t words[GMK_MSG_WORDS_REG] = {w0, w1, w2, w3};
    int error = (uint32_t)tag != 0 ? GMK_EINVAL : reply_slow(self, tag >> 32, words, rax, &next);
    if (error == GMK_OK && next != NULL)
        sched_ready_irq(next, false);
    return (uint64_t)(int64_t)error;
}

uint64_t ipc_reply_recv_slow(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1,
                             uint64_t w2, uint64_t w3, uint64_t rax) {
    struct thread *self = cpu_this()->current, *next;
    const uint64_t words[GMK_MSG_WORDS_REG] = {w0, w1, w2, w3};
    int error = port_get(self, &self->receives_by, (uint32_t)port_tag, GMK_RIGHT_READ);
    if (error == GMK_OK)
        error = reply_slow(self, port_tag >> 32, words, rax, &next);
    if (error != GMK_OK && error != GMK_ETOKEN)
        leave_with(self, error);
    leave_with(self, (int64_t)port_receive(self, timeout, next));
}

uint64_t ipc_accept(uint64_t token, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                    uint64_t rax) {
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    struct thread *self = cpu_this()->current;
    struct thread *caller = token >> 31 == 0 ? token_enter(self->unit, (uint32_t)token << 1) : NULL;
    if (caller == NULL)
        return (uint64_t)(int64_t)GMK_ETOKEN;
    struct thread *holder = caller->donor_of;
    bool full = holder != self && self->donor_count >= IPC_TOKENS_MAX;
    if (holder != self && !full) {
        (void)donor_remove(caller);
        donor_add(self, caller);
    }
    token_leave(caller);
    if (full)
        return (uint64_t)(int64_t)GMK_ELIMIT;
    inherit_update(holder);
    inherit_update(self);
    return GMK_OK;
}

/* ---- The end of a thread ----------------------------------------------------------------------- */

static struct thread *first_donor(const struct thread *thread) {
    struct runq *rq = sched_lock_thread(thread);
    struct thread *donor = thread->donors;
    sched_unlock(rq);
    return donor;
}

/* Fails one call that `self` holds, unless it has ended just now. */
static void fail_call(const struct thread *self, struct thread *caller) {
    struct block_seen seen;
    if (!block_look(caller, &seen) || (seen.kind != BLOCK_REPLY && seen.kind != BLOCK_KERNEL))
        return;
    struct port *port = seen.object;
    spin_enter(&port->object.lock);
    bool ours = caller->block.object == port && caller->block.sequence == seen.sequence &&
                caller->donor_of == self;
    if (ours) {
        (void)call_over(caller);
        block_over(caller);
    }
    spin_leave(&port->object.lock);
    if (ours)
        wait_end(caller, seen.kind == BLOCK_KERNEL, GMK_EPEER);
}

void ipc_thread_end(struct thread *thread) {
    block_take_out(thread);
    port_leave(thread, NULL);
    /* Each turn one is gone, by us or by somebody else: at most IPC_TOKENS_MAX, and no more come. */
    for (struct thread *caller; (caller = first_donor(thread)) != NULL;)
        fail_call(thread, caller);
}
