/* Test of module check: every module set that could not work is refused with its code and
 * a line that names what was wrong. Nothing of a module runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/module.h"
#include "tests/lib/log_capture.h"

static struct module_set set;

static char name_longest[GMK_NAME_MAX];      /* the longest that fits */
static char name_too_long[GMK_NAME_MAX + 1]; /* one byte more */

static int fresh(void **state) {
    (void)state;
    memset(name_longest, 'n', sizeof name_longest);
    name_longest[GMK_NAME_MAX - 1] = '\0';
    memset(name_too_long, 'n', sizeof name_too_long);
    name_too_long[GMK_NAME_MAX] = '\0';
    log_capture_start();
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    return 0;
}

/* Must be refused with `status` and exactly one log line that has the code and `text`. */
static void refused_n(gmk_module_t *const *mods, uint32_t n_mods, int status, const char *text) {
    log_capture_start();
    int got = module_collect(&set, mods, n_mods, false);
    if (got == GMK_OK)
        got = module_check(&set);
    assert_string_equal(gmk_error_name(got), gmk_error_name(status));
    assert_int_equal(log_captured_lines, 1);
    assert_true(log_capture_has(gmk_error_name(status)));
    assert_true(log_capture_has(text));
}

static void refused(gmk_module_t *module, int status, const char *text) {
    gmk_module_t *mods[] = {module};
    refused_n(mods, 1, status, text);
}

static void accepted_n(gmk_module_t *const *mods, uint32_t n_mods) {
    log_capture_start();
    assert_int_equal(module_collect(&set, mods, n_mods, false), GMK_OK);
    int got = module_check(&set);
    assert_string_equal(log_captured, "");
    assert_int_equal(got, GMK_OK);
}

static int handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

/* ---- Collecting ---------------------------------------------------------------------- */

static void no_modules_at_all_is_fine(void **state) {
    (void)state;
    accepted_n(NULL, 0);
    assert_int_equal(set.count, 0);
}

static void a_null_array_or_entry_is_EINVAL(void **state) {
    (void)state;
    gmk_module_t a = {.name = "a"};
    gmk_module_t *mods[] = {&a, NULL};
    refused_n(NULL, 1, GMK_EINVAL, "n_mods is 1 but mods is NULL");
    refused_n(mods, 2, GMK_EINVAL, "mods[1] is NULL");
}

static void the_same_module_twice_in_the_array_is_EEXIST(void **state) {
    (void)state;
    gmk_module_t a = {.name = "a"};
    gmk_module_t *mods[] = {&a, &a};
    refused_n(mods, 2, GMK_EEXIST, "module \"a\" is in the array twice");
    a.name = NULL;
    refused_n(mods, 2, GMK_EEXIST, "module \"(no name)\" is in the array twice");
}

static void more_modules_than_the_table_holds_is_ELIMIT(void **state) {
    (void)state;
    static gmk_module_t many[GMK_MODULES_MAX + 1];
    static char names[GMK_MODULES_MAX + 1][8];
    gmk_module_t *mods[GMK_MODULES_MAX + 1];
    for (unsigned i = 0; i <= GMK_MODULES_MAX; i++) {
        snprintf(names[i], sizeof names[i], "m%u", i);
        many[i] = (gmk_module_t){.name = names[i]};
        mods[i] = &many[i];
    }
    accepted_n(mods, GMK_MODULES_MAX);
    assert_int_equal(set.count, GMK_MODULES_MAX);
    refused_n(mods, GMK_MODULES_MAX + 1, GMK_ELIMIT, "more than 128 modules");
}

/* ---- Names, privilege ------------------------------------------------------------------- */

static void missing_and_too_long_names_are_EINVAL(void **state) {
    (void)state;
    gmk_module_t a = {.name = NULL};
    refused(&a, GMK_EINVAL, "modules[0]: its name is NULL, empty or has 48 bytes or more: NULL");
    a.name = "";
    refused(&a, GMK_EINVAL, "modules[0]: its name");
    a.name = name_too_long;
    refused(&a, GMK_EINVAL, "modules[0]: its name");
    a.name = name_longest;
    gmk_module_t *mods[] = {&a};
    accepted_n(mods, 1);
}

static void two_modules_of_one_name_are_EEXIST(void **state) {
    (void)state;
    gmk_module_t a = {.name = "same"};
    gmk_module_t b = {.name = "other"};
    gmk_module_t c = {.name = "same"};
    gmk_module_t *mods[] = {&a, &b, &c};
    refused_n(mods, 3, GMK_EEXIST, "modules[0] and modules[2] are both named \"same\"");
}

static void an_unknown_privilege_is_EINVAL(void **state) {
    (void)state;
    gmk_module_t a = {.name = "a", .privilege = (enum gmk_privilege)3};
    refused(&a, GMK_EINVAL, "module \"a\": there is no privilege 3");
}

static void early_init_is_EPERM_below_kernel(void **state) {
    (void)state;
    gmk_module_t a = {.name = "a", .early_init = handler, .privilege = GMK_USER};
    refused(&a, GMK_EPERM, "module \"a\": early_init is for GMK_KERNEL modules only");
    a.privilege = GMK_DRIVER;
    refused(&a, GMK_EPERM, "early_init");
    a.privilege = GMK_KERNEL;
    gmk_module_t *mods[] = {&a};
    accepted_n(mods, 1);
}

/* ---- Handlers ---------------------------------------------------------------------------- */

static void a_handler_count_without_handlers_is_EINVAL(void **state) {
    (void)state;
    gmk_module_t a = {.name = "a", .n_handlers = 2};
    refused(&a, GMK_EINVAL, "module \"a\": n_handlers is 2 but handlers is NULL");
}

