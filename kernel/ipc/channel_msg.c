/* Channel messages: chan_send and chan_recv, from the entry code to the engine and back.
 *
 * The payload is copied once on each side, between the user's memory and a block of the engine's arena,
 * outside of the engine and (sending) without a lock; so it may fault. What is not possible at
 * once waits in a queue (channel_wait.c), and the whole call runs again when it is called.
 *
 * Bounds: a payload has at most GMK_CHAN_BYTES_MAX bytes; a lossy send drops at most one message for each
 * subscription; a look that was overtaken is repeated LOOKS_MAX times, then the caller's
 * registers are set to repeat the call, and interrupts get their turn. */
#include "kernel/ipc/channel_end.h"

#include "arch_user.h"
#include "engine/chan_one.h"
#include "engine/memory.h"
#include "kernel/core/engine_call.h"
#include "kernel/ipc/notify.h"
#include "kernel/sched/runq.h"

#define LOOKS_MAX 4u

/* One call, on its way. Never zeroed: that would cost as much as the call's own work. */
struct passage {
    struct cpu *cpu;
    struct thread *self;
    struct chan_end *end;
    uint32_t serial;
    uint64_t rax, handle, msg, timeout; /* as they came */
    gmk_chan_msg_t user;
    gmk_task_t task;
};

static inline int passage_begin(struct passage *p, unsigned right, uint64_t handle, uint64_t msg,
                                uint64_t timeout, uint64_t rax) {
    struct cap_view cap;
    p->rax = rax;
    p->handle = handle;
    p->msg = msg;
    p->timeout = timeout;
    p->cpu = cpu_this();
    p->self = p->cpu->current;
    int status =
        cap_get(p->self->unit, p->self->unit->caps, (uint32_t)handle, GMK_CAP_CHANNEL, right, &cap);
    p->end = (struct chan_end *)cap.object;
    p->serial = cap.serial;
    return status;
}

/* The call begins anew, as if it had not been made yet. */
static _Noreturn void run_again(const struct passage *p) {
    const uint64_t args[] = {p->handle, p->msg, p->timeout};
    arch_user_again(p->self, p->rax, args);
    arch_user_leave(p->self);
}

