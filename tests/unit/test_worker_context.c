/* Test of what code inside an engine may ask for: services by privilege and version between
 * modules, system channels and limits by privilege, the trace from the first event to the
 * exported file, and identity. */
#include "tests/lib/fxt_reader.h"
#include "tests/lib/sched_fixture.h"

#define ASK 1u
#define SAY 2u

static gmk_kernel_t kernel;

/* ---- Services and privileges ---------------------------------------------------------- */

struct clock_ops {
    uint64_t (*now)(void);
};

static uint64_t seven(void) {
    return 7;
}

static const struct clock_ops clock_ops = {seven};
static int publish_status, steal_status;

static int clock_init(gmk_ctx_t *ctx) {
    publish_status = gmk_service_publish(ctx, "clock", GMK_VERSION(1, 2, 0), &clock_ops, GMK_USER);
    return gmk_service_publish(ctx, "driver.only", GMK_VERSION(1, 0, 0), &clock_ops, GMK_DRIVER);
}

/* What the user module met, filled by its init and its handler. */
static struct {
    uint64_t now;
    int newer, major, absent, forbidden, reset, limit, sys_sub, sys_emit, withdrawn;
} met;

static int count_one(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

static int user_init(gmk_ctx_t *ctx) {
    const struct clock_ops *ops =
        GMK_SERVICE_GET(ctx, struct clock_ops, "clock", GMK_VERSION(1, 1, 0));
    if (ops == NULL)
        return GMK_ENOENT;
    met.now = ops->now();
    assert_null(gmk_service_get(ctx, "clock", GMK_VERSION(1, 3, 0), &met.newer));
    assert_null(gmk_service_get(ctx, "clock", GMK_VERSION(2, 0, 0), &met.major));
    assert_null(gmk_service_get(ctx, "nothing", GMK_VERSION(1, 0, 0), &met.absent));
    assert_null(gmk_service_get(ctx, "driver.only", GMK_VERSION(1, 0, 0), &met.forbidden));
    steal_status = gmk_service_withdraw(ctx, "clock");
    gmk_task_t letter = {.type = ASK};
    met.reset = gmk_type_reset(ctx->kernel, ASK);
    met.limit = gmk_tenant_limit(ctx->kernel, 0, 1, 1);
    met.sys_sub = gmk_chan_sub(ctx, GMK_CHAN_SYS_ERROR, count_one, NULL, NULL, 0, NULL);
    met.sys_emit = gmk_chan_emit(ctx, GMK_CHAN_SYS_DROPPED, &letter);
    return GMK_OK;
}

static void a_module_gets_what_its_privilege_and_version_allow(void **state) {
    (void)state;
    static const char *const needs[] = {"clock"};
    static const gmk_handler_reg_t handlers[] = {{.type = ASK, .fn = count_one, .name = "ask"}};
    gmk_module_t clock = {.name = "clock", .privilege = GMK_DRIVER, .init = clock_init};
    gmk_module_t user = {.name = "user",
                         .init = user_init,
                         .handlers = handlers,
                         .n_handlers = 1,
                         .depends = needs,
                         .n_depends = 1};
    gmk_module_t *mods[] = {&user, &clock};
    gmk_boot_cfg_t cfg = {.n_workers = 1, .no_auto_modules = true, .n_tenants = 2};
    ASSERT_OK(gmk_boot(&kernel, &cfg, mods, 2));
    ASSERT_OK(publish_status);
    assert_int_equal(met.now, 7);
    ASSERT_STATUS(met.newer, GMK_EVERSION);
    ASSERT_STATUS(met.major, GMK_EVERSION);
    ASSERT_STATUS(met.absent, GMK_ENOENT);
    ASSERT_STATUS(met.forbidden, GMK_EPERM);
    ASSERT_STATUS(steal_status, GMK_EPERM);
    ASSERT_STATUS(met.reset, GMK_EPERM);
    ASSERT_STATUS(met.limit, GMK_EPERM);
    ASSERT_STATUS(met.sys_sub, GMK_EPERM);
    ASSERT_STATUS(met.sys_emit, GMK_EPERM);

    /* The program itself may do all that, and publish and withdraw under its own name. */
    gmk_ctx_t *me = gmk_attach(&kernel);
    assert_non_null(gmk_service_get(me, "driver.only", GMK_VERSION(1, 0, 0), NULL));
    ASSERT_OK(gmk_service_publish(me, "mine", GMK_VERSION(1, 0, 0), &clock_ops, GMK_USER));
    ASSERT_STATUS(gmk_service_publish(me, "mine", GMK_VERSION(1, 0, 0), &clock_ops, GMK_USER),
                  GMK_EEXIST);
    ASSERT_OK(gmk_service_withdraw(me, "mine"));
    assert_null(gmk_service_get(me, "mine", GMK_VERSION(1, 0, 0), &met.withdrawn));
    ASSERT_STATUS(met.withdrawn, GMK_ENOENT);
    ASSERT_OK(gmk_type_reset(&kernel, ASK));
    ASSERT_STATUS(gmk_type_reset(&kernel, 99), GMK_ENOENT);
    ASSERT_OK(gmk_tenant_limit(&kernel, 1, 5, 0));
    ASSERT_OK(gmk_halt(&kernel));
    ASSERT_STATUS(gmk_service_publish(NULL, "x", 1, &clock_ops, GMK_USER), GMK_EINVAL);
    ASSERT_STATUS(gmk_service_withdraw(me, "mine"), GMK_EHALTED);
    assert_null(gmk_service_get(me, "clock", GMK_VERSION(1, 0, 0), &met.withdrawn));
    ASSERT_STATUS(met.withdrawn, GMK_EHALTED);
}

/* ---- The trace -------------------------------------------------------------------------- */

static int say(gmk_ctx_t *ctx) {
    gmk_trace(ctx, GMK_TRACE_INFO, "said", ctx->task->meta0);
    return GMK_OK;
}

static const gmk_handler_reg_t sayers[] = {{.type = SAY, .fn = say, .name = "say"}};

static struct sched_text file;

/* How many events of this name the exported trace holds; the reader refuses any bad byte. */
struct tally {
    const char *name;
    uint32_t count;
};

static void count_name(void *arg, const struct fxt_event_read *event) {
    struct tally *tally = arg;
    if (fxt_text_is(event->name, tally->name))
        tally->count++;
}

static uint32_t exported(const char *name) {
    struct tally tally = {name, 0};
    gmk_trace_stats_t stats;
    struct fxt_visitor visitor = {&tally, count_name, NULL};
    struct fxt_result result;
    file.length = 0;
    ASSERT_OK(gmk_trace_export(&kernel, sched_write, &file, &stats));
    if (!fxt_read(file.text, file.length, &visitor, &result))
        fail_msg("the exported trace is refused: %s", result.error);
    assert_int_equal(stats.torn + stats.malformed, 0);
    return tally.count;
}

static void say_times(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        gmk_task_t task = {.type = SAY, .meta0 = i};
        sched_submit(&kernel, &task);
    }
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
}

