/* Place: on which CPU a thread runs.
 *
 * A thread that becomes ready stays on its CPU if it runs there at once. Else it goes to an idle CPU,
 * and a Realtime thread (THREAD_PRIORITY_REALTIME and above) without one to the CPU that runs the
 * least urgent thread which it may preempt. Where nothing is better it waits at home.
 *
 * Who waits. Below the Realtime band, idle CPUs come for those who wait: a CPU that gets busy while
 * others wait in its queue calls one (place_offer(), place_nudge()), and a CPU looks around before it
 * sleeps (place_steal()). In the Realtime band nobody waits while a CPU runs something less urgent:
 * when a CPU leaves the band, or goes down in it, it looks whether an urgent thread waits
 * elsewhere (place_pull()); when one has to wait, a CPU that became less urgent meanwhile is called.
 * Both sides write first and then look, a full barrier between (Dekker).
 *
 * Bounds: CPUS_MAX looks, at most as many locks, one at a time, and THREAD_STEAL_LOOKS threads of a
 * queue. */
#include "kernel/core/panic.h"
#include "kernel/sched/runq.h"

_Static_assert(CPUS_MAX <= 64, "a set of CPUs is one word");

_Atomic uint64_t sched_idle_cpus;

/* An idle CPU of the set that shall work, and is not taken for idle from here on; CPUS_MAX: none.
 * Relaxed: the bits say who comes, the locks of the queues what for. */
static unsigned claim_idle(uint64_t set) {
    uint64_t idle = atomic_load_explicit(&sched_idle_cpus, memory_order_relaxed);
    while ((idle & set) != 0) { /* bounded: another attempt means that another CPU changed a bit */
        unsigned cpu = (unsigned)__builtin_ctzll(idle & set);
        if (atomic_compare_exchange_weak_explicit(&sched_idle_cpus, &idle, idle & ~(1ull << cpu),
                                                  memory_order_relaxed, memory_order_relaxed))
            return cpu;
    }
    return CPUS_MAX;
}

/* What a CPU runs, or is about to run. */
static int urgency(const struct runq *rq) {
    int running = runq_priority(rq), top = runq_top(rq);
    return running > top ? running : top;
}

/* The CPU of the set that is the least urgent, below `priority`; CPUS_MAX: none. */
static unsigned least_urgent(uint64_t set, int priority) {
    unsigned best = CPUS_MAX;
    for (unsigned i = 0; i < cpu_count; i++) {
        if (runqs[i] == NULL || (set >> i & 1) == 0 || urgency(runqs[i]) >= priority)
            continue;
        priority = urgency(runqs[i]);
        best = i;
    }
    return best;
}

/* Calls a CPU of the set that could run a thread of this priority at once, which waits in a queue. */
static void call_for(int priority, uint64_t set) {
    unsigned cpu = claim_idle(set);
    bool urgent = priority >= THREAD_PRIORITY_REALTIME;
    if (cpu == CPUS_MAX && urgent)
        cpu = least_urgent(set, priority);
    if (cpu == CPUS_MAX)
        return;
    if (urgent)
        atomic_store_explicit(&runqs[cpu]->look, true, memory_order_relaxed);
    arch_ipi_send(cpu, ARCH_IPI_RESCHED);
}

struct runq *place(struct runq *rq, struct thread *t) {
    uint64_t self = 1ull << t->cpu;
    bool at_home = (t->affinity & self) != 0;
    if (at_home && (t->affinity == self || t->priority > urgency(rq)))
        return rq;
    unsigned target = claim_idle(t->affinity & ~self);
    if (target == CPUS_MAX && t->priority >= THREAD_PRIORITY_REALTIME)
        target = least_urgent(t->affinity & ~self, t->priority);
    if (target == CPUS_MAX && !at_home)
        target = least_urgent(t->affinity, THREAD_PRIORITIES);
    if (target == CPUS_MAX)
        return rq;
    t->state = THREAD_RUNNING; /* in transit */
    t->cpu = target;
    runq_leave(rq);
    spin_enter(&runqs[target]->lock);
    return runqs[target];
}

