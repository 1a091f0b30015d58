/* Test of fan-out: every subscriber gets every message without anybody's help, and all of
 * them share one payload, which is freed once, after the last of them. */
#include "tests/lib/chan_fixture.h"

#define SUBS 5u

static struct chan_record got[SUBS];
static uint32_t chan;

static int before(void **state) {
    (void)state;
    for (uint32_t i = 0; i < SUBS; i++)
        chan_record_clear(&got[i]);
    chan_up(2);
    chan = chan_make("news", GMK_CHAN_FANOUT, 64);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void send(uint64_t value) {
    gmk_task_t task = {.type = MSG, .meta0 = value, .len = 24};
    task.payload = chan_payload(chan_me, value);
    assert_non_null(task.payload);
    ASSERT_OK(gmk_chan_send(chan_me, chan, &task, UINT64_MAX));
}

static void every_subscriber_gets_everything_with_no_drain_at_all(void **state) {
    (void)state;
    for (uint32_t i = 0; i < SUBS; i++)
        (void)chan_listen(chan, chan_note, &got[i], 0);
    for (uint64_t i = 1; i <= 500; i++)
        send(i);
    /* Only looking: nothing here runs, drains or wakes anything. */
    for (uint32_t i = 0; i < SUBS; i++)
        EVENTUALLY(atomic_load(&got[i].count) == 500);
    for (uint32_t i = 0; i < SUBS; i++)
        chan_expect_run(&got[i], 1, 500);
}

static void each_subscriber_may_be_ordered_or_parallel(void **state) {
    (void)state;
    _Atomic uint64_t count = 0;
    (void)chan_listen(chan, chan_note, &got[0], GMK_SUB_ORDERED);
    (void)chan_listen(chan, chan_tally, &count, GMK_SUB_PARALLEL);
    for (uint64_t i = 1; i <= 2000; i++)
        send(i);
    chan_drain();
    chan_expect_run(&got[0], 1, 2000);
    assert_int_equal(atomic_load(&count), 2000);
}

static _Atomic(void *) seen[SUBS];
static _Atomic uint32_t seen_count;

static int see(gmk_ctx_t *ctx) {
    atomic_store(&seen[atomic_fetch_add(&seen_count, 1) % SUBS], ctx->task->payload);
    return GMK_OK;
}

static void all_subscribers_see_one_and_the_same_payload(void **state) {
    (void)state;
    atomic_store(&seen_count, 0);
    for (uint32_t i = 0; i < SUBS; i++)
        (void)chan_listen(chan, see, NULL, i % 2 ? GMK_SUB_PARALLEL : 0);
    gmk_task_t task = {.type = MSG, .len = 24};
    void *block = task.payload = chan_payload(chan_me, 0);
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &task));
    chan_drain();
    assert_int_equal(atomic_load(&seen_count), SUBS);
    for (uint32_t i = 0; i < SUBS; i++)
        assert_ptr_equal(atomic_load(&seen[i]), block);
    assert_int_equal(chan_blocks_live(), 0);
}

static void the_payload_lives_until_its_slowest_subscriber_is_done(void **state) {
    (void)state;
    static struct sched_gate gate;
    gate = (struct sched_gate){0};
    (void)chan_listen(chan, chan_note, &got[0], 0);
    (void)chan_listen(chan, sched_gate_handler, NULL, 0);
    gmk_task_t task = {.type = MSG, .meta0 = (uintptr_t)&gate, .len = 24};
    task.payload = chan_payload(chan_me, (uintptr_t)&gate);
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &task));
    EVENTUALLY(atomic_load(&got[0].count) == 1 && atomic_load(&gate.inside) == 1);
    assert_int_equal(chan_blocks_live(), 1);
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(chan_blocks_live(), 0);
}

/* Yields until its 50th round, checking its payload each time. */
static int yielding(gmk_ctx_t *ctx) {
    struct chan_record *record = ctx->state;
    if (*(uint64_t *)ctx->task->payload != ctx->task->meta0)
        atomic_fetch_add(&record->damaged, 1);
    if (ctx->task->yield_count < 50) {
        gmk_yield(ctx);
        return GMK_OK;
    }
    return chan_note(ctx);
}

