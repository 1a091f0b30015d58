/* Test of module lifecycle: everything starts in order and stops in reverse, and a failing
 * init at any position rolls back exactly what had started. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/module.h"
#include "tests/lib/log_capture.h"

enum { MODULES = 5 };

static struct module_set set;
static gmk_module_t mods[MODULES];
static char names[MODULES][8];
static gmk_ctx_t context;

/* What ran, one word per call: "e0" early_init of m0, "i0" init, "f0" fini, "x0" early_fini,
 * "g0" the engine was told that m0 is gone. */
static char calls[1024];

static uint32_t fails_at; /* module whose init or early_init fails; MODULES: none */
static bool fails_early;

static void note(char what, uint32_t module) {
    size_t used = strlen(calls);
    snprintf(&calls[used], sizeof calls - used, "%s%c%u", used == 0 ? "" : " ", what, module);
}

/* The states a module gives itself: a different one in each phase. */
static int early_state[MODULES];
static int late_state[MODULES];
static int ruined_state;

static int early_init(gmk_ctx_t *ctx) {
    note('e', ctx->module);
    assert_null(ctx->state);
    if (fails_early && ctx->module == fails_at)
        return GMK_ENOMEM;
    ctx->state = &early_state[ctx->module];
    return GMK_OK;
}

static int init(gmk_ctx_t *ctx) {
    note('i', ctx->module);
    assert_ptr_equal(ctx->state, &early_state[ctx->module]);
    if (!fails_early && ctx->module == fails_at) {
        ctx->state = &ruined_state;
        return GMK_ENOMEM;
    }
    ctx->state = &late_state[ctx->module];
    return GMK_OK;
}

static void fini(gmk_ctx_t *ctx) {
    note('f', ctx->module);
    assert_ptr_equal(ctx->state, &late_state[ctx->module]);
    ctx->state = &early_state[ctx->module];
}

static void early_fini(gmk_ctx_t *ctx) {
    note('x', ctx->module);
    assert_ptr_equal(ctx->state, &early_state[ctx->module]);
}

static int fresh(void **state) {
    (void)state;
    gmk_module_t *pointers[MODULES];
    for (uint32_t i = 0; i < MODULES; i++) {
        snprintf(names[i], sizeof names[i], "m%u", i);
        mods[i] = (gmk_module_t){.name = names[i],
                                 .privilege = GMK_KERNEL,
                                 .early_init = early_init,
                                 .init = init,
                                 .fini = fini,
                                 .early_fini = early_fini};
        pointers[i] = &mods[i];
    }
    calls[0] = '\0';
    fails_at = MODULES;
    fails_early = false;
    context = (gmk_ctx_t){.module = MODULE_NONE, .state = &context};
    log_capture_start();
    assert_int_equal(module_collect(&set, pointers, MODULES, false), GMK_OK);
    assert_int_equal(module_check(&set), GMK_OK);
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    /* Whatever ran, the caller's context is as it was. */
    assert_int_equal(context.module, MODULE_NONE);
    assert_ptr_equal(context.state, &context);
    return 0;
}

static void modules_start_in_order_and_stop_in_reverse(void **state) {
    (void)state;
    assert_int_equal(module_start_early(&set, &context), GMK_OK);
    assert_int_equal(module_start(&set, &context), GMK_OK);
    module_stop(&set, &context);
    module_stop_early(&set, &context);
    assert_string_equal(calls, "e0 e1 e2 e3 e4 i0 i1 i2 i3 i4 f4 f3 f2 f1 f0 x4 x3 x2 x1 x0");
    assert_string_equal(log_captured, "");
}

static void stopping_twice_or_without_a_start_does_nothing(void **state) {
    (void)state;
    module_stop(&set, &context);
    module_stop_early(&set, &context);
    assert_string_equal(calls, "");
    assert_int_equal(module_start_early(&set, &context), GMK_OK);
    assert_int_equal(module_start(&set, &context), GMK_OK);
    module_stop(&set, &context);
    module_stop_early(&set, &context);
    calls[0] = '\0';
    module_stop(&set, &context);
    module_stop_early(&set, &context);
    assert_string_equal(calls, "");
}

