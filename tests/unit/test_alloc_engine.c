/* Test of memory inside an engine: blocks and their references as tasks carry them, tenants'
 * limits, scratch, damage, and every allocation failing once. */
#include "engine/engine.h"
#include "tests/lib/log_capture.h"
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, COUNT, CARRY, KEEP, LET_GO, BUMP, SCRATCH, CHARGE };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint64_t counted;
static void *_Atomic kept;

static int keep_handler(gmk_ctx_t *ctx) {
    gmk_payload_retain(ctx);
    atomic_store(&kept, ctx->task->payload);
    return GMK_OK;
}

static int let_go_handler(gmk_ctx_t *ctx) {
    gmk_payload_release(ctx);
    gmk_payload_release(ctx); /* twice is once */
    return ctx->task->payload == NULL && ctx->task->len == 0 ? GMK_OK : GMK_EFAIL;
}

/* Passes its payload on to meta0 tasks, with a reference for each. */
static int carry_handler(gmk_ctx_t *ctx) {
    gmk_task_t next = {.type = COUNT, .payload = ctx->task->payload, .len = ctx->task->len};
    next.meta0 = (uintptr_t)&counted;
    for (uint64_t i = 0; i < ctx->task->meta0; i++) {
        ASSERT_OK(gmk_retain(ctx, next.payload));
        ASSERT_OK(gmk_emit(ctx, &next));
    }
    return GMK_OK;
}

/* Sizes that wrapped in an earlier life: each must be refused, and the next one must work. */
static int bump_handler(gmk_ctx_t *ctx) {
    const size_t bad[] = {
        0,        UINT32_MAX,    (size_t)UINT32_MAX + 1, UINT32_MAX - 7,  UINT32_MAX - 15,
        SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2,           (size_t)1 << 33, ((size_t)1 << 34) - 16};
    char *first = gmk_bump(ctx, 16);
    if (first == NULL)
        return GMK_EFAIL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (gmk_bump(ctx, bad[i]) != NULL)
            return GMK_EFAIL;
        char *good = gmk_bump(ctx, 16);
        if (good == NULL || good == first || (uintptr_t)good % 16 != 0)
            return GMK_EFAIL;
    }
    return GMK_OK;
}

/* Uses all scratch there is; the engine takes it back after the handler. */
static int scratch_handler(gmk_ctx_t *ctx) {
    uint64_t pieces = 0;
    for (char *piece; (piece = gmk_bump(ctx, 4096)) != NULL; pieces++)
        memset(piece, 0x33, 4096);
    gmk_bump_reset(ctx);
    uint64_t again = 0;
    while (gmk_bump(ctx, 4096) != NULL)
        again++;
    return pieces > 10 && pieces == again ? GMK_OK : GMK_EFAIL;
}

static int charge_handler(gmk_ctx_t *ctx) {
    void *block = gmk_alloc(ctx, 1000);
    if (block != NULL)
        atomic_fetch_add(&counted, 1);
    return GMK_OK; /* kept for ever, on its tenant's account */
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"},    {COUNT, sched_count_handler, "count"},
    {CARRY, carry_handler, "carry"},       {KEEP, keep_handler, "keep"},
    {LET_GO, let_go_handler, "let_go"},    {BUMP, bump_handler, "bump"},
    {SCRATCH, scratch_handler, "scratch"}, {CHARGE, charge_handler, "charge"},
};

static gmk_ctx_t *start(const gmk_boot_cfg_t *cfg) {
    atomic_store(&counted, 0);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    assert_non_null(ctx);
    return ctx;
}

static void submit(gmk_task_t task) {
    ASSERT_OK(gmk_submit(&kernel, &task));
}

static void drain_without_failure(void) {
    gmk_counts_t counts;
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    ASSERT_OK(gmk_counts(&kernel, &counts));
    assert_int_equal(counts.failed, 0);
}

static gmk_part_stats_t part(enum gmk_arena_part which) {
    gmk_part_stats_t stats;
    ASSERT_OK(gmk_arena_stats(&kernel, which, &stats));
    return stats;
}

