/* Reaper: the end of units and of large objects, in bounded steps, as tasks of the kernel's engine.
 *
 * Problem: a unit may have 256 threads, 256 capabilities and gigabytes of mappings; undoing that
 * in the system call that ends it would stop the machine for as long.
 * Idea: a dying unit goes into a list. One task at a time takes the first, does one step of its end
 * with IF off, and puts it at the end of the list again; between steps the CPU takes interrupts and
 * more urgent threads. After REAPER_STEPS steps it queues itself again behind other tasks.
 *
 *   THREADS  kills some threads       \
 *   WAIT     the last one must have left its CPU: unit_thread_remove() adds the unit again
 *   CAPS     the table is closed; drops some slots (which may end other objects, other units too)
 *   SPACE    some mappings, some page tables
 *   FINISH   the budget goes back, watchers are told, DEAD
 *
 * `scheduled` is true from the moment a task is wanted until it has found nothing to do. When the engine
 * has no room for the task (GMK_EAGAIN), a timer tries again; when there is no timer either, whoever
 * comes next with something to reap does.
 *
 * Other work: memory objects too large for one step (memory_reap_step()), ports with many waiters
 * (port_reap_step()). */
#include "kernel/cap/reaper.h"

#include "kernel/cap/unit.h"
#include "kernel/ipc/port.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/memory.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define REAPER_STEPS    64u /* of one task */
#define REAPER_THREADS  4u  /* killed in one step */
#define REAPER_CAPS     8u  /* dropped in one step */
#define REAPER_AGAIN_NS 1000000ull

enum reap_step { REAP_THREADS, REAP_WAIT, REAP_CAPS, REAP_SPACE, REAP_FINISH };
enum reap_result { REAP_MORE, REAP_WAITS, REAP_DONE };

static struct {
    struct spinlock lock; /* LOCK_LEAF */
    /* Guarded by lock. */
    struct unit *first, *last;
    bool other; /* memory_reap_step() or port_reap_step() has something to do */
    bool scheduled;
    struct timer retry; /* used by whoever has set `scheduled` */
} reaper = {.lock = SPINLOCK_INIT(LOCK_LEAF)};

static const gmk_task_t reap_task = {.type = REAPER_TASK};

/* ---- Getting a task --------------------------------------------------------------------- */

static void retry(struct timer *timer);

static void submit(void) {
    int status = irq_submit(&reap_task);
    if (status == GMK_OK)
        return;
    /* GMK_EHALTED: the machine goes down, and nothing is reaped any more. */
    if (status == GMK_EAGAIN && timer_start(&reaper.retry, time_now_ns() + REAPER_AGAIN_NS, retry))
        return;
    spin_enter(&reaper.lock);
    reaper.scheduled = false;
    spin_leave(&reaper.lock);
}

static void retry(struct timer *timer) {
    (void)timer;
    submit();
}

static void append_locked(struct unit *unit) {
    unit->next_dying = NULL;
    if (reaper.first == NULL)
        reaper.first = unit;
    else
        reaper.last->next_dying = unit;
    reaper.last = unit;
}

/* Adds the unit (NULL: other work) to what is to be done. */
static void add(struct unit *unit) {
    spin_enter(&reaper.lock);
    if (unit != NULL)
        append_locked(unit);
    else
        reaper.other = true;
    bool first = !reaper.scheduled;
    reaper.scheduled = true;
    spin_leave(&reaper.lock);
    if (first)
        submit();
}

void reaper_add(struct unit *unit) {
    add(unit);
}

void reaper_wake(void) {
    add(NULL);
}

/* ---- The steps of a unit ------------------------------------------------------------------- */

/* Each is killed at least once: the list is a ring, nobody joins it any more, it turns by one with
 * each kill, and reap_slot was its length. */