static void an_absurd_handler_count_is_ELIMIT_before_anything_is_read(void **state) {
    (void)state;
    gmk_handler_reg_t one = {.type = 1, .fn = handler};
    gmk_module_t a = {.name = "a", .handlers = &one, .n_handlers = UINT32_MAX};
    refused(&a, GMK_ELIMIT, "module \"a\": 4294967295 handlers");
}

static void a_type_out_of_range_is_EINVAL(void **state) {
    (void)state;
    gmk_handler_reg_t regs[] = {{.type = 1, .fn = handler}, {.type = 0, .fn = handler}};
    gmk_module_t a = {.name = "a", .handlers = regs, .n_handlers = 2};
    refused(&a, GMK_EINVAL, "module \"a\": handlers[1]: type 0 is not in 1 .. 4095");
    regs[1].type = GMK_TYPES_MAX;
    refused(&a, GMK_EINVAL, "type 4096 is not in 1 .. 4095");
    regs[1].type = UINT32_MAX;
    refused(&a, GMK_EINVAL, "type 4294967295 is not in 1 .. 4095");
    regs[1].type = GMK_TYPES_MAX - 1;
    gmk_module_t *mods[] = {&a};
    accepted_n(mods, 1);
}

static void a_null_handler_is_EINVAL(void **state) {
    (void)state;
    gmk_handler_reg_t regs[] = {{.type = 5, .fn = NULL}};
    gmk_module_t a = {.name = "a", .handlers = regs, .n_handlers = 1};
    refused(&a, GMK_EINVAL, "module \"a\": handlers[0] (type 5): fn is NULL");
}

static void a_bad_handler_name_is_EINVAL_and_none_is_fine(void **state) {
    (void)state;
    gmk_handler_reg_t regs[] = {{.type = 5, .fn = handler, .name = name_too_long}};
    gmk_module_t a = {.name = "a", .handlers = regs, .n_handlers = 1};
    refused(&a, GMK_EINVAL, "module \"a\": handlers[0] (type 5): its name");
    regs[0].name = "";
    refused(&a, GMK_EINVAL, "module \"a\": handlers[0] (type 5): its name");
    gmk_module_t *mods[] = {&a};
    regs[0].name = NULL;
    accepted_n(mods, 1);
    regs[0].name = name_longest;
    accepted_n(mods, 1);
}

static void a_duplicate_type_is_EEXIST_and_names_modules_and_handlers(void **state) {
    (void)state;
    gmk_handler_reg_t in_a[] = {{.type = 7, .fn = handler, .name = "first"}};
    gmk_handler_reg_t in_b[] = {{.type = 8, .fn = handler}, {.type = 7, .fn = handler}};
    gmk_module_t a = {.name = "a", .handlers = in_a, .n_handlers = 1};
    gmk_module_t b = {.name = "b", .handlers = in_b, .n_handlers = 2};
    gmk_module_t *mods[] = {&a, &b};
    refused_n(mods, 2, GMK_EEXIST,
              "type 7 has two handlers: \"first\" of module \"a\" and \"b\" of module \"b\"");
    gmk_handler_reg_t twice[] = {{.type = 7, .fn = handler, .name = "x"},
                                 {.type = 7, .fn = handler, .name = "y"}};
    gmk_module_t c = {.name = "c", .handlers = twice, .n_handlers = 2};
    refused(&c, GMK_EEXIST,
            "type 7 has two handlers: \"x\" of module \"c\" and \"y\" of module \"c\"");
}

static void every_type_knows_its_owner(void **state) {
    (void)state;
    gmk_handler_reg_t in_a[] = {{.type = 7, .fn = handler}};
    gmk_handler_reg_t in_b[] = {{.type = 8, .fn = handler}, {.type = 4095, .fn = handler}};
    gmk_module_t a = {.name = "a", .handlers = in_a, .n_handlers = 1};
    gmk_module_t b = {.name = "b", .handlers = in_b, .n_handlers = 2};
    gmk_module_t *mods[] = {&a, &b};
    accepted_n(mods, 2);
    assert_int_equal(set.type_owner[7], 0);
    assert_int_equal(set.type_owner[8], 1);
    assert_int_equal(set.type_owner[4095], 1);
    assert_int_equal(set.type_owner[1], MODULE_NONE);
    assert_ptr_equal(module_handler(&b, 4095), &in_b[1]);
    assert_null(module_handler(&b, 7));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(no_modules_at_all_is_fine),
        TEST(a_null_array_or_entry_is_EINVAL),
        TEST(the_same_module_twice_in_the_array_is_EEXIST),
        TEST(more_modules_than_the_table_holds_is_ELIMIT),
        TEST(missing_and_too_long_names_are_EINVAL),
        TEST(two_modules_of_one_name_are_EEXIST),
        TEST(an_unknown_privilege_is_EINVAL),
        TEST(early_init_is_EPERM_below_kernel),
        TEST(a_handler_count_without_handlers_is_EINVAL),
        TEST(an_absurd_handler_count_is_ELIMIT_before_anything_is_read),
        TEST(a_type_out_of_range_is_EINVAL),
        TEST(a_null_handler_is_EINVAL),
        TEST(a_bad_handler_name_is_EINVAL_and_none_is_fine),
        TEST(a_duplicate_type_is_EEXIST_and_names_modules_and_handlers),
        TEST(every_type_knows_its_owner),
    };
    return cmocka_run_group_tests_name("module check", tests, NULL, NULL);
}
