/* Wait: threads that sleep on a 32-bit word, the kernel's futex.
 *
 * Problem: "look at the word, then sleep" loses a wake-up that falls in between.
 * Idea: the waiter looks at the word once more under the lock of the bucket that the word's
 * address hashes to, and enters the bucket's list before it lets go. A waker changes the word
 * first and then takes the same lock. So one of two things is true:
 *   - the waker had the lock first: then the waiter's look, which comes after, sees the change
 *     (the lock orders it), and it does not sleep;
 *   - the waiter had it first: then the waker finds it in the list.
 * There is no third, so no wake-up is lost.
 *
 * Who ends a wait. wait_word is not NULL exactly while the thread is in a list. A waker and the
 * timer of a limit each take the thread out under the bucket's lock; the one that finds it there
 * has won, the other one finds nothing. Only the winner calls sched_ready(), so that is called once
 * per wait. It may come before the thread has reached sched_block(): that knows (thread.woken).
 *
 * A woken thread leaves no timer behind: it stops its timer before it returns, and timer_stop()
 * waits for one that is firing just now. So the timer may live on the thread's stack, and fn never
 * meets a later wait of the same thread.
 *
 * The word is not touched by wakers: it serves as a name, and may be gone by then.
 *
 * Locks: LOCK_WAIT, one bucket at a time, for at most THREADS_MAX steps. IF is off for as long as
 * that and for making ready those who are woken, also THREADS_MAX at most. */
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define WAIT_BUCKETS 64u

struct bucket {
    struct spinlock lock;
    struct thread *head; /* guarded by lock; circular, first come first */
};

static struct bucket buckets[WAIT_BUCKETS] = {
    [0 ... WAIT_BUCKETS - 1] = {.lock = SPINLOCK_INIT(LOCK_WAIT)},
};

/* Fibonacci hashing: the upper bits of the product depend on all of the address. */
static struct bucket *bucket_of(const _Atomic uint32_t *word) {
    uint64_t product = (uint64_t)(uintptr_t)word * 0x9e3779b97f4a7c15ull;
    return &buckets[product >> 58];
}

_Static_assert(WAIT_BUCKETS == 1u << (64 - 58), "the hash has as many bits as the table needs");

/* ---- Under the bucket's lock ---------------------------------------------------------- */

static void list_add(struct bucket *b, struct thread *t, const _Atomic uint32_t *word) {
    t->wait_word = word;
    if (b->head == NULL) {
        b->head = t->wait_next = t->wait_prev = t;
        return;
    }
    t->wait_next = b->head;
    t->wait_prev = b->head->wait_prev;
    b->head->wait_prev->wait_next = t;
    b->head->wait_prev = t;
}

static void list_remove(struct bucket *b, struct thread *t) {
    t->wait_word = NULL;
    if (t->wait_next == t)
        b->head = NULL;
    else if (b->head == t)
        b->head = t->wait_next;
    t->wait_prev->wait_next = t->wait_next;
    t->wait_next->wait_prev = t->wait_prev;
}

/* ---- Waiting ---------------------------------------------------------------------------- */

struct limit {
    struct timer timer; /* first, so that a timer is its limit */
    struct thread *thread;
    const _Atomic uint32_t *word;
};

/* The limit of a wait has come. In the timer interrupt. */
static void wait_expire(struct timer *timer) {
    struct limit *limit = (struct limit *)timer;
    struct thread *t = limit->thread;
    struct bucket *b = bucket_of(limit->word);
    (void)spin_lock(&b->lock);
    bool mine = t->wait_word != NULL;
    if (mine) {
        list_remove(b, t);
        t->timed_out = true;
    }
    spin_unlock(&b->lock, false);
    if (mine)
        sched_ready(t);
}

/* IF off. Returns whether the thread slept. */
static bool wait_sleep(struct thread *t, _Atomic uint32_t *word, uint32_t expected) {
    struct bucket *b = bucket_of(word);
    (void)spin_lock(&b->lock);
    /* Relaxed: the lock orders it against wakers, see the top. */
    bool sleeps = atomic_load_explicit(word, memory_order_relaxed) == expected;
    if (sleeps)
        list_add(b, t, word);
    spin_unlock(&b->lock, false);
    if (sleeps)
        sched_block();
    return sleeps;
}

bool wait_block(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    if (timeout_ns == 0)
        return atomic_load_explicit(word, memory_order_relaxed) != expected;
    uint64_t now = timeout_ns == UINT64_MAX ? 0 : time_now_ns();
    bool limited = timeout_ns < UINT64_MAX - now;
    bool irq = arch_irq_disable();
    struct thread *t = cpu_this()->current;
    K_ASSERT(!cpu_this()->in_irq && t != cpu_this()->idle, "only threads wait");
    struct limit limit = {.thread = t, .word = word};
    t->timed_out = false;
    if (!limited) {
        (void)wait_sleep(t, word, expected);
    } else if (timer_start(&limit.timer, now + timeout_ns, wait_expire)) {
        /* It cannot fire before we sleep: it is this CPU's, and IF is off. */
        (void)wait_sleep(t, word, expected);
        (void)timer_stop(&limit.timer);
    } /* else: no timer free; an early return, as the contract allows */
    arch_irq_restore(irq);
    return !t->timed_out;
}

/* ---- Waking -------------------------------------------------------------------------------- */

unsigned wait_wake(_Atomic uint32_t *word, uint32_t count) {
    struct bucket *b = bucket_of(word);
    struct thread *first = NULL, **last = &first;
    unsigned woken = 0;
    bool irq = spin_lock(&b->lock);
    struct thread *t = b->head;
    struct thread *end = t != NULL ? t->wait_prev : NULL;
    while (t != NULL && woken < count) { /* once around the list */
        struct thread *next = t != end ? t->wait_next : NULL;
        if (t->wait_word == word) {
            list_remove(b, t);
            *last = t; /* from here on wait_next links those that we wake */
            last = &t->wait_next;
            woken++;
        }
        t = next;
    }
    *last = NULL;
    spin_unlock(&b->lock, false);
    /* IF stays off until the last one is ready. Nobody else can wake them any more, so if the
     * first one preempted us, the others would wait until it lets us run again. */
    while (first != NULL) {
        t = first;
        first = t->wait_next;
        sched_ready_irq(t, first == NULL && irq);
    }
    arch_irq_restore(irq);
    return woken;
}
