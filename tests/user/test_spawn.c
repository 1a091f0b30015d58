/* Test of spawn: a program is started with what it was given, ends with its status, and leaves nothing
 * behind; a file that is no program, and a budget that is too small, are refused. */
#include "tests/user/lib/utest.h"

#include "lib/format.h"
#include "user/lib/memory.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#include <string.h>

static struct spawn child_program(const char *const *argv) {
    struct spawn what;
    (void)spawn_from_initrd(&what, "tests/prog_child");
    what.argv = argv;
    return what;
}

/* Runs it with up to two words. */
static int64_t run(const char *word, const char *second) {
    const char *const argv[] = {"child", word, second, NULL};
    struct spawn what = child_program(argv);
    return spawn_run(&what);
}

/* What the program holds before it starts anything. */
static gmk_unit_info_t base;

/* Is it that again? Units end behind our back: at most two seconds. */
static bool all_is_back(void) {
    gmk_unit_info_t info = {0};
    for (unsigned i = 0; i < 2000; i++) {
        (void)sys_unit_info(GMK_SELF_UNIT, &info);
        if (info.objects_used == base.objects_used && info.caps == base.caps)
            return true;
        utest_pause();
    }
    utest_note("objects %llu, were %llu; capabilities %u, were %u",
               (unsigned long long)info.objects_used, (unsigned long long)base.objects_used,
               info.caps, base.caps);
    return false;
}

static void a_status_comes_back(void) {
    EXPECT_EQ(run("exit", "0"), 0);
    EXPECT_EQ(run("exit", "42"), 42);
    EXPECT_EQ(run("exit", "1234567890123"), 1234567890123);
    EXPECT_EQ(run("nothing", NULL), 99);
}

static void a_fault_ends_the_program_and_nobody_else(void) {
    EXPECT_EQ(run("fault", NULL), GMK_EFAULT);
    EXPECT_EQ(run("exit", "1"), 1);
}

static void words_and_environment_arrive(void) {
    const char *const argv[] = {"child", "words", "", "a b", NULL};
    const char *const env[] = {"COLOUR=blue", NULL};
    struct spawn what = child_program(argv);
    what.env = env;
    EXPECT_EQ(spawn_run(&what), 0);
}

static void the_unit_lives_until_its_last_thread_ends(void) {
    EXPECT_EQ(run("leave", NULL), 7);
}

static void programs_lie_somewhere_else_each_time(void) {
    int64_t first = run("where", NULL), second = run("where", NULL);
    EXPECT(first > 0);
    EXPECT(second > 0);
    EXPECT(first != second);
    EXPECT(run("stack", NULL) != run("stack", NULL));
    const char *const argv[] = {"child", "where", NULL};
    struct spawn what = child_program(argv);
    what.seed = 77;
    first = spawn_run(&what);
    EXPECT_EQ(spawn_run(&what), first);
}

static void a_fixed_program_lies_where_it_was_linked(void) {
    struct spawn what;
    EXPECT_EQ(spawn_from_initrd(&what, "tests/prog_fixed"), GMK_OK);
    EXPECT_EQ(spawn_run(&what), 11);
}

static int64_t has(const char *name, unsigned rights) {
    const char *const argv[] = {"child", "has", "thing", NULL};
    struct spawn what = child_program(argv);
    struct spawned child;
    int64_t status = spawn_prepare(&what, &child);
    if (status != GMK_OK)
        return status;
    status = spawn_give(&child, name, handle_find("initrd"), rights, 0);
    if (status == GMK_OK)
        status = spawn_start(&child);
    if (status == GMK_OK)
        return spawn_wait(&child);
    spawn_end(&child);
    return status;
}

static void a_child_holds_what_it_was_given_and_no_more(void) {
    EXPECT_EQ(has("thing", GMK_RIGHT_READ), GMK_CAP_MEMORY | GMK_RIGHT_READ << 8);
    EXPECT_EQ(has("other", GMK_RIGHT_READ), GMK_EHANDLE);
    EXPECT_EQ(has("thing", GMK_RIGHT_READ | GMK_RIGHT_MANAGE), GMK_ERIGHTS);
}

static void more_capabilities_than_there_is_room_for_are_refused(void) {
    struct spawn what = child_program(NULL);
    struct spawned child;
    EXPECT_EQ(spawn_prepare(&what, &child), GMK_OK);
    for (unsigned i = 0; i < SPAWN_HANDLES_MAX; i++)
        EXPECT_EQ(spawn_give(&child, "x", handle_find("initrd"), GMK_RIGHT_READ, 0), GMK_OK);
    EXPECT_EQ(spawn_give(&child, "x", handle_find("initrd"), GMK_RIGHT_READ, 0), GMK_ELIMIT);
    spawn_end(&child);
}

