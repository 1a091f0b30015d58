/* Scheduler: which thread runs where, and the switch from one to the next.
 *
 * Problem: each CPU must run its most urgent ready thread, change over within a bounded number of
 * instructions however many threads there are, and take no interrupt while it has nothing to do.
 * Idea: a run queue per CPU, with a list for each of the 256 priorities and a bitmap of the lists
 * that are not empty; two bit scans find the most urgent. There is no tick: a timer for time
 * slices runs only while a thread waits that may claim the CPU at the end of one.
 *
 * The switch. The run queue's lock is held across arch_context_switch() and released by the thread
 * that comes next (switched()). So whoever has the lock and sees a thread READY, BLOCKED or
 * EXITED knows that its registers are saved and its stack is not in use.
 *
 * A preempted thread was interrupted: its interrupt frame stays on its stack, and it continues
 * inside sched_irq_exit(), which returns through the entry code to what was interrupted.
 *
 * Invariants, under the lock of the queue:
 *   1. A thread is in the queue of thread.cpu exactly while it is READY (but for the idle thread,
 *      and for the moment in which one is moved to another queue: nobody else can find it then).
 *   2. cpu->current is RUNNING and in no queue; `priority` is its priority, IDLE_PRIORITY when
 *      it is the idle thread, which is never in a queue.
 *   3. Whoever queues a thread more urgent than the running one sets `resched` (own CPU) or
 *      sends an IPI (`kicked` tells that one is on its way), so 2. is soon the most urgent.
 *   4. While a thread of the same priority or above waits, the slice timer is armed, or an IPI
 *      is on its way that will arm it.
 *   5. Bit i of idle_cpus: CPU i runs its idle thread, and nobody has called it to work yet. It is
 *      set before that looks around for work, and read after work was queued; a full barrier on
 *      both sides, so that one of the two sees the other (Dekker, as in engine/park.h). Whoever
 *      calls an idle CPU clears its bit, so that the next one calls another.
 *   6. When a CPU gets a thread while an unpinned one waits in its queue, and another CPU is idle,
 *      that one is called (offer()).
 *
 * Locks: LOCK_RUNQ, one at a time; the slice timer's LOCK_TIMER inside. */
#include "kernel/sched/thread.h"

#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/time/timer.h"

#define IDLE_PRIORITY (-1)
#define QUEUE_WORDS   (THREAD_PRIORITIES / 64u)

struct runq {
    struct spinlock lock;
    /* Guarded by lock. */
    int priority;          /* of the thread that runs */
    bool kicked;           /* a reschedule IPI is on its way */
    uint8_t yields;        /* counts sched_yield(), modulo its width */
    bool slice_armed;      /* `slice` is pending; only the own CPU changes it */
    _Atomic uint8_t lists; /* bit i: words[i] != 0; others read it without the lock, as a hint */
    uint64_t words[QUEUE_WORDS];
    struct thread *heads[THREAD_PRIORITIES]; /* circular lists, first come first */
    struct thread *dead;                     /* has ended; the next thread says so */
    struct timer slice;
};

_Static_assert(sizeof(struct runq) <= PAGE_SIZE, "a run queue is one frame");
_Static_assert(CPUS_MAX <= 64, "idle_cpus has a bit per CPU");

static struct runq *runqs[CPUS_MAX];
static _Atomic uint64_t idle_cpus;

/* ---- The queue, under its lock ----------------------------------------------------------- */

static int queue_top(const struct runq *rq) {
    unsigned lists = atomic_load_explicit(&rq->lists, memory_order_relaxed);
    if (lists == 0)
        return IDLE_PRIORITY;
    int word = 31 - __builtin_clz(lists);
    return word * 64 + 63 - __builtin_clzll(rq->words[word]);
}

static void queue_push(struct runq *rq, struct thread *t, bool front) {
    struct thread *head = rq->heads[t->priority];
    t->state = THREAD_READY;
    if (head != NULL) {
        t->next = head;
        t->prev = head->prev;
        head->prev->next = t;
        head->prev = t;
        if (front)
            rq->heads[t->priority] = t;
        return;
    }
    t->next = t->prev = t;
    rq->heads[t->priority] = t;
    unsigned word = t->priority / 64u;
    uint8_t lists = atomic_load_explicit(&rq->lists, memory_order_relaxed);
    rq->words[word] |= 1ull << (t->priority % 64u);
    atomic_store_explicit(&rq->lists, (uint8_t)(lists | 1u << word), memory_order_relaxed);
}

