/* Port calls: send, call and receive where the fast path does not do: nobody waits, or not here; limits of
 * time; capabilities; several callers; the kernel as caller.
 *
 * Everything is checked under the port's lock before anything is changed. Then the message goes over at
 * once, or the sender keeps it in its block and waits. In both cases the one who has the lock copies. */
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port_queue.h"

/* ---- Sending ------------------------------------------------------------------------------- */

/* The current thread waits, and may have been let go on already. `next`, if any, has been taken out of its
 * wait: it gets this CPU if that is right. */
_Noreturn static void switch_or_block(struct thread *next) {
    struct cpu *cpu = cpu_this();
    if (next == NULL)
        sched_block_user();
    if (sched_bring(cpu, next)) {
        struct runq *rq = runq_enter(cpu);
        if (!cpu->current->woken && sched_can_switch(cpu, rq, next))
            sched_direct_block(cpu, rq, next, NULL);
        runq_leave(rq);
    }
    sched_ready_irq(next, false);
    sched_block_user();
}

/* The message that `from` keeps goes to the first receiver, which is the caller's to let go on. */
static struct thread *receiver_take(struct port *port, struct thread *from, bool call) {
    struct thread *receiver = port->receivers;
    receiver_pop(port, receiver);
    message_deliver(from, receiver, call);
    if (call)
        call_received(receiver, from);
    return receiver;
}

/* No receiver: the thread, whose wait has begun, queues. Unlocks. */
static void queue_caller(struct port *port, struct thread *thread) {
    caller_insert(port, thread);
    if (port->bound.notify != NULL)
        notify_signal(&port->bound);
    struct thread *server = port->server;
    object_leave(&port->object);
    if (server != NULL)
        inherit_update(server);
}

/* The port is locked, the message kept. Unlocks. */
static uint64_t send_locked(struct thread *self, struct port *port, bool call, uint64_t timeout) {
    struct thread *receiver = port->receivers;
    int error = GMK_OK;
    if (timeout == 0 && (call || receiver == NULL))
        error = GMK_ETIMEOUT;
    else if (receiver != NULL)
        error = message_caps(self, receiver);
    bool waits = call || receiver == NULL;
    enum block_kind kind = !call ? BLOCK_SEND : receiver != NULL ? BLOCK_REPLY : BLOCK_CALL;
    if (error == GMK_OK && waits && !block_prepare(self, kind, port, timeout))
        error = GMK_ELIMIT;
    if (error != GMK_OK) {
        object_leave(&port->object);
        return (uint64_t)(int64_t)error;
    }
    if (receiver == NULL) {
        queue_caller(port, self);
        sched_block_user();
    }
    (void)receiver_take(port, self, call);
    object_leave(&port->object);
    if (!call) {
        sched_ready_irq(receiver, false);
        return GMK_OK;
    }
    (void)inherit_refresh(receiver); /* it waits for nobody: nothing to pass on */
    switch_or_block(receiver);
}

int port_get(struct thread *thread, struct port_cache *cache, uint32_t handle, unsigned right) {
    struct cap_view view;
    /* Before the look. Acquire pairs with the changes: who sees the count sees the slot. */
    uint64_t changes = atomic_load_explicit(&cap_changes, memory_order_acquire);
    int error = cap_get(thread->unit, thread->unit->caps, handle, GMK_CAP_PORT, right, &view);
    if (error == GMK_OK)
        *cache = (struct port_cache){.changes = changes,
                                     .port = (struct port *)view.object,
                                     .badge = view.badge,
                                     .handle = handle,
                                     .serial = view.serial};
    return error;
}

static uint64_t send_slow(struct thread *self, bool call, uint64_t port_tag, uint64_t timeout,
                          const uint64_t words[GMK_MSG_WORDS_REG]) {
    struct port_cache *by = &self->calls_by;
    int error = port_get(self, by, (uint32_t)port_tag, GMK_RIGHT_WRITE);
    uint32_t tag = (uint32_t)(port_tag >> 32);
    if (error == GMK_OK && !tag_is_valid(tag))
        error = GMK_EINVAL;
    if (error == GMK_OK && !object_enter(&by->port->object, by->serial))
        error = GMK_EHANDLE;
    if (error != GMK_OK)
        return (uint64_t)(int64_t)error;
    message_keep(self, tag, by->badge, words);
    return send_locked(self, by->port, call, timeout);
}