/* Blocks out at this moment. */
static uint64_t blocks_out(void) {
    gmk_part_stats_t stats = part(GMK_PART_BLOCKS);
    return stats.allocs - stats.frees;
}

static uint64_t bad_frees(void) {
    gmk_sched_stats_t sched;
    ASSERT_OK(gmk_sched_stats(&kernel, &sched));
    return sched.bad_frees;
}

/* ---- Blocks ----------------------------------------------------------------------------- */

static void blocks_are_aligned_writable_and_bounded(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(NULL);
    const size_t sizes[] = {1, 15, 16, 17, 100, 4096, 100000, 127 * 1024};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = gmk_alloc(ctx, sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        memset(block, 0xff, sizes[i]);
        gmk_free(ctx, block);
    }
    const size_t bad[] = {0, 129 * 1024, UINT32_MAX, SIZE_MAX, SIZE_MAX - 100};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(gmk_alloc(ctx, bad[i]));
    gmk_free(ctx, NULL);
    gmk_free(NULL, NULL);
    assert_null(gmk_alloc(NULL, 10));
    assert_int_equal(blocks_out(), 0);
    sched_halt(&kernel);
}

static void a_payload_is_freed_after_the_last_task_that_carries_it(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(&(gmk_boot_cfg_t){.n_workers = 2});
    for (int i = 0; i < 200; i++)
        submit((gmk_task_t){.type = CARRY, .payload = gmk_alloc(ctx, 300), .len = 300, .meta0 = 5});
    drain_without_failure();
    assert_int_equal(atomic_load(&counted), 1000);
    assert_int_equal(blocks_out(), 0);
    sched_halt(&kernel);
}

static void a_refused_task_leaves_the_payload_with_its_sender(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(NULL);
    gmk_task_t task = {.type = 999, .payload = gmk_alloc(ctx, 64), .len = 64};
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_ETYPE);
    assert_int_equal(blocks_out(), 1);
    gmk_free(ctx, task.payload);
    assert_int_equal(blocks_out(), 0);
    assert_int_equal(bad_frees(), 0);
    sched_halt(&kernel);
}

static void handlers_keep_payloads_or_let_them_go_early(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(NULL);
    submit((gmk_task_t){.type = LET_GO, .payload = gmk_alloc(ctx, 64), .len = 64});
    drain_without_failure();
    assert_int_equal(blocks_out(), 0);
    submit((gmk_task_t){.type = KEEP, .payload = gmk_alloc(ctx, 64), .len = 64});
    drain_without_failure();
    assert_int_equal(blocks_out(), 1);
    gmk_free(ctx, atomic_load(&kept));
    assert_int_equal(blocks_out(), 0);
    assert_int_equal(bad_frees(), 0);
    sched_halt(&kernel);
}

static void a_payload_that_is_no_block_is_left_alone(void **state) {
    (void)state;
    char mine[] = "mine";
    (void)start(NULL);
    submit((gmk_task_t){.type = COUNT, .payload = mine, .len = sizeof(mine)});
    submit((gmk_task_t){.type = KEEP, .payload = mine, .len = sizeof(mine)});
    submit((gmk_task_t){.type = LET_GO, .payload = mine, .len = sizeof(mine)});
    drain_without_failure();
    assert_string_equal(mine, "mine");
    assert_int_equal(bad_frees(), 0);
    sched_halt(&kernel);
}

static void dropped_and_cancelled_tasks_free_their_payloads(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(&(gmk_boot_cfg_t){.n_tenants = 2});
    uint32_t group;
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    sched_gate_shut(&gate, &kernel, GATE, 1);
    submit((gmk_task_t){.type = COUNT, .payload = gmk_alloc(ctx, 64), .group = group});
    gmk_task_t later = {.type = COUNT, .payload = gmk_alloc(ctx, 64), .group = group};
    ASSERT_OK(gmk_submit_at(&kernel, &later, UINT64_MAX));
    submit((gmk_task_t){.type = COUNT, .payload = gmk_alloc(ctx, 64), .flags = GMK_TASK_DEADLINE});
    ASSERT_OK(gmk_group_cancel(ctx, group));
    sched_gate_open(&gate);
    ASSERT_STATUS(gmk_group_wait(ctx, group), GMK_ECANCELED);
    drain_without_failure();
    assert_int_equal(blocks_out(), 0);
    sched_halt(&kernel);
}

