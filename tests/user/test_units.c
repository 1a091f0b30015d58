/* Test of units: whichever way one ends, in whatever its threads do just then, it ends whole: its status
 * is told, and every frame and object is back. */
#include "tests/user/lib/utest.h"
#include "tests/user/lib/utest_program.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#define SECOND UINT64_C(1000000000)
#define ROUNDS 3u

static gmk_handle_t notify, personality;
static gmk_unit_info_t at_start; /* of this unit */

static gmk_unit_info_t info_of(gmk_handle_t unit) {
    gmk_unit_info_t info = {.state = 99};
    (void)sys_unit_info(unit, &info);
    return info;
}

static uint64_t frames_free(void) {
    gmk_system_info_t info = {0};
    (void)sys_system_info(handle_find("system"), &info);
    return info.frames_free;
}

/* ---- Children ----------------------------------------------------------------------------------- */

/* Starts it with a way to say that it is ready, and itself. */
static int begin(struct spawned *child, struct spawn *what, const char *word) {
    static const char *argv[3] = {"prog_units"};
    argv[1] = word;
    int status = spawn_from_initrd(what, "tests/prog_units");
    what->argv = argv;
    what->frames = 400;
    what->objects = 64;
    if (status == GMK_OK)
        status = spawn_prepare(what, child);
    if (status == GMK_OK)
        status = spawn_give(child, "ready", notify, GMK_RIGHT_WRITE, 0);
    if (status == GMK_OK)
        status = spawn_give(child, "me", child->unit, GMK_RIGHT_MANAGE, 0);
    if (status == GMK_OK)
        status = (int)sys_unit_ports(child->unit, 0, personality);
    return status == GMK_OK ? spawn_start(child) : status;
}

/* Runs one to its end: its status. */
static int64_t run(const char *word) {
    struct spawn what;
    struct spawned child;
    int status = begin(&child, &what, word);
    return status == GMK_OK ? spawn_wait(&child) : status;
}

/* Starts one that waits in every way, and returns when all its threads do. */
static int begin_waiting(struct spawned *child, struct spawn *what) {
    uint64_t bits;
    int status = begin(child, what, "wait");
    if (status == GMK_OK)
        status = (int)sys_notify_wait(notify, 1, 20 * SECOND, &bits);
    return status;
}

/* The end of a unit is told before its last object is back. */
static void let_the_reaper_finish(void) {
    uint64_t bits;
    for (unsigned i = 0; i < 500; i++) {
        (void)sys_notify_wait(notify, UINT64_C(1) << 40, SECOND / 50, &bits);
        if (info_of(GMK_SELF_UNIT).objects_used <= at_start.objects_used)
            return;
    }
}

/* ---- Ways to end ----------------------------------------------------------------------------------- */

static void its_status_is_its_last_threads_or_its_own(void) {
    EXPECT_EQ(run("nothing"), 5);
    EXPECT_EQ(run("exit"), 42);
    EXPECT_EQ(run("strip"), 43);
    EXPECT_EQ(run("kill"), 44);
    EXPECT_EQ(run("fault"), GMK_EFAULT);
}

static void it_is_ended_from_outside_whatever_it_does(void) {
    struct spawn what;
    struct spawned child;
    EXPECT_EQ(begin_waiting(&child, &what), GMK_OK);
    EXPECT_EQ(info_of(child.unit).state, GMK_UNIT_ALIVE);
    EXPECT_EQ(info_of(child.unit).threads, 11);
    EXPECT_EQ(sys_unit_kill(child.unit, 77), GMK_OK);
    EXPECT_EQ(sys_unit_kill(child.unit, 78), GMK_OK); /* too late */
    EXPECT_EQ(spawn_wait(&child), 77);
}

static void dropping_it_ends_it(void) {
    struct spawn what;
    struct spawned child;
    gmk_handle_t watched;
    uint64_t bits, objects = info_of(GMK_SELF_UNIT).objects_used;
    EXPECT_EQ(begin_waiting(&child, &what), GMK_OK);
    EXPECT_GOOD(watched, sys_cap_derive(child.unit, GMK_RIGHT_READ, 0));
    EXPECT_EQ(sys_unit_watch(watched, notify, 4), GMK_OK);
    EXPECT_EQ(sys_cap_drop(child.unit), GMK_OK);
    EXPECT_EQ(sys_unit_watch(watched, notify, 8), GMK_EHANDLE);
    EXPECT_EQ(sys_notify_wait(notify, 4, 20 * SECOND, &bits), GMK_OK);
    let_the_reaper_finish();
    EXPECT_EQ(info_of(GMK_SELF_UNIT).objects_used, objects);
}

static void one_that_never_started_ends_too(void) {
    gmk_unit_args_t args = {.name = "new", .frames = 8, .objects = 8};
    gmk_handle_t unit;
    uint64_t bits;
    EXPECT_GOOD(unit, sys_unit_create(GMK_SELF_FACTORY, &args));
    EXPECT_EQ(info_of(unit).state, GMK_UNIT_NEW);
    EXPECT_EQ(sys_unit_watch(unit, notify, 16), GMK_OK);
    EXPECT_EQ(sys_unit_kill(unit, 1), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, 16, 20 * SECOND, &bits), GMK_OK);
    gmk_unit_info_t info = info_of(unit);
    EXPECT_EQ(info.state, GMK_UNIT_DEAD);
    EXPECT_EQ(info.status, 1);
    EXPECT_EQ(info.caps, 0);
    EXPECT_EQ(sys_unit_watch(unit, notify, 32), GMK_OK); /* dead: at once */
    EXPECT_EQ(sys_notify_wait(notify, 32, 0, &bits), GMK_OK);
    EXPECT_EQ(sys_cap_drop(unit), GMK_OK);
}