static void queue_remove(struct runq *rq, struct thread *t) {
    if (t->next != t) {
        t->prev->next = t->next;
        t->next->prev = t->prev;
        if (rq->heads[t->priority] == t)
            rq->heads[t->priority] = t->next;
        return;
    }
    rq->heads[t->priority] = NULL;
    unsigned word = t->priority / 64u;
    rq->words[word] &= ~(1ull << (t->priority % 64u));
    if (rq->words[word] == 0) {
        uint8_t lists = atomic_load_explicit(&rq->lists, memory_order_relaxed);
        atomic_store_explicit(&rq->lists, (uint8_t)(lists & ~(1u << word)), memory_order_relaxed);
    }
}

/* The most urgent of those that are less urgent than `priority`. */
static int queue_top_below(const struct runq *rq, unsigned priority) {
    uint64_t bits = rq->words[priority / 64u] & ((1ull << (priority % 64u)) - 1);
    for (unsigned word = priority / 64u;; bits = rq->words[--word])
        if (bits != 0 || word == 0)
            return bits == 0 ? IDLE_PRIORITY : (int)(word * 64u + 63u) - __builtin_clzll(bits);
}

/* The first thread of a priority, out of the queue; the idle thread for IDLE_PRIORITY. */
static struct thread *queue_take(struct runq *rq, const struct cpu *cpu, int priority) {
    if (priority == IDLE_PRIORITY)
        return cpu->idle;
    struct thread *t = rq->heads[priority];
    queue_remove(rq, t);
    return t;
}

/* An unpinned thread among the first THREAD_STEAL_LOOKS; NULL. */
static struct thread *find_unpinned(const struct runq *rq) {
    unsigned looks = 0;
    for (unsigned w = QUEUE_WORDS; w-- > 0;)
        for (uint64_t bits = rq->words[w]; bits != 0;) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(bits);
            struct thread *t = rq->heads[w * 64u + bit];
            struct thread *end = t;
            do {
                if (!t->pinned)
                    return t;
                if (++looks == THREAD_STEAL_LOOKS)
                    return NULL;
                t = t->next;
            } while (t != end);
            bits &= ~(1ull << bit);
        }
    return NULL;
}

/* ---- Time slices, under the lock of this CPU's queue ------------------------------------------ */

static void slice_end(struct timer *timer);

/* Somebody waits for the end of the running thread's slice. */
static void slice_arm(struct runq *rq, uint64_t at_ns) {
    if (rq->slice_armed) {
        if (rq->slice.at_ns <= at_ns)
            return;
        (void)timer_stop(&rq->slice);
    }
    rq->slice_armed = timer_start(&rq->slice, at_ns, slice_end);
    K_ASSERT(rq->slice_armed, "the timers of all threads leave room for the slice's");
}

/* In the timer interrupt. */
static void slice_end(struct timer *timer) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = runqs[cpu->index];
    (void)spin_lock(&rq->lock);
    rq->slice_armed = false;
    if (rq->priority != IDLE_PRIORITY && queue_top(rq) >= rq->priority) {
        if (cpu->current->slice_end_ns <= timer->at_ns)
            cpu->resched = true;
        else
            slice_arm(rq, cpu->current->slice_end_ns);
    }
    spin_unlock(&rq->lock, false);
}

/* ---- The switch ---------------------------------------------------------------------------------- */

/* An idle CPU that shall work, and is not taken for idle from here on; CPUS_MAX: none. Relaxed:
 * the bits say who comes, the locks of the queues what for. */
static unsigned claim_idle(void) {
    uint64_t idle = atomic_load_explicit(&idle_cpus, memory_order_relaxed);
    while (idle != 0) { /* bounded: another attempt means that another CPU changed a bit */
        unsigned cpu = (unsigned)__builtin_ctzll(idle);
        if (atomic_compare_exchange_weak_explicit(&idle_cpus, &idle, idle & ~(1ull << cpu),
                                                  memory_order_relaxed, memory_order_relaxed))
            return cpu;
    }
    return CPUS_MAX;
}

/* An unpinned thread waits here: an idle CPU, if there is one, shall come for it. */
static void nudge_idle(void) {
    atomic_thread_fence(memory_order_seq_cst); /* invariant 5 */
    unsigned cpu = claim_idle();
    if (cpu != CPUS_MAX)
        arch_ipi_send(cpu, ARCH_IPI_RESCHED);
}

