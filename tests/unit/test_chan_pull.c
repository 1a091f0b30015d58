/* Test of pulled subscriptions: a subscriber that is no handler gets the same messages in the same
 * order, holds up the same senders, loses the same messages, and is called when there is
 * something for it. */
#include "engine/agent.h"
#include "engine/chan.h"
#include "tests/lib/chan_bell.h"

static void messages_wait_until_they_are_pulled_in_order(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    uint32_t chan = chan_make("t.pull", 0, 16);
    uint32_t sub = pull_from(chan, bell);
    for (uint64_t i = 1; i <= 10; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    assert_int_equal(calls_of(bell), 1);
    for (uint64_t i = 1; i <= 10; i++) {
        gmk_task_t task = expect(chan, sub, i);
        assert_int_equal(task.seq, i);
        assert_int_equal(task.len, 24);
        assert_int_equal(*(uint64_t *)task.payload, i);
        assert_int_equal(chan_me->lost, 0);
        gmk_free(chan_me, task.payload);
    }
    expect_nothing(chan, sub);
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.sent, 10);
    assert_int_equal(stats.delivered, 10);
    assert_int_equal(stats.depth, 0);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void a_pull_in_vain_is_called_once(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    uint32_t chan = chan_make("t.pull", 0, 16);
    uint32_t sub = pull_from(chan, bell);
    expect_nothing(chan, sub);
    assert_int_equal(calls_of(bell), 0);
    ASSERT_OK(chan_say(chan, 1));
    ASSERT_OK(chan_say(chan, 2));
    assert_int_equal(calls_of(bell), 1);
    (void)expect(chan, sub, 1);
    ASSERT_OK(chan_say(chan, 3));
    assert_int_equal(calls_of(bell), 1); /* nobody pulled in vain since */
    (void)expect(chan, sub, 2);
    (void)expect(chan, sub, 3);
    expect_nothing(chan, sub);
    expect_nothing(chan, sub);
    ASSERT_OK(chan_say(chan, 4));
    assert_int_equal(calls_of(bell), 2);
    (void)expect(chan, sub, 4);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void a_full_log_refuses_and_room_is_told(void **state) {
    (void)state;
    struct bell *bell = new_bell(), *room = new_bell();
    gmk_task_t next = {.type = MSG, .meta0 = 9};
    uint32_t chan = chan_make("t.pull", 0, 8), sent = 0;
    uint32_t sub = pull_from(chan, bell);
    ASSERT_OK(gmk_chan_on_room(chan_me, chan, &room->waker));
    assert_int_equal(gmk_chan_want_room(chan_me, chan, &next), GMK_EAGAIN); /* there is room */
    while (chan_say(chan, ++sent) == GMK_OK)
        continue;
    assert_int_equal(sent, 8); /* one slot is for priority 0 */
    ASSERT_OK(gmk_chan_want_room(chan_me, chan, &next));
    assert_int_equal(calls_of(room), 0);
    (void)expect(chan, sub, 1);
    assert_int_equal(calls_of(room), 1);
    ASSERT_OK(chan_say(chan, 8));
    (void)expect(chan, sub, 2);
    assert_int_equal(calls_of(room), 1); /* nobody asked again */
    for (uint64_t i = 3; i <= 8; i++)
        (void)expect(chan, sub, i);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void the_reserve_is_for_priority_0(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    gmk_task_t urgent = {.type = MSG, .flags = GMK_PRIO(0), .meta0 = 8};
    uint32_t chan = chan_make("t.pull", 0, 8);
    uint32_t sub = pull_from(chan, bell);
    for (uint64_t i = 1; i <= 7; i++)
        ASSERT_OK(chan_say(chan, i));
    assert_int_equal(chan_say(chan, 8), GMK_EAGAIN);
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &urgent));
    assert_int_equal(gmk_chan_emit(chan_me, chan, &urgent), GMK_EAGAIN);
    for (uint64_t i = 1; i <= 8; i++)
        (void)expect(chan, sub, i);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void a_lossy_log_drops_the_oldest_and_says_how_many(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    uint32_t chan = chan_make("t.pull", GMK_CHAN_LOSSY, 8);
    uint32_t sub = pull_from(chan, bell);
    for (uint64_t i = 1; i <= 20; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    gmk_task_t task = expect(chan, sub, 14);
    assert_int_equal(chan_me->lost, 13);
    gmk_free(chan_me, task.payload);
    for (uint64_t i = 15; i <= 20; i++) {
        task = expect(chan, sub, i);
        assert_int_equal(chan_me->lost, 0);
        gmk_free(chan_me, task.payload);
    }
    expect_nothing(chan, sub);
    assert_int_equal(chan_stat(chan).dropped, 13);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void a_payload_that_is_too_long_stays(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    gmk_task_t task = {0};
    uint32_t chan = chan_make("t.pull", 0, 8);
    uint32_t sub = pull_from(chan, bell);
    ASSERT_OK(chan_say_payload(chan, 5));
    assert_int_equal(gmk_chan_pull(chan_me, chan, sub, 23, &task), GMK_ERANGE);
    assert_int_equal(task.len, 24);
    assert_int_equal(gmk_chan_pull(chan_me, chan, sub, 24, &task), GMK_OK);
    assert_int_equal(task.meta0, 5);
    gmk_free(chan_me, task.payload);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void fan_out_serves_handlers_and_pullers_alike(void **state) {
    (void)state;
    static struct chan_record record;
    struct bell *bell[2] = {new_bell(), new_bell()};
    chan_record_clear(&record);
    uint32_t chan = chan_make("t.fan", GMK_CHAN_FANOUT, 64);
    uint32_t handled = chan_listen(chan, chan_note, &record, 0);
    uint32_t first = pull_from(chan, bell[0]), second = pull_from(chan, bell[1]);
    for (uint64_t i = 1; i <= 40; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    for (uint64_t i = 1; i <= 40; i++) {
        gmk_task_t a = expect(chan, first, i), b = expect(chan, second, i);
        assert_ptr_equal(a.payload, b.payload); /* written once */
        gmk_free(chan_me, a.payload);
        gmk_free(chan_me, b.payload);
    }
    chan_drain();
    chan_expect_run(&record, 1, 40);
    assert_int_equal(chan_stat(chan).delivered, 120);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, handled));
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, first));
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, second));
}

