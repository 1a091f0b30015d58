/* Notification, the short paths: nobody waits; one thread of this CPU waits; the caller itself waits.
 *
 * As in port_fast.c: the capability is the one that the thread used last; everything is looked at under
 * the locks, and what is not as usual goes to notify.c, before anything was changed. These functions
 * never return, because the registers that C keeps are in the thread's frame: the compiler may use
 * them all (mk/kernel.mk), and saves none.
 *
 * Who holds the notification's lock and a run queue's has the waiter to itself: nobody can run it, end
 * its wait or move it. So its bits go to it in a register where the CPU does. */
#include "kernel/ipc/notify_list.h"

/* Everything in line, and none of it cold, although no path returns. */
#define FAST __attribute__((hot, flatten))

/* Is it the capability that was used last, and still good? Acquire pairs with those who take back. */
static inline bool hits(const struct notify_cache *cache, uint64_t handle) {
    return GMK_LIKELY(cache->handle == (uint32_t)handle) &&
           GMK_LIKELY(cache->changes == atomic_load_explicit(&cap_changes, memory_order_acquire));
}

/* The current call is over; what else it returns the slow path has put into the frame. */
_Noreturn static inline void finish(struct thread *self, uint64_t rax) {
    arch_user_leave_with(self, rax, arch_user_frame(self)->rdi);
}

/* The only waiter, if it takes all the bits and belongs to this CPU. Under the lock. */
static inline bool is_usual(const struct cpu *cpu, const struct thread *t, uint64_t bits) {
    return GMK_LIKELY(t->block.next == t) && GMK_LIKELY((bits & ~t->block.badge) == 0) &&
           GMK_LIKELY(bits != 0) && GMK_LIKELY(t->cpu == cpu->index);
}

static inline void take_only(struct notify *n, struct thread *t) {
    block_over(t);
    n->waiters = NULL;
}

static inline void become_only(struct notify *n, struct thread *self, uint64_t mask) {
    block_begin(self, BLOCK_NOTIFY, n);
    self->block.badge = mask;
    n->waiters = self->block.next = self->block.prev = self;
}

/* Goes on as `t`, who is more urgent; the current one stays ready, and has signalled. Both locked. */
_Noreturn static inline void switch_ready(struct cpu *cpu, struct runq *rq, struct thread *self,
                                          struct thread *t, uint64_t bits, struct notify *held) {
    uint64_t now = arch_cycles();
    arch_user_status(self, GMK_OK);
    arch_user_boundary(self);
    self->slice_left = rq->slice_end > now ? rq->slice_end - now : 0;
    rq->slice_end = now + t->slice;
    runq_push(rq, self, true);
    sched_pass(cpu, rq, t, now);
    arch_user_hand_over_message(t, &rq->lock, &held->object.lock, GMK_OK, bits, 0, 0, 0, 0);
}