uint64_t ipc_call_slow(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                       uint64_t w3) {
    struct thread *self = cpu_this()->current;
    const uint64_t words[GMK_MSG_WORDS_REG] = {w0, w1, w2, w3};
    leave_with(self, (int64_t)send_slow(self, true, port_tag, timeout, words));
}

uint64_t ipc_send(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                  uint64_t w3, uint64_t rax) {
    (void)rax;
    const uint64_t words[GMK_MSG_WORDS_REG] = {w0, w1, w2, w3};
    return send_slow(cpu_this()->current, false, port_tag, timeout, words);
}

int ipc_call_kernel(const struct port_ref *ref, uint32_t tag, const uint64_t words[4],
                    const gmk_regs_t *regs, uint64_t badge) {
    (void)regs; /* they are in the frame, where message_deliver() finds them whenever it is time */
    struct thread *self = cpu_this()->current;
    struct port *port = ref->port;
    if (!object_enter(&port->object, ref->serial))
        return GMK_EHANDLE;
    message_keep(self, tag, badge, words);
    block_begin(self, BLOCK_KERNEL, port);
    if (port->receivers == NULL) {
        queue_caller(port, self);
    } else {
        struct thread *receiver = receiver_take(port, self, true);
        object_leave(&port->object);
        (void)inherit_refresh(receiver);
        sched_ready_irq(receiver, false);
    }
    sched_block_full();
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* The caller's message goes to the current thread: the results are in its frame. */
static void take_caller(struct port *port, struct thread *self, struct thread *caller) {
    bool call = caller->block.kind != BLOCK_SEND;
    caller_remove(port, caller);
    message_deliver(caller, self, call);
    if (call) {
        call_received(self, caller);
    } else {
        block_over(caller);
        wait_end(caller, false, GMK_OK);
    }
}

enum { WAITS, CAME }; /* or an error */

static int64_t receive_locked(struct port *port, struct thread *self, uint64_t timeout) {
    for (unsigned refused = 0; port->callers != NULL; refused++) {
        struct thread *caller = port->callers;
        if (refused == IPC_REFUSED_MAX)
            return GMK_EAGAIN;
        int error = message_caps(caller, self);
        if (error == GMK_OK) {
            take_caller(port, self, caller);
            return CAME;
        }
        caller_remove(port, caller);
        block_over(caller);
        wait_end(caller, false, error);
    }
    if (timeout == 0)
        return GMK_ETIMEOUT;
    if (!block_prepare(self, BLOCK_RECV, port, timeout))
        return GMK_ELIMIT;
    receiver_push(port, self);
    return WAITS;
}

uint64_t port_receive(struct thread *self, uint64_t timeout, struct thread *next) {
    struct port *port = self->receives_by.port;
    struct thread *displaced = NULL;
    int64_t result = GMK_ELIMIT;
    /* Others take tokens from it, but only itself gets more. */
    if (self->donor_count < IPC_TOKENS_MAX) {
        port_leave(self, port);
        result = GMK_EHANDLE;
        if (object_enter(&port->object, self->receives_by.serial)) {
            displaced = port_serve(port, self);
            result = receive_locked(port, self, timeout);
            object_leave(&port->object);
        }
    }
    if (displaced != NULL)
        inherit_update(displaced);
    inherit_update(self);
    if (result == WAITS)
        switch_or_block(next);
    if (next != NULL)
        sched_ready_irq(next, false);
    if (result == CAME)
        arch_user_leave(self);
    return (uint64_t)result;
}

uint64_t ipc_recv(uint64_t handle, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                  uint64_t w3, uint64_t rax) {
    (void)w0, (void)w1, (void)w2, (void)w3, (void)rax;
    struct thread *self = cpu_this()->current;
    int error = handle >> 32 != 0
                    ? GMK_EHANDLE
                    : port_get(self, &self->receives_by, (uint32_t)handle, GMK_RIGHT_READ);
    return error != GMK_OK ? (uint64_t)(int64_t)error : port_receive(self, timeout, NULL);
}
