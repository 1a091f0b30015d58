/* Notification: bits for those who wait, and the switches that a signal makes.
 *
 * Problem: a signal is how interrupts, timers and other threads start work that is urgent, and the way
 * from the signal to the waiter's first instruction is what a real-time system is judged by.
 * Idea: the waiter stands at the boundary to user mode (block.h), so the signaller writes the bits
 * into its frame and, if the waiter is the more urgent of the two, goes on as the waiter; no queue
 * is looked at. A system call that signals and waits in one gives the CPU away in one switch.
 *
 * Invariants, under the lock:
 *   1. No waiter's mask meets `bits`: what comes is handed out at once, first come first.
 *   2. `waiters` holds threads with block.kind == BLOCK_NOTIFY and block.object == this, at most
 *      NOTIFY_WAITERS_MAX: so a signal takes bounded time.
 *
 * Who takes a waiter out of the list writes its result first and then lets it go on: the frame is
 * ready before anybody can run it. notify_signal() may come in an interrupt and never switches.
 *
 * Locks: LOCK_NOTIFY, one at a time; a run queue's inside. */
#include "kernel/ipc/notify_list.h"

#include "kernel/core/panic.h"

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_NOTIFY, LOCK_NOTIFY, sizeof(struct notify), NOTIFIES_MAX);

/* Is there room for one more? Most often nobody waits yet: so this is counted, not kept. */
static bool has_room(const struct notify *n) {
    unsigned count = 1;
    for (struct thread *t = n->waiters->block.next; t != n->waiters; t = t->block.next)
        count++;
    return count < NOTIFY_WAITERS_MAX;
}

/* Hands out what is there. Returns those who go on, by block.next; nobody else finds them now.
 * At most NOTIFY_WAITERS_MAX rounds. */
static struct thread *hand_out(struct notify *n) {
    struct thread *first = NULL, **last = &first;
    struct thread *t = n->waiters, *end = t != NULL ? t->block.prev : NULL;
    while (t != NULL && n->bits != 0) {
        struct thread *next = t != end ? t->block.next : NULL;
        uint64_t got = n->bits & t->block.badge;
        if (got != 0) {
            n->bits &= ~got;
            release(n, t, got);
            *last = t;
            last = &t->block.next;
        }
        t = next;
    }
    *last = NULL;
    return first;
}

static void ready_all(struct thread *t) {
    while (t != NULL) {
        struct thread *next = t->block.next;
        sched_ready_irq(t, false);
        t = next;
    }
}

/* Sets bits. A single waiter that takes all of them, the usual case, is returned in *one, in no
 * queue any more; several go on by the scheduler. */
static inline void set_bits(struct notify *n, uint64_t bits, struct thread **one,
                            struct thread **more) {
    struct thread *t = n->waiters;
    *one = *more = NULL;
    if (GMK_LIKELY(t != NULL && (bits & ~t->block.badge) == 0 && bits != 0)) {
        release(n, t, bits); /* what is there already it does not want: invariant 1 */
        *one = t;
        return;
    }
    n->bits |= bits;
    if (t != NULL)
        *more = hand_out(n);
}

/* ---- Life ----------------------------------------------------------------------------------- */

struct object *notify_new(struct factory *factory, int *error) {
    struct notify *n = (struct notify *)object_new(&pool, factory, error);
    if (n == NULL)
        return NULL;
    K_ASSERT(n->waiters == NULL, "nobody waits in an object of no life");
    n->bits = 0;
    return &n->object;
}

void notify_end(struct notify *n, uint32_t serial) {
    if (!object_enter(&n->object, serial))
        return;
    object_end_locked(&n->object);
    struct thread *first = NULL, **last = &first;
    while (n->waiters != NULL) { /* at most NOTIFY_WAITERS_MAX */
        struct thread *t = n->waiters;
        list_remove(n, t);
        arch_user_status(t, GMK_EHANDLE);
        *last = t;
        last = &t->block.next;
    }
    *last = NULL;
    object_leave(&n->object);
    ready_all(first);
    object_free(&pool, &n->object);
}

void notify_signal(const struct notify_ref *ref) {
    struct notify *n = ref->notify;
    if (n == NULL || !object_enter(&n->object, ref->serial))
        return;
    n->bits |= ref->bits;
    struct thread *first = n->waiters != NULL ? hand_out(n) : NULL;
    object_leave(&n->object);
    ready_all(first);
}

bool notify_block_remove(struct thread *thread, void *object, uint32_t sequence) {
    struct notify *n = object;
    spin_enter(&n->object.lock);
    bool waits = block_is(thread, BLOCK_NOTIFY, n, sequence);
    if (waits)
        list_remove(n, thread);
    spin_leave(&n->object.lock);
    return waits;
}

/* ---- Signal ----------------------------------------------------------------------------------- */

/* Looks the capability up, and remembers it. */
static int look_up(struct thread *self, uint64_t handle, unsigned right,
                   struct notify_cache *cache) {
    /* Acquire pairs with those who take back: read first, so what comes later makes it stale. */
    uint64_t changes = atomic_load_explicit(&cap_changes, memory_order_acquire);
    struct cap_view cap;
    int status =
        cap_get(self->unit, self->unit->caps, (uint32_t)handle, GMK_CAP_NOTIFY, right, &cap);
    if (status == GMK_OK)
        *cache = (struct notify_cache){changes, (struct notify *)cap.object, (uint32_t)handle,
                                       cap.serial};
    return status;
}

