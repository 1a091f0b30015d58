/* Runner: what the test image does once the kernel is up: every program, then the sum.
 *
 * `tests=PATTERN[,PATTERN..]` on the command line chooses programs by name, and -PATTERN leaves
 * tests out, where `*` is any text. The last line says "N passed, N failed"; the machine goes off
 * with status 0 when something ran and nothing failed.
 * `tests=fault:NAME` makes a mistake on purpose instead (tests/kernel/faults).
 *
 * Programs share one address space: each has its own copy of the test library's variables, but the
 * engine's process-wide state (log sink, log level, the table of module sections) is one. */
#include "tests/kernel/lib/runner.h"

#include <stdio.h>
#include <string.h>

#include "ggmk/log.h"
#include "ggmk/module.h"
#include "kernel/core/config.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/sched/thread.h"
#include "tests/kernel/faults/faults.h"

#define FAULT      "fault:"
#define STACK_SIZE (256u * 1024u) /* of a process' first thread; tests keep buffers on it */

/* Bounded by the lengths: after a `*` the shortest rest that matches is enough. */
static int matches(const char *pattern, size_t length, const char *name) {
    const char *end = pattern + length, *star = NULL, *retry = NULL;
    while (*name != '\0') {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (pattern < end && *pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++retry;
        } else {
            return 0;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

/* Does a pattern with this sign match? *any tells whether there is one. */
static int one_matches(const char *patterns, int minus, const char *name, int *any) {
    *any = 0;
    for (const char *at = patterns; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if ((*at == '-') == minus) {
            *any = 1;
            if (matches(at + minus, length - (size_t)minus, name))
                return 1;
        }
        at += length + (at[length] == ',');
    }
    return 0;
}

int runner_wants_program(const char *name) {
    int any;
    if (one_matches(kernel_config.tests, 1, name, &any))
        return 0;
    return one_matches(kernel_config.tests, 0, name, &any) || !any;
}

int runner_leaves_out(const char *test) {
    int any;
    return one_matches(kernel_config.tests, 1, test, &any);
}

static void call_all(void (*const *first)(void), void (*const *end)(void)) {
    for (; first < end; first++)
        (*first)();
}

static unsigned told(void) {
    return tally.passed + tally.failed + tally.skipped;
}

static void fail_program(const char *name, const char *why) {
    tally.failed++;
    printf("not ok %u - %s: %s\n", told(), name, why);
}

/* Frames of engines and of threads' stacks: what an engine's test that has ended must not hold.
 * (A kernel test may make what stays, such as the stacks of a CPU that did not come.) */
static uint64_t frames_held(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.by_owner[FRAME_ENGINE] + stats.by_owner[FRAME_STACK];
}

static void run_program(const struct program *program) {
    struct tally before = tally;
    unsigned told_before = told();
    uint64_t held = frames_held();
    program_now = program->name;
    call_all(program->init, program->init_end);
    int status = program->main();
    call_all(program->fini, program->fini_end);
    gmk_log_level(GMK_LOG_DEFAULT);
    stdlib_trim();
    if (told() == told_before)
        fail_program(program->name, "no test ran");
    if (tally.failed != before.failed)
        return; /* what a failed test held is lost, and main() says so */
    if (status != 0)
        fail_program(program->name, "main() says that it failed");
    if (frames_held() > held && strncmp(program->name, "test_", 5) == 0)
        fail_program(program->name, "arenas or stacks are not given back");
}

/* To a test program, the modules that register themselves are its own: the kernel's stay away
 * until all have run. */
static void run_all(void *arg) {
    gmk_module_t *const *first = (gmk_module_t *const *)__start_gmk_modules;
    gmk_module_t *const *end = (gmk_module_t *const *)__stop_gmk_modules;
    (void)arg;
    gmk_modules_section_gone(first, end);
    uint64_t start = arch_time_ns();
    if (strncmp(kernel_config.tests, FAULT, strlen(FAULT)) == 0)
        fault_provoke(kernel_config.tests + strlen(FAULT));
    for (size_t i = 0; i < program_count; i++)
        if (runner_wants_program(programs[i].name))
            run_program(&programs[i]);
    gmk_modules_section(first, end);
    printf("# %u skipped, %llu ms\n", tally.skipped,
           (unsigned long long)(arch_time_ns() - start) / 1000000);
}

void kernel_payload(void) {
    klog_level(GMK_LOG_WARN);
    struct thread *thread =
        thread_start("tests", STACK_SIZE, THREAD_PRIORITY_WORKER, -1, run_all, NULL);
    if (thread == NULL)
        panic("no memory for the thread that runs the tests");
    thread_join(thread);
    printf("%u passed, %u failed\n", tally.passed, tally.failed);
    kernel_shutdown(tally.failed == 0 && tally.passed != 0 ? 0 : 1);
}
