/* Test of ordered subscriptions: one message at a time, in the order sent, on whichever
 * worker, whatever the handlers do in the middle of a message. */
#include "tests/lib/chan_fixture.h"

#define WORKERS 3u

static struct chan_record got;
static _Atomic uint32_t inside, overlaps;
static struct sched_gate gate;
static uint32_t chan;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    atomic_store(&inside, 0);
    atomic_store(&overlaps, 0);
    gate = (struct sched_gate){0};
    chan_up(WORKERS);
    chan = chan_make("ord", 0, 64);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void send(gmk_ctx_t *ctx, uint64_t value, uint64_t from) {
    gmk_task_t task = {.type = MSG, .meta0 = value, .meta1 = from, .len = 24};
    while ((task.payload = chan_payload(ctx, value)) == NULL)
        hal_yield_cpu();
    if (gmk_chan_send(ctx, chan, &task, UINT64_MAX) != GMK_OK)
        abort();
}

static int alone(gmk_ctx_t *ctx) {
    if (atomic_fetch_add(&inside, 1) != 0)
        atomic_fetch_add(&overlaps, 1);
    for (uint32_t i = 0; i < ctx->task->meta0 % 64; i++)
        hal_relax();
    int status = chan_note(ctx);
    atomic_fetch_sub(&inside, 1);
    return status;
}

static void one_message_at_a_time_in_order(void **state) {
    (void)state;
    (void)chan_listen(chan, alone, &got, 0);
    for (uint64_t i = 1; i <= 10000; i++)
        send(chan_me, i, 0);
    chan_drain();
    chan_expect_run(&got, 1, 10000);
    assert_int_equal(atomic_load(&overlaps), 0);
}

/* By its number a message yields, waits for a time, asks for a retry, or all of them. */
static int restless(gmk_ctx_t *ctx) {
    gmk_task_t *task = ctx->task;
    uint64_t step = task->meta1++;
    if (atomic_fetch_add(&inside, 1) != 0)
        atomic_fetch_add(&overlaps, 1);
    int status = GMK_OK;
    if (step == 0 && task->meta0 % 2 == 0)
        gmk_yield(ctx);
    else if (step <= 1 && task->meta0 % 3 == 0)
        status = GMK_RETRY, task->meta1 = 2;
    else if (step <= 2 && task->meta0 % 5 == 0)
        gmk_yield_at(ctx, gmk_now(ctx) + 5000), task->meta1 = 3;
    else
        status = chan_note(ctx);
    atomic_fetch_sub(&inside, 1);
    return status;
}

static void yields_waits_and_retries_do_not_change_the_order(void **state) {
    (void)state;
    (void)chan_listen(chan, restless, &got, 0);
    for (uint64_t i = 1; i <= 600; i++)
        send(chan_me, i, 0);
    chan_drain();
    chan_expect_run(&got, 1, 600);
    assert_int_equal(atomic_load(&overlaps), 0);
}

static int forever(gmk_ctx_t *ctx) {
    return ctx->task->meta0 % 10 == 0 ? GMK_RETRY : chan_note(ctx);
}

static void a_message_that_retries_in_vain_ends_and_the_next_one_comes(void **state) {
    (void)state;
    static struct chan_record letters;
    chan_record_clear(&letters);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    (void)chan_listen(chan, forever, &got, 0);
    for (uint64_t i = 1; i <= 30; i++)
        send(chan_me, i, 0);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 27);
    assert_int_equal(atomic_load(&letters.count), 3);
    assert_int_equal(atomic_load(&letters.damaged), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(letters.at[i].value, 10 * (i + 1));
        assert_int_equal(letters.at[i].reason, GMK_DROP_RETRIES);
        assert_int_equal(letters.at[i].origin, chan);
        assert_int_equal(letters.at[i].origin_seq, 10 * (i + 1));
    }
}

/* ---- Several senders ------------------------------------------------------------------- */

#define SENDERS 4u
#define EACH    3000u