static void closing_delivers_the_rest_and_then_says_so(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    gmk_task_t task;
    uint32_t chan = chan_make("t.pull", 0, 8), again = 0;
    uint32_t sub = pull_from(chan, bell);
    ASSERT_OK(chan_say(chan, 1));
    ASSERT_OK(chan_say(chan, 2));
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    assert_int_equal(chan_say(chan, 3), GMK_ECLOSED);
    (void)expect(chan, sub, 1);
    (void)expect(chan, sub, 2);
    assert_int_equal(pull(chan, sub, &task), GMK_ECLOSED);
    EVENTUALLY(gmk_chan_find(chan_me, "t.pull", &again) == GMK_ENOENT);
    assert_int_equal(pull(chan, sub, &task), GMK_ENOENT);
}

static void closing_calls_who_found_nothing(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    gmk_task_t task;
    uint32_t chan = chan_make("t.pull", 0, 8);
    uint32_t sub = pull_from(chan, bell);
    expect_nothing(chan, sub);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    assert_int_equal(calls_of(bell), 1);
    assert_int_equal(pull(chan, sub, &task), GMK_ECLOSED);
}

static void what_nobody_pulled_becomes_dead_letters(void **state) {
    (void)state;
    static struct chan_record letters;
    struct bell *bell = new_bell();
    gmk_task_t task;
    chan_record_clear(&letters);
    uint32_t chan = chan_make("t.pull", 0, 16);
    uint32_t sub = pull_from(chan, bell);
    uint32_t listener = chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &letters, 0);
    for (uint64_t i = 1; i <= 6; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    gmk_free(chan_me, expect(chan, sub, 1).payload);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    assert_int_equal(pull(chan, sub, &task), GMK_ENOENT);
    chan_drain();
    EVENTUALLY(atomic_load(&letters.count) == 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(letters.at[i].value, i + 2);
        assert_int_equal(letters.at[i].reason, GMK_DROP_CLOSED);
        assert_int_equal(letters.at[i].origin, chan);
    }
    ASSERT_OK(gmk_chan_unsub(chan_me, GMK_CHAN_SYS_DROPPED, listener));
}

