/* Test of log: one whole line per call, levels, names, sinks that change under load, and
 * an assertion that stops the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/log.h"
#include "tests/lib/log_capture.h"

static int fresh_log(void **state) {
    (void)state;
    gmk_log_level(GMK_LOG_DEFAULT);
    log_set_namer(NULL);
    log_capture_start();
    return 0;
}

static int log_back(void **state) {
    (void)state;
    log_capture_end();
    return 0;
}

static void a_line_has_time_level_module_and_text(void **state) {
    (void)state;
    log_line(GMK_LOG_WARN, "cats", "%d of %s", 3, "nine");
    const char *text = strstr(log_captured, "] ");
    assert_non_null(text);
    assert_string_equal(text, "] warn  cats: 3 of nine\n");
    /* Seconds, a point, and six digits of a second: "[   0.001234] ". */
    assert_int_equal(log_captured[0], '[');
    assert_true(text - log_captured >= 12);
    assert_int_equal(text[-7], '.');
    assert_int_equal(strspn(text - 6, "0123456789"), 6);
    assert_true(strspn(log_captured + 1, " 0123456789") == (size_t)(text - 8 - log_captured));
}

static void levels_let_through_what_is_at_least_as_urgent(void **state) {
    (void)state;
    const enum gmk_log_level levels[] = {GMK_LOG_DEFAULT, GMK_LOG_ERROR, GMK_LOG_WARN, GMK_LOG_INFO,
                                         GMK_LOG_DEBUG};
    const unsigned lines[] = {2, 1, 2, 3, 4};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        gmk_log_level(levels[i]);
        log_capture_start();
        for (int level = GMK_LOG_ERROR; level <= GMK_LOG_DEBUG; level++)
            gmk_log(NULL, (enum gmk_log_level)level, "level %d", level);
        assert_int_equal(log_captured_lines, lines[i]);
    }
}

static void each_level_has_its_word(void **state) {
    (void)state;
    gmk_log_level((enum gmk_log_level)99); /* as much as there is */
    for (int level = GMK_LOG_ERROR; level <= GMK_LOG_DEBUG; level++)
        log_line((enum gmk_log_level)level, "m", "%d", level);
    assert_true(log_capture_has("] error m: 1\n"));
    assert_true(log_capture_has("] warn  m: 2\n"));
    assert_true(log_capture_has("] info  m: 3\n"));
    assert_true(log_capture_has("] debug m: 4\n"));
}