static inline int wait_in(const struct passage *p, struct chan_queue *queue, enum block_kind kind,
                          uint32_t rings) {
    return chan_queue_wait(queue, kind, rings, p->rax, p->handle, p->msg, p->timeout);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* Which opening of which channel; false: the end is over. */
static inline bool end_read(const struct passage *p, struct channel **chan, uint64_t *shape) {
    *chan = atomic_load_explicit(&p->end->chan, memory_order_relaxed);
    *shape = atomic_load_explicit(&p->end->shape, memory_order_relaxed);
    /* A new life writes its serial last, an end changes it first. */
    atomic_thread_fence(memory_order_acquire);
    return __atomic_load_n(&p->end->object.serial, __ATOMIC_RELAXED) == p->serial;
}

/* What chan_emit_one() and chan_emit_to() read. GMK_EINVAL. */
static inline int task_of_message(gmk_task_t *task, const gmk_chan_msg_t *msg) {
    if (GMK_UNLIKELY(msg->flags > GMK_TASK_PRIO_MASK || msg->size > GMK_CHAN_BYTES_MAX))
        return GMK_EINVAL;
    task->type = msg->type;
    task->flags = (uint16_t)msg->flags;
    task->tenant = 0;
    task->payload = NULL;
    task->len = (uint32_t)msg->size;
    task->group = 0;
    task->meta0 = msg->meta0;
    task->meta1 = msg->meta1;
    task->when_ns = 0;
    return GMK_OK;
}

static void drop_payload(const struct passage *p) {
    struct agent *a = engine_enter(p->cpu);
    if (a != NULL) {
        payload_release(a, p->task.payload);
        engine_leave(p->cpu);
    }
}

/* Brings the payload into the arena. */
static int take_payload(struct passage *p) {
    struct agent *a = engine_enter(p->cpu);
    if (a == NULL)
        return GMK_EHALTED;
    p->task.payload = memory_alloc(a, p->task.len, 0);
    engine_leave(p->cpu);
    if (p->task.payload == NULL)
        return GMK_ENOMEM;
    int status = arch_copy_in(p->task.payload, p->user.data, p->task.len);
    if (status != GMK_OK)
        drop_payload(p);
    return status;
}

/* The channel is full. GMK_EAGAIN: it still is, and its queue will ring (or nobody waits for that: lossy
 * channels are full only while their oldest message is just being written). GMK_EBUSY: it is
 * worth another look. */
static int want_room(const struct passage *p, struct agent *a, const struct channel *chan,
                     uint64_t shape) {
    if (p->timeout == 0 || (shape_options(shape) & GMK_CHAN_LOSSY) != 0)
        return GMK_EAGAIN;
    return chan_want_room(a, chan->id, shape, &p->task) == GMK_OK ? GMK_EAGAIN : GMK_EBUSY;
}

/* One look. The errors of want_room(), and of the engine. */
static int send_payload(struct passage *p, struct channel *chan, uint64_t shape) {
    struct agent *a = engine_enter(p->cpu);
    if (a == NULL)
        return GMK_EHALTED;
    /* The copy is not made in vain where that can be known. */
    bool full = chan_is_full(a, chan->id, shape, &p->task);
    int status = full ? want_room(p, a, chan, shape) : GMK_OK;
    engine_leave(p->cpu);
    if (status == GMK_OK)
        status = take_payload(p);
    if (status != GMK_OK)
        return status;
    a = engine_enter(p->cpu);
    if (a == NULL)
        return GMK_EHALTED;
    status = chan_emit_one(a, chan, shape, &p->task);
    if (status != GMK_OK)
        payload_release(a, p->task.payload);
    p->task.payload = NULL;
    if (status == GMK_EAGAIN)
        status = want_room(p, a, chan, shape);
    engine_leave(p->cpu);
    return status;
}

static inline int send_once(struct passage *p, struct channel *chan, uint64_t shape) {
    if (p->task.len != 0)
        return send_payload(p, chan, shape);
    struct agent *a = engine_enter(p->cpu);
    if (GMK_UNLIKELY(a == NULL))
        return GMK_EHALTED;
    int status = chan_emit_one(a, chan, shape, &p->task);
    if (GMK_UNLIKELY(status == GMK_EAGAIN))
        status = want_room(p, a, chan, shape);
    engine_leave(p->cpu);
    return status;
}

/* It was full at the first look. */
static int send_waiting(struct passage *p, struct channel *chan, uint64_t shape) {
    struct chan_queue *queue = &conduits[chan->id].senders;
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        uint32_t rings = atomic_load_explicit(&queue->rings, memory_order_acquire);
        int status = send_once(p, chan, shape);
        if (status == GMK_EBUSY)
            continue;
        if (status != GMK_EAGAIN || (shape_options(shape) & GMK_CHAN_LOSSY) != 0)
            return status;
        status = wait_in(p, queue, BLOCK_CHAN_SEND, rings);
        if (status == GMK_OK)
            sched_block_user();
        if (status != GMK_EAGAIN)
            return status;
    }
    run_again(p);
}

/* `t` runs its chan_recv() again: at once, where it is the more urgent of the two and can run here; then
 * the caller goes on with GMK_OK when its turn comes. Else it is made ready. */
static inline void go_on(struct cpu *cpu, struct thread *self, struct thread *t) {
    if (GMK_LIKELY(sched_bring(cpu, t))) {
        struct runq *rq = runq_enter(cpu);
        if (sched_ready_here(cpu, rq, t)) {
            runq_leave(rq);
            return;
        }
        if (GMK_LIKELY(t->priority > self->priority && sched_can_switch(cpu, rq, t) &&
                       sched_can_ready(rq, t))) {
            arch_user_status(self, GMK_OK);
            sched_direct_ready(cpu, rq, t, NULL);
        }
        runq_leave(rq);
    }
    sched_ready_irq(t, false);
}