/* This CPU, which will not be idle, offers what waits in its queue. Under its lock. */
static void offer(const struct cpu *cpu, const struct runq *rq) {
    if (atomic_load_explicit(&idle_cpus, memory_order_relaxed) & 1ull << cpu->index)
        atomic_fetch_and_explicit(&idle_cpus, ~(1ull << cpu->index), memory_order_relaxed);
    if (queue_top(rq) != IDLE_PRIORITY && find_unpinned(rq) != NULL)
        nudge_idle();
}

/* Gives this CPU to `next`, which is in no queue; the current thread's state is set. Holds the
 * lock on both sides, but when it returns the CPU, and with it the queue, may be another. */
static void switch_to(struct cpu *cpu, struct runq *rq, struct thread *next) {
    struct thread *prev = cpu->current;
    uint64_t now = time_now_ns();
    prev->run_ns += now - prev->since_ns;
    next->since_ns = now;
    next->state = THREAD_RUNNING;
    if (next->slice_end_ns <= now)
        next->slice_end_ns = now + THREAD_SLICE_NS;
    rq->priority = next == cpu->idle ? IDLE_PRIORITY : next->priority;
    if (prev == cpu->idle)
        cpu->idle_ns = prev->run_ns;
    if (queue_top(rq) >= rq->priority && next != cpu->idle)
        slice_arm(rq, next->slice_end_ns);
    cpu->current = next;
    cpu->switch_count++;
    prev->local = cpu->local;
    cpu->local = next->local;
    arch_context_switch(&prev->context, &next->context);
}

/* The first thing after a switch, in the thread that continues. */
static void switched(bool irq) {
    struct runq *rq = runqs[cpu_this()->index];
    struct thread *dead = rq->dead;
    rq->dead = NULL;
    spin_unlock(&rq->lock, false);
    /* IF stays off: who waits for the end shall not wait until this thread is urgent enough. */
    if (dead != NULL) {
        _Atomic uint32_t *exited = &dead->exited;
        /* Release pairs with the acquire in thread_join(): nobody stands on its stack. From
         * here on the thread may be gone; its word serves as a name only. */
        atomic_store_explicit(exited, 1, memory_order_release);
        (void)wait_wake(exited, UINT32_MAX);
    }
    arch_irq_restore(irq);
}

/* Switches if the running thread is not the one that should run. IF off. */
static void preempt(struct cpu *cpu) {
    struct runq *rq = runqs[cpu->index];
    struct thread *current = cpu->current;
    (void)spin_lock(&rq->lock);
    cpu->resched = false;
    rq->kicked = false;
    int top = queue_top(rq);
    bool used_up =
        top == rq->priority && top != IDLE_PRIORITY && current->slice_end_ns <= time_now_ns();
    if (top > rq->priority || used_up) {
        struct thread *next = queue_take(rq, cpu, top);
        if (current == cpu->idle)
            current->state = THREAD_READY;
        else
            queue_push(rq, current, !used_up);
        offer(cpu, rq);
        switch_to(cpu, rq, next);
    } else if (top != IDLE_PRIORITY) {
        offer(cpu, rq); /* it was urgent when it came */
        if (top == rq->priority)
            slice_arm(rq, current->slice_end_ns);
    }
    switched(false);
}

void sched_irq_exit(void) {
    struct cpu *cpu = cpu_this();
    if (cpu->resched)
        preempt(cpu);
}

void sched_yield(void) {
    bool irq = arch_irq_disable();
    struct cpu *cpu = cpu_this();
    struct runq *rq = runqs[cpu->index];
    struct thread *current = cpu->current;
    (void)spin_lock(&rq->lock);
    K_ASSERT(!cpu->in_irq, "only threads yield");
    int top = queue_top(rq);
    if (top == rq->priority && ++rq->yields % THREAD_YIELDS == 0) {
        int less = queue_top_below(rq, current->priority);
        top = less != IDLE_PRIORITY ? less : top;
    }
    if (top != IDLE_PRIORITY) {
        struct thread *next = queue_take(rq, cpu, top);
        if (top < rq->priority)
            next->slice_end_ns = time_now_ns() + THREAD_FAVOUR_NS;
        current->slice_end_ns = 0;
        queue_push(rq, current, false);
        switch_to(cpu, rq, next);
    }
    switched(irq);
}

void sched_block(void) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = runqs[cpu->index];
    struct thread *current = cpu->current;
    (void)spin_lock(&rq->lock);
    if (current->woken) {
        current->woken = false;
    } else {
        current->state = THREAD_BLOCKED;
        switch_to(cpu, rq, queue_take(rq, cpu, queue_top(rq)));
    }
    switched(false);
}

