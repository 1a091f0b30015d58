/* Test of channels between a module of the kernel and a unit: neither knows what the other one is. The
 * module is an ordinary one, with a declared input and a handler; the unit makes system calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "kernel/core/kernel.h"
#include "kernel/ipc/channel.h"
#include "tests/kernel/lib/box.h"

#define ECHO_TYPE 211u
#define ECHO_IN   "echo.in"
#define ECHO_OUT  "echo.out"
#define R         GMK_RIGHT_READ
#define W         GMK_RIGHT_WRITE

/* ---- The module -------------------------------------------------------------------------------- */

static uint32_t echo_out;
static _Atomic uint32_t refused;

/* Sends on what it gets, payload included, one higher. Comes again when there is no room. */
#define PAUSE_NS 1000000u
static int echo(gmk_ctx_t *ctx) {
    gmk_task_t answer = {.type = ECHO_TYPE,
                         .payload = ctx->task->payload,
                         .len = ctx->task->len,
                         .meta0 = ctx->task->meta0 + 1,
                         .meta1 = ctx->task->meta1};
    if (answer.payload != NULL && gmk_retain(ctx, answer.payload) != GMK_OK)
        return GMK_EFAIL; /* what a unit sends is a block like any other */
    int status = gmk_chan_emit(ctx, echo_out, &answer);
    if (status == GMK_OK)
        return GMK_OK;
    gmk_free(ctx, answer.payload);
    refused++;
    if (status != GMK_EAGAIN)
        return status;
    /* Not GMK_RETRY, which has a limit: how long there is no room is for the unit to say. */
    gmk_yield_at(ctx, gmk_now(ctx) + PAUSE_NS);
    return GMK_OK;
}

static const gmk_chan_decl_t echo_channels[] = {
    {.name = ECHO_IN, .type = ECHO_TYPE, .dir = GMK_IN, .slots = 16, .fn = echo},
    {.name = ECHO_OUT, .type = ECHO_TYPE, .dir = GMK_OUT, .slots = 16, .id = &echo_out},
};
static gmk_module_t echo_module = {
    .name = "echo", .version = GMK_VERSION(1, 0, 0), .channels = echo_channels, .n_channels = 2};
GMK_MODULE(echo_module)

/* ---- The unit ------------------------------------------------------------------------------------ */

/* In the box's data page, behind what the pieces use. */
#define AT(offset) (RING3_DATA + 2048 + (offset))
static void *at(unsigned offset) {
    return (char *)box.data + 2048 + offset;
}

static int64_t call5(uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                     uint64_t a4) {
    const uint64_t args[7] = {GMK_SYS_BASE | number, a0, a1, a2, a3, a4, 0};
    memcpy(box.data->call, args, sizeof args);
    box_run(ring3_call);
    assert_true(box.data->survived);
    return (int64_t)box.data->results[0];
}

static int64_t give_registry(void) {
    bool irq = arch_irq_disable();
    int64_t handle = cap_insert(box.unit, registry_root(), R | W, 0);
    arch_irq_restore(irq);
    return handle;
}

static gmk_handle_t names, out, in;

static int64_t open(const char *name, unsigned rights) {
    size_t length = strlen(name);
    memcpy(at(0), name, length);
    return call5(GMK_SYS_CHAN_OPEN, names, GMK_SELF_FACTORY, AT(0), length, rights);
}

static int64_t say(uint64_t value, const void *payload, size_t size, uint64_t timeout) {
    memcpy(at(256), payload, size);
    *(gmk_chan_msg_t *)at(128) =
        (gmk_chan_msg_t){.type = ECHO_TYPE, .meta0 = value, .data = AT(256), .size = size};
    return call5(GMK_SYS_CHAN_SEND, out, AT(128), timeout, 0, 0);
}

static int64_t hear(gmk_chan_msg_t *msg, uint64_t timeout) {
    *(gmk_chan_msg_t *)at(128) = (gmk_chan_msg_t){.data = AT(256), .size = 512};
    int64_t status = call5(GMK_SYS_CHAN_RECV, in, AT(128), timeout, 0, 0);
    *msg = *(gmk_chan_msg_t *)at(128);
    return status;
}

static int setup(void **state) {
    (void)engine_stop();
    engine_start();
    box_make_root(state);
    return 0;
}

