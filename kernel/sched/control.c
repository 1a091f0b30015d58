/* Control: stopping user threads and letting them go on; their priorities, CPUs and budgets.
 *
 * Stopping. SPECIAL_STOP is set under the lock of the thread's queue. One that is READY is taken out
 * of it at once; one that waits goes on waiting, and is STOPPED when its wait is over; one that runs
 * stops on its way to user mode. If it runs on another CPU, that is interrupted, and the caller
 * waits for it: a user thread's stretch in the kernel is bounded. Meanwhile the caller serves what
 * other CPUs may want from it, because it has IF off; and it does not wait when it shall stop or end
 * itself, so two threads that suspend each other both stop.
 *
 * Locks: LOCK_THREAD, then a run queue's. */
#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/port.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/runq.h"
#include "kernel/sched/user.h"
#include "kernel/time/patience.h"

#define SUSPEND_TIMEOUT_NS 5000000000ull
#define SLICE_MIN_US       100u
#define SLICE_MAX_US       1000000u
#define SLICE_DEFAULT_US   5000u
#define BUDGET_MIN_NS      10000u
#define PERIOD_MIN_NS      100000u
#define PERIOD_MAX_NS      10000000000ull

/* ---- Suspend and resume ------------------------------------------------------------------ */

/* Under object.lock. True: it does not run, or never will again. */
static bool stop(struct thread *t, int *status) {
    struct runq *rq = sched_lock_thread(t);
    uint32_t target = rq->cpu->index;
    bool stopped = true, send = false;
    *status = t->state == THREAD_EXITED ? GMK_ESTATE : GMK_OK;
    sched_special_set(t, SPECIAL_STOP);
    if (t->state == THREAD_READY) {
        runq_remove(rq, t);
        t->state = THREAD_STOPPED;
    } else if (t->state == THREAD_RUNNING && t != cpu_this()->current) {
        stopped = false;
        send = t == rq->cpu->current && sched_ask(rq, false);
    }
    runq_leave(rq);
    if (send)
        arch_ipi_send(target, ARCH_IPI_RESCHED);
    return stopped;
}

int thread_user_suspend(struct thread *t, uint32_t serial) {
    const struct thread *self = cpu_this()->current;
    struct patience patience = patience_of(SUSPEND_TIMEOUT_NS);
    for (;;) { /* bounded by patience */
        int status;
        if (!object_enter(&t->object, serial))
            return GMK_EHANDLE;
        bool stopped = stop(t, &status);
        object_leave(&t->object);
        if (stopped)
            return status;
        if ((atomic_load_explicit(&self->special, memory_order_relaxed) &
             (SPECIAL_STOP | SPECIAL_KILL)) != 0)
            return GMK_EAGAIN;
        if (patience_ends(&patience))
            panic("sched: thread %u does not leave CPU %u", t->id, t->cpu);
        ipi_call_isr();
        shootdown_isr();
        arch_relax();
    }
}

int thread_user_resume(struct thread *t, uint32_t serial) {
    if (!object_enter(&t->object, serial))
        return GMK_EHANDLE;
    struct runq *rq = sched_lock_thread(t);
    int status = t->state == THREAD_EXITED ? GMK_ESTATE : GMK_OK;
    sched_special_clear(t, SPECIAL_STOP);
    bool goes_on = t->state == THREAD_STOPPED && !t->budget.throttled;
    if (goes_on)
        t->state = THREAD_BLOCKED; /* its wait is over just now */
    runq_leave(rq);
    if (goes_on)
        sched_ready_irq(t, false);
    object_leave(&t->object);
    return status;
}

/* ---- Priority, CPUs, budget ----------------------------------------------------------------- */

uint8_t thread_class_floor(unsigned priority) {
    static const uint8_t floors[] = {16, 80, 144, THREAD_PRIORITY_REALTIME};
    for (unsigned i = 0; i + 1 < sizeof(floors); i++)
        if (priority >= floors[i] && priority < floors[i + 1])
            return floors[i];
    return (uint8_t)priority;
}

static bool deadline_wanted(const gmk_sched_args_t *args) {
    return (args->flags & GMK_SCHED_DEADLINE) != 0;
}

static int check_times(const gmk_sched_args_t *args) {
    if (args->slice_us != 0 && (args->slice_us < SLICE_MIN_US || args->slice_us > SLICE_MAX_US))
        return GMK_EINVAL;
    if (args->budget_ns == 0 && args->period_ns == 0 && args->deadline_ns == 0)
        return deadline_wanted(args) ? GMK_EINVAL : GMK_OK;
    if (args->budget_ns < BUDGET_MIN_NS || args->period_ns < PERIOD_MIN_NS ||
        args->period_ns > PERIOD_MAX_NS || args->budget_ns > args->period_ns)
        return GMK_EINVAL;
    if (args->deadline_ns != 0 && (!deadline_wanted(args) || args->deadline_ns < args->budget_ns ||
                                   args->deadline_ns > args->period_ns))
        return GMK_EINVAL;
    return GMK_OK;
}

