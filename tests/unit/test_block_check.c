/* Test of the DEV checks of blocks: overrun, write after free, racing frees, failure on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "tests/lib/alloc_fixture.h"

static struct alloc_fixture fixture;
static struct block_pool *pool;
static struct block_cache *cache;

static int open_arena(void **state) {
    (void)state;
    alloc_fixture_open(&fixture, (size_t)4 * 1024 * 1024, 2);
    pool = &fixture.arena.blocks;
    cache = block_cache_at(pool, 0);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    alloc_fixture_close(&fixture);
    return 0;
}

static void an_overrun_of_one_byte_is_caught(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    const size_t sizes[] = {1, 7, 48, 55, 56, 57, 120, 1000, 4088, 100000, BLOCK_SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        alloc_reports_clear();
        unsigned char *ptr = block_alloc(cache, sizes[i], 0);
        assert_non_null(ptr);
        unsigned char right = ptr[sizes[i]];
        ptr[sizes[i]] = 0;
        assert_int_equal(block_free(cache, ptr), GMK_EINVAL);
        assert_true(alloc_reports_one("beyond its length", ptr));
        /* Nothing changed: the block is still live, and can be freed once it is repaired. */
        assert_int_equal(block_info(pool, ptr).refs, 1);
        ptr[sizes[i]] = right;
        assert_int_equal(block_free(cache, ptr), GMK_OK);
    }
    assert_int_equal(block_check(pool), 0);
}

static void a_write_after_free_is_caught_when_the_block_is_used_again(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    unsigned char *ptr = block_alloc(cache, 100, 0);
    block_free(cache, ptr);
    ptr[99] = 1;
    assert_ptr_equal(block_alloc(cache, 100, 0), ptr);
    assert_true(alloc_reports_one("written after it was freed", ptr));
}

static void freed_contents_cannot_be_read(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    unsigned char *ptr = block_alloc(cache, 100, 0);
    memset(ptr, 0, 100);
    block_free(cache, ptr);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(ptr[i], 0xdd);
}

static void the_nth_allocation_fails_on_demand_and_the_next_succeeds(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    void *held[10];
    for (uint32_t n = 1; n <= 10; n++) {
        arena_fail_after(&fixture.arena, n);
        for (uint32_t i = 1; i <= 10; i++) {
            held[i - 1] = block_alloc(cache, 64 * i, 0);
            assert_int_equal(held[i - 1] == NULL, i == n);
        }
        for (uint32_t i = 1; i <= 10; i++)
            if (held[i - 1] != NULL)
                assert_int_equal(block_free(cache, held[i - 1]), GMK_OK);
        assert_int_equal(block_check(pool), 0);
    }
    assert_int_equal(arena_fail_after(&fixture.arena, 0), 10);
    struct part_stats s;
    block_stats(pool, &s);
    assert_int_equal(s.fails, 10);
    assert_int_equal(s.used, 0);
}

/* ---- Two frees at the same moment ------------------------------------------------------ */

#define RACES 3000u

static void *contested[RACES];
static _Atomic unsigned arrived;

/* Frees every contested block; returns how often it won. */
static void *free_all(void *arg) {
    struct block_cache *mine = block_cache_at(pool, (unsigned)(uintptr_t)arg);
    uintptr_t won = 0;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < 2)
        sched_yield();
    for (unsigned i = 0; i < RACES; i++)
        won += block_free(mine, contested[i]) == GMK_OK;
    return (void *)won;
}

static void of_two_frees_at_the_same_moment_exactly_one_wins(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    pthread_t thread;
    void *others = NULL;
    for (unsigned i = 0; i < RACES; i++) {
        contested[i] = block_alloc(cache, 64 - BLOCK_CANARY_SIZE, 0);
        assert_non_null(contested[i]);
    }
    atomic_store(&arrived, 0);
    assert_int_equal(pthread_create(&thread, NULL, free_all, (void *)1), 0);
    uintptr_t mine = (uintptr_t)free_all((void *)0);
    pthread_join(thread, &others);
    assert_int_equal(mine + (uintptr_t)others, RACES);
    assert_int_equal(atomic_load(&alloc_reports.count), RACES);
    assert_int_equal(block_check(pool), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_overrun_of_one_byte_is_caught),
        TEST(a_write_after_free_is_caught_when_the_block_is_used_again),
        TEST(freed_contents_cannot_be_read),
        TEST(the_nth_allocation_fails_on_demand_and_the_next_succeeds),
        TEST(of_two_frees_at_the_same_moment_exactly_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
