/* Test of sandbox: a small module is tested end to end without an engine. The handlers
 * below are written as any module author would, with the public functions only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "ggmk/sandbox.h"
#include "tests/lib/log_capture.h"

static gmk_sandbox_t *box;

static int fresh(void **state) {
    (void)state;
    box = gmk_sandbox_init(malloc(gmk_sandbox_size()), gmk_sandbox_size());
    assert_non_null(box);
    log_capture_start();
    return 0;
}

static int back(void **state) {
    (void)state;
    log_capture_end();
    free(box);
    return 0;
}

/* ---- A module: split text into words, count their letters ---------------------------------- */

enum { TEXT = 1, WORD = 2, LENGTH = 3 };

/* Sends each word of the payload on, as a block of its own. */
static int split(gmk_ctx_t *ctx) {
    const char *text = ctx->task->payload;
    uint32_t words = 0;
    if (gmk_chan_find(ctx, "text.words", &words) != GMK_OK)
        return GMK_EFAIL;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        char *word = gmk_alloc(ctx, length + 1);
        if (word == NULL)
            return GMK_RETRY;
        memcpy(word, text, length);
        word[length] = '\0';
        gmk_task_t task = {.type = WORD, .payload = word, .len = (uint32_t)length};
        if (gmk_chan_emit(ctx, words, &task) != GMK_OK) {
            gmk_free(ctx, word);
            return GMK_RETRY;
        }
        text += length + (text[length] == ' ');
    }
    return GMK_OK;
}

/* Answers with the length, and passes the word itself along. */
static int measure(gmk_ctx_t *ctx) {
    uint32_t *total = ctx->state;
    *total += ctx->task->len;
    gmk_payload_retain(ctx);
    gmk_task_t task = {
        .type = LENGTH, .payload = ctx->task->payload, .len = ctx->task->len, .meta0 = *total};
    int status = gmk_emit_at(ctx, &task, gmk_now(ctx) + 5);
    if (status != GMK_OK)
        gmk_payload_release(ctx);
    return status;
}

/* Handlers that end a payload's way. */
static int swallow(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_OK;
}

static const gmk_task_t two_words = {.type = TEXT, .payload = (void *)(uintptr_t) "cats purr"};

static void two_handlers_are_tested_end_to_end(void **state) {
    (void)state;
    uint32_t words = gmk_sandbox_channel(box, "text.words", WORD);
    gmk_sandbox_set_now(box, 100);
    assert_int_equal(gmk_sandbox_run(box, split, &two_words, NULL), GMK_OK);
    assert_int_equal(gmk_sandbox_emit_count(box), 2);
    assert_string_equal(gmk_sandbox_emit_at(box, 0)->task.payload, "cats");
    assert_string_equal(gmk_sandbox_emit_at(box, 1)->task.payload, "purr");
    assert_int_equal(gmk_sandbox_emit_at(box, 1)->channel, words);
    assert_int_equal(gmk_sandbox_emit_at(box, 1)->at_ns, 0);
    assert_int_equal(gmk_sandbox_live_blocks(box), 0); /* both were handed on */

    uint32_t total = 0;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(gmk_sandbox_run(box, measure, &gmk_sandbox_emit_at(box, i)->task, &total),
                         GMK_OK);
    assert_int_equal(total, 8);
    assert_int_equal(gmk_sandbox_emit_count(box), 4);
    const gmk_sandbox_emit_t *last = gmk_sandbox_emit_at(box, 3);
    assert_int_equal(last->task.type, LENGTH);
    assert_int_equal(last->task.meta0, 8);
    assert_int_equal(last->channel, 0);
    assert_int_equal(last->at_ns, 105);
    assert_string_equal(last->task.payload, "purr");
    assert_null(gmk_sandbox_emit_at(box, 4));

    for (uint32_t i = 2; i < 4; i++)
        assert_int_equal(gmk_sandbox_run(box, swallow, &gmk_sandbox_emit_at(box, i)->task, NULL),
                         GMK_OK);
    assert_int_equal(gmk_sandbox_live_blocks(box), 0);
    assert_int_equal(gmk_sandbox_faults(box), 0);
    assert_int_equal(((const unsigned char *)last->task.payload)[0], 0xdd); /* it is gone */
}

