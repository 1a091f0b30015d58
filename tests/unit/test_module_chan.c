/* Test of module channels: declarations that are impossible or contradict each other are
 * refused before anything runs, by code and with the names of all who are involved. */
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

static int fresh(void **state) {
    (void)state;
    log_capture_start();
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    return 0;
}

static int handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

static int check(gmk_module_t *mods, uint32_t n_mods) {
    gmk_module_t *pointers[GMK_MODULES_MAX];
    for (uint32_t i = 0; i < n_mods; i++)
        pointers[i] = &mods[i];
    log_capture_start();
    assert_int_equal(module_collect(&set, pointers, n_mods, false), GMK_OK);
    return module_check(&set);
}

static void is(int got, int status, const char *text) {
    assert_string_equal(gmk_error_name(got), gmk_error_name(status));
    if (status == GMK_OK) {
        assert_string_equal(log_captured, "");
        return;
    }
    assert_int_equal(log_captured_lines, 1);
    assert_true(log_capture_has(gmk_error_name(status)));
    assert_true(log_capture_has(text));
}

/* One USER module "m" with one declaration. */
static int check_one(gmk_chan_decl_t decl, enum gmk_privilege privilege) {
    gmk_module_t module = {.name = "m", .channels = &decl, .n_channels = 1, .privilege = privilege};
    return check(&module, 1);
}

#define DECLS(array) .channels = (array), .n_channels = sizeof(array) / sizeof(array)[0]

/* ---- One declaration ------------------------------------------------------------------- */

static void a_channel_count_without_channels_is_EINVAL(void **state) {
    (void)state;
    gmk_module_t module = {.name = "m", .n_channels = 3};
    is(check(&module, 1), GMK_EINVAL, "module \"m\": n_channels is 3 but channels is NULL");
}

static void an_absurd_channel_count_is_ELIMIT_before_anything_is_read(void **state) {
    (void)state;
    gmk_chan_decl_t decl = {.name = "a.b", .type = 1, .dir = GMK_OUT};
    gmk_module_t module = {.name = "m", .channels = &decl, .n_channels = UINT32_MAX};
    is(check(&module, 1), GMK_ELIMIT, "module \"m\": 4294967295 channel declarations");
}

static void missing_and_too_long_channel_names_are_EINVAL(void **state) {
    (void)state;
    char name[GMK_NAME_MAX + 1];
    memset(name, 'c', sizeof name);
    name[GMK_NAME_MAX] = '\0';
    const char *text = "module \"m\": channels[0]: its name is NULL, empty or has 48 bytes";
    gmk_chan_decl_t decl = {.name = NULL, .type = 1, .dir = GMK_OUT};
    is(check_one(decl, GMK_USER), GMK_EINVAL, text);
    decl.name = "";
    is(check_one(decl, GMK_USER), GMK_EINVAL, text);
    decl.name = name;
    is(check_one(decl, GMK_USER), GMK_EINVAL, text);
    name[GMK_NAME_MAX - 1] = '\0';
    is(check_one(decl, GMK_USER), GMK_OK, NULL);
}

static void a_bad_direction_is_EINVAL(void **state) {
    (void)state;
    const uint8_t bad[] = {0, 3, 4, 255};
    for (size_t i = 0; i < sizeof bad; i++) {
        gmk_chan_decl_t decl = {.name = "a.b", .type = 1, .dir = bad[i], .fn = handler};
        is(check_one(decl, GMK_KERNEL), GMK_EINVAL, "is neither GMK_IN nor GMK_OUT");
    }
}

