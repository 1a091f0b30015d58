/* Timers: a binary heap per CPU, and one hardware deadline for its top.
 *
 * Problem: many deadlines, one comparator per CPU, and no tick to look at them.
 * Idea: a heap of pointers, ordered by time; each timer knows its slot, so that stopping one in
 * the middle costs log2(count) steps and no search. The hardware is set only when the top comes
 * earlier than what it is set to. Stopping a timer leaves the hardware alone: a thread that waits
 * with a limit and is woken in time, again and again, would otherwise pay for two settings each
 * time. At worst one interrupt comes for nothing; an idle CPU does not even get that one
 * (timer_idle()).
 *
 * Invariants: heap[(i-1)/2] is not later than heap[i]; heap[i]->slot == i + 1. Except while
 * `running` is being called, set_ns is not later than the top.
 *
 * Stopping against firing. Both take the queue's lock, and the slot says who was first. A timer
 * that is being called is named in `running`, by timer_isr() under the lock; timer_stop() on
 * another CPU waits until that name is gone. On the timer's own CPU nobody can find it running
 * but its fn itself, since fn runs with IF off.
 *
 * Lock: LOCK_TIMER, one per CPU. fn runs without it and may start and stop timers. */
#include "kernel/time/timer.h"

#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"

struct timer_queue {
    struct spinlock lock;
    /* Guarded by lock. */
    struct timer **heap; /* [TIMERS_PER_CPU] */
    uint32_t count;
    uint64_t set_ns; /* what the hardware is set to; UINT64_MAX: nothing */
    /* Written under lock, read without. */
    struct timer *_Atomic running;
};

#define HEAP_FRAMES (TIMERS_PER_CPU * sizeof(struct timer *) / PAGE_SIZE)

static struct timer_queue queues[CPUS_MAX];

/* ---- The heap, under the lock ------------------------------------------------------- */

static void put(struct timer_queue *q, uint32_t at, struct timer *timer) {
    q->heap[at] = timer;
    timer->slot = at + 1;
}

/* Moves the hole at `at` up until `timer` fits in. At most 12 steps: log2(TIMERS_PER_CPU). */
static void sift_up(struct timer_queue *q, uint32_t at, struct timer *timer) {
    while (at > 0 && timer->at_ns < q->heap[(at - 1) / 2]->at_ns) {
        put(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(q, at, timer);
}

/* The same downwards. */
static void sift_down(struct timer_queue *q, uint32_t at, struct timer *timer) {
    for (uint32_t child = 2 * at + 1; child < q->count; child = 2 * at + 1) {
        if (child + 1 < q->count && q->heap[child + 1]->at_ns < q->heap[child]->at_ns)
            child++;
        if (timer->at_ns <= q->heap[child]->at_ns)
            break;
        put(q, at, q->heap[child]);
        at = child;
    }
    put(q, at, timer);
}

static void take_out(struct timer_queue *q, struct timer *timer) {
    uint32_t at = timer->slot - 1;
    K_ASSERT(at < q->count && q->heap[at] == timer, "a pending timer is where its slot says");
    struct timer *last = q->heap[--q->count];
    timer->slot = 0;
    if (last == timer)
        return;
    if (at > 0 && last->at_ns < q->heap[(at - 1) / 2]->at_ns)
        sift_up(q, at, last);
    else
        sift_down(q, at, last);
}

/* Sets this CPU's hardware to the top of its own queue. */
static void set_hardware(struct timer_queue *q) {
    q->set_ns = q->count != 0 ? q->heap[0]->at_ns : UINT64_MAX;
    arch_timer_set(q->set_ns);
}

/* ---- Operations ------------------------------------------------------------------------ */

void timer_cpu_init(struct cpu *cpu) {
    struct timer_queue *q = &queues[cpu->index];
    spin_init(&q->lock, LOCK_TIMER);
    paddr_t frame = frame_alloc_run(HEAP_FRAMES, PAGE_SIZE, 0, FRAME_OTHER);
    if (frame == 0)
        panic("timer: no memory for the queue of CPU %u", cpu->index);
    q->heap = arch_phys(frame);
    q->set_ns = UINT64_MAX;
}

/* False: `limit` are pending here. */
static bool start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer),
                  uint32_t limit) {
    bool irq = arch_irq_disable();
    uint32_t cpu = cpu_this()->index;
    struct timer_queue *q = &queues[cpu];
    (void)spin_lock(&q->lock);
    K_ASSERT(timer->slot == 0, "a timer is started once");
    bool room = q->count < limit;
    if (room) {
        timer->at_ns = at_ns;
        timer->fn = fn;
        timer->cpu = cpu;
        sift_up(q, q->count++, timer);
        if (at_ns < q->set_ns)
            set_hardware(q);
    }
    spin_unlock(&q->lock, irq);
    return room;
}

