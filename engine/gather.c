/* Gather: priorities, weights, ageing, refilling and stealing. See gather.h. */
#include "engine/gather.h"

#include "engine/enqueue.h"
#include "engine/wake.h"

/* Classes 1, 2 and 3 in the proportion 4:2:1, spread evenly. */
static const uint8_t GATHER_WEIGHTS[] = {1, 1, 2, 1, 1, 2, 3};
#define GATHER_TURNS (sizeof(GATHER_WEIGHTS) / sizeof(GATHER_WEIGHTS[0]))

/* Takes from a queue that engine.special counts. */
static bool pop_special(struct agent *a, struct ring_mpmc *ring, gmk_task_t *out) {
    if (!ring_ready_mpmc(ring) || !ring_pop_mpmc(ring, out))
        return false;
    /* Relaxed: a hint; the ring itself orders the task. */
    atomic_fetch_sub_explicit(&a->eng->special, 1, memory_order_relaxed);
    agent_sched(a, SCHED_GATHERED, 1);
    return true;
}

bool gather_urgent(struct agent *a, gmk_task_t *out) {
    return pop_special(a, a->eng->ready[0], out);
}

static bool gather_special(struct agent *a, gmk_task_t *out) {
    struct engine *eng = a->eng;
    if (GMK_UNLIKELY(atomic_load_explicit(&eng->late, memory_order_relaxed) != NULL))
        late_take(a);
    if (pop_special(a, eng->ready[0], out))
        return true;
    if (++a->age >= GATHER_AGE) {
        a->age = 0;
        if (pop_special(a, eng->ready[3], out))
            return true;
    }
    a->overflow_turn = !a->overflow_turn;
    if (a->overflow_turn && pop_special(a, eng->overflow, out))
        return true;
    uint32_t class = GATHER_WEIGHTS[a->turn];
    a->turn = (a->turn + 1) % GATHER_TURNS;
    return class != 2 && pop_special(a, eng->ready[class], out);
}

/* What gather_special() left for later because it was not its turn. */
static bool gather_special_rest(struct agent *a, gmk_task_t *out) {
    struct engine *eng = a->eng;
    return pop_special(a, eng->overflow, out) || pop_special(a, eng->ready[1], out) ||
           pop_special(a, eng->ready[3], out);
}

static bool pop_local(struct agent *a, gmk_task_t *out) {
    bool newest_ok = a->newest_run < GATHER_NEWEST_MAX;
    if (newest_ok && localq_pop_newest(a->local, out)) {
        a->newest_run++;
    } else {
        a->newest_run = 0;
        if (!localq_pop(a->local, out) && (newest_ok || !localq_pop_newest(a->local, out)))
            return false;
    }
    agent_sched(a, SCHED_LOCAL, 1);
    return true;
}

/* Moves this worker's share of the shared ring into its own queue, where others can still
 * steal it, and takes the first. How much waits is not asked: the answer lies in the line
 * that every submit writes. */
static bool refill(struct agent *a, gmk_task_t *out) {
    struct ring_mpmc *ring = a->eng->ready[2];
    if (!ring_ready_mpmc(ring))
        return false;
    uint64_t space = localq_space(a->local);
    uint64_t room = space > a->eng->local_reserve ? space - a->eng->local_reserve : 0;
    uint64_t share = a->eng->gather_share;
    size_t got = localq_refill(a->local, ring, (size_t)(share < room ? share : room));
    agent_sched(a, SCHED_GATHERED, got);
    if (trace_on(&a->trace, GMK_TRACE_DEBUG))
        trace_counter(&a->trace, TRACE_QUEUED, GMK_PRIO_DEFAULT, ring_count_mpmc(ring));
    return got != 0 && localq_pop(a->local, out);
}

static bool steal(struct agent *a, gmk_task_t *out) {
    struct engine *eng = a->eng;
    for (uint32_t i = 0; i < eng->n_workers; i++) {
        struct agent *victim = eng->agents[a->victim];
        a->victim = a->victim + 1 < eng->n_workers ? a->victim + 1 : 0;
        if (victim == a)
            continue;
        size_t got = localq_steal(victim->local, a->local, out);
        if (got == 0)
            got = localq_steal_newest(victim->local, out) ? 1 : 0;
        if (got != 0) {
            agent_sched(a, SCHED_STOLEN, got);
            trace_event(&a->trace, TRACE_STEAL, (uint32_t)got);
            return true;
        }
    }
    return false;
}

static bool timer_due(struct agent *a) {
    uint64_t due = timer_next(&a->eng->timers);
    return GMK_UNLIKELY(due != TIMER_NEVER) && hal_now_ns() >= due;
}

static bool pop_timer(struct agent *a, gmk_task_t *out) {
    return timer_due(a) && timer_take_due(a, out);
}

static bool pop_shared(struct agent *a, gmk_task_t *out) {
    struct ring_mpmc *ring = a->eng->ready[2];
    if (!ring_ready_mpmc(ring) || !ring_pop_mpmc(ring, out))
        return false;
    agent_sched(a, SCHED_GATHERED, 1);
    return true;
}

/* Normal work that is not in the own queue: timers and the shared ring take turns. */
static bool gather_others(struct agent *a, gmk_task_t *out) {
    a->timer_turn = !a->timer_turn;
    if (a->timer_turn)
        return pop_timer(a, out) || pop_shared(a, out);
    return pop_shared(a, out) || pop_timer(a, out);
}

static bool gather_any(struct agent *a, gmk_task_t *out) {
    struct engine *eng = a->eng;
    /* Relaxed: a task missed here is seen at the next look; parking looks at the rings. */
    bool special = atomic_load_explicit(&eng->special, memory_order_relaxed) != 0;
    if (GMK_UNLIKELY(special) && gather_special(a, out))
        return true;
    if (--a->quantum == 0) {
        a->quantum = GATHER_QUANTUM;
        if (gather_others(a, out))
            return true;
    }
    if (pop_local(a, out) || refill(a, out) || pop_timer(a, out))
        return true;
    return gather_special(a, out) || gather_special_rest(a, out) || steal(a, out);
}

bool gather(struct agent *a, gmk_task_t *out) {
    if (!gather_any(a, out))
        return false;
    if (GMK_UNLIKELY(a->woken)) {
        /* Who woke us, or saw us spin, woke nobody else: pass it on if there is more. */
        a->woken = false;
        if (gather_ready(a))
            wake_for_work(a);
    }
    return true;
}

/* Tasks in some worker's own queue. */
static bool local_visible(const struct engine *eng) {
    for (uint32_t i = 0; i < eng->n_workers; i++)
        if (localq_count(eng->agents[i]->local) != 0)
            return true;
    return false;
}

bool gather_ready(struct agent *a) {
    struct engine *eng = a->eng;
    return ring_ready_mpmc(eng->ready[2]) ||
           atomic_load_explicit(&eng->special, memory_order_relaxed) != 0 || local_visible(eng) ||
           timer_due(a);
}

bool gather_visible(struct agent *a) {
    struct engine *eng = a->eng;
    if (!ring_empty_mpmc(eng->overflow) ||
        atomic_load_explicit(&eng->late, memory_order_relaxed) != NULL)
        return true;
    for (uint32_t p = 0; p < GMK_PRIORITIES; p++)
        if (!ring_empty_mpmc(eng->ready[p]))
            return true;
    return local_visible(eng) || timer_due(a);
}
