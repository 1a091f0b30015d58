/* Stress: local queues as workers use them. Promise: every task that enters the system is
 * run exactly once, while everybody steals from everybody.
 *
 * Each worker owns a queue. It refills it from a shared ring, pushes follow-up tasks to the
 * ring, the queue or the newest slot, pops, and steals when it has nothing. A task with
 * meta1 > 0 spawns two with meta1 - 1, numbered like a heap, so that each has a number of its
 * own; at the end every number must have been run once. GGMK_STRESS scales the amount. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "engine/localq.h"

enum { WORKERS = 4, DEPTH = 12, TREE = (2 << DEPTH) - 1 };

struct world {
    struct ring_mpmc *ring;
    struct localq *queues[WORKERS];
    uint64_t trees;
    bool poor;               /* only worker 0 sees the ring: the others live on what they steal */
    _Atomic uint8_t *runs;   /* per task */
    _Atomic uint64_t to_run; /* tasks that exist or will */
    _Atomic bool failed;
    _Atomic uint64_t stolen;
};

struct worker {
    pthread_t thread;
    struct world *world;
    unsigned index;
    uint64_t random;
};

static uint64_t dice(struct worker *self, uint64_t bound) {
    self->random = self->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (self->random >> 33) % bound;
}

/* One of the three ways in; the queue and then the ring, when the chosen one is full. */
static bool enqueue(struct worker *self, const gmk_task_t *task) {
    struct localq *mine = self->world->queues[self->index];
    uint64_t way = dice(self, 4);

    if (way == 0 && localq_push_newest(mine, task))
        return true;
    if (way == 1 && !self->world->poor && ring_push_mpmc(self->world->ring, task))
        return true;
    return localq_push(mine, task) || ring_push_mpmc(self->world->ring, task);
}

/* Runs a task and what finds no place in any queue, by a small stack of its own. */
static void run(struct worker *self, gmk_task_t task) {
    struct world *world = self->world;
    gmk_task_t stack[2 * DEPTH + 2] = {task};
    size_t depth = 1;

    while (depth > 0) {
        gmk_task_t now = stack[--depth];
        uint64_t number = now.seq * TREE + now.meta0;
        if (now.when_ns != ~now.meta0 || number >= world->trees * TREE ||
            atomic_fetch_add(&world->runs[number], 1) != 0) {
            atomic_store(&world->failed, true);
            return;
        }
        atomic_fetch_sub(&world->to_run, 1);
        for (uint64_t child = 1; now.meta1 > 0 && child <= 2; child++) {
            gmk_task_t next = {
                .type = 1, .seq = now.seq, .meta0 = 2 * now.meta0 + child, .meta1 = now.meta1 - 1};
            next.when_ns = ~next.meta0;
            if (!enqueue(self, &next))
                stack[depth++] = next;
        }
    }
}

static bool steal(struct worker *self, gmk_task_t *task) {
    struct world *world = self->world;
    unsigned other = (self->index + 1 + (unsigned)dice(self, WORKERS - 1)) % WORKERS;
    size_t count = localq_steal(world->queues[other], world->queues[self->index], task);

    if (count > 0)
        atomic_fetch_add(&world->stolen, count);
    return count > 0 || localq_steal_newest(world->queues[other], task);
}

static void *worker_main(void *arg) {
    struct worker *self = arg;
    struct world *world = self->world;
    struct localq *mine = world->queues[self->index];
    bool sees_ring = !world->poor || self->index == 0;
    gmk_task_t task;

    while (atomic_load(&world->to_run) > 0 && !atomic_load(&world->failed)) {
        if (localq_pop_newest(mine, &task) || localq_pop(mine, &task) ||
            (sees_ring && localq_refill(mine, world->ring, 1 + dice(self, 40)) > 0 &&
             localq_pop(mine, &task)) ||
            steal(self, &task))
            run(self, task);
        else
            sched_yield();
        if (dice(self, 32) == 0)
            sched_yield();
    }
    return NULL;
}

static void *make_ring(struct world *world) {
    size_t bytes = ring_mpmc_bytes(256);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);
    assert_int_equal(ring_mpmc_init_at(&world->ring, memory, bytes, 256, UINT32_MAX - 99u), GMK_OK);
    return memory;
}

static void run_world(uint32_t capacity, uint64_t trees, bool poor) {
    struct world world = {.trees = trees, .poor = poor};
    struct worker workers[WORKERS];
    void *ring = make_ring(&world);

    world.runs = calloc(trees * TREE, 1);
    assert_non_null(world.runs);
    atomic_init(&world.to_run, trees * TREE);
    for (uint64_t i = 0; i < trees; i++) {
        gmk_task_t root = {.type = 1, .seq = i, .meta1 = DEPTH, .when_ns = UINT64_MAX};
        assert_true(ring_push_mpmc(world.ring, &root));
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        size_t bytes = localq_bytes(capacity);
        assert_int_equal(localq_init_at(&world.queues[i], aligned_alloc(GMK_FALSE_SHARING, bytes),
                                        bytes, capacity, LOCALQ_POS_MASK - 999),
                         GMK_OK);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.world = &world, .index = i, .random = i + trees};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    if (atomic_load(&world.failed))
        fail_msg("capacity %u: a task was run twice, or torn", capacity);
    assert_int_equal(atomic_load(&world.to_run), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(localq_count(world.queues[i]), 0);
        free(world.queues[i]);
    }
    print_message("capacity %u: %llu tasks, %llu stolen\n", capacity,
                  (unsigned long long)(trees * TREE), (unsigned long long)world.stolen);
    free(world.runs);
    free(ring);
}

static uint64_t scale(uint64_t count, uint64_t most) {
    const char *text = getenv("GGMK_STRESS");
    double factor = text == NULL ? 1.0 : strtod(text, NULL);
    double scaled = factor > 0 ? (double)count * factor : (double)count;
    return scaled < 1 ? 1 : scaled > (double)most ? most : (uint64_t)scaled;
}

static void every_task_runs_exactly_once(void **state) {
    uint64_t rounds = scale(6, 10000);
    (void)state;
    for (uint64_t round = 0; round < rounds; round++) {
        run_world(2, 4, round % 2);
        run_world(16, 8, round % 2);
        run_world(LOCALQ_SLOTS, 16, round % 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