static void unknown_and_contradicting_options_are_EINVAL(void **state) {
    (void)state;
    gmk_chan_decl_t decl = {.name = "a.b", .type = 1, .dir = GMK_OUT, .options = 0x08};
    is(check_one(decl, GMK_USER), GMK_EINVAL,
       "module \"m\", channel \"a.b\": unknown options 0x8, sub_options 0x0");
    decl.options = 0;
    decl.sub_options = 0x02;
    is(check_one(decl, GMK_USER), GMK_EINVAL, "unknown options 0x0, sub_options 0x2");
    decl.sub_options = 0;
    decl.options = GMK_CHAN_LOSSY | GMK_CHAN_REPLAY;
    is(check_one(decl, GMK_USER), GMK_EINVAL, "a replay channel cannot be lossy");
    decl.options = GMK_CHAN_FANOUT | GMK_CHAN_REPLAY;
    is(check_one(decl, GMK_USER), GMK_OK, NULL);
}

static void slots_that_are_no_power_of_two_are_EINVAL(void **state) {
    (void)state;
    gmk_chan_decl_t decl = {.name = "a.b", .type = 1, .dir = GMK_OUT};
    const uint32_t good[] = {0, 1, 2, 1024, 1u << 31};
    const uint32_t bad[] = {3, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        decl.slots = good[i];
        is(check_one(decl, GMK_USER), GMK_OK, NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        decl.slots = bad[i];
        is(check_one(decl, GMK_USER), GMK_EINVAL, "slots is not a power of two");
    }
}

static void a_channel_type_out_of_range_is_EINVAL(void **state) {
    (void)state;
    gmk_chan_decl_t decl = {.name = "a.b", .type = 0, .dir = GMK_OUT};
    is(check_one(decl, GMK_USER), GMK_EINVAL, "channel \"a.b\": type 0 is not in 1 .. 4095");
    decl.type = GMK_TYPES_MAX;
    is(check_one(decl, GMK_USER), GMK_EINVAL, "type 4096 is not in 1 .. 4095");
}

static void an_input_needs_a_function_or_a_handler_of_its_module(void **state) {
    (void)state;
    gmk_chan_decl_t in[] = {{.name = "a.b", .type = 5, .dir = GMK_IN}};
    gmk_handler_reg_t reg = {.type = 5, .fn = handler};
    gmk_module_t mods[] = {{.name = "m", DECLS(in)},
                           {.name = "other", .handlers = &reg, .n_handlers = 1}};
    /* The handler of another module does not count. */
    is(check(mods, 2), GMK_EINVAL,
       "module \"m\", channel \"a.b\": GMK_IN without fn, and the module has no handler for type "
       "5");
    mods[0].handlers = &reg;
    mods[0].n_handlers = 1;
    is(check(mods, 1), GMK_OK, NULL);
    mods[0].n_handlers = 0;
    in[0].fn = handler;
    is(check(mods, 1), GMK_OK, NULL);
}

static void sys_names_belong_to_the_kernel_and_drivers_may_listen(void **state) {
    (void)state;
    const char *const names[] = {"sys.dropped", "sys.error", "sys.own", "sys."};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (unsigned privilege = GMK_USER; privilege <= GMK_KERNEL; privilege++) {
            gmk_chan_decl_t decl = {.name = names[i], .type = 1, .fn = handler};
            decl.dir = GMK_IN;
            is(check_one(decl, (enum gmk_privilege)privilege),
               privilege >= GMK_DRIVER ? GMK_OK : GMK_EPERM, "GMK_DRIVER may subscribe");
            decl.dir = GMK_OUT;
            is(check_one(decl, (enum gmk_privilege)privilege),
               privilege == GMK_KERNEL ? GMK_OK : GMK_EPERM, "are for GMK_KERNEL modules");
        }
    }
    gmk_chan_decl_t similar = {.name = "system.x", .type = 1, .dir = GMK_OUT};
    is(check_one(similar, GMK_USER), GMK_OK, NULL);
    similar.name = "sys";
    is(check_one(similar, GMK_USER), GMK_OK, NULL);
}

/* ---- Several declarations ---------------------------------------------------------------- */

