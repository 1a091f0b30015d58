/* Test of pulled subscriptions: with others at the same time, and in the straight line for one message. */
#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/chan_one.h"
#include "engine/enqueue.h"
#include "engine/token.h"
#include "tests/lib/chan_bell.h"

/* ---- With others at the same time ---------------------------------------------------------- */

#define MANY 20000u

struct pipe {
    uint32_t from, to, sub;
    struct bell *bell;
    _Atomic uint32_t failed;
};

/* Pulls MANY from one channel, sleeping when there is nothing, and sends them on. */
static void pump(gmk_ctx_t *ctx, void *arg) {
    struct pipe *pipe = arg;
    for (uint32_t n = 0; n < MANY;) {
        gmk_task_t task;
        uint32_t seen = calls_of(pipe->bell);
        int status = gmk_chan_pull(ctx, pipe->from, pipe->sub, UINT32_MAX, &task);
        if (status == GMK_EAGAIN) {
            if (calls_of(pipe->bell) == seen && !hal_wait(&pipe->bell->calls, seen, SCHED_LIMIT_NS))
                atomic_fetch_add(&pipe->failed, 1);
            continue;
        }
        n++;
        if (status == GMK_OK)
            status = gmk_chan_send(ctx, pipe->to, &task, SCHED_LIMIT_NS);
        if (status != GMK_OK)
            atomic_fetch_add(&pipe->failed, 1);
    }
}

static void a_puller_between_handlers_loses_and_swaps_nothing(void **state) {
    (void)state;
    static struct chan_record record;
    static struct pipe pipe;
    struct chan_thread thread;
    chan_record_clear(&record);
    pipe.from = chan_make("t.in", 0, 16);
    pipe.to = chan_make("t.out", 0, 8);
    pipe.sub = pull_from(pipe.from, pipe.bell = new_bell());
    uint32_t handled = chan_listen(pipe.to, chan_note, &record, 0);
    chan_start(&thread, pump, &pipe);
    for (uint64_t i = 1; i <= MANY; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .len = 24};
        task.payload = chan_payload(chan_me, i);
        assert_non_null(task.payload);
        ASSERT_OK(gmk_chan_send(chan_me, pipe.from, &task, SCHED_LIMIT_NS));
    }
    chan_join(&thread);
    chan_drain();
    assert_int_equal(atomic_load(&pipe.failed), 0);
    chan_expect_run(&record, 1, MANY);
    ASSERT_OK(gmk_chan_unsub(chan_me, pipe.from, pipe.sub));
    ASSERT_OK(gmk_chan_unsub(chan_me, pipe.to, handled));
}

/* A sender that waits by the room listener instead of gmk_chan_send(). */
struct told_sender {
    uint32_t chan;
    struct bell *room;
    _Atomic uint32_t failed;
};

static void send_when_told(gmk_ctx_t *ctx, void *arg) {
    struct told_sender *self = arg;
    for (uint64_t i = 1; i <= MANY;) {
        gmk_task_t task = {.type = MSG, .meta0 = i};
        int status = gmk_chan_emit(ctx, self->chan, &task);
        if (status == GMK_OK) {
            i++;
            continue;
        }
        uint32_t seen = calls_of(self->room);
        if (status != GMK_EAGAIN || gmk_chan_want_room(ctx, self->chan, &task) == GMK_EAGAIN)
            atomic_fetch_add(&self->failed, status != GMK_EAGAIN);
        else if (calls_of(self->room) == seen &&
                 !hal_wait(&self->room->calls, seen, SCHED_LIMIT_NS))
            atomic_fetch_add(&self->failed, 1);
    }
}

static void a_sender_that_waits_to_be_told_is_never_forgotten(void **state) {
    (void)state;
    static struct chan_record record;
    static struct told_sender sender;
    struct chan_thread thread;
    chan_record_clear(&record);
    sender.chan = chan_make("t.told", 0, 4);
    sender.room = new_bell();
    ASSERT_OK(gmk_chan_on_room(chan_me, sender.chan, &sender.room->waker));
    uint32_t handled = chan_listen(sender.chan, chan_note, &record, 0);
    chan_start(&thread, send_when_told, &sender);
    chan_join(&thread);
    chan_drain();
    assert_int_equal(atomic_load(&sender.failed), 0);
    chan_expect_run(&record, 1, MANY);
    ASSERT_OK(gmk_chan_unsub(chan_me, sender.chan, handled));
}

