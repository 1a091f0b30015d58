/* Test of block: classes, exhaustion and recovery, references, wrong frees, exact counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "tests/lib/alloc_fixture.h"

#define MIB    ((size_t)1024 * 1024)
#define CACHES 4u

static struct alloc_fixture fixture;
static struct block_pool *pool;
static struct block_cache *cache;

static int open_arena(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, 4 * MIB, CACHES);
    pool = &fixture.arena.blocks;
    cache = block_cache_at(pool, 0);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    alloc_fixture_close(&fixture);
    return 0;
}

static struct part_stats stats(void) {
    struct part_stats s;
    block_stats(pool, &s);
    assert_int_equal(s.used + s.free, s.total);
    return s;
}

/* The largest request that class `bin` serves. */
static size_t request(unsigned bin) {
    return block_bin_size(bin) - BLOCK_CANARY_SIZE;
}

static void every_size_gets_a_block_of_its_class_on_a_cache_line(void **state) {
    (void)state;
    for (size_t size = 1; size <= BLOCK_SIZE_MAX; size += size < 600 ? 1 : 509) {
        void *ptr = block_alloc(cache, size, (uint8_t)size);
        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % 64, 0);
        assert_true(block_owns(pool, ptr));
        struct block_info info = block_info(pool, ptr);
        assert_int_equal(info.refs, 1);
        assert_int_equal(info.length, size);
        assert_int_equal(info.tenant, (uint8_t)size);
        assert_int_equal(info.size, block_bin_size(info.bin));
        assert_true(info.size >= size + BLOCK_CANARY_SIZE);
        assert_true(info.bin == 0 || info.size / 2 < size + BLOCK_CANARY_SIZE);
        memset(ptr, 1, size);
        assert_int_equal(block_free(cache, ptr), GMK_OK);
    }
    assert_int_equal(block_check(pool), 0);
}

static void forty_eight_bytes_cost_sixty_four(void **state) {
    (void)state;
    void *ptr = block_alloc(cache, 48, 0);
    assert_int_equal(stats().used, 64);
    block_free(cache, ptr);
}

static void sizes_without_a_class_are_refused_and_counted(void **state) {
    (void)state;
    const size_t absurd[] = {0,
                             BLOCK_SIZE_MAX + 1,
                             UINT32_MAX,
                             (size_t)UINT32_MAX + 1,
                             (size_t)UINT32_MAX + 49,
                             SIZE_MAX / 2 + 1,
                             SIZE_MAX - 7,
                             SIZE_MAX - 8,
                             SIZE_MAX};
    size_t count = sizeof absurd / sizeof absurd[0];
    for (size_t i = 0; i < count; i++)
        assert_null(block_alloc(cache, absurd[i], 0));
    assert_int_equal(stats().fails, count);
    assert_int_equal(stats().allocs, 0);
    assert_int_equal(stats().used, 0);
}

static void each_class_uses_the_whole_pool_and_gives_it_back(void **state) {
    (void)state;
    size_t total = stats().total;
    void **held = calloc(total / 64 + 1, sizeof *held);
    assert_non_null(held);
    /* Up and down: each class finds chunks that were cut for another one. */
    for (unsigned round = 0; round < 2 * BLOCK_BINS; round++) {
        unsigned bin = round < BLOCK_BINS ? round : 2 * BLOCK_BINS - 1 - round;
        uint64_t fails = stats().fails;
        size_t count = 0;
        while ((held[count] = block_alloc(cache, request(bin), 0)) != NULL)
            count++;
        assert_int_equal(count, total >> (6 + bin));
        assert_int_equal(stats().free, 0);
        assert_int_equal(stats().fails, fails + 1);
        assert_int_equal(block_check(pool), 0);
        while (count-- != 0)
            assert_int_equal(block_free(cache, held[count]), GMK_OK);
        assert_int_equal(stats().used, 0);
        assert_int_equal(block_check(pool), 0);
    }
    assert_int_equal(stats().high, total);
    assert_int_equal(atomic_load(&alloc_reports.count), 0);
    free(held);
}

static void one_live_block_keeps_only_its_own_chunk_from_other_classes(void **state) {
    (void)state;
    size_t total = stats().total;
    size_t count = 0;
    void **held = calloc(total / 64 + 1, sizeof *held);
    assert_non_null(held);
    while ((held[count] = block_alloc(cache, request(0), 0)) != NULL)
        count++;
    for (size_t i = 1; i < count; i++)
        block_free(cache, held[i]);
    void *large;
    size_t larges = 0;
    while ((large = block_alloc(cache, request(BLOCK_BINS - 1), 0)) != NULL)
        larges++;
    assert_int_equal(larges, total / BLOCK_CHUNK_SIZE - 1);
    assert_int_equal(block_free(cache, held[0]), GMK_OK);
    assert_non_null(block_alloc(cache, request(BLOCK_BINS - 1), 0));
    free(held);
}

