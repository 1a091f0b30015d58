/* Test of arena: the shares, the smallest size, counters of every part, several arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/alloc_fixture.h"

#define MIB ((size_t)1024 * 1024)

static void the_shares_are_10_2_68_and_20_percent(void **state) {
    (void)state;
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, ARENA_SIZE_DEFAULT, 4);
    const unsigned percent[ARENA_PARTS] = {10, 2, 68, 20};
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        struct part_stats s;
        arena_stats(&fixture.arena, part, &s);
        size_t share = ARENA_SIZE_DEFAULT / 100 * percent[part];
        /* Pages are whole, and the array of bumps lies in the part of the bumps. */
        assert_in_range(s.size, share - 3 * ARENA_PAGE, share + ARENA_PAGE);
        assert_in_range(s.total, share - share / 8, share + ARENA_PAGE);
        assert_int_equal(s.used, 0);
        assert_int_equal(s.free, s.total);
        assert_int_equal(s.high + s.allocs + s.frees + s.fails, 0);
    }
    assert_int_equal(arena_check(&fixture.arena), 0);
    alloc_fixture_close(&fixture);
}

static void the_smallest_size_works_and_one_page_less_is_refused(void **state) {
    (void)state;
    const struct arena_cfg cfgs[] = {
        {.n_bumps = 1, .n_caches = 1},
        {.n_bumps = 4, .n_caches = 8},
        {.n_bumps = ARENA_USERS_MAX, .n_caches = ARENA_USERS_MAX},
        {.n_bumps = 1, .n_caches = 1, .trace_piece = 64},
        {.n_bumps = 2, .n_caches = 2, .trace_piece = MIB},
        {.n_bumps = 2, .n_caches = 2, .carve_bytes = 1},
        {.n_bumps = 2, .n_caches = 2, .carve_bytes = 300001},
    };
    for (size_t i = 0; i < sizeof cfgs / sizeof cfgs[0]; i++) {
        size_t least = arena_size_min(&cfgs[i]);
        assert_true(least != 0);
        char *memory = aligned_alloc(ARENA_PAGE, least);
        assert_non_null(memory);
        struct arena arena;
        assert_int_equal(arena_init(&arena, memory, least - ARENA_PAGE, &cfgs[i]), GMK_ENOMEM);
        assert_int_equal(arena_init(&arena, memory, least - 1, &cfgs[i]), GMK_ENOMEM);
        assert_int_equal(arena_init(&arena, memory, 0, &cfgs[i]), GMK_ENOMEM);
        assert_int_equal(arena_init(&arena, memory, least, &cfgs[i]), GMK_OK);
        assert_non_null(block_alloc(arena_block_cache(&arena, cfgs[i].n_caches - 1), 48, 0));
        assert_non_null(block_alloc(arena_block_cache(&arena, 0), BLOCK_SIZE_MAX, 0));
        assert_non_null(slab_alloc(arena_task_cache(&arena, 0)));
        assert_non_null(slab_alloc_shared(&arena.trace));
        if (cfgs[i].carve_bytes != 0)
            assert_non_null(carve_take(&arena.carve, cfgs[i].carve_bytes));
        assert_non_null(bump_alloc(arena_bump(&arena, cfgs[i].n_bumps - 1), 4096, 4096));
        assert_int_equal(arena_check(&arena), 0);
        free(memory);
    }
}

