/* Test of what becomes of failures and of what cannot be handled: error handlers, the
 * system's channels, and dead letters, which own their payload and never breed. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got, errors, dropped;
static struct sched_gate gate;

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    chan_record_clear(&errors);
    chan_record_clear(&dropped);
    gate = (struct sched_gate){0};
    gmk_boot_cfg_t cfg = {.n_workers = 2, .poison_failures = 1000000};
    chan_up_with(&cfg);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void expect_letters(const struct chan_record *record, uint32_t count, unsigned reason,
                           uint32_t origin) {
    assert_int_equal(atomic_load(&record->count), count);
    assert_int_equal(atomic_load(&record->damaged), 0);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(gmk_drop_name(record->at[i].reason), gmk_drop_name(reason));
        assert_int_equal(record->at[i].origin, origin);
    }
}

/* ---- Failures ------------------------------------------------------------------------------ */

static void a_failed_message_arrives_on_sys_error_with_its_payload(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_ERROR, chan_note, &errors, 0);
    (void)chan_listen(chan, chan_note_and_fail, &got, 0);
    for (uint64_t i = 1; i <= 10; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
    expect_letters(&errors, 10, GMK_DROP_FAILED, chan);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(errors.at[i].value, i + 1);
        assert_int_equal(errors.at[i].origin_seq, i + 1);
    }
    assert_int_equal(chan_stat(chan).dropped, 10); /* ended, but not well */
    assert_int_equal(chan_stat(chan).delivered, 0);
}

static void a_failed_task_arrives_on_sys_error_from_no_channel(void **state) {
    (void)state;
    (void)chan_listen(GMK_CHAN_SYS_ERROR, chan_note, &errors, 0);
    gmk_task_t task = {.type = CHAN_FAIL, .meta0 = 9, .len = 24};
    task.payload = chan_payload(chan_me, 9);
    ASSERT_OK(gmk_submit(&chan_kernel, &task));
    chan_drain();
    expect_letters(&errors, 1, GMK_DROP_FAILED, 0);
}

static int content(gmk_ctx_t *ctx) {
    (void)chan_note(ctx);
    return ctx->task->meta0 % 2 == 0 ? GMK_OK : GMK_EFAIL;
}

static void the_error_handler_comes_first_and_what_it_settles_goes_no_further(void **state) {
    (void)state;
    for (uint32_t options = 0; options <= GMK_SUB_PARALLEL; options++) {
        chan_record_clear(&errors);
        chan_record_clear(&got);
        uint32_t sub, chan = chan_make(options ? "par" : "ord", 0, 64);
        uint32_t listener = chan_listen(GMK_CHAN_SYS_ERROR, chan_note, &errors, 0);
        ASSERT_OK(gmk_chan_sub(chan_me, chan, chan_note_and_fail, content, &got, options, &sub));
        for (uint64_t i = 1; i <= 10; i++) {
            ASSERT_OK(chan_say_payload(chan, i));
            chan_drain(); /* one at a time: one writer of the record */
        }
        assert_int_equal(atomic_load(&got.count), 20); /* handler and error handler */
        expect_letters(&errors, 5, GMK_DROP_FAILED, chan);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(errors.at[i].value, 2 * i + 1);
        assert_int_equal(chan_stat(chan).delivered, 5);
        assert_int_equal(chan_stat(chan).dropped, 5);
        ASSERT_OK(gmk_chan_unsub(chan_me, GMK_CHAN_SYS_ERROR, listener));
    }
}

static int release_then_fail(gmk_ctx_t *ctx) {
    gmk_payload_release(ctx);
    return GMK_EFAIL;
}

static int no_payload(gmk_ctx_t *ctx) {
    if (ctx->task->payload != NULL || ctx->task->len != 0)
        atomic_fetch_add(&((struct chan_record *)ctx->state)->damaged, 1);
    return chan_note(ctx);
}

