/* Stress of the allocators: four threads, random sizes, blocks freed by other threads than
 * allocated them; contents, counters and invariants are checked.
 *
 * Goal: no block is ever owned twice (each is filled with a pattern of its own and verified
 * when it is freed), none is lost (live + free + cached is the whole, after every run), and the
 * counters tell the truth. The small arena is exhausted all the time, so chunks change
 * their class under fire; the large one exercises the exchange of batches.
 * Time budget: about 2 s; GGMK_STRESS multiplies it. The seed is fixed per thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "tests/lib/alloc_fixture.h"

#define MIB       ((size_t)1024 * 1024)
#define THREADS   4u
#define MAILBOXES 256u

static struct alloc_fixture fixture;
static unsigned ops_per_thread;

/* What a mailbox holds: the block begins with this, the rest is pattern. */
struct letter {
    uint32_t size;
    uint32_t seed;
};

static void *_Atomic mailboxes[MAILBOXES];
static _Atomic uint64_t spoiled; /* patterns that were not what was written */
static _Atomic uint64_t starved; /* allocations that found nothing */

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Mostly small; now and then any size up to the largest. */
static uint32_t random_size(uint32_t *random, uint32_t small_max) {
    uint32_t dice = next_random(random);
    uint32_t span = dice % 64 == 0 ? (uint32_t)BLOCK_SIZE_MAX - 8u : small_max;
    return (uint32_t)sizeof(struct letter) + next_random(random) % span;
}

/* Large blocks carry their pattern at both ends only: enough to see an overlap, and quick. */
#define PATTERN_MAX 256u

/* The two stretches of pattern: `front` bytes after the letter, `back` bytes at the end. */
static void stretches(const struct letter *letter, size_t *front, size_t *back) {
    size_t length = letter->size - sizeof *letter;
    *front = length / 2 < PATTERN_MAX ? length / 2 : PATTERN_MAX;
    *back = length - *front < PATTERN_MAX ? length - *front : PATTERN_MAX;
}

static void write_letter(struct letter *letter, uint32_t size, uint32_t seed) {
    size_t front;
    size_t back;
    letter->size = size;
    letter->seed = seed;
    stretches(letter, &front, &back);
    alloc_pattern_fill(letter + 1, front, seed);
    alloc_pattern_fill((char *)letter + size - back, back, seed + 1);
}

static bool letter_ok(const struct letter *letter) {
    size_t front;
    size_t back;
    stretches(letter, &front, &back);
    return alloc_pattern_ok(letter + 1, front, letter->seed) &&
           alloc_pattern_ok((const char *)letter + letter->size - back, back, letter->seed + 1);
}

struct job {
    unsigned index;
    uint32_t small_max;
};