static void a_megabyte_is_enough_for_four_workers(void **state) {
    (void)state;
    const struct arena_cfg cfg = {.n_bumps = 4, .n_caches = 6};
    assert_in_range(arena_size_min(&cfg), 1, MIB);
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    const struct arena_cfg bad[] = {
        {.n_bumps = 0, .n_caches = 1},
        {.n_bumps = 1, .n_caches = 0},
        {.n_bumps = ARENA_USERS_MAX + 1, .n_caches = 1},
        {.n_bumps = 1, .n_caches = ARENA_USERS_MAX + 1},
        {.n_bumps = UINT32_MAX, .n_caches = UINT32_MAX},
        {.n_bumps = 1, .n_caches = 1, .trace_piece = 63},
        {.n_bumps = 1, .n_caches = 1, .trace_piece = 100},
        {.n_bumps = 1, .n_caches = 1, .trace_piece = SIZE_MAX},
        {.n_bumps = 1, .n_caches = 1, .trace_piece = (size_t)1 << 63},
        {.n_bumps = 1, .n_caches = 1, .carve_bytes = SIZE_MAX},
        {.n_bumps = 1, .n_caches = 1, .carve_bytes = SIZE_MAX / 100},
    };
    struct arena arena;
    char *memory = aligned_alloc(ARENA_PAGE, 4 * MIB);
    assert_non_null(memory);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(arena_size_min(&bad[i]), 0);
        assert_int_equal(arena_init(&arena, memory, 4 * MIB, &bad[i]), GMK_EINVAL);
    }
    const struct arena_cfg good = {.n_bumps = 1, .n_caches = 1};
    assert_int_equal(arena_init(&arena, NULL, 4 * MIB, &good), GMK_EINVAL);
    assert_int_equal(arena_init(&arena, memory + 64, 4 * MIB - ARENA_PAGE, &good), GMK_EINVAL);
    free(memory);
}

static void each_part_counts_for_itself(void **state) {
    (void)state;
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, 4 * MIB, 2);
    struct arena *arena = &fixture.arena;
    void *block = block_alloc(arena_block_cache(arena, 1), 1000, 0);
    void *task = slab_alloc(arena_task_cache(arena, 1));
    void *piece = slab_alloc_shared(&arena->trace);
    assert_non_null(bump_alloc(arena_bump(arena, 0), 100, 16));
    assert_non_null(bump_alloc(arena_bump(arena, 1), 10, 16));
    const size_t used[ARENA_PARTS] = {64, ARENA_TRACE_PIECE, 1024, 128};
    const uint64_t allocs[ARENA_PARTS] = {1, 1, 1, 2};
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        struct part_stats s;
        arena_stats(arena, part, &s);
        assert_int_equal(s.used, used[part]);
        assert_int_equal(s.allocs, allocs[part]);
        assert_true(s.high >= s.used);
    }
    assert_int_equal(block_free(arena_block_cache(arena, 0), block), GMK_OK);
    assert_int_equal(slab_free(arena_task_cache(arena, 0), task), GMK_OK);
    assert_int_equal(slab_free_shared(&arena->trace, piece), GMK_OK);
    bump_reset(arena_bump(arena, 0));
    bump_reset(arena_bump(arena, 1));
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        struct part_stats s;
        arena_stats(arena, part, &s);
        assert_int_equal(s.used, 0);
        assert_int_equal(s.frees, allocs[part]);
    }
    assert_int_equal(arena_check(arena), 0);
    alloc_fixture_close(&fixture);
}

static void exhaustion_of_one_part_starves_no_other(void **state) {
    (void)state;
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, 2 * MIB, 1);
    struct arena *arena = &fixture.arena;
    while (block_alloc(arena_block_cache(arena, 0), 48, 0) != NULL) {}
    while (slab_alloc(arena_task_cache(arena, 0)) != NULL) {}
    while (bump_alloc(arena_bump(arena, 0), 1000, 16) != NULL) {}
    assert_non_null(slab_alloc_shared(&arena->trace));
    assert_int_equal(arena_check(arena), 0);
    bump_reset(arena_bump(arena, 0));
    assert_non_null(bump_alloc(arena_bump(arena, 0), 1000, 16));
    alloc_fixture_close(&fixture);
}

static void parts_are_disjoint_and_inside_the_memory(void **state) {
    (void)state;
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, 3 * MIB + 5 * ARENA_PAGE, 3);
    struct arena *arena = &fixture.arena;
    const char *at = fixture.memory;
    const char *starts[] = {arena->tasks.base, arena->trace.base, arena->blocks.base,
                            bump_base(arena_bump(arena, 0))};
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        struct part_stats s;
        arena_stats(arena, part, &s);
        assert_true(starts[part] >= at);
        assert_int_equal((uintptr_t)starts[part] % ARENA_PAGE, 0);
        at = starts[part] + s.total;
    }
    assert_true(at <= (const char *)fixture.memory + fixture.size);
    alloc_fixture_close(&fixture);
}

