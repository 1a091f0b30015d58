/* Test of the hang detector: it names the handler that does not return, sees a queue that does
 * not move, and is quiet otherwise. */
#include "tests/lib/log_capture.h"
#include "tests/lib/sched_fixture.h"

enum { STUCK = 1, COUNT, CHAIN, WAITER };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint64_t chain_runs;

static int chain_handler(gmk_ctx_t *ctx) {
    gmk_task_t next = {.type = CHAIN};
    uint64_t begin = hal_now_ns();
    while (hal_now_ns() < begin + 100000)
        hal_relax();
    return atomic_fetch_add(&chain_runs, 1) < 400 ? gmk_emit(ctx, &next) : GMK_OK;
}

/* Waits for a group whose handle nobody closes: for ever, until the engine halts. */
static int waiter_handler(gmk_ctx_t *ctx) {
    return gmk_group_wait(ctx, (uint32_t)ctx->task->meta0) == GMK_OK ? GMK_OK : GMK_EFAIL;
}

static const gmk_handler_reg_t handlers[] = {
    {STUCK, sched_gate_handler, "stuck_handler"},
    {COUNT, sched_count_handler, "count"},
    {CHAIN, chain_handler, "chain"},
    {WAITER, waiter_handler, "waiter_handler"},
};

static void start(const gmk_boot_cfg_t *cfg) {
    log_capture_start();
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
}

static uint64_t hangs(void) {
    gmk_sched_stats_t sched;
    ASSERT_OK(gmk_sched_stats(&kernel, &sched));
    return sched.hangs;
}

static void a_handler_that_does_not_return_is_named_once(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.hang_ns = 20000000});
    sched_gate_shut(&gate, &kernel, STUCK, 1);
    EVENTUALLY(hangs() != 0);
    for (int i = 0; i < 1000; i++)
        sched_pause();
    uint64_t reports = hangs();
    sched_gate_open(&gate);
    sched_halt(&kernel);
    log_capture_end();
    assert_true(log_capture_has("stuck_handler"));
    assert_true(log_capture_has("worker 0"));
    assert_in_range(reports, 1, 2); /* the handler, and the queue that does not move behind it */
}

/* Every worker sleeps, and the task that is left will never end: the case nobody else sees. */
static void a_queue_that_does_not_move_is_seen_although_every_worker_sleeps(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.hang_ns = 20000000, .n_workers = 2, .halt_timeout_ns = 50000000});
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    uint32_t outer, inner;
    ASSERT_OK(gmk_group_open(ctx, 0, &outer));
    ASSERT_OK(gmk_group_open(ctx, outer, &inner)); /* keeps `outer` open, and is never closed */
    gmk_task_t task = {.type = WAITER, .meta0 = outer};
    ASSERT_OK(gmk_submit(&kernel, &task));
    EVENTUALLY(hangs() >= 2);
    ASSERT_OK(gmk_group_drop(ctx, inner)); /* now it ends */
    sched_halt(&kernel);
    log_capture_end();
    assert_true(log_capture_has("waiter_handler"));
    assert_true(log_capture_has("1 tasks wait and none has ended"));
}

static void work_that_moves_is_not_reported(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.hang_ns = SCHED_LIMIT_NS});
    gmk_task_t task = {.type = CHAIN};
    atomic_store(&chain_runs, 0);
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(hangs(), 0);
    sched_halt(&kernel);
    log_capture_end();
}

static void a_timed_task_is_no_hang(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.hang_ns = 100000000});
    gmk_task_t task = {.type = COUNT};
    ASSERT_OK(gmk_submit_at(&kernel, &task, hal_now_ns() + 250000000));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(hangs(), 0);
    sched_halt(&kernel);
    log_capture_end();
}

/* Halt must not wait for the watchdog's next look, which may be days away. */
static void the_watchdog_never_delays_a_halt(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        start(&(gmk_boot_cfg_t){.hang_ns = SCHED_LIMIT_NS * 1000, .arena_size = 8u << 20});
        gmk_task_t task = {.type = COUNT};
        ASSERT_OK(gmk_submit(&kernel, &task));
        sched_halt(&kernel);
    }
    start(&(gmk_boot_cfg_t){.hang_ns = UINT64_MAX}); /* never: there is none */
    sched_halt(&kernel);
    log_capture_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_that_does_not_return_is_named_once),
        cmocka_unit_test(a_queue_that_does_not_move_is_seen_although_every_worker_sleeps),
        cmocka_unit_test(work_that_moves_is_not_reported),
        cmocka_unit_test(a_timed_task_is_no_hang),
        cmocka_unit_test(the_watchdog_never_delays_a_halt),
    };
    return cmocka_run_group_tests_name("worker_hang", tests, NULL, NULL);
}
