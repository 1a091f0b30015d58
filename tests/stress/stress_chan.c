/* Stress of channels: threads and handlers send, subscribers come and go, channels close and
 * open again under the same name, lossy, lossless and replayed, all at random and at once.
 *
 * After every round: nothing is queued; per type what began has ended; every payload is
 * freed; each message that a handler saw carried its own payload; what senders were told was
 * taken is what the channels counted; and for channels whose subscribers stayed, messages
 * times subscribers is what was delivered or dropped.
 *
 * GGMK_STRESS=n runs n times as long. SEED=n repeats a run's choices. */
#include "lib/rand.h"
#include "tests/lib/chan_fixture.h"

#define CHANS   6u
#define SENDERS 3u
#define SUBS    4u

struct seat {
    uint32_t chan, sub;
    bool taken;
};

static struct {
    _Atomic uint32_t chan[CHANS]; /* 0: closed at the moment */
    _Atomic uint64_t taken, wrong, handled;
    _Atomic uint32_t stop;
    uint64_t seed;
} s;

static const struct {
    uint32_t options, slots, sub_options;
} shapes[] = {
    {0, 4, 0},
    {0, 64, GMK_SUB_PARALLEL},
    {GMK_CHAN_FANOUT, 8, 0},
    {GMK_CHAN_FANOUT | GMK_CHAN_LOSSY, 4, 0},
    {GMK_CHAN_FANOUT | GMK_CHAN_LOSSY, 16, GMK_SUB_PARALLEL},
    {GMK_CHAN_FANOUT | GMK_CHAN_REPLAY, 8, 0},
    {GMK_CHAN_FANOUT, 32, GMK_SUB_PARALLEL},
    {GMK_CHAN_LOSSY, 8, 0},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* Does one of everything a handler may do, by the message's number. */
static int handler(gmk_ctx_t *ctx) {
    gmk_task_t *task = ctx->task;
    uint64_t *payload = task->payload;
    if (payload == NULL || payload[0] != task->meta0 || payload[1] != ~task->meta0)
        atomic_fetch_add(&s.wrong, 1);
    if (shapes[(uintptr_t)ctx->state].options & GMK_CHAN_REPLAY)
        (void)gmk_chan_ack(ctx, task->channel, task->sub - 1u, task->seq);
    uint64_t step = task->meta1++;
    switch (task->meta0 % 32) {
    case 0:
        if (step == 0)
            gmk_yield(ctx);
        return GMK_OK;
    case 1:
        return step < 2 ? GMK_RETRY : GMK_OK;
    case 2:
        if (step == 0)
            gmk_yield_at(ctx, gmk_now(ctx) + 3000);
        return GMK_OK;
    case 3:
        return GMK_EFAIL;
    default:
        atomic_fetch_add_explicit(&s.handled, 1, memory_order_relaxed);
        return GMK_OK;
    }
}

static int settle(gmk_ctx_t *ctx) {
    return ctx->task->meta0 % 2 == 0 ? GMK_OK : GMK_EFAIL;
}

static int letter(gmk_ctx_t *ctx) {
    const uint64_t *payload = ctx->task->payload;
    if (payload == NULL || payload[0] != ctx->task->meta0 || payload[1] != ~ctx->task->meta0)
        atomic_fetch_add(&s.wrong, 1);
    return GMK_OK;
}

static gmk_task_t message(gmk_ctx_t *ctx, uint64_t *random) {
    uint64_t number = rand_splitmix(random);
    gmk_task_t task = {.type = MSG, .meta0 = number, .len = 16};
    if (number % 64 == 5)
        task.flags = GMK_PRIO(number / 64 % 4);
    uint64_t *payload = task.payload = gmk_alloc(ctx, 16);
    if (payload != NULL) {
        payload[0] = number;
        payload[1] = ~number;
    }
    return task;
}

static void settle_send(gmk_ctx_t *ctx, const gmk_task_t *task, int status) {
    if (status == GMK_OK) {
        atomic_fetch_add_explicit(&s.taken, 1, memory_order_relaxed);
        return;
    }
    gmk_free(ctx, task->payload);
    if (status != GMK_EAGAIN && status != GMK_ECLOSED && status != GMK_ENOENT &&
        status != GMK_ETIMEOUT)
        atomic_fetch_add(&s.wrong, 1);
}

static void sender(gmk_ctx_t *ctx, void *arg) {
    uint64_t random = s.seed ^ (uintptr_t)arg;
    while (!atomic_load_explicit(&s.stop, memory_order_relaxed)) {
        gmk_task_t task = message(ctx, &random);
        if (task.payload == NULL)
            continue;
        uint32_t chan = atomic_load(&s.chan[rand_splitmix(&random) % CHANS]);
        int status = rand_splitmix(&random) % 8 == 0
                         ? gmk_chan_send(ctx, chan, &task, rand_splitmix(&random) % 200000)
                         : gmk_chan_emit(ctx, chan, &task);
        settle_send(ctx, &task, status);
    }
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static struct seat seats[CHANS][SUBS];
static uint32_t shape_of[CHANS];

/* Ordered and parallel side by side, so that one's structure soon serves the other. */
static uint32_t kind_of_sub(uint32_t c, uint64_t random) {
    uint32_t options = shapes[shape_of[c]].options;
    if (options & GMK_CHAN_REPLAY || !(options & GMK_CHAN_FANOUT))
        return shapes[shape_of[c]].sub_options;
    return random % 2 ? GMK_SUB_PARALLEL : GMK_SUB_ORDERED;
}

static void sit(uint32_t c, uint32_t seat, uint64_t *random) {
    uint32_t chan = atomic_load(&s.chan[c]);
    int status = gmk_chan_sub(chan_me, chan, handler, settle, (void *)(uintptr_t)shape_of[c],
                              kind_of_sub(c, rand_splitmix(random)), &seats[c][seat].sub);
    if (status == GMK_OK)
        seats[c][seat] = (struct seat){chan, seats[c][seat].sub, true};
    else if (status != GMK_EEXIST && status != GMK_ELIMIT)
        fail_msg("subscribing gave %s", gmk_error_name(status));
}

static void open_one(uint32_t c, uint64_t *random) {
    char name[16];
    uint32_t chan;
    (void)snprintf(name, sizeof(name), "stress.%u", c);
    shape_of[c] = (uint32_t)(rand_splitmix(random) % SHAPES);
    int status = gmk_chan_open(chan_me, name, MSG, shapes[shape_of[c]].options,
                               shapes[shape_of[c]].slots, &chan);
    if (status == GMK_EEXIST)
        return; /* the last one still delivers */
    ASSERT_OK(status);
    atomic_store(&s.chan[c], chan);
    uint32_t subs = shapes[shape_of[c]].options & GMK_CHAN_FANOUT
                        ? 1 + (uint32_t)(rand_splitmix(random) % SUBS)
                        : 1;
    for (uint32_t i = 0; i < subs; i++)
        sit(c, i, random);
}

static void close_one(uint32_t c) {
    uint32_t chan = atomic_exchange(&s.chan[c], 0);
    for (uint32_t i = 0; i < SUBS; i++) {
        /* Replay: without leaving, unacknowledged messages would keep it. */
        if (seats[c][i].taken && shapes[shape_of[c]].options & GMK_CHAN_REPLAY)
            (void)gmk_chan_unsub(chan_me, chan, seats[c][i].sub);
        seats[c][i].taken = false;
    }
    ASSERT_OK(gmk_chan_close(chan_me, chan));
}

static void change_something(uint64_t *random) {
    uint32_t c = (uint32_t)(rand_splitmix(random) % CHANS);
    uint32_t seat = (uint32_t)(rand_splitmix(random) % SUBS);
    if (atomic_load(&s.chan[c]) == 0)
        open_one(c, random);
    else if (rand_splitmix(random) % 6 == 0)
        close_one(c);
    else if (!seats[c][seat].taken)
        sit(c, seat, random);
    else if (shapes[shape_of[c]].options & GMK_CHAN_REPLAY && rand_splitmix(random) % 2)
        (void)gmk_chan_replay(chan_me, seats[c][seat].chan, seats[c][seat].sub,
                              1 + rand_splitmix(random) % 1000);
    else {
        ASSERT_OK(gmk_chan_unsub(chan_me, seats[c][seat].chan, seats[c][seat].sub));
        seats[c][seat].taken = false;
    }
}

static void everything_at_once(void **state) {
    (void)state;
    const char *factor = getenv("GGMK_STRESS"), *seed = getenv("SEED");
    uint64_t rounds = (factor != NULL ? strtoull(factor, NULL, 10) : 1) * 5;
    s.seed = seed != NULL ? strtoull(seed, NULL, 10) : hal_now_ns();
    (void)printf("SEED=%llu\n", (unsigned long long)s.seed);
    for (uint64_t round = 0; round < rounds; round++) {
        struct chan_thread threads[SENDERS];
        uint64_t random = ++s.seed;
        gmk_boot_cfg_t cfg = {.n_workers = 1 + (uint32_t)(round % 3),
                              .retry_base_ns = 1000,
                              .n_tenants = 1 + (uint32_t)(round % 2)};
        chan_up_with(&cfg);
        memset(seats, 0, sizeof(seats));
        atomic_store(&s.stop, 0);
        ASSERT_OK(gmk_chan_sub(chan_me, GMK_CHAN_SYS_DROPPED, letter, NULL, NULL, 0, NULL));
        ASSERT_OK(
            gmk_chan_sub(chan_me, GMK_CHAN_SYS_ERROR, letter, NULL, NULL, GMK_SUB_PARALLEL, NULL));
        for (uint32_t i = 0; i < SENDERS; i++)
            chan_start(&threads[i], sender, (void *)(uintptr_t)(random + i));
        for (uint32_t i = 0; i < 4000; i++)
            change_something(&random);
        atomic_store(&s.stop, 1);
        for (uint32_t i = 0; i < SENDERS; i++)
            chan_join(&threads[i]);
        for (uint32_t c = 0; c < CHANS; c++)
            if (atomic_load(&s.chan[c]) != 0)
                close_one(c);
        chan_down(); /* checks the books */
        assert_int_equal(atomic_load(&s.wrong), 0);
        for (uint32_t c = 0; c < CHANS; c++)
            atomic_store(&s.chan[c], 0);
    }
}

/* ---- Subscribers that stay ------------------------------------------------------------------ */

static void messages_times_subscribers_is_delivered_plus_dropped(void **state) {
    (void)state;
    const char *factor = getenv("GGMK_STRESS");
    uint64_t rounds = factor != NULL ? strtoull(factor, NULL, 10) : 1;
    for (uint64_t round = 0; round < rounds * SHAPES; round++) {
        struct chan_thread threads[SENDERS];
        uint32_t shape = (uint32_t)(round % SHAPES);
        uint32_t subs = shapes[shape].options & GMK_CHAN_FANOUT ? 3 : 1;
        chan_up(2);
        atomic_store(&s.stop, 0);
        atomic_store(&s.taken, 0);
        uint32_t chan = chan_make("steady", shapes[shape].options, shapes[shape].slots);
        for (uint32_t i = 0; i < subs; i++)
            ASSERT_OK(gmk_chan_sub(chan_me, chan, handler, settle, (void *)(uintptr_t)shape,
                                   shapes[shape].sub_options, NULL));
        for (uint32_t c = 0; c < CHANS; c++)
            atomic_store(&s.chan[c], chan);
        for (uint32_t i = 0; i < SENDERS; i++)
            chan_start(&threads[i], sender, (void *)(uintptr_t)(round * 10 + i));
        for (uint32_t i = 0; i < 300; i++)
            sched_pause();
        atomic_store(&s.stop, 1);
        for (uint32_t i = 0; i < SENDERS; i++)
            chan_join(&threads[i]);
        chan_drain();
        gmk_chan_stats_t stats = chan_stat(chan);
        assert_int_equal(stats.sent, atomic_load(&s.taken));
        assert_int_equal(stats.sent * subs, stats.delivered + stats.dropped);
        assert_int_equal(atomic_load(&s.wrong), 0);
        chan_down();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(messages_times_subscribers_is_delivered_plus_dropped),
    };
    return cmocka_run_group_tests_name("stress_chan", tests, NULL, NULL);
}
