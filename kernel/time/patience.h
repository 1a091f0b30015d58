/* Patience: how long to wait for another CPU before it counts as dead.
 *
 * Problem: in a virtual machine a CPU is a thread of the host, and a busy host lets it stand still for
 * seconds while the clock goes on. Who compares times then takes a healthy CPU for a dead one, most
 * of all when the whole machine was stopped for a while and the asker wakes up first.
 * Idea: count only the time in which the asker ran itself. It looks at the clock all the time, so
 * a long time since its last look means that it stood still, and counts as one step. On hardware the
 * limit is the time asked for; where each CPU gets a tenth of a core it is ten times as long.
 *
 * Any context. The clock may be read on several CPUs. */
#pragma once

#include "kernel/time/timer.h"

#define PATIENCE_STEP_NS 1000000ull /* far more than between two looks, far less than a limit */

struct patience {
    uint64_t last_ns; /* the last look at the clock */
    uint64_t left_ns;
};

static inline struct patience patience_of(uint64_t limit_ns) {
    return (struct patience){.last_ns = time_now_ns(), .left_ns = limit_ns};
}

/* Looks at the clock. True: the limit has been used up. */
static inline bool patience_ends(struct patience *p) {
    uint64_t now = time_now_ns(), passed = now - p->last_ns;
    p->last_ns = now;
    passed = passed < PATIENCE_STEP_NS ? passed : PATIENCE_STEP_NS;
    p->left_ns -= passed < p->left_ns ? passed : p->left_ns;
    return p->left_ns == 0;
}
