/* Test of the ordered lane in a normal engine: tasks flagged GMK_TASK_DETERMINISTIC run one
 * at a time in the order queued, among all the others, and may do whatever tasks do. */
#include "tests/lib/chan_fixture.h"

#define LANE 10u
#define TREE 11u

static struct chan_record got;
static _Atomic uint32_t inside, overlaps;
static _Atomic uint64_t normal;
static gmk_kernel_t kernel;

/* Notes its number; meta1 says what else it does: children, yields, retries. */
static int lane_handler(gmk_ctx_t *ctx) {
    if (atomic_fetch_add(&inside, 1) != 0)
        atomic_fetch_add(&overlaps, 1);
    ctx->state = &got;
    int status = chan_note(ctx);
    atomic_fetch_sub(&inside, 1);
    return status;
}

static gmk_task_t lane_task(uint64_t value) {
    return (gmk_task_t){.type = LANE, .flags = GMK_TASK_DETERMINISTIC, .meta0 = value};
}

/* Opens a group of lane tasks and waits for it: they are behind it in the lane. */
static int waiting_handler(gmk_ctx_t *ctx) {
    uint32_t group;
    if (gmk_group_open(ctx, 0, &group) != GMK_OK)
        return GMK_EFAIL;
    for (uint64_t i = 1; i <= 10; i++) {
        gmk_task_t child = ctx->task->meta0 != 0
                               ? (gmk_task_t){.type = TREE, .meta0 = ctx->task->meta0 - 1}
                               : lane_task(i);
        child.flags = GMK_TASK_DETERMINISTIC;
        child.group = group;
        if (gmk_emit(ctx, &child) != GMK_OK)
            return GMK_EFAIL;
        if (ctx->task->meta0 != 0)
            break; /* one child per level, ten at the bottom */
    }
    return gmk_group_wait(ctx, group);
}

static void up(uint32_t workers) {
    static const gmk_handler_reg_t handlers[] = {{LANE, lane_handler, "lane"},
                                                 {TREE, waiting_handler, "tree"},
                                                 {CHAN_COUNT, sched_count_handler, "count"}};
    gmk_boot_cfg_t cfg = {.n_workers = workers};
    chan_record_clear(&got);
    atomic_store(&inside, 0);
    atomic_store(&overlaps, 0);
    atomic_store(&normal, 0);
    sched_boot(&kernel, &cfg, handlers, 3);
}

static void lane_tasks_run_one_at_a_time_in_the_order_submitted(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 4; workers++) {
        up(workers);
        for (uint64_t i = 1; i <= 5000; i++) {
            gmk_task_t ordered = lane_task(i);
            gmk_task_t other = {.type = CHAN_COUNT, .meta0 = (uintptr_t)&normal};
            sched_submit(&kernel, &ordered);
            sched_submit(&kernel, &other);
        }
        sched_halt(&kernel);
        chan_expect_run(&got, 1, 5000);
        assert_int_equal(atomic_load(&overlaps), 0);
        assert_int_equal(atomic_load(&normal), 5000);
    }
}

static void the_lane_is_bounded_and_says_EAGAIN(void **state) {
    (void)state;
    gmk_boot_cfg_t cfg = {.n_workers = 1, .channel_slots = 64};
    struct sched_gate gate = {0};
    static const gmk_handler_reg_t handlers[] = {{LANE, lane_handler, "lane"},
                                                 {CHAN_GATE, sched_gate_handler, "gate"}};
    uint64_t taken = 0;
    up(1);
    sched_halt(&kernel);
    sched_boot(&kernel, &cfg, handlers, 2);
    sched_gate_shut(&gate, &kernel, CHAN_GATE, 1);
    gmk_task_t task = lane_task(1);
    while (taken < 100000 && gmk_submit(&kernel, &task) == GMK_OK)
        task.meta0 = ++taken + 1;
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EAGAIN);
    sched_gate_open(&gate);
    sched_halt(&kernel);
    assert_true(taken >= 64 && taken < 100000);
    chan_expect_run(&got, 1, (uint32_t)taken);
}

static void a_lane_task_may_wait_for_lane_tasks_behind_it(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        for (uint64_t depth = 0; depth <= 8; depth += 4) {
            up(workers);
            gmk_task_t task = {.type = TREE, .flags = GMK_TASK_DETERMINISTIC, .meta0 = depth};
            sched_submit(&kernel, &task);
            ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
            chan_expect_run(&got, 1, 10);
            sched_halt(&kernel);
        }
    }
}

