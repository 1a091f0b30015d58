/* Park: an eventcount, the place where threads wait until there may be work again.
 *
 * The problem. A worker that finds every queue empty wants to sleep; a submitter that makes
 * a queue non-empty must then wake it. "Look, then sleep" loses the wake-up that falls
 * between the two. A lock around both would put every submitter through one lock.
 *
 * The idea. The waiter says that it is going to sleep *before* it looks for the last time:
 *
 *     waiter                              notifier
 *     W1  park_prepare(): set my bit      N1  publish the work
 *     W2  look at every queue             N2  park_notify(): any bit set?
 *     W3  nothing: park_commit()
 *         found:   park_cancel()
 *
 * This is Dekker's pattern. Each side writes its own word and then reads the other's, with
 * a full barrier between the two, so that the write cannot stay in the CPU's store buffer
 * while the read goes ahead. Then at least one side sees the other: W2 sees the work of N1,
 * or N2 sees the bit of W1. Both missing each other is the only way to lose a wake-up, and
 * it cannot happen. Both seeing each other costs one wake-up too many.
 *
 * Every waiter owns a numbered slot (a worker: its number). The set of prepared waiters is
 * one 64-bit mask; a notifier *claims* a waiter by clearing its bit, so two notifiers never
 * pay for the same waiter, and it wakes exactly the one it claimed, through a futex word of
 * that waiter's own: no herd. The one that parked last is claimed first, since its cache is
 * warm; after it the lowest number, so that the same few workers stay busy.
 *
 * What it promises (tests/model/eventcount.pml checks the first two exhaustively):
 *   1. Work published before park_notify() is seen by a waiter's next look, or a waiter is
 *      claimed and will look. No wake-up is lost, in any interleaving, through any store buffer.
 *   2. A claimed waiter leaves park_commit() or park_cancel() and is told that it was claimed.
 *   3. When nobody waits, park_notify() is one barrier and one load.
 *   4. No system call is made for a waiter that is claimed already, or has not gone to sleep
 *      yet, or spins: at most one per sleep.
 *   5. Nobody is woken without a notify or a time limit: waiters without a limit cost nothing.
 *
 * The one rule for waiters: between leaving (either way) and the next sleep there is another
 * prepare and another look. A loop does that by itself.
 *
 * Who may call. prepare, cancel, commit: the slot's owner, one thread at a time. The notify
 * functions: anybody, also a signal or interrupt handler; they never block. A park must live
 * until the last notify call on it has returned.
 *
 * What it does not do: know what the waiters wait for, limit the number of spinners, be fair
 * among waiters. */
#pragma once

#include "ggmk/base.h"
#include "hal/hal.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PARK_SLOTS_MAX 64u /* bits of the mask */

/* One waiter. Written by its owner and by whoever claims it. */
struct park_slot {
    alignas(GMK_FALSE_SHARING) _Atomic uint32_t word; /* enum park_word; the futex */
    _Atomic uint32_t sleeps; /* times the owner went to sleep; written by the owner only */
};

struct park {
    /* Written by waiters and claimers; read by every notify. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t parked; /* bit i: slot i prepared, unclaimed */
    _Atomic int32_t waking;      /* claimed waiters that have not left; at times too low */
    _Atomic uint32_t recent;     /* slot that prepared last: a hint */
    _Atomic uint64_t wake_calls; /* system calls made to wake, for metrics */

    /* Set by park_init(), constant after. */
    alignas(GMK_FALSE_SHARING) struct park_slot *slots;
    uint32_t slot_count;
    bool asymmetric; /* waiters pay for the barrier, notifiers need none */
};

/* `slots` has room for `slot_count` (1 .. PARK_SLOTS_MAX) and must be aligned as its type.
 * `asymmetric` moves the cost of the barrier from the notifier (about 5-20 ns each time) to
 * the waiter (hal_barrier_all(), microseconds, only when it prepares to sleep); it is ignored
 * where the platform has no such barrier. */
void park_init(struct park *park, struct park_slot *slots, uint32_t slot_count, bool asymmetric);

