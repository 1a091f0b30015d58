/* Mutex and condition variable: the three states of a word (Ulrich Drepper, "Futexes Are Tricky"). */
#include "user/lib/mutex.h"

#include "user/lib/sys.h"

enum { FREE, HELD, CONTENDED };

bool mutex_try_lock(struct mutex *mutex) {
    uint32_t expected = FREE;
    /* Acquire pairs with the release in mutex_unlock(): what the last holder wrote is seen. */
    return atomic_compare_exchange_strong_explicit(&mutex->state, &expected, HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

void mutex_lock(struct mutex *mutex) {
    if (mutex_try_lock(mutex))
        return;
    /* From now on nobody knows whether others sleep, too: so the word says CONTENDED until an unlock
     * that finds it so. Acquire pairs with the release in mutex_unlock(). The kernel compares
     * the word again under its own lock, so an unlock in between is not missed. */
    while (atomic_exchange_explicit(&mutex->state, CONTENDED, memory_order_acquire) != FREE)
        (void)sys_word_wait(&mutex->state, CONTENDED, GMK_FOREVER);
}

void mutex_unlock(struct mutex *mutex) {
    /* Release pairs with the acquires above. */
    if (atomic_exchange_explicit(&mutex->state, FREE, memory_order_release) == CONTENDED)
        (void)sys_word_wake(&mutex->state, 1);
}

bool cond_wait(struct cond *cond, struct mutex *mutex, uint64_t timeout_ns) {
    /* Relaxed: the mutex orders it against a signal by somebody who changed what is waited for. A
     * signal after this load changes the count, and the kernel then refuses to sleep. */
    uint32_t turn = atomic_load_explicit(&cond->turns, memory_order_relaxed);
    mutex_unlock(mutex);
    int64_t status = sys_word_wait(&cond->turns, turn, timeout_ns);
    mutex_lock(mutex);
    return status != GMK_ETIMEOUT;
}

void cond_signal(struct cond *cond) {
    (void)atomic_fetch_add_explicit(&cond->turns, 1, memory_order_relaxed);
    (void)sys_word_wake(&cond->turns, 1);
}

void cond_broadcast(struct cond *cond) {
    (void)atomic_fetch_add_explicit(&cond->turns, 1, memory_order_relaxed);
    /* The kernel wakes so many in one call: more may wait. */
    while (sys_word_wake(&cond->turns, UINT32_MAX) == GMK_WORD_WAKE_MAX)
        continue;
}
