/* Test of faults: retries with backoff and limit, poison and reset, yields that are never lost,
 * deadlines, and what a dead letter says. */
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, RETRY, FAIL, YIELD, KEEP, COUNT, PAUSE, CROWD };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint64_t runs;
static _Atomic uint64_t counted;

static int retry_handler(gmk_ctx_t *ctx) {
    atomic_fetch_add(&runs, 1);
    return gmk_task_retries(ctx->task) < ctx->task->meta0 ? GMK_RETRY : GMK_OK;
}

static int fail_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_fetch_add(&runs, 1);
    return GMK_EFAIL;
}

/* Gives way meta0 times; a return value of GMK_EFAIL beside a yield must not count. */
static int yield_handler(gmk_ctx_t *ctx) {
    atomic_fetch_add(&runs, 1);
    if (ctx->task->meta1++ >= ctx->task->meta0)
        return GMK_OK;
    gmk_yield(ctx);
    return GMK_EFAIL;
}

/* Gives way three times and looks each time whether its payload is still the same. */
static int keep_handler(gmk_ctx_t *ctx) {
    const unsigned char *bytes = ctx->task->payload;
    for (uint32_t i = 0; i < ctx->task->len; i++)
        if (bytes[i] != 0x5a)
            return GMK_EFAIL;
    void *other =
        gmk_alloc(ctx, ctx->task->len); /* would get the payload's memory, were it freed */
    if (other != NULL)
        memset(other, 0xa5, ctx->task->len);
    gmk_free(ctx, other);
    if (ctx->task->meta0++ == 3)
        return GMK_OK;
    return ctx->task->meta1 != 0 ? GMK_RETRY : GMK_YIELDED;
}

static int pause_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0++ == 0)
        gmk_yield_at(ctx, gmk_now(ctx) + 1000000);
    else
        atomic_fetch_add(&runs, 1);
    return GMK_OK;
}

#define CROWD_MAX 12000u
static _Atomic uint32_t crowd; /* tasks of CROWD so far */

/* Fills its queue before it gives way, so that its own place is taken. */
static int crowd_handler(gmk_ctx_t *ctx) {
    gmk_task_t more = {.type = CROWD, .flags = ctx->task->flags & GMK_TASK_PRIO_MASK};
    atomic_fetch_add(&runs, 1);
    while (atomic_load(&crowd) < CROWD_MAX && gmk_emit(ctx, &more) == GMK_OK)
        atomic_fetch_add(&crowd, 1);
    return ctx->task->meta0++ < 3 ? GMK_YIELDED : GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"}, {RETRY, retry_handler, "retry"},
    {FAIL, fail_handler, "fail"},       {YIELD, yield_handler, "yield"},
    {KEEP, keep_handler, "keep"},       {COUNT, sched_count_handler, "count"},
    {PAUSE, pause_handler, "pause"},    {CROWD, crowd_handler, "crowd"},
};

/* ---- Dead letters ------------------------------------------------------------------------ */

static _Atomic uint32_t letters[16]; /* by reason */
static _Atomic uint64_t letter_meta0;

static int letter_handler(gmk_ctx_t *ctx) {
    atomic_store(&letter_meta0, ctx->task->meta0);
    atomic_fetch_add(&letters[gmk_task_reason(ctx->task)], 1);
    return GMK_OK;
}

static void start(const gmk_boot_cfg_t *cfg) {
    atomic_store(&runs, 0);
    atomic_store(&counted, 0);
    for (int i = 0; i < 16; i++)
        atomic_store(&letters[i], 0);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    assert_non_null(ctx);
    uint32_t sub;
    ASSERT_OK(gmk_chan_sub(ctx, GMK_CHAN_SYS_DROPPED, letter_handler, NULL, NULL, 0, &sub));
    ASSERT_OK(gmk_chan_sub(ctx, GMK_CHAN_SYS_ERROR, letter_handler, NULL, NULL, 0, &sub));
}

static void drain(void) {
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
}