static void the_trace_shows_what_its_levels_and_sampling_let_through(void **state) {
    (void)state;
    sched_boot(&kernel, NULL, sayers, 1);
    say_times(3);
    assert_int_equal(exported("said"), 0); /* off */
    ASSERT_OK(gmk_trace_set_level(&kernel, GMK_TRACE_INFO));
    say_times(3);
    assert_int_equal(exported("said"), 3);
    assert_int_equal(exported("say"), 0); /* handlers' spans are of level ALL */
    ASSERT_OK(gmk_trace_set_module_level(&kernel, "test", GMK_TRACE_ALL));
    say_times(2);
    assert_int_equal(exported("said"), 5);
    assert_int_equal(exported("say"), 2);
    ASSERT_OK(gmk_trace_set_module_level(&kernel, "test", GMK_TRACE_OFF));
    say_times(4);
    assert_int_equal(exported("said"), 5);
    ASSERT_OK(gmk_trace_set_module_level(&kernel, "test", GMK_TRACE_INHERIT));
    ASSERT_OK(gmk_trace_set_sampling(&kernel, "user", 2));
    say_times(8);
    assert_int_equal(exported("said"), 7); /* one in four */
    sched_halt(&kernel);
}

static void what_the_trace_cannot_do_it_refuses(void **state) {
    (void)state;
    sched_boot(&kernel, NULL, sayers, 1);
    ASSERT_STATUS(gmk_trace_set_level(&kernel, (enum gmk_trace_level)99), GMK_EINVAL);
    ASSERT_STATUS(gmk_trace_set_module_level(&kernel, "nobody", GMK_TRACE_ALL), GMK_ENOENT);
    ASSERT_STATUS(gmk_trace_set_module_level(&kernel, NULL, GMK_TRACE_ALL), GMK_EINVAL);
    ASSERT_STATUS(gmk_trace_set_module_level(&kernel, "test", -1), GMK_EINVAL);
    ASSERT_STATUS(gmk_trace_set_sampling(&kernel, "nothing", 1), GMK_ENOENT);
    ASSERT_STATUS(gmk_trace_set_sampling(&kernel, NULL, 1), GMK_ENOENT);
    ASSERT_STATUS(gmk_trace_set_sampling(&kernel, "task", 32), GMK_EINVAL);
    ASSERT_STATUS(gmk_trace_export(&kernel, NULL, NULL, NULL), GMK_EINVAL);
    sched_halt(&kernel);
    ASSERT_STATUS(gmk_trace_set_level(&kernel, GMK_TRACE_ALL), GMK_EHALTED);
    ASSERT_STATUS(gmk_trace_export(&kernel, sched_write, &file, NULL), GMK_EHALTED);
}

/* ---- Identity ------------------------------------------------------------------------------ */

static uint32_t self_worker, self_tenant;

static int note_self(gmk_ctx_t *ctx) {
    self_worker = gmk_self_worker(ctx);
    self_tenant = gmk_self_tenant(ctx);
    uint64_t first = gmk_random(ctx);
    return gmk_random(ctx) != first ? GMK_OK : GMK_EFAIL;
}

static void a_handler_knows_its_worker_and_tenant(void **state) {
    (void)state;
    static const gmk_handler_reg_t handlers[] = {{.type = ASK, .fn = note_self, .name = "self"}};
    gmk_boot_cfg_t cfg = {.n_tenants = 4};
    sched_boot(&kernel, &cfg, handlers, 1);
    gmk_task_t task = {.type = ASK, .tenant = 3};
    sched_submit(&kernel, &task);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(self_worker, 0);
    assert_int_equal(self_tenant, 3);
    gmk_ctx_t *me = gmk_attach(&kernel);
    assert_int_equal(gmk_self_worker(me), UINT32_MAX);
    assert_int_equal(gmk_self_tenant(me), 0);
    uint64_t before = gmk_now(me);
    assert_true(gmk_now(me) >= before);
    uint64_t first = gmk_random(me);
    assert_true(gmk_random(me) != first);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_gets_what_its_privilege_and_version_allow),
        cmocka_unit_test(the_trace_shows_what_its_levels_and_sampling_let_through),
        cmocka_unit_test(what_the_trace_cannot_do_it_refuses),
        cmocka_unit_test(a_handler_knows_its_worker_and_tenant),
    };
    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