static enum reap_result kill_threads(struct unit *unit) {
    for (unsigned i = 0; i < REAPER_THREADS; i++) {
        spin_enter(&unit->object.lock);
        struct thread *thread = unit->threads;
        bool left = thread != NULL && unit->reap_slot > 0;
        uint32_t serial = left ? thread->object.serial : 0;
        if (left) {
            unit->threads = thread->unit_next;
            unit->reap_slot--;
        } else {
            unit->reap_step = REAP_WAIT;
            unit->reap_slot = 0; /* threads may have gone by themselves */
        }
        spin_leave(&unit->object.lock);
        if (!left)
            break;
        thread_user_kill(thread, serial, GMK_EKILLED);
    }
    return REAP_MORE;
}

static enum reap_result wait_for_threads(struct unit *unit) {
    spin_enter(&unit->object.lock);
    unit->reap_waits = unit->thread_count != 0;
    bool waits = unit->reap_waits;
    unit->reap_step = REAP_CAPS; /* once it comes back */
    spin_leave(&unit->object.lock);
    return waits ? REAP_WAITS : REAP_MORE;
}

static enum reap_result drop_caps(struct unit *unit) {
    if (cap_drop_some(unit, &unit->reap_slot, REAPER_CAPS))
        unit->reap_step = REAP_SPACE;
    return REAP_MORE;
}

static enum reap_result step(struct unit *unit) {
    switch ((enum reap_step)unit->reap_step) {
    case REAP_THREADS:
        return kill_threads(unit);
    case REAP_WAIT:
        return wait_for_threads(unit);
    case REAP_CAPS:
        return drop_caps(unit);
    case REAP_SPACE:
        if (space_end_step(&unit->space))
            unit->reap_step = REAP_FINISH;
        return REAP_MORE;
    case REAP_FINISH:
        break;
    }
    unit_finish(unit); /* may be another unit from here on */
    return REAP_DONE;
}

/* ---- The task ---------------------------------------------------------------------------------- */

/* The first unit, taken out of the list; *other: there is such work. False: there is nothing, and
 * whoever adds something gets a new task. */
static bool take_first(struct unit **unit, bool *other) {
    spin_enter(&reaper.lock);
    *unit = reaper.first;
    if (*unit != NULL)
        reaper.first = (*unit)->next_dying;
    *other = reaper.other;
    reaper.other = false;
    reaper.scheduled = *unit != NULL || *other;
    bool some = reaper.scheduled;
    spin_leave(&reaper.lock);
    return some;
}

static void put_back(struct unit *unit, bool other) {
    spin_enter(&reaper.lock);
    if (unit != NULL)
        append_locked(unit);
    reaper.other |= other;
    spin_leave(&reaper.lock);
}

static bool other_step(void) {
    bool ports_done = port_reap_step(), memory_done = memory_reap_step();
    return ports_done && memory_done;
}

/* One step of a unit and of other work. False: nothing is left. IF off. */
static bool reap_some(void) {
    struct unit *unit;
    bool other;
    if (!take_first(&unit, &other))
        return false;
    bool more_unit = unit != NULL && step(unit) == REAP_MORE;
    bool more_other = other && !other_step();
    put_back(more_unit ? unit : NULL, more_other);
    return true;
}

static int reap(gmk_ctx_t *ctx) {
    (void)ctx;
    for (unsigned i = 0; i < REAPER_STEPS; i++) {
        bool irq = arch_irq_disable();
        bool more = reap_some();
        arch_irq_restore(irq);
        if (!more)
            return GMK_OK;
    }
    bool irq = arch_irq_disable();
    submit(); /* `scheduled` is still ours */
    arch_irq_restore(irq);
    return GMK_OK;
}

static const gmk_handler_reg_t reaper_handlers[] = {{REAPER_TASK, reap, "reap"}};
gmk_module_t reaper_module = {
    .name = "reaper",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = reaper_handlers,
    .n_handlers = 1,
    .privilege = GMK_KERNEL,
};