static void *exchange_letters(void *arg) {
    const struct job *job = arg;
    struct block_cache *cache = arena_block_cache(&fixture.arena, job->index);
    uint32_t random = 0x9e3779b9u * (job->index + 1);
    for (unsigned i = 0; i < ops_per_thread; i++) {
        uint32_t size = random_size(&random, job->small_max);
        struct letter *letter = block_alloc(cache, size, (uint8_t)job->index);
        if (letter == NULL)
            atomic_fetch_add(&starved, 1);
        else
            write_letter(letter, size, next_random(&random));
        /* Leaves its letter and takes whatever lies there: mostly one of another thread. */
        struct letter *found =
            atomic_exchange(&mailboxes[next_random(&random) % MAILBOXES], letter);
        if (found == NULL)
            continue;
        if (!letter_ok(found))
            atomic_fetch_add(&spoiled, 1);
        if (block_free(cache, found) != GMK_OK)
            atomic_fetch_add(&spoiled, 1);
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *), uint32_t small_max) {
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.index = i, .small_max = small_max};
        assert_int_equal(pthread_create(&threads[i], NULL, fn, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static size_t empty_mailboxes(void) {
    size_t live = 0;
    for (unsigned i = 0; i < MAILBOXES; i++) {
        struct letter *letter = atomic_exchange(&mailboxes[i], NULL);
        if (letter == NULL)
            continue;
        live++;
        assert_true(letter_ok(letter));
        assert_int_equal(block_free(arena_block_cache(&fixture.arena, 0), letter), GMK_OK);
    }
    return live;
}

static void exchange(size_t arena_size, uint32_t small_max) {
    alloc_fixture_open(&fixture, arena_size, THREADS);
    atomic_store(&spoiled, 0);
    atomic_store(&starved, 0);
    run_threads(exchange_letters, small_max);
    assert_int_equal(atomic_load(&spoiled), 0);
    assert_int_equal(atomic_load(&alloc_reports.count), 0);
    assert_int_equal(arena_check(&fixture.arena), 0);
    struct part_stats s;
    arena_stats(&fixture.arena, ARENA_BLOCKS, &s);
    assert_int_equal(s.fails, atomic_load(&starved));
    assert_int_equal(s.allocs + s.fails, (uint64_t)THREADS * ops_per_thread);
    size_t live = empty_mailboxes();
    assert_int_equal(s.allocs, s.frees + live);
    for (unsigned i = 0; i < THREADS; i++)
        block_cache_flush(arena_block_cache(&fixture.arena, i));
    arena_stats(&fixture.arena, ARENA_BLOCKS, &s);
    assert_int_equal(s.used, 0);
    assert_int_equal(atomic_load(&fixture.arena.blocks.out), 0);
    assert_int_equal(arena_check(&fixture.arena), 0);
    printf("           %llu allocations, %llu refused, %u chunks cut again\n",
           (unsigned long long)s.allocs, (unsigned long long)s.fails,
           (unsigned)atomic_load(&fixture.arena.blocks.recuts));
}

static void blocks_survive_the_exchange_between_threads(void **state) {
    (void)state;
    exchange(32 * MIB, 1024);
    alloc_fixture_close(&fixture);
}

static void blocks_survive_constant_exhaustion(void **state) {
    (void)state;
    exchange(2 * MIB, 8192);
    alloc_fixture_close(&fixture);
}

/* Takes many blocks of one class, frees them, goes on with another class: so chunks become
 * wholly free and are cut again while other threads look at them. */
#define HELD_MAX 128u

static void *change_classes(void *arg) {
    const struct job *job = arg;
    struct block_cache *cache = arena_block_cache(&fixture.arena, job->index);
    uint32_t random = 0xc2b2ae35u * (job->index + 1);
    for (unsigned i = 0; i < ops_per_thread / HELD_MAX; i++) {
        struct letter *held[HELD_MAX];
        uint32_t size = (uint32_t)(64 - BLOCK_CANARY_SIZE) << next_random(&random) % BLOCK_BINS;
        unsigned count = 0;
        while (count < HELD_MAX && (held[count] = block_alloc(cache, size, 0)) != NULL)
            write_letter(held[count++], size, next_random(&random));
        atomic_fetch_add(&starved, count < HELD_MAX);
        while (count-- != 0)
            if (!letter_ok(held[count]) || block_free(cache, held[count]) != GMK_OK)
                atomic_fetch_add(&spoiled, 1);
        block_cache_trim(cache);
    }
    return NULL;
}

static void blocks_survive_the_recutting_of_chunks(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, 3 * MIB / 2, THREADS);
    struct block_pool *pool = &fixture.arena.blocks;
    atomic_store(&spoiled, 0);
    atomic_store(&starved, 0);
    run_threads(change_classes, 0);
    assert_int_equal(atomic_load(&spoiled), 0);
    assert_int_equal(atomic_load(&alloc_reports.count), 0);
    assert_int_equal(block_check(pool), 0);
    for (unsigned i = 0; i < THREADS; i++)
        block_cache_flush(block_cache_at(pool, i));
    assert_int_equal(atomic_load(&pool->out), 0);
    assert_int_equal(block_check(pool), 0);
    struct part_stats s;
    block_stats(pool, &s);
    printf("           %llu allocations, %llu refused, %u chunks cut again\n",
           (unsigned long long)s.allocs, (unsigned long long)s.fails,
           (unsigned)atomic_load(&pool->recuts));
    assert_int_equal(s.fails, atomic_load(&starved));
    assert_int_equal(s.used, 0);
    assert_true(atomic_load(&pool->recuts) > 0);
    /* After all that the pool is whole: one class can have all of it. */
    size_t count = 0;
    while (block_alloc(block_cache_at(pool, 0), BLOCK_SIZE_MAX, 0) != NULL)
        count++;
    assert_int_equal(count * BLOCK_CHUNK_SIZE, s.total);
    alloc_fixture_close(&fixture);
}

/* ---- Shared references ------------------------------------------------------------------ */

#define SHARED 64u

static struct letter *_Atomic shared[SHARED];

/* Puts a letter with one reference per reader into each slot; every thread, this one too,
 * reads each of them and releases. */
static void *read_and_release(void *arg) {
    const struct job *job = arg;
    struct block_cache *cache = arena_block_cache(&fixture.arena, job->index);
    for (unsigned i = 0; i < SHARED; i++) {
        struct letter *letter =
            atomic_load_explicit(&shared[(i * 7 + job->index) % SHARED], memory_order_acquire);
        if (!letter_ok(letter) || block_release(cache, letter) != GMK_OK)
            atomic_fetch_add(&spoiled, 1);
    }
    return NULL;
}

static void a_shared_block_lives_until_its_last_reader(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, 4 * MIB, THREADS);
    struct block_cache *cache = arena_block_cache(&fixture.arena, 0);
    atomic_store(&spoiled, 0);
    unsigned rounds = ops_per_thread / 1000 + 1;
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < SHARED; i++) {
            uint32_t size = (uint32_t)sizeof(struct letter) + i * 13;
            struct letter *letter = block_alloc(cache, size, 0);
            assert_non_null(letter);
            write_letter(letter, size, round + i);
            assert_int_equal(block_retain(&fixture.arena.blocks, letter, THREADS - 1), GMK_OK);
            atomic_store_explicit(&shared[i], letter, memory_order_release);
        }
        run_threads(read_and_release, 0);
    }
    struct part_stats s;
    arena_stats(&fixture.arena, ARENA_BLOCKS, &s);
    assert_int_equal(atomic_load(&spoiled), 0);
    assert_int_equal(s.allocs, (uint64_t)rounds * SHARED);
    assert_int_equal(s.frees, s.allocs);
    assert_int_equal(arena_check(&fixture.arena), 0);
    alloc_fixture_close(&fixture);
}