/* W1: announces that the owner of `slot` is going to sleep. Look at everything once more
 * after it, then call exactly one of park_cancel() and park_commit(). */
void park_prepare(struct park *park, uint32_t slot);

/* W3, work was found: takes the announcement back. Returns true if a notifier had claimed
 * this waiter: then one notify ended here, and the caller, now busy, should pass it on with
 * park_notify() if there is more work than it takes itself. */
bool park_cancel(struct park *park, uint32_t slot);

/* W3, nothing found: sleeps until claimed, or until `timeout_ns` from now (HAL_FOREVER: no
 * limit). Returns true if claimed, as park_cancel(); false at the time limit or, rarely, early. */
bool park_commit(struct park *park, uint32_t slot, uint64_t timeout_ns);

/* True once a notifier claimed this prepared waiter: what a waiter spins on between prepare
 * and commit if it wants to be woken without a system call. One load of its own line. */
static inline bool park_is_notified(const struct park *park, uint32_t slot);

/* Claims up to `count` waiters for work that the caller has published, and wakes them.
 * Returns how many it claimed. */
static inline uint32_t park_notify(struct park *park, uint32_t count);

/* The same for a caller that has executed a full barrier *after* publishing: a seq_cst
 * read-modify-write that is the publication itself, or comes later. (A ring that reserves
 * with a compare-and-swap and then publishes with a store has not.) */
static inline uint32_t park_notify_fenced(struct park *park, uint32_t count);

/* The same as park_notify(1), unless a claimed waiter is on its way already: then nothing,
 * since that waiter's look comes after this publication. For waiters that take any work and,
 * having found some, call this again while more is queued; so a burst of submits costs one
 * wake-up at a time, and the woken fan out among themselves. Returns 0 or 1. */
static inline uint32_t park_notify_chained(struct park *park);

/* Claims and wakes the waiter in `slot` if it is parked. Returns whether it was. For work
 * that only one worker may run. */
bool park_notify_slot(struct park *park, uint32_t slot);

/* Claims and wakes every waiter that is parked now. Returns how many. */
uint32_t park_notify_all(struct park *park);

/* Asserts what must hold at any time (true: it does), for tests and dumps. */
bool park_check(const struct park *park);

/* ---- Spinning before sleep ------------------------------------------------------- */

/* Decides how long one waiter spins before it sleeps. Sleeping and waking costs 5 us of two
 * CPUs' time and 25-40 us until the waiter runs; spinning answers within a microsecond and
 * burns a CPU. Which is right depends only on how soon the next work comes, so this measures
 * how long each idle stretch lasted, slept through or not, and compares with what spinning
 * could have bridged:
 *   - stretches that end within PARK_SPIN_MAX_NS earn credit, longer ones cost twice that.
 *     Without credit there is no spinning: after at most PARK_SPIN_CREDIT_MAX / 2 stretches
 *     that were too long, an idle system sleeps at once and long gaps burn nothing;
 *   - the limit is a little more than twice the longest recent short stretch, at most
 *     PARK_SPIN_MAX_NS, so work that comes within 3 us is not waited for during 100;
 *   - now and then it offers the CPU to others. If somebody else took it (the call did not
 *     return at once), there are more runnable threads than CPUs: it stops, since a spinner
 *     only keeps the producer from running, and comes off worse itself: the scheduler lets a
 *     woken sleeper in at once, and a thread that yielded after a whole time slice. The credit
 *     goes below zero, twice as far each time while that goes on, so a busy machine sees one
 *     spinner in a thousand stretches.
 *
 *     park_spin_start(&spin);
 *     while (!found && park_spin_step(&spin)) { found = look(); }
 *     if (!found) { prepare, look, commit ... }
 *     park_spin_end(&spin);                      after the sleep, if there was one
 *
 * Owned by one thread; touches nothing shared. */