static void a_payload_its_handler_let_go_is_not_in_the_letter(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_ERROR, no_payload, &errors, 0);
    (void)chan_listen(chan, release_then_fail, NULL, 0);
    for (uint64_t i = 1; i <= 10; i++)
        ASSERT_OK(chan_say_payload(chan, i));
    chan_drain();
    expect_letters(&errors, 10, GMK_DROP_FAILED, chan);
}

/* ---- Dead letters ----------------------------------------------------------------------------- */

/* Looks at the payload over many rounds, when its first owner is long gone. */
static int look_again(gmk_ctx_t *ctx) {
    struct chan_record *record = ctx->state;
    if (*(const uint64_t *)ctx->task->payload != ctx->task->meta0)
        atomic_fetch_add(&record->damaged, 1);
    if (ctx->task->yield_count < 20) {
        gmk_yield(ctx);
        return GMK_OK;
    }
    return chan_note(ctx);
}

static void a_letter_never_refers_to_a_freed_payload(void **state) {
    (void)state;
    uint32_t chan = chan_make("lossy", GMK_CHAN_LOSSY, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, look_again, &dropped, 0);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, look_again, &errors, 0);
    for (uint64_t i = 1; i <= 100; i++)
        ASSERT_OK(chan_say_payload(chan, i)); /* nobody listens */
    void *reused[64];
    for (uint32_t i = 0; i < 64; i++) { /* would get a freed payload's block, and change it */
        reused[i] = gmk_alloc(chan_me, 24);
        memset(reused[i], 0xee, 24);
    }
    chan_drain();
    expect_letters(&dropped, 100, GMK_DROP_CLOSED, chan);
    expect_letters(&errors, 100, GMK_DROP_CLOSED, chan);
    for (uint32_t i = 0; i < 64; i++)
        gmk_free(chan_me, reused[i]);
}

static void without_listeners_a_dead_letters_payload_is_freed(void **state) {
    (void)state;
    uint32_t chan = chan_make("lossy", GMK_CHAN_LOSSY, 64);
    uint32_t failing = chan_make("failing", 0, 64);
    (void)chan_listen(failing, chan_note_and_fail, &got, 0);
    for (uint64_t i = 1; i <= 50; i++) {
        ASSERT_OK(chan_say_payload(chan, i));
        ASSERT_OK(chan_say_payload(failing, i));
    }
    chan_drain();
    assert_int_equal(chan_blocks_live(), 0);
}

static void a_failing_listener_of_a_system_channel_makes_no_further_letters(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64), lossy = chan_make("lossy", GMK_CHAN_LOSSY, 64);
    (void)chan_listen(GMK_CHAN_SYS_ERROR, chan_note_and_fail, &errors, 0);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note_and_fail, &dropped, 0);
    (void)chan_listen(chan, chan_note_and_fail, &got, 0);
    for (uint64_t i = 1; i <= 20; i++) {
        ASSERT_OK(chan_say_payload(chan, i));
        ASSERT_OK(chan_say_payload(lossy, i));
    }
    chan_drain();
    expect_letters(&errors, 20, GMK_DROP_FAILED, chan);
    expect_letters(&dropped, 20, GMK_DROP_CLOSED, lossy);
}

static void a_flood_of_letters_gives_way_without_making_more(void **state) {
    (void)state;
    uint32_t lossy = chan_make("lossy", GMK_CHAN_LOSSY, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &dropped, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2); /* nobody reads letters */
    for (uint64_t i = 1; i <= 2000; i++)
        ASSERT_OK(chan_say_payload(lossy, i));
    gmk_chan_stats_t stats = chan_stat(GMK_CHAN_SYS_DROPPED);
    assert_int_equal(stats.sent, 2000);
    assert_int_equal(stats.dropped + stats.depth, 2000);
    assert_int_equal(chan_blocks_live(), stats.depth); /* what gave way is freed */
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&dropped.count), stats.depth);
    assert_int_equal(atomic_load(&dropped.damaged), 0);
}