void place_nudge(unsigned priority, uint64_t affinity) {
    atomic_thread_fence(memory_order_seq_cst); /* pairs with place_idle() and place_pull() */
    call_for((int)priority, affinity);
}

/* ---- Threads that wait in a queue, under its lock ------------------------------------------- */

/* The first thread from `top` down to `least` that may run on one of the CPUs, among the first
 * THREAD_STEAL_LOOKS; NULL. */
static struct thread *find_waiting(const struct runq *rq, uint64_t set, unsigned top,
                                   unsigned least) {
    unsigned looks = 0;
    for (unsigned w = top / 64u + 1; w-- > least / 64u;)
        for (uint64_t bits = rq->words[w]; bits != 0;) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(bits), priority = w * 64u + bit;
            struct thread *t = rq->heads[priority], *end = t;
            bits &= ~(1ull << bit);
            if (priority > top)
                continue;
            if (priority < least)
                return NULL;
            do {
                if ((t->affinity & set) != 0)
                    return t;
                if (++looks == THREAD_STEAL_LOOKS)
                    return NULL;
                t = t->next;
            } while (t != end);
        }
    return NULL;
}

void place_busy(const struct cpu *cpu) {
    uint64_t self = 1ull << cpu->index;
    if (atomic_load_explicit(&sched_idle_cpus, memory_order_relaxed) & self)
        atomic_fetch_and_explicit(&sched_idle_cpus, ~self, memory_order_relaxed);
}

void place_offer(struct runq *rq) {
    uint64_t self = 1ull << rq->cpu->index;
    if (runq_top(rq) == IDLE_PRIORITY || cpu_count == 1)
        return;
    const struct thread *t = find_waiting(rq, ~self, THREAD_PRIORITIES - 1, 0);
    if (t == NULL)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* pairs with place_idle() and place_pull() */
    call_for(t->priority, t->affinity & ~self);
}

/* ---- Taking from others ------------------------------------------------------------------------ */

/* Takes a thread of these priorities from another CPU's queue into this one's. `irq`: the caller looks at
 * its queue by itself afterwards. */
static bool take_from(struct runq *rq, struct runq *victim, unsigned top, unsigned least,
                      bool irq) {
    uint32_t here = rq->cpu->index;
    spin_enter(&victim->lock);
    struct thread *t = runq_priority(victim) != IDLE_PRIORITY
                           ? find_waiting(victim, 1ull << here, top, least)
                           : NULL;
    if (t != NULL) {
        runq_remove(victim, t);
        t->state = THREAD_RUNNING; /* in transit */
        t->cpu = here;
    }
    runq_leave(victim);
    if (t == NULL)
        return false;
    spin_enter(&rq->lock);
    sched_enqueue_unlock(rq, t, irq);
    return true;
}

bool place_steal(struct runq *rq) {
    unsigned here = rq->cpu->index, count = cpu_count;
    for (unsigned i = 1; i < count; i++) {
        struct runq *victim = runqs[(here + i) % count];
        if (victim != NULL && runq_top(victim) != IDLE_PRIORITY &&
            take_from(rq, victim, THREAD_PRIORITY_REALTIME - 1, 0, true))
            return true;
    }
    return false;
}

void place_pull(struct runq *rq) {
    unsigned here = rq->cpu->index;
    atomic_thread_fence(memory_order_seq_cst); /* pairs with place_nudge() */
    for (unsigned i = 0; i < cpu_count; i++) {
        struct runq *victim = runqs[i];
        int least = runq_priority(rq) + 1;
        least = least > THREAD_PRIORITY_REALTIME ? least : THREAD_PRIORITY_REALTIME;
        if (i != here && victim != NULL && runq_top(victim) >= least &&
            take_from(rq, victim, THREAD_PRIORITIES - 1, (unsigned)least, false))
            return;
    }
}

void place_idle(const struct cpu *cpu) {
    atomic_fetch_or_explicit(&sched_idle_cpus, 1ull << cpu->index, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* invariant 5 */
}
