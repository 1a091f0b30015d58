/* Wake: who sleeps, who spins, who watches the clock, and who is told what.
 *
 * Three kinds of sleep, one rule each:
 *   - an idle worker parks (park.h) until there may be work;
 *   - a handler that waits for a condition (a group's end, room in a channel) runs other
 *     tasks, and parks like an idle worker when there are none, with its bit set in
 *     engine.waiting_workers;
 *   - an attached thread that waits sleeps on its own word, its bit in waiting_clients.
 *
 * Whoever makes a condition true calls wake_waiting() after it: bits are set with a seq_cst
 * operation before the condition is looked at for the last time, and the condition is
 * changed with a seq_cst operation before the bits are looked at, so one of the two sees
 * the other (Dekker, as in park.h).
 *
 * New work is announced by wake_for_work(). While a worker spins, nobody needs waking: it
 * looks again after it has stopped spinning and announced that it parks. */
#pragma once

#include "engine/engine.h"

typedef bool (*wake_condition_fn)(struct engine *eng, void *arg);

/* Work was published. No system call unless a worker sleeps and none spins or is on its
 * way already. Any agent. */
static inline void wake_for_work(struct agent *a) {
    struct engine *eng = a->eng;
    park_notifier_barrier(&eng->park);
    /* Relaxed: ordered by the barrier. */
    if (GMK_LIKELY(atomic_load_explicit(&eng->park.parked, memory_order_relaxed) == 0))
        return;
    /* Somebody sleeps, so this costs a wake-up or spares one: order the publication before
     * the look at `spinners`, which has no heavy half on the other side. Pairs with the
     * seq_cst decrement in spin(): a spinner that is seen here will look once more. */
    if (eng->park.asymmetric)
        hal_fence();
    if (atomic_load_explicit(&eng->spinners, memory_order_relaxed) != 0)
        return;
    uint32_t claimed = park_claim_unless_waking(&eng->park);
    if (claimed != 0)
        trace_event(&a->trace, TRACE_WAKE, claimed);
}

/* A condition became true (seq_cst operation before this): waiting agents look again. */
void wake_waiting(struct engine *eng);

/* Waits until condition(eng, arg) holds. A worker runs other tasks meanwhile. GMK_OK,
 * ETIMEOUT, or EHALTED for a client whose engine stops. */
int wake_wait_until(struct agent *a, wake_condition_fn condition, void *arg, uint64_t timeout_ns);

/* A worker that holds an ordered subscription rests until the condition holds, `limit_ns`
 * from now at most. It runs nothing but due retries: any other task could come to wait for
 * the very subscription that lies below it on the stack, for ever. */
void wake_rest(struct agent *a, wake_condition_fn condition, void *arg, uint64_t limit_ns);

/* The worker found nothing: spin, then park until there may be work, the next timer is
 * due, or `until_ns` (engine time, TIMER_NEVER) has come. */
void wake_idle(struct agent *a, wake_condition_fn condition, void *arg, uint64_t until_ns);

/* An earlier timer was queued: somebody must be awake then. */
void wake_for_timer(struct engine *eng);

/* Everybody out: stop and halt. */
void wake_everyone(struct engine *eng);