static void words_that_do_not_fit_are_refused(void) {
    static char word[20000];
    memset(word, 'x', sizeof word - 1);
    const char *const argv[] = {"child", word, NULL};
    struct spawn what = child_program(argv);
    EXPECT_EQ(spawn_run(&what), GMK_ERANGE);
}

static void a_budget_that_is_too_small_is_refused(void) {
    struct spawn what = child_program(NULL);
    what.frames = 1;
    EXPECT_EQ(spawn_run(&what), GMK_EBUDGET);
    what.frames = UINT64_C(1) << 40;
    EXPECT_EQ(spawn_run(&what), GMK_EBUDGET);
    what = child_program(NULL);
    what.objects = UINT64_C(1) << 40;
    EXPECT_EQ(spawn_run(&what), GMK_EBUDGET);
}

static void a_file_that_is_not_there_is_told(void) {
    struct spawn what;
    EXPECT_EQ(spawn_from_initrd(&what, "tests/nothing"), GMK_ENOENT);
    EXPECT_EQ(spawn_from_initrd(&what, "./tests/prog_child"), GMK_OK);
}

/* Each byte of the header and the table of segments is damaged once: the file is refused with a reason,
 * or it is still a program, which then ends in some way. Nothing is left behind. */
static void damaged_programs_are_refused_or_end(void) {
    const char *const argv[] = {"child", "exit", "5", NULL};
    struct spawn what = child_program(argv);
    uint8_t *copy = heap_alloc(what.size);
    EXPECT(copy != NULL);
    memcpy(copy, what.image, what.size);
    what.image = copy;
    unsigned refused = 0, ended = 0, ran = 0;
    for (unsigned at = 0; at < 64 + 5 * 56; at++) {
        copy[at] ^= 0xff;
        int64_t status = spawn_run(&what);
        copy[at] ^= 0xff;
        refused += what.error != NULL;
        ended += what.error == NULL && status != 5;
        ran += status == 5;
        EXPECT(what.error == NULL || status == GMK_EINVAL);
    }
    utest_note("%u refused, %u ended otherwise, %u ran", refused, ended, ran);
    EXPECT(refused > 100);
    EXPECT(all_is_back());
    EXPECT_EQ(spawn_run(&what), 5);
    for (what.size = 0; what.size < 512; what.size += 7)
        EXPECT_EQ(spawn_run(&what), GMK_EINVAL);
    heap_free(copy);
}

static void a_child_is_ended_wherever_it_is(void) {
    const char *const argv[] = {"child", "wait", NULL};
    for (unsigned i = 0; i < 8; i++) {
        struct spawn what = child_program(argv);
        struct spawned child;
        EXPECT_EQ(spawn_prepare(&what, &child), GMK_OK);
        if (i > 0)
            EXPECT_EQ(spawn_start(&child), GMK_OK);
        for (unsigned turn = 0; turn < i; turn++)
            (void)sys_yield();
        if (i % 2 == 0) {
            spawn_end(&child);
            continue;
        }
        EXPECT_EQ(sys_unit_kill(child.unit, -77), GMK_OK);
        EXPECT_EQ(spawn_wait(&child), -77);
    }
    EXPECT(all_is_back());
}

static const struct utest tests[] = {
    UTEST(a_status_comes_back),
    UTEST(a_fault_ends_the_program_and_nobody_else),
    UTEST(words_and_environment_arrive),
    UTEST(the_unit_lives_until_its_last_thread_ends),
    UTEST(programs_lie_somewhere_else_each_time),
    UTEST(a_fixed_program_lies_where_it_was_linked),
    UTEST(a_child_holds_what_it_was_given_and_no_more),
    UTEST(more_capabilities_than_there_is_room_for_are_refused),
    UTEST(words_that_do_not_fit_are_refused),
    UTEST(a_budget_that_is_too_small_is_refused),
    UTEST(a_file_that_is_not_there_is_told),
    UTEST(damaged_programs_are_refused_or_end),
    UTEST(a_child_is_ended_wherever_it_is),
};

int main(void) {
    heap_free(heap_alloc(1)); /* the heap keeps what it takes */
    (void)sys_unit_info(GMK_SELF_UNIT, &base);
    return UTEST_RUN(tests);
}
