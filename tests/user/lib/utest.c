/* User test: runs a program's tests in turn, and counts. */
#include "tests/user/lib/utest.h"

#include "user/lib/print.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

static _Atomic bool failed; /* the test that is running; other threads may say so, too */

bool utest_true(bool good, const char *what, const char *file, int line) {
    if (good)
        return true;
    atomic_store_explicit(&failed, true, memory_order_relaxed);
    print("# %s:%d: not true: %s\n", file, line, what);
    return false;
}

bool utest_equal(int64_t is, int64_t expected, const char *what, const char *file, int line) {
    if (is == expected)
        return true;
    atomic_store_explicit(&failed, true, memory_order_relaxed);
    print("# %s:%d: %s is %lld%s%s, not %lld%s%s\n", file, line, what, (long long)is,
          is < 0 ? " " : "", is < 0 ? gmk_error_name((int)is) : "", (long long)expected,
          expected < 0 ? " " : "", expected < 0 ? gmk_error_name((int)expected) : "");
    return false;
}

void utest_note(const char *text, ...) {
    va_list args;
    va_start(args, text);
    print("# ");
    print_va(text, args);
    print("\n");
    va_end(args);
}

void utest_pause(void) {
    static _Atomic uint32_t never;
    (void)sys_word_wait(&never, 0, 1000000);
}

int utest_run(const struct utest *tests, unsigned count) {
    const char *program = start_name();
    unsigned passed = 0;
    for (unsigned i = 0; i < count; i++) {
        print("# run %s: %s\n", program, tests[i].name);
        atomic_store_explicit(&failed, false, memory_order_relaxed);
        tests[i].run();
        bool good = !atomic_load_explicit(&failed, memory_order_relaxed);
        print("%s %u - %s: %s\n", good ? "ok" : "not ok", i + 1, program, tests[i].name);
        passed += good;
    }
    return UTEST_STATUS(passed, count - passed);
}
