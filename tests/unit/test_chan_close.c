/* Test of endings: closing and unsubscribing while traffic runs, names and ids that are used
 * again, and nothing lost or counted twice meanwhile. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got, letters;
static struct sched_gate gate;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    chan_record_clear(&letters);
    gate = (struct sched_gate){0};
    chan_up(2);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void expect_gone(const char *name) {
    EVENTUALLY(gmk_chan_find(chan_me, name, &(uint32_t){0}) == GMK_ENOENT);
}

static void after_closing_sends_are_refused_and_what_was_sent_arrives(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    (void)chan_listen(chan, chan_note, &got, 0);
    for (uint64_t i = 1; i <= 40; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    ASSERT_STATUS(chan_say_payload(chan, 41), GMK_ECLOSED);
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &(gmk_task_t){.type = MSG}, UINT64_MAX),
                  GMK_ECLOSED);
    ASSERT_STATUS(gmk_chan_close(chan_me, chan), GMK_ECLOSED);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_note, NULL, &got, 0, NULL), GMK_EEXIST);
    ASSERT_STATUS(gmk_chan_open(chan_me, "a", MSG, 0, 0, &(uint32_t){0}), GMK_EEXIST);
    sched_gate_open(&gate);
    expect_gone("a");
    chan_expect_run(&got, 1, 40);
    ASSERT_STATUS(gmk_chan_close(chan_me, chan), GMK_ENOENT);
    ASSERT_STATUS(chan_say(chan, 1), GMK_ENOENT);
}

static void a_channel_nobody_listens_to_closes_at_once(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", GMK_CHAN_FANOUT, 64);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    ASSERT_STATUS(gmk_chan_find(chan_me, "a", &chan), GMK_ENOENT);
    chan = chan_make("a", GMK_CHAN_FANOUT, 128);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_note, NULL, &got, 0, NULL), GMK_OK);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    expect_gone("a");
}

static void an_id_used_again_carries_its_new_type_and_starts_at_one(void **state) {
    (void)state;
    uint32_t other, chan = chan_make("a", 0, 16);
    (void)chan_listen(chan, chan_note, &got, 0);
    for (uint64_t i = 1; i <= 5; i++)
        ASSERT_OK(chan_say(chan, i));
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    expect_gone("a");
    ASSERT_OK(gmk_chan_open(chan_me, "b", OTHER, 0, 32, &other));
    assert_int_equal(other, chan);
    ASSERT_STATUS(chan_say(chan, 6), GMK_ETYPE);
    (void)chan_listen(other, chan_note, &letters, 0);
    gmk_task_t task = {.type = OTHER, .meta0 = 7};
    ASSERT_OK(gmk_chan_emit(chan_me, other, &task));
    chan_drain();
    chan_expect_run(&got, 1, 5);
    chan_expect_run(&letters, 7, 1);
    gmk_chan_stats_t stats = chan_stat(other);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(stats.delivered, 1);
}

static int stop_then_note(gmk_ctx_t *ctx) {
    if (ctx->task->seq == 1) {
        atomic_fetch_add(&gate.inside, 1);
        while (atomic_load(&gate.open) == 0)
            (void)hal_wait(&gate.open, 0, HAL_FOREVER);
    }
    return chan_note(ctx);
}

static void unsubscribing_dead_letters_what_has_not_started(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    uint32_t sub = chan_listen(chan, stop_then_note, &got, 0);
    for (uint64_t i = 1; i <= 20; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    ASSERT_STATUS(chan_say(chan, 21), GMK_EAGAIN); /* nobody listens any more */
    sched_gate_open(&gate);
    chan_drain();
    chan_expect_run(&got, 1, 1); /* the one that ran finished */
    assert_int_equal(atomic_load(&letters.count), 19);
    assert_int_equal(atomic_load(&letters.damaged), 0);
    for (uint32_t i = 0; i < 19; i++) {
        assert_int_equal(letters.at[i].value, 2 + i);
        assert_int_equal(letters.at[i].reason, GMK_DROP_CLOSED);
        assert_int_equal(letters.at[i].origin, chan);
    }
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.delivered, 1);
    assert_int_equal(stats.dropped, 19);
}

static void the_next_subscriber_does_not_wait_for_the_last_one_to_finish(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    uint32_t sub = chan_listen(chan, stop_then_note, &got, 0);
    ASSERT_OK(chan_say(chan, 1));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    (void)chan_listen(chan, chan_note, &letters, 0);
    ASSERT_OK(chan_say(chan, 2));
    EVENTUALLY(atomic_load(&letters.count) == 1);
    sched_gate_open(&gate);
    chan_drain();
    chan_expect_run(&got, 1, 1);
    chan_expect_run(&letters, 2, 1);
}

