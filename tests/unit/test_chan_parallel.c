/* Test of parallel subscriptions: as many messages at a time as there are workers, each
 * handled once, none behind a long handler. */
#include "tests/lib/chan_fixture.h"

#define WORKERS 3u
#define MANY    20000u

static _Atomic uint8_t times[MANY + 1];
static _Atomic uint32_t inside, most_inside;
static struct sched_gate gate;
static uint32_t chan;

static int before(void **state) {
    (void)state;
    memset(times, 0, sizeof(times));
    atomic_store(&inside, 0);
    atomic_store(&most_inside, 0);
    gate = (struct sched_gate){0};
    chan_up(WORKERS);
    chan = chan_make("par", 0, 256);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static int mark(gmk_ctx_t *ctx) {
    uint32_t now = atomic_fetch_add(&inside, 1) + 1;
    uint32_t most = atomic_load(&most_inside);
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
        continue;
    if (ctx->task->meta0 == 0)
        (void)sched_gate_handler(&(gmk_ctx_t){.task = &(gmk_task_t){.meta0 = (uintptr_t)&gate}});
    atomic_fetch_add(&times[ctx->task->meta0], 1);
    atomic_fetch_sub(&inside, 1);
    return GMK_OK;
}

static void send_all(gmk_ctx_t *ctx, void *arg) {
    uint64_t from = *(uint64_t *)arg;
    for (uint64_t i = from; i <= MANY; i += 2) {
        gmk_task_t task = {.type = MSG, .meta0 = i};
        if (gmk_chan_send(ctx, chan, &task, UINT64_MAX) != GMK_OK)
            abort();
    }
}

static void expect_each_once(void) {
    for (uint32_t i = 1; i <= MANY; i++)
        if (atomic_load(&times[i]) != 1)
            fail_msg("message %u was handled %u times", i, atomic_load(&times[i]));
}

static void each_message_is_handled_exactly_once(void **state) {
    (void)state;
    uint64_t from[2] = {1, 2};
    struct chan_thread threads[2];
    (void)chan_listen(chan, mark, NULL, GMK_SUB_PARALLEL);
    chan_start(&threads[0], send_all, &from[0]);
    chan_start(&threads[1], send_all, &from[1]);
    chan_join(&threads[0]);
    chan_join(&threads[1]);
    chan_drain();
    expect_each_once();
    assert_true(atomic_load(&most_inside) <= WORKERS);
}

static void as_many_run_at_a_time_as_there_are_workers(void **state) {
    (void)state;
    (void)chan_listen(chan, mark, NULL, GMK_SUB_PARALLEL);
    for (uint32_t i = 0; i < 3 * WORKERS; i++)
        ASSERT_OK(chan_say(chan, 0));
    EVENTUALLY(atomic_load(&gate.inside) == WORKERS);
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&times[0]), 3 * WORKERS);
    assert_int_equal(atomic_load(&most_inside), WORKERS);
}

static void long_handlers_hold_nothing_up_while_one_worker_is_free(void **state) {
    (void)state;
    (void)chan_listen(chan, mark, NULL, GMK_SUB_PARALLEL);
    for (uint32_t i = 0; i < WORKERS - 1; i++)
        ASSERT_OK(chan_say(chan, 0));
    EVENTUALLY(atomic_load(&gate.inside) == WORKERS - 1);
    uint64_t one = 1, two = 2;
    send_all(chan_me, &one);
    send_all(chan_me, &two);
    EVENTUALLY(chan_stat(chan).delivered == MANY);
    expect_each_once();
    sched_gate_open(&gate);
}

static void a_message_in_the_tail_of_a_long_handlers_batch_is_not_stuck(void **state) {
    (void)state;
    /* A long message first and in the middle: whoever is free must get the rest. */
    (void)chan_listen(chan, mark, NULL, GMK_SUB_PARALLEL);
    for (uint64_t i = 1; i <= 100; i++)
        ASSERT_OK(chan_say(chan, i == 1 || i == 50 ? 0 : i));
    EVENTUALLY(chan_stat(chan).delivered == 98);
    assert_int_equal(atomic_load(&gate.inside), 2);
    sched_gate_open(&gate);
}

/* Gives way, waits, and asks for a retry before it is content. */
static int restless(gmk_ctx_t *ctx) {
    switch (ctx->task->meta1++) {
    case 0:
        gmk_yield(ctx);
        return GMK_OK;
    case 1:
        return GMK_RETRY;
    case 2:
        gmk_yield_at(ctx, gmk_now(ctx) + 10000);
        return GMK_OK;
    default:
        if (*(uint64_t *)ctx->task->payload == ctx->task->meta0)
            atomic_fetch_add(&times[ctx->task->meta0], 1);
        return GMK_OK;
    }
}

static void yields_and_retries_keep_the_message_and_its_payload(void **state) {
    (void)state;
    (void)chan_listen(chan, restless, NULL, GMK_SUB_PARALLEL);
    for (uint64_t i = 1; i <= 200; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
    for (uint32_t i = 1; i <= 200; i++)
        assert_int_equal(atomic_load(&times[i]), 1);
    assert_int_equal(chan_stat(chan).delivered, 200);
}

static void ending_waits_for_messages_that_come_again(void **state) {
    (void)state;
    uint32_t sub = chan_listen(chan, restless, NULL, GMK_SUB_PARALLEL);
    for (uint64_t i = 1; i <= 200; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    chan_drain();
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.delivered + stats.dropped, 200);
    assert_int_equal(stats.n_subs, 0);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    EVENTUALLY(gmk_chan_find(chan_me, "par", &(uint32_t){0}) == GMK_ENOENT);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(each_message_is_handled_exactly_once),
        T(as_many_run_at_a_time_as_there_are_workers),
        T(long_handlers_hold_nothing_up_while_one_worker_is_free),
        T(a_message_in_the_tail_of_a_long_handlers_batch_is_not_stuck),
        T(yields_and_retries_keep_the_message_and_its_payload),
        T(ending_waits_for_messages_that_come_again),
    };
    return cmocka_run_group_tests_name("chan_parallel", tests, NULL, NULL);
}
