/* Test of hal/linux: every function of hal.h keeps what the page promises. */
#define _GNU_SOURCE 1

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hal/hal.h"

#define MS UINT64_C(1000000)

static void start(struct hal_thread *thread, void (*fn)(void *arg), void *arg) {
    assert_int_equal(hal_thread_start(thread, "test", 0, -1, fn, arg), 0);
}

/* ---- Time ----------------------------------------------------------------------- */

static void both_clocks_rise_and_agree_on_their_rate(void **state) {
    (void)state;
    uint64_t khz = hal_cycles_khz();
    assert_true(khz > 0);
    assert_int_equal(hal_cycles_khz(), khz);
    uint64_t ns0 = hal_now_ns(), cycles0 = hal_cycles();
    uint64_t ns = ns0, cycles = cycles0;
    while (ns - ns0 < 20 * MS) {
        uint64_t next_ns = hal_now_ns(), next_cycles = hal_cycles();
        assert_true(next_ns >= ns);
        assert_true(next_cycles >= cycles);
        ns = next_ns;
        cycles = next_cycles;
    }
    uint64_t by_cycles = (cycles - cycles0) * 1000000u / khz;
    uint64_t off = by_cycles > ns - ns0 ? by_cycles - (ns - ns0) : ns - ns0 - by_cycles;
    if (off > (ns - ns0) / 20) { /* one preemption between the readings is forgiven */
        fail_msg("the counter says %llu ns, the clock %llu", (unsigned long long)by_cycles,
                 (unsigned long long)(ns - ns0));
    }
}

/* ---- Waiting -------------------------------------------------------------------- */

static void wait_returns_at_once_when_the_word_differs(void **state) {
    (void)state;
    _Atomic uint32_t word = 1;
    errno = 77;
    assert_true(hal_wait(&word, 0, HAL_FOREVER));
    assert_int_equal(errno, 77);
}

static void wait_ends_at_its_time_limit(void **state) {
    (void)state;
    _Atomic uint32_t word = 0;
    errno = 77;
    uint64_t from = hal_now_ns();
    assert_false(hal_wait(&word, 0, 3 * MS));
    assert_true(hal_now_ns() - from >= 3 * MS);
    assert_false(hal_wait(&word, 0, 0));
    assert_int_equal(errno, 77);
}

struct ping {
    _Atomic uint32_t word;
    _Atomic uint32_t answers;
};

static void answer(void *arg) {
    struct ping *p = arg;
    for (uint32_t n = 0; n < 1000; n++) {
        while (atomic_load(&p->word) == n) {
            hal_wait(&p->word, n, HAL_FOREVER);
        }
        atomic_fetch_add(&p->answers, 1);
        hal_wake(&p->answers, 1);
    }
}

static void a_wake_after_a_change_is_never_lost(void **state) {
    (void)state;
    struct ping p = {0};
    struct hal_thread thread;
    start(&thread, answer, &p);
    for (uint32_t n = 0; n < 1000; n++) {
        atomic_store(&p.word, n + 1);
        hal_wake(&p.word, 1);
        while (atomic_load(&p.answers) == n) {
            hal_wait(&p.answers, n, HAL_FOREVER);
        }
    }
    hal_thread_join(&thread);
}

static void wake_of_nobody_keeps_errno_and_takes_any_count(void **state) {
    (void)state;
    _Atomic uint32_t word = 0;
    errno = 77;
    hal_wake(&word, 0);
    hal_wake(&word, 1);
    hal_wake(&word, UINT32_MAX);
    assert_int_equal(errno, 77);
}

static void the_heavy_barrier_says_what_it_does(void **state) {
    (void)state;
    bool can = hal_barrier_is_asymmetric();
    assert_int_equal(hal_barrier_all(), can);
    assert_int_equal(hal_barrier_is_asymmetric(), can);
    hal_fence();
    hal_yield_cpu();
}

/* ---- Threads -------------------------------------------------------------------- */

struct seen {
    char name[32];
    unsigned cpu;
    bool quit_blocked, segv_blocked;
    void *local;
};

static void look_around(void *arg) {
    struct seen *seen = arg;
    sigset_t blocked;
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    seen->quit_blocked = sigismember(&blocked, SIGQUIT) == 1;
    seen->segv_blocked = sigismember(&blocked, SIGSEGV) == 1;
    seen->cpu = hal_cpu_current();
    seen->local = hal_local;
}

