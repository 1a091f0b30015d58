/* Spinlock, in line: for lock.h only. */
#pragma once

#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"

#define LOCK_INLINE __attribute__((always_inline)) static inline

/* Waits for its turn, and dies with a message when this CPU holds the lock already. */
void spin_enter_slow(struct spinlock *lock, uint16_t ticket);

LOCK_INLINE void spin_enter(struct spinlock *lock) {
#ifdef GMK_PROFILE_DEV
    (void)spin_lock(lock);
#else
    uint16_t ticket;
    /* An acquire: pairs with the release in spin_leave() and spin_unlock(). */
    if (__builtin_expect(!arch_ticket(&lock->next, &lock->serving, &ticket), 0))
        spin_enter_slow(lock, ticket);
    atomic_store_explicit(&lock->owner, cpu_this()->index + 1, memory_order_relaxed);
#endif
}

/* The same for a stretch that takes nothing else out of order and calls nothing: it does not note who has
 * the lock. Left by spin_leave() or by arch_user_hand_over_message(). */
LOCK_INLINE void spin_enter_brief(struct spinlock *lock) {
#ifdef GMK_PROFILE_DEV
    (void)spin_lock(lock);
#else
    uint16_t ticket;
    if (__builtin_expect(!arch_ticket(&lock->next, &lock->serving, &ticket), 0))
        arch_call_keeping((void (*)(void))spin_enter_slow, lock, ticket, NULL);
#endif
}

/* A stretch begun by spin_enter_brief() turns out to be a usual one: notes who has the lock. */
LOCK_INLINE void spin_own(struct spinlock *lock) {
#ifdef GMK_PROFILE_DEV
    (void)lock;
#else
    atomic_store_explicit(&lock->owner, cpu_this()->index + 1, memory_order_relaxed);
#endif
}

LOCK_INLINE void spin_leave(struct spinlock *lock) {
#ifdef GMK_PROFILE_DEV
    spin_unlock(lock, false);
#else
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_relaxed);
    /* Release pairs with the acquires in spin_enter() and spin_lock(). */
    atomic_store_explicit(&lock->serving, (uint16_t)(serving + 1), memory_order_release);
#endif
}

/* After spin_enter_brief(). */
static inline void spin_leave_brief(struct spinlock *lock) {
#ifdef GMK_PROFILE_DEV
    spin_unlock(lock, false);
#else
    /* A release: pairs with the acquires in spin_enter() and spin_lock(). */
    arch_serve_next(&lock->serving);
#endif
}
