/* Test of timer capabilities: at the time, not before it, again and again without drift, and stopped. */
#include "tests/user/lib/utest.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

#define MS    UINT64_C(1000000)
#define TICKS 300u
#define MANY  64u

static gmk_handle_t n;

static uint64_t now(void) {
    return (uint64_t)sys_time();
}

static void a_timer_signals_once_and_not_before_its_time(void) {
    gmk_handle_t timer;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, 0x30));
    for (unsigned i = 0; i < 10; i++) {
        uint64_t at = now() + i * MS / 2;
        EXPECT_EQ(sys_timer_set(timer, at, 0), GMK_OK);
        EXPECT_EQ(sys_notify_wait(n, 0x10, GMK_FOREVER, &bits), GMK_OK);
        EXPECT(now() >= at);
        EXPECT_EQ(sys_notify_wait(n, 0x20, 0, &bits), GMK_OK); /* its other bit is there, too */
        EXPECT_EQ(sys_notify_wait(n, UINT64_MAX, MS, &bits), GMK_ETIMEOUT);
    }
    EXPECT_EQ(sys_timer_set(timer, 1, 0), GMK_OK); /* long past: at once */
    EXPECT_EQ(sys_notify_wait(n, UINT64_MAX, 1000 * MS, &bits), GMK_OK);
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* How late a tick is seen depends on the machine, and its load; but if the timer drifted, even the
 * promptest of the last hundred would be late by as many steps. */
static void periods_do_not_drift(void) {
    gmk_handle_t timer;
    uint64_t bits, least = UINT64_MAX;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, 1));
    uint64_t start = now() + MS;
    EXPECT_EQ(sys_timer_set(timer, start, MS), GMK_OK);
    for (unsigned i = 0; i < TICKS; i++) {
        EXPECT_EQ(sys_notify_wait(n, 1, 10000 * MS, &bits), GMK_OK);
        uint64_t at = now();
        EXPECT(at >= start + i * MS);
        uint64_t late = (at - start) % MS;
        least = i >= TICKS - 100 && late < least ? late : least;
    }
    EXPECT(least < MS / 5);
    EXPECT_EQ(sys_timer_set(timer, 0, 0), GMK_OK); /* stop */
    (void)sys_notify_wait(n, 1, 0, &bits);
    EXPECT_EQ(sys_notify_wait(n, 1, 5 * MS, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void many_timers_fire_each(void) {
    static gmk_handle_t timers[MANY];
    uint64_t bits, all = 0;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    uint64_t at = now() + 5 * MS;
    for (unsigned i = 0; i < MANY; i++) {
        EXPECT_GOOD(timers[i], sys_timer_create(GMK_SELF_FACTORY, n, UINT64_C(1) << i));
        EXPECT_EQ(sys_timer_set(timers[i], at + i % 3, 0), GMK_OK);
    }
    while (all != UINT64_MAX) {
        EXPECT_EQ(sys_notify_wait(n, UINT64_MAX, 1000 * MS, &bits), GMK_OK);
        EXPECT_EQ(all & bits, 0);
        all |= bits;
    }
    for (unsigned i = 0; i < MANY; i++)
        EXPECT_EQ(sys_cap_drop(timers[i]), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void dropping_it_or_its_notification_ends_the_signals(void) {
    gmk_handle_t timer, other;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, 1));
    EXPECT_EQ(sys_timer_set(timer, now() + MS, MS / 2), GMK_OK);
    EXPECT_EQ(sys_notify_wait(n, 1, GMK_FOREVER, &bits), GMK_OK);
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    (void)sys_notify_wait(n, 1, 0, &bits);
    EXPECT_EQ(sys_notify_wait(n, 1, 3 * MS, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(sys_timer_set(timer, 1, 0), GMK_EHANDLE);

    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, 1));
    EXPECT_EQ(sys_timer_set(timer, now() + MS, MS / 2), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
    EXPECT_GOOD(other, sys_notify_create(GMK_SELF_FACTORY)); /* perhaps in the same memory */
    EXPECT_EQ(sys_notify_wait(other, UINT64_MAX, 5 * MS, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    EXPECT_EQ(sys_cap_drop(other), GMK_OK);
}

static void wrong_arguments_are_refused(void) {
    gmk_handle_t timer, weak;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(weak, sys_cap_derive(n, GMK_RIGHT_READ, 0));
    EXPECT_EQ(sys_timer_create(GMK_SELF_FACTORY, weak, 1), GMK_ERIGHTS);
    EXPECT_EQ(sys_timer_create(GMK_SELF_FACTORY, n, 0), GMK_EINVAL);
    EXPECT_EQ(sys_timer_create(n, n, 1), GMK_ECAPTYPE);
    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, 1));
    EXPECT_EQ(sys_timer_set(timer, 1, 1), GMK_EINVAL);
    EXPECT_EQ(sys_timer_set(timer, 1, GMK_TIMER_PERIOD_MIN_NS - 1), GMK_EINVAL);
    EXPECT_EQ(sys_timer_set(timer, 1, UINT64_MAX), GMK_EINVAL);
    EXPECT_EQ(sys_timer_set(n, 1, 0), GMK_ECAPTYPE);
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* ---- Races --------------------------------------------------------------------------------- */

static gmk_handle_t contested;
static _Atomic bool over;

static void set_and_stop(void *arg) {
    uint64_t step = (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&over)) {
        (void)sys_timer_set(contested, now() + step, GMK_TIMER_PERIOD_MIN_NS);
        (void)sys_timer_set(contested, now() + step * 3, 0);
        (void)sys_timer_set(contested, 0, 0);
    }
}

/* Nothing to see if all is well: the kernel's assertions and its lock order are the judges. */
static void threads_that_set_one_timer_at_once_leave_it_whole(void) {
    struct thread *threads[3];
    uint64_t bits, until = now() + 100 * MS;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(contested, sys_timer_create(GMK_SELF_FACTORY, n, 1));
    atomic_store(&over, false);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(thread_start(&threads[i], "setter", GMK_PRIORITY_NORMAL, 0, set_and_stop,
                               (void *)(uintptr_t)(1000 + i * 700)),
                  GMK_OK);
    while (now() < until)
        (void)sys_notify_wait(n, 1, MS, &bits);
    atomic_store(&over, true);
    for (unsigned i = 0; i < 3; i++)
        thread_join(threads[i]);
    EXPECT_EQ(sys_timer_set(contested, 0, 0), GMK_OK);
    (void)sys_notify_wait(n, 1, 0, &bits);
    EXPECT_EQ(sys_timer_set(contested, now() + MS, 0), GMK_OK);
    EXPECT_EQ(sys_notify_wait(n, 1, 1000 * MS, &bits), GMK_OK);
    EXPECT_EQ(sys_cap_drop(contested), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(a_timer_signals_once_and_not_before_its_time),
    UTEST(periods_do_not_drift),
    UTEST(many_timers_fire_each),
    UTEST(dropping_it_or_its_notification_ends_the_signals),
    UTEST(wrong_arguments_are_refused),
    UTEST(threads_that_set_one_timer_at_once_leave_it_whole),
};

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    return UTEST_RUN(tests);
}