static void damage_is_reported_counted_and_not_followed(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(NULL);
    int local = 0;
    void *block = gmk_alloc(ctx, 64);
    log_capture_start();
    gmk_free(ctx, &local);
    gmk_free(ctx, block);
    gmk_free(ctx, block);
    ASSERT_STATUS(gmk_retain(ctx, block), GMK_EINVAL);
    ASSERT_STATUS(gmk_retain(ctx, &local), GMK_EINVAL);
    ASSERT_STATUS(gmk_retain(ctx, NULL), GMK_EINVAL);
    log_capture_end();
    assert_int_equal(bad_frees(), 2);
    assert_true(log_captured_lines >= 2);
    sched_halt(&kernel);
}

/* ---- Tenants ---------------------------------------------------------------------------------- */

static void a_tenant_holds_no_more_tasks_than_its_limit(void **state) {
    (void)state;
    (void)start(&(gmk_boot_cfg_t){.n_tenants = 3, .tenant_limit = 10});
    sched_gate_shut(&gate, &kernel, GATE, 1); /* tenant 0 holds one */
    gmk_task_t task = {.type = COUNT, .tenant = 1};
    for (int i = 0; i < 10; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_ELIMIT);
    task.tenant = 2; /* others are not concerned */
    ASSERT_OK(gmk_tenant_limit(&kernel, 2, 1, 0));
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_STATUS(gmk_submit_at(&kernel, &task, 1), GMK_ELIMIT);
    ASSERT_STATUS(gmk_tenant_limit(&kernel, 3, 1, 1), GMK_ETENANT);
    sched_gate_open(&gate);
    drain_without_failure();
    task.tenant = 1; /* and what has ended has left */
    for (int i = 0; i < 100; i++) {
        ASSERT_OK(gmk_submit(&kernel, &task));
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    }
    sched_halt(&kernel);
}

static void a_tenant_holds_no_more_bytes_than_its_limit(void **state) {
    (void)state;
    (void)start(&(gmk_boot_cfg_t){.n_tenants = 2});
    ASSERT_OK(gmk_tenant_limit(&kernel, 1, 0, 10 * 1200));
    for (int i = 0; i < 50; i++)
        submit((gmk_task_t){.type = CHARGE, .tenant = 1});
    drain_without_failure();
    assert_in_range(atomic_load(&counted), 8, 12); /* a block is a little more than was asked for */
    ASSERT_OK(gmk_tenant_limit(&kernel, 1, 0, 0));
    submit((gmk_task_t){.type = CHARGE, .tenant = 1});
    submit((gmk_task_t){.type = CHARGE, .tenant = 0});
    uint64_t before = atomic_load(&counted);
    drain_without_failure();
    assert_in_range(atomic_load(&counted), before, before + 2);
    sched_halt(&kernel);
}

/* Freed blocks leave the account, whoever frees them. */
static void freed_bytes_can_be_allocated_again(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(&(gmk_boot_cfg_t){.n_tenants = 2});
    ASSERT_OK(gmk_tenant_limit(&kernel, 0, 0, 4096));
    for (int i = 0; i < 1000; i++) {
        void *block = gmk_alloc(ctx, 2000);
        assert_non_null(block);
        assert_null(gmk_alloc(ctx, 3000));
        submit((gmk_task_t){.type = COUNT, .payload = block, .len = 2000});
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    }
    sched_halt(&kernel);
}

/* ---- Scratch ---------------------------------------------------------------------------------- */

static void scratch_refuses_sizes_near_4_gib_and_goes_on(void **state) {
    (void)state;
    gmk_ctx_t *ctx = start(NULL);
    submit((gmk_task_t){.type = BUMP});
    drain_without_failure();
    assert_null(gmk_bump(ctx, 16)); /* scratch is for handlers */
    gmk_bump_reset(ctx);
    gmk_bump_reset(NULL);
    assert_null(gmk_bump(NULL, 16));
    sched_halt(&kernel);
}

