/* Test of consoles and reports in the kernel: the screen beside the serial line, the trace's tail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/core/screen.h"
#include "kernel/debug/kdb.h"
#include "kernel/debug/report.h"
#include "lib/format.h"

#define COLUMNS 32u
#define ROWS    4u

static uint16_t grid[COLUMNS * ROWS];
static char seen[ROWS][COLUMNS + 1u];
static bool irq_was_on;

static uint32_t plain_glyph(uint32_t character) {
    return character < 0x7f ? character : '#';
}

static void keep_draw(uint32_t column, uint32_t row, uint32_t glyph, bool inverted) {
    (void)inverted;
    irq_was_on = irq_was_on || arch_irq_enabled();
    seen[row][column] = (char)glyph;
}

static void clear(void) {}

static void text_reaches_the_screen_with_interrupts_off(void **state) {
    (void)state;
    const struct screen_driver driver = {COLUMNS, ROWS, plain_glyph, clear, keep_draw};
    memset(seen, ' ', sizeof seen); /* an empty screen: blanks are not drawn again */
    screen_attach(&driver, grid);
    irq_was_on = false; /* attaching is the boot's business */
    console_write("# seen by both\n", 15);
    assert_int_equal(strncmp(seen[0], "# seen by both", 14), 0);
    assert_false(irq_was_on);
    assert_true(arch_irq_enabled());
}

static void bulk_data_is_kept_from_the_screen(void **state) {
    (void)state;
    console_write_serial("# serial only\n", 14);
    for (unsigned r = 0; r < ROWS; r++)
        assert_int_not_equal(strncmp(seen[r], "# serial only", 13), 0);
}

static void without_a_screen_text_goes_on(void **state) {
    (void)state;
    const struct screen_driver none = {0};
    screen_attach(&none, NULL);
    console_write("# the screen is gone\n", 21);
    for (unsigned r = 0; r < ROWS; r++)
        assert_int_not_equal(strncmp(seen[r], "# the screen", 12), 0);
}

/* ---- The tail of a trace ------------------------------------------------------------------ */

static char report[8192];
static size_t report_used;

static void collect(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    report_used += format_vstring(report + report_used, sizeof report - report_used, fmt, args);
    va_end(args);
    assert_true(report_used < sizeof report);
}

static void the_newest_events_of_each_cpu_can_be_read(void **state) {
    (void)state;
    gmk_task_t task = {.type = KDB_TYPE_LOAD, .meta0 = 50};
    assert_int_equal(gmk_trace_set_level(&kernel_engine, GMK_TRACE_ALL), GMK_OK);
    assert_int_equal(gmk_submit(&kernel_engine, &task), GMK_OK);
    assert_int_equal(gmk_drain(&kernel_engine, 10000000000ull), GMK_OK);
    assert_int_equal(gmk_trace_set_level(&kernel_engine, GMK_TRACE_WARN), GMK_OK);
    report_used = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        report_trace(i, 16, collect);
    assert_non_null(strstr(report, "trace events of CPU 0:\n"));
    assert_non_null(strstr(report, " kdb load took "));
    assert_null(strstr(report, " ? "));
}

static void a_cpu_that_is_not_there_has_no_trace(void **state) {
    (void)state;
    report_used = 0;
    report_trace(CPUS_MAX - 1u, 16, collect);
    report_trace(UINT32_MAX, 16, collect);
    assert_string_equal(report, "CPU 63 has no trace\nCPU 4294967295 has no trace\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_reaches_the_screen_with_interrupts_off),
        cmocka_unit_test(bulk_data_is_kept_from_the_screen),
        cmocka_unit_test(without_a_screen_text_goes_on),
        cmocka_unit_test(the_newest_events_of_each_cpu_can_be_read),
        cmocka_unit_test(a_cpu_that_is_not_there_has_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
