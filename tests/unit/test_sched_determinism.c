/* Test of deterministic mode: the same seed and input give the same output and the same
 * trace hash, run after run and whatever the number of workers; another seed or another
 * input gives another hash. The program under test uses everything at once: tasks, timers,
 * yields, retries, channels of every kind, groups, waits, payloads and random numbers. */
#include "tests/lib/chan_fixture.h"

enum { ROOT = 10, LEAF, TIMED, RETRY };

#define OUT_MAX 20000u

static struct {
    gmk_kernel_t kernel;
    gmk_ctx_t *me;
    uint32_t fan, lossy, next;
    uint64_t out[OUT_MAX]; /* what the run did, in order */
    uint32_t n_out, failures;
} run;

static void put(uint64_t value) {
    if (run.n_out < OUT_MAX)
        run.out[run.n_out] = value;
    run.n_out++;
}

static void must(int status) {
    run.failures += status != GMK_OK;
}

static int leaf(gmk_ctx_t *ctx) {
    put(1000000 + ctx->task->meta0 * 1000 + gmk_random(ctx) % 1000);
    if (ctx->task->meta1++ < ctx->task->meta0 % 3)
        gmk_yield(ctx);
    return GMK_OK;
}

static int timed(gmk_ctx_t *ctx) {
    put(2000000 + ctx->task->meta0);
    put(gmk_now(ctx));
    return GMK_OK;
}

static int retry(gmk_ctx_t *ctx) {
    put(3000000 + ctx->task->meta0);
    return ctx->task->meta1++ < 2 ? GMK_RETRY : GMK_OK;
}

static void emit_payload(gmk_ctx_t *ctx, uint32_t chan, uint64_t value) {
    gmk_task_t task = {.type = MSG, .meta0 = value, .len = 24};
    task.payload = chan_payload(ctx, value);
    int status = gmk_chan_send(ctx, chan, &task, UINT64_MAX);
    must(status);
    if (status != GMK_OK)
        gmk_free(ctx, task.payload);
}

/* Spawns leaves in a group, waits for them, then lets timers, retries and channels go. */
static int root(gmk_ctx_t *ctx) {
    uint32_t group;
    uint64_t n = ctx->task->meta0;
    must(gmk_group_open(ctx, 0, &group));
    for (uint64_t i = 0; i < 10; i++) {
        gmk_task_t task = {.type = LEAF, .meta0 = n + i, .group = group};
        must(gmk_emit(ctx, &task));
    }
    must(gmk_group_wait(ctx, group));
    for (uint64_t i = 0; i < 5; i++) {
        gmk_task_t late = {.type = TIMED, .meta0 = n * 10 + i};
        gmk_task_t again = {.type = RETRY, .meta0 = n * 10 + i};
        must(gmk_emit_at(ctx, &late, gmk_now(ctx) + gmk_random(ctx) % 100000));
        must(gmk_emit(ctx, &again));
        emit_payload(ctx, run.fan, n * 10 + i);
        emit_payload(ctx, run.lossy, n * 10 + i);
    }
    return GMK_OK;
}

static int on_fan(gmk_ctx_t *ctx) {
    put(4000000 + 100000 * (uint64_t)(uintptr_t)ctx->state + ctx->task->meta0);
    if ((uintptr_t)ctx->state == 1)
        emit_payload(ctx, run.next, ctx->task->meta0);
    return GMK_OK;
}

static int on_next(gmk_ctx_t *ctx) {
    put(5000000 + *(uint64_t *)ctx->task->payload);
    put(gmk_tick(ctx));
    return ctx->task->meta0 % 7 == 0 ? GMK_EFAIL : GMK_OK;
}

static int on_letter(gmk_ctx_t *ctx) {
    put(6000000 + 10000 * gmk_task_reason(ctx->task) + ctx->task->meta0);
    return GMK_OK;
}

