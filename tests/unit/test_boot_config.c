/* Test of boot: the quick start as written, every kind of bad configuration, arenas that are
 * too small, and that a failed boot leaves nothing behind. */
#include "engine/layout.h"
#include "tests/lib/log_capture.h"
#include "tests/lib/sched_fixture.h"

static _Atomic uint64_t answer;

static int my_handler(gmk_ctx_t *ctx) {
    atomic_store(&answer, ctx->task->meta0);
    return GMK_OK;
}

static void the_quick_start_runs_as_written(void **state) {
    (void)state;
    gmk_kernel_t kernel;
    gmk_handler_reg_t handlers[] = {{.type = 1, .fn = my_handler, .name = "my_handler"}};
    gmk_module_t mod = {
        .name = "mod", .version = GMK_VERSION(0, 1, 0), .handlers = handlers, .n_handlers = 1};
    gmk_module_t *mods[] = {&mod};
    gmk_boot_cfg_t cfg = {.arena_size = 64 * 1024 * 1024, .n_workers = 4, .n_tenants = 1};
    ASSERT_OK(gmk_boot(&kernel, &cfg, mods, 1));
    gmk_task_t task = {.type = 1, .meta0 = 42};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_halt(&kernel));
    assert_int_equal(atomic_load(&answer), 42);
}

static void an_engine_boots_without_configuration_and_modules(void **state) {
    (void)state;
    gmk_kernel_t kernel;
    ASSERT_OK(gmk_boot(&kernel, NULL, NULL, 0));
    assert_true(kernel.boot_id != 0);
    ASSERT_OK(gmk_halt(&kernel));
    assert_int_equal(kernel.boot_id, 0);
    assert_null(kernel.engine);
}

static void expect_refused(gmk_boot_cfg_t cfg, int status, const char *field) {
    gmk_kernel_t kernel = {0};
    log_capture_start();
    int got = gmk_boot(&kernel, &cfg, NULL, 0);
    log_capture_end();
    if (got != status)
        fail_msg("%s: boot gave %s, expected %s", field, gmk_error_name(got),
                 gmk_error_name(status));
    assert_true(log_capture_has(field));
    assert_null(kernel.engine);
    gmk_task_t task = {.type = 1};
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EHALTED);
}