static void a_sender_is_told_of_its_first_subscriber_and_of_closing(void **state) {
    (void)state;
    struct bell *bell = new_bell(), *room = new_bell();
    gmk_task_t task = {.type = MSG};
    uint32_t chan = chan_make("t.told", 0, 8);
    ASSERT_OK(gmk_chan_on_room(chan_me, chan, &room->waker));
    assert_int_equal(gmk_chan_emit(chan_me, chan, &task), GMK_EAGAIN);
    ASSERT_OK(gmk_chan_want_room(chan_me, chan, &task));
    uint32_t sub = pull_from(chan, bell);
    assert_int_equal(calls_of(room), 1);
    uint32_t seen = calls_of(room);
    ASSERT_OK(gmk_chan_close(chan_me, chan));
    assert_true(calls_of(room) > seen);
    assert_int_equal(pull(chan, sub, &task), GMK_ECLOSED);
}

/* A puller that leaves while senders evict and send: nothing is counted twice or not at all, which
 * the fixture's books say. */
struct flood {
    uint32_t chan;
    _Atomic uint32_t stop;
};

static void flood(gmk_ctx_t *ctx, void *arg) {
    struct flood *self = arg;
    for (uint64_t i = 1; atomic_load(&self->stop) == 0; i++) {
        gmk_task_t task = {.type = MSG, .meta0 = i, .len = 24, .payload = chan_payload(ctx, i)};
        if (task.payload == NULL)
            continue;
        if (gmk_chan_emit(ctx, self->chan, &task) != GMK_OK)
            gmk_free(ctx, task.payload);
    }
}

static void coming_and_going_under_a_flood_keeps_the_books(void **state) {
    (void)state;
    static const uint32_t options[] = {GMK_CHAN_FANOUT, GMK_CHAN_FANOUT | GMK_CHAN_LOSSY};
    for (size_t k = 0; k < 2; k++) {
        static struct flood self;
        struct chan_thread threads[2];
        struct bell *bell = new_bell();
        self.chan = chan_make(k == 0 ? "t.flood" : "t.lossy", options[k], 8);
        atomic_store(&self.stop, 0);
        chan_start(&threads[0], flood, &self);
        chan_start(&threads[1], flood, &self);
        for (uint32_t round = 0; round < 400; round++) {
            uint32_t sub = 0;
            /* Those that left are ended by the workers, who may be behind. */
            EVENTUALLY(gmk_chan_sub_pull(chan_me, self.chan, &bell->waker, &sub) == GMK_OK);
            for (uint32_t i = 0; i < round % 16; i++) {
                gmk_task_t task;
                int status = pull(self.chan, sub, &task);
                assert_true(status == GMK_OK || status == GMK_EAGAIN);
                if (status == GMK_OK)
                    gmk_free(chan_me, task.payload);
            }
            ASSERT_OK(gmk_chan_unsub(chan_me, self.chan, sub));
        }
        atomic_store(&self.stop, 1);
        chan_join(&threads[0]);
        chan_join(&threads[1]);
        chan_books();
    }
}

static void a_call_comes_for_every_pull_in_vain(void **state) {
    (void)state;
    static struct told_sender sender;
    struct chan_thread thread;
    struct bell *bell = new_bell();
    sender.chan = chan_make("t.told", 0, 4);
    sender.room = new_bell();
    ASSERT_OK(gmk_chan_on_room(chan_me, sender.chan, &sender.room->waker));
    uint32_t sub = pull_from(sender.chan, bell);
    chan_start(&thread, send_when_told, &sender);
    for (uint64_t i = 1; i <= MANY;) {
        gmk_task_t task;
        uint32_t seen = calls_of(bell);
        int status = pull(sender.chan, sub, &task);
        if (status == GMK_EAGAIN) {
            await(bell, seen);
            continue;
        }
        ASSERT_OK(status);
        assert_int_equal(task.meta0, i++);
    }
    chan_join(&thread);
    assert_int_equal(atomic_load(&sender.failed), 0);
    ASSERT_OK(gmk_chan_unsub(chan_me, sender.chan, sub));
}

/* ---- One message, in a straight line -------------------------------------------------------- */