static gmk_counts_t counts_of(uint32_t type) {
    gmk_counts_t counts;
    ASSERT_OK(gmk_type_counts(&kernel, type, &counts));
    return counts;
}

/* ---- Retries ------------------------------------------------------------------------------ */

static void a_task_that_asks_for_retries_gets_them_and_completes(void **state) {
    (void)state;
    gmk_task_t task = {.type = RETRY, .meta0 = 5};
    start(&(gmk_boot_cfg_t){.retry_base_ns = 1000});
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 6);
    gmk_counts_t c = counts_of(RETRY);
    assert_int_equal(c.retries, 5);
    assert_int_equal(c.completed, 1);
    sched_halt(&kernel);
}

static void retries_wait_twice_as_long_each_time(void **state) {
    (void)state;
    gmk_task_t task = {.type = RETRY, .meta0 = 4};
    start(&(gmk_boot_cfg_t){.retry_base_ns = 2000000});
    uint64_t begin = hal_now_ns();
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_in_range(hal_now_ns() - begin, (2 + 4 + 8 + 16) * 1000000u, UINT64_MAX);
    sched_halt(&kernel);
}

static void the_retry_limit_dead_letters_with_its_reason(void **state) {
    (void)state;
    gmk_task_t task = {.type = RETRY, .meta0 = 100};
    start(&(gmk_boot_cfg_t){.retry_base_ns = 1000, .retry_max_ns = 2000, .max_retries = 3});
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 4);
    assert_int_equal(counts_of(RETRY).dropped, 1);
    assert_int_equal(atomic_load(&letters[GMK_DROP_RETRIES]), 1);
    assert_int_equal(atomic_load(&letter_meta0), 100);
    sched_halt(&kernel);
}

/* The timed queue holds one task; a hundred ask for a retry at once. */
static void no_retry_is_lost_when_the_timed_queue_is_full(void **state) {
    (void)state;
    gmk_task_t task = {.type = RETRY, .meta0 = 3};
    start(&(gmk_boot_cfg_t){.retry_base_ns = 1000000, .max_timers = 1});
    for (int i = 0; i < 100; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 400);
    assert_int_equal(counts_of(RETRY).completed, 100);
    sched_halt(&kernel);
}

/* ---- Poison -------------------------------------------------------------------------------- */

static void a_type_that_fails_too_often_is_stopped_and_freed_by_a_reset(void **state) {
    (void)state;
    gmk_task_t task = {.type = FAIL};
    start(&(gmk_boot_cfg_t){.poison_failures = 10, .poison_window_ns = UINT64_MAX - 1});
    gmk_log_level(GMK_LOG_ERROR);
    for (int i = 0; i < 9; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    ASSERT_OK(gmk_submit(&kernel, &task)); /* nine are not ten */
    drain();
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EPOISONED);
    assert_int_equal(counts_of(FAIL).failed, 10);
    assert_int_equal(atomic_load(&letters[GMK_DROP_FAILED]), 10);
    ASSERT_OK(gmk_type_reset(&kernel, FAIL));
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 11);
    ASSERT_STATUS(gmk_type_reset(&kernel, 4000), GMK_ENOENT);
    ASSERT_STATUS(gmk_type_reset(&kernel, UINT32_MAX), GMK_ENOENT);
    sched_halt(&kernel);
}

