/* Monitor, scheduling: what each CPU runs and has waiting, and the longest stretches with interrupts off. */
#include <string.h>

#include "kernel/debug/kdb.h"
#include "kernel/debug/latency.h"
#include "kernel/sched/runq.h"

#define LAT_SHOWN 24u /* kinds, the longest first */

static void cmd_lat(const struct kdb_call *call) {
    if (!LATENCY_ON) {
        kdb_print("this kernel was built without the instrument: DEV, or -DGMK_LATENCY=1\n");
        return;
    }
    if (call->argc == 1 && strcmp(call->argv[0], "reset") == 0) {
        latency_reset();
        return;
    }
    if (call->argc == 1) {
        kdb_print("lat %s: reset, or nothing\n", call->argv[0]);
        return;
    }
    uint64_t below = UINT64_MAX;
    kdb_print("longest stretches with interrupts off, by what began them\n");
    for (unsigned shown = 0; shown < LAT_SHOWN; shown++) {
        unsigned most = latency_next(below);
        if (most == LATENCY_KINDS)
            break;
        char name[LATENCY_NAME_MAX];
        latency_name(most, name, sizeof name);
        below = latency_longest(most);
        kdb_print("%10llu cycles %8llu ns  %s\n", (unsigned long long)below,
                  (unsigned long long)(below * 1000000 / arch_cycles_khz()), name);
    }
}

static void cmd_sched(const struct kdb_call *call) {
    (void)call;
    struct sched_seen seen;
    kdb_print("cpu own/now switches       ready: idle  low norm high real edf  slice  runs\n");
    for (unsigned i = 0; i < CPUS_MAX; i++) {
        if (!sched_look(i, &seen))
            continue;
        kdb_print("%3u %3d/%-3d %12llu", i, seen.own, seen.now, (unsigned long long)seen.switches);
        kdb_print("       %5u %4u %4u %4u %4u %3u  %-5s  %s\n", seen.ready[0], seen.ready[1],
                  seen.ready[2], seen.ready[3], seen.ready[4], seen.ready[5],
                  seen.slice_armed ? "runs" : "-", seen.name);
    }
}

const struct kdb_command kdb_sched_commands[] = {
    {"sched", "", "what each CPU runs, and how many wait", 0, 0, false, cmd_sched},
    {"lat", "[reset]", "longest stretches with interrupts off", 0, 1, true, cmd_lat},
    {0},
};
