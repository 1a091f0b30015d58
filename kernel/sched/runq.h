/* Run queue: what sched.c and the paths that switch without it share.
 *
 * A list for each priority and a bitmap of the lists that are not empty; `top` remembers the most
 * urgent one. Entering and leaving a list are a few instructions; when the most urgent list becomes
 * empty, at most four words are looked through. The deadline band's list is in the order of
 * deadlines (budget.c), all others first come first.
 *
 * The direct switch. The current user thread, at the boundary, gives its CPU to another user thread that
 * waits at the boundary too, without a look at the queues: the receiver of a call, the caller that
 * gets its reply, the waiter of a signal. The steps, with IF off:
 *
 *     next is taken out of its wait, under its object's lock
 *     sched_bring(cpu, next)            it belongs to this CPU now; no queue is locked
 *     rq = runq_enter(cpu)
 *     sched_can_switch(cpu, rq, next)   nothing stands against it
 *     sched_direct_block(..)            the current one will wait (it is in its object's queue already)
 *  or sched_can_ready(rq, next) and sched_direct_ready(..)
 *                                       the current one stays ready, at the front of its priority;
 *                                       `next` is more urgent
 *
 * and where one of them says no: runq_leave(), sched_ready_irq(next, false), and sched_block_user()
 * if the current one waits. Results are in the frames of both before. The rest of the time slice goes
 * with a direct block: so two threads that call each other use one slice together, and starve nobody. */
#pragma once

#include "arch_user.h"
#include "kernel/core/lock.h"
#include "kernel/sched/thread.h"

#define IDLE_PRIORITY (-1)
#define QUEUE_WORDS   (THREAD_PRIORITIES / 64u)
/* Those who take part in budgets of time: the ordinary switch alone keeps their books. */
#define SPECIAL_LIMITED (SPECIAL_BUDGET | SPECIAL_DEADLINE)
/* Those that mean nothing to a thread which runs here, or waits in this CPU's queue. */
#define SPECIAL_IN_QUEUE ((uint32_t)(SPECIAL_MOVED | SPECIAL_AFFINITY))

/* In line wherever it is used: a call would cost as much. */
#define SCHED_INLINE __attribute__((always_inline)) static inline

struct runq {
    struct spinlock lock;
    struct cpu *cpu; /* constant */
    /* Written under the lock; read by other CPUs without it, as hints. */
    _Atomic int top;      /* the most urgent priority in the queue; IDLE_PRIORITY: it is empty */
    _Atomic int priority; /* of the thread that runs; IDLE_PRIORITY: the idle thread */
    _Atomic bool look;    /* set by anybody: does an urgent thread wait elsewhere? */
    /* Guarded by lock. */
    bool kicked;        /* a reschedule IPI is on its way */
    bool slice_armed;   /* `slice` is pending; only the own CPU changes it */
    uint8_t yields;     /* counts sched_yield(), modulo its width */
    uint64_t slice_end; /* cycles: the running thread's slice, passed on by direct switches */
    uint32_t lists;     /* bit i: words[i] != 0 */
    uint64_t words[QUEUE_WORDS];
    struct thread *heads[THREAD_PRIORITIES]; /* circular lists */
    struct thread *dead;                     /* has ended; the next thread says so */
    struct thread
        *moving; /* left the CPU in order to run on another; the next thread sends it there */
    struct timer slice;
    struct timer budget; /* the running thread's CPU time ends */
};
_Static_assert(sizeof(struct runq) <= PAGE_SIZE, "a run queue is one frame");

extern struct runq *runqs[CPUS_MAX];
extern _Atomic uint64_t sched_idle_cpus;

static inline int runq_top(const struct runq *rq) {
    return atomic_load_explicit(&rq->top, memory_order_relaxed);
}

static inline bool runq_look(const struct runq *rq) {
    return atomic_load_explicit(&rq->look, memory_order_relaxed);
}

static inline int runq_priority(const struct runq *rq) {
    return atomic_load_explicit(&rq->priority, memory_order_relaxed);
}

/* This CPU's queue, locked. IF off. */
static inline struct runq *runq_enter(struct cpu *cpu) {
    struct runq *rq = cpu->rq;
    spin_enter(&rq->lock);
    return rq;
}

static inline void runq_leave(struct runq *rq) {
    spin_leave(&rq->lock);
}

/* ---- The queue, under its lock ------------------------------------------------------------ */