/* `t` has its bits: goes on as `t` where that is more urgent and can run here at once; the caller
 * then returns with `status` and `bits` when its turn comes. Else makes it ready, and returns. */
static inline void go_on(struct cpu *cpu, struct thread *self, struct thread *t, int status,
                         uint64_t bits) {
    if (GMK_LIKELY(sched_bring(cpu, t))) {
        struct runq *rq = runq_enter(cpu);
        if (sched_ready_here(cpu, rq, t)) {
            runq_leave(rq);
            return;
        }
        if (GMK_LIKELY(t->priority > self->priority && sched_can_switch(cpu, rq, t) &&
                       sched_can_ready(rq, t))) {
            arch_user_result(self, (uint64_t)(int64_t)status, bits, no_words);
            sched_direct_ready(cpu, rq, t, NULL);
        }
        runq_leave(rq);
    }
    sched_ready_irq(t, false);
}

uint64_t notify_signal_slow(uint64_t handle, uint64_t bits) {
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current, *one, *more;
    int status = look_up(self, handle, GMK_RIGHT_WRITE, &self->signals);
    if (status != GMK_OK)
        return (uint64_t)(int64_t)status;
    struct notify *n = self->signals.notify;
    if (!object_enter(&n->object, self->signals.serial))
        return (uint64_t)GMK_EHANDLE;
    set_bits(n, bits, &one, &more);
    object_leave(&n->object);
    if (one != NULL)
        go_on(cpu, self, one, GMK_OK, 0);
    else
        ready_all(more);
    return GMK_OK;
}

/* ---- Wait --------------------------------------------------------------------------------------- */

#define WAITS 1 /* what begin() says besides GMK_OK and errors */

/* Under the lock: takes what is there, or becomes a waiter. */
static inline int begin(struct notify *n, struct thread *self, uint64_t mask, uint64_t timeout,
                        uint64_t *got) {
    *got = n->bits & mask;
    if (*got != 0) {
        n->bits &= ~mask;
        return GMK_OK;
    }
    if (GMK_UNLIKELY(n->waiters != NULL && !has_room(n)))
        return timeout == 0 ? GMK_ETIMEOUT : GMK_ELIMIT;
    if (GMK_LIKELY(timeout == GMK_FOREVER))
        block_begin(self, BLOCK_NOTIFY, n);
    else if (timeout == 0)
        return GMK_ETIMEOUT;
    else if (!block_prepare(self, BLOCK_NOTIFY, n, timeout))
        return GMK_ELIMIT;
    self->block.badge = mask;
    list_add(n, self);
    return WAITS;
}

uint64_t notify_wait_slow(uint64_t handle, uint64_t mask, uint64_t timeout) {
    struct thread *self = cpu_this()->current;
    int status = look_up(self, handle, GMK_RIGHT_READ, &self->waits);
    if (status == GMK_OK && mask == 0)
        status = GMK_EINVAL;
    if (status != GMK_OK)
        return (uint64_t)(int64_t)status;
    struct notify *n = self->waits.notify;
    if (!object_enter(&n->object, self->waits.serial))
        return (uint64_t)GMK_EHANDLE;
    uint64_t got;
    status = begin(n, self, mask, timeout, &got);
    object_leave(&n->object);
    if (GMK_LIKELY(status == WAITS))
        sched_block_user();
    arch_user_frame(self)->rdi = got;
    return (uint64_t)(int64_t)status;
}

uint64_t notify_then_wait(struct thread *t, struct notify *n, uint32_t serial, uint64_t mask,
                          uint64_t timeout) {
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current;
    int status = GMK_EHANDLE;
    uint64_t got = 0;
    if (object_enter(&n->object, serial)) {
        status = begin(n, self, mask, timeout, &got);
        object_leave(&n->object);
    }
    if (status == WAITS) {
        if (t != NULL)
            sched_ready_irq(t, false);
        sched_block_user();
    }
    if (t != NULL)
        go_on(cpu, self, t, status, got);
    arch_user_frame(self)->rdi = got;
    return (uint64_t)(int64_t)status;
}

uint64_t notify_both_slow(uint64_t signal, uint64_t wait, uint64_t bits, uint64_t mask,
                          uint64_t timeout) {
    struct thread *self = cpu_this()->current, *one, *more;
    int status = look_up(self, signal, GMK_RIGHT_WRITE, &self->signals);
    if (status == GMK_OK)
        status = look_up(self, wait, GMK_RIGHT_READ, &self->waits);
    if (status == GMK_OK && mask == 0)
        status = GMK_EINVAL;
    if (status != GMK_OK)
        return (uint64_t)(int64_t)status;
    struct notify *n = self->signals.notify;
    if (!object_enter(&n->object, self->signals.serial))
        return (uint64_t)GMK_EHANDLE;
    set_bits(n, bits, &one, &more);
    object_leave(&n->object);
    ready_all(more);
    return notify_then_wait(one, self->waits.notify, self->waits.serial, mask, timeout);
}
