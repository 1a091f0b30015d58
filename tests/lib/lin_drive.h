/* Lin drive: runs a few threads against one queue, records what each saw, lets lin judge.
 *
 * The caller gives one step function per thread; it does one random operation and records it
 * with lin_add(). All threads start together; between steps they spin or give way at random,
 * so that with fewer cores than threads operations are cut in the middle too. */
#pragma once

#include "tests/lib/lin.h"

enum { LIN_THREADS_MAX = 6, LIN_STEPS = 8000, LIN_BULK = 5 };

struct lin_thread {
    void *queue;
    unsigned index;
    uint64_t random; /* state of the thread's generator */
    uint64_t pushed; /* values so far; makes them distinct */
    void *own;       /* what else the step function needs */
    struct lin_log log;
};

typedef void lin_step(struct lin_thread *self);

/* A random number below `bound`. */
uint64_t lin_random(struct lin_thread *self, uint64_t bound);

/* A value nobody else pushes. Its upper half is the thread, its lower half counts. */
uint64_t lin_value(struct lin_thread *self);

/* Runs steps[i] in thread i, `n` threads, LIN_STEPS times each; threads[] keeps the logs. */
void lin_run(struct lin_thread *threads, lin_step *const *steps, unsigned n, void *queue,
             uint64_t seed);

/* Copies the threads' logs (shallow) for lin_check_fifo(). */
void lin_logs(const struct lin_thread *threads, unsigned n, struct lin_log *logs);

void lin_free(struct lin_thread *threads, unsigned n);