/* The first look, which is usually the only one. */
static inline int send_first(struct passage *p, struct channel *chan, uint64_t shape) {
    struct chan_catch *caught = &chan_catches[p->cpu->index];
    caught->wanted = true;
    int status = send_once(p, chan, shape);
    caught->wanted = false;
    struct thread *t = caught->thread;
    if (t != NULL) {
        caught->thread = NULL;
        if (GMK_LIKELY(status == GMK_OK))
            go_on(p->cpu, p->self, t);
        else
            sched_ready_irq(t, false); /* it was called for something else that happened */
    }
    return status;
}

uint64_t channel_sys_send(uint64_t handle, uint64_t msg, uint64_t timeout, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t rax) {
    (void)a3, (void)a4, (void)a5;
    struct passage p;
    struct channel *chan;
    uint64_t shape;
    int status = passage_begin(&p, GMK_RIGHT_WRITE, handle, msg, timeout, rax);
    if (GMK_LIKELY(status == GMK_OK))
        status = arch_copy_in(&p.user, msg, sizeof p.user);
    if (GMK_LIKELY(status == GMK_OK))
        status = task_of_message(&p.task, &p.user);
    if (GMK_UNLIKELY(status != GMK_OK))
        return (uint64_t)(int64_t)status;
    if (GMK_UNLIKELY(!end_read(&p, &chan, &shape)))
        return (uint64_t)GMK_EHANDLE;
    status = send_first(&p, chan, shape);
    if (GMK_UNLIKELY(status != GMK_OK)) {
        if (status == GMK_EBUSY || (status == GMK_EAGAIN && timeout != 0))
            status = send_waiting(&p, chan, shape);
        else if (status == GMK_EAGAIN && (shape_options(shape) & GMK_CHAN_LOSSY) == 0)
            status = GMK_ETIMEOUT;
        if (status == GMK_ENOENT)
            status = GMK_ECLOSED; /* closed, and all was received */
    }
    return (uint64_t)(int64_t)status;
}

/* ---- Receiving --------------------------------------------------------------------------------- */

/* The next message is not simply the next of the log. As take_message(). */
static int take_slow(struct passage *p, struct agent *a, uint32_t room, uint64_t *lost) {
    struct chan_end *end = p->end;
    if (end->holds) {
        p->task = end->held;
        *lost = end->lost;
        end->holds = p->task.len > room;
        return end->holds ? GMK_ERANGE : GMK_OK;
    }
    int status = channel_subscribe_locked(a, end);
    return status != GMK_OK ? status : chan_pull(a, end->id, end->sub_index, room, &p->task, lost);
}

/* The next message into p->task, under the end's lock. As gmk_chan_pull(). */
static inline int take_message(struct passage *p, struct agent *a, uint64_t *lost) {
    struct chan_end *end = p->end;
    uint32_t room = p->user.size < UINT32_MAX ? (uint32_t)p->user.size : UINT32_MAX - 1;
    struct channel *chan = atomic_load_explicit(&end->chan, memory_order_relaxed);
    int status = GMK_LIKELY(end->sub != NULL && !end->holds)
                     ? chan_pull_one(a, chan, end->sub, room, &p->task, lost)
                     : take_slow(p, a, room, lost);
    if (GMK_UNLIKELY(status == GMK_ECLOSED || status == GMK_ENOENT)) {
        end->sub = NULL;
        end->drained = true;
        return GMK_ECLOSED;
    }
    return status;
}

/* The message could not be given out: it is the next one. */
static void put_back(struct passage *p, uint64_t lost) {
    p->end->held = p->task;
    p->end->lost = lost;
    p->end->holds = true;
}

