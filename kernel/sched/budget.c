/* Budget: how much CPU time a thread may use in each period, and the deadline band.
 *
 * Three reasons limit a thread: a budget and period of its own, the budget of its unit
 * (cpu_permille of a CPU in every UNIT_PERIOD), and the deadline band. A limited thread takes part in
 * ordinary switches only. While it runs, a timer of its CPU fires when its time is up; then it is
 * *throttled*: STOPPED, until its own timer `refill` fires at the start of the next period. That
 * timer can always be started (timer.h), so no throttled thread is forgotten. What it used beyond
 * its budget, because the kernel worked for it just then, the next period pays.
 *
 * A unit's budget is one word: the number of the period, and what was used in it. A thread of the unit
 * takes UNIT_QUANTUM at most before it runs, and gives back what it did not use: so however many CPUs
 * run threads of the unit, they never use more than its budget.
 *
 * Deadlines. Earliest deadline first on each CPU; a thread belongs to one CPU, which admits it while
 * the sum of amount / min(period, deadline) there stays at or below LOAD_MAX: then all keep their
 * deadlines, whatever each of them does (Liu and Layland 1973; densities: Baruah et al. 1990). Each is a
 * constant-bandwidth server (Abeni and Buttazzo 1998): one that wakes up with more budget left than
 * its bandwidth allows until its deadline gets a new deadline, and one that has used up its budget
 * waits for the next period.
 *
 * Invariants, under the lock of the thread's queue: throttled means STOPPED (or about to be), with
 * refill pending or firing; grant is 0 but while the thread runs. */
#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"
#include "kernel/sched/runq.h"

#define UNIT_PERIOD_NS  100000000ull
#define UNIT_QUANTUM_NS 1000000ull
#define USED_BITS       40u /* of unit.cpu_used; above: the number of the period */
#define USED_MASK       ((1ull << USED_BITS) - 1)
#define LOAD_ONE        1000000u /* all of a CPU */
#define LOAD_MAX        900000u
#define MEMBERS_MAX \
    32u /* of the deadline band, on one CPU: entering its list takes so many steps */

_Static_assert(TIMERS_RESERVED >= THREADS_MAX + 2, "a refill per user thread, slice and budget");

static struct spinlock admission = SPINLOCK_INIT(LOCK_LEAF);
static struct { /* guarded by admission */
    uint32_t load, members;
} bands[CPUS_MAX];

/* ---- The band's list ------------------------------------------------------------------------ */

/* From its end: threads that inherit the band's priority have deadline 0, and stand in front. */
void runq_push_deadline(struct runq *rq, struct thread *t) {
    struct thread **head = &rq->heads[GMK_PRIORITY_DEADLINE];
    if (*head == NULL) {
        *head = t->next = t->prev = t;
        runq_open(rq, GMK_PRIORITY_DEADLINE);
        return;
    }
    struct thread *after = (*head)->prev;
    while (after != *head && after->deadline > t->deadline)
        after = after->prev;
    bool first = after->deadline > t->deadline; /* then `after` is the head */
    after = first ? after->prev : after;
    t->prev = after;
    t->next = after->next;
    t->next->prev = t;
    after->next = t;
    if (first)
        *head = t;
}

/* ---- The budget of a unit ----------------------------------------------------------------------- */

static bool unit_limited(const struct thread *t) {
    return t->unit->cpu_permille != 0;
}

static uint64_t unit_amount(const struct unit *unit) {
    return slice_cycles(UNIT_PERIOD_NS) / 1000 * unit->cpu_permille;
}

/* What was used of the period that `now` is in. */
static uint64_t unit_used(uint64_t word, uint64_t period) {
    return word >> USED_BITS == (period & (UINT64_MAX >> USED_BITS)) ? word & USED_MASK : 0;
}

/* Takes up to `want`; or, when that is negative, gives back. Returns what it got. */
static int64_t unit_take(struct unit *unit, uint64_t now, int64_t want) {
    uint64_t period = now / slice_cycles(UNIT_PERIOD_NS), word, used;
    int64_t got;
    word = atomic_load_explicit(&unit->cpu_used, memory_order_relaxed);
    do { /* bounded: another attempt means that another CPU changed it */
        used = unit_used(word, period);
        int64_t left = (int64_t)unit_amount(unit) - (int64_t)used;
        got = want < left ? want : left > 0 ? left : 0;
        got = -got > (int64_t)used ? -(int64_t)used : got;
    } while (!atomic_compare_exchange_weak_explicit(
        &unit->cpu_used, &word, period << USED_BITS | ((used + (uint64_t)got) & USED_MASK),
        memory_order_relaxed, memory_order_relaxed));
    return got;
}

