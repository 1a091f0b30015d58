/* Test of the kernel log in the kernel: lines of all CPUs, in threads and interrupts, stay whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/irq/irq.h"
#include "kernel/sched/thread.h"

static char tail[KLOG_KEEP + 1u];

static const char *read_tail(void) {
    tail[klog_tail(tail, sizeof tail - 1u)] = '\0';
    return tail;
}

static void a_line_has_time_level_and_module(void **state) {
    (void)state;
    klog_error("ktest", "the answer is %u", 42u);
    const char *line = strstr(read_tail(), "] error ktest: the answer is 42\n");
    assert_non_null(line);
    assert_int_equal(line[-7], '.');
}

static void lines_above_the_level_are_not_written(void **state) {
    (void)state;
    klog_level(GMK_LOG_WARN);
    klog_info("ktest", "too quiet to be heard");
    klog_warn("ktest", "loud enough");
    klog_level(GMK_LOG_INFO);
    assert_null(strstr(read_tail(), "too quiet"));
    assert_non_null(strstr(tail, "warn  ktest: loud enough\n"));
}

static void writing_leaves_interrupts_as_they_were(void **state) {
    (void)state;
    assert_true(arch_irq_enabled());
    klog_error("ktest", "interrupts on");
    assert_true(arch_irq_enabled());
    bool irq = arch_irq_disable();
    klog_error("ktest", "interrupts off");
    bool after = arch_irq_enabled();
    arch_irq_restore(irq);
    assert_false(after);
}

#define LINES 25u
#define MARK  "01234567890123456789" /* of one line: all of it, or none */

static void write_lines(void *arg) {
    for (unsigned i = 0; i < LINES; i++)
        klog_error("ktest", "cpu %u line %u " MARK, *(unsigned *)arg, i);
}

/* How many whole lines of a CPU there are. */
static unsigned count_lines(unsigned cpu) {
    unsigned count = 0;
    char wanted[64];
    for (unsigned i = 0; i < LINES; i++) {
        size_t length = 0;
        const char words[] = "error ktest: cpu ";
        memcpy(wanted, words, sizeof words - 1u);
        length = sizeof words - 1u;
        wanted[length++] = (char)('0' + cpu);
        memcpy(&wanted[length], " line ", 6);
        length += 6;
        if (i >= 10)
            wanted[length++] = (char)('0' + i / 10);
        wanted[length++] = (char)('0' + i % 10);
        memcpy(&wanted[length], " " MARK "\n", sizeof " " MARK "\n");
        count += strstr(tail, wanted) != NULL;
    }
    return count;
}

static void lines_of_all_cpus_stay_whole(void **state) {
    (void)state;
    static unsigned numbers[CPUS_MAX];
    struct thread *threads[4] = {NULL};
    unsigned cpus_used = cpu_count < 4 ? cpu_count : 4;
    for (unsigned i = 0; i < cpus_used; i++) {
        numbers[i] = i;
        threads[i] =
            thread_start("ktest-log", 0, THREAD_PRIORITY_NORMAL, (int)i, write_lines, &numbers[i]);
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < cpus_used; i++)
        thread_join(threads[i]);
    read_tail();
    for (unsigned i = 0; i < cpus_used; i++)
        assert_int_equal(count_lines(i), LINES);
}

static void log_in_interrupt(void *arg) {
    (void)arg;
    klog_error("ktest", "from an interrupt on CPU %u", cpu_this()->index);
}

static void an_interrupt_handler_may_log(void **state) {
    (void)state;
    if (cpu_count < 2)
        skip();
    ipi_call_others(log_in_interrupt, NULL);
    assert_non_null(strstr(read_tail(), "from an interrupt on CPU "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_and_module),
        cmocka_unit_test(lines_above_the_level_are_not_written),
        cmocka_unit_test(writing_leaves_interrupts_as_they_were),
        cmocka_unit_test(lines_of_all_cpus_stay_whole),
        cmocka_unit_test(an_interrupt_handler_may_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