static void zeroed_memory_is_not_touched_beyond_the_bookkeeping(void **state) {
    (void)state;
    const struct arena_cfg cfg = {.n_bumps = 1, .n_caches = 1, .zeroed = true};
    char *memory = aligned_alloc(ARENA_PAGE, 4 * MIB);
    assert_non_null(memory);
    memset(memory, 0, 4 * MIB);
    struct arena arena;
    assert_int_equal(arena_init(&arena, memory, 4 * MIB, &cfg), GMK_OK);
    for (size_t i = 0; i < arena.blocks.n_granules; i++)
        assert_int_equal(arena.blocks.base[i * 64], 0);
    assert_int_equal(arena_check(&arena), 0);
    free(memory);
}

static void every_part_has_its_name(void **state) {
    (void)state;
    assert_string_equal(arena_part_name(ARENA_TASKS), "tasks");
    assert_string_equal(arena_part_name(ARENA_TRACE), "trace");
    assert_string_equal(arena_part_name(ARENA_BLOCKS), "blocks");
    assert_string_equal(arena_part_name(ARENA_BUMP), "bump");
    assert_string_equal(arena_part_name(ARENA_PARTS), "?");
    struct part_stats s;
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, 2 * MIB, 1);
    arena_stats(&fixture.arena, ARENA_PARTS, &s);
    assert_int_equal(s.size + s.total, 0);
    alloc_fixture_close(&fixture);
}

/* Does a little of everything; says how many of its steps succeeded. All is given back. */
static unsigned some_work(struct arena *arena) {
    void *block = block_alloc(arena_block_cache(arena, 0), 100, 0);
    void *task = block == NULL ? NULL : slab_alloc(arena_task_cache(arena, 0));
    void *piece = task == NULL ? NULL : slab_alloc_shared(&arena->trace);
    void *scratch = piece == NULL ? NULL : bump_alloc(arena_bump(arena, 0), 100, 16);
    unsigned done = block == NULL     ? 0
                    : task == NULL    ? 1
                    : piece == NULL   ? 2
                    : scratch == NULL ? 3
                                      : 4;
    if (piece != NULL)
        assert_int_equal(slab_free_shared(&arena->trace, piece), GMK_OK);
    if (task != NULL)
        assert_int_equal(slab_free(arena_task_cache(arena, 0), task), GMK_OK);
    if (block != NULL)
        assert_int_equal(block_free(arena_block_cache(arena, 0), block), GMK_OK);
    bump_reset(arena_bump(arena, 0));
    return done;
}

static void whichever_allocation_fails_nothing_is_lost(void **state) {
    (void)state;
    if (!ALLOC_DEV)
        skip();
    struct alloc_fixture fixture;
    alloc_fixture_open(&fixture, 2 * MIB, 1);
    uint32_t n = 0;
    unsigned done;
    do {
        n++;
        arena_fail_after(&fixture.arena, n);
        done = some_work(&fixture.arena);
        assert_int_equal(done, n <= 4 ? n - 1 : 4);
        assert_int_equal(arena_check(&fixture.arena), 0);
        for (unsigned part = 0; part < ARENA_PARTS; part++) {
            struct part_stats s;
            arena_stats(&fixture.arena, part, &s);
            assert_int_equal(s.used, 0);
        }
    } while (done < 4);
    assert_int_equal(n, 5);
    assert_int_equal(arena_fail_after(&fixture.arena, 0), 4);
    alloc_fixture_close(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shares_are_10_2_68_and_20_percent),
        cmocka_unit_test(the_smallest_size_works_and_one_page_less_is_refused),
        cmocka_unit_test(a_megabyte_is_enough_for_four_workers),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(each_part_counts_for_itself),
        cmocka_unit_test(exhaustion_of_one_part_starves_no_other),
        cmocka_unit_test(parts_are_disjoint_and_inside_the_memory),
        cmocka_unit_test(zeroed_memory_is_not_touched_beyond_the_bookkeeping),
        cmocka_unit_test(every_part_has_its_name),
        cmocka_unit_test(whichever_allocation_fails_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