static void replayed_messages_come_again_until_acknowledged(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    uint32_t chan = chan_make("t.pull", GMK_CHAN_REPLAY, 8);
    uint32_t sub = pull_from(chan, bell);
    for (uint64_t i = 1; i <= 4; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    for (uint64_t i = 1; i <= 3; i++)
        gmk_free(chan_me, expect(chan, sub, i).payload);
    assert_int_equal(gmk_chan_ack(chan_me, chan, sub, 4), GMK_ERANGE);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 1));
    assert_int_equal(gmk_chan_replay(chan_me, chan, sub, 1), GMK_ERANGE);
    ASSERT_OK(gmk_chan_replay(chan_me, chan, sub, 2));
    for (uint64_t i = 2; i <= 4; i++)
        gmk_free(chan_me, expect(chan, sub, i).payload);
    ASSERT_OK(gmk_chan_ack(chan_me, chan, sub, 4));
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    gmk_task_t task;
    assert_int_equal(pull(chan, sub, &task), GMK_ECLOSED);
}

static void bytes_bound_a_log_as_slots_do(void **state) {
    (void)state;
    struct bell *bell = new_bell(), *room = new_bell();
    gmk_task_t next = {.type = MSG, .len = 24, .payload = &next}, huge = next;
    uint32_t chan = 0;
    ASSERT_OK(gmk_chan_open_bounded(chan_me, "t.bytes", MSG, 0, 16, 191, &chan));
    uint32_t sub = pull_from(chan, bell);
    ASSERT_OK(gmk_chan_on_room(chan_me, chan, &room->waker));
    ASSERT_OK(chan_say_payload(chan, 1));
    ASSERT_OK(chan_say_payload(chan, 2));
    assert_int_equal(chan_say_payload(chan, 3), GMK_EAGAIN); /* each counts as 64 */
    ASSERT_OK(chan_say(chan, 3));                            /* one without a payload fits */
    huge.len = 129;
    assert_int_equal(gmk_chan_emit(chan_me, chan, &huge), GMK_EINVAL); /* never will */
    ASSERT_OK(gmk_chan_want_room(chan_me, chan, &next));
    gmk_free(chan_me, expect(chan, sub, 1).payload);
    assert_int_equal(calls_of(room), 1);
    ASSERT_OK(chan_say_payload(chan, 4));
    gmk_free(chan_me, expect(chan, sub, 2).payload);
    (void)expect(chan, sub, 3);
    gmk_free(chan_me, expect(chan, sub, 4).payload);
    for (uint64_t i = 0; i < 200; i++) { /* nothing of the bound is lost on the way */
        ASSERT_OK(chan_say_payload(chan, i));
        ASSERT_OK(chan_say_payload(chan, i));
        gmk_free(chan_me, expect(chan, sub, i).payload);
        gmk_free(chan_me, expect(chan, sub, i).payload);
    }
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    assert_int_equal(gmk_chan_open_bounded(chan_me, "t.no", MSG, GMK_CHAN_REPLAY, 16, 60, &chan),
                     GMK_EINVAL);
}

static void bytes_are_given_back_by_handlers_evictions_and_ends(void **state) {
    (void)state;
    static struct chan_record record;
    uint32_t options[] = {GMK_CHAN_FANOUT, GMK_CHAN_FANOUT | GMK_CHAN_LOSSY};
    for (size_t i = 0; i < 2; i++) {
        struct bell *bell = new_bell();
        uint32_t chan = 0;
        chan_record_clear(&record);
        ASSERT_OK(gmk_chan_open_bounded(chan_me, "t.bytes", MSG, options[i], 16, 20 * 64, &chan));
        uint32_t sub = pull_from(chan, bell);
        uint32_t handled = chan_listen(chan, chan_note, &record, 0);
        for (uint64_t k = 0; k < 500; k++) {
            gmk_task_t task;
            if (chan_say_payload(chan, k) != GMK_OK || k % 3 != 0)
                continue;
            if (pull(chan, sub, &task) == GMK_OK)
                gmk_free(chan_me, task.payload);
        }
        ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
        chan_drain();
        struct engine *eng = chan_kernel.engine;
        EVENTUALLY(atomic_load(&eng->channels[chan].bytes) == 0);
        ASSERT_OK(gmk_chan_unsub(chan_me, chan, handled));
        ASSERT_OK(gmk_chan_close(chan_me, chan));
        EVENTUALLY(gmk_chan_find(chan_me, "t.bytes", &chan) == GMK_ENOENT);
    }
}