/* A channel under test, and how far it has got. */
struct both {
    struct agent *a;
    struct channel *ch;
    struct chan_sub *sub;
    struct bell *bell;
    uint32_t chan, index;
    uint64_t shape, sent, taken;
    bool lossy;
};

static void send_either(struct both *b, uint32_t i) {
    gmk_task_t task = {.type = MSG, .flags = i % 7 == 0 ? GMK_PRIO(i / 7 % 4) : 0};
    task.meta0 = b->sent + 1;
    if (i % 3 != 0) {
        task.payload = chan_payload(chan_me, task.meta0);
        task.len = 24;
    }
    int status = i % 2 != 0 ? chan_emit_one(b->a, b->ch, b->shape, &task)
                            : gmk_chan_emit(chan_me, b->chan, &task);
    b->sent += status == GMK_OK;
    if (status != GMK_OK) {
        assert_int_equal(status, GMK_EAGAIN);
        gmk_free(chan_me, task.payload);
    }
}

static void take_either(struct both *b, uint32_t n) {
    gmk_task_t out = {0};
    uint64_t lost = 0, seen = calls_of(b->bell);
    int status = n % 2 != 0 ? chan_pull_one(b->a, b->ch, b->sub, UINT32_MAX - 1, &out, &lost)
                            : chan_pull(b->a, b->chan, b->index, UINT32_MAX, &out, &lost);
    if (status == GMK_EAGAIN) {
        assert_int_equal(b->taken, b->sent);
        assert_int_equal(calls_of(b->bell), seen);
        return;
    }
    ASSERT_OK(status);
    b->taken += 1 + lost;
    assert_int_equal(out.meta0, b->taken);
    assert_int_equal(out.seq, b->ch->base + b->taken);
    assert_int_equal(out.type, MSG);
    assert_true(lost == 0 || b->lossy);
    gmk_free(chan_me, out.payload);
}

static void close_and_drain(struct both *b) {
    gmk_task_t out;
    uint64_t lost;
    int status;
    const gmk_task_t other = {.type = OTHER}, one = {.type = MSG};
    assert_int_equal(chan_emit_one(b->a, b->ch, b->shape + (UINT64_C(1) << 32), &one), GMK_ENOENT);
    assert_int_equal(chan_emit_one(b->a, b->ch, b->shape, &other), GMK_ETYPE);
    ASSERT_OK(chan_close(b->a, b->chan, b->shape));
    assert_int_equal(chan_emit_one(b->a, b->ch, b->shape, &one), GMK_ECLOSED);
    while ((status = chan_pull_one(b->a, b->ch, b->sub, UINT32_MAX - 1, &out, &lost)) == GMK_OK)
        gmk_free(chan_me, out.payload);
    assert_int_equal(status, GMK_ECLOSED);
}

/* Sends with one of the two and takes with one of the two; nobody can tell them apart. */
static void the_straight_line_does_what_the_long_way_does(void **state) {
    (void)state;
    static const uint32_t options[] = {0, GMK_CHAN_FANOUT, GMK_CHAN_LOSSY, GMK_CHAN_LOOSE};
    for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
        struct both b = {.bell = new_bell(), .lossy = (options[k] & GMK_CHAN_LOSSY) != 0};
        int status;
        ASSERT_OK(gmk_chan_open_bounded(chan_me, "t.one", MSG, options[k], 8, 512, &b.chan));
        b.index = pull_from(b.chan, b.bell);
        b.a = agent_enter_ctx(chan_me, &status);
        b.ch = chan_at(b.a->eng, b.chan);
        b.sub = sub_at(b.ch, b.index);
        b.shape = chan_shape(b.a->eng, b.chan);
        for (uint32_t i = 0; i < 2000; i++) {
            send_either(&b, i);
            for (uint32_t n = i % 11 == 0 ? 9 : i % 3; n > 0; n--)
                take_either(&b, n);
        }
        close_and_drain(&b);
        agent_leave(b.a);
        EVENTUALLY(gmk_chan_find(chan_me, "t.one", &b.chan) == GMK_ENOENT);
    }
}

/* Two threads in a straight line: no message and no call is lost. */
struct line {
    uint32_t chan, index;
    struct bell *bell, *room;
    _Atomic uint32_t failed;
};