static void agreeing_declarations_are_fine(void **state) {
    (void)state;
    gmk_chan_decl_t out[] = {{.name = "a.b", .type = 5, .dir = GMK_OUT, .slots = 64}};
    gmk_chan_decl_t in[] = {{.name = "a.b", .type = 5, .dir = GMK_IN, .fn = handler}};
    gmk_module_t mods[] = {
        {.name = "x", DECLS(out)}, {.name = "y", DECLS(in)}, {.name = "z", DECLS(out)}};
    is(check(mods, 3), GMK_OK, NULL);
    assert_int_equal(set.n_chans, 1);
    assert_ptr_equal(set.chans[0].decl, &out[0]);
    assert_int_equal(set.chans[0].inputs, 1);
}

static void two_types_for_one_channel_are_ETYPE_and_name_modules_and_types(void **state) {
    (void)state;
    gmk_chan_decl_t out[] = {{.name = "x.y", .type = 9, .dir = GMK_OUT},
                             {.name = "a.b", .type = 5, .dir = GMK_OUT}};
    gmk_chan_decl_t in[] = {{.name = "a.b", .type = 6, .dir = GMK_IN, .fn = handler}};
    gmk_module_t mods[] = {{.name = "sender", DECLS(out)}, {.name = "receiver", DECLS(in)}};
    is(check(mods, 2), GMK_ETYPE,
       "channel \"a.b\" carries type 5 for module \"sender\" but type 6 for module \"receiver\"");
    /* Boot order counts, not the order given. */
    const char *const depends[] = {"receiver"};
    mods[0].depends = depends;
    mods[0].n_depends = 1;
    is(check(mods, 2), GMK_ETYPE,
       "channel \"a.b\" carries type 6 for module \"receiver\" but type 5 for module \"sender\"");
}

static void two_types_within_one_module_are_ETYPE_too(void **state) {
    (void)state;
    gmk_chan_decl_t both[] = {{.name = "a.b", .type = 5, .dir = GMK_OUT},
                              {.name = "a.b", .type = 6, .dir = GMK_IN, .fn = handler}};
    gmk_module_t mods[] = {{.name = "m", DECLS(both)}};
    is(check(mods, 1), GMK_ETYPE, "type 5 for module \"m\" but type 6 for module \"m\"");
}

static void two_options_for_one_channel_are_EINVAL(void **state) {
    (void)state;
    gmk_chan_decl_t out[] = {
        {.name = "a.b", .type = 5, .dir = GMK_OUT, .options = GMK_CHAN_FANOUT}};
    gmk_chan_decl_t in[] = {{.name = "a.b", .type = 5, .dir = GMK_IN, .fn = handler}};
    gmk_module_t mods[] = {{.name = "x", DECLS(out)}, {.name = "y", DECLS(in)}};
    is(check(mods, 2), GMK_EINVAL,
       "channel \"a.b\" has options 0x1 for module \"x\" but 0x0 for module \"y\"");
}

static void two_subscribers_of_a_point_to_point_channel_are_EEXIST(void **state) {
    (void)state;
    gmk_chan_decl_t out[] = {{.name = "a.b", .type = 5, .dir = GMK_OUT}};
    gmk_chan_decl_t in[] = {{.name = "a.b", .type = 5, .dir = GMK_IN, .fn = handler}};
    gmk_module_t mods[] = {
        {.name = "w", DECLS(out)}, {.name = "x", DECLS(in)}, {.name = "y", DECLS(in)}};
    is(check(mods, 3), GMK_EEXIST,
       "channel \"a.b\" is point-to-point, but module \"x\" and module \"y\" both subscribe");
    out[0].options = GMK_CHAN_FANOUT;
    in[0].options = GMK_CHAN_FANOUT;
    is(check(mods, 3), GMK_OK, NULL);
}

