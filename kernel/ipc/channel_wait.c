/* Channel, waiting: threads that a message or room will call. See
 * channel_end.h.
 *
 * A call does not hand anything over: it says "look again", and the thread's
 * system call runs once more from its beginning. So whoever calls needs to know
 * nothing of messages, a call for nothing costs a look, and a thread that was
 * called and then killed takes nothing with it. All are called, since one alone
 * might end before it looks; a queue has at most CHANNEL_WAITERS_MAX. */
#include "kernel/ipc/channel_end.h"

#include "arch_user.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/time/timer.h"

void chan_queue_init(struct chan_queue *queue) {
    spin_init(&queue->lock, LOCK_CHAN_WAIT);
}

static inline void queue_add(struct chan_queue *queue, struct thread *t) {
    struct thread *first = queue->first;
    queue->count++;
    if (GMK_LIKELY(first == NULL)) {
        queue->first = t->block.next = t->block.prev = t;
        return;
    }
    t->block.next = first;
    t->block.prev = first->block.prev;
    first->block.prev->block.next = t;
    first->block.prev = t;
}

static inline void queue_remove(struct chan_queue *queue, struct thread *t) {
    block_over(t);
    queue->count--;
    if (GMK_LIKELY(t->block.next == t)) {
        queue->first = NULL;
        return;
    }
    t->block.prev->block.next = t->block.next;
    t->block.next->block.prev = t->block.prev;
    if (queue->first == t)
        queue->first = t->block.next;
}

int chan_queue_wait(struct chan_queue *queue, enum block_kind kind, uint32_t rings, uint64_t rax,
                    uint64_t a0, uint64_t a1, uint64_t timeout) {
    struct thread *self = cpu_this()->current;
    int status = GMK_OK;
    if (timeout == 0)
        return GMK_ETIMEOUT;
    spin_enter(&queue->lock);
    if (GMK_UNLIKELY(atomic_load_explicit(&queue->rings, memory_order_relaxed) != rings))
        status = GMK_EAGAIN;
    else if (GMK_UNLIKELY(queue->count == CHANNEL_WAITERS_MAX))
        status = GMK_ELIMIT;
    else if (GMK_LIKELY(timeout == GMK_FOREVER))
        block_begin(self, kind, queue);
    else if (!block_prepare(self, kind, queue, timeout))
        status = GMK_ELIMIT;
    if (GMK_LIKELY(status == GMK_OK)) {
        self->block.words[0] = rax;
        self->block.words[1] = a0;
        self->block.words[2] = a1;
        queue_add(queue, self);
    }
    spin_leave(&queue->lock);
    return status;
}

/* What is left of its time. */
static inline uint64_t time_left(const struct thread *t) {
    uint64_t until = atomic_load_explicit(&t->block.until_ns, memory_order_relaxed);
    if (GMK_LIKELY(until == GMK_FOREVER))
        return GMK_FOREVER;
    uint64_t now = time_now_ns();
    return until > now ? until - now : 0;
}

/* The first one, who will run its call again: it is the caller's to make ready.
 */
static inline struct thread *take_first(struct chan_queue *queue) {
    struct thread *t = queue->first;
    queue_remove(queue, t);
    const uint64_t args[] = {t->block.words[1], t->block.words[2], time_left(t)};
    arch_user_again(t, t->block.words[0], args);
    return t;
}

struct chan_catch chan_catches[CPUS_MAX];

void chan_queue_ring(struct chan_queue *queue, const struct chan_end *bound_of) {
    bool irq = arch_irq_disable();
    struct chan_catch *caught = &chan_catches[cpu_this()->index];
    spin_enter(&queue->lock);
    uint32_t rings = atomic_load_explicit(&queue->rings, memory_order_relaxed);
    atomic_store_explicit(&queue->rings, rings + 1, memory_order_relaxed);
    if (GMK_LIKELY(queue->count == 1 && caught->wanted && caught->thread == NULL)) {
        caught->thread = take_first(queue);
    } else {
        while (queue->first != NULL) /* at most CHANNEL_WAITERS_MAX */
            sched_ready_irq(take_first(queue), false);
    }
    if (GMK_UNLIKELY(bound_of != NULL && bound_of->bound.notify != NULL))
        notify_signal(&bound_of->bound);
    spin_leave(&queue->lock);
    arch_irq_restore(irq);
}

void chan_queue_end(struct chan_queue *queue, int status) {
    spin_enter(&queue->lock);
    while (queue->first != NULL) { /* at most CHANNEL_WAITERS_MAX */
        struct thread *t = queue->first;
        queue_remove(queue, t);
        arch_user_status(t, status);
        sched_ready_irq(t, false);
    }
    spin_leave(&queue->lock);
}

bool chan_block_remove(struct thread *thread, void *object, uint32_t sequence) {
    struct chan_queue *queue = object;
    spin_enter(&queue->lock);
    bool waits = block_is(thread, BLOCK_CHAN_RECV, queue, sequence) ||
                 block_is(thread, BLOCK_CHAN_SEND, queue, sequence);
    if (waits)
        queue_remove(queue, thread);
    spin_leave(&queue->lock);
    return waits;
}
