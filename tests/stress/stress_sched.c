/* Stress of the scheduler: several threads submit tasks of every kind while handlers emit,
 * yield, retry, wait for groups and send to later times; priorities and tenants are mixed, queues
 * are small, so that they are full most of the time.
 *
 * After every run each type's and each tenant's counts must obey the conservation law, equal
 * what the test itself counted, and agree with each other; no block may be left.
 *
 * GGMK_STRESS=n runs n times as long. */
#include <stdlib.h>

#include "lib/rand.h"
#include "tests/lib/sched_fixture.h"

#define SUBMITTERS    3u
#define PER_SUBMITTER 20000u
#define TENANTS       3u
#define RUNS          9u

enum { LEAF = 1, EMITTER, YIELDER, RETRIER, GROUPER, FAILING, PAYLOAD, TYPES };

static gmk_kernel_t kernel;

/* What the test counts by itself, per type. */
static struct { _Atomic uint64_t taken, refused, completed; } own[TYPES];

static int leaf_handler(gmk_ctx_t *ctx) {
    atomic_fetch_add(&own[ctx->task->type].completed, 1);
    return GMK_OK;
}

static void emit(gmk_ctx_t *ctx, const gmk_task_t *task, uint64_t at_ns) {
    int status = at_ns != 0 ? gmk_emit_at(ctx, task, at_ns) : gmk_emit(ctx, task);
    atomic_fetch_add(status == GMK_OK ? &own[task->type].taken : &own[task->type].refused, 1);
}

static int emitter_handler(gmk_ctx_t *ctx) {
    uint64_t random = gmk_random(ctx);
    for (uint64_t i = 0; i < random % 4; i++) {
        gmk_task_t task = {.type = LEAF, .tenant = (uint8_t)(random >> 8) % TENANTS};
        task.flags = GMK_PRIO(random >> (16 + 2 * i));
        emit(ctx, &task, random & 0x100 ? gmk_now(ctx) + (random >> 40) % 100000 : 0);
    }
    return leaf_handler(ctx);
}

static int yielder_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0++ < 5) {
        if (ctx->task->meta0 & 1)
            gmk_yield(ctx);
        else
            gmk_yield_at(ctx, gmk_now(ctx) + 1000);
        return GMK_OK;
    }
    return leaf_handler(ctx);
}

static int retrier_handler(gmk_ctx_t *ctx) {
    return gmk_task_retries(ctx->task) < 3 ? GMK_RETRY : leaf_handler(ctx);
}

static int grouper_handler(gmk_ctx_t *ctx) {
    uint32_t group;
    if (gmk_group_open(ctx, 0, &group) == GMK_OK) {
        for (int i = 0; i < 3; i++) {
            gmk_task_t task = {.type = LEAF, .group = group};
            int status = gmk_spawn(ctx, &task);
            atomic_fetch_add(status == GMK_OK ? &own[LEAF].taken : &own[LEAF].refused, 1);
        }
        if (gmk_group_wait(ctx, group) == GMK_EDEPTH)
            ASSERT_OK(gmk_group_drop(ctx, group));
    }
    return leaf_handler(ctx);
}

static int fail_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EFAIL;
}

static int payload_handler(gmk_ctx_t *ctx) {
    const unsigned char *bytes = ctx->task->payload;
    for (uint32_t i = 0; i < ctx->task->len; i++)
        if (bytes[i] != (unsigned char)ctx->task->meta1)
            return GMK_EFAIL;
    return ctx->task->meta0++ < 2 ? GMK_YIELDED : leaf_handler(ctx);
}

static const gmk_handler_reg_t handlers[] = {
    {LEAF, leaf_handler, "leaf"},          {EMITTER, emitter_handler, "emitter"},
    {YIELDER, yielder_handler, "yielder"}, {RETRIER, retrier_handler, "retrier"},
    {GROUPER, grouper_handler, "grouper"}, {FAILING, fail_handler, "failing"},
    {PAYLOAD, payload_handler, "payload"},
};

/* ---- The submitters ---------------------------------------------------------------------- */

static void submit_payload(gmk_ctx_t *ctx, struct rand_state *rand, gmk_task_t *task) {
    task->len = 1 + rand_below(rand, 500);
    task->meta1 = rand_below(rand, 256);
    task->payload = gmk_alloc(ctx, task->len);
    if (task->payload == NULL)
        return;
    memset(task->payload, (int)task->meta1, task->len);
    if (gmk_submit(&kernel, task) == GMK_OK)
        atomic_fetch_add(&own[PAYLOAD].taken, 1);
    else
        gmk_free(ctx, task->payload);
}

