/* Monitor, traces: the level, the newest events, and the whole archive over the serial line.
 *
 * An archive leaves as base64 (RFC 4648, 4) between two marks, since the line carries text:
 *
 *     -----BEGIN FXT-----
 *     EAAERngWEAA...                         lines of 76 characters
 *     -----END FXT 48736 2914870117-----     bytes, and their sum as `cksum` prints it
 *
 * scripts/trace takes it off the line again. Nothing is buffered but one line: the engine's export
 * hands pieces over, and its rings are read while everybody goes on. */
#include <string.h>

#include "engine/engine.h"
#include "ggmk/ggmk.h"
#include "kernel/core/console.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/debug/dump64.h"
#include "kernel/debug/kdb.h"

#define TAIL_USUAL 16u

static const char *const levels[] = {"off", "error", "warn", "info", "debug", "all"};
#define LEVELS (sizeof levels / sizeof levels[0])

static void show_tail(const struct kdb_call *call) {
    uint64_t count = TAIL_USUAL;
    if (call->argc > 1 && !kdb_arg(call, 1, 10, REPORT_EVENTS_MAX, &count))
        return;
    for (unsigned i = 0; i < cpu_count; i++)
        report_trace(i, (unsigned)count, kdb_print);
}

static void serial_line(const char *text, size_t length) {
    console_write_serial(text, length);
}

static int dump_write(void *arg, const void *bytes, size_t size) {
    dump64_write(arg, bytes, size);
    return kdb_interrupted() ? GMK_ECANCELED : GMK_OK;
}

static void show_dump(void) {
    struct dump64 dump;
    gmk_trace_stats_t stats = {0};
    dump64_begin(&dump, "FXT", serial_line);
    int status = gmk_trace_export(&kernel_engine, dump_write, &dump, &stats);
    dump64_end(&dump);
    kdb_print("%llu events, %llu bytes were overwritten before, %llu blocks torn: %s\n",
              (unsigned long long)stats.records, (unsigned long long)stats.overwritten,
              (unsigned long long)stats.torn, gmk_strerror(status));
}

static void cmd_trace(const struct kdb_call *call) {
    const struct engine *eng = kernel_engine.engine;
    if (call->argc == 0) {
        kdb_print("level %s\n", levels[eng->trace.engine]);
        return;
    }
    const char *word = call->argv[0];
    if (strcmp(word, "tail") == 0) {
        show_tail(call);
        return;
    }
    if (strcmp(word, "dump") == 0) {
        show_dump();
        return;
    }
    for (unsigned i = 0; i < LEVELS; i++)
        if (strcmp(word, levels[i]) == 0) {
            (void)gmk_trace_set_level(&kernel_engine, (enum gmk_trace_level)i);
            return;
        }
    kdb_print("trace %s: a level (off error warn info debug all), tail or dump\n", word);
}

const struct kdb_command kdb_trace_commands[] = {
    {"trace", "[LEVEL | tail [N] | dump]", "the trace's level and events", 0, 2, false, cmd_trace},
    {0},
};