static void send_in_line(gmk_ctx_t *ctx, void *arg) {
    struct line *self = arg;
    int status;
    struct agent *a = agent_enter_ctx(ctx, &status);
    struct channel *ch = chan_at(a->eng, self->chan);
    uint64_t shape = chan_shape(a->eng, self->chan);
    for (uint64_t i = 1; i <= MANY;) {
        gmk_task_t task = {.type = MSG, .meta0 = i};
        uint32_t seen = calls_of(self->room);
        status = chan_emit_one(a, ch, shape, &task);
        if (status == GMK_OK)
            i++;
        else if (status != GMK_EAGAIN)
            atomic_fetch_add(&self->failed, 1);
        else if (chan_want_room(a, self->chan, shape, &task) == GMK_OK &&
                 calls_of(self->room) == seen &&
                 !hal_wait(&self->room->calls, seen, SCHED_LIMIT_NS))
            atomic_fetch_add(&self->failed, 1);
    }
    agent_leave(a);
}

static void two_threads_in_line_lose_neither_message_nor_call(void **state) {
    (void)state;
    static struct line self;
    struct chan_thread thread;
    int status;
    self.chan = chan_make("t.line", 0, 8);
    self.room = new_bell();
    ASSERT_OK(gmk_chan_on_room(chan_me, self.chan, &self.room->waker));
    self.index = pull_from(self.chan, self.bell = new_bell());
    chan_start(&thread, send_in_line, &self);
    struct agent *a = agent_enter_ctx(chan_me, &status);
    struct channel *ch = chan_at(a->eng, self.chan);
    for (uint64_t i = 1; i <= MANY;) {
        gmk_task_t task;
        uint64_t lost;
        uint32_t seen = calls_of(self.bell);
        status = chan_pull_one(a, ch, sub_at(ch, self.index), 64, &task, &lost);
        if (status == GMK_EAGAIN) {
            await(self.bell, seen);
            continue;
        }
        ASSERT_OK(status);
        assert_int_equal(task.meta0, i++);
    }
    agent_leave(a);
    chan_join(&thread);
    assert_int_equal(atomic_load(&self.failed), 0);
    ASSERT_OK(gmk_chan_unsub(chan_me, self.chan, self.index));
}

/* ---- Tokens without a queue ------------------------------------------------------------------- */

static void a_token_that_no_queue_took_arrives_all_the_same(void **state) {
    (void)state;
    static struct chan_record record;
    int status;
    chan_record_clear(&record);
    uint32_t chan = chan_make("t.late", 0, 16);
    uint32_t handled = chan_listen(chan, chan_note, &record, 0);
    chan_drain();
    struct agent *a = agent_enter_ctx(chan_me, &status);
    assert_non_null(a);
    struct channel *ch = chan_at(a->eng, chan);
    struct chan_sub *sub = sub_at(ch, handled);
    for (uint64_t i = 1; i <= 100; i++) {
        /* As sub_schedule() does it, but the queues are full. */
        uint32_t idle = SUB_IDLE;
        EVENTUALLY((idle = SUB_IDLE, atomic_compare_exchange_strong(
                                         &sub->state, &idle, (uint32_t)SUB_QUEUED + SUB_TOKEN)));
        assert_int_equal(chan_say(chan, i), GMK_OK); /* finds a token out */
        gmk_task_t token = token_make(TOKEN_SUBSCRIPTION, (uintptr_t)sub, chan, GMK_PRIO_DEFAULT);
        late_push(a, &token);
        (void)gmk_submit(&chan_kernel, &(gmk_task_t){.type = CHAN_COUNT}); /* a worker looks */
        EVENTUALLY(atomic_load(&record.count) == i);
    }
    agent_leave(a);
    chan_expect_run(&record, 1, 100);
    ASSERT_OK(gmk_chan_unsub(chan_me, chan, handled));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_puller_between_handlers_loses_and_swaps_nothing),
        TEST(a_sender_that_waits_to_be_told_is_never_forgotten),
        TEST(a_sender_is_told_of_its_first_subscriber_and_of_closing),
        TEST(coming_and_going_under_a_flood_keeps_the_books),
        TEST(a_call_comes_for_every_pull_in_vain),
        TEST(the_straight_line_does_what_the_long_way_does),
        TEST(two_threads_in_line_lose_neither_message_nor_call),
        TEST(a_token_that_no_queue_took_arrives_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
