/* Wake: spinning, parking, the timekeeper, and waiting for conditions. See wake.h. */
#include "engine/wake.h"

#include "engine/gather.h"
#include "engine/group.h"
#include "engine/lane.h"
#include "engine/run.h"
#include "engine/watch.h"

#define WORKER_BIT(a) (UINT64_C(1) << (a)->index)

/* Is there anything for this worker? `last`: the look before sleeping, which misses nothing. */
static bool look(struct agent *a, bool last, wake_condition_fn condition, void *arg) {
    struct engine *eng = a->eng;
    return (last ? gather_visible(a) : gather_ready(a)) || lane_calls(a) ||
           (condition != NULL && condition(eng, arg)) ||
           atomic_load_explicit(&eng->stop, memory_order_acquire) != 0;
}

/* Spins for a while if not too many do. True: there is something. */
static bool spin(struct agent *a, wake_condition_fn condition, void *arg) {
    struct engine *eng = a->eng;
    bool found = false;
    /* Relaxed add: the decrement and the barrier in park_prepare() order the last look. */
    if (atomic_fetch_add_explicit(&eng->spinners, 1, memory_order_relaxed) < eng->spinners_max)
        while (!found && park_spin_step(&a->spin))
            found = look(a, false, condition, arg);
    /* seq_cst pairs with the load in wake_for_work(): who saw us spin has published, and
     * what comes next, a task taken or a last look, sees it. */
    atomic_fetch_sub_explicit(&eng->spinners, 1, memory_order_seq_cst);
    return found;
}

/* Time to sleep at most. Becomes the timekeeper when a timer waits and nobody keeps it. */
static uint64_t sleep_limit(struct agent *a, uint64_t until_ns, bool *keeper) {
    struct engine *eng = a->eng;
    uint32_t nobody = 0;
    uint64_t due = timer_next(&eng->timers);
    *keeper = due != TIMER_NEVER &&
              atomic_compare_exchange_strong_explicit(&eng->timekeeper, &nobody, a->index + 1,
                                                      memory_order_seq_cst, memory_order_relaxed);
    if (*keeper) {
        due = timer_next(&eng->timers); /* again: a pusher may have looked for a keeper before */
        until_ns = due < until_ns ? due : until_ns;
    }
    if (until_ns == TIMER_NEVER)
        return HAL_FOREVER;
    uint64_t now = hal_now_ns();
    return until_ns > now ? until_ns - now : 0;
}

/* Gives the clock to another sleeper: this worker is going to be busy. */
static void resign_timekeeper(struct engine *eng) {
    /* seq_cst pairs with wake_for_timer(): either it sees no keeper, or we see its timer. */
    atomic_store_explicit(&eng->timekeeper, 0, memory_order_seq_cst);
    if (atomic_load_explicit(&eng->timers.next_due, memory_order_seq_cst) != TIMER_NEVER)
        (void)park_notify(&eng->park, 1);
}

static void park(struct agent *a, wake_condition_fn condition, void *arg, uint64_t until_ns) {
    struct engine *eng = a->eng;
    bool keeper = false;

    if (condition != NULL)
        atomic_fetch_or_explicit(&eng->waiting_workers, WORKER_BIT(a), memory_order_seq_cst);
    park_prepare(&eng->park, a->index);
    if (look(a, true, condition, arg)) {
        (void)park_cancel(&eng->park, a->index);
    } else {
        if (atomic_load_explicit(&eng->quiet_waiters, memory_order_seq_cst) != 0)
            wake_waiting(eng);
        uint64_t limit = sleep_limit(a, until_ns, &keeper);
        uint64_t begin = trace_span_begin(&a->trace, TRACE_PARK);
        agent_sched(a, SCHED_PARKS, 1);
        atomic_store_explicit(&a->asleep, 1, memory_order_relaxed);
        (void)park_commit(&eng->park, a->index, limit);
        atomic_store_explicit(&a->asleep, 0, memory_order_relaxed);
        trace_span_end(&a->trace, TRACE_PARK, begin);
        watch_wake(eng);
    }
    if (condition != NULL)
        atomic_fetch_and_explicit(&eng->waiting_workers, ~WORKER_BIT(a), memory_order_seq_cst);
    if (keeper)
        resign_timekeeper(eng);
}

void wake_idle(struct agent *a, wake_condition_fn condition, void *arg, uint64_t until_ns) {
    group_flush(a);
    if (condition != NULL && condition(a->eng, arg))
        return; /* the flush itself may have ended what we wait for */
    trace_idle(&a->trace);
    /* Something was in sight and could not be taken: a peer was stopped in the middle of
     * handing it over. Let it run. */
    if (a->woken)
        hal_yield_cpu();
    park_spin_start(&a->spin);
    if (!spin(a, condition, arg))
        park(a, condition, arg, until_ns);
    park_spin_end(&a->spin);
    a->woken = true;
}