static int check_sched(const struct unit *unit, const gmk_sched_args_t *args) {
    uint64_t online = cpu_count < 64 ? (1ull << cpu_count) - 1 : UINT64_MAX;
    if ((args->flags & ~(GMK_SCHED_DEADLINE | GMK_SCHED_FIXED)) != 0 ||
        (args->priority > GMK_PRIORITY_MAX && !deadline_wanted(args)) ||
        (args->affinity != 0 && (args->affinity & online) == 0))
        return GMK_EINVAL;
    unsigned needed = deadline_wanted(args) ? GMK_PRIORITY_MAX : args->priority;
    if (needed > unit->priority_max)
        return GMK_ERANGE;
    return check_times(args);
}

/* The new numbers. Under the lock of its queue; it is in none. */
static void set_sched(struct thread *t, const gmk_sched_args_t *args, unsigned home,
                      uint32_t load) {
    bool band = deadline_wanted(args), limited = args->budget_ns != 0 || t->unit->cpu_permille != 0;
    unsigned priority = band ? GMK_PRIORITY_DEADLINE : args->priority;
    bool fixed = band || (args->flags & GMK_SCHED_FIXED) != 0;
    t->assigned = t->base = (uint8_t)priority;
    t->floor = fixed ? t->base : thread_class_floor(priority);
    t->slice = slice_cycles(1000ull * (args->slice_us != 0 ? args->slice_us : SLICE_DEFAULT_US));
    t->affinity = band ? 1ull << home : args->affinity != 0 ? args->affinity : UINT64_MAX;
    sched_special_clear(t, SPECIAL_LIMITED | SPECIAL_AFFINITY | SPECIAL_MOVED);
    sched_special_set(t, (limited ? SPECIAL_BUDGET : 0) | (band ? SPECIAL_DEADLINE : 0) |
                             (t->affinity != UINT64_MAX ? SPECIAL_AFFINITY : 0));
    t->budget.admitted = band;
    t->budget.home = (uint8_t)home;
    t->budget.load = load;
    budget_set(t, args);
}

/* Makes the change, wherever the thread is. Under object.lock. */
static void change(struct thread *t, const gmk_sched_args_t *args, unsigned home, uint32_t load) {
    struct runq *rq = sched_lock_thread(t);
    bool runs = t == rq->cpu->current, send = false;
    bool ready = t->state == THREAD_READY || (t->state == THREAD_STOPPED && t->budget.throttled);
    uint32_t target = rq->cpu->index;
    if (t->state == THREAD_READY)
        runq_remove(rq, t);
    if (runs)
        budget_settle(t, arch_cycles());
    t->budget.throttled = false;
    (void)timer_cancel(&t->budget.refill);
    set_sched(t, args, home, load);
    if (runs)
        send = sched_ask(rq, false); /* it may be on the wrong CPU, and has to begin its budget */
    if (ready)
        t->state = THREAD_BLOCKED; /* as one whose wait is over */
    runq_leave(rq);
    if (send)
        arch_ipi_send(target, ARCH_IPI_RESCHED);
    if (ready)
        sched_ready_irq(t, false);
}

int thread_user_sched(struct thread *t, uint32_t serial, const gmk_sched_args_t *args) {
    uint32_t load = 0;
    unsigned home = 0;
    if (!object_enter(&t->object, serial))
        return GMK_EHANDLE;
    int status = t->state == THREAD_EXITED ? GMK_ESTATE : check_sched(t->unit, args);
    if (status == GMK_OK && deadline_wanted(args)) {
        home = budget_admit(t, args, &load);
        status = home != CPUS_MAX ? GMK_OK : GMK_ELIMIT;
    } else if (status == GMK_OK && t->budget.admitted) {
        budget_release(t->budget.home, t->budget.load);
    }
    if (status == GMK_OK)
        change(t, args, home, load);
    object_leave(&t->object);
    if (status == GMK_OK)
        inherit_update(t); /* its own priority and what it inherits, together */
    return status;
}

/* ---- What it is doing ------------------------------------------------------------------------------ */

int thread_user_info(struct thread *t, uint32_t serial, gmk_thread_info_t *info) {
    static const uint8_t states[] = {
        [THREAD_NEW] = GMK_THREAD_NEW,         [THREAD_READY] = GMK_THREAD_READY,
        [THREAD_RUNNING] = GMK_THREAD_RUNNING, [THREAD_BLOCKED] = GMK_THREAD_BLOCKED,
        [THREAD_STOPPED] = GMK_THREAD_STOPPED, [THREAD_EXITED] = GMK_THREAD_EXITED,
    };
    if (!object_enter(&t->object, serial))
        return GMK_EHANDLE;
    struct runq *rq = sched_lock_thread(t);
    uint64_t now = t == rq->cpu->current ? arch_cycles() - t->since_cycles : 0;
    bool throttled = t->budget.throttled &&
                     (atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_STOP) == 0;
    *info = (gmk_thread_info_t){
        .id = t->id,
        .state = throttled ? GMK_THREAD_READY : states[t->state],
        .status = t->status,
        .run_ns = slice_ns(t->run_cycles + now),
        .switches = t->switches,
        .msg = t->msg_user,
        .priority = t->base,
        .effective = t->priority,
        .cpu = t->cpu,
    };
    for (unsigned i = 0; i + 1 < sizeof(info->name); i++)
        info->name[i] = t->name[i];
    runq_leave(rq);
    object_leave(&t->object);
    return GMK_OK;
}
