/* Park: the waiters' side, and the notifiers' side once somebody is known to be parked.
 * See park.h for the idea and the promises.
 *
 * One waiter's round, and who moves it on (W: the owner, N: one notifier):
 *
 *     bit  word                    what holds
 *     0    any      W awake        nobody will touch the slot, but for a late N of an earlier round
 *     1    PREPARED W looks        W1: word, then bit
 *     1    SLEEPING W sleeps       W3
 *     0    PREPARED or SLEEPING    N has claimed W: `waking` counts it, word and wake will follow
 *     0    NOTIFIED W leaves       W takes itself off `waking`
 *     0    ...      W left alone   time limit or cancel: W itself cleared the bit
 *
 * Whoever clears the bit decides the round: a notifier (then it was a claim, and W leaves
 * with true) or W itself (then it was not). Clearing is one atomic and-not, so it is never both.
 *
 * A late notifier: N clears the bit, is preempted, W finds by cancel or time limit that it
 * was claimed and leaves, prepares again, and only now N writes NOTIFIED. The next round ends
 * early for no reason, which is harmless: W clears its own bit, returns false, looks again. */
#include "engine/park.h"

void park_init(struct park *park, struct park_slot *slots, uint32_t slot_count, bool asymmetric) {
    if (slot_count == 0 || slot_count > PARK_SLOTS_MAX) {
        hal_panic("park_init: 1 to 64 slots");
    }
    atomic_init(&park->parked, 0);
    atomic_init(&park->waking, 0);
    atomic_init(&park->recent, 0);
    atomic_init(&park->wake_calls, 0);
    park->slots = slots;
    park->slot_count = slot_count;
    park->asymmetric = asymmetric && hal_barrier_is_asymmetric();
    for (uint32_t i = 0; i < slot_count; i++) {
        atomic_init(&slots[i].word, PARK_IDLE);
        atomic_init(&slots[i].sleeps, 0);
    }
}

/* ---- Waiters -------------------------------------------------------------------- */

static inline uint64_t bit_of(uint32_t slot) {
    return UINT64_C(1) << slot;
}

void park_prepare(struct park *park, uint32_t slot) {
    /* Relaxed: the fetch_or below releases it to whoever claims the bit. */
    atomic_store_explicit(&park->slots[slot].word, PARK_PREPARED, memory_order_relaxed);
    /* Seq_cst: W1. Pairs with the load in the notify functions (Dekker), and releases the
     * word to the and-not of a claim. */
    uint64_t before = atomic_fetch_or_explicit(&park->parked, bit_of(slot), memory_order_seq_cst);
    if ((before & bit_of(slot)) != 0) {
        hal_panic("park_prepare: the slot is in use by another thread, or prepared twice");
    }
    atomic_store_explicit(&park->recent, slot, memory_order_relaxed); /* a hint */
    /* Between W1 and W2. Needed beside the seq_cst operation: Arm may let later loads pass it. */
    hal_fence();
    if (park->asymmetric && !hal_barrier_all()) {
        hal_panic("park_prepare: the platform took its barrier back");
    }
}

/* Ends the round. True if a notifier had claimed this waiter. */
static bool leave(struct park *park, uint32_t slot) {
    /* Acq_rel: pairs with the and-not in claim(), the other end of "who clears it first". */
    uint64_t before = atomic_fetch_and_explicit(&park->parked, ~bit_of(slot), memory_order_acq_rel);
    bool claimed = (before & bit_of(slot)) == 0;
    if (claimed) {
        /* Seq_cst, with the fence: pairs with the load in park_claim_unless_waking(). A
         * notifier that still counted on this waiter published before the coming look. */
        atomic_fetch_sub_explicit(&park->waking, 1, memory_order_seq_cst);
        hal_fence();
    }
    return claimed;
}

bool park_cancel(struct park *park, uint32_t slot) {
    return leave(park, slot);
}

/* What is left until `deadline_ns`; 0 when it has passed. */
static uint64_t time_left(uint64_t deadline_ns) {
    if (deadline_ns == HAL_FOREVER) {
        return HAL_FOREVER;
    }
    uint64_t now = hal_now_ns();
    return deadline_ns > now ? deadline_ns - now : 0;
}

static uint64_t deadline_after(uint64_t timeout_ns) {
    uint64_t now = timeout_ns == HAL_FOREVER ? 0 : hal_now_ns();
    return timeout_ns >= HAL_FOREVER - now ? HAL_FOREVER : now + timeout_ns;
}

