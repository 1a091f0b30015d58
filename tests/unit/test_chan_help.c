/* Test of helping: handlers that send into a full channel, and handlers that wait for their
 * children, neither fail nor pile up on the stack, however many of them there are. */
#include "tests/lib/sched_fixture.h"

#define SEND  1u
#define FIB   2u
#define MSG   3u
#define RELAY 4u
#define MANY  20000u

static gmk_kernel_t kernel;
static uint32_t first_chan, second_chan;
static _Atomic uint32_t refused, taken;

static int send_one(gmk_ctx_t *ctx) {
    gmk_task_t message = {.type = MSG, .meta0 = ctx->task->meta0};
    if (gmk_chan_send(ctx, first_chan, &message, UINT64_MAX) != GMK_OK)
        atomic_fetch_add(&refused, 1);
    return GMK_OK;
}

static int take(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_fetch_add(&taken, 1);
    return GMK_OK;
}

/* A stage between two channels, both full most of the time. */
static int relay(gmk_ctx_t *ctx) {
    gmk_task_t message = {.type = RELAY, .meta0 = ctx->task->meta0};
    if (gmk_chan_send(ctx, second_chan, &message, UINT64_MAX) != GMK_OK)
        atomic_fetch_add(&refused, 1);
    return GMK_OK;
}

static int fib(gmk_ctx_t *ctx) {
    uint64_t n = ctx->task->meta0;
    uint32_t group;
    if (n < 2) {
        atomic_fetch_add(&taken, 1);
        return GMK_OK;
    }
    int status = gmk_group_open(ctx, 0, &group);
    if (status != GMK_OK)
        return status;
    gmk_task_t child = {.type = FIB, .group = group, .meta0 = n - 1};
    status = gmk_spawn(ctx, &child);
    child.meta0 = n - 2;
    if (status == GMK_OK)
        status = gmk_spawn(ctx, &child);
    int waited = gmk_group_wait(ctx, group);
    return status != GMK_OK ? status : waited;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = SEND, .fn = send_one, .name = "send"},
    {.type = FIB, .fn = fib, .name = "fib"},
};

static void up(uint32_t workers) {
    gmk_boot_cfg_t cfg = {.n_workers = workers};
    atomic_store(&refused, 0);
    atomic_store(&taken, 0);
    sched_boot(&kernel, &cfg, handlers, 2);
}

static void make(const char *name, uint32_t type, gmk_handler_fn fn, uint32_t options,
                 uint32_t *chan) {
    gmk_ctx_t *me = gmk_attach(&kernel);
    assert_non_null(me);
    ASSERT_OK(gmk_chan_open(me, name, type, 0, 16, chan));
    ASSERT_OK(gmk_chan_sub(me, *chan, fn, NULL, NULL, options, NULL));
}

static void send_many(void) {
    for (uint32_t i = 0; i < MANY; i++) {
        gmk_task_t task = {.type = SEND, .meta0 = i};
        sched_submit(&kernel, &task);
    }
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&refused), 0);
    assert_int_equal(atomic_load(&taken), MANY);
}

static void many_senders_into_a_small_channel(uint32_t workers, uint32_t options) {
    up(workers);
    make("small", MSG, take, options, &first_chan);
    send_many();
    sched_halt(&kernel);
}

static void senders_on_one_worker_run_the_subscriber_instead_of_failing(void **state) {
    (void)state;
    many_senders_into_a_small_channel(1, GMK_SUB_ORDERED);
    many_senders_into_a_small_channel(1, GMK_SUB_PARALLEL);
}

static void senders_on_several_workers_all_get_their_message_through(void **state) {
    (void)state;
    many_senders_into_a_small_channel(2, GMK_SUB_ORDERED);
    many_senders_into_a_small_channel(3, GMK_SUB_PARALLEL);
}

static void a_chain_of_full_channels_moves_on_without_a_worker_of_its_own(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        up(workers);
        make("first", MSG, relay, GMK_SUB_ORDERED, &first_chan);
        make("second", RELAY, take, GMK_SUB_ORDERED, &second_chan);
        send_many();
        sched_halt(&kernel);
    }
}

static _Atomic int own_status;

/* Fills its own channel; nobody else can ever make room there. */
static int fill_own(gmk_ctx_t *ctx) {
    gmk_task_t message = {.type = MSG};
    int status = GMK_OK;
    for (uint32_t i = 0; i < 64 && status == GMK_OK && atomic_load(&own_status) == GMK_OK; i++)
        status = gmk_chan_send(ctx, first_chan, &message, UINT64_MAX);
    if (status != GMK_OK)
        atomic_store(&own_status, status);
    return GMK_OK;
}

static void a_subscriber_that_waits_for_itself_is_told_so(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        up(workers);
        atomic_store(&own_status, GMK_OK);
        make("own", MSG, fill_own, GMK_SUB_ORDERED, &first_chan);
        gmk_task_t message = {.type = MSG};
        ASSERT_OK(gmk_chan_emit(gmk_attach(&kernel), first_chan, &message));
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        ASSERT_STATUS(atomic_load(&own_status), GMK_EDEPTH);
        sched_halt(&kernel);
    }
}

static void parents_that_wait_for_their_children_nest_no_deeper_than_the_tree(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        up(workers);
        gmk_task_t root = {.type = FIB, .meta0 = 20};
        sched_submit(&kernel, &root);
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        gmk_counts_t counts;
        ASSERT_OK(gmk_counts(&kernel, &counts));
        assert_int_equal(counts.failed, 0);
        assert_int_equal(atomic_load(&taken), 10946); /* leaves of fib(20): the 21st number */
        sched_halt(&kernel);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_on_one_worker_run_the_subscriber_instead_of_failing),
        cmocka_unit_test(senders_on_several_workers_all_get_their_message_through),
        cmocka_unit_test(a_chain_of_full_channels_moves_on_without_a_worker_of_its_own),
        cmocka_unit_test(a_subscriber_that_waits_for_itself_is_told_so),
        cmocka_unit_test(parents_that_wait_for_their_children_nest_no_deeper_than_the_tree),
    };
    return cmocka_run_group_tests_name("helping", tests, NULL, NULL);
}