#define PARK_SPIN_MAX_NS     100000u /* hard bound of one spin: some 3 times what a wake-up takes */
#define PARK_SPIN_MIN_NS     4000u   /* shortest limit worth the bookkeeping */
#define PARK_SPIN_CREDIT_MAX 8       /* so a burst of misses never outweighs a long habit */
#define PARK_SPIN_MISS_COST  2       /* of two stretches one must be short, or spinning stops */
#define PARK_SPIN_YIELD_NS   8000u   /* between two offers of the CPU */
#define PARK_SPIN_TAKEN_NS   4000u   /* an offer that took this long was accepted */
#define PARK_SPIN_CROWD_MIN  4       /* debt after the first crowded stretch */
#define PARK_SPIN_CROWD_MAX  128     /* and after many */
#define PARK_SPIN_CALM       64      /* spins in a row that were let alone end the doubling */

struct park_spin {
    uint64_t start;      /* hal_cycles() when the idle stretch began */
    uint64_t stop;       /* end of the spin */
    uint64_t next_yield; /* next offer of the CPU */
    uint64_t longest;    /* cycles: decaying maximum of the short stretches */
    uint64_t max;        /* cycles: hard bound, 0 = never spins */
    uint64_t min;        /* cycles */
    uint64_t yield;      /* cycles */
    uint64_t taken;      /* cycles */
    int32_t credit;      /* -PARK_SPIN_CROWD_MAX .. PARK_SPIN_CREDIT_MAX; spins above 0 */
    int32_t debt;        /* what the next crowded stretch costs */
    uint32_t calm;       /* spins since the last crowded one */
    bool crowded;        /* somebody took the CPU during this stretch */
};

/* `max_ns` is the longest spin, PARK_SPIN_MAX_NS at most; 0 never spins (one CPU, say). */
void park_spin_init(struct park_spin *spin, uint64_t max_ns);

/* An idle stretch begins. */
void park_spin_start(struct park_spin *spin);

/* Between two looks: pauses for some 100 ns. False: enough, go to sleep. */
bool park_spin_step(struct park_spin *spin);

/* The idle stretch is over, because work was found or a sleep ended. */
void park_spin_end(struct park_spin *spin);

/* ---- Inline parts ------------------------------------------------------------- */

enum park_word {
    PARK_IDLE = 0,     /* never used yet */
    PARK_PREPARED = 1, /* announced, awake: looking or spinning */
    PARK_SLEEPING = 2, /* in hal_wait(), or about to be: whoever claims it must hal_wake() */
    PARK_NOTIFIED = 3  /* claimed */
};

/* The slow part of the notify functions, after somebody was seen to be parked. */
uint32_t park_claim_and_wake(struct park *park, uint32_t count);
uint32_t park_claim_unless_waking(struct park *park);

/* N2's half of the barrier. */
static inline void park_notifier_barrier(const struct park *park) {
    if (park->asymmetric) {
        /* The compiler must not reorder; park_prepare() makes the CPU behave, from afar. */
        atomic_signal_fence(memory_order_seq_cst);
    } else {
        hal_fence(); /* pairs with the fence in park_prepare() */
    }
}

static inline bool park_is_notified(const struct park *park, uint32_t slot) {
    /* Acquire: pairs with the exchange in claim_slot(). */
    return atomic_load_explicit(&park->slots[slot].word, memory_order_acquire) == PARK_NOTIFIED;
}

static inline uint32_t park_notify_fenced(struct park *park, uint32_t count) {
    /* Relaxed: the caller's barrier orders it; the claim itself acquires. */
    if (GMK_LIKELY(atomic_load_explicit(&park->parked, memory_order_relaxed) == 0)) {
        return 0;
    }
    return park_claim_and_wake(park, count);
}

static inline uint32_t park_notify(struct park *park, uint32_t count) {
    park_notifier_barrier(park);
    return park_notify_fenced(park, count);
}

static inline uint32_t park_notify_chained(struct park *park) {
    park_notifier_barrier(park);
    if (GMK_LIKELY(atomic_load_explicit(&park->parked, memory_order_relaxed) == 0)) {
        return 0;
    }
    return park_claim_unless_waking(park);
}
