/* Scheduler: which thread runs where, and the switch from one to the next.
 *
 * Problem: each CPU must run its most urgent ready thread, change over within a bounded number of
 * instructions however many threads there are, and take no interrupt while it has nothing to do.
 * Idea: a run queue per CPU (runq.h), with a list for each of the 256 priorities and a bitmap of
 * the lists that are not empty; the most urgent one is remembered. There is no tick: a timer for
 * time slices runs only while a thread waits that may claim the CPU at the end of one (slice.c).
 *
 * The switch. The run queue's lock is held across the switch of stacks and released by the thread
 * that comes next (switched(), or the way to user mode). So whoever has the lock and sees a thread
 * READY, BLOCKED, STOPPED or EXITED knows that its registers are saved and its stack is not in use.
 *
 * A preempted thread was interrupted: its interrupt frame stays on its stack, and it continues
 * inside sched_irq_exit(), which returns through the entry code to what was interrupted. A user
 * thread that gives way in a system call leaves its stack for good: it continues at the boundary
 * (arch.h), and only who ran in the kernel with IF on needs its stack kept.
 *
 * Invariants, under the lock of the queue:
 *   1. A thread is in the queue of thread.cpu exactly while it is READY (but for the idle thread,
 *      and for the moment in which one is moved to another queue: nobody else can find it then).
 *   2. cpu->current is RUNNING (or EXITED, on its last steps) and in no queue; `priority` is its
 *      priority, IDLE_PRIORITY when it is the idle thread, which is never in a queue.
 *   3. Whoever queues a thread more urgent than the running one sets `resched` (own CPU; for a user
 *      thread SPECIAL_RESCHED) or sends an IPI (`kicked` tells that one is on its way), so 2. is
 *      soon the most urgent.
 *   4. While runq_needs_slice(), the slice timer is armed, or 3. holds.
 *   5. Bit i of sched_idle_cpus: CPU i runs its idle thread, and nobody has called it to work yet. It
 *      is set before that looks around for work, and read after work was queued; a full barrier on
 *      both sides, so that one of the two sees the other (Dekker, as in engine/park.h). Whoever
 *      calls an idle CPU clears its bit, so that the next one calls another.
 *   6. When a CPU gets a thread while another waits in its queue that an idle CPU may run, that one
 *      is called (place.c).
 *
 * Locks: LOCK_RUNQ, one at a time; LOCK_TIMER inside. */
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/sched/runq.h"
#include "kernel/time/timer.h"

struct runq *runqs[CPUS_MAX];

/* ---- The queue --------------------------------------------------------------------------- */

/* The most urgent of those that are less urgent than `priority`. */
static int queue_top_below(const struct runq *rq, unsigned priority) {
    uint64_t bits = rq->words[priority / 64u] & ((1ull << (priority % 64u)) - 1);
    for (unsigned word = priority / 64u;; bits = rq->words[--word])
        if (bits != 0 || word == 0)
            return bits == 0 ? IDLE_PRIORITY : (int)(word * 64u + 63u) - __builtin_clzll(bits);
}

/* The first thread of a priority, out of the queue; the idle thread for IDLE_PRIORITY. */
static struct thread *queue_take(struct runq *rq, int priority) {
    if (priority == IDLE_PRIORITY)
        return rq->cpu->idle;
    struct thread *t = rq->heads[priority];
    runq_remove(rq, t);
    return t;
}

/* ---- Who should run ------------------------------------------------------------------------- */

void sched_special_set(struct thread *t, uint32_t bits) {
    /* Relaxed: the queue's lock orders it. */
    atomic_store_explicit(&t->special,
                          atomic_load_explicit(&t->special, memory_order_relaxed) | bits,
                          memory_order_relaxed);
}

void sched_special_clear(struct thread *t, uint32_t bits) {
    atomic_store_explicit(&t->special,
                          atomic_load_explicit(&t->special, memory_order_relaxed) & ~bits,
                          memory_order_relaxed);
}