/* "i0 i1 i2 f1 f0": starts up to and including `last`, then stops those before it. */
static const char *rollback(char start, uint32_t last, char stop) {
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i <= last; i++)
        used += (size_t)snprintf(&text[used], sizeof text - used, "%s%c%u", i == 0 ? "" : " ",
                                 start, i);
    for (uint32_t i = last; i > 0; i--)
        used += (size_t)snprintf(&text[used], sizeof text - used, " %c%u", stop, i - 1);
    return text;
}

static void a_failing_init_at_every_position_rolls_back_exactly(void **state) {
    for (uint32_t n = 0; n < MODULES; n++) {
        fresh(state);
        fails_at = n;
        assert_int_equal(module_start_early(&set, &context), GMK_OK);
        calls[0] = '\0';
        assert_int_equal(module_start(&set, &context), GMK_EINIT);
        assert_string_equal(calls, rollback('i', n, 'f'));
        char line[128];
        snprintf(line, sizeof line, "GMK_EINIT: module \"m%u\": init returned -2 (GMK_ENOMEM)", n);
        assert_int_equal(log_captured_lines, 1);
        assert_true(log_capture_has(line));
        /* What had started early is still there, the failed module's early part too. */
        calls[0] = '\0';
        module_stop(&set, &context);
        module_stop_early(&set, &context);
        assert_string_equal(calls, "x4 x3 x2 x1 x0");
    }
}

static void a_failing_early_init_at_every_position_rolls_back_exactly(void **state) {
    for (uint32_t n = 0; n < MODULES; n++) {
        fresh(state);
        fails_at = n;
        fails_early = true;
        assert_int_equal(module_start_early(&set, &context), GMK_EINIT);
        assert_string_equal(calls, rollback('e', n, 'x'));
        char line[128];
        snprintf(line, sizeof line, "module \"m%u\": early_init returned -2 (GMK_ENOMEM)", n);
        assert_int_equal(log_captured_lines, 1);
        assert_true(log_capture_has(line));
        calls[0] = '\0';
        module_stop(&set, &context);
        module_stop_early(&set, &context);
        assert_string_equal(calls, "");
    }
}

static int init_returns_retry(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_RETRY;
}

static void anything_but_ok_from_init_is_a_failure(void **state) {
    (void)state;
    mods[0].early_init = NULL;
    mods[0].init = init_returns_retry;
    assert_int_equal(module_start(&set, &context), GMK_EINIT);
    assert_true(log_capture_has("init returned 1 (GMK_RETRY)"));
}

static void a_module_without_init_still_gets_its_fini(void **state) {
    (void)state;
    mods[1].early_init = NULL;
    mods[1].init = NULL;
    mods[1].fini = NULL;
    mods[3].init = NULL;
    early_state[3] = 0;
    mods[3].fini = early_fini; /* its state is still the early one */
    assert_int_equal(module_start_early(&set, &context), GMK_OK);
    assert_int_equal(module_start(&set, &context), GMK_OK);
    module_stop(&set, &context);
    assert_string_equal(calls, "e0 e2 e3 e4 i0 i2 i4 f4 x3 f2 f0");
}

static void tell_gone(void *arg, uint16_t module) {
    assert_ptr_equal(arg, &set);
    note('g', module);
}

static void the_engine_hears_of_every_module_that_is_gone(void **state) {
    (void)state;
    set.gone = tell_gone;
    set.gone_arg = &set;
    fails_at = 2;
    assert_int_equal(module_start_early(&set, &context), GMK_OK);
    calls[0] = '\0';
    assert_int_equal(module_start(&set, &context), GMK_EINIT);
    /* The failed one first: nobody's fini may still find what it published. */
    assert_string_equal(calls, "i0 i1 i2 g2 f1 g1 f0 g0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(modules_start_in_order_and_stop_in_reverse),
        TEST(stopping_twice_or_without_a_start_does_nothing),
        TEST(a_failing_init_at_every_position_rolls_back_exactly),
        TEST(a_failing_early_init_at_every_position_rolls_back_exactly),
        TEST(anything_but_ok_from_init_is_a_failure),
        TEST(a_module_without_init_still_gets_its_fini),
        TEST(the_engine_hears_of_every_module_that_is_gone),
    };
    return cmocka_run_group_tests_name("module lifecycle", tests, NULL, NULL);
}
