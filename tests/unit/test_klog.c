/* Test of the kernel log's memory: it keeps the newest bytes, whole lines side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "kernel/core/log.c"

static _Atomic uint64_t written; /* bytes that reached the consoles */

void console_write(const char *text, size_t length) {
    (void)text;
    atomic_fetch_add(&written, length);
}

static char tail[KLOG_KEEP + 16u];

static void the_tail_is_what_was_written_last(void **state) {
    (void)state;
    klog_write("hello ", 6);
    kprint("%s %d\n", "world", 42);
    size_t length = klog_tail(tail, sizeof tail);
    assert_true(length >= 15);
    assert_memory_equal(tail + length - 15, "hello world 42\n", 15);
    assert_int_equal(klog_tail(tail, 3), 3);
    assert_memory_equal(tail, "42\n", 3);
}

static void every_byte_reaches_the_consoles(void **state) {
    (void)state;
    uint64_t before = atomic_load(&written);
    klog_write("12345", 5);
    assert_int_equal(atomic_load(&written), before + 5);
}

static void the_oldest_bytes_give_way(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3 * KLOG_KEEP / 8; i++)
        kprint("%07u\n", i);
    assert_int_equal(klog_tail(tail, sizeof tail), KLOG_KEEP);
    for (unsigned i = 0; i < KLOG_KEEP / 8; i++)
        assert_int_equal(strtoul(tail + 8 * i, NULL, 10), 2 * KLOG_KEEP / 8 + i);
}

static void a_text_larger_than_the_memory_leaves_its_end(void **state) {
    (void)state;
    static char huge[2 * KLOG_KEEP];
    memset(huge, 'a', sizeof huge);
    memset(huge + KLOG_KEEP, 'b', KLOG_KEEP);
    klog_write(huge, sizeof huge);
    assert_int_equal(klog_tail(tail, sizeof tail), KLOG_KEEP);
    assert_memory_equal(tail, huge + KLOG_KEEP, KLOG_KEEP);
}

static void a_text_that_is_too_long_for_one_print_is_cut(void **state) {
    (void)state;
    static char text[1000];
    memset(text, 'x', sizeof text - 1u);
    uint64_t before = atomic_load(&written);
    kprint("%s", text);
    assert_int_equal(atomic_load(&written) - before, GMK_LOG_LINE_MAX - 1u);
}

#define WRITERS 4u
#define LINES   500000u

static _Atomic unsigned there; /* all begin together, else one may be done before the next runs */

static void *write_lines(void *arg) {
    atomic_fetch_add(&there, 1);
    while (atomic_load(&there) < WRITERS)
        sched_yield();
    char mark = (char)('a' + *(unsigned *)arg);
    char line[33];
    memset(line, mark, 31);
    line[31] = '\n';
    for (unsigned i = 0; i < LINES; i++)
        klog_write(line, 32);
    return NULL;
}

/* Every line has its own place: none is mixed with another one's. */
static void writers_do_not_mix_their_lines(void **state) {
    (void)state;
    while (atomic_load(&kept_end) % 32 != 0)
        klog_write("\n", 1);
    uint64_t before = atomic_load(&kept_end);
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&kept_end) - before, WRITERS * LINES * 32u);
    assert_int_equal(klog_tail(tail, sizeof tail), KLOG_KEEP);
    for (size_t at = 0; at < KLOG_KEEP; at += 32) {
        for (size_t i = 1; i < 31; i++)
            assert_int_equal(tail[at + i], tail[at]);
        assert_int_equal(tail[at + 31], '\n');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tail_is_what_was_written_last),
        cmocka_unit_test(every_byte_reaches_the_consoles),
        cmocka_unit_test(the_oldest_bytes_give_way),
        cmocka_unit_test(a_text_larger_than_the_memory_leaves_its_end),
        cmocka_unit_test(a_text_that_is_too_long_for_one_print_is_cut),
        cmocka_unit_test(writers_do_not_mix_their_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