/* Gives the message to the user, or keeps it as the next one. */
static inline int hand_out(struct passage *p, uint64_t lost) {
    const gmk_task_t *task = &p->task;
    gmk_chan_msg_t out;
    out.type = task->type;
    out.flags = task->flags & GMK_TASK_PRIO_MASK;
    out.meta0 = task->meta0;
    out.meta1 = task->meta1;
    out.seq = task->seq - p->end->base;
    out.lost = lost;
    out.data = p->user.data;
    out.size = task->len;
    int status = GMK_OK;
    if (task->len != 0)
        status = arch_copy_out(p->user.data, task->payload, task->len);
    if (GMK_LIKELY(status == GMK_OK))
        status = arch_copy_out(p->msg, &out, sizeof out);
    if (GMK_UNLIKELY(status != GMK_OK))
        put_back(p, lost);
    else if (task->payload != NULL)
        drop_payload(p);
    return status;
}

/* Somebody is told of messages, and there are more: tells him again. */
static void tell_of_more(struct passage *p) {
    struct chan_end *end = p->end;
    struct agent *a = end->sub != NULL ? engine_enter(p->cpu) : NULL;
    if (a == NULL)
        return;
    bool more = chan_waits(a, end->id, end->sub_index);
    engine_leave(p->cpu);
    if (more)
        chan_queue_ring(&end->receivers, end);
}

/* What there is besides one message that fits. */
static int receive_other(struct passage *p, int status) {
    if (status != GMK_ERANGE)
        return status;
    uint64_t size = p->task.len;
    int copied = arch_copy_out(p->msg + offsetof(gmk_chan_msg_t, size), &size, sizeof size);
    return copied == GMK_OK ? GMK_ERANGE : copied;
}

/* Under the end's lock. GMK_EAGAIN: nothing there, and the waker will come or has. */
static inline int receive_once(struct passage *p) {
    uint64_t lost = 0;
    struct agent *a = engine_enter(p->cpu);
    if (GMK_UNLIKELY(a == NULL))
        return GMK_EHALTED;
    int status = take_message(p, a, &lost);
    engine_leave(p->cpu);
    if (status == GMK_EAGAIN)
        return status;
    if (GMK_UNLIKELY(status != GMK_OK))
        return receive_other(p, status);
    status = hand_out(p, lost);
    if (GMK_UNLIKELY(p->end->bound.notify != NULL))
        tell_of_more(p);
    return status;
}

uint64_t channel_sys_recv(uint64_t handle, uint64_t msg, uint64_t timeout, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t rax) {
    (void)a3, (void)a4, (void)a5;
    struct passage p;
    int status = passage_begin(&p, GMK_RIGHT_READ, handle, msg, timeout, rax);
    if (GMK_LIKELY(status == GMK_OK)) /* where the payload goes; the rest is written only */
        status = arch_copy_in(&p.user.data, msg + offsetof(gmk_chan_msg_t, data),
                              sizeof p.user - offsetof(gmk_chan_msg_t, data));
    if (GMK_UNLIKELY(status != GMK_OK))
        return (uint64_t)(int64_t)status;
    if (GMK_UNLIKELY(!object_enter(&p.end->object, p.serial)))
        return (uint64_t)GMK_EHANDLE;
    struct chan_queue *queue = &p.end->receivers;
    bool waits = false;
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        uint32_t rings = atomic_load_explicit(&queue->rings, memory_order_acquire);
        status = receive_once(&p);
        if (status != GMK_EAGAIN)
            break;
        status = wait_in(&p, queue, BLOCK_CHAN_RECV, rings);
        waits = status == GMK_OK;
        if (status != GMK_EAGAIN)
            break;
    }
    object_leave(&p.end->object);
    if (waits)
        sched_block_user();
    if (GMK_UNLIKELY(status == GMK_EAGAIN))
        run_again(&p);
    return (uint64_t)(int64_t)status;
}