static void live_blocks_never_overlap(void **state) {
    (void)state;
    enum { LIVE = 512 };
    static void *held[LIVE];
    static size_t size[LIVE];
    memset(held, 0, sizeof held);
    unsigned seed = 7;
    for (unsigned step = 0; step < 60000; step++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned i = (seed >> 8) % LIVE;
        if (held[i] != NULL) {
            assert_true(alloc_pattern_ok(held[i], size[i], i));
            assert_int_equal(block_free(cache, held[i]), GMK_OK);
        }
        /* Mostly small, now and then up to 32 KiB: a block on two owners spoils a pattern. */
        size[i] = 1 + ((seed >> 17) & ((seed >> 12) % 16 == 0 ? 32767u : 511u));
        held[i] = block_alloc(cache, size[i], 0);
        if (held[i] != NULL)
            alloc_pattern_fill(held[i], size[i], i);
    }
    for (unsigned i = 0; i < LIVE; i++)
        if (held[i] != NULL)
            assert_int_equal(block_free(cache, held[i]), GMK_OK);
    assert_int_equal(stats().used, 0);
    assert_int_equal(block_check(pool), 0);
}

static void a_second_free_is_refused(void **state) {
    (void)state;
    void *ptr = block_alloc(cache, 100, 0);
    assert_int_equal(block_free(cache, ptr), GMK_OK);
    assert_int_equal(block_free(cache, ptr), GMK_EINVAL);
    assert_true(alloc_reports_one("freed twice", ptr));
    /* Also from another cache, and after the block went home to the pool. */
    block_cache_flush(cache);
    alloc_reports_clear();
    assert_int_equal(block_free(block_cache_at(pool, 1), ptr), GMK_EINVAL);
    assert_true(alloc_reports_one("freed twice", ptr));
    assert_int_equal(stats().frees, 1);
    assert_int_equal(block_check(pool), 0);
}

