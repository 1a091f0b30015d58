/* Test of configuration in the kernel: it runs as its command line says, and says what it ignores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "kernel/core/config.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"

static unsigned complaints;

static void complain(void *arg, const char *word, size_t length, const char *why) {
    (void)arg;
    (void)word;
    complaints += length > 0 && why != NULL;
}

static void the_kernel_runs_as_its_command_line_says(void **state) {
    (void)state;
    kernel_config_t config;
    config_parse(&config, boot_info.cmdline, complain, NULL);
    assert_memory_equal(&config, &kernel_config, sizeof config);
    assert_true(cpu_count <= kernel_config.cpus_max);
}

static bool log_has(const char *text) {
    static char log[KLOG_KEEP + 1];
    size_t length = klog_tail(log, KLOG_KEEP);
    log[length] = '\0';
    return strstr(log, text) != NULL;
}

/* Boots once more, as far as the command line goes, and then with the real one again. */
static void configure(const char *line, uint64_t length) {
    static struct boot_info info;
    memset(info.cmdline, 0, sizeof info.cmdline);
    memcpy(info.cmdline, line, strlen(line));
    info.cmdline_length = length;
    config_init(&info);
}

static void what_it_ignores_is_in_the_log(void **state) {
    (void)state;
    kernel_config_t real = kernel_config;
    configure("cpus=99 ktest=nonsense log=info", 31);
    assert_int_equal(kernel_config.cpus_max, CPUS_MAX);
    configure("cpus=2 log=debug lo", 65536);
    assert_int_equal(kernel_config.cpus_max, 2);
    kernel_config = real;
    klog_level((enum gmk_log_level)real.log_level);
    assert_true(log_has("'cpus=99' has to be a number from 1 to 64"));
    assert_true(log_has("'ktest=nonsense' is unknown"));
    assert_true(log_has("the command line has 65536 bytes: only the first 17 are used"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_runs_as_its_command_line_says),
        cmocka_unit_test(what_it_ignores_is_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
