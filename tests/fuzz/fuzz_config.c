/* Fuzz of kernel configuration: any command line, of any length, from the road to the fields. */
#include "boot/boot_info.c"
#include "boot/roads.c"
#include "kernel/core/config.c"
#include "tests/lib/fuzz_input.h"
#include "tests/lib/road_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned lines;

/* The log formats what it is given, and keeps nothing. */
void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    char text[GMK_LOG_LINE_MAX];
    va_list args;
    (void)level;
    (void)module;
    va_start(args, fmt);
    fuzz_must(format_vstring(text, sizeof text, fmt, args) < sizeof text, "a line was cut");
    va_end(args);
    lines++;
}

void klog_level(enum gmk_log_level level) {
    fuzz_must(level >= GMK_LOG_ERROR && level <= GMK_LOG_DEBUG, "a level that does not exist");
}

static void check(const kernel_config_t *config) {
    fuzz_must(config->cpus_max >= 1 && config->cpus_max <= CPUS_MAX, "number of CPUs");
    fuzz_must(config->arena_kib <= 4u << 20, "arena");
    fuzz_must(config->trace_level <= GMK_TRACE_ALL, "trace level");
    fuzz_must(config->panic <= CONFIG_PANIC_EXIT, "panic");
    fuzz_must(memchr(config->tests, '\0', sizeof config->tests) != NULL, "tests");
    fuzz_must(memchr(config->bench, '\0', sizeof config->bench) != NULL, "bench");
    fuzz_must(lines <= COMPLAINTS_MAX + 2, "a flood in the log");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = fuzz_copy(data, size);
    memset(&boot_info, 0, sizeof boot_info);
    boot_set_cmdline(&boot_info, copy, size);
    fuzz_must_not(road_check(&boot_info));
    free(copy);
    lines = 0;
    config_init(&boot_info);
    check(&kernel_config);
    return 0;
}