static void tasks_queued_before_the_poison_are_dead_letters(void **state) {
    (void)state;
    gmk_task_t task = {.type = FAIL};
    start(&(gmk_boot_cfg_t){.poison_failures = 10});
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (int i = 0; i < 30; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    sched_gate_open(&gate);
    drain();
    gmk_counts_t c = counts_of(FAIL);
    assert_int_equal(c.failed, 10);
    assert_int_equal(c.dropped, 20);
    assert_int_equal(atomic_load(&letters[GMK_DROP_POISONED]), 20);
    sched_halt(&kernel);
}

static void poison_of_one_type_leaves_the_others_alone(void **state) {
    (void)state;
    gmk_task_t bad = {.type = FAIL}, good = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    start(&(gmk_boot_cfg_t){.poison_failures = 1});
    ASSERT_OK(gmk_submit(&kernel, &bad));
    drain();
    ASSERT_STATUS(gmk_submit(&kernel, &bad), GMK_EPOISONED);
    ASSERT_OK(gmk_submit(&kernel, &good));
    drain();
    assert_int_equal(atomic_load(&counted), 1);
    sched_halt(&kernel);
}

/* ---- Yields ---------------------------------------------------------------------------------- */

static void a_yield_runs_the_task_again_whatever_it_returned(void **state) {
    (void)state;
    gmk_task_t task = {.type = YIELD, .meta0 = 7};
    start(NULL);
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 8);
    gmk_counts_t c = counts_of(YIELD);
    assert_int_equal(c.yields, 7);
    assert_int_equal(c.completed, 1);
    assert_int_equal(c.failed, 0);
    sched_halt(&kernel);
}

static void a_yield_with_a_time_waits_for_it(void **state) {
    (void)state;
    gmk_task_t task = {.type = PAUSE};
    start(NULL);
    uint64_t begin = hal_now_ns();
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 1);
    assert_in_range(hal_now_ns() - begin, 1000000, UINT64_MAX);
    sched_halt(&kernel);
}

static void a_task_that_never_stops_yielding_is_broken_off_and_its_type_poisoned(void **state) {
    (void)state;
    gmk_task_t task = {.type = YIELD, .meta0 = UINT64_MAX};
    start(&(gmk_boot_cfg_t){.max_yields = 1000});
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&runs), 1001);
    assert_int_equal(counts_of(YIELD).dropped, 1);
    assert_int_equal(atomic_load(&letters[GMK_DROP_YIELDS]), 1);
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EPOISONED);
    ASSERT_OK(gmk_type_reset(&kernel, YIELD));
    task.meta0 = 1;
    ASSERT_OK(gmk_submit(&kernel, &task));
    sched_halt(&kernel);
}

#define FLOODERS    2
#define FLOOD_TASKS 6000

struct flooder {
    struct hal_thread thread;
    unsigned priority;
};

static void flood(void *arg) {
    const struct flooder *f = arg;
    gmk_task_t task = {.type = YIELD, .flags = GMK_PRIO(f->priority), .meta0 = 6};
    for (int i = 0; i < FLOOD_TASKS; i++)
        sched_submit(&kernel, &task);
}

/* Every task gives way six times, while two threads fill each place that gets free in tiny
 * queues: what comes again must find room all the same, for ever. */
static void no_yield_is_lost_while_submitters_keep_every_queue_full(void **state) {
    (void)state;
    const unsigned priorities[][FLOODERS] = {{0, 0}, {1, 1}, {2, 2}, {1, 3}, {0, 2}};
    for (size_t p = 0; p < sizeof(priorities) / sizeof(priorities[0]); p++) {
        struct flooder flooders[FLOODERS];
        start(&(gmk_boot_cfg_t){.ready_slots = 16, .local_slots = 16, .arena_size = 8u << 20});
        for (int i = 0; i < FLOODERS; i++) {
            flooders[i].priority = priorities[p][i];
            assert_int_equal(
                hal_thread_start(&flooders[i].thread, "flood", 0, -1, flood, &flooders[i]), 0);
        }
        for (int i = 0; i < FLOODERS; i++)
            hal_thread_join(&flooders[i].thread);
        drain();
        gmk_counts_t c = counts_of(YIELD);
        assert_int_equal(c.completed, FLOODERS * FLOOD_TASKS);
        assert_int_equal(c.yields, 6 * FLOODERS * FLOOD_TASKS);
        sched_halt(&kernel);
    }
}

