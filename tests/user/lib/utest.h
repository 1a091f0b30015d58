/* User test: what a test program in user mode is made of.
 *
 *     static void a_reply_goes_to_its_caller(void) {
 *         EXPECT_EQ(ipc_call(port, &m, GMK_FOREVER), GMK_OK);
 *     }
 *     static const struct utest tests[] = {UTEST(a_reply_goes_to_its_caller)};
 *     int main(void) {
 *         return UTEST_RUN(tests);
 *     }
 *
 * An expectation that fails ends its test, and says where and what. A test is named as a promise.
 * Programs run one after the other, each in a unit of its own (runner.c) that holds "console",
 * "system" (everything but power), "registry" and "initrd" under these names. When a program faults or
 * hangs, that is a failed test with its name. */
#pragma once

#include "ggmk/abi.h"

struct utest {
    const char *name;
    void (*run)(void);
};
#define UTEST(function) \
    { #function, function }
#define UTEST_RUN(tests) utest_run(tests, sizeof(tests) / sizeof((tests)[0]))

/* Prints a line for each; returns what main() must return. */
int utest_run(const struct utest *tests, unsigned count);
/* Of that result. */
#define UTEST_STATUS(passed, failed) ((int)((failed) << 16 | (passed)))
#define UTEST_PASSED(status)         ((unsigned)(status)&0xffffu)
#define UTEST_FAILED(status)         ((unsigned)(status) >> 16)

/* Remember a failure of the test that is running; false if there was one. */
bool utest_true(bool good, const char *what, const char *file, int line);
bool utest_equal(int64_t is, int64_t expected, const char *what, const char *file, int line);

/* In functions that return nothing; the rest of the function is left out after a failure. */
#define EXPECT(good)                                        \
    do {                                                    \
        if (!utest_true((good), #good, __FILE__, __LINE__)) \
            return;                                         \
    } while (0)
#define EXPECT_EQ(is, expected)                                                        \
    do {                                                                               \
        if (!utest_equal((int64_t)(is), (int64_t)(expected), #is, __FILE__, __LINE__)) \
            return;                                                                    \
    } while (0)
/* A result that is a handle, a size or the like: into a variable, or the test has failed. */
#define EXPECT_GOOD(variable, call)                                      \
    do {                                                                 \
        int64_t utest_result = (call);                                   \
        if (!utest_true(utest_result >= 0, #call, __FILE__, __LINE__)) { \
            utest_note("result %lld: %s", (long long)utest_result,       \
                       gmk_error_name((int)utest_result));               \
            return;                                                      \
        }                                                                \
        (variable) = (__typeof__(variable))utest_result;                 \
    } while (0)
/* A line that explains. */
void utest_note(const char *text, ...) __attribute__((format(printf, 1, 2)));
/* Sleeps for a millisecond, so that threads of any priority may run meanwhile. */
void utest_pause(void);
