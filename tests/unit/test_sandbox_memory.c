/* Test of sandbox memory: every mistake a handler can make with blocks is noticed, and
 * what a box gives out is bounded by the memory it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "ggmk/sandbox.h"
#include "tests/lib/log_capture.h"

#define LARGEST ((size_t)128 * 1024) /* block */

static gmk_sandbox_t *box;

static int fresh(void **state) {
    (void)state;
    box = gmk_sandbox_init(malloc(gmk_sandbox_size()), gmk_sandbox_size());
    assert_non_null(box);
    log_capture_start();
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    free(box);
    return 0;
}

static int swallow(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

/* ---- Mistakes ---------------------------------------------------------------------------------- */

static void is_fault(uint32_t count, const char *sentence) {
    assert_int_equal(gmk_sandbox_faults(box), count);
    assert_string_equal(gmk_sandbox_fault(box), sentence);
    assert_true(log_capture_has(sentence));
    assert_int_equal(log_captured_lines, count);
    gmk_sandbox_reset(box);
    log_capture_start();
    assert_int_equal(gmk_sandbox_faults(box), 0);
    assert_null(gmk_sandbox_fault(box));
}

static void writing_beyond_a_block_is_noticed_to_the_byte(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    for (size_t size = 1; size <= 33; size++) {
        char *block = gmk_alloc(ctx, size);
        memset(block, 'x', size);
        assert_int_equal(gmk_sandbox_faults(box), 0);
        block[size] = 'x';
        is_fault(1, "something was written beyond the end of a block");
        block = gmk_alloc(ctx, size);
        block[-1] = 'x';
        is_fault(1, "something was written before the start of a block");
    }
    char *block = gmk_alloc(ctx, 4);
    block[4] = 'x';
    gmk_free(ctx, block); /* freeing notices, too, and only once */
    is_fault(1, "something was written beyond the end of a block");
}

static void writing_after_free_is_noticed_and_reading_shows_the_pattern(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    unsigned char *block = gmk_alloc(ctx, 16);
    assert_int_equal(block[0], 0xcd);
    assert_int_equal(block[15], 0xcd);
    gmk_free(ctx, block);
    assert_int_equal(block[0], 0xdd);
    assert_int_equal(block[15], 0xdd);
    block[7] = 1;
    is_fault(1, "something was written into a block after it was freed");
}

static void freeing_what_is_not_yours_is_noticed(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    int other = 0;
    gmk_free(ctx, NULL);
    assert_int_equal(gmk_sandbox_faults(box), 0);
    gmk_free(ctx, &other);
    is_fault(1, "gmk_free() of an address that is not a block");
    char *block = gmk_alloc(ctx, 16);
    gmk_free(ctx, block + 1);
    is_fault(1, "gmk_free() of an address that is not a block");
    block = gmk_alloc(ctx, 16);
    gmk_free(ctx, block);
    gmk_free(ctx, block);
    is_fault(1, "gmk_free() of a block that was freed already");
    block = gmk_alloc(ctx, 16);
    assert_int_equal(gmk_emit(ctx, &(gmk_task_t){.type = 1, .payload = block}), GMK_OK);
    gmk_free(ctx, block);
    is_fault(1, "gmk_free() of a reference that was handed on or belongs to the task");
}

static int frees_its_payload(gmk_ctx_t *ctx) {
    gmk_free(ctx, ctx->task->payload);
    return GMK_OK;
}

static int forwards_without_retain(gmk_ctx_t *ctx) {
    return gmk_emit(ctx, &(gmk_task_t){.type = 1, .payload = ctx->task->payload});
}

static void giving_away_what_belongs_to_the_task_is_noticed(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    gmk_task_t task = {.type = 1, .payload = gmk_alloc(ctx, 16)};
    assert_int_equal(gmk_sandbox_run(box, frees_its_payload, &task, NULL), GMK_OK);
    is_fault(1, "gmk_free() of a reference that was handed on or belongs to the task");
    task.payload = gmk_alloc(ctx, 16);
    assert_int_equal(gmk_sandbox_run(box, forwards_without_retain, &task, NULL), GMK_OK);
    is_fault(1, "a payload was emitted without a reference to give: retain it first");
}

static void emitting_or_running_a_freed_payload_is_noticed(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    gmk_task_t task = {.type = 1, .payload = gmk_alloc(ctx, 16)};
    gmk_free(ctx, task.payload);
    assert_int_equal(gmk_emit(ctx, &task), GMK_OK);
    is_fault(1, "a task was emitted with a payload that was freed already");
    task.payload = gmk_alloc(ctx, 16);
    gmk_free(ctx, task.payload);
    assert_int_equal(gmk_sandbox_run(box, swallow, &task, NULL), GMK_OK);
    is_fault(1, "a task was run with a payload that was freed already");
    task.payload = gmk_alloc(ctx, 16);
    gmk_free(ctx, task.payload);
    assert_int_equal(gmk_retain(ctx, task.payload), GMK_EINVAL);
}

/* ---- Memory has bounds --------------------------------------------------------------------------- */

static void blocks_are_aligned_and_sizes_checked(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    for (size_t size = 1; size < 100; size++)
        assert_int_equal((uintptr_t)gmk_alloc(ctx, size) % 16, 0);
    assert_null(gmk_alloc(ctx, 0));
    assert_null(gmk_alloc(ctx, LARGEST + 1));
    assert_null(gmk_alloc(ctx, SIZE_MAX));
    assert_non_null(gmk_alloc(ctx, LARGEST));
    assert_null(gmk_alloc(ctx, LARGEST)); /* used up */
    assert_non_null(gmk_alloc(ctx, 16));
}

static void freed_blocks_are_reused_when_nothing_fresh_is_left(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    void *first = gmk_alloc(ctx, 100);
    gmk_free(ctx, first);
    for (uint32_t i = 1; i < GMK_SANDBOX_BLOCKS_MAX; i++) {
        void *block = gmk_alloc(ctx, 100);
        assert_ptr_not_equal(block, first);
        gmk_free(ctx, block);
    }
    assert_null(gmk_alloc(ctx, 200)); /* larger than any that was freed */
    assert_ptr_equal(gmk_alloc(ctx, 90), first);
    for (int i = 0; i < 1000; i++)
        gmk_free(ctx, gmk_alloc(ctx, 100));
    assert_int_equal(gmk_sandbox_live_blocks(box), 1);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

static void more_memory_in_init_is_more_memory_for_handlers(void **state) {
    (void)state;
    size_t more = gmk_sandbox_size() + 4 * LARGEST;
    gmk_sandbox_t *big = gmk_sandbox_init(malloc(more), more);
    for (int i = 0; i < 5; i++)
        assert_non_null(gmk_alloc(gmk_sandbox_ctx(big), LARGEST));
    assert_null(gmk_alloc(gmk_sandbox_ctx(big), LARGEST));
    free(big);
}

static void too_little_or_misaligned_memory_is_refused(void **state) {
    (void)state;
    _Alignas(16) static char memory[64];
    assert_null(gmk_sandbox_init(NULL, gmk_sandbox_size()));
    assert_null(gmk_sandbox_init(memory, sizeof memory));
    assert_null(gmk_sandbox_init(memory, gmk_sandbox_size() - 1));
    assert_null(gmk_sandbox_init(memory + 4, gmk_sandbox_size()));
}

static int bumps(gmk_ctx_t *ctx) {
    unsigned char **kept = ctx->state;
    *kept = gmk_bump(ctx, 1000);
    assert_int_equal((uintptr_t)*kept % 16, 0);
    memset(*kept, 1, 1000);
    assert_non_null(gmk_bump(ctx, 1));
    assert_null(gmk_bump(ctx, 0));
    assert_null(gmk_bump(ctx, SIZE_MAX));
    assert_null(gmk_bump(ctx, SIZE_MAX - 8));
    return GMK_OK;
}

static void scratch_memory_is_gone_in_the_next_run(void **state) {
    (void)state;
    unsigned char *first = NULL;
    unsigned char *second = NULL;
    assert_int_equal(gmk_sandbox_run(box, bumps, &(gmk_task_t){.type = 1}, &first), GMK_OK);
    assert_int_equal(first[999], 1);
    assert_int_equal(gmk_sandbox_run(box, swallow, &(gmk_task_t){.type = 1}, NULL), GMK_OK);
    assert_int_equal(first[999], 0xdd);
    assert_int_equal(gmk_sandbox_run(box, bumps, &(gmk_task_t){.type = 1}, &second), GMK_OK);
    assert_ptr_equal(first, second);
    gmk_bump_reset(gmk_sandbox_ctx(box));
    assert_int_equal(second[0], 0xdd);
    gmk_sandbox_fail_alloc(box, 1);
    assert_null(gmk_bump(gmk_sandbox_ctx(box), 1));
}

static void blocks_and_scratch_memory_share_the_room(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    assert_non_null(gmk_bump(ctx, GMK_SANDBOX_MEMORY - 64));
    assert_non_null(gmk_alloc(ctx, 16));
    assert_null(gmk_alloc(ctx, 16));
    gmk_bump_reset(ctx);
    assert_non_null(gmk_alloc(ctx, 16));
    assert_null(gmk_bump(ctx, GMK_SANDBOX_MEMORY - 64));
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(writing_beyond_a_block_is_noticed_to_the_byte),
        TEST(writing_after_free_is_noticed_and_reading_shows_the_pattern),
        TEST(freeing_what_is_not_yours_is_noticed),
        TEST(giving_away_what_belongs_to_the_task_is_noticed),
        TEST(emitting_or_running_a_freed_payload_is_noticed),
        TEST(blocks_are_aligned_and_sizes_checked),
        TEST(freed_blocks_are_reused_when_nothing_fresh_is_left),
        TEST(more_memory_in_init_is_more_memory_for_handlers),
        TEST(too_little_or_misaligned_memory_is_refused),
        TEST(scratch_memory_is_gone_in_the_next_run),
        TEST(blocks_and_scratch_memory_share_the_room),
    };
    return cmocka_run_group_tests_name("sandbox memory", tests, NULL, NULL);
}