static void pointers_that_are_no_block_are_refused(void **state) {
    (void)state;
    char *ptr = block_alloc(cache, 200, 0);
    char *foreign = malloc(64);
    struct alloc_fixture other;
    alloc_fixture_open(&other, 4 * MIB, 1);
    void *theirs = block_alloc(block_cache_at(&other.arena.blocks, 0), 64, 0);
    struct {
        void *ptr;
        const char *what;
    } bad[] = {
        {NULL, "not of this arena"},
        {foreign, "not of this arena"},
        {&bad, "not of this arena"},
        {theirs, "not of this arena"},
        {pool->base - 64, "not of this arena"},
        {pool->base + stats().total, "not of this arena"},
        {(void *)(UINTPTR_MAX - 63), "not of this arena"},
        {ptr + 1, "not the start of a block"},
        {ptr + 8, "not the start of a block"},
        {ptr + 63, "not the start of a block"},
        {ptr + 64, "into its middle"},
        {ptr + 192, "into its middle"},
        {pool->base + stats().total - 64, "freed twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        alloc_reports_clear();
        assert_int_equal(block_free(cache, bad[i].ptr), GMK_EINVAL);
        assert_true(alloc_reports_one(bad[i].what, bad[i].ptr));
        assert_int_equal(block_retain(pool, bad[i].ptr, 1), GMK_EINVAL);
        assert_int_equal(block_info(pool, bad[i].ptr).size, 0);
    }
    assert_false(block_owns(pool, NULL));
    assert_false(block_owns(pool, foreign));
    assert_false(block_owns(pool, pool->base + stats().total));
    assert_true(block_owns(pool, ptr + 199));
    assert_int_equal(block_check(pool), 0);
    assert_int_equal(block_free(cache, ptr), GMK_OK);
    alloc_fixture_close(&other);
    free(foreign);
}

static void the_last_reference_frees(void **state) {
    (void)state;
    void *ptr = block_alloc(cache, 64 - BLOCK_CANARY_SIZE, 0);
    assert_int_equal(block_retain(pool, ptr, 2), GMK_OK);
    assert_int_equal(block_info(pool, ptr).refs, 3);
    assert_int_equal(block_release(block_cache_at(pool, 1), ptr), GMK_OK);
    assert_int_equal(block_release(cache, ptr), GMK_OK);
    assert_int_equal(stats().frees, 0);
    assert_int_equal(block_info(pool, ptr).refs, 1);
    assert_int_equal(block_release(block_cache_at(pool, 2), ptr), GMK_OK);
    assert_int_equal(stats().frees, 1);
    assert_int_equal(block_info(pool, ptr).size, 0);
    assert_int_equal(block_retain(pool, ptr, 1), GMK_EINVAL);
    assert_int_equal(block_release(cache, ptr), GMK_EINVAL);
}

static void references_cannot_overflow(void **state) {
    (void)state;
    void *ptr = block_alloc(cache, 10, 3);
    assert_int_equal(block_retain(pool, ptr, UINT32_MAX), GMK_EINVAL);
    assert_int_equal(block_retain(pool, ptr, INT32_MAX), GMK_EINVAL);
    assert_int_equal(block_retain(pool, ptr, INT32_MAX - 1u), GMK_OK);
    assert_int_equal(block_retain(pool, ptr, 1), GMK_EINVAL);
    struct block_info info = block_info(pool, ptr);
    assert_int_equal(info.refs, INT32_MAX);
    assert_int_equal(info.tenant, 3);
    assert_int_equal(info.length, 10);
}

static void blocks_freed_elsewhere_come_home(void **state) {
    (void)state;
    struct block_cache *other = block_cache_at(pool, 1);
    size_t total = stats().total;
    for (unsigned round = 0; round < 3; round++) {
        size_t count = 0;
        void *ptr;
        void *list = NULL;
        while ((ptr = block_alloc(cache, request(4), 0)) != NULL) {
            *(void **)ptr = list;
            list = ptr;
            count++;
        }
        assert_int_equal(count, total / 1024);
        while (list != NULL) {
            ptr = list;
            list = *(void **)ptr;
            assert_int_equal(block_free(other, ptr), GMK_OK);
        }
        block_cache_flush(other);
    }
    assert_int_equal(block_check(pool), 0);
}

static void a_cache_gives_back_what_it_holds_when_others_starve(void **state) {
    (void)state;
    struct block_cache *other = block_cache_at(pool, 1);
    block_free(other, block_alloc(other, request(0), 0)); /* a batch stays in its magazine */
    size_t count = 0;
    while (block_alloc(cache, request(0), 0) != NULL)
        count++;
    assert_true(count < stats().total / 64);
    block_cache_trim(other);
    while (block_alloc(cache, request(0), 0) != NULL)
        count++;
    assert_int_equal(count, stats().total / 64);
    assert_int_equal(other->mag[0].count, 0);
}

static void the_high_water_mark_is_at_most_the_magazines_above_the_peak(void **state) {
    (void)state;
    static void *held[1000];
    for (unsigned i = 0; i < 1000; i++)
        held[i] = block_alloc(cache, request(2), 0);
    size_t peak = stats().used;
    assert_int_equal(peak, 1000 * 256);
    assert_true(stats().high >= peak);
    assert_true(stats().high <= peak + MAG_SLOTS * 256);
    size_t high = stats().high;
    for (unsigned i = 0; i < 1000; i++)
        block_free(cache, held[i]);
    assert_int_equal(stats().high, high);
}

/* ---- Several threads ---------------------------------------------------------------- */

#define OPS 20000u

static void *worker(void *arg) {
    struct block_cache *mine = block_cache_at(pool, (unsigned)(uintptr_t)arg);
    void *held[32] = {0};
    unsigned seed = (unsigned)(uintptr_t)arg + 1;
    for (unsigned i = 0; i < OPS; i++) {
        seed = seed * 1664525u + 1013904223u;
        void **slot = &held[seed >> 27];
        if (*slot != NULL)
            block_free(mine, *slot);
        *slot = block_alloc(mine, 1 + (seed >> 8) % 1000, 0);
    }
    for (unsigned i = 0; i < 32; i++)
        if (*(held + i) != NULL)
            block_free(mine, held[i]);
    return NULL;
}

static void counters_are_exact_after_four_threads(void **state) {
    (void)state;
    pthread_t threads[CACHES];
    for (uintptr_t i = 0; i < CACHES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (unsigned i = 0; i < CACHES; i++)
        pthread_join(threads[i], NULL);
    struct part_stats s = stats();
    assert_int_equal(s.allocs, CACHES * OPS);
    assert_int_equal(s.frees, CACHES * OPS);
    assert_int_equal(s.fails, 0);
    assert_int_equal(s.used, 0);
    assert_int_equal(block_check(pool), 0);
    for (unsigned i = 0; i < CACHES; i++)
        block_cache_flush(block_cache_at(pool, i));
    assert_int_equal(atomic_load(&pool->out), 0);
    assert_int_equal(block_check(pool), 0);
}

static void the_check_sees_a_lost_block(void **state) {
    (void)state;
    void *ptr = block_alloc(cache, 10, 0);
    size_t granule = (size_t)((char *)ptr - pool->base) / 64;
    uint64_t header = atomic_load(&pool->headers[granule]);
    assert_int_equal(block_check(pool), 0);
    atomic_store(&pool->headers[granule], 0); /* neither live, nor free, nor in a magazine */
    assert_int_equal(block_check(pool), 1);
    atomic_store(&pool->headers[granule], header);
    assert_int_equal(block_check(pool), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_size_gets_a_block_of_its_class_on_a_cache_line),
        TEST(forty_eight_bytes_cost_sixty_four),
        TEST(sizes_without_a_class_are_refused_and_counted),
        TEST(each_class_uses_the_whole_pool_and_gives_it_back),
        TEST(one_live_block_keeps_only_its_own_chunk_from_other_classes),
        TEST(live_blocks_never_overlap),
        TEST(a_second_free_is_refused),
        TEST(pointers_that_are_no_block_are_refused),
        TEST(the_last_reference_frees),
        TEST(references_cannot_overflow),
        TEST(blocks_freed_elsewhere_come_home),
        TEST(a_cache_gives_back_what_it_holds_when_others_starve),
        TEST(the_high_water_mark_is_at_most_the_magazines_above_the_peak),
        TEST(counters_are_exact_after_four_threads),
        TEST(the_check_sees_a_lost_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