/* Used without having been taken: more than is left counts too, up to the end of the period. */
static void unit_overrun(struct unit *unit, uint64_t now, uint64_t over) {
    uint64_t period = now / slice_cycles(UNIT_PERIOD_NS);
    uint64_t word = atomic_load_explicit(&unit->cpu_used, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &unit->cpu_used, &word,
        period << USED_BITS | ((unit_used(word, period) + over) & USED_MASK), memory_order_relaxed,
        memory_order_relaxed)) {}
}

static bool unit_empty(const struct thread *t, uint64_t now) {
    if (!unit_limited(t))
        return false;
    uint64_t word = atomic_load_explicit(&t->unit->cpu_used, memory_order_relaxed);
    return unit_used(word, now / slice_cycles(UNIT_PERIOD_NS)) >= unit_amount(t->unit);
}

/* ---- Periods ---------------------------------------------------------------------------------------- */

static bool in_band(const struct thread *t) {
    return (atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_DEADLINE) != 0;
}

static bool own_empty(const struct thread *t) {
    return t->budget.amount != 0 && t->budget.left <= 0;
}

/* A period begins at `start`. A debt is paid by the first one. */
static void begin_period(struct thread *t, uint64_t start) {
    struct budget *b = &t->budget;
    b->left = (int64_t)b->amount + (b->left < 0 ? b->left : 0);
    b->period_end = start + b->period;
    if (in_band(t))
        t->deadline = start + b->relative;
}

/* If the period is over: the next one, on the same grid. */
static void next_period(struct thread *t, uint64_t now) {
    struct budget *b = &t->budget;
    if (b->amount == 0 || now < b->period_end)
        return;
    begin_period(t, b->period_end + (now - b->period_end) / b->period * b->period);
}

/* A thread of the band wakes up: may it go on under its deadline, has it to begin a period, or to
 * wait for one? */
static void wake_in_band(struct thread *t, uint64_t now) {
    struct budget *b = &t->budget;
    if (now >= b->period_end) {
        begin_period(t, now);
        return;
    }
    bool fits = b->left <= 0 ||
                (now < t->deadline && (unsigned __int128)(uint64_t)b->left * b->relative <=
                                          (unsigned __int128)(t->deadline - now) * b->amount);
    if (fits)
        return;
    if (b->relative == b->period || b->left == (int64_t)b->amount)
        begin_period(t, now);
    else
        b->left = 0; /* it waits for the period's end */
}

/* ---- Throttling --------------------------------------------------------------------------------------- */

static void refill_fire(struct timer *timer);

/* Its time is up until the start of a period: the later one where both budgets are empty. */
static void throttle(struct thread *t, uint64_t now) {
    uint64_t period = slice_cycles(UNIT_PERIOD_NS), at = now;
    if (unit_empty(t, now))
        at = (now / period + 1) * period;
    if (own_empty(t) && t->budget.period_end > at)
        at = t->budget.period_end;
    t->state = THREAD_STOPPED;
    t->budget.throttled = true;
    (void)timer_cancel(&t->budget.refill);
    timer_start_reserved(&t->budget.refill, time_now_ns() + slice_ns(at - now), refill_fire);
}

/* In the timer interrupt. A timer that was cancelled too late, or started again, finds out here. */
static void refill_fire(struct timer *timer) {
    struct thread *t = (struct thread *)((char *)timer - offsetof(struct thread, budget) -
                                         offsetof(struct budget, refill));
    struct runq *rq = sched_lock_thread(t);
    uint64_t now = arch_cycles();
    if (!t->budget.throttled || timer_pending(timer)) {
        runq_leave(rq);
        return;
    }
    next_period(t, now);
    if (own_empty(t) || unit_empty(t, now)) {
        throttle(t, now);
        runq_leave(rq);
        return;
    }
    t->budget.throttled = false;
    sched_enqueue_unlock(rq, t, false);
}

bool budget_wake(struct thread *t, uint64_t now) {
    if (in_band(t))
        wake_in_band(t, now);
    else
        next_period(t, now);
    if (!own_empty(t) && !unit_empty(t, now))
        return true;
    throttle(t, now);
    return false;
}

