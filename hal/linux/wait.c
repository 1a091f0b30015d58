/* Waiting on Linux: futex(2) for sleep and wake, membarrier(2) for the heavy barrier.
 *
 * A futex is exactly hal_wait()'s contract: the kernel compares the word and queues the
 * thread under one lock that FUTEX_WAKE takes too. All words are private to the process,
 * which spares the kernel a look at the memory map. Both calls leave errno alone, because
 * wakes are sent from signal handlers. */
#define _GNU_SOURCE 1

#include "hal/hal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)

_Static_assert(sizeof(_Atomic uint32_t) == 4, "the kernel reads the word as plain 32 bits");

bool hal_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    struct timespec limit;
    struct timespec *limit_or_none = NULL;
    if (timeout_ns != HAL_FOREVER) {
        limit.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND);
        limit.tv_nsec = (long)(timeout_ns % NS_PER_SECOND);
        limit_or_none = &limit; /* FUTEX_WAIT: relative, on CLOCK_MONOTONIC */
    }
    int saved = errno;
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit_or_none, NULL, 0);
    /* EAGAIN (the word differed) and EINTR (a signal) are early returns, not errors. */
    bool timed_out = rc != 0 && errno == ETIMEDOUT;
    errno = saved;
    return !timed_out;
}

void hal_wake(_Atomic uint32_t *word, uint32_t count) {
    int saved = errno;
    int most = count > INT_MAX ? INT_MAX : (int)count;
    if (most > 0) { /* the kernel would wake one even for a count of zero */
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
    }
    errno = saved;
}

void hal_yield_cpu(void) {
    sched_yield();
}

/* ---- The heavy barrier ------------------------------------------------------ */

enum { BARRIER_UNKNOWN, BARRIER_YES, BARRIER_NO };

static _Atomic int barrier_state = BARRIER_UNKNOWN;

static long membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

/* A process must register before its first expedited barrier (Linux 4.14). Registering
 * twice does no harm, so racing threads need no lock. */
static bool barrier_register(void) {
    int saved = errno;
    long commands = membarrier(MEMBARRIER_CMD_QUERY);
    bool can = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
               membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    errno = saved;
    atomic_store_explicit(&barrier_state, can ? BARRIER_YES : BARRIER_NO, memory_order_relaxed);
    return can;
}

bool hal_barrier_is_asymmetric(void) {
    int state = atomic_load_explicit(&barrier_state, memory_order_relaxed);
    return state == BARRIER_UNKNOWN ? barrier_register() : state == BARRIER_YES;
}

bool hal_barrier_all(void) {
    if (!hal_barrier_is_asymmetric()) {
        return false;
    }
    int saved = errno;
    bool done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
    if (!done) {
        /* Only want of kernel memory gets here. The global form needs none; it waits for
         * every CPU to pass the scheduler, which takes milliseconds. */
        done = membarrier(MEMBARRIER_CMD_GLOBAL) == 0;
    }
    errno = saved;
    return done;
}