static bool is_limited(const struct thread *t) {
    return (atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_LIMITED) != 0;
}

/* Does `t` go before the thread that runs? In the deadline band, with the earlier deadline. */
static bool goes_before(const struct runq *rq, const struct thread *t) {
    int running = runq_priority(rq);
    if (t->priority != running || running != (int)GMK_PRIORITY_DEADLINE)
        return t->priority > running;
    return t->deadline < rq->cpu->current->deadline;
}

/* Does the head of the queue go before the thread that runs? */
static bool head_goes_before(const struct runq *rq) {
    int top = runq_top(rq);
    return top != IDLE_PRIORITY && goes_before(rq, rq->heads[top]);
}

/* A user thread in the kernel runs with IF off, up to its exit to user mode: that looks at special. */
bool sched_ask(struct runq *rq, bool irq) {
    struct cpu *cpu = cpu_this();
    struct thread *current = rq->cpu->current;
    if (rq->cpu == cpu) {
        if (current->unit != NULL && !cpu->in_irq) {
            sched_special_set(current, SPECIAL_RESCHED);
            return false;
        }
        cpu->resched = true;
        if (cpu->in_irq || irq)
            return false; /* looks at it soon */
    }
    bool send = !rq->kicked;
    rq->kicked = true;
    return send;
}

/* ---- The switch ---------------------------------------------------------------------------------- */

/* All of a switch but that of stacks. The current thread's state is set; `slice` 0: what is due. */
static void switch_books(struct cpu *cpu, struct runq *rq, struct thread *next, uint64_t slice) {
    struct thread *prev = cpu->current;
    uint64_t now = arch_cycles();
    if (is_limited(prev))
        budget_stop(rq, prev, now);
    if (runq_priority(rq) >= THREAD_PRIORITY_REALTIME && next->priority < runq_priority(rq))
        atomic_store_explicit(&rq->look, true, memory_order_relaxed);
    prev->local = cpu->local;
    sched_pass(cpu, rq, next, now);
    cpu->local = next->local;
    slice = slice != 0 ? slice : next->slice_left != 0 ? next->slice_left : next->slice;
    next->slice_left = 0;
    rq->slice_end = now + slice;
    if (prev == cpu->idle)
        cpu->idle_ns = thread_run_ns(prev);
    if (next == cpu->idle)
        atomic_store_explicit(&rq->priority, IDLE_PRIORITY, memory_order_relaxed);
    else if (runq_needs_slice(rq, next))
        slice_arm(rq);
    if (is_limited(next))
        budget_run(rq, next, now);
}

/* Gives this CPU to `next`, which is in no queue; the current thread's state is set. Holds the
 * lock on both sides, but when it returns the CPU, and with it the queue, may be another. */
static void switch_to(struct cpu *cpu, struct runq *rq, struct thread *next, uint64_t slice) {
    struct thread *prev = cpu->current;
    switch_books(cpu, rq, next, slice);
    arch_context_switch(&prev->context, &next->context);
}

/* The same for a current thread that needs its stack no more: it is at the boundary, or has ended. */
_Noreturn static void leave_to(struct cpu *cpu, struct runq *rq, struct thread *next) {
    struct arch_context nobody;
    switch_books(cpu, rq, next, 0);
    if (next->unit != NULL && !arch_user_is_full(next) && rq->dead == NULL && rq->moving == NULL &&
        !runq_look(rq) &&
        (atomic_load_explicit(&next->special, memory_order_relaxed) & ~SPECIAL_IN_QUEUE) == 0)
        arch_user_hand_over(next, &rq->lock, NULL);
    arch_context_switch(&nobody, &next->context);
    panic("sched: a stack that was left is used");
}

_Noreturn void sched_leave(struct cpu *cpu, struct runq *rq) {
    leave_to(cpu, rq, queue_take(rq, runq_top(rq)));
}

