/* Runner: the first program of a test boot: runs every test program, one after the other, and ends the
 * machine with the verdict.
 *
 *     init=tests/runner [init-arg=WORD[,WORD..]]     only programs whose names have such a word in them
 *
 * A program tells of its tests itself (tests/user/lib/utest.h); the runner counts by their exit
 * statuses. A program that faults, ends in another way or takes longer than TIME_LIMIT is a failed test,
 * and so is one after which objects are missing. scripts/run-guest judges what is printed. */
#include "lib/cpio.h"
#include "tests/user/lib/utest.h"
#include "tests/user/lib/utest_program.h"
#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/text.h"

#include <string.h>

#define TIME_LIMIT_NS UINT64_C(90000000000)
#define FOLDER        "tests/"
#define FRAMES        16384u
#define OBJECTS       4096u

static struct { unsigned passed, failed; } total;

static void verdict(bool good, const char *program, const char *what) {
    print("%s %u - %s: %s\n", good ? "ok" : "not ok", total.passed + total.failed + 1, program,
          what);
    total.passed += good;
    total.failed += !good;
}

/* Waits for the end, at most TIME_LIMIT; then it is ended. The notification is clean afterwards. */
static int64_t wait(struct spawned *child, gmk_handle_t notify) {
    uint64_t bits;
    gmk_unit_info_t info = {0};
    int64_t status = sys_unit_watch(child->unit, notify, 1);
    if (status == GMK_OK)
        status = sys_notify_wait(notify, 1, TIME_LIMIT_NS, &bits);
    if (status == GMK_ETIMEOUT) {
        (void)sys_unit_kill(child->unit, GMK_ETIMEOUT);
        status = sys_notify_wait(notify, 1, GMK_FOREVER, &bits);
    }
    if (status == GMK_OK)
        status = sys_unit_info(child->unit, &info);
    spawn_end(child);
    return status == GMK_OK ? info.status : status;
}

static int64_t run(const char *program, const void *image, size_t size, gmk_handle_t notify) {
    const char *const argv[] = {program, NULL};
    struct spawn what = {.image = image,
                         .size = size,
                         .argv = argv,
                         .name = program,
                         .frames = FRAMES,
                         .objects = OBJECTS,
                         .priority_max = GMK_PRIORITY_MAX,
                         .flags = GMK_THREAD_FPU};
    struct spawned child;
    int status = spawn_prepare(&what, &child);
    if (status != GMK_OK)
        return status;
    status = utest_give(&child);
    if (status == GMK_OK)
        status = spawn_start(&child);
    if (status == GMK_OK)
        return wait(&child, notify);
    spawn_end(&child);
    return status;
}

static uint64_t objects_used(void) {
    gmk_unit_info_t info = {0};
    (void)sys_unit_info(GMK_SELF_UNIT, &info);
    return info.objects_used;
}

/* Are no more in use than before? What a program had started ends behind its back: at most 2 seconds. */
static bool all_is_back(uint64_t before) {
    for (unsigned i = 0; i < 2000 && objects_used() != before; i++)
        utest_pause();
    return objects_used() == before;
}

static void run_and_count(const char *program, const struct cpio_entry *file, gmk_handle_t notify) {
    uint64_t before = objects_used();
    int64_t status = run(program, file->data, file->size, notify);
    if (status < 0) {
        print("# %s ended with %s: %s\n", program, gmk_error_name((int)status),
              gmk_strerror((int)status));
        verdict(false, program, "it runs to its end");
    } else if (status == 0) {
        verdict(false, program, "it has tests");
    } else {
        total.passed += UTEST_PASSED(status);
        total.failed += UTEST_FAILED(status);
    }
    if (!all_is_back(before)) {
        print("# objects before %llu, after %llu\n", (unsigned long long)before,
              (unsigned long long)objects_used());
        verdict(false, program, "its end gives every object back");
    }
}

static bool contains(const char *text, const char *word, size_t length) {
    for (; strlen(text) >= length; text++) {
        if (strncmp(text, word, length) == 0)
            return true;
    }
    return false;
}

/* Is it a test, and one of those asked for? */
static bool wanted(const char *name, const char *words) {
    if (!text_begins(name, "test_") && !text_begins(name, "attack_") && !text_begins(name, "fuzz_"))
        return false;
    while (words != NULL && *words != '\0') {
        size_t length = 0;
        while (words[length] != '\0' && words[length] != ',')
            length++;
        if (contains(name, words, length))
            return true;
        words += length + (words[length] == ',');
        if (*words == '\0')
            return false;
    }
    return true;
}

int main(int argc, char **argv) {
    size_t size;
    const void *archive = initrd_get(&size);
    struct cpio cpio;
    struct cpio_entry file;
    int64_t notify = sys_notify_create(GMK_SELF_FACTORY);
    if (notify < 0)
        program_die("no notification: %s", gmk_strerror((int)notify));
    cpio_open(&cpio, archive, size);
    while (cpio_next(&cpio, &file)) {
        const char *path = text_begins(file.name, "./") ? file.name + 2 : file.name;
        if (text_begins(path, FOLDER) && wanted(path + strlen(FOLDER), argc > 1 ? argv[1] : NULL))
            run_and_count(path + strlen(FOLDER), &file, (gmk_handle_t)notify);
    }
    print("%u passed, %u failed\n", total.passed, total.failed);
    bool good = total.failed == 0 && total.passed > 0;
    (void)sys_system_power(handle_find("system"), false, good ? 0 : 1);
    return 1;
}
