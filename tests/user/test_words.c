/* Test of words of memory: waiting, waking, and the locks that are made of them. */
#include "tests/user/lib/utest.h"
#include "user/lib/memory.h"
#include "user/lib/mutex.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

#define MS      UINT64_C(1000000)
#define THREADS 4u
#define TURNS   3000u
#define STORES  500u /* each may cost a change of CPUs: slow where CPUs share a busy host */
#define CROWD   40u  /* more than one wake takes */

static _Atomic uint32_t word;

static void another_value_is_told_at_once(void) {
    atomic_store(&word, 5);
    EXPECT_EQ(sys_word_wait(&word, 6, GMK_FOREVER), GMK_EAGAIN);
    EXPECT_EQ(sys_word_wait(&word, 6, 0), GMK_EAGAIN);
    EXPECT_EQ(sys_word_wait(&word, 5, 0), GMK_ETIMEOUT);
    EXPECT_EQ(sys_word_wake(&word, 100), 0);
}

static void a_limit_ends_a_wait(void) {
    atomic_store(&word, 5);
    for (unsigned i = 1; i <= 5; i++) {
        uint64_t start_ns = (uint64_t)sys_time();
        EXPECT_EQ(sys_word_wait(&word, 5, i * MS), GMK_ETIMEOUT);
        EXPECT((uint64_t)sys_time() - start_ns >= i * MS);
    }
}

static void addresses_that_cannot_be_are_refused(void) {
    _Atomic uint32_t *const at = &word;
    const struct {
        uint64_t address;
        int64_t status;
    } bad[] = {{(uintptr_t)at + 1, GMK_EINVAL},
               {(uintptr_t)at + 2, GMK_EINVAL},
               {0, GMK_EFAULT},
               {0x1000, GMK_EFAULT},
               {GMK_USER_MAX, GMK_EFAULT},
               {0x800000000000, GMK_EFAULT},
               {0xffff800000000000, GMK_EFAULT},
               {0xffffffff80200000, GMK_EFAULT},
               {UINT64_C(0xfffffffffffffffc), GMK_EFAULT}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const _Atomic uint32_t *there = (const _Atomic uint32_t *)bad[i].address;
        EXPECT_EQ(sys_word_wait(there, 0, GMK_FOREVER), bad[i].status);
        EXPECT_EQ(sys_word_wait(there, 0, 0), bad[i].status);
        EXPECT_EQ(sys_word_wake(there, 1), bad[i].status);
    }
    /* Plausible, but nothing is mapped there. */
    const _Atomic uint32_t *there = (const _Atomic uint32_t *)0x123456780000;
    EXPECT_EQ(sys_word_wait(there, 0, GMK_FOREVER), GMK_EFAULT);
    EXPECT_EQ(sys_word_wake(there, 1), 0);
}

/* ---- Waiters ------------------------------------------------------------------------------ */

static _Atomic uint32_t gone;

static void sleep_on_word(void *arg) {
    (void)arg;
    while (atomic_load(&word) == 0)
        (void)sys_word_wait(&word, 0, GMK_FOREVER);
    (void)atomic_fetch_add(&gone, 1);
}

static void all_who_sleep_are_woken_in_bounded_calls(void) {
    static struct thread *threads[CROWD];
    gmk_thread_info_t info;
    atomic_store(&word, 0);
    atomic_store(&gone, 0);
    for (unsigned i = 0; i < CROWD; i++)
        EXPECT_EQ(thread_start(&threads[i], "sleeper", GMK_PRIORITY_NORMAL, 0, sleep_on_word, NULL),
                  GMK_OK);
    for (unsigned i = 0; i < CROWD; i++)
        do {
            (void)sys_yield();
            EXPECT_EQ(sys_thread_info(threads[i]->handle, &info), GMK_OK);
        } while (info.state != GMK_THREAD_BLOCKED);
    EXPECT_EQ(sys_word_wake(&word, 0), 0);
    EXPECT_EQ(sys_thread_kill(threads[0]->handle, -1), GMK_OK); /* killed where it sleeps */
    atomic_store(&word, 1);
    EXPECT_EQ(sys_word_wake(&word, 3), 3);
    EXPECT_EQ(sys_word_wake(&word, UINT32_MAX), GMK_WORD_WAKE_MAX);
    EXPECT_EQ(sys_word_wake(&word, UINT32_MAX), CROWD - 1 - 3 - GMK_WORD_WAKE_MAX);
    for (unsigned i = 1; i < CROWD; i++)
        thread_join(threads[i]);
    EXPECT_EQ(atomic_load(&gone), CROWD - 1);
}