static void a_thread_has_its_name_its_cpu_and_no_signals(void **state) {
    (void)state;
    int value = 0;
    hal_local = &value;
    for (unsigned cpu = 0; cpu < hal_cpu_count(); cpu++) {
        struct seen seen = {.local = &seen};
        struct hal_thread thread;
        assert_int_equal(hal_thread_start(&thread, "a name that is much too long", 0, (int)cpu,
                                          look_around, &seen),
                         0);
        hal_thread_join(&thread);
        assert_string_equal(seen.name, "a name that is ");
        assert_int_equal(seen.cpu, cpu);
        assert_true(seen.quit_blocked);
        assert_false(seen.segv_blocked);
        assert_null(seen.local);
    }
    assert_ptr_equal(hal_local, &value);
    hal_local = NULL;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_int_equal(sigismember(&blocked, SIGQUIT), 0); /* the creator's mask is as before */
}

static void a_thread_that_cannot_start_leaves_out_alone(void **state) {
    (void)state;
    struct hal_thread thread = {{1, 2}};
    assert_int_equal(hal_thread_start(&thread, "x", 0, (int)hal_cpu_count(), look_around, NULL),
                     -EINVAL);
    assert_int_equal(thread.opaque[0], 1);
    assert_int_equal(thread.opaque[1], 2);
}

static void touch_stack(void *arg) {
    volatile unsigned char room[100 * 1024];
    for (size_t i = 0; i < sizeof room; i += 512) {
        room[i] = 1;
    }
    *(int *)arg = room[0];
}

static void stacks_have_the_size_asked_for_and_tiny_ones_still_work(void **state) {
    (void)state;
    struct hal_thread thread;
    struct seen seen = {.cpu = 0};
    int touched = 0;
    assert_int_equal(hal_thread_start(&thread, NULL, 1, -1, look_around, &seen), 0);
    hal_thread_join(&thread);
    assert_int_equal(hal_thread_start(&thread, NULL, 1000001, -1, touch_stack, &touched), 0);
    hal_thread_join(&thread);
    assert_int_equal(touched, 1);
}

static _Atomic unsigned ended;

static void count_end(void *value) {
    assert_null(hal_local);
    atomic_fetch_add((_Atomic unsigned *)value, 1);
}

static void wrong_end(void *value) {
    (void)value;
    fail_msg("the replaced function ran");
}

static void ask_for_end(void *arg) {
    hal_local_on_exit(wrong_end);
    hal_local_on_exit(count_end);
    hal_local = arg;
}

static void ask_for_end_without_value(void *arg) {
    (void)arg;
    hal_local_on_exit(wrong_end);
}

static void the_end_of_a_thread_is_told_once_and_only_with_a_value(void **state) {
    (void)state;
    struct hal_thread thread;
    start(&thread, ask_for_end, &ended);
    hal_thread_join(&thread);
    assert_int_equal(atomic_load(&ended), 1);
    start(&thread, ask_for_end_without_value, NULL);
    hal_thread_join(&thread);
    assert_int_equal(atomic_load(&ended), 1);
}

/* ---- Locks ---------------------------------------------------------------------- */

struct counted {
    struct hal_lock lock;
    uint64_t value; /* guarded by lock, and by nothing else */
};

static void add_many(void *arg) {
    struct counted *c = arg;
    for (int i = 0; i < 20000; i++) {
        hal_lock(&c->lock);
        c->value++;
        if (i % 1000 == 0) {
            hal_yield_cpu(); /* let the others run into the held lock */
        }
        hal_unlock(&c->lock);
    }
}

static void one_thread_at_a_time_holds_a_lock(void **state) {
    (void)state;
    struct counted c = {.value = 0};
    struct hal_thread threads[4];
    for (int i = 0; i < 4; i++) {
        start(&threads[i], add_many, &c);
    }
    for (int i = 0; i < 4; i++) {
        hal_thread_join(&threads[i]);
    }
    assert_int_equal(c.value, 80000);
    assert_int_equal(atomic_load(&c.lock.state), 0);
}

/* ---- Memory --------------------------------------------------------------------- */

