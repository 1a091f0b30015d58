/* Test of channels: opening, finding, closing, and what each kind of bad input is answered. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    chan_up(2);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static int open_as(const char *name, uint32_t type, uint32_t options, uint32_t slots) {
    uint32_t chan;
    return gmk_chan_open(chan_me, name, type, options, slots, &chan);
}

static void bad_names_are_refused(void **state) {
    (void)state;
    char longest[GMK_NAME_MAX + 1];
    memset(longest, 'n', sizeof(longest));
    longest[GMK_NAME_MAX] = '\0';
    ASSERT_STATUS(open_as(NULL, MSG, 0, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as("", MSG, 0, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as(longest, MSG, 0, 0), GMK_EINVAL);
    longest[GMK_NAME_MAX - 1] = '\0';
    ASSERT_OK(open_as(longest, MSG, 0, 0));
}

static void names_of_the_system_are_EPERM(void **state) {
    (void)state;
    ASSERT_STATUS(open_as("sys.mine", MSG, 0, 0), GMK_EPERM);
    ASSERT_STATUS(open_as("sys.error", MSG, 0, 0), GMK_EPERM);
    ASSERT_STATUS(gmk_chan_close(chan_me, GMK_CHAN_SYS_ERROR), GMK_EPERM);
    ASSERT_STATUS(gmk_chan_close(chan_me, GMK_CHAN_SYS_DROPPED), GMK_EPERM);
}

static void bad_types_options_and_sizes_are_EINVAL(void **state) {
    (void)state;
    ASSERT_STATUS(open_as("a", 0, 0, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as("a", GMK_TYPES_MAX, 0, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as("a", UINT32_MAX, 0, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as("a", MSG, 0x10, 0), GMK_EINVAL);
    ASSERT_STATUS(open_as("a", MSG, GMK_CHAN_LOSSY | GMK_CHAN_REPLAY, 0), GMK_EINVAL);
    const uint32_t bad[] = {1, 2, 3, 5, 1000, 1u << 21, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ASSERT_STATUS(open_as("a", MSG, 0, bad[i]), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_open(chan_me, "a", MSG, 0, 0, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_open(NULL, "a", MSG, 0, 0, &(uint32_t){0}), GMK_EINVAL);
    ASSERT_OK(open_as("a", MSG, 0, 4));
}

static void a_log_that_does_not_fit_is_ENOMEM_and_takes_nothing(void **state) {
    (void)state;
    ASSERT_STATUS(open_as("huge", MSG, 0, 1u << 20), GMK_ENOMEM);
    ASSERT_STATUS(gmk_chan_find(chan_me, "huge", &(uint32_t){0}), GMK_ENOENT);
    ASSERT_OK(open_as("huge", MSG, 0, 16));
}

static void a_name_opens_once_and_is_found_by_everyone(void **state) {
    (void)state;
    uint32_t found = 0, chan = chan_make("a.b", 0, 0);
    ASSERT_STATUS(open_as("a.b", MSG, 0, 0), GMK_EEXIST);
    ASSERT_STATUS(open_as("a.b", OTHER, GMK_CHAN_FANOUT, 0), GMK_EEXIST);
    ASSERT_OK(gmk_chan_find(chan_me, "a.b", &found));
    assert_int_equal(found, chan);
    ASSERT_STATUS(gmk_chan_find(chan_me, "a.c", &found), GMK_ENOENT);
    ASSERT_STATUS(gmk_chan_find(chan_me, NULL, &found), GMK_EINVAL);
    ASSERT_OK(gmk_chan_find(chan_me, "sys.dropped", &found));
    assert_int_equal(found, GMK_CHAN_SYS_DROPPED);
    ASSERT_OK(gmk_chan_find(chan_me, "sys.error", &found));
    assert_int_equal(found, GMK_CHAN_SYS_ERROR);
}

static void channels_run_out_with_ELIMIT(void **state) {
    (void)state;
    char name[16];
    int status = GMK_OK;
    uint32_t opened = 0;
    while (status == GMK_OK && opened <= GMK_CHANNELS_MAX) {
        (void)snprintf(name, sizeof(name), "c%u", opened);
        status = open_as(name, MSG, 0, 4);
        opened += status == GMK_OK;
    }
    ASSERT_STATUS(status, GMK_ELIMIT);
    assert_int_equal(opened, GMK_CHANNELS_MAX - 3); /* no 0, two of the system */
}