static void the_nth_allocation_or_emit_fails_and_nothing_leaks(void **state) {
    (void)state;
    gmk_sandbox_channel(box, "text.words", WORD);
    for (uint32_t n = 1; n <= 3; n++) {
        gmk_sandbox_reset(box);
        gmk_sandbox_fail_alloc(box, n);
        assert_int_equal(gmk_sandbox_run(box, split, &two_words, NULL), n <= 2 ? GMK_RETRY : 0);
        assert_int_equal(gmk_sandbox_emit_count(box), n - 1);
        assert_int_equal(gmk_sandbox_live_blocks(box), 0);
        gmk_sandbox_fail_alloc(box, 0);

        gmk_sandbox_reset(box);
        gmk_sandbox_fail_emit(box, n, GMK_EAGAIN);
        assert_int_equal(gmk_sandbox_run(box, split, &two_words, NULL), n <= 2 ? GMK_RETRY : 0);
        assert_int_equal(gmk_sandbox_emit_count(box), n - 1);
        assert_int_equal(gmk_sandbox_live_blocks(box), 0);
        gmk_sandbox_fail_emit(box, 0, GMK_OK);
    }
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

static void a_leak_is_counted(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    void *one = gmk_alloc(ctx, 10);
    void *two = gmk_alloc(ctx, 10);
    assert_int_equal(gmk_sandbox_live_blocks(box), 2);
    assert_int_equal(gmk_retain(ctx, one), GMK_OK);
    gmk_free(ctx, one);
    gmk_free(ctx, two);
    assert_int_equal(gmk_sandbox_live_blocks(box), 1);
    gmk_free(ctx, one);
    assert_int_equal(gmk_sandbox_live_blocks(box), 0);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

/* ---- Payloads ------------------------------------------------------------------------------ */

static int yields_twice(gmk_ctx_t *ctx) {
    if (ctx->task->meta0++ < 2)
        gmk_yield_at(ctx, 1000 + ctx->task->meta0);
    return GMK_OK;
}

static void a_payload_is_kept_while_its_handler_gives_way(void **state) {
    (void)state;
    gmk_task_t task = {.type = 1, .payload = gmk_alloc(gmk_sandbox_ctx(box), 8)};
    assert_int_equal(gmk_sandbox_live_blocks(box), 1); /* the test holds it */
    assert_int_equal(gmk_sandbox_run(box, yields_twice, &task, NULL), GMK_YIELDED);
    assert_int_equal(gmk_sandbox_resume_ns(box), 1001);
    for (unsigned round = 1; round <= 2; round++) {
        assert_int_equal(gmk_sandbox_live_blocks(box), 0); /* the queue holds it */
        assert_int_equal(gmk_sandbox_task(box)->yield_count, round);
        assert_int_equal(gmk_sandbox_run(box, yields_twice, gmk_sandbox_task(box), NULL),
                         round == 2 ? GMK_OK : GMK_YIELDED);
    }
    assert_int_equal(gmk_sandbox_task(box)->meta0, 3);
    assert_int_equal(*(unsigned char *)task.payload, 0xdd);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

static int retries(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_RETRY;
}

static int fails(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EINVAL;
}

static void a_retry_keeps_the_payload_and_a_failure_drops_it(void **state) {
    (void)state;
    gmk_task_t task = {.type = 1, .payload = gmk_alloc(gmk_sandbox_ctx(box), 8)};
    assert_int_equal(gmk_sandbox_run(box, retries, &task, NULL), GMK_RETRY);
    assert_int_equal(gmk_task_retries(gmk_sandbox_task(box)), 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(gmk_sandbox_run(box, retries, gmk_sandbox_task(box), NULL), GMK_RETRY);
    assert_int_equal(gmk_task_retries(gmk_sandbox_task(box)), 15);
    assert_int_equal(*(unsigned char *)task.payload, 0xcd);
    assert_int_equal(gmk_sandbox_run(box, fails, gmk_sandbox_task(box), NULL), GMK_EINVAL);
    assert_int_equal(*(unsigned char *)task.payload, 0xdd);
    assert_int_equal(gmk_sandbox_live_blocks(box), 0);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

static int returns_yielded(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_YIELDED;
}

static void returning_yielded_is_giving_way_too(void **state) {
    (void)state;
    assert_int_equal(gmk_sandbox_run(box, returns_yielded, &(gmk_task_t){.type = 1}, NULL),
                     GMK_YIELDED);
    assert_int_equal(gmk_sandbox_task(box)->yield_count, 1);
}

static int keeps_the_payload(gmk_ctx_t *ctx) {
    gmk_payload_retain(ctx);
    *(void **)ctx->state = ctx->task->payload;
    return GMK_OK;
}

static int lets_the_payload_go_early(gmk_ctx_t *ctx) {
    gmk_payload_release(ctx);
    assert_null(ctx->task->payload);
    assert_int_equal(ctx->task->len, 0);
    gmk_payload_release(ctx); /* nothing more to release */
    return GMK_OK;
}

static void a_payload_can_be_kept_or_let_go_early(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    void *kept = NULL;
    gmk_task_t task = {.type = 1, .payload = gmk_alloc(ctx, 8), .len = 8};
    assert_int_equal(gmk_sandbox_run(box, keeps_the_payload, &task, &kept), GMK_OK);
    assert_ptr_equal(kept, task.payload);
    assert_int_equal(gmk_sandbox_live_blocks(box), 1);
    assert_int_equal(gmk_sandbox_run(box, lets_the_payload_go_early, &task, NULL), GMK_OK);
    assert_int_equal(gmk_sandbox_live_blocks(box), 0);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

static void a_foreign_payload_is_left_alone(void **state) {
    (void)state;
    char own_memory[] = "mine";
    void *kept = NULL;
    gmk_task_t task = {.type = 1, .payload = own_memory, .len = 4};
    assert_int_equal(gmk_sandbox_run(box, keeps_the_payload, &task, &kept), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, lets_the_payload_go_early, &task, NULL), GMK_OK);
    assert_string_equal(own_memory, "mine");
    assert_int_equal(gmk_retain(gmk_sandbox_ctx(box), own_memory), GMK_EINVAL);
    assert_int_equal(gmk_sandbox_faults(box), 0);
}

/* ---- Channels, groups, services, metrics --------------------------------------------------------- */

static void emits_are_checked_as_the_engine_would(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    uint32_t chan = gmk_sandbox_channel(box, "a.b", 5);
    assert_int_equal(gmk_emit(ctx, NULL), GMK_EINVAL);
    assert_int_equal(gmk_emit(ctx, &(gmk_task_t){.type = 0}), GMK_ETYPE);
    assert_int_equal(gmk_emit(ctx, &(gmk_task_t){.type = GMK_TYPES_MAX}), GMK_ETYPE);
    assert_int_equal(gmk_chan_emit(ctx, chan, &(gmk_task_t){.type = 6}), GMK_ETYPE);
    assert_int_equal(gmk_chan_emit(ctx, chan + 1, &(gmk_task_t){.type = 5}), GMK_ENOENT);
    assert_int_equal(gmk_chan_emit(ctx, 0, &(gmk_task_t){.type = 5}), GMK_ENOENT);
    assert_int_equal(gmk_sandbox_emit_count(box), 0);
    assert_int_equal(gmk_chan_send(ctx, chan, &(gmk_task_t){.type = 5}, 0), GMK_OK);
    assert_int_equal(gmk_chan_emit(ctx, GMK_CHAN_SYS_ERROR, &(gmk_task_t){.type = 9}), GMK_OK);
    assert_int_equal(gmk_chan_close(ctx, chan), GMK_OK);
    assert_int_equal(gmk_chan_close(ctx, chan), GMK_ECLOSED);
    assert_int_equal(gmk_chan_emit(ctx, chan, &(gmk_task_t){.type = 5}), GMK_ECLOSED);
    assert_int_equal(gmk_sandbox_emit_count(box), 2);
}

static void a_full_recorder_is_EAGAIN_and_takes_nothing(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    uint32_t chan = gmk_sandbox_channel(box, "a.b", 5);
    gmk_task_t tasks[GMK_SANDBOX_EMITS_MAX];
    for (uint32_t i = 0; i < GMK_SANDBOX_EMITS_MAX; i++)
        tasks[i] = (gmk_task_t){.type = 5, .meta0 = i};
    assert_int_equal(gmk_chan_emit_n(ctx, chan, tasks, 0), 0);
    assert_int_equal(gmk_chan_emit_n(ctx, chan, tasks, 1), 1);
    assert_int_equal(gmk_chan_emit_n(ctx, chan, tasks, GMK_SANDBOX_EMITS_MAX),
                     GMK_SANDBOX_EMITS_MAX - 1);
    assert_int_equal(gmk_chan_emit_n(ctx, chan, tasks, 1), GMK_EAGAIN);
    gmk_task_t task = {.type = 5, .payload = gmk_alloc(ctx, 8)};
    assert_int_equal(gmk_emit(ctx, &task), GMK_EAGAIN);
    assert_int_equal(gmk_sandbox_live_blocks(box), 1); /* still the caller's */
    assert_int_equal(gmk_sandbox_emit_at(box, GMK_SANDBOX_EMITS_MAX - 1)->task.meta0,
                     GMK_SANDBOX_EMITS_MAX - 2);
}

static void channels_are_found_opened_and_subscribed(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    uint32_t chan = 0;
    uint32_t sub = 0;
    assert_int_equal(gmk_chan_find(ctx, "a.b", &chan), GMK_ENOENT);
    uint32_t named = gmk_sandbox_channel(box, "a.b", 5);
    assert_true(named > GMK_CHAN_SYS_ERROR);
    assert_int_equal(gmk_sandbox_channel(box, "a.b", 5), named);
    assert_int_equal(gmk_sandbox_channel(box, "a.b", 6), 0);
    assert_int_equal(gmk_sandbox_channel(box, NULL, 5), 0);
    assert_int_equal(gmk_chan_find(ctx, "a.b", &chan), GMK_OK);
    assert_int_equal(chan, named);
    assert_int_equal(gmk_chan_find(ctx, "sys.error", &chan), GMK_OK);
    assert_int_equal(chan, GMK_CHAN_SYS_ERROR);
    assert_int_equal(gmk_chan_open(ctx, "a.b", 5, 0, 0, &chan), GMK_EEXIST);
    assert_int_equal(gmk_chan_open(ctx, "", 5, 0, 0, &chan), GMK_EINVAL);
    assert_int_equal(gmk_chan_open(ctx, "a.c", 5, 0, 0, &chan), GMK_OK);
    assert_int_equal(gmk_chan_sub(ctx, chan, swallow, NULL, NULL, 0, &sub), GMK_OK);
    assert_int_equal(gmk_chan_ack(ctx, chan, sub, 1), GMK_OK);
    assert_int_equal(gmk_chan_ack(ctx, chan, sub + 1, 1), GMK_ENOENT);
    assert_int_equal(gmk_chan_unsub(ctx, chan, sub), GMK_OK);
    assert_int_equal(gmk_chan_sub(ctx, chan + 1, swallow, NULL, NULL, 0, &sub), GMK_ENOENT);
    for (uint32_t i = chan; i < GMK_SANDBOX_CHANNELS_MAX; i++) {
        char name[GMK_NAME_MAX];
        snprintf(name, sizeof name, "a.n%u", i);
        assert_int_equal(gmk_sandbox_channel(box, name, 5), i + 1);
    }
    assert_int_equal(gmk_sandbox_channel(box, "a.last", 5), 0);
    assert_int_equal(gmk_chan_open(ctx, "a.last", 5, 0, 0, &chan), GMK_ELIMIT);
}

static int opens_and_waits(gmk_ctx_t *ctx) {
    uint32_t group = 0;
    int status = gmk_group_open(ctx, 0, &group);
    if (status != GMK_OK)
        return status;
    gmk_emit(ctx, &(gmk_task_t){.type = 1, .group = group});
    if (gmk_canceled(ctx))
        gmk_group_cancel(ctx, group);
    return gmk_group_wait(ctx, group);
}

static void a_group_is_a_number_and_a_wait_is_counted(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    gmk_task_t task = {.type = 1};
    assert_int_equal(gmk_sandbox_run(box, opens_and_waits, &task, NULL), GMK_OK);
    assert_int_equal(gmk_sandbox_group_waits(box), 1);
    assert_int_equal(gmk_sandbox_open_groups(box), 0);
    gmk_sandbox_set_canceled(box, true);
    assert_int_equal(gmk_sandbox_run(box, opens_and_waits, &task, NULL), GMK_ECANCELED);
    gmk_sandbox_set_canceled(box, false);
    assert_int_equal(gmk_sandbox_group_waits(box), 2);

    uint32_t group = 0;
    for (uint32_t i = 0; i < GMK_SANDBOX_GROUPS_MAX; i++)
        assert_int_equal(gmk_group_open(ctx, 0, &group), GMK_OK);
    assert_int_equal(gmk_sandbox_open_groups(box), GMK_SANDBOX_GROUPS_MAX);
    assert_int_equal(gmk_sandbox_run(box, opens_and_waits, &task, NULL), GMK_ELIMIT);
    assert_int_equal(gmk_group_drop(ctx, group), GMK_OK);
    assert_int_equal(gmk_group_drop(ctx, group), GMK_EINVAL);
    assert_int_equal(gmk_group_wait(ctx, group), GMK_EINVAL);
    assert_int_equal(gmk_group_cancel(ctx, group), GMK_EINVAL);
    assert_int_equal(gmk_sandbox_run(box, opens_and_waits, &task, NULL), GMK_OK);
}

static int waits_for_its_own_group(gmk_ctx_t *ctx) {
    return gmk_group_wait(ctx, ctx->task->group);
}

static int asks_whether_canceled(gmk_ctx_t *ctx) {
    return gmk_canceled(ctx) ? GMK_ECANCELED : GMK_OK;
}

static void a_task_knows_its_own_group(void **state) {
    (void)state;
    gmk_task_t task = {.type = 1};
    assert_int_equal(gmk_group_open(gmk_sandbox_ctx(box), 0, &task.group), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, waits_for_its_own_group, &task, NULL), GMK_EINVAL);
    assert_int_equal(gmk_sandbox_run(box, asks_whether_canceled, &task, NULL), GMK_OK);
    assert_int_equal(gmk_group_cancel(gmk_sandbox_ctx(box), task.group), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, asks_whether_canceled, &task, NULL), GMK_ECANCELED);
}

struct clock_ops {
    int ticks;
};

static int uses_the_clock(gmk_ctx_t *ctx) {
    const struct clock_ops *clock =
        GMK_SERVICE_GET(ctx, struct clock_ops, "clock", GMK_VERSION(1, 1, 0));
    return clock != NULL ? clock->ticks : GMK_ENOENT;
}

static void fake_services_follow_the_version_rule(void **state) {
    (void)state;
    gmk_ctx_t *ctx = gmk_sandbox_ctx(box);
    static const struct clock_ops fake = {.ticks = 77};
    assert_int_equal(gmk_sandbox_run(box, uses_the_clock, NULL, NULL), GMK_ENOENT);
    assert_int_equal(gmk_sandbox_service(box, "clock", GMK_VERSION(1, 0, 9), &fake), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, uses_the_clock, NULL, NULL), GMK_ENOENT);
    assert_int_equal(gmk_service_withdraw(ctx, "clock"), GMK_EPERM); /* the test's, not its own */
    assert_int_equal(gmk_service_publish(ctx, "own", 1, &fake, GMK_KERNEL), GMK_OK);
    assert_int_equal(gmk_service_publish(ctx, "own", 1, &fake, GMK_KERNEL), GMK_EEXIST);
    assert_ptr_equal(gmk_service_get(ctx, "own", 1, NULL), &fake);
    assert_int_equal(gmk_service_withdraw(ctx, "own"), GMK_OK);
    assert_int_equal(gmk_sandbox_service(box, "clock", GMK_VERSION(1, 1, 0), &fake), GMK_EEXIST);
    free(box);
    fresh(state);
    assert_int_equal(gmk_sandbox_service(box, "clock", GMK_VERSION(1, 2, 0), &fake), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, uses_the_clock, NULL, NULL), 77);
}

static uint32_t seen_metric;

static int init_sets_state(gmk_ctx_t *ctx) {
    assert_null(ctx->task);
    ctx->state = &seen_metric;
    return gmk_metric_register(ctx, "things_seen", "Things seen so far.", &seen_metric);
}

static int counts_a_thing(gmk_ctx_t *ctx) {
    gmk_metric_inc(ctx, *(uint32_t *)ctx->state, ctx->task->meta0);
    return GMK_OK;
}

static void an_init_can_be_run_and_metrics_are_read(void **state) {
    (void)state;
    assert_int_equal(gmk_sandbox_run(box, init_sets_state, NULL, NULL), GMK_OK);
    void *module_state = gmk_sandbox_ctx(box)->state;
    assert_ptr_equal(module_state, &seen_metric);
    gmk_task_t task = {.type = 1, .meta0 = 3};
    assert_int_equal(gmk_sandbox_run(box, counts_a_thing, &task, module_state), GMK_OK);
    assert_int_equal(gmk_sandbox_run(box, counts_a_thing, &task, module_state), GMK_OK);
    assert_int_equal(gmk_sandbox_metric(box, "things_seen"), 6);
    assert_int_equal(gmk_sandbox_metric(box, "unknown"), 0);
    assert_int_equal(gmk_sandbox_run(box, init_sets_state, NULL, NULL), GMK_EEXIST);
    gmk_metric_inc(gmk_sandbox_ctx(box), 12345, 1); /* unknown: nothing happens */
}

static int looks_around(gmk_ctx_t *ctx) {
    gmk_log(ctx, GMK_LOG_WARN, "at %llu", (unsigned long long)gmk_now(ctx));
    assert_int_equal(gmk_self_tenant(ctx), 9);
    assert_int_not_equal(gmk_random(ctx), gmk_random(ctx));
    assert_null(ctx->kernel->engine);
    return GMK_OK;
}

static void time_tenant_log_and_random_work(void **state) {
    (void)state;
    gmk_sandbox_set_now(box, 123456);
    gmk_task_t task = {.type = 1, .tenant = 9};
    assert_int_equal(gmk_sandbox_run(box, looks_around, &task, NULL), GMK_OK);
    assert_true(log_capture_has("warn  sandbox: at 123456\n"));
    uint64_t next = gmk_random(gmk_sandbox_ctx(box));
    free(box);
    fresh(state);
    assert_int_equal(gmk_sandbox_run(box, looks_around, &task, NULL), GMK_OK);
    assert_int_equal(gmk_random(gmk_sandbox_ctx(box)), next); /* the same in every run */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(two_handlers_are_tested_end_to_end),
        TEST(the_nth_allocation_or_emit_fails_and_nothing_leaks),
        TEST(a_leak_is_counted),
        TEST(a_payload_is_kept_while_its_handler_gives_way),
        TEST(a_retry_keeps_the_payload_and_a_failure_drops_it),
        TEST(returning_yielded_is_giving_way_too),
        TEST(a_payload_can_be_kept_or_let_go_early),
        TEST(a_foreign_payload_is_left_alone),
        TEST(emits_are_checked_as_the_engine_would),
        TEST(a_full_recorder_is_EAGAIN_and_takes_nothing),
        TEST(channels_are_found_opened_and_subscribed),
        TEST(a_group_is_a_number_and_a_wait_is_counted),
        TEST(a_task_knows_its_own_group),
        TEST(fake_services_follow_the_version_rule),
        TEST(an_init_can_be_run_and_metrics_are_read),
        TEST(time_tenant_log_and_random_work),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
