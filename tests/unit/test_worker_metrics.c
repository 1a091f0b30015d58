/* Test of metrics: the counts are exact, every number that is declared is counted, and the
 * exports say what the functions say. */
#include <stdlib.h>

#include "tests/lib/sched_fixture.h"

enum { GATE = 1, COUNT, FAIL, YIELD, RETRY, DROP, CHAIN, SPREAD, USER };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint64_t counted;
static uint32_t own_metric;

static int fail_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EFAIL;
}

static int yield_handler(gmk_ctx_t *ctx) {
    return ctx->task->meta1++ < ctx->task->meta0 ? GMK_YIELDED : GMK_OK;
}

static int retry_handler(gmk_ctx_t *ctx) {
    return gmk_task_retries(ctx->task) < ctx->task->meta0 ? GMK_RETRY : GMK_OK;
}

/* Emits and does not return before all of it has run elsewhere: it must be stolen. */
static int spread_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    uint64_t before = atomic_load(&counted);
    for (uint64_t i = 0; i < ctx->task->meta0; i++)
        ASSERT_OK(gmk_emit(ctx, &task));
    EVENTUALLY(atomic_load(&counted) >= before + ctx->task->meta0);
    return GMK_OK;
}

static int user_handler(gmk_ctx_t *ctx) {
    gmk_metric_inc(ctx, own_metric, ctx->task->meta0);
    if (ctx->task->meta1 != 0)
        gmk_free(ctx, &own_metric); /* not a block: counted, not followed */
    (void)gmk_bump(ctx, 100);
    (void)gmk_bump(ctx, SIZE_MAX);
    gmk_free(ctx, gmk_alloc(ctx, 100));
    return GMK_OK;
}

/* Its queue is full when it gives way, so it needs the overflow bucket. */
static int chain_handler(gmk_ctx_t *ctx) {
    gmk_task_t more = {.type = CHAIN, .flags = GMK_PRIO(1), .meta0 = 1};
    if (ctx->task->meta0++ != 0)
        return GMK_OK;
    while (gmk_emit(ctx, &more) == GMK_OK)
        continue;
    return GMK_YIELDED;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"}, {COUNT, sched_count_handler, "count"},
    {FAIL, fail_handler, "fail"},       {YIELD, yield_handler, "yield"},
    {RETRY, retry_handler, "retry"},    {DROP, sched_count_handler, "drop"},
    {CHAIN, chain_handler, "chain"},    {SPREAD, spread_handler, "spread"},
    {USER, user_handler, "user"},
};

static void start(const gmk_boot_cfg_t *cfg) {
    atomic_store(&counted, 0);
    gmk_log_level(GMK_LOG_ERROR);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
}

static void submit(gmk_task_t task) {
    sched_submit(&kernel, &task);
}

static gmk_sched_stats_t sched_stats(void) {
    gmk_sched_stats_t sched;
    ASSERT_OK(gmk_sched_stats(&kernel, &sched));
    return sched;
}

static void drain(void) {
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
}

/* ---- The counts ------------------------------------------------------------------------------ */

