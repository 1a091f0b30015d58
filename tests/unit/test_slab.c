/* Test of slab: every object once, exhaustion and recovery, wrong frees, exact counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "tests/lib/alloc_fixture.h"

#define MIB    ((size_t)1024 * 1024)
#define CACHES 4u

static struct alloc_fixture fixture;
static struct slab *tasks;
static struct slab_cache *cache;

static int open_arena(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, 4 * MIB, CACHES);
    tasks = &fixture.arena.tasks;
    cache = slab_cache_at(tasks, 0);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    alloc_fixture_close(&fixture);
    return 0;
}

static struct part_stats stats(const struct slab *slab) {
    struct part_stats s;
    slab_stats(slab, &s);
    assert_int_equal(s.used + s.free, s.total);
    return s;
}

static void every_object_is_given_once_and_comes_back(void **state) {
    (void)state;
    size_t n = tasks->n_objects;
    unsigned char *seen = calloc(n, 1);
    void **held = calloc(n + 1, sizeof *held);
    assert_non_null(seen);
    assert_non_null(held);
    for (unsigned round = 0; round < 3; round++) {
        size_t count = 0;
        while ((held[count] = slab_alloc(cache)) != NULL) {
            size_t index = (size_t)((char *)held[count] - tasks->base) / 64;
            assert_int_equal((uintptr_t)held[count] % 64, 0);
            assert_true(slab_owns(tasks, held[count]));
            assert_int_equal(seen[index], round);
            seen[index]++;
            count++;
        }
        assert_int_equal(count, n);
        assert_int_equal(stats(tasks).free, 0);
        assert_int_equal(stats(tasks).fails, round + 1);
        assert_int_equal(slab_check(tasks), 0);
        while (count-- != 0)
            assert_int_equal(slab_free(cache, held[count]), GMK_OK);
        assert_int_equal(stats(tasks).used, 0);
        assert_int_equal(slab_check(tasks), 0);
    }
    assert_int_equal(stats(tasks).high, stats(tasks).total);
    free(held);
    free(seen);
}

static void wrong_frees_are_refused_and_change_nothing(void **state) {
    (void)state;
    char *object = slab_alloc(cache);
    char *freed = slab_alloc(cache);
    int local = 0;
    assert_int_equal(slab_free(cache, freed), GMK_OK);
    struct {
        void *ptr;
        const char *what;
    } bad[] = {
        {NULL, "not of this slab"},
        {&local, "not of this slab"},
        {tasks->base - 64, "not of this slab"},
        {tasks->base + stats(tasks).total, "not of this slab"},
        {object + 1, "not the start"},
        {object + 32, "not the start"},
        {freed, "freed twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        alloc_reports_clear();
        assert_int_equal(slab_free(cache, bad[i].ptr), GMK_EINVAL);
        assert_true(alloc_reports_one(bad[i].what, bad[i].ptr));
        alloc_reports_clear();
        assert_int_equal(slab_free_shared(tasks, bad[i].ptr), GMK_EINVAL);
        assert_true(alloc_reports_one(bad[i].what, bad[i].ptr));
    }
    assert_int_equal(stats(tasks).used, 64);
    assert_int_equal(slab_check(tasks), 0);
    assert_int_equal(slab_free(slab_cache_at(tasks, 1), object), GMK_OK);
}

static void shared_calls_and_caches_use_the_same_objects(void **state) {
    (void)state;
    size_t count = 0;
    void *list = NULL;
    void *object;
    while ((object = count % 2 == 0 ? slab_alloc(cache) : slab_alloc_shared(tasks)) != NULL) {
        *(void **)object = list;
        list = object;
        count++;
    }
    /* The turn that failed was a shared one or the magazine's: the rest is in the magazine. */
    while ((object = slab_alloc(cache)) != NULL) {
        *(void **)object = list;
        list = object;
        count++;
    }
    assert_int_equal(count, tasks->n_objects);
    for (size_t i = 0; list != NULL; i++) {
        object = list;
        list = *(void **)object;
        assert_int_equal(i % 3 == 0 ? slab_free_shared(tasks, object) : slab_free(cache, object),
                         GMK_OK);
    }
    slab_cache_flush(cache);
    assert_int_equal(stats(tasks).used, 0);
    assert_int_equal(atomic_load(&tasks->out), 0);
    assert_int_equal(slab_check(tasks), 0);
}

static void the_trace_slab_hands_out_its_pieces_without_caches(void **state) {
    (void)state;
    struct slab *trace = &fixture.arena.trace;
    size_t pieces = 0;
    char *piece = NULL;
    char *last = NULL;
    while ((piece = slab_alloc_shared(trace)) != NULL) {
        memset(piece, 0, ARENA_TRACE_PIECE);
        last = piece;
        pieces++;
    }
    assert_int_equal(pieces * ARENA_TRACE_PIECE, stats(trace).total);
    assert_int_equal(stats(trace).fails, 1);
    assert_int_equal(slab_free_shared(trace, last), GMK_OK);
    assert_ptr_equal(slab_alloc_shared(trace), last);
}