static void unknown_ids_are_ENOENT(void **state) {
    (void)state;
    const uint32_t ids[] = {0, 77, GMK_CHANNELS_MAX, UINT32_MAX};
    gmk_task_t task = {.type = MSG};
    gmk_chan_stats_t stats;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        ASSERT_STATUS(gmk_chan_emit(chan_me, ids[i], &task), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_emit_n(chan_me, ids[i], &task, 1), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_send(chan_me, ids[i], &task, 1000), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_close(chan_me, ids[i]), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_sub(chan_me, ids[i], chan_note, NULL, &got, 0, NULL), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_unsub(chan_me, ids[i], 0), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_ack(chan_me, ids[i], 0, 1), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_replay(chan_me, ids[i], 0, 1), GMK_ENOENT);
        ASSERT_STATUS(gmk_chan_stats(chan_me, ids[i], &stats), GMK_ENOENT);
    }
}

static void bad_subscriptions_are_refused(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 0);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, NULL, NULL, NULL, 0, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_note, NULL, NULL, 0x02, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_unsub(chan_me, chan, 0), GMK_ENOENT);
    ASSERT_STATUS(gmk_chan_unsub(chan_me, chan, UINT32_MAX), GMK_ENOENT);
    ASSERT_STATUS(gmk_chan_stats(chan_me, chan, NULL), GMK_EINVAL);
}

static void point_to_point_takes_one_subscriber_at_a_time(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", GMK_CHAN_P2P, 0);
    uint32_t sub = chan_listen(chan, chan_note, &got, 0);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_note, NULL, &got, 0, NULL), GMK_EEXIST);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, sub));
    ASSERT_STATUS(gmk_chan_unsub(chan_me, chan, sub), GMK_ENOENT);
    (void)chan_listen(chan, chan_note, &got, 0);
    ASSERT_OK(chan_say(chan, 1));
    chan_drain();
    chan_expect_run(&got, 1, 1);
}

static void fan_out_takes_thirty_two_subscribers_and_no_more(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", GMK_CHAN_FANOUT, 0);
    _Atomic uint64_t count = 0;
    for (uint32_t i = 0; i < GMK_SUBS_MAX; i++)
        (void)chan_listen(chan, chan_tally, &count, 0);
    ASSERT_STATUS(gmk_chan_sub(chan_me, chan, chan_tally, NULL, &count, 0, NULL), GMK_ELIMIT);
    ASSERT_OK(chan_say(chan, 1));
    chan_drain();
    assert_int_equal(atomic_load(&count), GMK_SUBS_MAX);
}

static void another_type_is_ETYPE_at_every_send(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 0);
    (void)chan_listen(chan, chan_note, &got, 0);
    gmk_task_t wrong = {.type = OTHER}, none = {.type = 0};
    gmk_task_t mixed[] = {{.type = MSG, .meta0 = 1}, {.type = MSG, .meta0 = 2}, {.type = OTHER}};
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &wrong), GMK_ETYPE);
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &wrong, UINT64_MAX), GMK_ETYPE);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &none), GMK_ETYPE);
    ASSERT_STATUS(gmk_chan_emit_n(chan_me, chan, &mixed[2], 1), GMK_ETYPE);
    assert_int_equal(gmk_chan_emit_n(chan_me, chan, mixed, 3), 2);
    wrong.type = 4000; /* nobody knows it, and the system's channels carry any type */
    ASSERT_STATUS(gmk_chan_emit(chan_me, GMK_CHAN_SYS_DROPPED, &wrong), GMK_ETYPE);
    chan_drain();
    chan_expect_run(&got, 1, 2);
}

