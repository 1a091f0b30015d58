/* Port fast paths: a call that meets a waiting receiver, and the reply to the only caller.
 *
 * Both do the same: look at everything with the port and this CPU's run queue locked, and when all is as
 * usual, give the partner the CPU with the message in its registers. Whatever is not as usual is
 * left to the slow paths, before anything was changed: a limit of time, capabilities, a partner
 * that is on another CPU, stopped, limited or bound; more tokens than one; a thread that waits for the
 * CPU and is more urgent.
 *
 * Inheritance needs no walk here. The receiver waits for nobody, so nobody has its priority as an input;
 * with the caller as its only donor and no queue at the port it gets the more urgent of the two, and
 * afterwards just its own again. Caller and receiver belong to this CPU: one run-queue lock guards both.
 *
 * The capability is the one that the thread used last, unless some capability was taken back
 * somewhere since (cap_changes). The slow path looks it up, and remembers it.
 *
 * These functions never return, because the registers that C keeps are in the thread's frame: the
 * compiler may use them all (mk/kernel.mk), and saves none. docs/ipc.md counts the instructions. */
#include "kernel/ipc/port_queue.h"

/* Everything in line, and none of it cold, although no path returns. */
#define FAST __attribute__((hot, flatten))

/* It is not so simple: somebody waits for the CPU, or vector registers change hands. */
static inline bool can_hand_over_odd(struct cpu *cpu, const struct runq *rq, struct thread *self,
                                     struct thread *next, uint64_t traits, unsigned priority) {
    int top = runq_top(rq);
    if ((uint32_t)traits != 0 ||
        (top != IDLE_PRIORITY && ((int)priority < top || !rq->slice_armed)))
        return false;
    if (traits != 0)
        arch_call_keeping((void (*)(void))arch_fpu_switch, cpu, (uintptr_t)self, next);
    return true;
}

/* May the CPU go to `next`, of this priority, without a look at the queue? Its lock is held. The last
 * question, because vector registers change hands here. */
static inline bool can_hand_over(struct cpu *cpu, const struct runq *rq, struct thread *self,
                                 struct thread *next, unsigned priority) {
    uint64_t traits = thread_traits(self) | thread_traits(next);
    _Static_assert(IDLE_PRIORITY == -1, "whose complement is 0");
    return GMK_LIKELY((traits | (uint32_t)~runq_top(rq)) == 0) ||
           can_hand_over_odd(cpu, rq, self, next, traits, priority);
}

/* Told first and taken back if it is not to be: nobody sees it before the lock is released. */
static inline void runs_now(struct runq *rq, unsigned priority) {
    atomic_store_explicit(&rq->priority, (int)priority, memory_order_relaxed);
}

/* Nothing was taken back since the capability was looked up? With the port's lock held that says, too,
 * that the port lives the same life: its end empties a slot first, and then takes the lock. */
static inline bool still_good(const struct port_cache *cache) {
    uint64_t changes = atomic_load_explicit(&cap_changes, memory_order_acquire);
    return cache->changes == changes;
}

/* Only a thread itself changes what it waits in. It has been seen waiting here, so an ordinary load will
 * do: if it waits elsewhere, it is not in this port, and that stays so while the lock is held. */
static inline const void *waits_in(const struct thread *thread) {
    return *(void *const *)(const void *)&thread->block.object;
}

/* Bytes of a message, with the number of capabilities above. */
static inline unsigned bytes_of(uint64_t port_tag) {
    return (unsigned)(port_tag >> 48);
}

/* The current thread waits already; `next` gets the CPU. sched_direct_block(), but for what
 * can_hand_over() has seen to. */
static inline void pass(struct cpu *cpu, struct thread *self, struct thread *next) {
    arch_user_boundary(self);
    uint64_t now = arch_cycles();
    self->run_cycles += now - self->since_cycles;
    self->state = THREAD_BLOCKED;
    next->since_cycles = now;
    next->state = THREAD_RUNNING;
    next->switches++;
    cpu->current = next;
    arch_user_switch_plain(cpu, next);
}

static inline __attribute__((always_inline)) uint64_t call(uint64_t port_tag, uint64_t timeout,
                                                           uint64_t w0, uint64_t w1, uint64_t w2,
                                                           uint64_t w3, bool has_more) {
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current;
    if (GMK_UNLIKELY(timeout != GMK_FOREVER) ||
        GMK_UNLIKELY(self->calls_by.handle != (uint32_t)port_tag))
        return ipc_call_slow(port_tag, timeout, w0, w1, w2, w3);
    struct port *port = self->calls_by.port;
    spin_enter_brief(&port->object.lock);
    struct thread *receiver = port->receivers;
    if (GMK_UNLIKELY(!still_good(&self->calls_by)) || GMK_UNLIKELY(receiver == NULL) ||
        GMK_UNLIKELY(receiver->cpu != cpu->index) || GMK_UNLIKELY(receiver->donors != NULL))
        goto unlock;
    struct runq *rq = cpu->rq;
    spin_enter_brief(&rq->lock);
    uint8_t priority = self->priority;
    if (GMK_UNLIKELY(receiver->priority > priority))
        priority = receiver->priority;
    runs_now(rq, priority);
    if (GMK_UNLIKELY(!can_hand_over(cpu, rq, self, receiver, priority)))
        goto unlock_both;

    receiver_pop(port, receiver);
    block_begin(self, BLOCK_REPLY, port);
    self->donor_of = receiver;
    receiver->donors = self;
    receiver->donor_count = 1;
    receiver->priority = priority;
    if (has_more)
        message_copy(self->msg, receiver->msg, (bytes_of(port_tag) + 7) / 8);
    pass(cpu, self, receiver);
    arch_user_hand_over_message(receiver, &rq->lock, &port->object.lock,
                                (uint64_t)self->block.call << 31 | port_tag >> 32,
                                self->calls_by.badge, w0, w1, w2, w3);

unlock_both:
    runs_now(rq, self->priority);
    spin_leave_brief(&rq->lock);
unlock:
    spin_leave_brief(&port->object.lock);
    return ipc_call_slow(port_tag, GMK_FOREVER, w0, w1, w2, w3);
}

