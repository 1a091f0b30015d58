/* Watch: the hang detector. Says which handler does not return, which worker does not beat
 * and which queue does not move; changes nothing.
 *
 * A thread of its own looks every hang_ns / 2 while work goes on. What it compares are the
 * workers' beats (handlers begun), so a task costs no clock reading. When every worker
 * sleeps it goes to sleep too, without a time limit, until a worker wakes up: an idle
 * engine costs nothing. */
#pragma once

#include "engine/engine.h"

int watch_start(struct engine *eng);
void watch_stop(struct engine *eng);

/* A worker came back from sleep: one load when the watchdog is awake anyway. */
void watch_wake_slow(struct engine *eng);
static inline void watch_wake(struct engine *eng) {
    if (atomic_load_explicit(&eng->watchdog_word, memory_order_seq_cst) == 0)
        watch_wake_slow(eng);
}