static _Atomic uint32_t *fresh_word;

static void change_fresh_word(void *arg) {
    (void)arg;
    atomic_store(fresh_word, 1);
    (void)sys_word_wake(fresh_word, 1);
}

/* The kernel's look at the word is the first touch of its page. */
static void a_word_on_a_page_that_was_never_touched_can_be_waited_for(void) {
    for (unsigned i = 0; i < 20; i++) {
        struct thread *thread;
        uint64_t page;
        EXPECT_EQ(memory_new(4096, GMK_PROT_READ | GMK_PROT_WRITE, &page), GMK_OK);
        fresh_word = (_Atomic uint32_t *)page;
        EXPECT_EQ(thread_start(&thread, "changer", GMK_PRIORITY_NORMAL, 0, change_fresh_word, NULL),
                  GMK_OK);
        while (sys_word_wait(fresh_word, 0, GMK_FOREVER) != GMK_EAGAIN)
            continue;
        EXPECT_EQ(atomic_load(fresh_word), 1);
        thread_join(thread);
        EXPECT_EQ(memory_free(page, 4096), GMK_OK);
    }
}

/* ---- Locks of them -------------------------------------------------------------------------- */

static struct mutex mutex;
static struct cond cond;
static uint64_t counter, left, right;

static void count_up(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < TURNS; i++) {
        mutex_lock(&mutex);
        uint64_t before = counter;
        if (i % 64 == 0)
            (void)sys_yield(); /* so that others come in between, if they can */
        counter = before + 1;
        mutex_unlock(&mutex);
    }
}

static void a_mutex_lets_one_in_at_a_time(void) {
    struct thread *threads[THREADS];
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(thread_start(&threads[i], "counter",
                               i % 2 == 0 ? GMK_PRIORITY_NORMAL : GMK_PRIORITY_HIGH, 0, count_up,
                               NULL),
                  GMK_OK);
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    EXPECT_EQ(counter, THREADS * TURNS);
}

/* A store of four places between makers and takers. */
static void make(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < STORES; i++) {
        mutex_lock(&mutex);
        while (left - right == 4)
            (void)cond_wait(&cond, &mutex, GMK_FOREVER);
        left++;
        cond_broadcast(&cond);
        mutex_unlock(&mutex);
    }
}

static void take(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < STORES; i++) {
        mutex_lock(&mutex);
        while (left == right)
            (void)cond_wait(&cond, &mutex, i % 2 == 0 ? GMK_FOREVER : MS);
        right++;
        cond_broadcast(&cond);
        mutex_unlock(&mutex);
    }
}

static void a_condition_variable_misses_nobody(void) {
    struct thread *threads[THREADS];
    left = right = 0;
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(thread_start(&threads[i], "store", GMK_PRIORITY_NORMAL, 0,
                               i % 2 == 0 ? make : take, NULL),
                  GMK_OK);
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    EXPECT_EQ(left, THREADS / 2 * STORES);
    EXPECT_EQ(right, left);
}

/* The program ends while they sleep: the runner sees that it does, and that nothing is left behind. */
static void threads_that_sleep_do_not_keep_a_program_alive(void) {
    static _Atomic uint32_t never;
    struct thread *thread;
    atomic_store(&word, 0);
    EXPECT_EQ(thread_start(&thread, "left", GMK_PRIORITY_NORMAL, 0, sleep_on_word, NULL), GMK_OK);
    EXPECT_EQ(sys_word_wait(&never, 0, MS), GMK_ETIMEOUT);
}

static const struct utest tests[] = {
    UTEST(another_value_is_told_at_once),
    UTEST(a_limit_ends_a_wait),
    UTEST(addresses_that_cannot_be_are_refused),
    UTEST(all_who_sleep_are_woken_in_bounded_calls),
    UTEST(a_word_on_a_page_that_was_never_touched_can_be_waited_for),
    UTEST(a_mutex_lets_one_in_at_a_time),
    UTEST(a_condition_variable_misses_nobody),
    UTEST(threads_that_sleep_do_not_keep_a_program_alive),
};

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    return UTEST_RUN(tests);
}
