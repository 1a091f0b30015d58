/* Test of enqueue: a task that comes again finds room in the overflow bucket also when a consumer of
 * the bucket was stopped in the middle of a pop and keeps the next cell. */
#include "tests/lib/sched_fixture.h"

#include "engine/engine.h"

enum { AGAIN = 1, FILL };

static gmk_kernel_t kernel;
static uint64_t stopped_at;      /* the position whose cell the stopped consumer keeps */
static _Atomic uint32_t stopped; /* 1: it has stopped, and the bucket is a lap further */

static struct ring_mpmc *bucket(void) {
    struct engine *eng = kernel.engine;
    return eng->overflow;
}

/* As in test_ring_mpmc.c: everything of a pop but its last step. */
static void stop_a_consumer(struct ring_mpmc *ring) {
    gmk_task_t task = {.type = FILL};
    assert_true(ring_empty_mpmc(ring));
    assert_true(ring_push_mpmc(ring, &task));
    assert_int_equal(ring_claim_pop(ring, 1, &stopped_at), 1);
    for (uint64_t i = 1; i < ring->capacity; i++) {
        assert_true(ring_push_mpmc(ring, &task));
        assert_true(ring_pop_mpmc(ring, &task));
    }
    assert_false(ring_push_mpmc(ring, &task)); /* although it is empty */
    assert_true(ring_empty_mpmc(ring));
}

static void let_it_go_on(void *arg) {
    struct ring_mpmc *ring = arg;
    while (atomic_load(&stopped) == 0)
        (void)hal_wait(&stopped, 0, HAL_FOREVER);
    for (unsigned i = 0; i < 100; i++) /* the worker comes to the bucket meanwhile */
        sched_pause();
    atomic_store_explicit(&ring->freed[stopped_at & (ring->capacity - 1)],
                          (uint32_t)(stopped_at + ring->capacity), memory_order_release);
}

/* Fills its queue before it gives way, so that it needs the bucket. */
static int again_handler(gmk_ctx_t *ctx) {
    gmk_task_t more = {.type = FILL, .flags = GMK_PRIO(1)};
    if (ctx->task->meta0++ != 0)
        return GMK_OK;
    stop_a_consumer(bucket());
    while (gmk_emit(ctx, &more) == GMK_OK)
        continue;
    atomic_store(&stopped, 1);
    hal_wake(&stopped, 1);
    return GMK_YIELDED;
}

static void a_stopped_consumer_of_the_overflow_bucket_delays_a_task_and_loses_none(void **state) {
    (void)state;
    static const gmk_handler_reg_t handlers[] = {
        {AGAIN, again_handler, "again"},
        {FILL, sched_count_handler, "fill"},
    };
    struct hal_thread thread;
    gmk_sched_stats_t stats;
    gmk_task_t task = {.type = AGAIN, .flags = GMK_PRIO(1)};
    atomic_store(&stopped, 0);
    sched_boot(&kernel, &(gmk_boot_cfg_t){.ready_slots = 16}, handlers, 2);
    ASSERT_OK(hal_thread_start(&thread, "peer", 0, -1, let_it_go_on, bucket()));
    sched_submit(&kernel, &task);
    hal_thread_join(&thread);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    ASSERT_OK(gmk_sched_stats(&kernel, &stats));
    assert_int_equal(stats.overflow, 1);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_consumer_of_the_overflow_bucket_delays_a_task_and_loses_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