/* ---- While it runs -------------------------------------------------------------------------------------- */

/* In the timer interrupt: preempt() looks closer. */
static void budget_fire(struct timer *timer) {
    (void)timer;
    cpu_this()->resched = true;
}

void budget_run(struct runq *rq, struct thread *t, uint64_t now) {
    struct budget *b = &t->budget;
    uint64_t may = UINT64_MAX / 4;
    if (!in_band(t))
        next_period(t, now);
    if (b->amount != 0)
        may = b->left > 0 ? (uint64_t)b->left : 0;
    if (unit_limited(t)) {
        uint64_t quantum = slice_cycles(UNIT_QUANTUM_NS);
        b->grant = (uint64_t)unit_take(t->unit, now, (int64_t)(may < quantum ? may : quantum));
        may = may < b->grant ? may : b->grant;
    }
    (void)timer_cancel(&rq->budget);
    timer_start_reserved(&rq->budget, time_now_ns() + slice_ns(may), budget_fire);
}

/* It has run until now: both budgets pay. */
static void charge(struct thread *t, uint64_t now) {
    struct budget *b = &t->budget;
    uint64_t used = now - t->since_cycles;
    if (b->amount != 0)
        b->left -= (int64_t)used;
    if (!unit_limited(t))
        return;
    if (used > b->grant)
        unit_overrun(t->unit, now, used - b->grant);
    else
        (void)unit_take(t->unit, now, (int64_t)used - (int64_t)b->grant);
    b->grant = 0;
}

void budget_settle(struct thread *t, uint64_t now) {
    if ((atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_LIMITED) != 0)
        charge(t, now);
    t->run_cycles += now - t->since_cycles;
    t->since_cycles = now;
}

void budget_stop(struct runq *rq, struct thread *t, uint64_t now) {
    charge(t, now);
    (void)timer_cancel(&rq->budget);
}

bool budget_over(struct runq *rq, struct thread *t, uint64_t now) {
    budget_settle(t, now);
    if (!in_band(t))
        next_period(t, now);
    if (own_empty(t) || unit_empty(t, now)) {
        throttle(t, now);
        return true;
    }
    budget_run(rq, t, now);
    return false;
}

/* ---- Admission -------------------------------------------------------------------------------------------- */

static uint64_t relative_ns(const gmk_sched_args_t *args) {
    return args->deadline_ns != 0 ? args->deadline_ns : args->period_ns;
}

unsigned budget_admit(const struct thread *t, const gmk_sched_args_t *args, uint32_t *load) {
    const struct budget *has = &t->budget;
    unsigned best = CPUS_MAX;
    uint64_t relative = relative_ns(args),
             affinity = args->affinity != 0 ? args->affinity : UINT64_MAX;
    uint32_t least = LOAD_MAX + 1;
    *load = (uint32_t)((args->budget_ns * LOAD_ONE + relative - 1) / relative);
    spin_enter(&admission);
    for (unsigned i = 0; i < cpu_count; i++) {
        bool mine = has->admitted && has->home == i;
        uint32_t others = bands[i].load - (mine ? has->load : 0);
        if (runqs[i] == NULL || (affinity >> i & 1) == 0 || others + *load > LOAD_MAX ||
            bands[i].members - mine >= MEMBERS_MAX || others >= least)
            continue;
        best = i;
        least = others;
    }
    if (best != CPUS_MAX) {
        if (has->admitted) {
            bands[has->home].load -= has->load;
            bands[has->home].members--;
        }
        bands[best].load += *load;
        bands[best].members++;
    }
    spin_leave(&admission);
    return best;
}

void budget_release(unsigned cpu, uint32_t load) {
    spin_enter(&admission);
    K_ASSERT(bands[cpu].load >= load, "the deadline band gives back what it took");
    bands[cpu].load -= load;
    bands[cpu].members--;
    spin_leave(&admission);
}

void budget_set(struct thread *t, const gmk_sched_args_t *args) {
    struct budget *b = &t->budget;
    b->amount = slice_cycles(args->budget_ns);
    b->period = slice_cycles(args->period_ns);
    b->relative = slice_cycles(relative_ns(args));
    b->left = 0;
    b->period_end = 0;
    t->deadline = 0;
    if (b->amount != 0)
        begin_period(t, arch_cycles());
}
