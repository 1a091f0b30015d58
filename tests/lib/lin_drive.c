/* Lin drive: threads, a common start, and random pauses; see lin_drive.h. */
#define _GNU_SOURCE
#include "tests/lib/lin_drive.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct start {
    _Atomic unsigned ready;
    unsigned n;
};

struct runner {
    pthread_t thread;
    struct lin_thread *self;
    lin_step *step;
    struct start *start;
};

uint64_t lin_random(struct lin_thread *self, uint64_t bound) {
    /* SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014). */
    uint64_t z = (self->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

uint64_t lin_value(struct lin_thread *self) {
    return (uint64_t)self->index << 32 | self->pushed++;
}

static void *runner_main(void *arg) {
    struct runner *runner = arg;
    atomic_fetch_add(&runner->start->ready, 1);
    while (atomic_load(&runner->start->ready) < runner->start->n)
        sched_yield();
    for (unsigned i = 0; i < LIN_STEPS; i++) {
        runner->step(runner->self);
        uint64_t pause = lin_random(runner->self, 64);
        if (pause == 0)
            sched_yield();
        else if (pause < 16)
            for (volatile uint64_t spin = 0; spin < pause * 8; spin++) {}
    }
    return NULL;
}

static struct lin_log new_log(void) {
    struct lin_log log = {.capacity = LIN_STEPS * (size_t)(LIN_BULK + 64)};
    log.ops = malloc(log.capacity * sizeof *log.ops);
    if (log.ops == NULL)
        abort();
    return log;
}

void lin_run(struct lin_thread *threads, lin_step *const *steps, unsigned n, void *queue,
             uint64_t seed) {
    struct runner runners[LIN_THREADS_MAX];
    struct start start = {.n = n};

    for (unsigned i = 0; i < n; i++) {
        threads[i].queue = queue;
        threads[i].index = i;
        threads[i].random = seed * LIN_THREADS_MAX + i;
        threads[i].pushed = 0;
        threads[i].log = new_log();
        runners[i] = (struct runner){.self = &threads[i], .step = steps[i], .start = &start};
    }
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]) != 0)
            abort();
    for (unsigned i = 0; i < n; i++)
        pthread_join(runners[i].thread, NULL);
}

void lin_logs(const struct lin_thread *threads, unsigned n, struct lin_log *logs) {
    for (unsigned i = 0; i < n; i++)
        logs[i] = threads[i].log;
}

void lin_free(struct lin_thread *threads, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        free(threads[i].log.ops);
}