/* In the order of deadlines; out of line. */
void runq_push_deadline(struct runq *rq, struct thread *t);

/* The list of a priority gets its first thread. */
static inline void runq_open(struct runq *rq, unsigned priority) {
    rq->words[priority / 64u] |= 1ull << (priority % 64u);
    rq->lists |= 1u << priority / 64u;
    if ((int)priority > runq_top(rq))
        atomic_store_explicit(&rq->top, (int)priority, memory_order_relaxed);
}

/* It has lost its last one: two bit scans find the most urgent list that is left. */
static inline void runq_close(struct runq *rq, unsigned priority) {
    unsigned word = priority / 64u;
    int top = IDLE_PRIORITY;
    rq->heads[priority] = NULL;
    rq->words[word] &= ~(1ull << (priority % 64u));
    if (rq->words[word] == 0)
        rq->lists &= ~(1u << word);
    if (GMK_UNLIKELY((int)priority != runq_top(rq)))
        return;
    if (rq->lists != 0) {
        word = 31u - (unsigned)__builtin_clz(rq->lists);
        top = (int)(word * 64u + 63u) - __builtin_clzll(rq->words[word]);
    }
    atomic_store_explicit(&rq->top, top, memory_order_relaxed);
}

static inline void runq_push(struct runq *rq, struct thread *t, bool front) {
    unsigned priority = t->priority;
    struct thread *head = rq->heads[priority];
    t->state = THREAD_READY;
    if (GMK_UNLIKELY(priority == GMK_PRIORITY_DEADLINE)) {
        runq_push_deadline(rq, t);
        return;
    }
    if (head != NULL) {
        t->next = head;
        t->prev = head->prev;
        head->prev->next = t;
        head->prev = t;
        if (front)
            rq->heads[priority] = t;
        return;
    }
    t->next = t->prev = t;
    rq->heads[priority] = t;
    runq_open(rq, priority);
}

static inline void runq_remove(struct runq *rq, struct thread *t) {
    unsigned priority = t->priority;
    if (t->next != t) {
        t->prev->next = t->next;
        t->next->prev = t->prev;
        if (rq->heads[priority] == t)
            rq->heads[priority] = t->next;
        return;
    }
    runq_close(rq, priority);
}

/* Must somebody look when the slice of `running` ends? While one waits that is as urgent, or, when
 * feedback would move it down, anybody. Slices mean nothing in the deadline band. */
static inline bool runq_needs_slice(const struct runq *rq, const struct thread *running) {
    int top = runq_top(rq);
    return GMK_UNLIKELY(top != IDLE_PRIORITY) && running->priority != GMK_PRIORITY_DEADLINE &&
           (top >= running->priority ||
            (running->priority > running->floor && running->assigned > running->floor));
}

/* ---- The direct switch ---------------------------------------------------------------------- */

/* Would a thread of this effective priority run at once here if the current one stopped? */
static inline bool sched_is_top(const struct runq *rq, unsigned priority) {
    return (int)priority >= runq_top(rq);
}

/* May the current thread hand over to `next` directly? This CPU's queue is locked. No when one of them is
 * stopped, ended or limited; when others are more urgent; when a slice timer has to be armed first; and
 * when this CPU leaves the Realtime band, because then an urgent thread may wait elsewhere. */
static inline bool sched_can_switch(const struct cpu *cpu, const struct runq *rq,
                                    const struct thread *next) {
    uint32_t current = atomic_load_explicit(&cpu->current->special, memory_order_relaxed);
    uint32_t special =
        (current & ~SPECIAL_IN_QUEUE) | atomic_load_explicit(&next->special, memory_order_relaxed);
    int running = runq_priority(rq);
    if (GMK_UNLIKELY(special != 0 || !sched_is_top(rq, next->priority)))
        return false;
    if (GMK_UNLIKELY(running >= THREAD_PRIORITY_REALTIME && next->priority < running))
        return false;
    return !runq_needs_slice(rq, next) || rq->slice_armed;
}

bool sched_bring_from(struct cpu *cpu, struct thread *thread);
/* May `thread`, which has been taken out of its wait, run on this CPU at once? Moves it here if it waited
 * elsewhere (its old queue's lock is taken for a moment: this CPU's must not be held). False: it has not
 * stopped running there yet, is stopped or limited, or bound elsewhere. */
