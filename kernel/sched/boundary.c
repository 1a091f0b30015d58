/* Boundary: how a user thread in the kernel stops, and how it goes on.
 *
 * A user thread stops only at the boundary to user mode: everything that it needs is in its user frame,
 * and its kernel stack below that is empty. So it is left, never saved: the next thread is chosen, and
 * when that one stands at the boundary too, going on with it is a load of its stack pointer
 * (arch_user_hand_over()).
 *
 * Three reasons to stop: it waits (sched_block_user(), and the direct switches of runq.h), it gives
 * way (sched_sys_yield()), or its special bits say so on the way to user mode
 * (thread_user_special()). The usual case of the first two is in turn.c.
 *
 * Ending. A thread that was killed while it ran goes on to its exit to user mode and ends there. When
 * it waits instead, the killer finds it BLOCKED, or it finds SPECIAL_KILL itself before it stops: both
 * happen under the lock of its queue, so one of the two ends the wait. */
#include "kernel/core/panic.h"
#include "kernel/ipc/block.h"
#include "kernel/sched/runq.h"

/* ---- Waiting --------------------------------------------------------------------------------------- */

/* The current thread goes on at once: its wait is over before it began, or nobody wants its CPU. The queue is
 * locked; who goes on from the boundary releases it. */
_Noreturn static void go_on(struct thread *current) {
    struct arch_context nobody;
    current->woken = false;
    arch_context_switch(&nobody, &current->context);
    panic("sched: a stack that was left is used");
}

/* The queue is locked, the context is set. */
_Noreturn static void block(struct cpu *cpu, struct runq *rq) {
    struct thread *current = cpu->current;
    uint32_t special = atomic_load_explicit(&current->special, memory_order_relaxed);
    if ((special & SPECIAL_KILL) != 0 && !current->woken) {
        runq_leave(rq);
        /* False: another one lets it go on, soon. */
        (void)block_cancel(current, current->block.sequence, GMK_EKILLED);
        rq = runq_enter(cpu);
    }
    if (current->woken)
        go_on(current);
    current->state = THREAD_BLOCKED;
    sched_leave(cpu, rq);
}

_Noreturn void sched_block_slow(struct cpu *cpu, struct runq *rq) {
    spin_own(&rq->lock);
    arch_user_boundary(cpu->current);
    block(cpu, rq);
}

_Noreturn void sched_block_full(void) {
    struct cpu *cpu = cpu_this();
    block(cpu, runq_enter(cpu));
}

bool sched_bring_from(struct cpu *cpu, struct thread *thread) {
    struct runq *rq = sched_lock_thread(thread);
    bool here = thread->state == THREAD_BLOCKED &&
                atomic_load_explicit(&thread->special, memory_order_relaxed) == 0 &&
                (thread->affinity >> cpu->index & 1) != 0;
    if (here)
        thread->cpu = cpu->index;
    runq_leave(rq);
    return here;
}

/* ---- Giving way ------------------------------------------------------------------------------------- */

_Noreturn void sched_yield_slow(struct cpu *cpu, struct runq *rq) {
    struct thread *current = cpu->current;
    spin_own(&rq->lock);
    arch_user_boundary(current);
    if (runq_top(rq) < current->priority || current->priority == GMK_PRIORITY_DEADLINE)
        go_on(current);
    sched_put_back(cpu, rq, true);
    sched_leave(cpu, rq);
}

/* ---- On the way to user mode --------------------------------------------------------------------------- */

void thread_user_special(struct thread *thread) {
    struct cpu *cpu = cpu_this();
    for (;;) { /* a bit is set anew only by another call, each time with a reason */
        uint32_t special = atomic_load_explicit(&thread->special, memory_order_relaxed);
        if ((special & SPECIAL_EXIT) == 0)
            return;
        if ((special & SPECIAL_KILL) != 0)
            thread_user_exit(thread->status, false);
        if ((special & SPECIAL_RESCHED) != 0)
            sched_preempt_user(); /* returns when there is no reason any more */
        struct runq *rq = runq_enter(cpu);
        special = atomic_load_explicit(&thread->special, memory_order_relaxed);
        if ((special & (SPECIAL_STOP | SPECIAL_KILL)) == SPECIAL_STOP) {
            thread->state = THREAD_STOPPED;
            sched_leave(cpu, rq);
        }
        runq_leave(rq);
    }
}