/* ---- Slab --------------------------------------------------------------------------------- */

static void *exchange_objects(void *arg) {
    const struct job *job = arg;
    struct slab_cache *cache = arena_task_cache(&fixture.arena, job->index);
    struct slab *slab = &fixture.arena.tasks;
    uint32_t random = 0x85ebca6bu * (job->index + 1);
    for (unsigned i = 0; i < ops_per_thread; i++) {
        bool direct = next_random(&random) % 16 == 0;
        struct letter *object = direct ? slab_alloc_shared(slab) : slab_alloc(cache);
        if (object == NULL)
            atomic_fetch_add(&starved, 1);
        else
            write_letter(object, ARENA_TASK_SIZE, next_random(&random));
        struct letter *found =
            atomic_exchange(&mailboxes[next_random(&random) % MAILBOXES], object);
        if (found == NULL)
            continue;
        if (!letter_ok(found))
            atomic_fetch_add(&spoiled, 1);
        if ((direct ? slab_free_shared(slab, found) : slab_free(cache, found)) != GMK_OK)
            atomic_fetch_add(&spoiled, 1);
    }
    return NULL;
}

static void slab_objects_survive_the_exchange_between_threads(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, 2 * MIB, THREADS);
    atomic_store(&spoiled, 0);
    atomic_store(&starved, 0);
    run_threads(exchange_objects, 0);
    struct part_stats s;
    arena_stats(&fixture.arena, ARENA_TASKS, &s);
    assert_int_equal(atomic_load(&spoiled), 0);
    assert_int_equal(atomic_load(&alloc_reports.count), 0);
    assert_int_equal(s.fails, atomic_load(&starved));
    assert_int_equal(s.allocs + s.fails, (uint64_t)THREADS * ops_per_thread);
    uint64_t live = 0;
    for (unsigned i = 0; i < MAILBOXES; i++) {
        struct letter *object = atomic_exchange(&mailboxes[i], NULL);
        if (object == NULL)
            continue;
        live++;
        assert_int_equal(slab_free_shared(&fixture.arena.tasks, object), GMK_OK);
    }
    assert_int_equal(s.allocs, s.frees + live);
    assert_int_equal(arena_check(&fixture.arena), 0);
    alloc_fixture_close(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_survive_the_exchange_between_threads),
        cmocka_unit_test(blocks_survive_constant_exhaustion),
        cmocka_unit_test(blocks_survive_the_recutting_of_chunks),
        cmocka_unit_test(a_shared_block_lives_until_its_last_reader),
        cmocka_unit_test(slab_objects_survive_the_exchange_between_threads),
    };
    const char *scale = getenv("GGMK_STRESS");
    double factor = scale == NULL ? 1.0 : strtod(scale, NULL);
    /* DEV fills and compares every byte of every block. */
    ops_per_thread = (unsigned)((ALLOC_DEV ? 15000 : 60000) * (factor > 0 ? factor : 1.0));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