static void longer_text_is_cut_and_marked(void **state) {
    (void)state;
    char text[2 * GMK_LOG_LINE_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    log_line(GMK_LOG_WARN, "m", "%s", text);
    assert_int_equal(log_captured_used, GMK_LOG_LINE_MAX);
    assert_memory_equal(&log_captured[GMK_LOG_LINE_MAX - 5], "x...\n", 5);
}

static void a_line_of_every_length_ends_in_one_newline(void **state) {
    (void)state;
    char text[GMK_LOG_LINE_MAX + 10];
    for (size_t length = 0; length < sizeof text; length++) {
        memset(text, 'x', sizeof text);
        text[length] = '\0';
        log_capture_start();
        log_line(GMK_LOG_WARN, "m", "%s", text);
        assert_true(log_captured_used <= GMK_LOG_LINE_MAX);
        assert_ptr_equal(strchr(log_captured, '\n'), &log_captured[log_captured_used - 1]);
        int cut = strstr(log_captured, "...") != NULL;
        /* The time takes more room on a machine that has been up for long. */
        const char *name = strstr(log_captured, " m: ");
        assert_non_null(name);
        size_t before = (size_t)(name - log_captured) + strlen(" m: ");
        int whole = before + length < GMK_LOG_LINE_MAX;
        assert_int_equal(cut, !whole);
    }
}

static void a_module_name_that_fills_the_line_is_cut_too(void **state) {
    (void)state;
    char name[2 * GMK_LOG_LINE_MAX];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    log_line(GMK_LOG_WARN, name, "text");
    assert_int_equal(log_captured_used, GMK_LOG_LINE_MAX);
    assert_memory_equal(&log_captured[GMK_LOG_LINE_MAX - 5], "n...\n", 5);
}

static void text_from_outside_cannot_forge_a_second_line(void **state) {
    (void)state;
    gmk_log(NULL, GMK_LOG_WARN, "%s", "a\n[   0.000000] error boot: b\r\x1b[31m\x7f\tc\n\n");
    assert_int_equal(log_captured_lines, 1);
    assert_true(log_capture_has("program: a [   0.000000] error boot: b  [31m  c\n"));
    assert_ptr_equal(strchr(log_captured, '\n'), &log_captured[log_captured_used - 1]);
}

static const char *name_by_index(const gmk_ctx_t *ctx) {
    return ctx->module == 7 ? "seven" : NULL;
}

static void a_line_is_named_after_the_module_that_wrote_it(void **state) {
    (void)state;
    gmk_ctx_t ctx = {.module = 7};
    gmk_log(&ctx, GMK_LOG_WARN, "no namer");
    log_set_namer(name_by_index);
    gmk_log(&ctx, GMK_LOG_WARN, "named");
    ctx.module = 8;
    gmk_log(&ctx, GMK_LOG_WARN, "unknown module");
    gmk_log(NULL, GMK_LOG_WARN, "no context");
    ctx.module = 7;
    ctx.sandbox = (struct sandbox *)&ctx; /* only asked whether it is there */
    gmk_log(&ctx, GMK_LOG_WARN, "in a sandbox");
    assert_true(log_capture_has(" program: no namer\n"));
    assert_true(log_capture_has(" seven: named\n"));
    assert_true(log_capture_has(" program: unknown module\n"));
    assert_true(log_capture_has(" program: no context\n"));
    assert_true(log_capture_has(" sandbox: in a sandbox\n"));
}

/* ---- Where lines go ------------------------------------------------------------------ */

/* Runs `fn` in a child whose standard error comes back in `text`; returns how it ended. */
static int in_child(void (*fn)(void), char *text, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGABRT, SIG_DFL);
        gmk_log_sink(NULL, NULL);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 0;
    while ((got = read(ends[0], &text[used], size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void child_logs(void) {
    gmk_log(NULL, GMK_LOG_WARN, "to the platform");
}

static void without_a_sink_lines_go_to_the_platforms_log(void **state) {
    (void)state;
    char text[1024];
    int status = in_child(child_logs, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(text, "warn  program: to the platform\n"));
}

static void child_asserts(void) {
    int lives = 8;
    K_ASSERT(lives == 8, "fine");
    K_ASSERT(lives == 9, "a cat has nine lives");
}

static void a_failed_assertion_stops_with_message_place_and_expression(void **state) {
    (void)state;
    char text[1024];
    int status = in_child(child_asserts, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_null(strstr(text, "fine"));
    assert_non_null(strstr(text, "error assert: a cat has nine lives (lives == 9 is false at "));
    assert_non_null(strstr(text, "tests/unit/test_log.c:"));
}

/* ---- Sinks that change while others log ----------------------------------------------- */

enum { SINK_CHANGES = 50000 };

static _Atomic int sinks_done;
static _Atomic unsigned long sink_lines;
static _Atomic unsigned long sink_mixed;
static int arg_a;
static int arg_b;

static void sink_a(void *arg, enum gmk_log_level level, const char *line, size_t length) {
    (void)level;
    (void)line;
    atomic_fetch_add_explicit(&sink_lines, length > 0, memory_order_relaxed);
    if (arg != &arg_a)
        atomic_fetch_add_explicit(&sink_mixed, 1, memory_order_relaxed);
}

static void sink_b(void *arg, enum gmk_log_level level, const char *line, size_t length) {
    (void)level;
    (void)line;
    atomic_fetch_add_explicit(&sink_lines, length > 0, memory_order_relaxed);
    if (arg != &arg_b)
        atomic_fetch_add_explicit(&sink_mixed, 1, memory_order_relaxed);
}

static void *logs_until_done(void *arg) {
    (void)arg;
    while (atomic_load_explicit(&sinks_done, memory_order_relaxed) == 0)
        gmk_log(NULL, GMK_LOG_WARN, "a line of %s", "some length");
    return NULL;
}

static void a_sink_never_gets_another_sinks_argument(void **state) {
    (void)state;
    pthread_t threads[2];
    atomic_store(&sinks_done, 0);
    gmk_log_sink(sink_a, &arg_a);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, logs_until_done, NULL), 0);
    for (int i = 0; i < SINK_CHANGES; i++) {
        gmk_log_sink(sink_b, &arg_b);
        gmk_log_sink(sink_a, &arg_a);
    }
    while (atomic_load(&sink_lines) == 0)
        sched_yield();
    atomic_store(&sinks_done, 1);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&sink_mixed), 0);
    assert_true(atomic_load(&sink_lines) > 0);
}

/* Changes the sink twice in the middle of whatever its thread is doing: the pair that a
 * line was just reading is replaced by the other one. */
static void change_twice(int signal_number) {
    static bool is_b;
    (void)signal_number;
    is_b = !is_b;
    for (int i = 0; i < 2; i++)
        gmk_log_sink(is_b ? sink_b : sink_a, is_b ? &arg_b : &arg_a);
}

static void a_sink_that_changes_in_the_middle_of_a_line_is_not_mixed_up(void **state) {
    (void)state;
    pthread_t thread;
    struct sigaction action = {.sa_handler = change_twice};
    struct sigaction before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    atomic_store(&sinks_done, 0);
    gmk_log_sink(sink_a, &arg_a);
    assert_int_equal(pthread_create(&thread, NULL, logs_until_done, NULL), 0);
    for (int i = 0; i < SINK_CHANGES; i++) {
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        sched_yield();
    }
    atomic_store(&sinks_done, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    assert_int_equal(atomic_load(&sink_mixed), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_log, log_back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_module_and_text),
        TEST(levels_let_through_what_is_at_least_as_urgent),
        TEST(each_level_has_its_word),
        TEST(longer_text_is_cut_and_marked),
        TEST(a_line_of_every_length_ends_in_one_newline),
        TEST(a_module_name_that_fills_the_line_is_cut_too),
        TEST(text_from_outside_cannot_forge_a_second_line),
        TEST(a_line_is_named_after_the_module_that_wrote_it),
        TEST(without_a_sink_lines_go_to_the_platforms_log),
        TEST(a_failed_assertion_stops_with_message_place_and_expression),
        TEST(a_sink_never_gets_another_sinks_argument),
        TEST(a_sink_that_changes_in_the_middle_of_a_line_is_not_mixed_up),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
