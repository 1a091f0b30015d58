/* Test of lossy channels: a full log costs the slowest subscriber its oldest messages, and
 * nobody anything else; what is lost is counted, numbered and dead-lettered with its payload. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got, quick, letters;
static struct sched_gate gate;
static uint32_t chan;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    chan_record_clear(&quick);
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

/* Stops in the gate at the first message; notes all. */
static int slow(gmk_ctx_t *ctx) {
    if (ctx->task->seq == 1) {
        atomic_fetch_add(&gate.inside, 1);
        while (atomic_load(&gate.open) == 0)
            (void)hal_wait(&gate.open, 0, HAL_FOREVER);
    }
    return chan_note(ctx);
}

/* A lossy log of 8 (7 for normal messages) whose only ordered reader hangs in message 1. */
static void fill(uint64_t count, uint32_t options) {
    chan = chan_make("lossy", GMK_CHAN_LOSSY | options, 8);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    (void)chan_listen(chan, slow, &got, 0);
    ASSERT_OK(chan_say_payload(chan, 1));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    for (uint64_t i = 2; i <= count; i++)
        ASSERT_OK(chan_say_payload(chan, i));
}

static void a_full_log_takes_the_message_and_drops_the_oldest(void **state) {
    (void)state;
    fill(20, 0); /* 2 .. 20 into 7 slots: 2 .. 13 give way */
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 8);
    assert_int_equal(got.at[0].value, 1);
    for (uint32_t i = 1; i < 8; i++)
        assert_int_equal(got.at[i].value, 13 + i);
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.sent, 20);
    assert_int_equal(stats.delivered, 8);
    assert_int_equal(stats.dropped, 12);
    assert_int_equal(stats.refused, 0);
}

static void the_next_message_says_exactly_how_many_were_lost(void **state) {
    (void)state;
    fill(20, 0);
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(got.at[0].lost, 0);
    assert_int_equal(got.at[1].lost, 12);
    assert_int_equal(got.at[1].seq, 14); /* the gap in the numbers says the same */
    for (uint32_t i = 2; i < 8; i++) {
        assert_int_equal(got.at[i].lost, 0);
        assert_int_equal(got.at[i].seq, 13 + i);
    }
}

static void what_gave_way_is_dead_lettered_with_reason_origin_and_payload(void **state) {
    (void)state;
    fill(20, 0);
    EVENTUALLY(atomic_load(&letters.count) == 12);
    assert_int_equal(atomic_load(&letters.damaged), 0);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(letters.at[i].value, 2 + i);
        assert_int_equal(letters.at[i].reason, GMK_DROP_FULL);
        assert_int_equal(letters.at[i].origin, chan);
        assert_int_equal(letters.at[i].origin_seq, 2 + i);
    }
    sched_gate_open(&gate);
}

static void only_the_subscriber_that_is_too_slow_loses(void **state) {
    (void)state;
    chan = chan_make("lossy", GMK_CHAN_LOSSY | GMK_CHAN_FANOUT, 8);
    (void)chan_listen(chan, slow, &got, 0);
    (void)chan_listen(chan, chan_note, &quick, 0);
    for (uint64_t i = 1; i <= 30; i++) {
        ASSERT_OK(chan_say_payload(chan, i));
        EVENTUALLY(atomic_load(&quick.count) == i); /* never behind */
        EVENTUALLY(atomic_load(&gate.inside) == 1);
    }
    sched_gate_open(&gate);
    chan_drain();
    chan_expect_run(&quick, 1, 30);
    assert_int_equal(atomic_load(&got.count), 8);
    assert_int_equal(got.at[1].lost, 22);
    assert_int_equal(chan_stat(chan).dropped, 22);
}

static void priority_zero_gets_the_reserved_slot_before_anything_gives_way(void **state) {
    (void)state;
    fill(8, 0); /* 2 .. 8 fill the seven normal slots */
    gmk_task_t urgent = {.type = MSG, .flags = GMK_PRIO(0), .meta0 = 9};
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &urgent));
    assert_int_equal(chan_stat(chan).dropped, 0);
    urgent.meta0 = 10;
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &urgent));
    assert_int_equal(chan_stat(chan).dropped, 1);
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 9);
}

static void without_subscribers_messages_become_dead_letters(void **state) {
    (void)state;
    chan = chan_make("lossy", GMK_CHAN_LOSSY, 8);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    for (uint64_t i = 1; i <= 50; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
    assert_int_equal(atomic_load(&letters.count), 50);
    assert_int_equal(atomic_load(&letters.damaged), 0);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(letters.at[i].reason, GMK_DROP_CLOSED);
        assert_int_equal(letters.at[i].origin, chan);
    }
}

static void lost_plus_delivered_is_sent_for_every_subscriber(void **state) {
    (void)state;
    static _Atomic uint64_t parallel;
    atomic_store(&parallel, 0);
    chan = chan_make("lossy", GMK_CHAN_LOSSY | GMK_CHAN_FANOUT, 4);
    (void)chan_listen(chan, chan_note, &got, 0);
    (void)chan_listen(chan, chan_note, &quick, 0);
    (void)chan_listen(chan, chan_tally, &parallel, GMK_SUB_PARALLEL);
    for (uint64_t i = 1; i <= 20000; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
    struct chan_record *const records[] = {&got, &quick};
    uint64_t delivered = atomic_load(&parallel);
    for (uint32_t r = 0; r < 2; r++) {
        uint32_t count = atomic_load(&records[r]->count);
        uint64_t lost = 0;
        for (uint32_t i = 0; i < count; i++) {
            lost += records[r]->at[i].lost;
            assert_int_equal(records[r]->at[i].seq, i + 1 + lost);
            assert_int_equal(records[r]->at[i].value, i + 1 + lost);
        }
        assert_int_equal(atomic_load(&records[r]->damaged), 0);
        assert_int_equal(count + lost, 20000); /* the last message is never the one to give way */
        delivered += count;
    }
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.delivered, delivered);
    assert_int_equal(stats.delivered + stats.dropped, 3 * 20000);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(a_full_log_takes_the_message_and_drops_the_oldest),
        T(the_next_message_says_exactly_how_many_were_lost),
        T(what_gave_way_is_dead_lettered_with_reason_origin_and_payload),
        T(only_the_subscriber_that_is_too_slow_loses),
        T(priority_zero_gets_the_reserved_slot_before_anything_gives_way),
        T(without_subscribers_messages_become_dead_letters),
        T(lost_plus_delivered_is_sent_for_every_subscriber),
    };
    return cmocka_run_group_tests_name("chan_lossy", tests, NULL, NULL);
}