static void every_field_out_of_range_is_refused_by_name(void **state) {
    (void)state;
    const struct {
        gmk_boot_cfg_t cfg;
        const char *field;
    } bad[] = {
        {{.arena_size = 1}, "arena_size"},
        {{.arena_size = SIZE_MAX}, "arena_size"},
        {{.n_workers = GMK_WORKERS_MAX + 1}, "n_workers"},
        {{.n_workers = UINT32_MAX}, "n_workers"},
        {{.n_tenants = GMK_TENANTS_MAX + 1}, "n_tenants"},
        {{.max_clients = GMK_CLIENTS_MAX + 1}, "max_clients"},
        {{.max_types = 1}, "max_types"},
        {{.max_types = GMK_TYPES_MAX + 1}, "max_types"},
        {{.max_groups = 65536}, "max_groups"},
        {{.max_timers = UINT32_MAX}, "max_timers"},
        {{.ready_slots = 1}, "ready_slots"},
        {{.ready_slots = 1000}, "ready_slots"},
        {{.ready_slots = UINT32_MAX}, "ready_slots"},
        {{.local_slots = 8}, "local_slots"},
        {{.local_slots = 100}, "local_slots"},
        {{.local_slots = 65536}, "local_slots"},
        {{.channel_slots = 3}, "channel_slots"},
        {{.max_yields = 65536}, "max_yields"},
        {{.max_retries = 16}, "max_retries"},
        {{.retry_base_ns = 10, .retry_max_ns = 9}, "retry_max_ns"},
        {{.hang_ns = 1}, "hang_ns"},
        {{.stamp_shift = 32}, "stamp_shift"},
        {{.trace_level = 200}, "trace_level"},
        {{.log_level = 200}, "log_level"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refused(bad[i].cfg, GMK_EINVAL, bad[i].field);
    gmk_log_level(GMK_LOG_DEFAULT);
}

static void a_null_handle_or_module_list_is_refused(void **state) {
    (void)state;
    gmk_kernel_t kernel = {0};
    gmk_module_t *mods[] = {NULL};
    ASSERT_STATUS(gmk_boot(NULL, NULL, NULL, 0), GMK_EINVAL);
    ASSERT_STATUS(gmk_boot(&kernel, NULL, NULL, 1), GMK_EINVAL);
    log_capture_start();
    ASSERT_STATUS(gmk_boot(&kernel, NULL, mods, 1), GMK_EINVAL);
    log_capture_end();
    ASSERT_STATUS(gmk_halt(NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_halt(&kernel), GMK_EHALTED);
}

/* The least size works, one page less does not, and the log says how much it takes. */
static void the_least_arena_boots_and_one_page_less_says_how_much_is_missing(void **state) {
    (void)state;
    const gmk_boot_cfg_t cfgs[] = {
        {.n_workers = 1},
        {.n_workers = 2, .n_tenants = 4},
        {.n_workers = 8, .max_clients = 64, .max_groups = 5000},
        {.n_workers = GMK_WORKERS_MAX, .max_clients = GMK_CLIENTS_MAX},
        {.n_workers = 1, .ready_slots = 32768, .max_timers = 100000},
        {.n_workers = 1, .deterministic = true, .ready_slots = 4096},
        {.n_workers = 3, .n_tenants = GMK_TENANTS_MAX, .max_types = GMK_TYPES_MAX},
    };
    for (size_t i = 0; i < sizeof(cfgs) / sizeof(cfgs[0]); i++) {
        gmk_kernel_t kernel = {0};
        gmk_boot_cfg_t cfg = cfgs[i];
        char needed[24];
        cfg.arena_size = gmk_boot_arena_min(&cfg);
        assert_true(cfg.arena_size != 0);
        ASSERT_OK(gmk_boot(&kernel, &cfg, NULL, 0));
        ASSERT_OK(gmk_halt(&kernel));
        (void)snprintf(needed, sizeof(needed), "%zu", cfg.arena_size);
        cfg.arena_size -= ARENA_PAGE;
        log_capture_start();
        ASSERT_STATUS(gmk_boot(&kernel, &cfg, NULL, 0), GMK_ENOMEM);
        log_capture_end();
        assert_true(log_capture_has("arena_size"));
        assert_true(log_capture_has(needed));
    }
    assert_int_equal(gmk_boot_arena_min(&(gmk_boot_cfg_t){.n_workers = 1000}), 0);
    assert_true(gmk_boot_arena_min(NULL) != 0);
}

/* ---- Modules ------------------------------------------------------------------------------- */

static int boot_with(const gmk_handler_reg_t *first, const gmk_handler_reg_t *second) {
    gmk_kernel_t kernel = {0};
    gmk_module_t a = {.name = "a", .version = 1, .handlers = first, .n_handlers = 1};
    gmk_module_t b = {.name = "b", .version = 1, .handlers = second, .n_handlers = 1};
    gmk_module_t *mods[] = {&a, &b};
    gmk_boot_cfg_t cfg = {.n_workers = 1, .no_auto_modules = true};
    log_capture_start();
    int status = gmk_boot(&kernel, &cfg, mods, 2);
    log_capture_end();
    if (status == GMK_OK)
        ASSERT_OK(gmk_halt(&kernel));
    return status;
}

static void duplicate_types_null_handlers_and_wild_ids_are_boot_errors(void **state) {
    (void)state;
    const gmk_handler_reg_t good = {1, my_handler, "good"}, other = {2, my_handler, NULL};
    const gmk_handler_reg_t null = {2, NULL, "null"};
    const gmk_handler_reg_t zero = {0, my_handler, "zero"};
    const gmk_handler_reg_t large = {GMK_TYPES_MAX, my_handler, "large"};
    const gmk_handler_reg_t huge = {UINT32_MAX, my_handler, "huge"};
    ASSERT_OK(boot_with(&good, &other));
    ASSERT_STATUS(boot_with(&good, &good), GMK_EEXIST);
    assert_true(log_capture_has("\"b\""));
    ASSERT_STATUS(boot_with(&good, &null), GMK_EINVAL);
    ASSERT_STATUS(boot_with(&good, &zero), GMK_EINVAL);
    ASSERT_STATUS(boot_with(&good, &large), GMK_EINVAL);
    ASSERT_STATUS(boot_with(&good, &huge), GMK_EINVAL);
}

static void a_circle_of_dependencies_is_named(void **state) {
    (void)state;
    gmk_kernel_t kernel = {0};
    const char *on_b[] = {"b"}, *on_c[] = {"c"}, *on_a[] = {"a"};
    gmk_module_t a = {.name = "a", .depends = on_b, .n_depends = 1};
    gmk_module_t b = {.name = "b", .depends = on_c, .n_depends = 1};
    gmk_module_t c = {.name = "c", .depends = on_a, .n_depends = 1};
    gmk_module_t *mods[] = {&a, &b, &c};
    log_capture_start();
    ASSERT_STATUS(gmk_boot(&kernel, NULL, mods, 3), GMK_ECYCLE);
    log_capture_end();
    assert_true(log_capture_has("a"));
    a.n_depends = 0;
    c.n_depends = 0;
    on_c[0] = "missing";
    log_capture_start();
    ASSERT_STATUS(gmk_boot(&kernel, NULL, mods, 3), GMK_EDEPEND);
    log_capture_end();
    assert_true(log_capture_has("missing"));
}

static int failing_init(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EFAIL;
}

static _Atomic int halt_status, drain_status, fini_runs;

static int curious_init(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = 1, .meta0 = 7};
    atomic_store(&halt_status, gmk_halt(ctx->kernel));
    atomic_store(&drain_status, gmk_drain(ctx->kernel, UINT64_MAX));
    return gmk_emit(ctx, &task);
}

static void count_fini(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_fetch_add(&fini_runs, 1);
}

/* No worker runs yet, so there is nobody to wait for, and nothing runs after its fini. */
static void a_boot_that_fails_does_not_wait_for_what_an_init_submitted(void **state) {
    (void)state;
    const gmk_handler_reg_t handler = {1, my_handler, "first"};
    gmk_module_t first = {.name = "first",
                          .handlers = &handler,
                          .n_handlers = 1,
                          .init = curious_init,
                          .fini = count_fini};
    gmk_module_t second = {.name = "second", .init = failing_init};
    gmk_module_t *mods[] = {&first, &second};
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        gmk_kernel_t kernel = {0};
        gmk_boot_cfg_t cfg = {.n_workers = 1,
                              .halt_timeout_ns = SCHED_LIMIT_NS * 60,
                              .deterministic = deterministic != 0};
        atomic_store(&answer, 0);
        atomic_store(&fini_runs, 0);
        log_capture_start();
        ASSERT_STATUS(gmk_boot(&kernel, &cfg, mods, 2), GMK_EINIT);
        log_capture_end();
        assert_int_equal(atomic_load(&answer), 0);
        assert_int_equal(atomic_load(&fini_runs), 1);
        assert_int_equal(atomic_load(&halt_status), GMK_EHALTED);
        assert_int_equal(atomic_load(&drain_status), GMK_EPERM);
        assert_null(kernel.engine);
        ASSERT_OK(gmk_boot(&kernel, &cfg, mods, 1)); /* the same handle, and it works */
        ASSERT_OK(gmk_halt(&kernel));
        assert_int_equal(atomic_load(&answer), 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quick_start_runs_as_written),
        cmocka_unit_test(an_engine_boots_without_configuration_and_modules),
        cmocka_unit_test(every_field_out_of_range_is_refused_by_name),
        cmocka_unit_test(a_null_handle_or_module_list_is_refused),
        cmocka_unit_test(the_least_arena_boots_and_one_page_less_says_how_much_is_missing),
        cmocka_unit_test(duplicate_types_null_handlers_and_wild_ids_are_boot_errors),
        cmocka_unit_test(a_circle_of_dependencies_is_named),
        cmocka_unit_test(a_boot_that_fails_does_not_wait_for_what_an_init_submitted),
    };
    return cmocka_run_group_tests_name("boot_config", tests, NULL, NULL);
}