/* The workers end the subscription of the end before first. */
static int64_t open_to_hear(void) {
    int64_t end = open(ECHO_OUT, R);
    for (unsigned i = 0; i < 10000 && end == GMK_EEXIST; i++) {
        box_nap();
        end = open(ECHO_OUT, R);
    }
    return end;
}

static int each(void **state) {
    box_setup(state);
    box_start_server(&box, false);
    refused = 0;
    names = (gmk_handle_t)give_registry();
    out = (gmk_handle_t)open(ECHO_IN, W);
    in = (gmk_handle_t)open_to_hear();
    return (int32_t)out > 0 && (int32_t)in > 0 ? 0 : -1;
}

/* ---- Tests ------------------------------------------------------------------------------------------ */

static void a_module_answers_a_unit(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        gmk_chan_msg_t msg;
        char text[32] = "and this comes back";
        text[0] = (char)('A' + i);
        assert_int_equal(say(i, text, sizeof text, GMK_FOREVER), GMK_OK);
        assert_int_equal(hear(&msg, GMK_FOREVER), GMK_OK);
        assert_int_equal(msg.meta0, i + 1);
        assert_int_equal(msg.type, ECHO_TYPE);
        assert_int_equal(msg.seq, i);
        assert_int_equal(msg.size, sizeof text);
        assert_memory_equal(at(256), text, sizeof text);
    }
}

static void backpressure_goes_through_a_module_both_ways(void **state) {
    (void)state;
    uint64_t sent = 0, heard = 0;
    gmk_chan_msg_t msg;
    /* Nobody receives: the module comes again and again, its input fills up, then the unit is told. */
    while (sent < 1000 && say(sent, "", 0, 20000000) == GMK_OK)
        sent++;
    assert_true(sent >= 16 && sent < 1000);
    assert_true(refused > 0);
    for (; heard < sent; heard++) {
        assert_int_equal(hear(&msg, 5000000000ull), GMK_OK);
        assert_int_equal(msg.meta0, heard + 1); /* in order, none lost */
    }
    assert_int_equal(hear(&msg, 0), GMK_ETIMEOUT);
}

static void another_type_is_refused_by_the_modules_channel(void **state) {
    (void)state;
    *(gmk_chan_msg_t *)at(128) = (gmk_chan_msg_t){.type = ECHO_TYPE + 1};
    assert_int_equal(call5(GMK_SYS_CHAN_SEND, out, AT(128), 0, 0, 0), GMK_ETYPE);
    assert_int_equal(open(ECHO_IN, R), GMK_EEXIST); /* the module receives there */
}

static void a_modules_channel_outlives_its_ends(void **state) {
    (void)state;
    gmk_chan_msg_t msg;
    assert_int_equal(call5(GMK_SYS_CAP_DROP, in, 0, 0, 0, 0), GMK_OK);
    assert_int_equal(call5(GMK_SYS_CHAN_CLOSE, out, 0, 0, 0, 0), GMK_ERIGHTS);
    int64_t again = open_to_hear();
    assert_true(again > 0);
    in = (gmk_handle_t)again;
    assert_int_equal(say(7, "x", 1, GMK_FOREVER), GMK_OK);
    assert_int_equal(hear(&msg, GMK_FOREVER), GMK_OK);
    assert_int_equal(msg.meta0, 8);
}

/* The unit dies with messages under way: the books of the engine close all the same. */
static void a_unit_that_dies_leaves_no_block_behind(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(say(i, "some bytes", 11, GMK_FOREVER), GMK_OK);
    box_teardown(state);
    gmk_part_stats_t blocks = {.allocs = 1};
    for (unsigned i = 0; i < 20000 && blocks.allocs != blocks.frees; i++) {
        assert_int_equal(gmk_arena_stats(&kernel_engine, GMK_PART_BLOCKS, &blocks), GMK_OK);
        box_nap();
    }
    assert_int_equal(blocks.allocs, blocks.frees);
    box_setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each, box_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_module_answers_a_unit),
        TEST(backpressure_goes_through_a_module_both_ways),
        TEST(another_type_is_refused_by_the_modules_channel),
        TEST(a_modules_channel_outlives_its_ends),
        TEST(a_unit_that_dies_leaves_no_block_behind),
    };
    return cmocka_run_group_tests(tests, setup, box_end_root);
}