/* The same without a race: far more tasks than the overflow bucket has slots. */
static void no_yield_is_lost_when_the_queue_is_full_each_time_a_task_gives_way(void **state) {
    (void)state;
    for (unsigned priority = 0; priority < GMK_PRIORITIES; priority++) {
        gmk_task_t task = {.type = CROWD, .flags = GMK_PRIO(priority)};
        start(&(gmk_boot_cfg_t){.ready_slots = 16, .local_slots = 16, .arena_size = 8u << 20});
        atomic_store(&crowd, 1);
        ASSERT_OK(gmk_submit(&kernel, &task));
        drain();
        assert_int_equal(counts_of(CROWD).completed, CROWD_MAX);
        assert_int_equal(atomic_load(&runs), 4 * CROWD_MAX);
        sched_halt(&kernel);
    }
}

static void a_payload_lives_as_long_as_its_task_yields_and_retries(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.retry_base_ns = 1000});
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    for (uint64_t retry = 0; retry < 2; retry++)
        for (int i = 0; i < 50; i++) {
            void *payload = gmk_alloc(ctx, 1000);
            memset(payload, 0x5a, 1000);
            gmk_task_t task = {.type = KEEP, .payload = payload, .len = 1000, .meta1 = retry};
            ASSERT_OK(gmk_submit(&kernel, &task));
        }
    drain();
    gmk_counts_t c = counts_of(KEEP);
    assert_int_equal(c.completed, 100);
    assert_int_equal(c.failed, 0);
    gmk_detach(&kernel); /* its cache of blocks goes back */
    gmk_part_stats_t blocks;
    ASSERT_OK(gmk_arena_stats(&kernel, GMK_PART_BLOCKS, &blocks));
    assert_int_equal(blocks.allocs, blocks.frees);
    sched_halt(&kernel);
}

/* ---- Deadlines -------------------------------------------------------------------------------- */

static void a_task_whose_deadline_passed_is_a_dead_letter_and_does_not_run(void **state) {
    (void)state;
    start(NULL);
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    gmk_task_t late = {.type = COUNT, .flags = GMK_TASK_DEADLINE, .meta0 = (uintptr_t)&counted};
    late.when_ns = gmk_now(ctx) - 1;
    ASSERT_OK(gmk_submit(&kernel, &late));
    late.when_ns = gmk_now(ctx) + 1000;
    ASSERT_OK(gmk_submit_at(&kernel, &late, gmk_now(ctx) + 2000000));
    drain();
    assert_int_equal(atomic_load(&counted), 0);
    assert_int_equal(counts_of(COUNT).dropped, 2);
    assert_int_equal(atomic_load(&letters[GMK_DROP_DEADLINE]), 2);
    late.when_ns = UINT64_MAX;
    ASSERT_OK(gmk_submit(&kernel, &late));
    drain();
    assert_int_equal(atomic_load(&counted), 1);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_asks_for_retries_gets_them_and_completes),
        cmocka_unit_test(retries_wait_twice_as_long_each_time),
        cmocka_unit_test(the_retry_limit_dead_letters_with_its_reason),
        cmocka_unit_test(no_retry_is_lost_when_the_timed_queue_is_full),
        cmocka_unit_test(a_type_that_fails_too_often_is_stopped_and_freed_by_a_reset),
        cmocka_unit_test(tasks_queued_before_the_poison_are_dead_letters),
        cmocka_unit_test(poison_of_one_type_leaves_the_others_alone),
        cmocka_unit_test(a_yield_runs_the_task_again_whatever_it_returned),
        cmocka_unit_test(a_yield_with_a_time_waits_for_it),
        cmocka_unit_test(a_task_that_never_stops_yielding_is_broken_off_and_its_type_poisoned),
        cmocka_unit_test(no_yield_is_lost_while_submitters_keep_every_queue_full),
        cmocka_unit_test(no_yield_is_lost_when_the_queue_is_full_each_time_a_task_gives_way),
        cmocka_unit_test(a_payload_lives_as_long_as_its_task_yields_and_retries),
        cmocka_unit_test(a_task_whose_deadline_passed_is_a_dead_letter_and_does_not_run),
    };
    return cmocka_run_group_tests_name("sched_faults", tests, NULL, NULL);
}