static void scratch_is_whole_again_for_every_handler(void **state) {
    (void)state;
    (void)start(&(gmk_boot_cfg_t){.arena_size = 8u << 20});
    for (int i = 0; i < 20; i++)
        submit((gmk_task_t){.type = SCRATCH});
    drain_without_failure();
    sched_halt(&kernel);
}

/* ---- Every allocation fails once ------------------------------------------------------------------ */

/* A scenario that allocates in many places; says what it was refused, goes on, and leaves
 * nothing behind. */
static uint32_t play(gmk_ctx_t *ctx) {
    uint32_t refused = 0, chan, sub, group;
    for (int i = 0; i < 4; i++) {
        uint32_t size = 200u << i;
        gmk_task_t task = {.type = CARRY, .payload = gmk_alloc(ctx, size), .meta0 = 2};
        task.len = task.payload != NULL ? size : 0;
        refused += task.payload == NULL;
        if (task.payload != NULL)
            ASSERT_OK(gmk_submit(&kernel, &task));
    }
    submit((gmk_task_t){.type = BUMP}); /* may fail, as a task */
    int status = gmk_chan_open(ctx, "some.channel", COUNT, GMK_CHAN_FANOUT, 64, &chan);
    if (status == GMK_OK) {
        ASSERT_OK(gmk_chan_sub(ctx, chan, sched_count_handler, NULL, NULL, 0, &sub));
        ASSERT_OK(gmk_chan_emit(ctx, chan, &(gmk_task_t){.type = COUNT}));
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        ASSERT_OK(gmk_chan_close(ctx, chan));
    } else {
        ASSERT_STATUS(status, GMK_ENOMEM);
        refused++;
    }
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    submit((gmk_task_t){.type = COUNT, .group = group});
    ASSERT_OK(gmk_group_wait(ctx, group));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    return refused;
}

/* The injection is there in the DEV profile only. */
static void the_n_th_allocation_fails_for_every_n_and_nothing_breaks(void **state) {
    (void)state;
    for (uint32_t n = 1; n < 100; n++) {
        gmk_ctx_t *ctx = start(&(gmk_boot_cfg_t){.arena_size = 8u << 20});
        struct engine *eng = kernel.engine;
        (void)arena_fail_after(&eng->arena, n);
        (void)play(ctx);
        uint64_t failed = arena_fail_after(&eng->arena, 0);
        assert_int_equal(blocks_out(), 0);
        assert_int_equal(bad_frees(), 0);
        gmk_detach(&kernel);
        assert_int_equal(arena_check(&eng->arena), 0);
        sched_halt(&kernel);
        if (failed == 0)
            return; /* n is beyond the last allocation, or this is not DEV */
    }
    fail_msg("the scenario never ran without a failure");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_writable_and_bounded),
        cmocka_unit_test(a_payload_is_freed_after_the_last_task_that_carries_it),
        cmocka_unit_test(a_refused_task_leaves_the_payload_with_its_sender),
        cmocka_unit_test(handlers_keep_payloads_or_let_them_go_early),
        cmocka_unit_test(a_payload_that_is_no_block_is_left_alone),
        cmocka_unit_test(dropped_and_cancelled_tasks_free_their_payloads),
        cmocka_unit_test(damage_is_reported_counted_and_not_followed),
        cmocka_unit_test(a_tenant_holds_no_more_tasks_than_its_limit),
        cmocka_unit_test(a_tenant_holds_no_more_bytes_than_its_limit),
        cmocka_unit_test(freed_bytes_can_be_allocated_again),
        cmocka_unit_test(scratch_refuses_sizes_near_4_gib_and_goes_on),
        cmocka_unit_test(scratch_is_whole_again_for_every_handler),
        cmocka_unit_test(the_n_th_allocation_fails_for_every_n_and_nothing_breaks),
    };
    return cmocka_run_group_tests_name("alloc_engine", tests, NULL, NULL);
}