static inline bool sched_bring(struct cpu *cpu, struct thread *thread) {
    return GMK_LIKELY(thread->cpu == cpu->index) || sched_bring_from(cpu, thread);
}

/* What every switch does to the two threads and the CPU, but for slices and budgets and what is the
 * architecture's. The state of the current thread, `prev`, is set by the caller. */
SCHED_INLINE void sched_books(struct cpu *cpu, struct runq *rq, struct thread *prev,
                              struct thread *next, uint64_t now) {
    prev->run_cycles += now - prev->since_cycles;
    next->since_cycles = now;
    next->state = THREAD_RUNNING;
    next->switches++;
    cpu->current = next;
    cpu->switch_count++;
    atomic_store_explicit(&rq->priority, next->priority, memory_order_relaxed);
}

SCHED_INLINE void sched_pass(struct cpu *cpu, struct runq *rq, struct thread *next, uint64_t now) {
    struct thread *prev = cpu->current;
    sched_books(cpu, rq, prev, next, now);
    arch_user_switch(cpu, prev, next);
}

/* `held` (may be NULL) is released with the queue's lock, once the current stack is not used any more. */
_Noreturn static inline void sched_direct_block(struct cpu *cpu, struct runq *rq,
                                                struct thread *next, struct spinlock *held) {
    struct thread *current = cpu->current;
    arch_user_boundary(current);
    current->state = THREAD_BLOCKED;
    sched_pass(cpu, rq, next, arch_cycles());
    arch_user_hand_over(next, &rq->lock, held);
}

/* And may the current one stay ready? Its waiting may call for a slice timer, and for an idle CPU that could
 * take it: with the timer armed, who waits is offered to others when that fires. */
static inline bool sched_can_ready(const struct runq *rq, const struct thread *next) {
    return rq->slice_armed || (atomic_load_explicit(&sched_idle_cpus, memory_order_relaxed) == 0 &&
                               next->base == next->floor);
}

/* The current one will go on with the rest of its slice. */
_Noreturn static inline void sched_direct_ready(struct cpu *cpu, struct runq *rq,
                                                struct thread *next, struct spinlock *held) {
    struct thread *current = cpu->current;
    uint64_t now = arch_cycles();
    arch_user_boundary(current);
    current->slice_left = rq->slice_end > now ? rq->slice_end - now : 0;
    rq->slice_end = now + next->slice;
    runq_push(rq, current, true);
    sched_pass(cpu, rq, next, now);
    arch_user_hand_over(next, &rq->lock, held);
}

/* Makes `thread`, taken out of its wait, ready behind the others of its priority, where that is all there
 * is to do: it belongs to this CPU, whose queue is locked, and is not more urgent than the current one.
 * False: sched_ready_irq() must do it, without the lock. */
static inline bool sched_ready_here(const struct cpu *cpu, struct runq *rq, struct thread *thread) {
    if (thread->cpu != cpu->index || thread->priority > runq_priority(rq) || !rq->slice_armed ||
        atomic_load_explicit(&thread->special, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&sched_idle_cpus, memory_order_relaxed) != 0 ||
        thread->priority >= THREAD_PRIORITY_REALTIME)
        return false;
    thread->slice_left = 0;
    runq_push(rq, thread, false);
    return true;
}

/* The current user thread stops at the boundary of its system call until sched_ready(), which may have
 * come before. Its results have been or will be written into its frame. No lock held. */
_Noreturn void sched_block_user(void);
/* The same at the boundary of a full frame: arch_user_boundary_full() came before. */
_Noreturn void sched_block_full(void);
/* The current user thread gives way; rax = 0. By the system call. */
uint64_t sched_sys_yield(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                         uint64_t a5, uint64_t rax);
/* Where a context at the boundary begins after an ordinary switch: releases the queue's lock and does what
 * else comes after a switch. Called by the entry code. */
void sched_switched_user(void);

/* ---- Between the files of the scheduler ---------------------------------------------------------- */

/* boundary.c. What turn.c does not do in line, with the queue locked by spin_enter_brief(): the current
 * thread, at the boundary, waits, or gives way. */
_Noreturn void sched_block_slow(struct cpu *cpu, struct runq *rq);
_Noreturn void sched_yield_slow(struct cpu *cpu, struct runq *rq);

/* sched.c. An ordinary switch away from the current user thread, which is at the boundary and whose state
 * is set. The queue is locked. */
