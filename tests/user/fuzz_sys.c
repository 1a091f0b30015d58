/* System-call fuzzer: lives of units that make random calls (prog_fuzz.c), watched from here.
 *
 * After every life: the memory of this unit is untouched; its capabilities are what they were; every
 * frame and object that the life took has come back, exactly. The kernel's own invariants are assertions
 * in it. Seeds are printed, so a life can be repeated: as the first program of a boot its argument is
 * CALLS[,SEED] (`make fuzz-sys`: millions). */
#include "tests/user/fuzz_sys.h"
#include "tests/user/lib/utest.h"
#include "tests/user/lib/utest_program.h"

#include "user/lib/memory.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

#include <stdatomic.h>

#define CALLS_DEFAULT 100000u
#define LIFE_NS       UINT64_C(30000000000) /* a life that lasts longer hangs */
#define PATTERN_WORDS 16384u

static uint64_t calls_wanted = CALLS_DEFAULT, seed = 1;
static uint64_t pattern[PATTERN_WORDS];

static uint64_t pattern_at(unsigned i) {
    return i * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x5bd1e995);
}

static bool pattern_is_whole(void) {
    for (unsigned i = 0; i < PATTERN_WORDS; i++)
        if (pattern[i] != pattern_at(i))
            return false;
    return true;
}

/* One life: whatever it returns, it must end in time. */
static bool live(gmk_handle_t memory, gmk_handle_t notify) {
    char text[24];
    uint64_t digits = seed, bits;
    unsigned at = sizeof text - 1;
    text[at] = '\0';
    do
        text[--at] = (char)('0' + digits % 10);
    while ((digits /= 10) != 0);
    const char *const argv[] = {"fuzz", text + at, NULL};
    static struct spawn what;
    struct spawned child;
    int status = spawn_from_initrd(&what, "tests/prog_fuzz");
    what.argv = argv;
    what.frames = 512;
    what.objects = 64;
    if (status != GMK_OK || spawn_prepare(&what, &child) != GMK_OK)
        return utest_true(false, "the fuzzed unit starts", __FILE__, __LINE__);
    (void)spawn_give(&child, "page", memory, GMK_RIGHT_READ | GMK_RIGHT_WRITE, 0);
    (void)spawn_give(&child, "system", handle_find("system"), GMK_RIGHT_READ, 0);
    (void)spawn_give(&child, "registry", handle_find("registry"), GMK_RIGHTS_ALL, 0);
    (void)sys_unit_watch(child.unit, notify, 1);
    (void)spawn_start(&child);
    bool ended = sys_notify_wait(notify, 1, LIFE_NS, &bits) == GMK_OK;
    spawn_end(&child);
    return utest_true(ended, "the fuzzed unit ends in time", __FILE__, __LINE__);
}

/* What this unit holds when nothing of a life is left. The end of a unit is work in the background, so
 * it is waited for, with a limit. */
static bool budget_is(const gmk_unit_info_t *before) {
    gmk_unit_info_t now;
    uint64_t end = (uint64_t)sys_time() + LIFE_NS;
    do {
        if (sys_unit_info(GMK_SELF_UNIT, &now) != GMK_OK)
            return false;
        if (now.frames_used == before->frames_used && now.objects_used == before->objects_used)
            return true;
        (void)sys_yield();
    } while ((uint64_t)sys_time() < end);
    utest_note("frames %llu then %llu, objects %llu then %llu",
               (unsigned long long)before->frames_used, (unsigned long long)now.frames_used,
               (unsigned long long)before->objects_used, (unsigned long long)now.objects_used);
    return false;
}

static void random_calls_break_nothing(void) {
    gmk_handle_t memory, notify;
    uint64_t at;
    EXPECT_GOOD(memory, sys_memory_create(GMK_SELF_FACTORY, GMK_MEMORY_ANON, 4096));
    EXPECT_GOOD(at,
                memory_map_at(GMK_SELF_UNIT, memory, 0, 0, 4096, GMK_PROT_READ | GMK_PROT_WRITE));
    EXPECT_GOOD(notify, sys_notify_create(GMK_SELF_FACTORY));
    struct fuzz_page *page = (struct fuzz_page *)at;
    atomic_store(&page->calls, 0);
    for (unsigned i = 0; i < PATTERN_WORDS; i++)
        pattern[i] = pattern_at(i);
    EXPECT(live(memory,
                notify)); /* what the first life makes for good, such as tables, is there then */
    gmk_unit_info_t before;
    (void)sys_yield();
    EXPECT_EQ(sys_unit_info(GMK_SELF_UNIT, &before), GMK_OK);
    uint64_t first = seed;
    for (; atomic_load(&page->calls) < calls_wanted; seed++) {
        bool good = live(memory, notify) && pattern_is_whole() && budget_is(&before);
        if (!good)
            utest_note("life of seed %llu", (unsigned long long)seed);
        EXPECT(good);
    }
    utest_note("%llu calls, %llu of them not refused, seeds %llu to %llu",
               (unsigned long long)atomic_load(&page->calls),
               (unsigned long long)atomic_load(&page->passed), (unsigned long long)first,
               (unsigned long long)seed - 1);
}

/* CALLS[,SEED] */
static void read_wishes(char *text) {
    char *comma = text;
    while (*comma != '\0' && *comma != ',')
        comma++;
    bool two = *comma == ',';
    *comma = '\0';
    if (!text_number(text, &calls_wanted) || (two && !text_number(comma + 1, &seed)))
        utest_note("'%s' is no number of calls", text);
}

int main(int argc, char **argv) {
    static const struct utest tests[] = {UTEST(random_calls_break_nothing)};
    if (argc < 2)
        return UTEST_RUN(tests);
    read_wishes(argv[1]);
    int status = UTEST_RUN(tests);
    print("%u passed, %u failed\n", UTEST_PASSED(status), UTEST_FAILED(status));
    (void)sys_system_power(GMK_INIT_SYSTEM, false, UTEST_FAILED(status) == 0 ? 0 : 1);
    return 1;
}
