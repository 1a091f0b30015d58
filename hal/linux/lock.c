/* Lock on Linux: three states, so that nobody enters the kernel unless somebody waits.
 *
 * After Ulrich Drepper, "Futexes Are Tricky", mutex2. State 2 says "held, and there may be
 * sleepers": an unlock from 1 is a single atomic exchange, one from 2 also wakes a sleeper.
 * Whoever slept takes the lock in state 2, since it cannot know whether it was the last. */
#include "hal/hal.h"

#include <string.h>

enum { LOCK_FREE = 0, LOCK_HELD = 1, LOCK_CONTENDED = 2 };

void hal_lock(struct hal_lock *lock) {
    uint32_t seen = LOCK_FREE;
    /* Acquire: pairs with the release in hal_unlock(). */
    if (atomic_compare_exchange_strong_explicit(&lock->state, &seen, LOCK_HELD,
                                                memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    /* Acquire: pairs with the release in hal_unlock(). */
    while (atomic_exchange_explicit(&lock->state, LOCK_CONTENDED, memory_order_acquire) !=
           LOCK_FREE) {
        hal_wait(&lock->state, LOCK_CONTENDED, HAL_FOREVER);
    }
}

void hal_unlock(struct hal_lock *lock) {
    /* Release: pairs with both acquires in hal_lock(). */
    if (atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release) == LOCK_CONTENDED) {
        hal_wake(&lock->state, 1);
    }
}

/* Nobody here is unable to sleep. */
_Static_assert(sizeof(struct hal_lock) <= sizeof(struct hal_short), "it fits");

void hal_short_init(struct hal_short *lock) {
    memset(lock, 0, sizeof *lock);
}

void hal_short_lock(struct hal_short *lock) {
    hal_lock((struct hal_lock *)(void *)lock);
}

void hal_short_unlock(struct hal_short *lock) {
    hal_unlock((struct hal_lock *)(void *)lock);
}
