/* Test of notifications: who is woken with which bits, how soon, and what ends a wait. */
#include "tests/user/lib/utest.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

#define MS     UINT64_C(1000000)
#define BIT(n) (UINT64_C(1) << (n))
#define MANY   32u /* NOTIFY_WAITERS_MAX of the kernel */
#define LOW    GMK_PRIORITY_NORMAL
#define HIGH   GMK_PRIORITY_HIGH
#define ROUNDS 2000u
#define ANY    UINT64_MAX

/* A thread that waits once and tells what it got. */
struct waiter {
    struct thread *thread;
    gmk_handle_t notify;
    uint64_t mask, timeout, bits;
    int64_t status;
    _Atomic uint32_t done; /* its place among all */
};
static _Atomic uint32_t places;

static void wait_once(void *arg) {
    struct waiter *w = arg;
    w->status = sys_notify_wait(w->notify, w->mask, w->timeout, &w->bits);
    atomic_store(&w->done, atomic_fetch_add(&places, 1) + 1);
}

static int64_t state_of(const struct waiter *w) {
    gmk_thread_info_t info;
    int64_t status = sys_thread_info(w->thread->handle, &info);
    return status < 0 ? status : (int64_t)info.state;
}

/* Starts it and returns once it waits. */
static bool start(struct waiter *w, gmk_handle_t notify, uint64_t mask, unsigned priority) {
    w->notify = notify;
    w->mask = mask;
    w->timeout = w->timeout != 0 ? w->timeout : GMK_FOREVER;
    atomic_store(&w->done, 0);
    if (thread_start(&w->thread, "waiter", priority, 0, wait_once, w) != GMK_OK)
        return false;
    while (state_of(w) != GMK_THREAD_BLOCKED && atomic_load(&w->done) == 0)
        (void)sys_yield();
    return true;
}

