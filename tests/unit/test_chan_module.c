/* Test of channels as modules declare them: opened and subscribed at boot, running end to
 * end, each handler with its module's state; disagreement about a type is a boot error. */
#include "tests/lib/chan_fixture.h"
#include "tests/lib/log_capture.h"

static gmk_kernel_t kernel;
static uint32_t words_out, words_in, totals;

/* ---- A pipeline: source -> "text.words" -> counter -> "text.totals" -> two sinks ---------- */

struct counter_state {
    uint64_t seen;
};
static struct counter_state counter_state;
static struct chan_record sink_records[2];
static _Atomic uint32_t surprises;

static int source_handler(gmk_ctx_t *ctx) {
    for (uint64_t i = 1; i <= ctx->task->meta0; i++) {
        gmk_task_t word = {.type = MSG, .meta0 = i, .len = 24};
        word.payload = chan_payload(ctx, i);
        if (gmk_chan_send(ctx, words_out, &word, UINT64_MAX) != GMK_OK)
            atomic_fetch_add(&surprises, 1);
    }
    return GMK_OK;
}

static int counter_init(gmk_ctx_t *ctx) {
    counter_state.seen = 0;
    ctx->state = &counter_state;
    return GMK_OK;
}

static int counter_handler(gmk_ctx_t *ctx) {
    struct counter_state *state = ctx->state;
    if (state != &counter_state) {
        atomic_fetch_add(&surprises, 1);
        return GMK_EFAIL;
    }
    gmk_task_t total = {.type = OTHER, .meta0 = ++state->seen};
    return gmk_chan_send(ctx, totals, &total, UINT64_MAX);
}

static int sink_init(gmk_ctx_t *ctx) {
    static uint32_t next;
    struct chan_record *record = &sink_records[next++ % 2];
    chan_record_clear(record);
    ctx->state = record;
    return GMK_OK;
}

static const gmk_handler_reg_t source_handlers[] = {{10, source_handler, "source"}};
static const gmk_chan_decl_t source_channels[] = {
    {.name = "text.words", .type = MSG, .dir = GMK_OUT, .slots = 16, .id = &words_out}};
static gmk_module_t source = {.name = "source",
                              .handlers = source_handlers,
                              .n_handlers = 1,
                              .channels = source_channels,
                              .n_channels = 1};

/* No fn: the module's handler for the type is meant. */
static const gmk_handler_reg_t counter_handlers[] = {{MSG, counter_handler, "counter"}};
static const gmk_chan_decl_t counter_channels[] = {
    {.name = "text.words", .type = MSG, .dir = GMK_IN, .id = &words_in},
    {.name = "text.totals",
     .type = OTHER,
     .dir = GMK_OUT,
     .options = GMK_CHAN_FANOUT,
     .slots = 8,
     .id = &totals}};
static gmk_module_t counter = {.name = "counter",
                               .handlers = counter_handlers,
                               .n_handlers = 1,
                               .channels = counter_channels,
                               .n_channels = 2,
                               .init = counter_init};

static const gmk_chan_decl_t sink_channels[] = {{.name = "text.totals",
                                                 .type = OTHER,
                                                 .dir = GMK_IN,
                                                 .options = GMK_CHAN_FANOUT,
                                                 .fn = chan_note}};
static gmk_module_t sink_a = {
    .name = "sink.a", .channels = sink_channels, .n_channels = 1, .init = sink_init};
static gmk_module_t sink_b = {
    .name = "sink.b", .channels = sink_channels, .n_channels = 1, .init = sink_init};

static int boot(gmk_module_t *const *mods, uint32_t count, uint32_t workers) {
    gmk_boot_cfg_t cfg = {
        .n_workers = workers, .arena_size = (size_t)32 << 20, .no_auto_modules = true};
    kernel = (gmk_kernel_t){0};
    return gmk_boot(&kernel, &cfg, mods, count);
}

static void a_pipeline_of_declared_channels_runs_end_to_end(void **state) {
    (void)state;
    gmk_module_t *const mods[] = {&source, &counter, &sink_a, &sink_b};
    for (uint32_t workers = 1; workers <= 3; workers++) {
        atomic_store(&surprises, 0);
        ASSERT_OK(boot(mods, 4, workers));
        gmk_task_t start = {.type = 10, .meta0 = 3000};
        ASSERT_OK(gmk_submit(&kernel, &start));
        sched_halt(&kernel);
        assert_int_equal(atomic_load(&surprises), 0);
        assert_int_equal(words_in, words_out);
        assert_int_equal(counter_state.seen, 3000);
        chan_expect_run(&sink_records[0], 1, 3000);
        chan_expect_run(&sink_records[1], 1, 3000);
    }
}

static void declared_channels_refuse_another_type_at_run_time_too(void **state) {
    (void)state;
    gmk_module_t *const mods[] = {&source, &counter};
    ASSERT_OK(boot(mods, 2, 1));
    gmk_task_t wrong = {.type = OTHER};
    ASSERT_STATUS(gmk_chan_emit(gmk_attach(&kernel), words_out, &wrong), GMK_ETYPE);
    sched_halt(&kernel);
}