static void up(uint64_t seed, uint32_t workers) {
    static const gmk_handler_reg_t handlers[] = {{ROOT, root, "root"},
                                                 {LEAF, leaf, "leaf"},
                                                 {TIMED, timed, "timed"},
                                                 {RETRY, retry, "retry"}};
    gmk_boot_cfg_t cfg = {
        .n_workers = workers, .deterministic = true, .seed = seed, .arena_size = (size_t)32 << 20};
    memset(&run, 0, sizeof(run));
    sched_boot(&run.kernel, &cfg, handlers, 4);
    run.me = gmk_attach(&run.kernel);
    assert_non_null(run.me);
}

static uint32_t open_as(const char *name, uint32_t options, uint32_t slots) {
    uint32_t chan;
    ASSERT_OK(gmk_chan_open(run.me, name, MSG, options, slots, &chan));
    return chan;
}

static void listen(uint32_t chan, gmk_handler_fn fn, uintptr_t state, uint32_t options) {
    ASSERT_OK(gmk_chan_sub(run.me, chan, fn, NULL, (void *)state, options, NULL));
}

/* One run of everything; its hash. */
static uint64_t whole_program(uint64_t seed, uint32_t workers, uint64_t input) {
    up(seed, workers);
    run.fan = open_as("fan", GMK_CHAN_FANOUT, 8);
    run.lossy = open_as("lossy", GMK_CHAN_LOSSY, 4);
    run.next = open_as("next", 0, 16);
    listen(run.fan, on_fan, 1, 0);
    listen(run.fan, on_fan, 2, GMK_SUB_PARALLEL);
    listen(run.lossy, on_fan, 3, 0);
    listen(run.next, on_next, 0, 0);
    listen(GMK_CHAN_SYS_DROPPED, on_letter, 0, 0);
    listen(GMK_CHAN_SYS_ERROR, on_letter, 0, 0);
    for (uint64_t i = 0; i < 8; i++) {
        gmk_task_t task = {.type = ROOT, .meta0 = input + i};
        ASSERT_OK(gmk_submit(&run.kernel, &task));
    }
    ASSERT_OK(gmk_drain(&run.kernel, SCHED_LIMIT_NS));
    uint64_t hash = gmk_trace_hash(run.me);
    gmk_part_stats_t blocks;
    ASSERT_OK(gmk_arena_stats(&run.kernel, GMK_PART_BLOCKS, &blocks));
    assert_int_equal(blocks.allocs, blocks.frees);
    sched_halt(&run.kernel);
    assert_int_equal(run.failures, 0);
    assert_true(run.n_out > 300 && run.n_out < OUT_MAX);
    return hash;
}

static void the_same_seed_and_input_give_the_same_run(void **state) {
    (void)state;
    static uint64_t first_out[OUT_MAX];
    uint64_t first = whole_program(42, 1, 1);
    uint32_t n = run.n_out;
    memcpy(first_out, run.out, sizeof(first_out));
    for (uint32_t again = 0; again < 40; again++) {
        uint64_t hash = whole_program(42, 1 + again % 4, 1);
        if (hash != first)
            fail_msg("run %u with %u workers has another hash", again, 1 + again % 4);
        assert_int_equal(run.n_out, n);
        assert_memory_equal(run.out, first_out, n * sizeof(run.out[0]));
    }
}

static void another_seed_gives_another_run(void **state) {
    (void)state;
    uint64_t first = whole_program(42, 2, 1);
    for (uint64_t seed = 43; seed < 50; seed++)
        assert_true(whole_program(seed, 2, 1) != first);
}

static void another_input_gives_another_run(void **state) {
    (void)state;
    uint64_t first = whole_program(42, 2, 1);
    for (uint64_t input = 2; input < 8; input++)
        assert_true(whole_program(42, 2, input) != first);
}

/* ---- Ticks ---------------------------------------------------------------------------------- */

static uint32_t late_chan, early_chan;

/* Sends to two channels, the one with the higher id first, and to itself. */
static int both(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = MSG, .meta0 = ctx->task->meta0};
    must(gmk_chan_emit(ctx, late_chan, &task));
    must(gmk_chan_emit(ctx, early_chan, &task));
    put(gmk_tick(ctx));
    return GMK_OK;
}