/* Under the lock of its queue, when its wait is over: has it time left? */
static bool may_run(struct thread *t) {
    uint32_t special = atomic_load_explicit(&t->special, memory_order_relaxed);
    if (GMK_LIKELY(special == 0))
        return true;
    if ((special & SPECIAL_MOVED) != 0)
        slice_raise(t);
    if ((special & SPECIAL_LIMITED) == 0 || budget_wake(t, arch_cycles()))
        return true;
    t->state = THREAD_STOPPED;
    return false;
}

bool sched_held_back(struct thread *t) {
    uint32_t special = atomic_load_explicit(&t->special, memory_order_relaxed);
    bool held = (special & (SPECIAL_STOP | SPECIAL_KILL)) == SPECIAL_STOP;
    if (held)
        t->state = THREAD_STOPPED;
    return held;
}

/* An ended thread of the kernel: whoever joins may free it from here on. */
static void tell_joiner(struct thread *dead) {
    _Atomic uint32_t *exited = &dead->exited;
    /* Release pairs with the acquire in thread_join(): nobody stands on its stack. From here on
     * the thread may be gone; its word serves as a name only. */
    atomic_store_explicit(exited, 1, memory_order_release);
    (void)wait_wake(exited, UINT32_MAX);
}

/* The first thing after a switch, in the thread that continues. */
static void switched(bool irq) {
    struct runq *rq = cpu_this()->rq;
    struct thread *dead = rq->dead, *moving = rq->moving;
    bool look = runq_look(rq);
    rq->dead = rq->moving = NULL;
    if (look)
        atomic_store_explicit(&rq->look, false, memory_order_relaxed);
    spin_leave(&rq->lock);
    /* IF stays off: who waits for the end shall not wait until this thread is urgent enough. */
    if (GMK_UNLIKELY(dead != NULL)) {
        if (dead->unit != NULL)
            thread_user_gone(dead);
        else
            tell_joiner(dead);
    }
    if (GMK_UNLIKELY(moving != NULL)) {
        struct runq *home = sched_lock_thread(moving);
        sched_enqueue_unlock(home, moving, false);
    }
    if (GMK_UNLIKELY(look))
        place_pull(rq);
    arch_irq_restore(irq);
}

void sched_switched_user(void) {
    switched(false);
}

/* The running thread gives way to a more urgent one, or at the end of its slice (`behind`): into the
 * queue, or to another CPU when this one is not its place any more. */
void sched_put_back(struct cpu *cpu, struct runq *rq, bool behind) {
    struct thread *current = cpu->current;
    uint64_t now = arch_cycles();
    if (current == cpu->idle) {
        current->state = THREAD_READY;
        return;
    }
    if (!behind) /* at least one cycle: it stays before the others of its priority */
        current->slice_left = rq->slice_end > now ? rq->slice_end - now : 1;
    if ((current->affinity >> cpu->index & 1) == 0 ||
        (current->priority >= THREAD_PRIORITY_REALTIME && cpu_count > 1)) {
        rq->moving = current; /* RUNNING until then: in no queue */
        if (behind)
            current->slice_left = 0;
    } else {
        runq_push(rq, current, !behind);
    }
}

/* What preempt() decides, under the lock. NULL: the current thread goes on. */
static struct thread *preempt_pick(struct cpu *cpu, struct runq *rq) {
    struct thread *current = cpu->current;
    uint64_t now = arch_cycles();
    cpu->resched = false;
    rq->kicked = false;
    sched_special_clear(current, SPECIAL_RESCHED);
    if (is_limited(current) && budget_over(rq, current, now))
        return queue_take(rq, runq_top(rq));
    bool over = current != cpu->idle && slice_over(rq, now) && runq_needs_slice(rq, current);
    if (over && !slice_lower(rq, current))
        slice_age(rq, current);
    bool turn = over && runq_top(rq) == current->priority;
    if (head_goes_before(rq) || turn || (current->affinity >> cpu->index & 1) == 0) {
        struct thread *next = queue_take(rq, runq_top(rq));
        current->slice_left = 0;
        /* Also when a more urgent one comes just now: its equals come next, or one who wakes up at
         * the ends of slices would keep it before them for ever. */
        sched_put_back(cpu, rq, over);
        return next;
    }
    if (over)
        rq->slice_end = now + current->slice;
    return NULL;
}