static void each_type_and_tenant_is_counted_exactly(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){
        .n_tenants = 3, .n_workers = 2, .retry_base_ns = 1000, .poison_window_ns = UINT64_MAX});
    for (uint32_t i = 0; i < 600; i++) {
        submit((gmk_task_t){.type = COUNT, .tenant = (uint8_t)(i % 3)});
        submit((gmk_task_t){.type = FAIL, .tenant = 1});
        submit((gmk_task_t){.type = YIELD, .tenant = 2, .meta0 = 3});
        submit((gmk_task_t){.type = RETRY, .tenant = 0, .meta0 = 1});
        submit((gmk_task_t){.type = DROP, .tenant = 1, .flags = GMK_TASK_DEADLINE});
    }
    drain();
    static const struct {
        uint32_t type;
        gmk_counts_t counts;
    } expected[] = {
        {COUNT, {.submitted = 600, .completed = 600}},
        {FAIL, {.submitted = 600, .failed = 600}},
        {YIELD, {.submitted = 600, .completed = 600, .yields = 1800}},
        {RETRY, {.submitted = 600, .completed = 600, .retries = 600}},
        {DROP, {.submitted = 600, .dropped = 600}},
        {GATE, {0}},
    };
    gmk_counts_t c;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        ASSERT_OK(gmk_type_counts(&kernel, expected[i].type, &c));
        assert_memory_equal(&c, &expected[i].counts, sizeof(c));
    }
    static const gmk_counts_t tenants[] = {
        {.submitted = 800, .completed = 800, .retries = 600},
        {.submitted = 1400, .completed = 200, .failed = 600, .dropped = 600},
        {.submitted = 800, .completed = 800, .yields = 1800},
    };
    for (uint8_t t = 0; t < 3; t++) {
        ASSERT_OK(gmk_tenant_counts(&kernel, t, &c));
        assert_memory_equal(&c, &tenants[t], sizeof(c));
    }
    ASSERT_STATUS(gmk_tenant_counts(&kernel, 3, &c), GMK_ETENANT);
    ASSERT_STATUS(gmk_type_counts(&kernel, 999, &c), GMK_ENOENT);
    ASSERT_STATUS(gmk_counts(&kernel, NULL), GMK_EINVAL);
    sched_halt(&kernel);
}

static void what_waits_and_runs_is_counted_as_queued(void **state) {
    (void)state;
    gmk_counts_t c;
    start(NULL);
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (int i = 0; i < 10; i++)
        submit((gmk_task_t){.type = COUNT});
    ASSERT_OK(gmk_submit_at(&kernel, &(gmk_task_t){.type = COUNT}, hal_now_ns() + 1000000));
    ASSERT_OK(gmk_counts(&kernel, &c));
    assert_int_equal(c.queued, 12);
    sched_gate_open(&gate);
    sched_halt(&kernel);
}

/* ---- Everything moves -------------------------------------------------------------------------- */

/* One run in which everything that can be counted happens at least once. */
static void make_everything_happen(void) {
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    uint32_t chan, lossy, sub;
    ASSERT_OK(gmk_metric_register(ctx, "test_own_total", "Its own counter.", &own_metric));
    ASSERT_OK(gmk_chan_open(ctx, "test.messages", COUNT, 0, 0, &chan));
    ASSERT_OK(gmk_chan_sub(ctx, chan, sched_count_handler, NULL, NULL, 0, &sub));
    ASSERT_OK(gmk_chan_open(ctx, "test.lossy", COUNT, GMK_CHAN_LOSSY, 0, &lossy));
    ASSERT_OK(gmk_chan_sub(ctx, lossy, sched_count_handler, NULL, NULL, 0, &sub));
    submit((gmk_task_t){.type = FAIL});
    submit((gmk_task_t){.type = YIELD, .meta0 = 1});
    submit((gmk_task_t){.type = RETRY, .meta0 = 1}); /* waits for its time */
    submit((gmk_task_t){.type = DROP, .flags = GMK_TASK_DEADLINE});
    submit((gmk_task_t){.type = SPREAD, .meta0 = 40}); /* stolen by the other worker */
    submit((gmk_task_t){.type = USER, .meta0 = 5, .meta1 = 1});
    drain();
    sched_gate_shut(&gate, &kernel, GATE, 1); /* the other one fills a queue, then gives way */
    submit((gmk_task_t){.type = CHAIN, .flags = GMK_PRIO(1)});
    EVENTUALLY(sched_stats().overflow != 0);
    sched_gate_open(&gate);
    gmk_task_t message = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    ASSERT_OK(gmk_chan_emit(ctx, chan, &message));
    drain();
    sched_gate_shut(&gate, &kernel, GATE, 2); /* both workers: the watchdog reports them */
    while (gmk_chan_emit(ctx, chan, &message) == GMK_OK) /* until it is full */
        continue;
    for (int i = 0; i < 40; i++)
        ASSERT_OK(gmk_chan_emit(ctx, lossy, &message));
    for (int i = 0; i < 10; i++)
        submit((gmk_task_t){.type = COUNT});
    (void)gmk_submit(&kernel, &(gmk_task_t){.type = 999});
    void *blocks[100]; /* until the part is used up */
    uint32_t n = 0;
    while (n < 100 && (blocks[n] = gmk_alloc(ctx, 120 * 1024)) != NULL)
        n++;
    EVENTUALLY(sched_stats().hangs != 0);
    while (n > 0)
        gmk_free(ctx, blocks[--n]);
}