FAST uint64_t notify_sys_signal(uint64_t handle, uint64_t bits, uint64_t a2, uint64_t a3,
                                uint64_t a4, uint64_t a5, uint64_t rax) {
    (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current;
    if (GMK_UNLIKELY(!hits(&self->signals, handle)))
        finish(self, notify_signal_slow(handle, bits));
    struct notify *n = self->signals.notify;
    spin_enter_brief(&n->object.lock);
    struct thread *t = n->waiters;
    if (GMK_UNLIKELY(n->object.serial != self->signals.serial))
        goto slow;
    if (t == NULL) {
        n->bits |= bits;
        spin_leave_brief(&n->object.lock);
        arch_user_leave_with(self, GMK_OK, 0);
    }
    if (GMK_UNLIKELY(!is_usual(cpu, t, bits)))
        goto slow;
    struct runq *rq = cpu->rq;
    spin_enter_brief(&rq->lock);
    if (t->priority > self->priority && sched_can_switch(cpu, rq, t) && sched_can_ready(rq, t)) {
        take_only(n, t);
        switch_ready(cpu, rq, self, t, bits, n);
    }
    if (GMK_LIKELY(sched_ready_here(cpu, rq, t))) {
        take_only(n, t);
        arch_user_result(t, GMK_OK, bits, no_words);
        spin_leave_brief(&rq->lock);
        spin_leave_brief(&n->object.lock);
        arch_user_leave_with(self, GMK_OK, 0);
    }
    spin_leave_brief(&rq->lock);
slow:
    spin_leave_brief(&n->object.lock);
    finish(self, notify_signal_slow(handle, bits));
}

FAST uint64_t notify_sys_wait(uint64_t handle, uint64_t mask, uint64_t timeout, uint64_t a3,
                              uint64_t a4, uint64_t a5, uint64_t rax) {
    (void)a3, (void)a4, (void)a5, (void)rax;
    struct thread *self = cpu_this()->current;
    if (GMK_UNLIKELY(!hits(&self->waits, handle)))
        finish(self, notify_wait_slow(handle, mask, timeout));
    struct notify *n = self->waits.notify;
    spin_enter_brief(&n->object.lock);
    uint64_t got = n->bits & mask;
    if (GMK_UNLIKELY(n->object.serial != self->waits.serial))
        goto slow;
    if (got != 0) {
        n->bits &= ~mask;
        spin_leave_brief(&n->object.lock);
        arch_user_leave_with(self, GMK_OK, got);
    }
    if (GMK_UNLIKELY(n->waiters != NULL) || GMK_UNLIKELY(timeout != GMK_FOREVER) ||
        GMK_UNLIKELY(mask == 0))
        goto slow;
    become_only(n, self, mask);
    spin_leave_brief(&n->object.lock);
    sched_block_user();
slow:
    spin_leave_brief(&n->object.lock);
    finish(self, notify_wait_slow(handle, mask, timeout));
}

/* Two notifications' locks are never held together: two threads might take them in opposite orders. So
 * the waiter is out of the first when the second is looked at. */
FAST uint64_t notify_sys_signal_wait(uint64_t signal, uint64_t wait, uint64_t bits, uint64_t mask,
                                     uint64_t timeout, uint64_t a5, uint64_t rax) {
    (void)a5, (void)rax;
    struct cpu *cpu = cpu_this();
    struct thread *self = cpu->current;
    if (GMK_UNLIKELY(!hits(&self->signals, signal)) || GMK_UNLIKELY(!hits(&self->waits, wait)) ||
        GMK_UNLIKELY(mask == 0) || GMK_UNLIKELY(timeout != GMK_FOREVER))
        finish(self, notify_both_slow(signal, wait, bits, mask, timeout));
    struct notify *n = self->signals.notify;
    spin_enter_brief(&n->object.lock);
    struct thread *t = n->waiters;
    if (GMK_UNLIKELY(n->object.serial != self->signals.serial) || GMK_UNLIKELY(t == NULL) ||
        GMK_UNLIKELY(!is_usual(cpu, t, bits))) {
        spin_leave_brief(&n->object.lock);
        finish(self, notify_both_slow(signal, wait, bits, mask, timeout));
    }
    take_only(n, t);
    spin_leave_brief(&n->object.lock);

    n = self->waits.notify;
    struct runq *rq = cpu->rq;
    spin_enter_brief(&n->object.lock);
    if (GMK_UNLIKELY(n->object.serial != self->waits.serial) ||
        GMK_UNLIKELY((n->bits & mask) != 0) || GMK_UNLIKELY(n->waiters != NULL))
        goto slow;
    spin_enter_brief(&rq->lock);
    if (GMK_UNLIKELY(!sched_can_switch(cpu, rq, t))) {
        spin_leave_brief(&rq->lock);
        goto slow;
    }
    become_only(n, self, mask);
    arch_user_boundary(self);
    self->state = THREAD_BLOCKED;
    sched_pass(cpu, rq, t, arch_cycles());
    arch_user_hand_over_message(t, &rq->lock, &n->object.lock, GMK_OK, bits, 0, 0, 0, 0);
slow:
    spin_leave_brief(&n->object.lock);
    arch_user_result(t, GMK_OK, bits, no_words);
    finish(self, notify_then_wait(t, n, self->waits.serial, mask, timeout));
}