/* Switches if the running thread is not the one that should run. IF off. `leave`: the current one is at
 * the boundary. */
static void preempt(struct cpu *cpu, bool leave) {
    struct runq *rq = runq_enter(cpu);
    struct thread *next = preempt_pick(cpu, rq);
    if (next != NULL ? next != cpu->idle : runq_top(rq) != IDLE_PRIORITY) {
        place_busy(cpu);
        place_offer(rq);
    }
    if (next != NULL) {
        if (leave)
            leave_to(cpu, rq, next);
        switch_to(cpu, rq, next, 0);
    } else if (runq_needs_slice(rq, cpu->current)) {
        slice_arm(rq);
    }
    switched(false);
}

void sched_irq_exit(void) {
    struct cpu *cpu = cpu_this();
    if (cpu->resched)
        preempt(cpu, false);
}

void sched_preempt_user(void) {
    preempt(cpu_this(), true);
}

void sched_yield(void) {
    bool irq = arch_irq_disable();
    struct cpu *cpu = cpu_this();
    struct runq *rq = runq_enter(cpu);
    K_ASSERT(!cpu->in_irq, "only threads yield");
    int top = runq_top(rq), running = runq_priority(rq);
    if (top == running && ++rq->yields % THREAD_YIELDS == 0) {
        int less = queue_top_below(rq, cpu->current->priority);
        top = less != IDLE_PRIORITY ? less : top;
    }
    if (top != IDLE_PRIORITY) {
        struct thread *next = queue_take(rq, top);
        cpu->current->slice_left = 0;
        runq_push(rq, cpu->current, false);
        switch_to(cpu, rq, next, top < running ? slice_cycles(THREAD_FAVOUR_NS) : 0);
    }
    switched(irq);
}

void sched_block(void) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = runq_enter(cpu);
    struct thread *current = cpu->current;
    if (current->woken) {
        current->woken = false;
    } else {
        current->state = THREAD_BLOCKED;
        switch_to(cpu, rq, queue_take(rq, runq_top(rq)), 0);
    }
    switched(false);
}

/* ---- Ready ------------------------------------------------------------------------------------------ */

struct runq *sched_lock_thread(const struct thread *t) {
    for (;;) { /* bounded: another attempt means that the thread was moved just now */
        uint32_t at = __atomic_load_n(&t->cpu, __ATOMIC_RELAXED);
        struct runq *rq = runqs[at];
        spin_enter(&rq->lock);
        if (GMK_LIKELY(t->cpu == at))
            return rq;
        spin_leave(&rq->lock);
    }
}

void sched_unlock(struct runq *rq) {
    spin_leave(&rq->lock);
}

void sched_enqueue_unlock(struct runq *rq, struct thread *t, bool irq) {
    do /* bounded: another attempt means that its CPUs were changed just now */
        rq = place(rq, t);
    while ((t->affinity >> t->cpu & 1) == 0);
    if (sched_held_back(t)) {
        spin_leave(&rq->lock);
        return;
    }
    bool before = goes_before(rq, t), send = false;
    unsigned priority = t->priority;
    uint64_t affinity = t->affinity;
    uint32_t target = t->cpu;
    runq_push(rq, t, t->slice_left != 0);
    bool first = before && rq->heads[runq_top(rq)] == t; /* it runs at once */
    if (before)
        send = sched_ask(rq, irq);
    else if (!rq->slice_armed && runq_needs_slice(rq, rq->cpu->current)) {
        if (rq->cpu == cpu_this())
            slice_arm(rq);
        else
            send = sched_ask(rq, irq);
    }
    spin_leave(&rq->lock);
    /* From here on the thread may run, end and be freed. */
    if (send)
        arch_ipi_send(target, ARCH_IPI_RESCHED);
    if (!first && (affinity & (affinity - 1)) != 0)
        place_nudge(priority, affinity);
}