bool park_commit(struct park *park, uint32_t slot, uint64_t timeout_ns) {
    struct park_slot *mine = &park->slots[slot];
    uint32_t seen = PARK_PREPARED;
    /* From here on a claimer must make a system call. Acquire: pairs with claim_slot(). */
    if (atomic_compare_exchange_strong_explicit(&mine->word, &seen, PARK_SLEEPING,
                                                memory_order_acq_rel, memory_order_acquire)) {
        uint64_t deadline = deadline_after(timeout_ns);
        uint64_t left = timeout_ns;
        uint32_t sleeps = atomic_load_explicit(&mine->sleeps, memory_order_relaxed);
        atomic_store_explicit(&mine->sleeps, sleeps + 1, memory_order_relaxed);
        /* Acquire: pairs with claim_slot(). */
        while (atomic_load_explicit(&mine->word, memory_order_acquire) == PARK_SLEEPING) {
            if (left == 0 || !hal_wait(&mine->word, PARK_SLEEPING, left)) {
                break;
            }
            left = time_left(deadline);
        }
    }
    return leave(park, slot);
}

/* ---- Notifiers ------------------------------------------------------------------ */

/* Clears the bits of `wanted` that are set; these waiters are the caller's then. `waking`
 * rises after the claim, never before: a rise that a failed claim takes back would be a
 * promise to park_claim_unless_waking() that nobody keeps. So a quick waiter may subtract
 * before this adds, and the counter is signed: too low costs a wake-up, too high loses one. */
static uint64_t claim(struct park *park, uint64_t wanted) {
    /* Acq_rel: acquires the word stored by park_prepare(), releases the work to leave(). */
    uint64_t before = atomic_fetch_and_explicit(&park->parked, ~wanted, memory_order_acq_rel);
    uint64_t claimed = before & wanted;
    if (claimed != 0) {
        atomic_fetch_add_explicit(&park->waking, __builtin_popcountll(claimed),
                                  memory_order_relaxed);
    }
    return claimed;
}

/* Tells a claimed waiter, and gets it out of the platform's wait if it is in there. */
static void wake_slot(struct park *park, uint32_t slot) {
    _Atomic uint32_t *word = &park->slots[slot].word;
    /* Release: pairs with the acquires in park_commit() and park_is_notified(). */
    if (atomic_exchange_explicit(word, PARK_NOTIFIED, memory_order_acq_rel) == PARK_SLEEPING) {
        atomic_fetch_add_explicit(&park->wake_calls, 1, memory_order_relaxed);
        hal_wake(word, 1);
    }
}

/* The waiter to take first: the one that parked last, else the lowest number. */
static uint32_t pick(const struct park *park, uint64_t mask) {
    uint32_t recent = atomic_load_explicit(&park->recent, memory_order_relaxed);
    return (mask & bit_of(recent)) != 0 ? recent : (uint32_t)__builtin_ctzll(mask);
}

/* Each waiter seen at the start is tried once, so the loop is bounded by PARK_SLOTS_MAX. One
 * that is gone when its turn comes was claimed by another notifier, or left by itself and is
 * busy or looks again; one that came later looked after this publication. */
uint32_t park_claim_and_wake(struct park *park, uint32_t count) {
    uint64_t mask = atomic_load_explicit(&park->parked, memory_order_relaxed);
    uint32_t woken = 0;
    while (mask != 0 && woken < count) {
        uint32_t slot = pick(park, mask);
        mask &= ~bit_of(slot);
        if (claim(park, bit_of(slot)) != 0) {
            wake_slot(park, slot);
            woken++;
        }
    }
    return woken;
}

uint32_t park_claim_unless_waking(struct park *park) {
    if (park->asymmetric) {
        hal_fence(); /* the fast path had none, and `waking` is symmetric: see leave() */
    }
    /* Relaxed behind a fence: Dekker again. If this sees a waiter on its way, that waiter's
     * look, which follows its leave(), sees what the caller published. */
    if (atomic_load_explicit(&park->waking, memory_order_relaxed) > 0) {
        return 0;
    }
    return park_claim_and_wake(park, 1);
}

bool park_notify_slot(struct park *park, uint32_t slot) {
    park_notifier_barrier(park);
    if ((atomic_load_explicit(&park->parked, memory_order_relaxed) & bit_of(slot)) == 0 ||
        claim(park, bit_of(slot)) == 0) {
        return false;
    }
    wake_slot(park, slot);
    return true;
}

uint32_t park_notify_all(struct park *park) {
    park_notifier_barrier(park);
    uint64_t mask = atomic_load_explicit(&park->parked, memory_order_relaxed);
    if (mask == 0) {
        return 0;
    }
    uint64_t claimed = claim(park, mask);
    for (uint64_t rest = claimed; rest != 0; rest &= rest - 1) {
        wake_slot(park, (uint32_t)__builtin_ctzll(rest));
    }
    return (uint32_t)__builtin_popcountll(claimed);
}

bool park_check(const struct park *park) {
    uint64_t valid =
        park->slot_count == PARK_SLOTS_MAX ? UINT64_MAX : (UINT64_C(1) << park->slot_count) - 1;
    uint64_t parked = atomic_load_explicit(&park->parked, memory_order_relaxed);
    return park->slots != NULL && (parked & ~valid) == 0 &&
           atomic_load_explicit(&park->recent, memory_order_relaxed) < park->slot_count;
}