/* ---- What boot refuses -------------------------------------------------------------------- */

static int refused(gmk_module_t *a, gmk_module_t *b) {
    gmk_module_t *const mods[] = {a, b};
    log_capture_start();
    int status = boot(mods, 2, 1);
    log_capture_end();
    if (status == GMK_OK)
        (void)gmk_halt(&kernel);
    return status;
}

static void two_types_for_one_channel_are_ETYPE_at_boot(void **state) {
    (void)state;
    const gmk_chan_decl_t decl = {
        .name = "text.words", .type = OTHER, .dir = GMK_IN, .fn = chan_note};
    gmk_module_t mistaken = {.name = "mistaken", .channels = &decl, .n_channels = 1};
    ASSERT_STATUS(refused(&source, &mistaken), GMK_ETYPE);
    assert_true(log_capture_has("text.words"));
    assert_true(log_capture_has("mistaken"));
    assert_true(log_capture_has("source"));
}

static void two_inputs_of_a_point_to_point_channel_are_EEXIST_at_boot(void **state) {
    (void)state;
    const gmk_chan_decl_t decl = {
        .name = "text.words", .type = MSG, .dir = GMK_IN, .fn = chan_note};
    gmk_module_t second = {.name = "second", .channels = &decl, .n_channels = 1};
    ASSERT_STATUS(refused(&counter, &second), GMK_EEXIST);
    assert_true(log_capture_has("text.words"));
}

static void an_input_nobody_can_handle_is_EINVAL_at_boot(void **state) {
    (void)state;
    const gmk_chan_decl_t decl = {.name = "text.words", .type = MSG, .dir = GMK_IN};
    gmk_module_t helpless = {.name = "helpless", .channels = &decl, .n_channels = 1};
    ASSERT_STATUS(refused(&source, &helpless), GMK_EINVAL);
}

/* ---- Privilege --------------------------------------------------------------------------- */

static _Atomic int sub_status, open_status;

static int try_system(gmk_ctx_t *ctx) {
    static struct chan_record record;
    uint32_t chan;
    atomic_store(&sub_status,
                 gmk_chan_sub(ctx, GMK_CHAN_SYS_ERROR, chan_note, NULL, &record, 0, NULL));
    atomic_store(&open_status, gmk_chan_open(ctx, "sys.mine", MSG, 0, 0, &chan));
    return GMK_OK;
}

static void listening_to_the_system_needs_the_driver_privilege(void **state) {
    (void)state;
    const gmk_handler_reg_t handlers[] = {{10, try_system, "try"}};
    for (int level = GMK_USER; level <= GMK_KERNEL; level++) {
        gmk_module_t mod = {.name = "curious",
                            .handlers = handlers,
                            .n_handlers = 1,
                            .privilege = (enum gmk_privilege)level};
        gmk_module_t *const mods[] = {&mod};
        ASSERT_OK(boot(mods, 1, 1));
        ASSERT_OK(gmk_submit(&kernel, &(gmk_task_t){.type = 10}));
        sched_halt(&kernel);
        ASSERT_STATUS(atomic_load(&sub_status), level == GMK_USER ? GMK_EPERM : GMK_OK);
        ASSERT_STATUS(atomic_load(&open_status), GMK_EPERM);
    }
}

static void a_driver_declares_the_systems_channel_as_its_input(void **state) {
    (void)state;
    const gmk_chan_decl_t decl = {.name = "sys.dropped", .type = 0, .dir = GMK_IN, .fn = chan_note};
    gmk_module_t driver = {.name = "driver",
                           .channels = &decl,
                           .n_channels = 1,
                           .privilege = GMK_DRIVER,
                           .init = sink_init};
    gmk_module_t *const mods[] = {&driver};
    chan_record_clear(&sink_records[0]);
    chan_record_clear(&sink_records[1]);
    ASSERT_OK(boot(mods, 1, 1));
    gmk_ctx_t *me = gmk_attach(&kernel);
    uint32_t chan;
    ASSERT_OK(gmk_chan_open(me, "lossy", MSG, GMK_CHAN_LOSSY, 0, &chan));
    gmk_task_t task = {.type = MSG, .meta0 = 1};
    ASSERT_OK(gmk_chan_emit(me, chan, &task));
    sched_halt(&kernel);
    assert_int_equal(atomic_load(&sink_records[0].count) + atomic_load(&sink_records[1].count), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_of_declared_channels_runs_end_to_end),
        cmocka_unit_test(declared_channels_refuse_another_type_at_run_time_too),
        cmocka_unit_test(two_types_for_one_channel_are_ETYPE_at_boot),
        cmocka_unit_test(two_inputs_of_a_point_to_point_channel_are_EEXIST_at_boot),
        cmocka_unit_test(an_input_nobody_can_handle_is_EINVAL_at_boot),
        cmocka_unit_test(listening_to_the_system_needs_the_driver_privilege),
        cmocka_unit_test(a_driver_declares_the_systems_channel_as_its_input),
    };
    return cmocka_run_group_tests_name("chan_module", tests, NULL, NULL);
}
