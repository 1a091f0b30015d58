/* Test of priority in channels: urgent messages find room when others do not, bring their
 * subscription to the front, and do not keep it there. */
#include "tests/lib/chan_fixture.h"

static struct chan_record got;
static struct sched_gate gate;
static _Atomic uint64_t others; /* other tasks that have run */

static int before(void **state) {
    (void)state;
    chan_record_clear(&got);
    gate = (struct sched_gate){0};
    atomic_store(&others, 0);
    chan_up(1);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

/* Notes how many other tasks had run before this message, as its value. */
static int note_others(gmk_ctx_t *ctx) {
    ctx->task->meta0 = atomic_load(&others);
    return chan_note(ctx);
}

static int say(uint32_t chan, unsigned priority, uint64_t value) {
    gmk_task_t task = {.type = MSG, .flags = GMK_PRIO(priority), .meta0 = value};
    return gmk_chan_emit(chan_me, chan, &task);
}

static void queue_others(uint32_t count) {
    gmk_task_t task = {.type = CHAN_COUNT, .meta0 = (uintptr_t)&others};
    for (uint32_t i = 0; i < count; i++)
        sched_submit(&chan_kernel, &task);
}

static void the_top_tenth_is_for_priority_zero(void **state) {
    (void)state;
    const struct { uint32_t slots, normal; } logs[] = {{4, 3}, {8, 7}, {64, 58}, {1024, 922}};
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];
        uint32_t taken = 0;
        (void)snprintf(name, sizeof(name), "c%u", i);
        uint32_t chan = chan_make(name, 0, logs[i].slots);
        (void)chan_listen(chan, chan_note, &got, 0);
        while (taken <= logs[i].slots && say(chan, 1 + taken % 3, taken) == GMK_OK)
            taken++;
        assert_int_equal(taken, logs[i].normal);
        while (taken <= logs[i].slots && say(chan, 0, taken) == GMK_OK)
            taken++;
        assert_int_equal(taken, logs[i].slots);
        ASSERT_STATUS(say(chan, 0, 0), GMK_EAGAIN);
    }
    sched_gate_open(&gate);
}

static void an_urgent_message_overtakes_every_queued_task(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, note_others, &got, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    queue_others(500);
    ASSERT_OK(say(chan, 0, 0));
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 1);
    assert_int_equal(got.at[0].value, 0);
}

static void it_takes_the_messages_before_it_along_even_if_their_token_is_queued(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, note_others, &got, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    queue_others(500);
    ASSERT_OK(say(chan, 3, 0));
    ASSERT_OK(say(chan, 2, 0));
    ASSERT_OK(say(chan, 0, 0));
    ASSERT_OK(say(chan, 0, 0));
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(atomic_load(&got.count), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(got.at[i].value, 0); /* none of the 500 had run */
        assert_int_equal(got.at[i].seq, i + 1);
    }
}

static void parallel_subscriptions_are_brought_forward_as_well(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, note_others, &got, GMK_SUB_PARALLEL);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    queue_others(500);
    ASSERT_OK(say(chan, 0, 0));
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(got.at[0].value, 0);
}

static void after_the_urgent_message_the_subscription_is_a_normal_one_again(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 1024);
    (void)chan_listen(chan, note_others, &got, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    queue_others(100);
    ASSERT_OK(say(chan, 0, 0));
    for (uint32_t i = 0; i < 600; i++)
        ASSERT_OK(say(chan, 2, 0));
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(got.at[0].value, 0);
    if (got.at[600].value == 0)
        fail_msg("600 normal messages went before all other tasks, because one was urgent");
}

static void a_busy_subscription_gives_way_to_urgent_tasks(void **state) {
    (void)state;
    uint32_t chan = chan_make("a", 0, 64);
    (void)chan_listen(chan, note_others, &got, 0);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 1);
    for (uint32_t i = 0; i < 50; i++)
        ASSERT_OK(say(chan, 2, 0));
    gmk_task_t urgent = {.type = CHAN_COUNT, .flags = GMK_PRIO(0), .meta0 = (uintptr_t)&others};
    sched_submit(&chan_kernel, &urgent);
    sched_gate_open(&gate);
    chan_drain();
    assert_int_equal(got.at[49].value, 1);
    assert_true(got.at[2].value == 1); /* at the latest between two messages */
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(the_top_tenth_is_for_priority_zero),
        T(an_urgent_message_overtakes_every_queued_task),
        T(it_takes_the_messages_before_it_along_even_if_their_token_is_queued),
        T(parallel_subscriptions_are_brought_forward_as_well),
        T(after_the_urgent_message_the_subscription_is_a_normal_one_again),
        T(a_busy_subscription_gives_way_to_urgent_tasks),
    };
    return cmocka_run_group_tests_name("chan_priority", tests, NULL, NULL);
}
