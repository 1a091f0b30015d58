/* Watch: what the hang detector compares and reports. See watch.h. */
#include "engine/watch.h"

#include "engine/counts.h"
#include "engine/wake.h"

#define WATCH_STACK ((size_t)64 * 1024)

enum watch_word { WATCH_ASLEEP = 0, WATCH_AWAKE = 1, WATCH_STOP = 2 };

/* What was seen at the last look. */
struct watch_memory {
    uint64_t beat[GMK_WORKERS_MAX];
    bool running[GMK_WORKERS_MAX];
    uint32_t looks[GMK_WORKERS_MAX]; /* looks since the beat changed */
    uint64_t ended;                  /* tasks that had ended */
    uint32_t still;                  /* looks since, with work queued */
    bool unsure;                     /* work is queued, and no report says so yet */
};

#define WATCH_LOOKS 2u /* unchanged looks that make a hang: hang_ns / 2 each */

static void report_handler(struct engine *eng, struct agent *a, uint32_t type) {
    const struct type_info *info = &eng->types[engine_type_index(eng, type)];
    uint64_t ms = eng->cfg.hang_ns / 1000000u;
    log_line(GMK_LOG_WARN, "watch", "worker %u: handler %s (type %u) has not returned for %llu ms",
             a->index, info->name != NULL ? info->name : "of a channel", type,
             (unsigned long long)ms);
    trace_event(&eng->watch_trace, TRACE_HANG, type);
    atomic_fetch_add_explicit(&eng->hangs, 1, memory_order_relaxed);
}

static void look_at_worker(struct engine *eng, struct watch_memory *memory, uint32_t i) {
    struct agent *a = eng->agents[i];
    uint64_t beat = atomic_load_explicit(&a->beat, memory_order_relaxed);
    uint32_t type = atomic_load_explicit(&a->running, memory_order_relaxed);
    bool same = memory->running[i] && type != 0 && beat == memory->beat[i];
    memory->beat[i] = beat;
    memory->running[i] = type != 0;
    memory->looks[i] = same ? memory->looks[i] + 1 : 0;
    if (memory->looks[i] == WATCH_LOOKS)
        report_handler(eng, a, type);
}

/* Work waits, no timer explains it, and nothing has ended for a while. */
static void look_at_queues(struct engine *eng, struct watch_memory *memory) {
    gmk_counts_t now;
    counts_sum(eng, 0, &now);
    uint64_t ended = now.completed + now.failed + now.dropped + now.yields + now.retries;
    bool waits = now.queued != 0 && timer_next(&eng->timers) == TIMER_NEVER;
    memory->unsure = waits && (ended != memory->ended || memory->still < WATCH_LOOKS);
    memory->still = waits && ended == memory->ended ? memory->still + 1 : 0;
    memory->ended = ended;
    if (memory->still != WATCH_LOOKS)
        return;
    log_line(GMK_LOG_WARN, "watch", "%llu tasks wait and none has ended for %llu ms",
             (unsigned long long)now.queued, (unsigned long long)(eng->cfg.hang_ns / 1000000u));
    trace_event(&eng->watch_trace, TRACE_HANG, 0);
    atomic_fetch_add_explicit(&eng->hangs, 1, memory_order_relaxed);
}

static bool all_asleep(struct engine *eng) {
    for (uint32_t i = 0; i < eng->n_workers; i++)
        if (atomic_load_explicit(&eng->agents[i]->asleep, memory_order_relaxed) == 0)
            return false;
    return true;
}

/* Every worker sleeps, and nothing waits that nobody knows of: sleep too. */
static void try_sleep(struct engine *eng) {
    uint32_t awake = WATCH_AWAKE;
    /* seq_cst pairs with watch_wake(): a worker that leaves its sleep after our look sees that
     * we sleep. */
    (void)atomic_compare_exchange_strong_explicit(&eng->watchdog_word, &awake, WATCH_ASLEEP,
                                                  memory_order_seq_cst, memory_order_relaxed);
    hal_fence();
    if (!all_asleep(eng))
        watch_wake_slow(eng);
}

static void watch_main(void *arg) {
    struct engine *eng = arg;
    struct watch_memory memory = {.unsure = true};
    for (;;) {
        if (all_asleep(eng) && !memory.unsure)
            try_sleep(eng);
        uint32_t word = atomic_load_explicit(&eng->watchdog_word, memory_order_acquire);
        if (word == WATCH_STOP)
            return;
        uint64_t limit = word == WATCH_ASLEEP ? HAL_FOREVER : eng->cfg.hang_ns / 2;
        (void)hal_wait(&eng->watchdog_word, word, limit);
        for (uint32_t i = 0; i < eng->n_workers; i++)
            look_at_worker(eng, &memory, i);
        look_at_queues(eng, &memory);
    }
}

void watch_wake_slow(struct engine *eng) {
    uint32_t asleep = WATCH_ASLEEP;
    if (atomic_compare_exchange_strong_explicit(&eng->watchdog_word, &asleep, WATCH_AWAKE,
                                                memory_order_seq_cst, memory_order_relaxed))
        hal_wake(&eng->watchdog_word, 1);
}

int watch_start(struct engine *eng) {
    if (eng->cfg.hang_ns == UINT64_MAX)
        return GMK_OK;
    atomic_store_explicit(&eng->watchdog_word, WATCH_AWAKE, memory_order_release);
    int error = hal_thread_start(&eng->watchdog, "gmk-watch", WATCH_STACK, -1, watch_main, eng);
    if (error != 0) {
        log_line(GMK_LOG_ERROR, "boot", "the watchdog did not start: platform error %d", error);
        return GMK_ESYS;
    }
    eng->watchdog_started = true;
    return GMK_OK;
}

void watch_stop(struct engine *eng) {
    if (!eng->watchdog_started)
        return;
    atomic_store_explicit(&eng->watchdog_word, WATCH_STOP, memory_order_seq_cst);
    hal_wake(&eng->watchdog_word, 1);
    hal_thread_join(&eng->watchdog);
    eng->watchdog_started = false;
}
