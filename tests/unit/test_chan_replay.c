/* Test of replay channels: messages and payloads stay until they are acknowledged, the
 * slowest acknowledgement holds the senders back, and anything kept can be had again. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got, second;
static struct sched_gate gate;
static uint32_t chan, sub;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    chan_record_clear(&second);
    gate = (struct sched_gate){0};
    chan_up(2);
    chan = chan_make("log", GMK_CHAN_REPLAY | GMK_CHAN_FANOUT, 16); /* 15 for normal messages */
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void say(uint64_t first, uint64_t end) {
    for (uint64_t i = first; i <= end; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
}

static void acknowledging_makes_room_and_handling_does_not(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 15);
    chan_expect_run(&got, 1, 15);
    ASSERT_STATUS(chan_say_payload(chan, 16), GMK_EAGAIN);
    assert_int_equal(chan_stat(chan).depth, 15);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 5));
    say(16, 20);
    ASSERT_STATUS(chan_say_payload(chan, 21), GMK_EAGAIN);
    chan_expect_run(&got, 1, 20);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 20));
    assert_int_equal(chan_stat(chan).depth, 0);
}

static void a_payload_lives_until_it_is_acknowledged(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 10);
    assert_int_equal(chan_blocks_live(), 10);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 4));
    assert_int_equal(chan_blocks_live(), 6);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 4)); /* once more changes nothing */
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 2));
    assert_int_equal(chan_blocks_live(), 6);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
    assert_int_equal(chan_blocks_live(), 0);
}

static void the_slowest_acknowledgement_decides(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    uint32_t slow = chan_listen(chan, chan_note, &second, 0);
    say(1, 15);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 15));
    assert_int_equal(chan_blocks_live(), 15);
    ASSERT_STATUS(chan_say_payload(chan, 16), GMK_EAGAIN);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, slow, 3));
    assert_int_equal(chan_blocks_live(), 12);
    say(16, 18);
    ASSERT_STATUS(chan_say_payload(chan, 19), GMK_EAGAIN);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, slow, 18));
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 18));
}

static void replay_delivers_again_from_where_it_is_told(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    uint32_t other = chan_listen(chan, chan_note, &second, 0);
    say(1, 10);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 3));
    ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 4));
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 17);
    assert_int_equal(atomic_load(&got.damaged), 0);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(got.at[10 + i].value, 4 + i);
        assert_int_equal(got.at[10 + i].seq, 4 + i);
    }
    chan_expect_run(&second, 1, 10);                    /* the other one is not disturbed */
    ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 11)); /* nothing, and that is fine */
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
    ASSERT_OK(gmk_chan_ack(chan_me, chan, other, 10));
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 17);
}

static void replaying_many_times_keeps_the_books(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 15);
    for (uint32_t round = 0; round < 200; round++) {
        ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 1 + round % 15));
        chan_drain();
    }
    assert_int_equal(chan_blocks_live(), 15);
    assert_int_equal(atomic_load(&got.damaged), 0);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 15));
}

static void what_is_not_held_is_ERANGE(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    ASSERT_STATUS(gmk_chan_ack(chan_me, chan, sub, 1), GMK_ERANGE);
    say(1, 10);
    ASSERT_STATUS(gmk_chan_ack(chan_me, chan, sub, 11), GMK_ERANGE);
    ASSERT_STATUS(gmk_chan_ack(chan_me, chan, sub, UINT64_MAX), GMK_ERANGE);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 6));
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, sub, 0), GMK_ERANGE);
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, sub, 6), GMK_ERANGE);
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, sub, 12), GMK_ERANGE);
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, sub, UINT64_MAX), GMK_ERANGE);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
}

static void acknowledging_what_a_replay_has_not_delivered_again_is_ERANGE(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 10);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2); /* so that the replay only is set up */
    ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 3));
    ASSERT_STATUS(gmk_chan_ack(chan_me, chan, sub, 10), GMK_ERANGE);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 2));
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 18);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
    say(11, 20); /* and the channel still moves */
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 20));
}

static void while_its_handler_runs_elsewhere_replay_is_EBUSY(void **state) {
    (void)state;
    sub = chan_listen(chan, sched_gate_handler, NULL, 0);
    ASSERT_OK(chan_say(chan, (uintptr_t)&gate));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, sub, 1), GMK_EBUSY);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 1)); /* acknowledging needs no rest */
    sched_gate_open(&gate);
}

