/* Test of the timed queue inside an engine: exact order, also beyond 65,535 events, the limit,
 * and that nobody needs to poll for it. */
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, NOTE, FLOOD, SPREAD };

#define EVENTS 70000u

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint32_t noted;
static uint32_t expected; /* one worker */
static _Atomic uint32_t disorder;

static int note_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0 != expected)
        atomic_fetch_add(&disorder, 1);
    expected = (uint32_t)ctx->task->meta0 + 1;
    atomic_fetch_add(&noted, 1);
    return GMK_OK;
}

static _Atomic uint32_t flood_stop;

static int flood_handler(gmk_ctx_t *ctx) {
    gmk_task_t again = {.type = FLOOD};
    return atomic_load(&flood_stop) ? GMK_OK : gmk_emit(ctx, &again);
}

/* Timed tasks from inside, the later ones queued first. */
static int spread_handler(gmk_ctx_t *ctx) {
    uint64_t begin = gmk_now(ctx) + 1000000;
    for (uint32_t i = 100; i-- > 0;) {
        gmk_task_t task = {.type = NOTE, .meta0 = i};
        ASSERT_OK(gmk_emit_at(ctx, &task, begin + i));
    }
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"},
    {NOTE, note_handler, "note"},
    {FLOOD, flood_handler, "flood"},
    {SPREAD, spread_handler, "spread"},
};

static void start(const gmk_boot_cfg_t *cfg) {
    expected = 0;
    atomic_store(&noted, 0);
    atomic_store(&disorder, 0);
    atomic_store(&flood_stop, 0);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
}

static void expect_all_in_order(uint32_t count) {
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&noted), count);
    assert_int_equal(atomic_load(&disorder), 0);
    sched_halt(&kernel);
}

/* All are due at the same time, so only the order of arrival decides: it must not wrap. */
static void seventy_thousand_events_of_one_time_keep_their_order(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.max_timers = EVENTS, .arena_size = 256u << 20});
    sched_gate_shut(&gate, &kernel, GATE, 1);
    uint64_t due = hal_now_ns();
    for (uint32_t i = 0; i < EVENTS; i++) {
        gmk_task_t task = {.type = NOTE, .meta0 = i};
        ASSERT_OK(gmk_submit_at(&kernel, &task, due));
    }
    sched_gate_open(&gate);
    expect_all_in_order(EVENTS);
}

static void an_earlier_event_goes_first_although_it_was_queued_last(void **state) {
    (void)state;
    start(NULL);
    sched_gate_shut(&gate, &kernel, GATE, 1);
    uint64_t due = hal_now_ns();
    for (uint32_t i = 1000; i-- > 0;) {
        gmk_task_t task = {.type = NOTE, .meta0 = i};
        ASSERT_OK(gmk_submit_at(&kernel, &task, due + i));
    }
    sched_gate_open(&gate);
    expect_all_in_order(1000);
}

static void events_keep_their_order_beside_a_flood_of_local_work(void **state) {
    (void)state;
    start(NULL);
    gmk_task_t task = {.type = FLOOD};
    for (int i = 0; i < 40; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    uint64_t due = hal_now_ns() + 1000000;
    for (uint32_t i = 0; i < 2000; i++) {
        gmk_task_t event = {.type = NOTE, .meta0 = i};
        ASSERT_OK(gmk_submit_at(&kernel, &event, due + i * 100));
    }
    EVENTUALLY(atomic_load(&noted) == 2000);
    atomic_store(&flood_stop, 1);
    expect_all_in_order(2000);
}

static void events_emitted_by_a_handler_wake_the_sleeping_worker_in_order(void **state) {
    (void)state;
    start(NULL);
    gmk_task_t task = {.type = SPREAD};
    ASSERT_OK(gmk_submit(&kernel, &task));
    expect_all_in_order(100);
}

static void an_event_is_never_early(void **state) {
    (void)state;
    start(NULL);
    for (uint32_t i = 0; i < 20; i++) {
        gmk_task_t task = {.type = NOTE, .meta0 = i};
        uint64_t due = hal_now_ns() + 500000;
        ASSERT_OK(gmk_submit_at(&kernel, &task, due));
        EVENTUALLY(atomic_load(&noted) == i + 1);
        assert_in_range(hal_now_ns(), due, UINT64_MAX);
    }
    expect_all_in_order(20);
}

/* With every worker asleep until the first event, an earlier one must shorten that sleep. */
static void an_earlier_event_shortens_the_sleep(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_task_t late = {.type = NOTE, .meta0 = 1}, early = {.type = NOTE, .meta0 = 0};
    uint64_t hour = UINT64_C(3600000000000);
    ASSERT_OK(gmk_submit_at(&kernel, &late, hal_now_ns() + hour));
    sched_pause();
    ASSERT_OK(gmk_submit_at(&kernel, &early, hal_now_ns() + 1000000));
    EVENTUALLY(atomic_load(&noted) == 1);
    assert_int_equal(atomic_load(&disorder), 0);
    ASSERT_OK(gmk_halt(&kernel)); /* the late one is dead-lettered, not waited for */
}

static void the_timed_queue_has_a_limit_and_says_so(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.max_timers = 10});
    sched_gate_shut(&gate, &kernel, GATE, 1);
    gmk_task_t task = {.type = NOTE};
    for (task.meta0 = 0; task.meta0 < 10; task.meta0++)
        ASSERT_OK(gmk_submit_at(&kernel, &task, hal_now_ns()));
    ASSERT_STATUS(gmk_submit_at(&kernel, &task, hal_now_ns()), GMK_ELIMIT);
    sched_gate_open(&gate);
    EVENTUALLY(atomic_load(&noted) == 10);
    ASSERT_OK(gmk_submit_at(&kernel, &task, hal_now_ns()));
    expect_all_in_order(11);
}

/* The end of time is a valid time; halt does not wait for it. */
static void halt_dead_letters_what_is_not_due(void **state) {
    (void)state;
    start(NULL);
    gmk_task_t task = {.type = NOTE};
    ASSERT_OK(gmk_submit_at(&kernel, &task, UINT64_MAX));
    ASSERT_OK(gmk_submit_at(&kernel, &task, UINT64_MAX - 1));
    ASSERT_STATUS(gmk_drain(&kernel, 1000), GMK_ETIMEOUT);
    ASSERT_OK(gmk_halt(&kernel));
    assert_int_equal(atomic_load(&noted), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seventy_thousand_events_of_one_time_keep_their_order),
        cmocka_unit_test(an_earlier_event_goes_first_although_it_was_queued_last),
        cmocka_unit_test(events_keep_their_order_beside_a_flood_of_local_work),
        cmocka_unit_test(events_emitted_by_a_handler_wake_the_sleeping_worker_in_order),
        cmocka_unit_test(an_event_is_never_early),
        cmocka_unit_test(an_earlier_event_shortens_the_sleep),
        cmocka_unit_test(the_timed_queue_has_a_limit_and_says_so),
        cmocka_unit_test(halt_dead_letters_what_is_not_due),
    };
    return cmocka_run_group_tests_name("timer_order", tests, NULL, NULL);
}
