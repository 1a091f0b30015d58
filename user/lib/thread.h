/* Thread: further threads of the same program.
 *
 *     struct thread *t;
 *     int status = thread_start(&t, "worker", GMK_PRIORITY_NORMAL, 0, work, arg);
 *     ...
 *     thread_join(t);
 *
 * A thread gets a stack with an unmapped page at both ends, thread-local storage and a message buffer.
 * It ends when its function returns. If the whole program ends, its threads end where they are. */
#pragma once

#include "user/lib/ipc.h"

#include <stdatomic.h>

#define THREAD_STACK_SIZE 65536u

struct thread {
    gmk_handle_t handle; /* for sys_thread_sched() and the like */
    /* The library's. */
    _Atomic uint32_t finished; /* 1: it has left its stack */
    void (*fn)(void *arg);
    void *arg;
    uint64_t tls;               /* its block of thread-local storage */
    uint64_t stack, stack_size; /* the mapping that all of this lies in */
    struct thread *next;        /* in the cache of stacks */
};

/* Starts fn(arg). `flags`: GMK_THREAD_FPU if fn uses vector registers. GMK_OK, or what
 * sys_thread_create() and memory_new() refuse with; then nothing runs. The thread may already be
 * at its end when this returns. */
int thread_start(struct thread **out, const char *name, unsigned priority, unsigned flags,
                 void (*fn)(void *arg), void *arg);
/* Waits for its end, and frees it. Once per thread. */
void thread_join(struct thread *thread);
/* Ends the calling thread early. Of the first thread: its program goes on without it. */
_Noreturn void thread_exit(void);
/* Of the calling thread. */
uint32_t thread_id(void);
