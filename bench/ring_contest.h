/* Ring contest: what a contestant looks like, and the loops that drive every one of them.
 *
 * A contestant gives push_n and pop_n ("as many as fit", count returned) as inline
 * functions. RING_CONTEST() stamps out the same producer and consumer loops around each, so
 * that the compiler sees the operation itself and not a pointer to it. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "engine/ring_mpmc.h"
#include "engine/ring_spsc.h"

enum { CONTEST_BATCH = 32, CONTEST_THREADS_MAX = 8, CONTEST_SPINS = 200 };

/* The 48-byte message of the contest. */
struct message {
    uint64_t word[6];
};

struct contest_run;
typedef void contest_loop(struct contest_run *run, uint64_t first, uint64_t count);

struct contestant {
    const char *name;
    void *(*make)(uint32_t capacity);
    contest_loop *produce_1, *consume_1, *produce_n, *consume_n;
};

struct contest_run {
    void *ring;
    uint32_t producers, consumers;
    bool batch;
    uint64_t per_producer; /* messages */
    const struct contestant *who;
    _Atomic uint32_t ready;
    _Atomic bool go;
    _Atomic bool called_off;
    _Atomic uint32_t finished; /* threads */
    _Atomic uint64_t received; /* messages */
    _Atomic uint64_t sum;      /* of the first words received; checked */
};

static inline uint64_t contest_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void *contest_memory(size_t bytes) {
    void *memory = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
    if (memory == NULL)
        abort();
    return memory;
}

/* Makes the compiler believe that the message is written and read in memory by others: no
 * contestant may leave out words that this program happens not to use. */
static inline void contest_touch(void *message) {
    __asm__ volatile("" : : "r"(message) : "memory");
}

/* Asked by every loop now and then, because a collapsed operation need not fail. */
static inline bool contest_over(struct contest_run *run) {
    return atomic_load_explicit(&run->called_off, memory_order_relaxed);
}

/* Called after each failed attempt: spins a little, then lets the other side have the core.
 * False when the round was called off because it took too long. */
static inline bool contest_wait(struct contest_run *run, uint32_t *failures) {
    if (++*failures < CONTEST_SPINS) {
        __builtin_ia32_pause();
    } else {
        sched_yield();
        *failures = 0;
    }
    return !contest_over(run);
}

/* Stamps out the loops of contestant `id`, whose messages have type `msg` with the payload
 * word `field`, and its entry in the table. */
#define RING_CONTEST(id, label, msg, field)                                               \
    static void id##_produce_1(struct contest_run *run, uint64_t first, uint64_t count) { \
        msg m = {0};                                                                      \
        uint32_t failures = 0;                                                            \
        for (uint64_t i = 0; i < count; i++) {                                            \
            if (i % CONTEST_BATCH == 0 && contest_over(run))                              \
                return;                                                                   \
            m.field = first + i;                                                          \
            contest_touch(&m);                                                            \
            while (!id##_push(run->ring, &m))                                             \
                if (!contest_wait(run, &failures))                                        \
                    return;                                                               \
            failures = 0;                                                                 \
        }                                                                                 \
    }                                                                                     \
    static void id##_consume_1(struct contest_run *run, uint64_t first, uint64_t count) { \
        msg m;                                                                            \
        uint64_t sum = 0, received = 0;                                                   \
        uint32_t failures = 0;                                                            \
        (void)first;                                                                      \
        for (; received < count; received++) {                                            \
            if (received % CONTEST_BATCH == 0 && contest_over(run))                       \
                break;                                                                    \
            while (!id##_pop(run->ring, &m))                                              \
                if (!contest_wait(run, &failures))                                        \
                    goto called_off;                                                      \
            failures = 0;                                                                 \
            contest_touch(&m);                                                            \
            sum += m.field;                                                               \
        }                                                                                 \
    called_off:                                                                           \
        atomic_fetch_add(&run->sum, sum);                                                 \
        atomic_fetch_add(&run->received, received);                                       \
    }                                                                                     \
    static void id##_produce_n(struct contest_run *run, uint64_t first, uint64_t count) { \
        msg m[CONTEST_BATCH] = {0};                                                       \
        uint32_t failures = 0;                                                            \
        for (uint64_t i = 0; i < count && !contest_over(run); i += CONTEST_BATCH) {       \
            for (unsigned j = 0; j < CONTEST_BATCH; j++)                                  \
                m[j].field = first + i + j;                                               \
            contest_touch(m);                                                             \
            for (size_t sent = 0; sent < CONTEST_BATCH;) {                                \
                size_t some = id##_push_n(run->ring, m + sent, CONTEST_BATCH - sent);     \
                sent += some;                                                             \
                if (some > 0)                                                             \
                    failures = 0;                                                         \
                else if (!contest_wait(run, &failures))                                   \
                    return;                                                               \
            }                                                                             \
        }                                                                                 \
    }                                                                                     \
    static void id##_consume_n(struct contest_run *run, uint64_t first, uint64_t count) { \
        msg m[CONTEST_BATCH];                                                             \
        uint64_t sum = 0, received = 0;                                                   \
        uint32_t failures = 0;                                                            \
        (void)first;                                                                      \
        while (received < count && !contest_over(run)) {                                  \
            uint64_t left = count - received;                                             \
            size_t want = left < CONTEST_BATCH ? (size_t)left : CONTEST_BATCH;            \
            size_t some = id##_pop_n(run->ring, m, want);                                 \
            contest_touch(m);                                                             \
            for (size_t j = 0; j < some; j++)                                             \
                sum += m[j].field;                                                        \
            received += some;                                                             \
            if (some > 0)                                                                 \
                failures = 0;                                                             \
            else if (!contest_wait(run, &failures))                                       \
                break;                                                                    \
        }                                                                                 \
        atomic_fetch_add(&run->sum, sum);                                                 \
        atomic_fetch_add(&run->received, received);                                       \
    }                                                                                     \
    static const struct contestant id##_entry = {.name = label,                           \
                                                 .make = id##_make,                       \
                                                 .produce_1 = id##_produce_1,             \
                                                 .consume_1 = id##_consume_1,             \
                                                 .produce_n = id##_produce_n,             \
                                                 .consume_n = id##_consume_n}
