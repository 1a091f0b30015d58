/* Test of dumps: they show workers, queues, channels, groups and types as they are, also from
 * a signal, and while everything runs. */
#define _GNU_SOURCE 1 /* mkstemp, pread */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/sched_fixture.h"

enum { GATE = 1, COUNT, FAIL };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static struct sched_text text;
static _Atomic uint64_t counted;

static int fail_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EFAIL;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "the_gate"},
    {COUNT, sched_count_handler, "counter"},
    {FAIL, fail_handler, "failing"},
};

static void start(const gmk_boot_cfg_t *cfg) {
    text.length = 0;
    gmk_log_level(GMK_LOG_ERROR);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
}

static void expect(const char *part) {
    if (strstr(text.text, part) == NULL)
        fail_msg("expected in the dump: %s\nit says:\n%s", part, text.text);
}

static bool dump_shows(const char *part) {
    text.length = 0;
    ASSERT_OK(gmk_dump(&kernel, sched_write, &text));
    return strstr(text.text, part) != NULL;
}

/* A stopped worker, full queues, an open group, a poisoned type. */
static void make_a_scene(void) {
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    uint32_t group, chan;
    gmk_task_t fail = {.type = FAIL}, count = {.type = COUNT};
    ASSERT_OK(gmk_submit(&kernel, &fail));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (uint32_t i = 0; i < 6; i++) {
        count.flags = GMK_PRIO(i % 2 ? 1 : 3);
        ASSERT_OK(gmk_submit(&kernel, &count));
    }
    ASSERT_OK(gmk_submit_at(&kernel, &count, hal_now_ns() + 1000));
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    ASSERT_OK(gmk_chan_open(ctx, "some.channel", COUNT, 0, 0, &chan));
}

static void a_dump_names_what_runs_and_what_waits(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.poison_failures = 1});
    make_a_scene();
    ASSERT_OK(gmk_dump(&kernel, sched_write, &text));
    expect("running\n");
    expect("worker 0: runs the_gate");
    expect("ready 1: 3 of");
    expect("ready 3: 3 of");
    expect("overflow: 0, timers: 1 of");
    expect("\"some.channel\"");
    expect("\"sys.dropped\"");
    expect("group 0x");
    expect("type 3 \"failing\": 1 in, 0 completed, 1 failed, 0 dropped, 0 inside, POISONED");
    expect("type 2 \"counter\": 7 in, 0 completed, 0 failed, 0 dropped, 7 inside\n");
    sched_gate_open(&gate);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    EVENTUALLY(dump_shows("worker 0: asleep"));
    sched_halt(&kernel);
}

static void a_signal_dumps_to_the_log(void **state) {
    (void)state;
    char path[] = "/tmp/dump_XXXXXX";
    int file = mkstemp(path), stderr_before = dup(2);
    assert_true(file >= 0);
    start(&(gmk_boot_cfg_t){.dump_on_request = true, .poison_failures = 1});
    make_a_scene();
    assert_int_equal(dup2(file, 2), 2);
    assert_int_equal(raise(SIGQUIT), 0);
    assert_int_equal(dup2(stderr_before, 2), 2);
    ssize_t length = pread(file, text.text, sizeof(text.text) - 1, 0);
    assert_true(length > 0);
    text.text[length] = '\0';
    close(file);
    close(stderr_before);
    unlink(path);
    expect("worker 0: runs the_gate");
    expect("group 0x");
    sched_gate_open(&gate);
    sched_halt(&kernel);
}

static int few_bytes(void *arg, const void *bytes, size_t size) {
    (void)bytes;
    *(size_t *)arg += size;
    return *(size_t *)arg > 100 ? GMK_ESYS : GMK_OK;
}

static void a_dump_stops_when_its_writer_fails(void **state) {
    (void)state;
    size_t written = 0;
    start(NULL);
    ASSERT_STATUS(gmk_dump(&kernel, few_bytes, &written), GMK_ESYS);
    assert_in_range(written, 100, 400);
    ASSERT_STATUS(gmk_dump(&kernel, NULL, NULL), GMK_EINVAL);
    sched_halt(&kernel);
}

static _Atomic uint32_t stop;

static void dump_always(void *arg) {
    static struct sched_text own;
    (void)arg;
    while (atomic_load(&stop) == 0) {
        own.length = 0;
        assert_int_equal(gmk_dump(&kernel, sched_write, &own), GMK_OK);
    }
}

static void dumps_disturb_nobody_while_everything_runs(void **state) {
    (void)state;
    struct hal_thread thread;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    atomic_store(&stop, 0);
    atomic_store(&counted, 0);
    assert_int_equal(hal_thread_start(&thread, "dump", 0, -1, dump_always, NULL), 0);
    for (int i = 0; i < 500; i++) {
        uint32_t group;
        ASSERT_OK(gmk_group_open(ctx, 0, &group));
        gmk_task_t task = {.type = COUNT, .group = group, .meta0 = (uintptr_t)&counted};
        ASSERT_OK(gmk_submit(&kernel, &task));
        ASSERT_OK(gmk_submit_at(&kernel, &task, hal_now_ns() + 1000));
        ASSERT_OK(gmk_group_wait(ctx, group));
    }
    atomic_store(&stop, 1);
    hal_thread_join(&thread);
    assert_int_equal(atomic_load(&counted), 1000);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_names_what_runs_and_what_waits),
        cmocka_unit_test(a_signal_dumps_to_the_log),
        cmocka_unit_test(a_dump_stops_when_its_writer_fails),
        cmocka_unit_test(dumps_disturb_nobody_while_everything_runs),
    };
    return cmocka_run_group_tests_name("worker_dump", tests, NULL, NULL);
}
