/* Turn: the CPU goes from one user thread to the next one in the queue, in line.
 *
 * Where both stand at the boundary of a system call and neither is stopped or limited, an ordinary switch
 * is a rotation of the list, a slice, and a load of the stack pointer. All else goes the general
 * way (sched.c), before anything was changed.
 *
 * Nothing here ever returns: the registers that C keeps are in the thread's frame, and the compiler may use
 * them all (mk/kernel.mk). docs/scheduling.md counts the instructions. */
#include "kernel/sched/runq.h"

/* Not cold, although nothing returns. */
#define FAST __attribute__((hot))

/* May the CPU go from `current` to `next` in line? A thread of the kernel is never at the boundary; on several
 * CPUs one of the Realtime band that gives way may have to go elsewhere. `computes`: one of them uses
 * vector registers. */
SCHED_INLINE bool is_plain(const struct thread *current, const struct thread *next,
                           bool *computes) {
    uint64_t traits = (thread_traits(current) | thread_traits(next)) & ~(uint64_t)SPECIAL_IN_QUEUE;
    *computes = traits != 0;
    return GMK_LIKELY((uint32_t)traits == 0) && GMK_LIKELY(!arch_user_is_full(next)) &&
           GMK_LIKELY(current->priority < THREAD_PRIORITY_REALTIME);
}

/* Goes on with `next`, which is in no list any more. */
_Noreturn SCHED_INLINE void go_on_with(struct cpu *cpu, struct runq *rq, struct thread *current,
                                       struct thread *next, bool computes) {
    uint64_t now = arch_cycles(), slice = next->slice;
    if (GMK_UNLIKELY(next->slice_left != 0)) {
        slice = next->slice_left;
        next->slice_left = 0;
    }
    rq->slice_end = now + slice;
    if (GMK_UNLIKELY(!rq->slice_armed) && runq_needs_slice(rq, next))
        slice_arm(rq);
    sched_books(cpu, rq, current, next, now);
    arch_user_switch_plain(cpu, next);
    if (GMK_UNLIKELY(computes))
        arch_fpu_switch(cpu, current, next);
    arch_user_hand_over(next, &rq->lock, NULL);
}

/* ---- Giving way ---------------------------------------------------------------------------- */

/* `t` takes the place of `head`, the first of its list, at the end of it. */
SCHED_INLINE void rotate(struct runq *rq, struct thread *head, struct thread *t) {
    struct thread *second = head->next, *last = head->prev;
    t->state = THREAD_READY;
    if (second == head)
        second = last = t;
    t->next = second;
    t->prev = last;
    second->prev = t;
    last->next = t;
    rq->heads[t->priority] = second;
}

FAST uint64_t sched_sys_yield(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                              uint64_t a5, uint64_t rax) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = cpu->rq;
    struct thread *current = cpu->current;
    bool computes;
    (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    arch_user_status(current, 0);
    spin_enter_brief(&rq->lock);
    if (GMK_UNLIKELY(runq_top(rq) != current->priority))
        sched_yield_slow(cpu, rq);
    struct thread *next = rq->heads[current->priority];
    if (GMK_UNLIKELY(!is_plain(current, next, &computes)))
        sched_yield_slow(cpu, rq);
    arch_user_boundary(current);
    rotate(rq, next, current);
    go_on_with(cpu, rq, current, next, computes);
}

/* ---- Waiting ---------------------------------------------------------------------------------- */

FAST _Noreturn void sched_block_user(void) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = cpu->rq;
    struct thread *current = cpu->current;
    bool computes;
    spin_enter_brief(&rq->lock);
    int top = runq_top(rq);
    if (GMK_UNLIKELY(top == IDLE_PRIORITY) || GMK_UNLIKELY(current->woken))
        sched_block_slow(cpu, rq);
    struct thread *next = rq->heads[top];
    if (GMK_UNLIKELY(!is_plain(current, next, &computes)))
        sched_block_slow(cpu, rq);
    arch_user_boundary(current);
    runq_remove(rq, next);
    current->state = THREAD_BLOCKED;
    go_on_with(cpu, rq, current, next, computes);
}