static const gmk_boot_cfg_t busy = {.n_workers = 2,
                                    .n_tenants = 2,
                                    .hang_ns = 10000000,
                                    .ready_slots = 64,
                                    .local_slots = 64,
                                    .channel_slots = 16,
                                    .stamp_shift = 1,
                                    .arena_size = 8u << 20,
                                    .retry_base_ns = 1000};

static void every_number_of_the_scheduler_is_counted(void **state) {
    (void)state;
    union {
        gmk_sched_stats_t named;
        uint64_t all[sizeof(gmk_sched_stats_t) / sizeof(uint64_t)];
    } sched;
    start(&busy);
    make_everything_happen();
    sched_gate_open(&gate);
    drain();
    ASSERT_OK(gmk_sched_stats(&kernel, &sched.named));
    for (size_t i = 0; i < sizeof(sched.all) / sizeof(sched.all[0]); i++)
        if (sched.all[i] == 0)
            fail_msg("number %zu of gmk_sched_stats_t was never counted", i);
    sched_halt(&kernel);
}

/* ---- The Prometheus text ------------------------------------------------------------------------ */

/* Checks the form of every line; calls `family` with each family's name and the sum of its
 * samples. */
static void parse(const struct sched_text *text, void (*family)(const char *name, double sum)) {
    char name[100] = "";
    double sum = 0;
    const char *at = text->text;
    while (*at != '\0') {
        const char *end = strchr(at, '\n');
        assert_non_null(end); /* every line ends */
        if (strncmp(at, "# TYPE ", 7) == 0) {
            if (name[0] != '\0')
                family(name, sum);
            size_t length = strcspn(at + 7, " ");
            assert_in_range(length, 1, sizeof(name) - 1);
            memcpy(name, at + 7, length);
            name[length] = '\0';
            sum = 0;
        } else if (at[0] != '#') {
            const char *value = end;
            while (value > at && value[-1] != ' ')
                value--;
            char *rest;
            sum += strtod(value, &rest);
            assert_ptr_equal(rest, end);                          /* a sample ends in a number */
            assert_int_equal(strncmp(at, name, strlen(name)), 0); /* and belongs to its family */
        }
        at = end + 1;
    }
    if (name[0] != '\0')
        family(name, sum);
}

static uint32_t families, silent;

static void expect_moved(const char *name, double sum) {
    families++;
    if (sum == 0) {
        print_error("family %s is declared and never counted\n", name);
        silent++;
    }
}

static void every_family_of_the_prometheus_text_moves(void **state) {
    (void)state;
    static struct sched_text text;
    text.length = 0;
    families = silent = 0;
    start(&busy);
    make_everything_happen();
    ASSERT_OK(gmk_prometheus(&kernel, sched_write, &text)); /* while tasks wait: gauges too */
    parse(&text, expect_moved);
    assert_int_equal(silent, 0);
    assert_in_range(families, 30, 100);
    assert_non_null(strstr(text.text, "\ntest_own_total 5\n"));
    assert_non_null(strstr(text.text, "ggmk_tasks_failed_total{type=\"3\",name=\"fail\"} 1\n"));
    sched_gate_open(&gate);
    sched_halt(&kernel);
}