static void loose_channels_carry_unknown_types(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    gmk_task_t task = {.type = 3999, .meta0 = 1};
    uint32_t chan = 0;
    assert_int_equal(gmk_chan_open(chan_me, "t.any", 0, 0, 16, &chan), GMK_EINVAL);
    ASSERT_OK(gmk_chan_open(chan_me, "t.any", 0, GMK_CHAN_LOOSE, 16, &chan));
    uint32_t sub = pull_from(chan, bell);
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &task));
    task.type = 0;
    assert_int_equal(gmk_chan_emit(chan_me, chan, &task), GMK_ETYPE);
    task.type = GMK_TYPES_MAX;
    assert_int_equal(gmk_chan_emit(chan_me, chan, &task), GMK_ETYPE);
    assert_int_equal(expect(chan, sub, 1).type, 3999);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    ASSERT_OK(gmk_chan_open(chan_me, "t.one", 3998, GMK_CHAN_LOOSE, 16, &chan));
    sub = pull_from(chan, bell);
    task.type = 3999;
    assert_int_equal(gmk_chan_emit(chan_me, chan, &task), GMK_ETYPE);
    task.type = 3998;
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &task));
    (void)expect(chan, sub, 1);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
}

static void wrong_uses_are_refused(void **state) {
    (void)state;
    static struct chan_record record;
    struct bell *bell = new_bell();
    gmk_task_t task = {.type = MSG};
    uint32_t chan = chan_make("t.pull", 0, 8), other = chan_make("t.handled", 0, 8), sub = 0;
    assert_int_equal(gmk_chan_sub_pull(chan_me, chan, NULL, &sub), GMK_EINVAL);
    assert_int_equal(gmk_chan_sub_pull(chan_me, 99, &bell->waker, &sub), GMK_ENOENT);
    assert_int_equal(gmk_chan_sub_pull(NULL, chan, &bell->waker, &sub), GMK_EINVAL);
    uint32_t handled = chan_listen(other, chan_note, &record, 0);
    assert_int_equal(pull(other, handled, &task), GMK_ENOENT); /* it has a handler */
    assert_int_equal(gmk_chan_sub_pull(chan_me, other, &bell->waker, &sub), GMK_EEXIST);
    assert_int_equal(pull(chan, 0, &task), GMK_ENOENT);
    assert_int_equal(pull(chan, 31, &task), GMK_ENOENT);
    assert_int_equal(pull(chan, UINT32_MAX, &task), GMK_ENOENT);
    assert_int_equal(pull(GMK_CHANNELS_MAX, 0, &task), GMK_ENOENT);
    assert_int_equal(gmk_chan_pull(chan_me, chan, 0, 0, NULL), GMK_EINVAL);
    assert_int_equal(gmk_chan_on_room(chan_me, 99, &bell->waker), GMK_ENOENT);
    ASSERT_OK(gmk_chan_unsub(chan_me, other, handled));
}

static void an_engine_halts_although_nobody_pulls(void **state) {
    (void)state;
    struct bell *bell = new_bell();
    uint32_t chan = chan_make("t.pull", 0, 16);
    (void)pull_from(chan, bell);
    for (uint64_t i = 1; i <= 6; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    uint64_t before_ns = hal_now_ns();
    ASSERT_OK(gmk_halt(&chan_kernel)); /* EDRAIN: time ran out */
    assert_true(hal_now_ns() - before_ns < UINT64_C(5000000000));
    chan_up(2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(messages_wait_until_they_are_pulled_in_order),
        TEST(a_pull_in_vain_is_called_once),
        TEST(a_full_log_refuses_and_room_is_told),
        TEST(the_reserve_is_for_priority_0),
        TEST(a_lossy_log_drops_the_oldest_and_says_how_many),
        TEST(a_payload_that_is_too_long_stays),
        TEST(fan_out_serves_handlers_and_pullers_alike),
        TEST(closing_delivers_the_rest_and_then_says_so),
        TEST(closing_calls_who_found_nothing),
        TEST(what_nobody_pulled_becomes_dead_letters),
        TEST(replayed_messages_come_again_until_acknowledged),
        TEST(bytes_bound_a_log_as_slots_do),
        TEST(bytes_are_given_back_by_handlers_evictions_and_ends),
        TEST(loose_channels_carry_unknown_types),
        TEST(wrong_uses_are_refused),
        TEST(an_engine_halts_although_nobody_pulls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