static void nothing_can_be_done_to_a_dead_one(void) {
    gmk_unit_args_t args = {.name = "dead", .frames = 8, .objects = 8, .priority_max = 112};
    const gmk_thread_args_t thread = {
        .entry = GMK_USER_MIN, .stack = GMK_USER_MIN, .priority = GMK_PRIORITY_LOW};
    gmk_handle_t unit, memory, port;
    EXPECT_GOOD(unit, sys_unit_create(GMK_SELF_FACTORY, &args));
    EXPECT_GOOD(memory, sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096));
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_unit_kill(unit, 0), GMK_OK);
    for (unsigned dead = 0; dead < 2; dead++) {
        EXPECT_EQ(sys_thread_create(unit, &thread), GMK_ESTATE);
        EXPECT_EQ(sys_cap_grant(unit, port, 0, 0), GMK_ESTATE);
        while (info_of(unit).state != GMK_UNIT_DEAD)
            (void)sys_yield();
    }
    EXPECT_EQ(sys_memory_map(unit, memory, 0, 0, 4096, GMK_PROT_READ), GMK_ESTATE);
    EXPECT_EQ(sys_cap_drop(unit), GMK_OK);
    EXPECT_EQ(sys_cap_drop(memory), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* ---- Using everything up -------------------------------------------------------------------------- */

static void budgets_hold_and_only_their_unit_feels_it(void) {
    EXPECT_EQ(run("objects"), GMK_EBUDGET);
    EXPECT_EQ(run("bomb"), GMK_EBUDGET);
    EXPECT_EQ(run("frames"), GMK_EFAULT);
}

static void bad_arguments_make_no_unit(void) {
    gmk_unit_info_t before = info_of(GMK_SELF_UNIT);
    gmk_unit_args_t args = {.name = "bad", .frames = 8, .objects = 8};
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, NULL), GMK_EFAULT);
    args.flags = 1;
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, &args), GMK_EINVAL);
    args.flags = 0;
    args.priority_max = GMK_PRIORITY_MAX + 1;
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, &args), GMK_ERANGE);
    args.priority_max = 0;
    for (unsigned i = 0; i < sizeof args.name; i++)
        args.name[i] = 'x';
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, &args), GMK_EINVAL);
    args.name[3] = 0;
    args.frames = UINT64_MAX;
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, &args), GMK_EBUDGET);
    args.frames = 8;
    args.objects = UINT64_MAX;
    EXPECT_EQ(sys_unit_create(GMK_SELF_FACTORY, &args), GMK_EBUDGET);
    gmk_unit_info_t now = info_of(GMK_SELF_UNIT);
    EXPECT_EQ(now.objects_used, before.objects_used);
    EXPECT_EQ(now.frames_used, before.frames_used);
    EXPECT_EQ(now.caps, before.caps);
}

/* ---- Everything comes back --------------------------------------------------------------------------- */

static bool all_the_ways(void) {
    static const char *const words[] = {"nothing", "exit", "strip",   "kill",
                                        "fault",   "bomb", "objects", "frames"};
    struct spawn what;
    struct spawned child;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        (void)run(words[i]);
    if (begin_waiting(&child, &what) != GMK_OK)
        return false;
    spawn_end(&child);
    return true;
}

/* Pools keep what they have grown to, so the first rounds may cost frames; then none does. */
static void every_frame_and_object_comes_back(void) {
    EXPECT(all_the_ways());
    EXPECT(all_the_ways());
    let_the_reaper_finish();
    gmk_unit_info_t now = info_of(GMK_SELF_UNIT);
    uint64_t frames = frames_free(), mine = now.frames_used; /* first touches are over, too */
    for (unsigned round = 0; round < ROUNDS; round++) {
        EXPECT(all_the_ways());
        let_the_reaper_finish();
        now = info_of(GMK_SELF_UNIT);
        EXPECT_EQ(now.objects_used, at_start.objects_used);
        EXPECT_EQ(now.frames_used, mine);
        EXPECT_EQ(now.caps, at_start.caps);
        EXPECT(frames_free() >= frames);
    }
}

static const struct utest tests[] = {
    UTEST(its_status_is_its_last_threads_or_its_own),
    UTEST(it_is_ended_from_outside_whatever_it_does),
    UTEST(dropping_it_ends_it),
    UTEST(one_that_never_started_ends_too),
    UTEST(nothing_can_be_done_to_a_dead_one),
    UTEST(budgets_hold_and_only_their_unit_feels_it),
    UTEST(bad_arguments_make_no_unit),
    UTEST(every_frame_and_object_comes_back),
};

int main(void) {
    notify = (gmk_handle_t)sys_notify_create(GMK_SELF_FACTORY);
    personality = (gmk_handle_t)sys_port_create(GMK_SELF_FACTORY);
    at_start = info_of(GMK_SELF_UNIT);
    return UTEST_RUN(tests);
}