static void bad_messages_are_refused_by_name(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 0);
    (void)chan_listen(chan, chan_note, &got, 0);
    gmk_task_t tenant = {.type = MSG, .tenant = 1}, group = {.type = MSG, .group = 99};
    gmk_task_t hollow = {.type = MSG, .len = 8}, flags = {.type = MSG, .flags = 0x40};
    gmk_task_t priority = {.type = MSG, .flags = 7};
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &tenant), GMK_ETENANT);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &group), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &hollow), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &flags), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, &priority), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit(chan_me, chan, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit(NULL, chan, &tenant), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, NULL, 0), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit_n(chan_me, chan, NULL, 1), GMK_EINVAL);
    ASSERT_STATUS(gmk_chan_emit_n(chan_me, chan, &tenant, UINT32_MAX), GMK_EINVAL);
    assert_int_equal(gmk_chan_emit_n(chan_me, chan, &tenant, 0), 0);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 0);
    assert_int_equal(chan_stat(chan).sent, 0);
}

static void lossless_without_subscriber_is_EAGAIN_and_takes_nothing(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 0);
    ASSERT_STATUS(chan_say_payload(chan, 1), GMK_EAGAIN);
    assert_int_equal(chan_stat(chan).refused, 1);
    assert_int_equal(chan_stat(chan).sent, 0);
    (void)chan_listen(chan, chan_note, &got, 0);
    ASSERT_OK(chan_say_payload(chan, 2));
    chan_drain();
    chan_expect_run(&got, 2, 1);
}

static void messages_arrive_in_order_numbered_from_one(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, chan_note, &got, 0);
    for (uint64_t i = 1; i <= 5000; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i};
        ASSERT_OK(gmk_chan_send(chan_me, chan, &task, UINT64_MAX));
    }
    chan_drain();
    chan_expect_run(&got, 1, 5000);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(got.at[i].seq, i + 1);
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.sent, 5000);
    assert_int_equal(stats.delivered, 5000);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(stats.depth, 0);
    assert_int_equal(stats.slots, 64);
    assert_int_equal(stats.n_subs, 1);
    assert_int_equal(stats.type, MSG);
    assert_string_equal(stats.name, "a");
}

static void emit_n_takes_what_fits_in_order(void **state) {
    (void)state;
    struct sched_gate gate = {0};
    gmk_task_t many[100];
    for (uint32_t i = 0; i < 100; i++)
        many[i] = (gmk_task_t){.type = MSG, .meta0 = i + 1};
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, chan_note, &got, 0);
    assert_int_equal(gmk_chan_emit_n(chan_me, chan, many, 100), 64 - 6); /* a tenth is reserved */
    ASSERT_STATUS(gmk_chan_emit_n(chan_me, chan, many, 1), GMK_EAGAIN);
    assert_int_equal(chan_stat(chan).depth, 58);
    sched_gate_open(&gate);
    chan_drain();
    chan_expect_run(&got, 1, 58);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(bad_names_are_refused),
        T(names_of_the_system_are_EPERM),
        T(bad_types_options_and_sizes_are_EINVAL),
        T(a_log_that_does_not_fit_is_ENOMEM_and_takes_nothing),
        T(a_name_opens_once_and_is_found_by_everyone),
        T(channels_run_out_with_ELIMIT),
        T(unknown_ids_are_ENOENT),
        T(bad_subscriptions_are_refused),
        T(point_to_point_takes_one_subscriber_at_a_time),
        T(fan_out_takes_thirty_two_subscribers_and_no_more),
        T(another_type_is_ETYPE_at_every_send),
        T(bad_messages_are_refused_by_name),
        T(lossless_without_subscriber_is_EAGAIN_and_takes_nothing),
        T(messages_arrive_in_order_numbered_from_one),
        T(emit_n_takes_what_fits_in_order),
    };
    return cmocka_run_group_tests_name("chan_basic", tests, NULL, NULL);
}