_Noreturn void sched_leave(struct cpu *cpu, struct runq *rq);
/* A thread that is in no queue (NEW, BLOCKED, STOPPED, or on its way to another CPU) becomes READY where
 * it should be: placed, queued, told about. Its queue is locked, and unlocked on return. */
void sched_enqueue_unlock(struct runq *rq, struct thread *t, bool irq);
/* The CPU of `rq`, which is locked, shall look at its queue again. True: send the IPI once it is
 * unlocked. */
bool sched_ask(struct runq *rq, bool irq);
/* The running thread, whose CPU is about to be given to another one: into the queue, at the end of its
 * priority or at the front, or on its way to another CPU. */
void sched_put_back(struct cpu *cpu, struct runq *rq, bool behind);
/* A thread in transit arrives, its queue locked: is it suspended? Then it is STOPPED. */
bool sched_held_back(struct thread *t);
/* The current user thread at the boundary gives way if it has to. */
void sched_preempt_user(void);
void sched_special_set(struct thread *t, uint32_t bits);
void sched_special_clear(struct thread *t, uint32_t bits);

/* place.c. The queue where a READY thread shall be: locked; the thread's own is locked on entry. */
struct runq *place(struct runq *rq, struct thread *t);
/* A thread waits in a queue, unlocked now: a CPU that could run it at once shall come for it. */
void place_nudge(unsigned priority, uint64_t affinity);
/* This CPU will not be idle; it offers what waits in its queue. Under its lock. */
void place_busy(const struct cpu *cpu);
void place_offer(struct runq *rq);
/* Moves a thread that waits for another CPU into this one's queue: for the idle one, below the Realtime
 * band; for one that became less urgent, from that band. No lock held. */
bool place_steal(struct runq *rq);
void place_pull(struct runq *rq);
/* This CPU is idle from here on, until somebody needs it. */
void place_idle(const struct cpu *cpu);

/* slice.c. Under the lock of this CPU's queue. */
void slice_arm(struct runq *rq);
void slice_disarm(struct runq *rq);
/* Is the running thread's slice over? */
bool slice_over(const struct runq *rq, uint64_t now);
/* The running thread used up its slice: feedback moves it down. False: not this one. */
bool slice_lower(struct runq *rq, struct thread *t);
/* A wait of a thread that feedback has moved is over. */
void slice_raise(struct thread *t);
/* Nobody gave way for as long as a slice: the least urgent one of its class that waits moves up. */
void slice_age(struct runq *rq, const struct thread *running);
uint64_t slice_cycles(uint64_t ns);
uint64_t slice_ns(uint64_t cycles); /* rounded up */

/* user.c. An ended user thread has left its CPU. No lock held. */
void thread_user_gone(struct thread *thread);
/* budget.c. Under the lock of the thread's queue, for threads with SPECIAL_LIMITED. */
void budget_run(struct runq *rq, struct thread *t, uint64_t now);  /* it begins to run */
void budget_stop(struct runq *rq, struct thread *t, uint64_t now); /* it stops */
/* May it become ready? False: its time is used up; it is throttled until its refill. */
bool budget_wake(struct thread *t, uint64_t now);
/* The running one: has it nothing left? Then it is STOPPED until its refill. */
bool budget_over(struct runq *rq, struct thread *t, uint64_t now);
/* New limits from now on. `args` have been checked. */
void budget_set(struct thread *t, const gmk_sched_args_t *args);
/* It has run until now: its budgets pay. */
void budget_settle(struct thread *t, uint64_t now);
/* The deadline band: room for `args` on one of the CPUs? Takes it, instead of what the thread has there
 * already, and tells which; CPUS_MAX: no, and nothing has changed. */
unsigned budget_admit(const struct thread *t, const gmk_sched_args_t *args, uint32_t *load);
void budget_release(unsigned cpu, uint32_t load);

/* look.c: what a CPU runs and has waiting, for the monitor. */
struct sched_seen {
    int own, now; /* assigned and effective priority of the thread that runs */
    uint64_t switches;
    unsigned
        ready[6]; /* by class: idle, low, normal, high, realtime, deadline; at most SEEN_MAX each */
    bool slice_armed;
    char name[THREAD_NAME_MAX];
};
#define SEEN_MAX 64u
/* A copy under the queue's lock. False: there is no such CPU. Any context. */
bool sched_look(unsigned cpu, struct sched_seen *seen);
