/* Test of lossless channels: what emit said OK to arrives, whatever the size of the log and
 * the number of senders; a full log is the sender's to wait for, never the message's end. */
#include "tests/lib/chan_fixture.h"

#define SENDERS 4u

static uint32_t chan;

/* Per sender: the last number that arrived, and how many broke the order. */
struct streams {
    _Atomic uint64_t last[SENDERS + 2];
    _Atomic uint64_t count;
    _Atomic uint32_t disorder;
};
static struct streams streams;

static int stream_note(gmk_ctx_t *ctx) {
    uint64_t from = ctx->task->meta1, number = ctx->task->meta0;
    if (ctx->task->payload != NULL && *(uint64_t *)ctx->task->payload != number)
        atomic_fetch_add(&streams.disorder, 1);
    if (atomic_load_explicit(&streams.last[from], memory_order_relaxed) + 1 != number ||
        ctx->lost != 0)
        atomic_fetch_add(&streams.disorder, 1);
    atomic_store_explicit(&streams.last[from], number, memory_order_relaxed);
    atomic_fetch_add(&streams.count, 1);
    return GMK_OK;
}

static int before(void **state) {
    (void)state;
    memset(&streams, 0, sizeof(streams));
    chan_up(2);
    return 0;
}

static int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

static void expect_streams(uint32_t senders, uint64_t each) {
    assert_int_equal(atomic_load(&streams.count), senders * each);
    assert_int_equal(atomic_load(&streams.disorder), 0);
    for (uint32_t i = 0; i < senders; i++)
        assert_int_equal(atomic_load(&streams.last[i]), each);
    gmk_chan_stats_t stats = chan_stat(chan);
    assert_int_equal(stats.sent, senders * each);
    assert_int_equal(stats.delivered, senders * each);
    assert_int_equal(stats.dropped, 0);
}

struct load {
    uint32_t from;
    uint64_t count;
    bool wait; /* gmk_chan_send(), else emit until taken */
    _Atomic uint32_t failed;
};

static int send_one(gmk_ctx_t *ctx, const struct load *load, const gmk_task_t *task) {
    int status;
    if (load->wait)
        return gmk_chan_send(ctx, chan, task, UINT64_MAX);
    while ((status = gmk_chan_emit(ctx, chan, task)) == GMK_EAGAIN)
        hal_yield_cpu();
    return status;
}

static void send_all(gmk_ctx_t *ctx, void *arg) {
    struct load *load = arg;
    for (uint64_t i = 1; i <= load->count; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .meta1 = load->from, .len = 24};
        while ((task.payload = chan_payload(ctx, i)) == NULL)
            hal_yield_cpu();
        if (send_one(ctx, load, &task) != GMK_OK)
            atomic_fetch_add(&load->failed, 1);
    }
}

static void threads_send(uint32_t senders, uint64_t each, bool wait) {
    struct load loads[SENDERS];
    struct chan_thread threads[SENDERS];
    for (uint32_t i = 0; i < senders; i++) {
        loads[i] = (struct load){.from = i, .count = each, .wait = wait};
        chan_start(&threads[i], send_all, &loads[i]);
    }
    for (uint32_t i = 0; i < senders; i++) {
        chan_join(&threads[i]);
        assert_int_equal(atomic_load(&loads[i].failed), 0);
    }
    chan_drain();
}

static void one_sleeping_sender_through_four_slots_loses_nothing(void **state) {
    (void)state;
    chan = chan_make("tiny", 0, 4);
    (void)chan_listen(chan, stream_note, NULL, 0);
    threads_send(1, 20000, true);
    expect_streams(1, 20000);
}

static void many_sleeping_senders_through_four_slots_lose_nothing(void **state) {
    (void)state;
    chan = chan_make("tiny", 0, 4);
    (void)chan_listen(chan, stream_note, NULL, 0);
    threads_send(SENDERS, 4000, true);
    expect_streams(SENDERS, 4000);
}

static void many_insisting_senders_through_four_slots_lose_nothing(void **state) {
    (void)state;
    chan = chan_make("tiny", 0, 4);
    (void)chan_listen(chan, stream_note, NULL, 0);
    threads_send(SENDERS, 2000, false);
    expect_streams(SENDERS, 2000);
}

static void fan_out_through_four_slots_loses_nothing(void **state) {
    (void)state;
    _Atomic uint64_t other = 0;
    chan = chan_make("tiny", GMK_CHAN_FANOUT, 4);
    (void)chan_listen(chan, stream_note, NULL, 0);
    (void)chan_listen(chan, chan_tally, &other, GMK_SUB_PARALLEL);
    threads_send(SENDERS, 1500, true);
    assert_int_equal(atomic_load(&streams.count), SENDERS * 1500);
    assert_int_equal(atomic_load(&streams.disorder), 0);
    assert_int_equal(atomic_load(&other), SENDERS * 1500);
}