static void more_subscribers_than_a_channel_holds_are_ELIMIT(void **state) {
    (void)state;
    gmk_chan_decl_t in[GMK_SUBS_MAX + 1];
    for (size_t i = 0; i <= GMK_SUBS_MAX; i++)
        in[i] = (gmk_chan_decl_t){
            .name = "a.b", .type = 5, .dir = GMK_IN, .options = GMK_CHAN_FANOUT, .fn = handler};
    gmk_module_t mods[] = {{.name = "m", .channels = in, .n_channels = GMK_SUBS_MAX}};
    is(check(mods, 1), GMK_OK, NULL);
    mods[0].n_channels = GMK_SUBS_MAX + 1;
    is(check(mods, 1), GMK_ELIMIT, "channel \"a.b\": module \"m\" is subscriber 33, at most 32");
}

static void more_channels_than_an_engine_holds_are_ELIMIT(void **state) {
    (void)state;
    /* Ids 1 and 2 are the system's, 3 .. 255 are left. */
    enum { LEFT = GMK_CHANNELS_MAX - 3 };
    static gmk_chan_decl_t out[LEFT + 3];
    static char names[LEFT + 1][16];
    out[0] = (gmk_chan_decl_t){.name = "sys.error", .dir = GMK_OUT}; /* takes no place */
    out[1] = (gmk_chan_decl_t){.name = "sys.dropped", .dir = GMK_OUT};
    for (unsigned i = 0; i <= LEFT; i++) {
        snprintf(names[i], sizeof names[i], "a.c%u", i);
        out[2 + i] = (gmk_chan_decl_t){.name = names[i], .type = 5, .dir = GMK_OUT};
    }
    gmk_module_t mods[] = {
        {.name = "m", .channels = out, .n_channels = 2 + LEFT, .privilege = GMK_KERNEL}};
    is(check(mods, 1), GMK_OK, NULL);
    assert_int_equal(set.n_opened, LEFT);
    mods[0].n_channels++;
    is(check(mods, 1), GMK_ELIMIT, "module \"m\", channel \"a.c253\": more than 253 channels");
}

static void the_engines_own_channels_carry_every_type_to_many(void **state) {
    (void)state;
    gmk_chan_decl_t a[] = {{.name = "sys.error", .type = 0, .dir = GMK_IN, .fn = handler}};
    gmk_chan_decl_t b[] = {{.name = "sys.error",
                            .type = 7,
                            .dir = GMK_IN,
                            .options = GMK_CHAN_FANOUT | GMK_CHAN_LOSSY,
                            .fn = handler}};
    gmk_module_t mods[] = {{.name = "x", .privilege = GMK_DRIVER, DECLS(a)},
                           {.name = "y", .privilege = GMK_DRIVER, DECLS(b)}};
    is(check(mods, 2), GMK_OK, NULL);
    assert_true(module_chan_is_engines("sys.error"));
    assert_true(module_chan_is_engines("sys.dropped"));
    assert_false(module_chan_is_engines("sys.other"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_channel_count_without_channels_is_EINVAL),
        TEST(an_absurd_channel_count_is_ELIMIT_before_anything_is_read),
        TEST(missing_and_too_long_channel_names_are_EINVAL),
        TEST(a_bad_direction_is_EINVAL),
        TEST(unknown_and_contradicting_options_are_EINVAL),
        TEST(slots_that_are_no_power_of_two_are_EINVAL),
        TEST(a_channel_type_out_of_range_is_EINVAL),
        TEST(an_input_needs_a_function_or_a_handler_of_its_module),
        TEST(sys_names_belong_to_the_kernel_and_drivers_may_listen),
        TEST(agreeing_declarations_are_fine),
        TEST(two_types_for_one_channel_are_ETYPE_and_name_modules_and_types),
        TEST(two_types_within_one_module_are_ETYPE_too),
        TEST(two_options_for_one_channel_are_EINVAL),
        TEST(two_subscribers_of_a_point_to_point_channel_are_EEXIST),
        TEST(more_subscribers_than_a_channel_holds_are_ELIMIT),
        TEST(more_channels_than_an_engine_holds_are_ELIMIT),
        TEST(the_engines_own_channels_carry_every_type_to_many),
    };
    return cmocka_run_group_tests_name("module channels", tests, NULL, NULL);
}