static void send_stream(gmk_ctx_t *ctx, void *arg) {
    for (uint64_t i = 1; i <= EACH; i++)
        send(ctx, i, *(uint32_t *)arg);
}

static uint64_t last[SENDERS];
static uint32_t disorder;

static int per_sender(gmk_ctx_t *ctx) {
    disorder += ctx->task->meta0 != last[ctx->task->meta1] + 1;
    last[ctx->task->meta1] = ctx->task->meta0;
    return chan_note(ctx);
}

static void each_senders_messages_keep_their_order(void **state) {
    (void)state;
    struct chan_thread threads[SENDERS];
    uint32_t number[SENDERS];
    memset(last, 0, sizeof(last));
    disorder = 0;
    (void)chan_listen(chan, per_sender, &got, 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        number[i] = i;
        chan_start(&threads[i], send_stream, &number[i]);
    }
    for (uint32_t i = 0; i < SENDERS; i++)
        chan_join(&threads[i]);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), SENDERS * EACH);
    assert_int_equal(atomic_load(&got.damaged), 0);
    assert_int_equal(disorder, 0);
    for (uint32_t i = 0; i < SENDERS * EACH; i++)
        assert_int_equal(got.at[i].seq, i + 1); /* and all of them in the channel's order */
}

static void a_stuck_subscriber_holds_no_other_channel_up(void **state) {
    (void)state;
    uint32_t stuck = chan_make("stuck", 0, 64);
    (void)chan_listen(stuck, sched_gate_handler, NULL, 0);
    (void)chan_listen(chan, alone, &got, 0);
    ASSERT_OK(chan_say(stuck, (uintptr_t)&gate));
    ASSERT_OK(chan_say(stuck, (uintptr_t)&gate));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    for (uint64_t i = 1; i <= 1000; i++)
        send(chan_me, i, 0);
    EVENTUALLY(atomic_load(&got.count) == 1000);
    assert_int_equal(atomic_load(&gate.inside), 1); /* the second one waits its turn */
    sched_gate_open(&gate);
    chan_drain();
    chan_expect_run(&got, 1, 1000);
}

/* Sends on to its own channel. */
static int chain(gmk_ctx_t *ctx) {
    gmk_task_t next = {.type = MSG, .meta0 = ctx->task->meta0 + 1};
    if (next.meta0 <= 20000 && gmk_chan_emit(ctx, chan, &next) != GMK_OK)
        abort();
    return chan_note(ctx);
}

static void a_handler_may_send_to_its_own_channel(void **state) {
    (void)state;
    (void)chan_listen(chan, chain, &got, 0);
    ASSERT_OK(chan_say(chan, 1));
    chan_drain();
    chan_expect_run(&got, 1, 20000);
}

/* ---- Cold starts ------------------------------------------------------------------------ */

static void no_message_is_missed_by_a_subscription_that_goes_idle(void **state) {
    (void)state;
    (void)chan_listen(chan, alone, &got, 0);
    /* Each message meets the subscription in another stage of falling asleep. */
    for (uint64_t i = 1; i <= 3000; i++) {
        send(chan_me, i, 0);
        for (uint64_t k = 0; k < (i * 7) % 300; k++)
            hal_relax();
        if (i % 100 == 0)
            EVENTUALLY(atomic_load(&got.count) == i);
    }
    EVENTUALLY(atomic_load(&got.count) == 3000);
    chan_expect_run(&got, 1, 3000);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(one_message_at_a_time_in_order),
        T(yields_waits_and_retries_do_not_change_the_order),
        T(a_message_that_retries_in_vain_ends_and_the_next_one_comes),
        T(each_senders_messages_keep_their_order),
        T(a_stuck_subscriber_holds_no_other_channel_up),
        T(a_handler_may_send_to_its_own_channel),
        T(no_message_is_missed_by_a_subscription_that_goes_idle),
    };
    return cmocka_run_group_tests_name("chan_ordered", tests, NULL, NULL);
}
