/* Cmocka in the guest: runs the tests of one program and prints a line of TAP for each.
 *
 * A failing assertion jumps back to where the test was started, so that only this test ends; what
 * it had booted or allocated stays behind, as it does hosted. An assertion that fails in another
 * thread than the test's cannot jump: it panics, which shows its stack and ends the run.
 *
 * A test that is about to start is named in a line of its own, so that the host knows which one
 * hangs. One group runs at a time. */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "kernel/core/panic.h"
#include "kernel/sched/thread.h"
#include "lib/format.h"
#include "tests/kernel/hosted_only.h"
#include "tests/kernel/lib/runner.h"

enum verdict { PASSED, FAILED, SKIPPED };

struct tally tally;
const char *program_now;

static struct {
    struct thread *thread; /* runs the test; NULL between tests */
    void *back[5];         /* where a failing assertion goes (__builtin_setjmp) */
    enum verdict verdict;
} running;

static _Noreturn void end_test(enum verdict verdict) {
    running.verdict = verdict;
    __builtin_longjmp(running.back, 1);
}

void cmocka_fail(const char *file, int line, const char *fmt, ...) {
    char why[512];
    va_list args;
    va_start(args, fmt);
    (void)format_vstring(why, sizeof(why), fmt, args);
    va_end(args);
    printf("# %s:%d: %s\n", file, line, why);
    if (running.thread == NULL || thread_current() != running.thread)
        panic("%s:%d: an assertion failed outside the thread of its test", file, line);
    end_test(FAILED);
}

void cmocka_skip(const char *file, int line) {
    (void)file;
    (void)line;
    end_test(SKIPPED);
}

/* ---- Assertions ------------------------------------------------------------------------------- */

void cmocka_true(bool is, const char *text, const char *file, int line) {
    if (!is)
        cmocka_fail(file, line, "is false: %s", text);
}

void cmocka_equal(uint64_t a, uint64_t b, bool wanted, const char *file, int line) {
    if ((a == b) != wanted)
        cmocka_fail(file, line, "0x%llx %s 0x%llx", (unsigned long long)a,
                    wanted ? "!=" : "==", (unsigned long long)b);
}

void cmocka_range(uint64_t value, uint64_t low, uint64_t high, bool wanted, const char *file,
                  int line) {
    if ((value >= low && value <= high) != wanted)
        cmocka_fail(file, line, "%llu is %s %llu to %llu", (unsigned long long)value,
                    wanted ? "not in" : "in", (unsigned long long)low, (unsigned long long)high);
}

void cmocka_string(const char *a, const char *b, bool wanted, const char *file, int line) {
    if ((strcmp(a, b) == 0) != wanted)
        cmocka_fail(file, line, "\"%s\" %s \"%s\"", a, wanted ? "!=" : "==", b);
}

void cmocka_memory(const void *a, const void *b, size_t size, bool wanted, const char *file,
                   int line) {
    const unsigned char *x = a, *y = b;
    size_t at = 0;
    while (at < size && x[at] == y[at])
        at++;
    if ((at == size) == wanted)
        return;
    if (!wanted)
        cmocka_fail(file, line, "%zu bytes are the same", size);
    cmocka_fail(file, line, "byte %zu of %zu: 0x%02x != 0x%02x", at, size, x[at], y[at]);
}

/* ---- Tests -------------------------------------------------------------------------------------- */

/* Why a test is left out in the guest; NULL: it is not. */
static const char *left_out(const char *test) {
#define LEFT_OUT(a_program, a_test, reason)                               \
    if (strcmp(program_now, a_program) == 0 && strcmp(test, a_test) == 0) \
        return reason;
    HOSTED_ONLY(LEFT_OUT)
#undef LEFT_OUT
    return runner_leaves_out(test) ? "the command line leaves it out" : NULL;
}

/* Calls one of the two (the other is NULL) where a failing assertion can come back. */
static __attribute__((noinline)) enum verdict guarded(CMUnitTestFunction test,
                                                      CMFixtureFunction fixture, void **state) {
    running.verdict = FAILED; /* volatile in effect: read after the jump only */
    running.thread = thread_current();
    if (__builtin_setjmp(running.back) == 0) {
        if (test != NULL)
            test(state);
        running.verdict = fixture == NULL || fixture(state) == 0 ? PASSED : FAILED;
    }
    running.thread = NULL;
    return running.verdict;
}

static enum verdict run_test(const struct CMUnitTest *test, void *state) {
    if (test->setup_func != NULL) {
        enum verdict setup = guarded(NULL, test->setup_func, &state);
        if (setup != PASSED) {
            printf("# the test's setup %s\n", setup == FAILED ? "failed" : "skipped it");
            return setup;
        }
    }
    enum verdict verdict = guarded(test->test_func, NULL, &state);
    if (test->teardown_func != NULL && guarded(NULL, test->teardown_func, &state) == FAILED) {
        printf("# the test's teardown failed\n");
        verdict = FAILED;
    }
    return verdict;
}

static void report(const char *name, enum verdict verdict, const char *reason) {
    tally.passed += verdict == PASSED;
    tally.failed += verdict == FAILED;
    tally.skipped += verdict == SKIPPED;
    printf("%s %u - %s: %s%s%s\n", verdict == FAILED ? "not ok" : "ok",
           tally.passed + tally.failed + tally.skipped, program_now, name,
           verdict == SKIPPED ? " # SKIP " : "", verdict == SKIPPED ? reason : "");
}

int cmocka_run(const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
               CMFixtureFunction teardown) {
    void *group_state = NULL;
    unsigned failed_before = tally.failed;
    if (setup != NULL && guarded(NULL, setup, &group_state) != PASSED) {
        report("(setup of the group)", FAILED, "");
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        const char *reason = left_out(tests[i].name);
        void *state = tests[i].initial_state != NULL ? tests[i].initial_state : group_state;
        printf("# run %s: %s\n", program_now, tests[i].name);
        enum verdict verdict = reason != NULL ? SKIPPED : run_test(&tests[i], state);
        report(tests[i].name, verdict, reason != NULL ? reason : "the test says so");
    }
    if (teardown != NULL && guarded(NULL, teardown, &group_state) != PASSED)
        report("(teardown of the group)", FAILED, "");
    return (int)(tally.failed - failed_before);
}