static void bits_stay_until_somebody_wants_them(void) {
    gmk_handle_t n;
    uint64_t bits = 99;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_notify_wait(n, ANY, 0, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(bits, 0);
    EXPECT_EQ(sys_notify_signal(n, BIT(1) | BIT(63)), GMK_OK);
    EXPECT_EQ(sys_notify_signal(n, BIT(1) | BIT(4)), GMK_OK);
    EXPECT_EQ(sys_notify_wait(n, BIT(1) | BIT(2), GMK_FOREVER, &bits), GMK_OK);
    EXPECT_EQ(bits, BIT(1));
    EXPECT_EQ(sys_notify_wait(n, BIT(1), 0, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(sys_notify_wait(n, ANY, GMK_FOREVER, &bits), GMK_OK);
    EXPECT(bits == (BIT(63) | BIT(4)));
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void each_waiter_gets_the_bits_of_its_mask(void) {
    static struct waiter w[MANY];
    gmk_handle_t n;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < MANY; i++)
        EXPECT(start(&w[i], n, BIT(i), LOW));
    EXPECT_EQ(sys_notify_wait(n, BIT(40), GMK_FOREVER, &bits), GMK_ELIMIT); /* one too many */
    EXPECT_EQ(sys_notify_signal(n, BIT(5)), GMK_OK);
    thread_join(w[5].thread);
    EXPECT_EQ(w[5].bits, BIT(5));
    for (unsigned i = 0; i < MANY; i++)
        EXPECT(i == 5 || atomic_load(&w[i].done) == 0);
    EXPECT_EQ(sys_notify_signal(n, ANY), GMK_OK);
    for (unsigned i = 0; i < MANY; i++) {
        if (i != 5)
            thread_join(w[i].thread);
        EXPECT_EQ(w[i].status, GMK_OK);
        EXPECT(w[i].bits == BIT(i));
    }
    EXPECT_EQ(sys_notify_wait(n, ANY, 0, &bits), GMK_OK); /* what nobody wanted, and bit 5 again */
    EXPECT(bits == (ANY << MANY | BIT(5)));
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void the_first_come_gets_the_bits(void) {
    static struct waiter w[3];
    gmk_handle_t n;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 3; i++)
        EXPECT(start(&w[i], n, BIT(1) | BIT(i + 2), LOW));
    EXPECT_EQ(sys_notify_signal(n, BIT(1) | BIT(4)), GMK_OK);
    thread_join(w[0].thread);
    thread_join(w[2].thread);
    EXPECT_EQ(w[0].bits, BIT(1));
    EXPECT_EQ(w[2].bits, BIT(4));
    EXPECT_EQ(atomic_load(&w[1].done), 0);
    EXPECT_EQ(sys_notify_signal(n, BIT(1)), GMK_OK);
    thread_join(w[1].thread);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* On one CPU the signaller goes on only when the more urgent one waits again; on several, that one
 * may have waited elsewhere: then it is ready at least. */
static void a_more_urgent_waiter_runs_before_the_signaller_goes_on(void) {
    static struct waiter w;
    gmk_handle_t n;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 50; i++) {
        EXPECT(start(&w, n, ANY, HIGH));
        EXPECT_EQ(sys_notify_signal(n, BIT(i)), GMK_OK);
        uint32_t done = atomic_load(&w.done);
        EXPECT(done != 0 || state_of(&w) != GMK_THREAD_BLOCKED);
        thread_join(w.thread);
        EXPECT_EQ(w.status, GMK_OK);
        EXPECT(w.bits == BIT(i));
    }
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* ---- Back and forth --------------------------------------------------------------------- */

static gmk_handle_t ping, pong;
static bool in_one;

static void partner(void *arg) {
    uint64_t bits;
    (void)arg;
    (void)sys_notify_wait(ping, ANY, GMK_FOREVER, &bits);
    for (unsigned i = 1; i < ROUNDS; i++) {
        if (bits != i)
            return;
        if (in_one) {
            (void)sys_notify_signal_wait(pong, ping, i + 1, ANY, GMK_FOREVER, &bits);
        } else {
            (void)sys_notify_signal(pong, i + 1);
            (void)sys_notify_wait(ping, ANY, GMK_FOREVER, &bits);
        }
    }
    (void)sys_notify_signal(pong, bits + 1);
}

static void rounds_with(unsigned priority, bool one_call) {
    struct thread *thread;
    uint64_t bits;
    in_one = one_call;
    EXPECT_GOOD(ping, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(pong, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_EQ(thread_start(&thread, "partner", priority, 0, partner, NULL), GMK_OK);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        if (one_call) {
            EXPECT_EQ(sys_notify_signal_wait(ping, pong, i, ANY, 10000 * MS, &bits), GMK_OK);
        } else {
            EXPECT_EQ(sys_notify_signal(ping, i), GMK_OK);
            EXPECT_EQ(sys_notify_wait(pong, ANY, 10000 * MS, &bits), GMK_OK);
        }
        EXPECT_EQ(bits, i + 1);
    }
    thread_join(thread);
    EXPECT_EQ(sys_cap_drop(ping), GMK_OK);
    EXPECT_EQ(sys_cap_drop(pong), GMK_OK);
}

static void signals_go_back_and_forth(void) {
    rounds_with(LOW, false);
    rounds_with(HIGH, false);
}

static void they_do_in_one_call_each(void) {
    rounds_with(LOW, true);
    rounds_with(HIGH, true);
}

/* ---- Time -------------------------------------------------------------------------------- */

static void a_wait_lasts_as_long_as_its_limit_says(void) {
    gmk_handle_t n;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 1; i <= 5; i++) {
        uint64_t start_ns = (uint64_t)sys_time();
        EXPECT_EQ(sys_notify_wait(n, ANY, i * MS, &bits), GMK_ETIMEOUT);
        EXPECT((uint64_t)sys_time() - start_ns >= i * MS);
        EXPECT_EQ(bits, 0);
    }
    EXPECT_EQ(sys_notify_signal(n, 1), GMK_OK);
    EXPECT_EQ(sys_notify_wait(n, ANY, 0, &bits), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* The timer of a wait that ended in time is left to itself: it must not end the next one. */
static void a_limit_of_an_earlier_wait_ends_no_later_one(void) {
    static struct waiter w;
    gmk_handle_t n, timer;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(timer, sys_timer_create(GMK_SELF_FACTORY, n, BIT(7)));
    for (unsigned i = 0; i < 20; i++) {
        EXPECT_EQ(sys_notify_signal(n, 1), GMK_OK);
        EXPECT_EQ(sys_notify_wait(n, BIT(0), MS, &bits), GMK_OK);
        w.timeout = MS; /* one more that is signalled in time */
        EXPECT(start(&w, n, BIT(0), LOW));
        EXPECT_EQ(sys_notify_signal(n, 1), GMK_OK);
        thread_join(w.thread);
        EXPECT_EQ(sys_timer_set(timer, (uint64_t)sys_time() + 3 * MS, 0), GMK_OK);
        EXPECT_EQ(sys_notify_wait(n, BIT(7), GMK_FOREVER, &bits), GMK_OK);
        EXPECT_EQ(bits, BIT(7));
    }
    w.timeout = 0;
    EXPECT_EQ(sys_cap_drop(timer), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* ---- Ends ---------------------------------------------------------------------------------- */

static void who_waits_when_it_ends_is_told(void) {
    static struct waiter w[8];
    gmk_handle_t n;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 8; i++)
        EXPECT(start(&w[i], n, ANY, i % 2 == 0 ? LOW : HIGH));
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
    for (unsigned i = 0; i < 8; i++) {
        thread_join(w[i].thread);
        EXPECT_EQ(w[i].status, GMK_EHANDLE);
    }
    EXPECT_EQ(sys_notify_signal(n, 1), GMK_EHANDLE);
    EXPECT_EQ(sys_notify_wait(n, 1, GMK_FOREVER, &bits), GMK_EHANDLE);
}

static void a_thread_that_is_killed_in_its_wait_takes_no_bits(void) {
    static struct waiter w[2];
    gmk_handle_t n;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT(start(&w[0], n, ANY, LOW));
    EXPECT(start(&w[1], n, ANY, LOW));
    EXPECT_EQ(sys_thread_kill(w[0].thread->handle, -1), GMK_OK);
    EXPECT_EQ(sys_notify_signal(n, 4), GMK_OK);
    thread_join(w[1].thread);
    EXPECT_EQ(w[1].bits, 4);
    EXPECT_EQ(atomic_load(&w[0].done), 0);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void a_thread_that_is_suspended_in_its_wait_goes_on_when_it_is_resumed(void) {
    static struct waiter w;
    gmk_handle_t n;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT(start(&w, n, ANY, HIGH));
    EXPECT_EQ(sys_thread_suspend(w.thread->handle), GMK_OK);
    EXPECT_EQ(sys_notify_signal(n, 4), GMK_OK);
    uint64_t until = (uint64_t)sys_time() + 2 * MS;
    while ((uint64_t)sys_time() < until)
        (void)sys_yield();
    EXPECT_EQ(atomic_load(&w.done), 0);
    EXPECT_EQ(sys_thread_resume(w.thread->handle), GMK_OK);
    thread_join(w.thread);
    EXPECT_EQ(w.status, GMK_OK);
    EXPECT_EQ(w.bits, 4);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

static void wrong_arguments_are_refused(void) {
    gmk_handle_t n, look, tell;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(look, sys_cap_derive(n, GMK_RIGHT_READ, 0));
    EXPECT_GOOD(tell, sys_cap_derive(n, GMK_RIGHT_WRITE, 0));
    EXPECT_EQ(sys_notify_signal(look, 1), GMK_ERIGHTS);
    EXPECT_EQ(sys_notify_wait(tell, 1, 0, &bits), GMK_ERIGHTS);
    EXPECT_EQ(sys_notify_signal(GMK_SELF_UNIT, 1), GMK_ECAPTYPE);
    EXPECT_EQ(sys_notify_signal(0, 1), GMK_EHANDLE);
    EXPECT_EQ(sys_notify_wait(n + 256, 1, 0, &bits), GMK_EHANDLE);
    EXPECT_EQ(sys_notify_wait(n, 0, GMK_FOREVER, &bits), GMK_EINVAL);
    EXPECT_EQ(sys_notify_signal_wait(n, n, 1, 0, GMK_FOREVER, &bits), GMK_EINVAL);
    EXPECT_EQ(sys_notify_signal_wait(look, look, 1, 1, 0, &bits), GMK_ERIGHTS);
    EXPECT_EQ(sys_notify_signal_wait(tell, tell, 1, 1, 0, &bits), GMK_ERIGHTS);
    EXPECT_EQ(sys_notify_wait(n, ANY, 0, &bits), GMK_ETIMEOUT); /* nothing was set */
    EXPECT_EQ(sys_notify_signal_wait(tell, look, 3, 1, 0, &bits), GMK_OK);
    EXPECT_EQ(bits, 1);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
    EXPECT_EQ(sys_notify_signal(tell, 1), GMK_EHANDLE); /* derived from what was dropped */
}

/* ---- Many at once ------------------------------------------------------------------------------- */

#define WORKERS 4u
static gmk_handle_t shared, answer;
static _Atomic uint32_t taken[WORKERS];

static void take_bits(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t bits;
    for (;;) {
        int64_t status = sys_notify_wait(shared, BIT(me) | BIT(60), 5000 * MS, &bits);
        if (status != GMK_OK || (bits & BIT(60)) != 0)
            break;
        (void)atomic_fetch_add(&taken[me], 1);
        (void)sys_notify_signal(answer, BIT(me));
    }
    (void)sys_notify_signal(shared, BIT(60)); /* to the next */
}

/* Every signal is answered before its bit is given again: none may be lost. */
static void no_signal_is_lost_among_threads_that_run_at_once(void) {
    struct thread *thread[WORKERS];
    uint64_t bits, free_bits = BIT(WORKERS) - 1, sent[WORKERS] = {0};
    EXPECT_GOOD(shared, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(answer, sys_notify_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT_EQ(thread_start(&thread[i], "taker", i % 2 == 0 ? LOW : HIGH, 0, take_bits,
                               (void *)(uintptr_t)i),
                  GMK_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < WORKERS; i++)
            sent[i] += free_bits >> i & 1;
        EXPECT_EQ(sys_notify_signal(shared, free_bits), GMK_OK);
        EXPECT_EQ(sys_notify_wait(answer, ANY, 5000 * MS, &bits), GMK_OK);
        free_bits = bits;
    }
    for (unsigned left = WORKERS - (unsigned)__builtin_popcountll(free_bits); left != 0;) {
        EXPECT_EQ(sys_notify_wait(answer, ANY, 5000 * MS, &bits), GMK_OK);
        left -= (unsigned)__builtin_popcountll(bits);
    }
    EXPECT_EQ(sys_notify_signal(shared, BIT(60)), GMK_OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        thread_join(thread[i]);
        EXPECT_EQ(atomic_load(&taken[i]), sent[i]);
    }
    EXPECT_EQ(sys_cap_drop(shared), GMK_OK);
    EXPECT_EQ(sys_cap_drop(answer), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(bits_stay_until_somebody_wants_them),
    UTEST(each_waiter_gets_the_bits_of_its_mask),
    UTEST(the_first_come_gets_the_bits),
    UTEST(a_more_urgent_waiter_runs_before_the_signaller_goes_on),
    UTEST(signals_go_back_and_forth),
    UTEST(they_do_in_one_call_each),
    UTEST(a_wait_lasts_as_long_as_its_limit_says),
    UTEST(a_limit_of_an_earlier_wait_ends_no_later_one),
    UTEST(who_waits_when_it_ends_is_told),
    UTEST(a_thread_that_is_killed_in_its_wait_takes_no_bits),
    UTEST(a_thread_that_is_suspended_in_its_wait_goes_on_when_it_is_resumed),
    UTEST(wrong_arguments_are_refused),
    UTEST(no_signal_is_lost_among_threads_that_run_at_once),
};

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    return UTEST_RUN(tests);
}
