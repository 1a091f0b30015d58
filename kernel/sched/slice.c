/* Slice: time slices, and feedback within a class of priorities.
 *
 * The running thread's slice ends at rq->slice_end. A timer is armed only while somebody waits who
 * may claim the CPU then (runq_needs_slice()); when it fires too early, because a later switch
 * began a new slice, it is armed again. So switches do not touch the timer. A thread that is
 * preempted, or gives way, goes on with the rest of its slice later; one that waited gets a new one.
 *
 * Feedback, in the classes Low, Normal and High. A thread that uses up a whole slice while others wait
 * is moved down by FEEDBACK_STEP, to the bottom of its class at most; each wait that it ends later
 * moves it up by as much, to its assigned priority at most. So those who compute give way to those who
 * wait, within one class, and a thread that waits often always has what it was assigned.
 *
 * Nobody starves in its class. Whoever works for others is not moved down: what it uses is their time;
 * and a group that wakes each other never uses up a slice. So whenever the timer finds that nobody
 * gives way, the least urgent one that waits in the class is moved up, at most to the level of the one
 * that runs, until it has had its turn: in a class of 64 levels after 16 slices at the latest, times
 * the number of those who wait below it.
 *
 * Effective priorities. `base` changes here while its owner runs, waits in the queue or has just stopped
 * waiting: so nothing inherits from it. What it inherits itself is at most its old base where
 * nobody waits for it (serves()); whoever begins to wait for it afterwards computes its effective
 * priority anew, under the same lock. */
#include "kernel/core/panic.h"
#include "kernel/ipc/port.h"
#include "kernel/sched/runq.h"
#include "kernel/sched/user.h"

#define FEEDBACK_STEP  4u
#define SLICE_SLACK_NS 1000u /* a timer and the cycle counter may differ by so much */

uint64_t slice_cycles(uint64_t ns) {
    return ns / 1000 * arch_cycles_khz() / 1000;
}

uint64_t slice_ns(uint64_t cycles) {
    uint64_t khz = arch_cycles_khz();
    return cycles / khz * 1000000 + (cycles % khz * 1000000 + khz - 1) / khz;
}

bool slice_over(const struct runq *rq, uint64_t now) {
    return now + slice_cycles(SLICE_SLACK_NS) >= rq->slice_end;
}

/* ---- Feedback ----------------------------------------------------------------------------- */

/* May what it inherits be more than its base? Relaxed: who raises port->top then takes this queue's
 * lock, and looks at base. */
static bool serves(const struct thread *t) {
    return t->priority != t->base || t->donors != NULL ||
           (t->served != NULL && atomic_load_explicit(&t->served->top, memory_order_relaxed) != 0);
}

static void set_base(struct thread *t, unsigned base) {
    t->base = (uint8_t)base;
    if (t->base == t->assigned)
        sched_special_clear(t, SPECIAL_MOVED);
    else
        sched_special_set(t, SPECIAL_MOVED);
}

bool slice_lower(struct runq *rq, struct thread *t) {
    unsigned room = t->base - t->floor;
    if (room == 0 || serves(t))
        return false;
    set_base(t, t->base - (room < FEEDBACK_STEP ? room : FEEDBACK_STEP));
    t->priority = t->base;
    atomic_store_explicit(&rq->priority, t->priority, memory_order_relaxed);
    return true;
}

void slice_raise(struct thread *t) {
    if (t->base < t->assigned) {
        unsigned room = t->assigned - t->base;
        set_base(t, t->base + (room < FEEDBACK_STEP ? room : FEEDBACK_STEP));
        /* What it inherits is in `priority` already. */
        t->priority = t->base > t->priority ? t->base : t->priority;
    } else if (!serves(t)) {
        set_base(t, t->assigned);
        t->priority = t->base;
    }
}

/* The least urgent one that waits in the class of `running`, below it, and takes part; NULL. At most as
 * many looks as a class has levels. */
static struct thread *find_lowest(const struct runq *rq, const struct thread *running) {
    unsigned level = thread_class_floor(running->priority);
    for (; level < running->priority; level++) {
        uint64_t bits = rq->words[level / 64] >> level % 64;
        if (bits == 0) {
            level |= 63;
            continue;
        }
        level += (unsigned)__builtin_ctzll(bits);
        struct thread *t = level < running->priority ? rq->heads[level] : NULL;
        if (t == NULL || t->floor < t->assigned)
            return t;
    }
    return NULL;
}

void slice_age(struct runq *rq, const struct thread *running) {
    struct thread *t = find_lowest(rq, running);
    if (t == NULL)
        return;
    unsigned level = t->priority + FEEDBACK_STEP;
    level = level < running->priority ? level : running->priority;
    runq_remove(rq, t);
    set_base(t, level);
    t->priority = (uint8_t)level;
    runq_push(rq, t, false);
}

/* ---- The timer -------------------------------------------------------------------------------- */

/* In the timer interrupt. */
static void slice_fire(struct timer *timer) {
    struct cpu *cpu = cpu_this();
    struct runq *rq = runq_enter(cpu);
    (void)timer;
    rq->slice_armed = false;
    if (cpu->current != cpu->idle && runq_needs_slice(rq, cpu->current)) {
        if (slice_over(rq, arch_cycles())) {
            cpu->resched = true;
        } else {
            slice_age(rq, cpu->current);
            slice_arm(rq);
        }
    }
    place_offer(rq); /* a direct switch may have left one waiting */
    runq_leave(rq);
}

void slice_arm(struct runq *rq) {
    uint64_t now = arch_cycles();
    if (rq->slice_armed)
        return;
    uint64_t left = rq->slice_end > now ? slice_ns(rq->slice_end - now) : 0;
    timer_start_reserved(&rq->slice, time_now_ns() + left, slice_fire);
    rq->slice_armed = true;
}

void slice_disarm(struct runq *rq) {
    if (rq->slice_armed)
        (void)timer_cancel(&rq->slice);
    rq->slice_armed = false;
}