/* ---- Ready ------------------------------------------------------------------------------------------ */

/* Which queue? The one the thread was in, unless it would wait there and may go to an idle CPU.
 * Returns that queue locked; the thread's own is locked on entry. */
static struct runq *place(struct runq *rq, struct thread *t) {
    if (t->pinned || rq->priority < t->priority)
        return rq;
    unsigned idle = claim_idle();
    if (idle == CPUS_MAX)
        return rq;
    t->cpu = idle;
    spin_unlock(&rq->lock, false);
    rq = runqs[t->cpu];
    (void)spin_lock(&rq->lock);
    return rq;
}

void sched_ready(struct thread *t) {
    sched_ready_irq(t, arch_irq_disable());
}

void sched_ready_irq(struct thread *t, bool irq) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = runqs[t->cpu]; /* does not change: the thread is not READY */
    (void)spin_lock(&rq->lock);
    if (t->state == THREAD_RUNNING) {
        t->woken = true; /* it is on its way to sched_block() */
        spin_unlock(&rq->lock, irq);
        return;
    }
    rq = place(rq, t);
    uint32_t target = t->cpu;
    bool urgent = t->priority > rq->priority;
    bool waits = !urgent && !t->pinned;
    bool notify = urgent || (t->priority == rq->priority && !rq->slice_armed);
    queue_push(rq, t, false);
    if (notify && target == cpu->index) {
        if (urgent)
            cpu->resched = true;
        else
            slice_arm(rq, cpu->current->slice_end_ns);
        /* Who keeps IF off is interrupted as soon as it goes on. */
        notify = urgent && !irq && !cpu->in_irq;
    }
    notify = notify && !rq->kicked;
    rq->kicked |= notify;
    spin_unlock(&rq->lock, false);
    /* From here on the thread may run, end and be freed. */
    if (notify)
        arch_ipi_send(target, ARCH_IPI_RESCHED);
    if (waits)
        nudge_idle();
    if (cpu->resched && irq && !cpu->in_irq)
        preempt(cpu);
    arch_irq_restore(irq);
}

/* ---- Idle ---------------------------------------------------------------------------------------------- */

/* Moves a thread that waits for another CPU into this one's queue. At most CPUS_MAX locks. */
static bool steal(const struct cpu *cpu, struct runq *rq) {
    unsigned count = cpu_count;
    for (unsigned i = 1; i < count; i++) {
        struct runq *victim = runqs[(cpu->index + i) % count];
        if (victim == NULL || atomic_load_explicit(&victim->lists, memory_order_relaxed) == 0)
            continue;
        (void)spin_lock(&victim->lock);
        struct thread *t = victim->priority != IDLE_PRIORITY ? find_unpinned(victim) : NULL;
        if (t != NULL) {
            queue_remove(victim, t);
            t->cpu = cpu->index;
        }
        spin_unlock(&victim->lock, false);
        if (t != NULL) {
            (void)spin_lock(&rq->lock);
            queue_push(rq, t, false);
            spin_unlock(&rq->lock, false);
            return true;
        }
    }
    return false;
}

/* The idle thread. With IF off from the last look to the sleep, no wake-up falls in between. */
static _Noreturn void idle_main(void *arg) {
    (void)arch_irq_disable();
    struct cpu *cpu = arg;
    struct runq *rq = runqs[cpu->index];
    for (;;) {
        atomic_fetch_or_explicit(&idle_cpus, 1ull << cpu->index, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst); /* invariant 5 */
        if (atomic_load_explicit(&rq->lists, memory_order_relaxed) != 0 || steal(cpu, rq)) {
            preempt(cpu);
            continue;
        }
        if (rq->slice_armed) {
            (void)timer_stop(&rq->slice);
            rq->slice_armed = false;
        }
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
    cpu->current->since_ns = time_now_ns();
    struct runq *rq = arch_phys(frame);
    spin_init(&rq->lock, LOCK_RUNQ);
    rq->priority = boots ? cpu->current->priority : IDLE_PRIORITY;
    runqs[cpu->index] = rq;
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
    struct runq *rq = runqs[cpu->index];
    (void)spin_lock(&rq->lock);
    cpu->current->state = THREAD_EXITED;
    rq->dead = cpu->current;
    switch_to(cpu, rq, queue_take(rq, cpu, queue_top(rq)));
    panic("sched: an ended thread runs");
}