static int failing_write(void *arg, const void *bytes, size_t size) {
    (void)bytes;
    (void)size;
    return ++*(int *)arg == 3 ? GMK_ESYS : GMK_OK;
}

static void an_export_stops_at_the_first_error_of_its_writer(void **state) {
    (void)state;
    int calls = 0;
    start(NULL);
    ASSERT_STATUS(gmk_prometheus(&kernel, NULL, NULL), GMK_EINVAL);
    int status = gmk_prometheus(&kernel, failing_write, &calls);
    if (calls >= 3) { /* fewer: all went out in two pieces */
        assert_int_equal(status, GMK_ESYS);
        assert_int_equal(calls, 3);
    }
    sched_halt(&kernel);
}

/* ---- Latencies and own counters -------------------------------------------------------------------- */

static void latencies_are_sampled_and_ordered(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.stamp_shift = 1});
    for (int i = 0; i < 1000; i++)
        submit((gmk_task_t){.type = COUNT});
    drain();
    for (int kind = GMK_LATENCY_QUEUE; kind <= GMK_LATENCY_HANDLER; kind++) {
        gmk_latency_t l;
        ASSERT_OK(gmk_latency(&kernel, (enum gmk_latency_kind)kind, &l));
        assert_int_equal(l.count, 500);
        assert_in_range(l.p99_ns, l.p50_ns, l.p999_ns);
        assert_in_range(l.mean_ns, 1, l.max_ns);
        assert_true(l.p999_ns <= l.max_ns + l.max_ns / 16);
    }
    gmk_latency_t l;
    ASSERT_STATUS(gmk_latency(&kernel, (enum gmk_latency_kind)7, &l), GMK_EINVAL);
    sched_halt(&kernel);
}

static void own_counters_are_exact_and_limited(void **state) {
    (void)state;
    uint64_t value;
    uint32_t id;
    char name[GMK_NAME_MAX + 10];
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    ASSERT_OK(gmk_metric_register(ctx, "first_total", NULL, &own_metric));
    ASSERT_STATUS(gmk_metric_register(ctx, "first_total", NULL, &id), GMK_EEXIST);
    ASSERT_STATUS(gmk_metric_register(ctx, "no spaces", NULL, &id), GMK_EINVAL);
    ASSERT_STATUS(gmk_metric_register(ctx, NULL, NULL, &id), GMK_EINVAL);
    for (int i = 0; i < 2000; i++)
        submit((gmk_task_t){.type = USER, .meta0 = 3});
    gmk_metric_inc(ctx, own_metric, 1);
    gmk_metric_inc(ctx, UINT32_MAX, 1);
    drain();
    ASSERT_OK(gmk_metric_read(&kernel, own_metric, &value));
    assert_int_equal(value, 6001);
    ASSERT_STATUS(gmk_metric_read(&kernel, 1, &value), GMK_ENOENT);
    for (uint32_t i = 1; i < GMK_METRICS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "metric_%u", i);
        ASSERT_OK(gmk_metric_register(ctx, name, "", &id));
    }
    ASSERT_STATUS(gmk_metric_register(ctx, "one_more", "", &id), GMK_ELIMIT);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_and_tenant_is_counted_exactly),
        cmocka_unit_test(what_waits_and_runs_is_counted_as_queued),
        cmocka_unit_test(every_number_of_the_scheduler_is_counted),
        cmocka_unit_test(every_family_of_the_prometheus_text_moves),
        cmocka_unit_test(an_export_stops_at_the_first_error_of_its_writer),
        cmocka_unit_test(latencies_are_sampled_and_ordered),
        cmocka_unit_test(own_counters_are_exact_and_limited),
    };
    return cmocka_run_group_tests_name("worker_metrics", tests, NULL, NULL);
}