/* At message 5, the first time: everything from 2 on again. */
static int replay_itself(gmk_ctx_t *ctx) {
    struct chan_record *record = ctx->state;
    if (ctx->task->seq == 5 && atomic_load(&record->count) < 5 &&
        gmk_chan_replay(ctx, chan, sub, 2) != GMK_OK)
        abort();
    return chan_note(ctx);
}

static void a_handler_may_replay_its_own_subscription(void **state) {
    (void)state;
    const uint64_t expected[] = {1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8};
    sub = chan_listen(chan, replay_itself, &got, 0);
    say(1, 8);
    assert_int_equal(atomic_load(&got.count), 12);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(got.at[i].value, expected[i]);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 8));
}

static int acknowledge_itself(gmk_ctx_t *ctx) {
    if (gmk_chan_ack(ctx, chan, sub, ctx->task->seq) != GMK_OK)
        abort();
    return chan_note(ctx); /* the payload is this delivery's as well */
}

static void a_handler_may_acknowledge_and_a_sleeping_sender_goes_on(void **state) {
    (void)state;
    sub = chan_listen(chan, acknowledge_itself, &got, 0);
    for (uint64_t i = 1; i <= 5000; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .len = 24};
        task.payload = chan_payload(chan_me, i);
        ASSERT_OK(gmk_chan_send(chan_me, chan, &task, UINT64_MAX));
    }
    chan_drain();
    chan_expect_run(&got, 1, 5000);
    assert_int_equal(chan_blocks_live(), 0);
}

static void a_message_of_a_finished_group_can_be_replayed(void **state) {
    (void)state;
    uint32_t group;
    sub = chan_listen(chan, chan_note, &got, 0);
    ASSERT_OK(gmk_group_open(chan_me, 0, &group));
    for (uint64_t i = 1; i <= 10; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .group = group};
        ASSERT_OK(gmk_chan_emit(chan_me, chan, &task));
    }
    ASSERT_OK(gmk_group_wait(chan_me, group));
    for (uint32_t round = 0; round < 3; round++) {
        ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 1));
        chan_drain();
    }
    assert_int_equal(atomic_load(&got.count), 40);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
}

static void unsubscribing_lets_go_of_what_was_not_acknowledged(void **state) {
    (void)state;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 15);
    assert_int_equal(chan_blocks_live(), 15);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    EVENTUALLY(chan_blocks_live() == 0);
    EVENTUALLY(gmk_chan_ack(chan_me, chan, sub, 15) == GMK_ENOENT);
}

static void a_closed_channel_stays_until_everything_is_acknowledged(void **state) {
    (void)state;
    uint32_t id;
    sub = chan_listen(chan, chan_note, &got, 0);
    say(1, 10);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    chan_drain();
    ASSERT_OK(gmk_chan_find(chan_me, "log", &id));
    ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 8));
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 13);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 10));
    EVENTUALLY(gmk_chan_find(chan_me, "log", &id) == GMK_ENOENT);
    assert_int_equal(chan_blocks_live(), 0);
}

static void only_replay_channels_take_acknowledgements_and_only_in_order(void **state) {
    (void)state;
    uint32_t plain = chan_make("plain", 0, 16);
    uint32_t plain_sub = chan_listen(plain, chan_note, &got, 0);
    ASSERT_STATUS(gmk_chan_ack(chan_me, plain, plain_sub, 1), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_replay(chan_me, plain, plain_sub, 1), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_ack(chan_me, chan, 7, 1), GMK_ENOENT);
    ASSERT_STATUS(gmk_chan_replay(chan_me, chan, 7, 1), GMK_ENOENT);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_note, NULL, &got, GMK_SUB_PARALLEL, NULL),
                  GMK_EINVAL);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(acknowledging_makes_room_and_handling_does_not),
        T(a_payload_lives_until_it_is_acknowledged),
        T(the_slowest_acknowledgement_decides),
        T(replay_delivers_again_from_where_it_is_told),
        T(replaying_many_times_keeps_the_books),
        T(what_is_not_held_is_ERANGE),
        T(acknowledging_what_a_replay_has_not_delivered_again_is_ERANGE),
        T(while_its_handler_runs_elsewhere_replay_is_EBUSY),
        T(a_handler_may_replay_its_own_subscription),
        T(a_handler_may_acknowledge_and_a_sleeping_sender_goes_on),
        T(a_message_of_a_finished_group_can_be_replayed),
        T(unsubscribing_lets_go_of_what_was_not_acknowledged),
        T(a_closed_channel_stays_until_everything_is_acknowledged),
        T(only_replay_channels_take_acknowledgements_and_only_in_order),
    };
    return cmocka_run_group_tests_name("chan_replay", tests, NULL, NULL);
}
