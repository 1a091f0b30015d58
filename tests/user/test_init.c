/* Test of init: programs start in the order that they ask for, are started again as often as they may,
 * and a bad line stops no other.
 *
 * Each test starts init itself, in a unit of its own, with one of tests/user/conf; the programs named
 * there (prog_report.c) tell by a port that they ran. */
#include "tests/user/lib/utest.h"

#include "user/lib/serve.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <string.h>

#define REPORTS_MAX 32u

static struct report {
    char name[16];
    uint64_t time_ns;
} reports[REPORTS_MAX];
static unsigned report_count;

/* Takes a report; label 0 is the end. */
static bool take(void *arg, struct ipc *m) {
    (void)arg;
    bool report = GMK_TAG_LABEL(m->tag) == 1;
    if (report && report_count < REPORTS_MAX) {
        memcpy(reports[report_count].name, m->w, sizeof reports[0].name);
        reports[report_count++].time_ns = m->w[2];
    }
    m->tag = 0;
    return report;
}

static void collect(void *arg) {
    (void)serve(*(gmk_handle_t *)arg, take, NULL);
}

/* Runs init with this file until it ends: its status. */
static int64_t run_init(const char *conf, gmk_handle_t port) {
    const char *const argv[] = {"init", conf, NULL};
    struct spawn what;
    struct spawned init;
    int status = spawn_from_initrd(&what, "sbin/init");
    what.name = "init/nested";
    what.argv = argv;
    what.frames = 4096;
    what.objects = 512;
    what.priority = GMK_PRIORITY_HIGH;
    if (status == GMK_OK)
        status = spawn_prepare(&what, &init);
    if (status != GMK_OK)
        return status;
    unsigned most = GMK_RIGHT_READ | GMK_RIGHT_WRITE | GMK_RIGHT_GRANT;
    status =
        spawn_give(&init, "console", handle_find("system"), GMK_RIGHT_WRITE | GMK_RIGHT_GRANT, 0);
    if (status == GMK_OK)
        status =
            spawn_give(&init, "initrd", handle_find("initrd"), GMK_RIGHT_READ | GMK_RIGHT_GRANT, 0);
    if (status == GMK_OK)
        status = spawn_give(&init, "report", port, most, 0);
    if (status == GMK_OK)
        status = spawn_start(&init);
    if (status == GMK_OK)
        return spawn_wait(&init);
    spawn_end(&init);
    return status;
}

/* The same, with what its programs report. */
static int64_t init_with(const char *conf) {
    struct thread *collector;
    int64_t made = sys_port_create(GMK_SELF_FACTORY);
    if (made < 0)
        return made;
    gmk_handle_t port = (gmk_handle_t)made;
    report_count = 0;
    int status = thread_start(&collector, "collect", GMK_PRIORITY_HIGH, 0, collect, &port);
    if (status != GMK_OK)
        return status;
    int64_t result = run_init(conf, port);
    struct ipc m = {0};
    (void)ipc_send(port, &m, GMK_FOREVER);
    thread_join(collector);
    (void)sys_cap_drop(port);
    return result;
}

static unsigned times(const char *name) {
    unsigned count = 0;
    for (unsigned i = 0; i < report_count; i++)
        count += strcmp(reports[i].name, name) == 0;
    return count;
}

static void programs_start_in_the_order_they_ask_for(void) {
    static const char *const order[] = {"first", "second", "third", "fourth"};
    EXPECT_EQ(init_with("tests/conf/order.conf"), 0);
    EXPECT_EQ(report_count, 4);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(strcmp(reports[i].name, order[i]), 0);
}

static void programs_are_started_again_as_often_as_they_may(void) {
    EXPECT_EQ(init_with("tests/conf/restart.conf"), 1);
    EXPECT_EQ(times("never"), 1);
    EXPECT_EQ(times("failed"), 4);
    EXPECT_EQ(times("content"), 1);
    EXPECT_EQ(times("always"), 3);
    EXPECT_EQ(times("fault"), 2);
}

/* Each pause is longer than the one before: 50, 100, 200 ms. */
static void pauses_before_a_restart_grow(void) {
    uint64_t last = 0, pause_ns = 50000000;
    EXPECT_EQ(times("failed"), 4); /* by the test before */
    for (unsigned i = 0; i < report_count; i++) {
        if (strcmp(reports[i].name, "failed") != 0)
            continue;
        if (last != 0) {
            EXPECT(reports[i].time_ns - last >= pause_ns);
            pause_ns *= 2;
        }
        last = reports[i].time_ns;
    }
}

static void a_bad_line_stops_no_other(void) {
    EXPECT_EQ(init_with("tests/conf/bad.conf"), 1);
    EXPECT_EQ(times("one"), 1);
    EXPECT_EQ(times("last"), 1);
    EXPECT_EQ(times("poor"), 0); /* it runs, but has no port to report by */
    EXPECT_EQ(report_count, 2);
}

static void a_file_that_is_not_there_is_a_failure(void) {
    EXPECT_EQ(init_with("tests/conf/none.conf"), 1);
    EXPECT_EQ(report_count, 0);
}

static const struct utest tests[] = {
    UTEST(programs_start_in_the_order_they_ask_for),
    UTEST(programs_are_started_again_as_often_as_they_may),
    UTEST(pauses_before_a_restart_grow),
    UTEST(a_bad_line_stops_no_other),
    UTEST(a_file_that_is_not_there_is_a_failure),
};

int main(void) {
    return UTEST_RUN(tests);
}