static void cancelled_groups_and_missed_deadlines_say_so(void **state) {
    (void)state;
    uint32_t group, chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &dropped, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    (void)chan_listen(chan, chan_note, &got, 0);
    ASSERT_OK(gmk_group_open(chan_me, 0, &group));
    gmk_task_t canceled = {.type = MSG, .meta0 = 1, .group = group, .len = 24};
    gmk_task_t late = {.type = MSG, .meta0 = 2, .flags = GMK_TASK_DEADLINE, .len = 24};
    canceled.payload = chan_payload(chan_me, 1);
    late.payload = chan_payload(chan_me, 2);
    late.when_ns = gmk_now(chan_me) + 1000;
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &canceled));
    ASSERT_OK(gmk_chan_emit(chan_me, chan, &late));
    ASSERT_OK(chan_say(chan, 3));
    ASSERT_OK(gmk_group_cancel(chan_me, group));
    sched_pause();
    sched_gate_open(&gate);
    ASSERT_STATUS(gmk_group_wait(chan_me, group), GMK_ECANCELED);
    chan_drain();
    chan_expect_run(&got, 3, 1);
    assert_int_equal(atomic_load(&dropped.count), 2);
    assert_int_equal(atomic_load(&dropped.damaged), 0);
    assert_int_equal(dropped.at[0].reason, GMK_DROP_CANCELED);
    assert_int_equal(dropped.at[1].reason, GMK_DROP_DEADLINE);
}

/* ---- Poison ------------------------------------------------------------------------------------ */

static int give_way_for_ever(gmk_ctx_t *ctx) {
    gmk_yield(ctx);
    return GMK_OK;
}

static void letters_of_a_poisoned_type_arrive_all_the_same(void **state) {
    (void)state;
    for (uint32_t options = 0; options <= GMK_SUB_PARALLEL; options++) {
        gmk_boot_cfg_t cfg = {
            .n_workers = 1, .poison_failures = 3, .poison_window_ns = UINT64_MAX - 1};
        chan_down();
        chan_up_with(&cfg);
        chan_record_clear(&errors);
        chan_record_clear(&dropped);
        uint32_t chan = chan_make("a", 0, 64);
        (void)chan_listen(GMK_CHAN_SYS_ERROR, chan_note_and_fail, &errors, options);
        (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &dropped, options);
        (void)chan_listen(chan, chan_note_and_fail, &got, 0);
        for (uint64_t i = 1; i <= 20; i++)
            ASSERT_OK(chan_say_payload(chan, i));
        chan_drain();
        expect_letters(&errors, 3, GMK_DROP_FAILED, chan);
        expect_letters(&dropped, 17, GMK_DROP_POISONED, chan);
    }
}

static void too_many_yields_end_the_message_as_a_letter(void **state) {
    (void)state;
    gmk_boot_cfg_t cfg = {.n_workers = 2, .max_yields = 20};
    chan_down();
    chan_up_with(&cfg);
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(GMK_CHAN_SYS_DROPPED, chan_note, &dropped, 0);
    (void)chan_listen(chan, give_way_for_ever, NULL, 0);
    ASSERT_OK(chan_say_payload(chan, 1));
    chan_drain();
    expect_letters(&dropped, 1, GMK_DROP_YIELDS, chan);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(a_failed_message_arrives_on_sys_error_with_its_payload),
        T(a_failed_task_arrives_on_sys_error_from_no_channel),
        T(the_error_handler_comes_first_and_what_it_settles_goes_no_further),
        T(a_payload_its_handler_let_go_is_not_in_the_letter),
        T(a_letter_never_refers_to_a_freed_payload),
        T(without_listeners_a_dead_letters_payload_is_freed),
        T(a_failing_listener_of_a_system_channel_makes_no_further_letters),
        T(a_flood_of_letters_gives_way_without_making_more),
        T(cancelled_groups_and_missed_deadlines_say_so),
        T(letters_of_a_poisoned_type_arrive_all_the_same),
        T(too_many_yields_end_the_message_as_a_letter),
    };
    return cmocka_run_group_tests_name("chan_errors", tests, NULL, NULL);
}