static void a_waiting_lane_task_wakes_for_lane_tasks_of_others(void **state) {
    (void)state;
    /* Again and again, so that the new task meets the waiting worker in every stage of
     * falling asleep. */
    up(2);
    gmk_ctx_t *me = gmk_attach(&kernel);
    for (uint64_t round = 0; round < 200; round++) {
        uint32_t group;
        ASSERT_OK(gmk_group_open(me, 0, &group));
        gmk_task_t tree = {
            .type = TREE, .flags = GMK_TASK_DETERMINISTIC, .meta0 = 0, .group = group};
        sched_submit(&kernel, &tree);
        gmk_task_t more = lane_task(1);
        more.group = group;
        sched_submit(&kernel, &more);
        ASSERT_OK(gmk_group_wait(me, group));
    }
    sched_halt(&kernel);
    assert_int_equal(atomic_load(&got.count), 200 * 11);
    assert_int_equal(atomic_load(&overlaps), 0);
}

/* Yields twice and retries once on the way, noting only at the end. */
static int restless_handler(gmk_ctx_t *ctx) {
    switch (ctx->task->meta1++) {
    case 0:
        gmk_yield(ctx);
        return GMK_OK;
    case 1:
        return GMK_RETRY;
    default:
        return lane_handler(ctx);
    }
}

static void yields_and_retries_stay_in_the_lane_and_lose_nothing(void **state) {
    (void)state;
    static const gmk_handler_reg_t handlers[] = {{LANE, restless_handler, "restless"}};
    gmk_boot_cfg_t cfg = {.n_workers = 3, .retry_base_ns = 1000};
    up(1);
    sched_halt(&kernel);
    sched_boot(&kernel, &cfg, handlers, 1);
    for (uint64_t i = 1; i <= 500; i++) {
        gmk_task_t task = lane_task(i);
        sched_submit(&kernel, &task);
    }
    sched_halt(&kernel);
    assert_int_equal(atomic_load(&got.count), 500);
    assert_int_equal(atomic_load(&overlaps), 0);
}

static void a_full_lane_of_tasks_that_all_yield_overflows_nowhere(void **state) {
    (void)state;
    static const gmk_handler_reg_t handlers[] = {{LANE, restless_handler, "restless"},
                                                 {CHAN_GATE, sched_gate_handler, "gate"}};
    gmk_boot_cfg_t cfg = {.n_workers = 1, .channel_slots = 64, .retry_base_ns = 1000};
    struct sched_gate gate = {0};
    up(1);
    sched_halt(&kernel);
    sched_boot(&kernel, &cfg, handlers, 2);
    for (uint32_t round = 0; round < 5; round++) {
        uint64_t taken = 0;
        sched_gate_shut(&gate, &kernel, CHAN_GATE, 1);
        gmk_task_t task = lane_task(1);
        while (gmk_submit(&kernel, &task) == GMK_OK)
            taken++;
        sched_gate_open(&gate);
        for (uint32_t i = 0; i < 2000; i++) /* new ones push in while the others come again */
            (void)gmk_submit(&kernel, &task);
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        assert_true(taken >= 64);
    }
    sched_halt(&kernel);
}

static void ticks_and_the_hash_tell_what_the_lane_did(void **state) {
    (void)state;
    uint64_t hash[3], tick;
    for (uint32_t run = 0; run < 3; run++) {
        up(run + 1);
        gmk_ctx_t *me = gmk_attach(&kernel);
        assert_int_equal(gmk_tick(me), 0);
        for (uint64_t i = 1; i <= 20; i++) { /* one per tick, whatever the timing */
            gmk_task_t task = lane_task(run == 2 && i == 13 ? 99 : i);
            sched_submit(&kernel, &task);
            ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        }
        tick = gmk_tick(me);
        hash[run] = gmk_trace_hash(me);
        assert_int_equal(tick, 20);
        sched_halt(&kernel);
    }
    assert_true(hash[0] == hash[1]);
    assert_true(hash[0] != hash[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lane_tasks_run_one_at_a_time_in_the_order_submitted),
        cmocka_unit_test(the_lane_is_bounded_and_says_EAGAIN),
        cmocka_unit_test(a_lane_task_may_wait_for_lane_tasks_behind_it),
        cmocka_unit_test(a_waiting_lane_task_wakes_for_lane_tasks_of_others),
        cmocka_unit_test(yields_and_retries_stay_in_the_lane_and_lose_nothing),
        cmocka_unit_test(a_full_lane_of_tasks_that_all_yield_overflows_nowhere),
        cmocka_unit_test(ticks_and_the_hash_tell_what_the_lane_did),
    };
    return cmocka_run_group_tests_name("sched_lane", tests, NULL, NULL);
}