static int note_tick(gmk_ctx_t *ctx) {
    put(1000 * (uint64_t)(uintptr_t)ctx->state + gmk_tick(ctx));
    if (ctx->state == (void *)1 && ctx->task->meta0 != 0) {
        /* Lower id to higher id within one tick: must wait for the next one all the same. */
        gmk_task_t task = {.type = MSG, .meta0 = 0};
        must(gmk_chan_emit(ctx, late_chan, &task));
    }
    return GMK_OK;
}

static void delivery_is_at_the_next_tick_in_the_order_of_channel_ids(void **state) {
    (void)state;
    static const gmk_handler_reg_t handlers[] = {{ROOT, both, "both"}};
    gmk_boot_cfg_t cfg = {.n_workers = 2, .deterministic = true};
    memset(&run, 0, sizeof(run));
    sched_boot(&run.kernel, &cfg, handlers, 1);
    run.me = gmk_attach(&run.kernel);
    early_chan = open_as("early", 0, 16);
    late_chan = open_as("late", 0, 16);
    assert_true(early_chan < late_chan);
    listen(early_chan, note_tick, 1, 0);
    listen(late_chan, note_tick, 2, 0);
    gmk_task_t task = {.type = ROOT, .meta0 = 1};
    ASSERT_OK(gmk_submit(&run.kernel, &task));
    ASSERT_OK(gmk_submit(&run.kernel, &task));
    sched_halt(&run.kernel);
    assert_int_equal(run.failures, 0);
    /* Subscribing sets nothing in motion that shows, so the roots run in the first tick. */
    uint64_t t = run.out[0];
    const uint64_t expected[] = {
        t, t, 1000 + t + 1, 1000 + t + 1, 2000 + t + 1, 2000 + t + 1, 2000 + t + 2, 2000 + t + 2};
    assert_int_equal(run.n_out, 8);
    for (uint32_t i = 0; i < 8; i++)
        if (run.out[i] != expected[i])
            fail_msg("step %u was %llu, expected %llu", i, (unsigned long long)run.out[i],
                     (unsigned long long)expected[i]);
}

static void nothing_runs_before_somebody_drains(void **state) {
    (void)state;
    up(1, 3);
    gmk_task_t task = {.type = TIMED, .meta0 = 1};
    ASSERT_OK(gmk_submit(&run.kernel, &task));
    for (int i = 0; i < 5; i++)
        sched_pause();
    assert_int_equal(run.n_out, 0);
    ASSERT_OK(gmk_drain(&run.kernel, SCHED_LIMIT_NS));
    assert_int_equal(run.n_out, 2);
    sched_halt(&run.kernel);
}

static void time_moves_by_ticks_and_jumps_to_timers(void **state) {
    (void)state;
    up(1, 1);
    gmk_task_t task = {.type = TIMED, .meta0 = 1};
    ASSERT_OK(gmk_submit_at(&run.kernel, &task, UINT64_C(3600000000000))); /* an hour */
    task.meta0 = 2;
    ASSERT_OK(gmk_submit_at(&run.kernel, &task, 5000));
    ASSERT_OK(gmk_drain(&run.kernel, SCHED_LIMIT_NS));
    assert_int_equal(run.n_out, 4);
    assert_int_equal(run.out[0], 2000002);
    assert_true(run.out[1] >= 5000 && run.out[1] < 10000);
    assert_int_equal(run.out[2], 2000001);
    assert_true(run.out[3] >= UINT64_C(3600000000000) && run.out[3] < UINT64_C(3600000010000));
    sched_halt(&run.kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_and_input_give_the_same_run),
        cmocka_unit_test(another_seed_gives_another_run),
        cmocka_unit_test(another_input_gives_another_run),
        cmocka_unit_test(delivery_is_at_the_next_tick_in_the_order_of_channel_ids),
        cmocka_unit_test(nothing_runs_before_somebody_drains),
        cmocka_unit_test(time_moves_by_ticks_and_jumps_to_timers),
    };
    return cmocka_run_group_tests_name("sched_determinism", tests, NULL, NULL);
}