static int wait_long(gmk_ctx_t *ctx) {
    gmk_yield_at(ctx, gmk_now(ctx) + 3000000);
    return GMK_OK;
}

static void a_message_that_waits_for_its_time_ends_when_its_subscription_does(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    uint32_t sub = chan_listen(chan, wait_long, NULL, 0);
    for (uint64_t i = 1; i <= 5; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    EVENTUALLY(chan_stat(chan).depth == 4);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    chan_drain();
    assert_int_equal(atomic_load(&letters.count), 5);
    assert_int_equal(letters.at[0].reason, GMK_DROP_CLOSED);
}

static void blocked_send(gmk_ctx_t *ctx, void *arg) {
    gmk_task_t task = {.type = MSG, .meta0 = 4};
    (void)gmk_chan_send(ctx, *(uint32_t *)arg, &task, UINT64_MAX);
}

static void a_sleeping_sender_goes_on_when_the_slowest_subscriber_has_left(void **state) {
    (void)state;
    struct chan_thread thread;
    uint32_t chan = chan_make("a", GMK_CHAN_FANOUT, 4);
    uint32_t sub = chan_listen(chan, stop_then_note, &got, 0);
    (void)chan_listen(chan, chan_note, &letters, 0);
    for (uint64_t i = 1; i <= 3; i++)
        EVENTUALLY(chan_say(chan, i) == GMK_OK);
    EVENTUALLY(atomic_load(&gate.inside) == 1 && atomic_load(&letters.count) == 3);
    ASSERT_OK(chan_say(chan, 4)); /* one of the three was taken before the gate */
    chan_start(&thread, blocked_send, &chan);
    for (int i = 0; i < 20; i++)
        sched_pause();
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub)); /* hangs in its first message; 3 to drop */
    sched_gate_open(&gate);
    chan_join(&thread);
    chan_drain();
    assert_int_equal(atomic_load(&letters.count), 5);
}

/* ---- From inside ------------------------------------------------------------------------ */

static uint32_t own_chan, own_sub;
static _Atomic uint64_t own_runs;

static int leave(gmk_ctx_t *ctx) {
    if (ctx->task->meta0 == 10 && gmk_chan_unsub(ctx, own_chan, own_sub) != GMK_OK)
        abort();
    return chan_tally(ctx);
}

static void a_handler_may_unsubscribe_itself(void **state) {
    (void)state;
    for (uint32_t options = 0; options <= GMK_SUB_PARALLEL; options++) {
        atomic_store(&own_runs, 0);
        own_chan = chan_make("a", 0, 64);
        sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
        own_sub = chan_listen(own_chan, leave, &own_runs, options);
        for (uint64_t i = 1; i <= 20; i++)
            ASSERT_OK(chan_say_payload(own_chan, i));
        sched_gate_open(&gate);
        chan_drain();
        gmk_chan_stats_t stats = chan_stat(own_chan);
        assert_int_equal(stats.delivered, atomic_load(&own_runs));
        assert_int_equal(stats.delivered + stats.dropped, 20);
        assert_true(stats.delivered >= (options ? 1u : 10u));
        ASSERT_OK(gmk_chan_close(chan_me, own_chan));
        expect_gone("a");
    }
}

static int shut(gmk_ctx_t *ctx) {
    if (ctx->task->meta0 == 10 && gmk_chan_close(ctx, own_chan) != GMK_OK)
        abort();
    return chan_note(ctx);
}

static void a_handler_may_close_its_own_channel_and_gets_the_rest(void **state) {
    (void)state;
    own_chan = chan_make("a", 0, 64);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    (void)chan_listen(own_chan, shut, &got, 0);
    for (uint64_t i = 1; i <= 20; i++)
        ASSERT_OK(chan_say_payload(own_chan, i));
    sched_gate_open(&gate);
    expect_gone("a");
    chan_expect_run(&got, 1, 20);
}

/* ---- Under traffic ---------------------------------------------------------------------- */

#define SENDERS 3u

struct traffic {
    _Atomic uint32_t chan, type, stop;
    _Atomic uint64_t taken, wrong;
};

static void insist(gmk_ctx_t *ctx, void *arg) {
    struct traffic *t = arg;
    while (!atomic_load(&t->stop)) {
        gmk_task_t task = {.type = atomic_load(&t->type), .meta0 = 5, .len = 24};
        task.payload = chan_payload(ctx, 5);
        if (task.payload == NULL)
            continue;
        int status = gmk_chan_emit(ctx, atomic_load(&t->chan), &task);
        if (status == GMK_OK) {
            atomic_fetch_add(&t->taken, 1);
            continue;
        }
        gmk_free(ctx, task.payload);
        if (status != GMK_EAGAIN && status != GMK_ECLOSED && status != GMK_ENOENT &&
            status != GMK_ETYPE)
            atomic_fetch_add(&t->wrong, 1);
    }
}

