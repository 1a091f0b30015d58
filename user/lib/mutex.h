/* Mutex and condition variable: for the threads of one program, on a word of memory each.
 *
 * Zero is unlocked and empty, so a static one needs no start. A free mutex is taken and given back
 * with one atomic step and no system call; a thread that finds it held sleeps in the kernel, on the
 * word itself (GMK_SYS_WORD_WAIT). Not recursive. Does not pass on priorities: threads of different
 * urgency that share data do better with a server and a port, whose calls do. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    _Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody may sleep */
};

void mutex_lock(struct mutex *mutex);
bool mutex_try_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

struct cond {
    _Atomic uint32_t turns; /* counts signals */
};

/* Lets go of the mutex, sleeps until a signal or, after timeout_ns, for no longer; takes the mutex
 * again. False: the time is over. May return for no reason: callers look at what they wait for
 * again. */
bool cond_wait(struct cond *cond, struct mutex *mutex, uint64_t timeout_ns);
/* Wakes one of those who wait, or all. */
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);