static void submitter(void *arg) {
    struct rand_state rand = rand_seed((uintptr_t)arg);
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    for (uint32_t i = 0; i < PER_SUBMITTER; i++) {
        gmk_task_t task = {.type = 1 + rand_below(&rand, TYPES - 1)};
        task.flags = GMK_PRIO(rand_below(&rand, 4));
        task.tenant = (uint8_t)rand_below(&rand, TENANTS);
        if (task.type == PAYLOAD) {
            submit_payload(ctx, &rand, &task);
            continue;
        }
        int status = rand_below(&rand, 4) == 0
                         ? gmk_submit_at(&kernel, &task, hal_now_ns() + rand_below(&rand, 200000))
                         : gmk_submit(&kernel, &task);
        atomic_fetch_add(status == GMK_OK ? &own[task.type].taken : &own[task.type].refused, 1);
        if (status == GMK_EAGAIN)
            hal_yield_cpu();
    }
}

/* ---- A run --------------------------------------------------------------------------------- */

static void check_types(gmk_counts_t *sum) {
    for (uint32_t type = 1; type < TYPES; type++) {
        gmk_counts_t c;
        ASSERT_OK(gmk_type_counts(&kernel, type, &c));
        assert_int_equal(c.submitted + c.emitted, atomic_load(&own[type].taken));
        assert_int_equal(c.completed, atomic_load(&own[type].completed));
        assert_int_equal(c.submitted + c.emitted, c.completed + c.failed + c.dropped);
        assert_int_equal(c.failed, type == FAILING ? c.submitted + c.emitted : 0);
        sum->submitted += c.submitted;
        sum->emitted += c.emitted;
        sum->completed += c.completed;
        sum->failed += c.failed;
        sum->dropped += c.dropped;
    }
}

static void check_tenants(const gmk_counts_t *sum) {
    gmk_counts_t all = {0};
    for (uint8_t tenant = 0; tenant < TENANTS; tenant++) {
        gmk_counts_t c;
        ASSERT_OK(gmk_tenant_counts(&kernel, tenant, &c));
        assert_int_equal(c.submitted + c.emitted, c.completed + c.failed + c.dropped);
        all.submitted += c.submitted;
        all.emitted += c.emitted;
        all.completed += c.completed;
        all.failed += c.failed;
        all.dropped += c.dropped;
    }
    assert_memory_equal(&all, sum, offsetof(gmk_counts_t, queued));
}

static void run(uint32_t workers, uint32_t slots) {
    struct hal_thread threads[SUBMITTERS];
    gmk_counts_t sum = {0};
    memset(own, 0, sizeof(own));
    sched_boot(&kernel,
               &(gmk_boot_cfg_t){.n_workers = workers,
                                 .n_tenants = TENANTS,
                                 .ready_slots = slots,
                                 .local_slots = 16,
                                 .max_timers = 200,
                                 .max_groups = 50,
                                 .retry_base_ns = 1000,
                                 .poison_window_ns = UINT64_MAX,
                                 .arena_size = 16u << 20},
               handlers, TYPES - 1);
    for (uintptr_t i = 0; i < SUBMITTERS; i++)
        assert_int_equal(hal_thread_start(&threads[i], "submit", 0, -1, submitter, (void *)(i + 1)),
                         0);
    for (uint32_t i = 0; i < SUBMITTERS; i++)
        hal_thread_join(&threads[i]);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    check_types(&sum);
    check_tenants(&sum);
    gmk_part_stats_t blocks;
    ASSERT_OK(gmk_arena_stats(&kernel, GMK_PART_BLOCKS, &blocks));
    assert_int_equal(blocks.allocs, blocks.frees);
    sched_halt(&kernel);
}

static void counts_are_exact_and_nothing_is_lost_in_any_mixture(void **state) {
    (void)state;
    const char *times = getenv("GGMK_STRESS");
    uint32_t runs = RUNS * (times != NULL ? (uint32_t)strtoul(times, NULL, 10) : 1);
    for (uint32_t i = 0; i < runs; i++)
        run(1 + i % 3, i % 2 ? 16 : 256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact_and_nothing_is_lost_in_any_mixture),
    };
    return cmocka_run_group_tests_name("stress_sched", tests, NULL, NULL);
}