static _Atomic uint64_t handled, mistyped;

static int expect_type(gmk_ctx_t *ctx) {
    if (ctx->task->type != (uint32_t)(uintptr_t)ctx->state ||
        *(uint64_t *)ctx->task->payload != ctx->task->meta0)
        atomic_fetch_add(&mistyped, 1);
    atomic_fetch_add(&handled, 1);
    return GMK_OK;
}

static void closing_and_reopening_under_traffic_loses_nothing_that_was_taken(void **state) {
    (void)state;
    static struct traffic traffic;
    struct chan_thread threads[SENDERS];
    memset(&traffic, 0, sizeof(traffic));
    atomic_store(&handled, 0);
    atomic_store(&mistyped, 0);
    atomic_store(&traffic.type, MSG);
    for (uint32_t i = 0; i < SENDERS; i++)
        chan_start(&threads[i], insist, &traffic);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t id, type = round % 2 ? OTHER : MSG;
        ASSERT_OK(gmk_chan_open(chan_me, "a", type, round % 3 ? GMK_CHAN_FANOUT : 0,
                                round % 5 ? 8 : 32, &id));
        ASSERT_OK(gmk_chan_sub(chan_me, id, expect_type, NULL, (void *)(uintptr_t)type,
                               round % 4 ? 0 : GMK_SUB_PARALLEL, NULL));
        atomic_store(&traffic.chan, id);
        uint64_t before_it = atomic_load(&handled);
        if (round % 8 == 0) { /* often at once, sometimes in full swing */
            atomic_store(&traffic.type, type);
            EVENTUALLY(atomic_load(&handled) > before_it);
        }
        atomic_store(&traffic.type, type);
        ASSERT_OK(gmk_chan_close(chan_me, id));
        expect_gone("a");
    }
    atomic_store(&traffic.stop, 1);
    for (uint32_t i = 0; i < SENDERS; i++)
        chan_join(&threads[i]);
    chan_drain();
    assert_int_equal(atomic_load(&traffic.wrong), 0);
    assert_int_equal(atomic_load(&mistyped), 0);
    assert_int_equal(atomic_load(&handled), atomic_load(&traffic.taken));
}

static void subscribers_coming_and_going_share_each_message_exactly(void **state) {
    (void)state;
    static struct traffic traffic;
    struct chan_thread threads[SENDERS];
    uint32_t chan = chan_make("a", GMK_CHAN_FANOUT, 16);
    memset(&traffic, 0, sizeof(traffic));
    atomic_store(&mistyped, 0);
    atomic_store(&traffic.type, MSG);
    atomic_store(&traffic.chan, chan);
    for (uint32_t i = 0; i < SENDERS; i++)
        chan_start(&threads[i], insist, &traffic);
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t subs[3];
        for (uint32_t i = 0; i < 3; i++) /* ELIMIT: 32 still finish */
            EVENTUALLY(gmk_chan_sub(chan_me, chan, expect_type, NULL, (void *)(uintptr_t)MSG,
                                    (round + i) % 3 ? 0 : GMK_SUB_PARALLEL,
                                    &subs[i]) != GMK_ELIMIT);
        for (uint32_t i = 0; i < 3; i++)
            ASSERT_OK(gmk_chan_unsub(chan_me, chan, subs[(round + i) % 3]));
    }
    atomic_store(&traffic.stop, 1);
    for (uint32_t i = 0; i < SENDERS; i++)
        chan_join(&threads[i]);
    chan_drain();
    assert_int_equal(atomic_load(&traffic.wrong), 0);
    assert_int_equal(atomic_load(&mistyped), 0);
    assert_int_equal(chan_stat(chan).sent, atomic_load(&traffic.taken));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(after_closing_sends_are_refused_and_what_was_sent_arrives),
        T(a_channel_nobody_listens_to_closes_at_once),
        T(an_id_used_again_carries_its_new_type_and_starts_at_one),
        T(unsubscribing_dead_letters_what_has_not_started),
        T(the_next_subscriber_does_not_wait_for_the_last_one_to_finish),
        T(a_message_that_waits_for_its_time_ends_when_its_subscription_does),
        T(a_sleeping_sender_goes_on_when_the_slowest_subscriber_has_left),
        T(a_handler_may_unsubscribe_itself),
        T(a_handler_may_close_its_own_channel_and_gets_the_rest),
        T(closing_and_reopening_under_traffic_loses_nothing_that_was_taken),
        T(subscribers_coming_and_going_share_each_message_exactly),
    };
    return cmocka_run_group_tests_name("chan_close", tests, NULL, NULL);
}
