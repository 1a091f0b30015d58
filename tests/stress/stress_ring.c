/* Stress: both rings under more threads than cores. Promise: no element is lost, doubled,
 * torn or out of its producer's order, whatever the mix of single and bulk calls.
 *
 * Each producer numbers its elements. A consumer must see each producer's numbers grow; at
 * the end every number must have been seen exactly once. GGMK_STRESS scales the amount. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "engine/ring_mpmc.h"

enum { SIDE_MAX = 4, BULK_MAX = 40 };

struct load {
    struct ring_mpmc *ring;
    unsigned producers, consumers;
    uint64_t each;         /* elements per producer */
    _Atomic uint64_t left; /* elements not yet popped */
    _Atomic uint8_t *seen; /* one byte per element */
    _Atomic bool failed;
};

struct actor {
    pthread_t thread;
    struct load *load;
    unsigned index;
    uint64_t random;
};

static uint64_t scale(uint64_t count) {
    const char *text = getenv("GGMK_STRESS");
    double factor = text == NULL ? 1.0 : strtod(text, NULL);
    return factor > 0 ? (uint64_t)((double)count * factor) + 1 : count;
}

static size_t next_size(struct actor *self) {
    self->random = self->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    uint64_t dice = self->random >> 33;
    return dice % 3 == 0 ? 1 + dice / 3 % BULK_MAX : 1;
}

static void *produce(void *arg) {
    struct actor *self = arg;
    struct load *load = self->load;
    gmk_task_t tasks[BULK_MAX] = {{0}};

    for (uint64_t sent = 0; sent < load->each;) {
        size_t size = next_size(self);
        if (size > load->each - sent)
            size = (size_t)(load->each - sent);
        for (size_t i = 0; i < size; i++) {
            tasks[i].type = self->index + 1;
            tasks[i].meta0 = sent + i;
            tasks[i].when_ns = ~(sent + i);
        }
        size_t done = size == 1 ? ring_push_mpmc(load->ring, tasks)
                                : ring_push_n_mpmc(load->ring, tasks, size);
        sent += done;
        if (done == 0)
            sched_yield();
    }
    return NULL;
}

static void judge(struct load *load, const gmk_task_t *task, uint64_t *expected) {
    unsigned producer = task->type - 1;
    bool good = producer < load->producers && task->meta0 < load->each &&
                task->when_ns == ~task->meta0 && task->meta0 >= expected[producer];

    if (good) {
        expected[producer] = task->meta0 + 1;
        good = atomic_fetch_add(&load->seen[producer * load->each + task->meta0], 1) == 0;
    }
    if (!good)
        atomic_store(&load->failed, true);
}

static void *consume(void *arg) {
    struct actor *self = arg;
    struct load *load = self->load;
    uint64_t expected[SIDE_MAX] = {0};
    gmk_task_t tasks[BULK_MAX];

    while (atomic_load(&load->left) > 0 && !atomic_load(&load->failed)) {
        size_t size = next_size(self);
        size_t got =
            size == 1 ? ring_pop_mpmc(load->ring, tasks) : ring_pop_n_mpmc(load->ring, tasks, size);
        for (size_t i = 0; i < got; i++)
            judge(load, &tasks[i], expected);
        if (got > 0)
            atomic_fetch_sub(&load->left, got);
        else
            sched_yield();
    }
    return NULL;
}

static void run_mpmc(unsigned producers, unsigned consumers, uint64_t capacity, uint64_t total) {
    struct load load = {
        .producers = producers, .consumers = consumers, .each = scale(total) / producers};
    struct actor actors[2 * SIDE_MAX];
    size_t bytes = ring_mpmc_bytes(capacity);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);

    atomic_init(&load.left, load.each * producers);
    load.seen = calloc(load.each * producers, 1);
    assert_non_null(load.seen);
    assert_int_equal(ring_mpmc_init_at(&load.ring, memory, bytes, capacity, UINT32_MAX - load.each),
                     GMK_OK);
    for (unsigned i = 0; i < producers + consumers; i++) {
        actors[i] = (struct actor){.load = &load, .index = i, .random = i + 1};
        assert_int_equal(
            pthread_create(&actors[i].thread, NULL, i < producers ? produce : consume, &actors[i]),
            0);
    }
    for (unsigned i = 0; i < producers + consumers; i++)
        pthread_join(actors[i].thread, NULL);
    if (atomic_load(&load.failed))
        fail_msg("%u producers, %u consumers: an element was doubled, torn or out of order",
                 producers, consumers);
    assert_int_equal(atomic_load(&load.left), 0);
    assert_true(ring_empty_mpmc(load.ring));
    free(load.seen);
    free(memory);
}

static void mpmc_loses_nothing_and_keeps_each_producers_order(void **state) {
    (void)state;
    run_mpmc(1, 1, 64, 200000);
    run_mpmc(2, 2, 2, 100000);
    run_mpmc(2, 2, 256, 200000);
    run_mpmc(4, 1, 16, 100000);
    run_mpmc(1, 4, 16, 100000);
    run_mpmc(4, 4, 64, 200000);
}

/* ---- SPSC -------------------------------------------------------------------------------- */

struct message {
    uint64_t value, pad[4], inverse;
};

struct pair {
    struct ring_spsc *ring;
    uint64_t total;
};

static void *spsc_produce(void *arg) {
    struct pair *pair = arg;
    struct actor dice = {.random = 5};
    struct message messages[BULK_MAX] = {{0}};

    for (uint64_t sent = 0; sent < pair->total;) {
        size_t size = next_size(&dice);
        if (size > pair->total - sent)
            size = (size_t)(pair->total - sent);
        for (size_t i = 0; i < size; i++) {
            messages[i].value = sent + i;
            messages[i].inverse = ~(sent + i);
        }
        size_t done = size == 1 ? ring_push_spsc(pair->ring, messages, sizeof messages[0])
                                : ring_push_n_spsc(pair->ring, messages, size, sizeof messages[0]);
        sent += done;
        if (done == 0)
            sched_yield();
    }
    return NULL;
}

static void run_spsc(uint64_t capacity, uint64_t total) {
    struct pair pair = {.total = scale(total)};
    struct actor dice = {.random = 9};
    struct message messages[BULK_MAX];
    pthread_t producer;
    size_t bytes = ring_spsc_bytes(capacity, sizeof(struct message));
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);

    assert_int_equal(ring_spsc_init_at(&pair.ring, memory, bytes, capacity, sizeof(struct message),
                                       UINT64_MAX - pair.total / 2),
                     GMK_OK);
    assert_int_equal(pthread_create(&producer, NULL, spsc_produce, &pair), 0);
    for (uint64_t seen = 0; seen < pair.total;) {
        size_t size = next_size(&dice);
        size_t got = size == 1 ? ring_pop_spsc(pair.ring, messages, sizeof messages[0])
                               : ring_pop_n_spsc(pair.ring, messages, size, sizeof messages[0]);
        for (size_t i = 0; i < got; i++, seen++)
            if (messages[i].value != seen || messages[i].inverse != ~seen)
                fail_msg("expected message %llu, got %llu", (unsigned long long)seen,
                         (unsigned long long)messages[i].value);
        if (got == 0)
            sched_yield();
    }
    pthread_join(producer, NULL);
    assert_true(ring_empty_spsc(pair.ring));
    free(memory);
}

static void spsc_delivers_every_message_in_order(void **state) {
    (void)state;
    run_spsc(1, 50000);
    run_spsc(8, 200000);
    run_spsc(1024, 500000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mpmc_loses_nothing_and_keeps_each_producers_order),
        cmocka_unit_test(spsc_delivers_every_message_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