void wake_rest(struct agent *a, wake_condition_fn condition, void *arg, uint64_t limit_ns) {
    struct engine *eng = a->eng;
    gmk_task_t token;
    bool claimed;
    group_flush(a);
    if (timer_take_due_token(a, &token)) {
        run_task(a, &token);
        return;
    }
    atomic_fetch_or_explicit(&eng->waiting_workers, WORKER_BIT(a), memory_order_seq_cst);
    park_prepare(&eng->park, a->index);
    if (condition(eng, arg) || atomic_load_explicit(&eng->stop, memory_order_acquire) != 0) {
        claimed = park_cancel(&eng->park, a->index);
    } else {
        agent_sched(a, SCHED_PARKS, 1);
        atomic_store_explicit(&a->asleep, 1, memory_order_relaxed);
        claimed = park_commit(&eng->park, a->index, limit_ns);
        atomic_store_explicit(&a->asleep, 0, memory_order_relaxed);
        watch_wake(eng);
    }
    atomic_fetch_and_explicit(&eng->waiting_workers, ~WORKER_BIT(a), memory_order_seq_cst);
    if (claimed && gather_ready(a))
        wake_for_work(a); /* the call may have been for work, which is not ours to take now */
}

void wake_waiting(struct engine *eng) {
    uint64_t workers = atomic_load_explicit(&eng->waiting_workers, memory_order_seq_cst);
    uint64_t clients = atomic_load_explicit(&eng->waiting_clients, memory_order_seq_cst);

    for (; workers != 0; workers &= workers - 1) /* at most 64 */
        (void)park_notify_slot(&eng->park, (uint32_t)__builtin_ctzll(workers));
    for (; clients != 0; clients &= clients - 1) {
        struct agent *a = eng->agents[eng->n_workers + (uint32_t)__builtin_ctzll(clients)];
        /* Release pairs with the load in client_wait(). */
        atomic_fetch_add_explicit(&a->wait_word, 1, memory_order_release);
        hal_wake(&a->wait_word, 1);
    }
}

void wake_for_timer(struct engine *eng) {
    uint32_t keeper = atomic_load_explicit(&eng->timekeeper, memory_order_seq_cst);
    if (keeper != 0)
        (void)park_notify_slot(&eng->park, keeper - 1);
    else
        (void)park_notify(&eng->park, 1);
}

void wake_everyone(struct engine *eng) {
    (void)park_notify_all(&eng->park);
    wake_waiting(eng);
}

static int worker_wait(struct agent *a, wake_condition_fn condition, void *arg, uint64_t until_ns) {
    gmk_task_t task;
    for (;;) {
        if (condition(a->eng, arg))
            return GMK_OK;
        if (until_ns != TIMER_NEVER && hal_now_ns() >= until_ns)
            return GMK_ETIMEOUT;
        if (a->eng->cfg.deterministic) {
            if (!lane_step(a)) { /* the lane is the only one who runs: nothing will change */
                group_flush(a);
                return condition(a->eng, arg) ? GMK_OK : GMK_ETIMEOUT;
            }
        } else if (lane_calls(a)) {
            (void)lane_step(a); /* we are a lane task: what we wait for may be behind us */
        } else if (gather(a, &task)) {
            run_task(a, &task);
        } else if (atomic_load_explicit(&a->eng->stop, memory_order_acquire) != 0) {
            return GMK_EHALTED; /* nothing is left that could make it true */
        } else {
            wake_idle(a, condition, arg, until_ns);
        }
    }
}

static int client_wait(struct agent *a, wake_condition_fn condition, void *arg, uint64_t until_ns) {
    struct engine *eng = a->eng;
    uint64_t bit = UINT64_C(1) << (a->index - eng->n_workers);
    int status = GMK_OK;

    atomic_fetch_or_explicit(&eng->waiting_clients, bit, memory_order_seq_cst);
    for (;;) {
        /* Acquire pairs with the add in wake_waiting(). */
        uint32_t seen = atomic_load_explicit(&a->wait_word, memory_order_acquire);
        if (condition(eng, arg))
            break;
        uint64_t now = until_ns == TIMER_NEVER ? 0 : hal_now_ns();
        if (now >= until_ns)
            status = GMK_ETIMEOUT;
        else if (!a->resident &&
                 atomic_load_explicit(&eng->state, memory_order_seq_cst) >= ENGINE_HALTING)
            status = GMK_EHALTED;
        if (status != GMK_OK)
            break;
        (void)hal_wait(&a->wait_word, seen, until_ns == TIMER_NEVER ? HAL_FOREVER : until_ns - now);
    }
    atomic_fetch_and_explicit(&eng->waiting_clients, ~bit, memory_order_seq_cst);
    return status;
}

int wake_wait_until(struct agent *a, wake_condition_fn condition, void *arg, uint64_t timeout_ns) {
    uint64_t until = TIMER_NEVER;
    if (timeout_ns != HAL_FOREVER) {
        uint64_t now = hal_now_ns();
        until = timeout_ns < TIMER_NEVER - now ? now + timeout_ns : TIMER_NEVER - 1;
    }
    group_flush(a);
    return a->is_worker ? worker_wait(a, condition, arg, until)
                        : client_wait(a, condition, arg, until);
}