void sched_ready(struct thread *t) {
    sched_ready_irq(t, arch_irq_disable());
}

void sched_ready_irq(struct thread *t, bool irq) {
    struct runq *rq = sched_lock_thread(t);
    if (t->state == THREAD_RUNNING) {
        t->woken = true; /* it is on its way to sched_block() */
        spin_leave(&rq->lock);
    } else if (may_run(t)) {
        t->slice_left = 0;
        sched_enqueue_unlock(rq, t, irq);
    } else {
        spin_leave(&rq->lock);
    }
    struct cpu *cpu = cpu_this();
    if (irq && cpu->resched && !cpu->in_irq)
        preempt(cpu, false);
    arch_irq_restore(irq);
}

void sched_effective_unlock(struct runq *rq, struct thread *t, unsigned priority) {
    unsigned before = t->priority;
    bool send = false;
    if (t->state == THREAD_READY) {
        runq_remove(rq, t);
        t->priority = (uint8_t)priority;
        sched_enqueue_unlock(rq, t, false);
        return;
    }
    t->priority = (uint8_t)priority;
    if (t == rq->cpu->current && t->state == THREAD_RUNNING) {
        atomic_store_explicit(&rq->priority, (int)priority, memory_order_relaxed);
        bool look = before >= THREAD_PRIORITY_REALTIME && priority < before;
        if (look)
            atomic_store_explicit(&rq->look, true, memory_order_relaxed);
        if (look || head_goes_before(rq) || (runq_needs_slice(rq, t) && !rq->slice_armed))
            send = sched_ask(rq, false);
    }
    spin_leave(&rq->lock);
    if (send)
        arch_ipi_send(rq->cpu->index, ARCH_IPI_RESCHED);
}

/* ---- Idle ---------------------------------------------------------------------------------------------- */

/* The idle thread. With IF off from the last look to the sleep, no wake-up falls in between. */
static _Noreturn void idle_main(void *arg) {
    (void)arch_irq_disable();
    struct cpu *cpu = arg;
    struct runq *rq = cpu->rq;
    for (;;) {
        place_idle(cpu);
        if (runq_top(rq) != IDLE_PRIORITY || place_steal(rq)) {
            preempt(cpu, false);
            continue;
        }
        slice_disarm(rq);
        timer_idle();
        arch_idle();
    }
}

/* ---- Beginnings and ends --------------------------------------------------------------------------------- */

void sched_cpu_init(struct cpu *cpu) {
    paddr_t frame = frame_alloc_zeroed(FRAME_OTHER);
    bool boots = cpu->index == 0;
    cpu->current = frame == 0 ? NULL : thread_adopt(boots ? "boot" : "idle", cpu);
    cpu->idle = boots ? thread_idle(cpu, idle_main) : cpu->current;
    if (cpu->current == NULL || cpu->idle == NULL)
        panic("sched: no memory for the run queue of CPU %u", cpu->index);
    cpu->current->since_cycles = arch_cycles();
    struct runq *rq = arch_phys(frame);
    spin_init(&rq->lock, LOCK_RUNQ);
    rq->cpu = cpu;
    rq->top = IDLE_PRIORITY;
    rq->priority = boots ? cpu->current->priority : IDLE_PRIORITY;
    cpu->rq = runqs[cpu->index] = rq;
}

_Noreturn void sched_idle_loop(void) {
    struct cpu *cpu = cpu_this();
    if (cpu->current == cpu->idle)
        idle_main(cpu);
    thread_exit();
}

void sched_begin(void) {
    switched(true);
}

_Noreturn void sched_end(void) {
    (void)arch_irq_disable();
    struct cpu *cpu = cpu_this();
    struct runq *rq = runq_enter(cpu);
    cpu->current->state = THREAD_EXITED;
    rq->dead = cpu->current;
    sched_leave(cpu, rq);
}