static void sizes_that_cannot_be_are_refused(void **state) {
    (void)state;
    struct slab slab;
    struct alloc_guard guard;
    memset(&guard, 0, sizeof guard);
    const size_t bad[] = {0, 1, 32, 63, 65, 96, SIZE_MAX, (size_t)1 << 63};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(slab_size_for(bad[i], 1, 1), 0);
        assert_int_equal(slab_init(&slab, fixture.memory, MIB, bad[i], 1, &guard), GMK_EINVAL);
    }
    assert_int_equal(slab_size_for(64, SIZE_MAX, 1), 0);
    assert_int_equal(slab_init(&slab, NULL, MIB, 64, 1, &guard), GMK_EINVAL);
    assert_int_equal(slab_init(&slab, (char *)fixture.memory + 8, MIB, 64, 1, &guard), GMK_EINVAL);
    size_t least = slab_size_for(4096, 1, 1);
    assert_int_equal(slab_init(&slab, fixture.memory, least - 1, 4096, 1, &guard), GMK_ENOMEM);
    memset(fixture.memory, 0, least);
    assert_int_equal(slab_init(&slab, fixture.memory, least, 4096, 1, &guard), GMK_OK);
    assert_int_equal(slab.n_objects, 1);
    void *only = slab_alloc(slab_cache_at(&slab, 0));
    assert_non_null(only);
    assert_true((char *)only + 4096 <= (char *)fixture.memory + least);
    assert_null(slab_alloc(slab_cache_at(&slab, 0)));
    assert_int_equal(slab_free(slab_cache_at(&slab, 0), only), GMK_OK);
    assert_ptr_equal(slab_alloc_shared(&slab), only);
}

static void in_dev_a_write_after_free_is_caught(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    char *object = slab_alloc(cache);
    slab_free(cache, object);
    object[63] = 0;
    assert_ptr_equal(slab_alloc(cache), object);
    assert_true(alloc_reports_one("written after it was freed", object));
}

static void in_dev_the_nth_allocation_fails_on_demand(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    for (uint32_t n = 1; n <= 6; n++) {
        arena_fail_after(&fixture.arena, n);
        for (uint32_t i = 1; i <= 6; i++) {
            void *object = i % 2 == 0 ? slab_alloc(cache) : slab_alloc_shared(tasks);
            assert_int_equal(object == NULL, i == n);
            if (object != NULL)
                assert_int_equal(slab_free_shared(tasks, object), GMK_OK);
        }
    }
    assert_int_equal(stats(tasks).fails, 6);
    assert_int_equal(slab_check(tasks), 0);
}

/* ---- Several threads ---------------------------------------------------------------- */

#define OPS 20000u

static void *worker(void *arg) {
    struct slab_cache *mine = slab_cache_at(tasks, (unsigned)(uintptr_t)arg);
    void *held[64] = {0};
    unsigned seed = (unsigned)(uintptr_t)arg + 1;
    for (unsigned i = 0; i < OPS; i++) {
        seed = seed * 1664525u + 1013904223u;
        void **slot = &held[seed >> 26];
        bool shared = (seed >> 20) % 8 == 0;
        if (*slot != NULL)
            (void)(shared ? slab_free_shared(tasks, *slot) : slab_free(mine, *slot));
        *slot = shared ? slab_alloc_shared(tasks) : slab_alloc(mine);
    }
    for (unsigned i = 0; i < 64; i++)
        if (held[i] != NULL)
            slab_free(mine, held[i]);
    return NULL;
}

static void counters_are_exact_after_four_threads(void **state) {
    (void)state;
    pthread_t threads[CACHES];
    for (uintptr_t i = 0; i < CACHES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (unsigned i = 0; i < CACHES; i++)
        pthread_join(threads[i], NULL);
    struct part_stats s = stats(tasks);
    assert_int_equal(s.allocs, CACHES * OPS);
    assert_int_equal(s.frees, CACHES * OPS);
    assert_int_equal(s.fails, 0);
    assert_int_equal(atomic_load(&alloc_reports.count), 0);
    assert_int_equal(slab_check(tasks), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_object_is_given_once_and_comes_back),
        TEST(wrong_frees_are_refused_and_change_nothing),
        TEST(shared_calls_and_caches_use_the_same_objects),
        TEST(the_trace_slab_hands_out_its_pieces_without_caches),
        TEST(sizes_that_cannot_be_are_refused),
        TEST(in_dev_a_write_after_free_is_caught),
        TEST(in_dev_the_nth_allocation_fails_on_demand),
        TEST(counters_are_exact_after_four_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