static void pages_are_zero_aligned_and_refused_for_odd_sizes(void **state) {
    (void)state;
    static const size_t sizes[] = {4096, 12288, (size_t)2 << 20, ((size_t)5 << 20) + 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *pages = hal_pages_alloc(sizes[i]);
        assert_non_null(pages);
        size_t alignment = sizes[i] >= (size_t)2 << 20 ? (size_t)2 << 20 : 4096;
        assert_int_equal((uintptr_t)pages % alignment, 0);
        for (size_t at = 0; at < sizes[i]; at += 64) {
            assert_int_equal(pages[at], 0);
        }
        memset(pages, 1, sizes[i]);
        hal_pages_free(pages, sizes[i]);
    }
    assert_null(hal_pages_alloc(0));
    assert_null(hal_pages_alloc(100));
    assert_null(hal_pages_alloc(SIZE_MAX - 4095));
    assert_null(hal_pages_alloc((size_t)1 << 60));
    hal_pages_free(NULL, 4096);
}

/* ---- Last words ----------------------------------------------------------------- */

/* Runs fn in a child whose stderr is collected. Returns how the child ended. */
static int in_child(void (*fn)(void), char *text, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t n = 0;
    while (used + 1 < size && (n = read(ends[0], text + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void die(void) {
    signal(SIGABRT, SIG_DFL); /* not cmocka's */
    hal_panic("the reason");
}

static void speak_and_keep_errno(void) {
    errno = 77;
    hal_log_write("one ", 4);
    hal_log_write("", 0);
    hal_log_write("two and more", 3);
    close(STDERR_FILENO);
    hal_log_write("nobody", 6);
    _exit(errno == 77 ? 0 : 1);
}

static void panic_tells_why_and_aborts(void **state) {
    (void)state;
    char text[256];
    int status = in_child(die, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "gmk: panic: the reason\n"));
}

static void the_log_takes_bytes_and_keeps_errno(void **state) {
    (void)state;
    char text[256];
    int status = in_child(speak_and_keep_errno, text, sizeof text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(text, "one two");
}

static _Atomic int dumps[2], earlier;

static void on_dump(void *arg) {
    atomic_fetch_add((_Atomic int *)arg, 1);
    errno = 5;
}

static void on_earlier(int number) {
    (void)number;
    atomic_fetch_add(&earlier, 1);
}

static void a_dump_request_runs_until_it_is_taken_back(void **state) {
    (void)state;
    signal(SIGQUIT, on_earlier);
    assert_true(hal_on_dump_request(on_dump, (void *)&dumps[0]));
    errno = 77;
    raise(SIGQUIT);
    assert_int_equal(errno, 77);
    assert_int_equal(atomic_load(&dumps[0]), 1);
    assert_true(hal_on_dump_request(on_dump, (void *)&dumps[1])); /* replaces */
    raise(SIGQUIT);
    assert_int_equal(atomic_load(&dumps[0]), 1);
    assert_int_equal(atomic_load(&dumps[1]), 1);
    assert_int_equal(atomic_load(&earlier), 0);
    assert_true(hal_on_dump_request(NULL, NULL));
    raise(SIGQUIT);
    assert_int_equal(atomic_load(&earlier), 1); /* what was there before is back */
    assert_true(hal_on_dump_request(NULL, NULL));
    signal(SIGQUIT, SIG_DFL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_clocks_rise_and_agree_on_their_rate),
        cmocka_unit_test(wait_returns_at_once_when_the_word_differs),
        cmocka_unit_test(wait_ends_at_its_time_limit),
        cmocka_unit_test(a_wake_after_a_change_is_never_lost),
        cmocka_unit_test(wake_of_nobody_keeps_errno_and_takes_any_count),
        cmocka_unit_test(the_heavy_barrier_says_what_it_does),
        cmocka_unit_test(a_thread_has_its_name_its_cpu_and_no_signals),
        cmocka_unit_test(a_thread_that_cannot_start_leaves_out_alone),
        cmocka_unit_test(stacks_have_the_size_asked_for_and_tiny_ones_still_work),
        cmocka_unit_test(the_end_of_a_thread_is_told_once_and_only_with_a_value),
        cmocka_unit_test(one_thread_at_a_time_holds_a_lock),
        cmocka_unit_test(pages_are_zero_aligned_and_refused_for_odd_sizes),
        cmocka_unit_test(panic_tells_why_and_aborts),
        cmocka_unit_test(the_log_takes_bytes_and_keeps_errno),
        cmocka_unit_test(a_dump_request_runs_until_it_is_taken_back),
    };
    return cmocka_run_group_tests_name("hal_linux", tests, NULL, NULL);
}