FAST __attribute__((noinline)) static uint64_t
call_long(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3) {
    if (GMK_UNLIKELY(bytes_of(port_tag) > 8 * GMK_MSG_WORDS_MAX))
        return ipc_call_slow(port_tag, timeout, w0, w1, w2, w3);
    return call(port_tag, timeout, w0, w1, w2, w3, true);
}

FAST uint64_t ipc_call(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                       uint64_t w3, uint64_t rax) {
    (void)rax;
    if (GMK_UNLIKELY(bytes_of(port_tag) > 8 * GMK_MSG_WORDS_REG))
        return call_long(port_tag, timeout, w0, w1, w2, w3);
    return call(port_tag, timeout, w0, w1, w2, w3, false);
}

static inline __attribute__((always_inline)) uint64_t
reply_recv(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3,
           uint64_t rax, bool has_more) {
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current;
    if (GMK_UNLIKELY(timeout != GMK_FOREVER) ||
        GMK_UNLIKELY(self->receives_by.handle != (uint32_t)port_tag))
        return ipc_reply_recv_slow(port_tag, timeout, w0, w1, w2, w3, rax);
    struct port *port = self->receives_by.port;
    spin_enter_brief(&port->object.lock);
    struct runq *rq = cpu->rq;
    spin_enter_brief(&rq->lock);
    /* A donor of this thread is in a call that this unit received: what makes a token good. */
    struct thread *caller = self->donors;
    if (GMK_UNLIKELY(!still_good(&self->receives_by)) || GMK_UNLIKELY(self->donor_count != 1) ||
        GMK_UNLIKELY(caller->block.call != (uint32_t)(rax >> 31)) ||
        GMK_UNLIKELY(waits_in(caller) != port) || GMK_UNLIKELY(port->server != self) ||
        GMK_UNLIKELY(port->callers != NULL) || GMK_UNLIKELY(caller->cpu != cpu->index))
        goto unlock;
    uint8_t priority = caller->priority;
    /* A CPU that leaves the Realtime band looks for urgent threads elsewhere: the slow path. */
    if (GMK_UNLIKELY(self->priority != priority) && self->priority >= THREAD_PRIORITY_REALTIME)
        goto unlock;
    runs_now(rq, priority);
    if (GMK_UNLIKELY(!can_hand_over(cpu, rq, self, caller, priority)))
        goto unlock;

    caller->block.call += TOKEN_NEXT;
    block_over(caller);
    caller->donor_of = NULL;
    self->donors = NULL;
    self->donor_count = 0;
    self->priority = self->base;
    block_begin(self, BLOCK_RECV, port);
    receiver_push(port, self);
    if (has_more)
        message_copy(self->msg, caller->msg, (bytes_of(port_tag) + 7) / 8);
    pass(cpu, self, caller);
    arch_user_hand_over_message(caller, &rq->lock, &port->object.lock, port_tag >> 32, 0, w0, w1,
                                w2, w3);

unlock:
    runs_now(rq, self->priority);
    spin_leave_brief(&rq->lock);
    spin_leave_brief(&port->object.lock);
    return ipc_reply_recv_slow(port_tag, GMK_FOREVER, w0, w1, w2, w3, rax);
}

FAST __attribute__((noinline)) static uint64_t reply_recv_long(uint64_t port_tag, uint64_t timeout,
                                                               uint64_t w0, uint64_t w1,
                                                               uint64_t w2, uint64_t w3,
                                                               uint64_t rax) {
    if (GMK_UNLIKELY(bytes_of(port_tag) > 8 * GMK_MSG_WORDS_MAX))
        return ipc_reply_recv_slow(port_tag, timeout, w0, w1, w2, w3, rax);
    return reply_recv(port_tag, timeout, w0, w1, w2, w3, rax, true);
}

FAST uint64_t ipc_reply_recv(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1,
                             uint64_t w2, uint64_t w3, uint64_t rax) {
    if (GMK_UNLIKELY(bytes_of(port_tag) > 8 * GMK_MSG_WORDS_REG))
        return reply_recv_long(port_tag, timeout, w0, w1, w2, w3, rax);
    return reply_recv(port_tag, timeout, w0, w1, w2, w3, rax, false);
}