bool timer_start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer)) {
    return start(timer, at_ns, fn, TIMERS_PER_CPU - TIMERS_RESERVED);
}

void timer_start_reserved(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer)) {
    bool room = start(timer, at_ns, fn, TIMERS_PER_CPU);
    K_ASSERT(room, "the scheduler's timers have a reserve");
}

bool timer_restart(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer)) {
    if (timer_pending(timer))
        (void)timer_cancel(timer);
    return timer_start(timer, at_ns, fn);
}

bool timer_stop(struct timer *timer) {
    struct timer_queue *q = &queues[timer->cpu];
    bool stopped = false, runs;
    /* An fn that runs elsewhere may start its timer again, so that one is stopped once more; it
     * ends unless each start of fn's is due before we get the lock. */
    do {
        bool irq = spin_lock(&q->lock);
        if (timer->slot != 0) {
            take_out(q, timer);
            stopped = true;
        }
        runs = cpu_this()->index != timer->cpu &&
               atomic_load_explicit(&q->running, memory_order_relaxed) == timer;
        spin_unlock(&q->lock, irq);
        /* Bounded by the longest fn. Acquire pairs with the release in timer_isr(): it has ended. */
        while (runs && atomic_load_explicit(&q->running, memory_order_acquire) == timer)
            arch_relax();
    } while (runs);
    return stopped;
}

bool timer_cancel(struct timer *timer) {
    struct timer_queue *q = &queues[timer->cpu];
    bool irq = spin_lock(&q->lock);
    bool pending = timer->slot != 0;
    if (pending)
        take_out(q, timer);
    spin_unlock(&q->lock, irq);
    return pending;
}

void timer_isr(void) {
    struct cpu *cpu = cpu_this();
    struct timer_queue *q = &queues[cpu->index];
    uint64_t now = arch_time_ns();
    cpu->timer_count++;
    (void)spin_lock(&q->lock);
    /* Bounded, also when an fn starts its timer again in the past. What is due beyond that fires in
     * another interrupt, at once; others, and urgent threads, come in between. */
    uint32_t i = q->count < TIMERS_PER_ISR ? q->count : TIMERS_PER_ISR;
    for (; i > 0 && q->count != 0 && q->heap[0]->at_ns <= now; i--) {
        struct timer *timer = q->heap[0];
        take_out(q, timer);
        /* Relaxed: timer_stop() on another CPU reads it after it has had the lock. */
        atomic_store_explicit(&q->running, timer, memory_order_relaxed);
        spin_unlock(&q->lock, false);
        timer->fn(timer);
        /* Release pairs with the acquire in timer_stop(). */
        atomic_store_explicit(&q->running, NULL, memory_order_release);
        (void)spin_lock(&q->lock);
    }
    q->set_ns = UINT64_MAX; /* it was one shot */
    if (q->count != 0)
        set_hardware(q);
    spin_unlock(&q->lock, false);
}

void timer_idle(void) {
    struct timer_queue *q = &queues[cpu_this()->index];
    (void)spin_lock(&q->lock);
    if (q->set_ns != (q->count != 0 ? q->heap[0]->at_ns : UINT64_MAX))
        set_hardware(q);
    spin_unlock(&q->lock, false);
}