static void a_payload_survives_the_yields_of_one_and_the_end_of_the_others(void **state) {
    (void)state;
    (void)chan_listen(chan, yielding, &got[0], 0);
    (void)chan_listen(chan, chan_note, &got[1], 0);
    (void)chan_listen(chan, yielding, &got[2], 0);
    for (uint64_t i = 1; i <= 40; i++)
        send(i);
    chan_drain();
    for (uint32_t i = 0; i < 3; i++)
        chan_expect_run(&got[i], 1, 40);
    assert_int_equal(chan_blocks_live(), 0);
}

static int hold_back(gmk_ctx_t *ctx) {
    if (ctx->task->meta1++ != 0)
        return chan_note(ctx);
    gmk_yield_at(ctx, gmk_now(ctx) + 200000);
    return GMK_OK;
}

static void a_slow_subscriber_slows_the_senders_down_and_loses_nothing(void **state) {
    (void)state;
    (void)chan_listen(chan, chan_note, &got[0], 0);
    (void)chan_listen(chan, hold_back, &got[1], 0);
    for (uint64_t i = 1; i <= 100; i++) /* the log has 64 slots */
        send(i);
    chan_drain();
    chan_expect_run(&got[0], 1, 100);
    chan_expect_run(&got[1], 1, 100);
}

static int release_early(gmk_ctx_t *ctx) {
    gmk_payload_release(ctx);
    return chan_note(ctx);
}

static int keep(gmk_ctx_t *ctx) {
    gmk_payload_retain(ctx);
    ((uint64_t **)ctx->state)[ctx->task->meta0] = ctx->task->payload;
    return GMK_OK;
}

static void a_handler_may_release_early_and_another_keep_it(void **state) {
    (void)state;
    uint64_t *kept[11] = {NULL};
    (void)chan_listen(chan, release_early, &got[0], 0);
    (void)chan_listen(chan, keep, kept, 0);
    for (uint64_t i = 1; i <= 10; i++)
        send(i);
    chan_drain();
    assert_int_equal(chan_blocks_live(), 10);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_int_equal(*kept[i], i);
        gmk_free(chan_me, kept[i]);
    }
}

static void a_group_counts_every_delivery(void **state) {
    (void)state;
    uint32_t group;
    for (uint32_t i = 0; i < 3; i++)
        (void)chan_listen(chan, chan_note, &got[i], 0);
    ASSERT_OK(gmk_group_open(chan_me, 0, &group));
    for (uint64_t i = 1; i <= 100; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .group = group};
        ASSERT_OK(gmk_chan_send(chan_me, chan, &task, UINT64_MAX));
    }
    ASSERT_OK(gmk_group_wait(chan_me, group));
    for (uint32_t i = 0; i < 3; i++)
        chan_expect_run(&got[i], 1, 100);
}

static void who_comes_later_gets_what_is_sent_from_then_on(void **state) {
    (void)state;
    (void)chan_listen(chan, chan_note, &got[0], 0);
    for (uint64_t i = 1; i <= 10; i++)
        send(i);
    (void)chan_listen(chan, chan_note, &got[1], 0);
    for (uint64_t i = 11; i <= 20; i++)
        send(i);
    chan_drain();
    chan_expect_run(&got[0], 1, 20);
    chan_expect_run(&got[1], 11, 10);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(every_subscriber_gets_everything_with_no_drain_at_all),
        T(each_subscriber_may_be_ordered_or_parallel),
        T(all_subscribers_see_one_and_the_same_payload),
        T(the_payload_lives_until_its_slowest_subscriber_is_done),
        T(a_payload_survives_the_yields_of_one_and_the_end_of_the_others),
        T(a_slow_subscriber_slows_the_senders_down_and_loses_nothing),
        T(a_handler_may_release_early_and_another_keep_it),
        T(a_group_counts_every_delivery),
        T(who_comes_later_gets_what_is_sent_from_then_on),
    };
    return cmocka_run_group_tests_name("chan_fanout", tests, NULL, NULL);
}
