/* Timer capability: signals a notification at a time, once or again and again.
 *
 * Problem: a timer fires on the CPU that set it, while its owner sets it anew, or ends it, on another.
 * Waiting for the interrupt to finish would need a lock that the interrupt cannot take.
 * Idea: what fires asks no questions about who armed it. Under the object's lock it looks whether the
 * object is due, and only then acts; setting takes the timer out of its CPU's heap and does not wait for
 * an interrupt that has begun. That one finds a later time, or none, and does nothing. The
 * memory of objects is type-stable, so it finds an object there in any case.
 *
 * Periods. The next time is the last one and the period, not "now" and the period: no drift. Who is
 * late by several periods gets one signal, and the next at the next whole period.
 *
 * Bounds: TIMERCAPS_PER_CPU armed on a CPU, so that the kernel's own timers and the limits of waits
 * find room; no period below GMK_TIMER_PERIOD_MIN_NS, so that interrupts leave time for work.
 *
 * Locks: LOCK_OBJECT; LOCK_NOTIFY and LOCK_TIMER inside. */
#include "ggmk/error.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"

#define TIMERCAPS_MAX     1024u
#define TIMERCAPS_PER_CPU 128u

struct timercap {
    struct object object;  /* lock: LOCK_OBJECT */
    struct notify_ref ref; /* constant for its life */
    /* Guarded by object.lock. */
    struct timer timer;
    uint64_t at_ns, period_ns; /* at_ns 0: stopped; period 0: once */
};

_Static_assert(TIMERCAPS_PER_CPU < TIMERS_PER_CPU / 2, "waits and the kernel need timers too");

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_TIMER, LOCK_OBJECT, sizeof(struct timercap), TIMERCAPS_MAX);
static _Atomic uint32_t armed[CPUS_MAX]; /* timers pending on each CPU; relaxed: only a bound */

/* ---- Under the object's lock -------------------------------------------------------------- */

static void disarm(struct timercap *c) {
    if (timer_cancel(&c->timer))
        atomic_fetch_sub_explicit(&armed[c->timer.cpu], 1, memory_order_relaxed);
}

static bool arm(struct timercap *c, void (*fn)(struct timer *timer)) {
    uint32_t cpu = cpu_this()->index;
    if (!timer_start(&c->timer, c->at_ns, fn))
        return false;
    atomic_fetch_add_explicit(&armed[cpu], 1, memory_order_relaxed);
    return true;
}

/* ---- The interrupt ---------------------------------------------------------------------------- */

static void expire(struct timer *timer) {
    struct timercap *c = (struct timercap *)((char *)timer - offsetof(struct timercap, timer));
    uint64_t now = time_now_ns();
    spin_enter(&c->object.lock);
    atomic_fetch_sub_explicit(&armed[cpu_this()->index], 1, memory_order_relaxed);
    if (c->at_ns != 0 && c->at_ns <= now) { /* else it was set anew meanwhile */
        disarm(c);
        uint64_t passed = c->period_ns == 0 ? 0 : (now - c->at_ns) / c->period_ns + 1;
        c->at_ns = c->period_ns == 0 ? 0 : c->at_ns + passed * c->period_ns;
        if (c->at_ns != 0) {
            bool room = arm(c, expire);
            K_ASSERT(room, "the place of the timer that fired is free, and IF is off");
        }
        notify_signal(&c->ref); /* under the lock: none comes after a stop or the end */
    }
    spin_leave(&c->object.lock);
}

/* ---- Operations ---------------------------------------------------------------------------------- */

struct object *timercap_new(struct factory *factory, const struct notify_ref *ref, int *error) {
    struct timercap *c = (struct timercap *)object_new(&pool, factory, error);
    if (c == NULL)
        return NULL;
    c->ref = *ref;
    c->at_ns = c->period_ns = 0;
    return &c->object;
}

int timercap_set(struct object *object, uint32_t serial, uint64_t at_ns, uint64_t period_ns) {
    struct timercap *c = (struct timercap *)object;
    if (period_ns != 0 && (period_ns < GMK_TIMER_PERIOD_MIN_NS || period_ns > INT64_MAX))
        return GMK_EINVAL;
    if (!object_enter(object, serial))
        return GMK_EHANDLE;
    int status = GMK_OK;
    uint32_t here = cpu_this()->index;
    disarm(c);
    c->at_ns = at_ns;
    c->period_ns = period_ns;
    if (at_ns != 0 &&
        (atomic_load_explicit(&armed[here], memory_order_relaxed) >= TIMERCAPS_PER_CPU ||
         !arm(c, expire))) {
        c->at_ns = 0;
        status = GMK_ELIMIT;
    }
    object_leave(object);
    return status;
}

void timercap_end(struct object *object, uint32_t serial) {
    struct timercap *c = (struct timercap *)object;
    if (!object_enter(object, serial))
        return;
    disarm(c);
    c->at_ns = 0;
    object_end_locked(object);
    object_leave(object);
    object_free(&pool, object);
}