static void emit_says_EAGAIN_exactly_when_nothing_was_taken(void **state) {
    (void)state;
    struct sched_gate gate = {0};
    uint64_t taken = 0;
    chan = chan_make("tiny", 0, 4);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    (void)chan_listen(chan, stream_note, NULL, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = taken + 1};
        int status = gmk_chan_emit(chan_me, chan, &task);
        if (status == GMK_OK)
            taken++;
        else
            ASSERT_STATUS(status, GMK_EAGAIN);
    }
    assert_int_equal(taken, 3);
    assert_int_equal(chan_stat(chan).refused, 97);
    sched_gate_open(&gate);
    chan_drain();
    expect_streams(1, taken);
}

/* ---- Sending from handlers ------------------------------------------------------------- */

static _Atomic uint32_t handler_failed;

/* COUNT-like handler of a second channel: each message sends meta1 messages on. */
static int relay(gmk_ctx_t *ctx) {
    for (uint64_t i = 1; i <= ctx->task->meta1; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .meta1 = ctx->task->meta0};
        if (gmk_chan_send(ctx, chan, &task, UINT64_MAX) != GMK_OK)
            atomic_fetch_add(&handler_failed, 1);
    }
    return GMK_OK;
}

static void handlers_send_by_helping_and_lose_nothing(uint32_t workers) {
    uint32_t source;
    chan_down();
    chan_up(workers);
    atomic_store(&handler_failed, 0);
    chan = chan_make("tiny", 0, 4);
    source = chan_make("source", 0, 64);
    (void)chan_listen(chan, stream_note, NULL, 0);
    (void)chan_listen(source, relay, NULL, GMK_SUB_PARALLEL);
    for (uint64_t i = 0; i < SENDERS; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .meta1 = 1000};
        ASSERT_OK(gmk_chan_emit(chan_me, source, &task));
    }
    chan_drain();
    assert_int_equal(atomic_load(&handler_failed), 0);
    expect_streams(SENDERS, 1000);
}

static void a_lone_worker_that_sends_to_a_full_log_runs_its_reader(void **state) {
    (void)state;
    handlers_send_by_helping_and_lose_nothing(1);
}

static void workers_that_send_to_a_full_log_run_its_reader(void **state) {
    (void)state;
    handlers_send_by_helping_and_lose_nothing(3);
}

/* ---- Waiting --------------------------------------------------------------------------- */

static void send_gives_up_at_its_time_limit(void **state) {
    (void)state;
    struct sched_gate gate = {0};
    gmk_task_t task = {.type = MSG, .meta0 = 1};
    chan = chan_make("tiny", 0, 4);
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &task, 0), GMK_ETIMEOUT); /* nobody listens */
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &task, 2000000), GMK_ETIMEOUT);
    sched_gate_shut(&gate, &chan_kernel, CHAN_GATE, 2);
    (void)chan_listen(chan, stream_note, NULL, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        task.meta0 = i;
        ASSERT_OK(gmk_chan_send(chan_me, chan, &task, 0));
    }
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &task, 0), GMK_ETIMEOUT);
    ASSERT_STATUS(gmk_chan_send(chan_me, chan, &task, 3000000), GMK_ETIMEOUT);
    sched_gate_open(&gate);
    chan_drain();
    expect_streams(1, 3);
}

static void late_send(gmk_ctx_t *ctx, void *arg) {
    gmk_task_t task = {.type = MSG, .meta0 = 1};
    atomic_store((_Atomic int *)arg, gmk_chan_send(ctx, chan, &task, UINT64_MAX));
}

static void a_sleeping_sender_wakes_for_the_first_subscriber(void **state) {
    (void)state;
    struct chan_thread thread;
    _Atomic int status = 1;
    chan = chan_make("tiny", 0, 4);
    chan_start(&thread, late_send, &status);
    for (int i = 0; i < 20; i++)
        sched_pause();
    assert_int_equal(atomic_load(&status), 1);
    (void)chan_listen(chan, stream_note, NULL, 0);
    chan_join(&thread);
    ASSERT_OK(atomic_load(&status));
    chan_drain();
    expect_streams(1, 1);
}

static void a_sleeping_sender_is_told_that_the_channel_closed(void **state) {
    (void)state;
    struct chan_thread thread;
    _Atomic int status = 1;
    chan = chan_make("tiny", 0, 4);
    chan_start(&thread, late_send, &status);
    for (int i = 0; i < 10; i++)
        sched_pause();
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    chan_join(&thread);
    int answer = atomic_load(&status); /* closed and gone: which of the two it sees first */
    assert_true(answer == GMK_ECLOSED || answer == GMK_ENOENT);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(one_sleeping_sender_through_four_slots_loses_nothing),
        T(many_sleeping_senders_through_four_slots_lose_nothing),
        T(many_insisting_senders_through_four_slots_lose_nothing),
        T(fan_out_through_four_slots_loses_nothing),
        T(emit_says_EAGAIN_exactly_when_nothing_was_taken),
        T(a_lone_worker_that_sends_to_a_full_log_runs_its_reader),
        T(workers_that_send_to_a_full_log_run_its_reader),
        T(send_gives_up_at_its_time_limit),
        T(a_sleeping_sender_wakes_for_the_first_subscriber),
        T(a_sleeping_sender_is_told_that_the_channel_closed),
    };
    return cmocka_run_group_tests_name("chan_lossless", tests, NULL, NULL);
}
