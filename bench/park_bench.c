/* Bench of park: from "notify" on one CPU until the waiter runs on another.
 *
 * One thread publishes a time stamp after a gap of busy waiting, another waits for it in one
 * of several ways and takes the difference. Gaps of 50 us are the case for spinning, gaps of
 * 2 ms the case for sleeping. The waiter is on CPU 0, the notifier on CPU 1. All contestants run in turn, seven times over; printed is the
 * median of the seven for each percentile.
 *
 *     park_bench [rounds, 7]       lines: job,contestant,p50,p99,p999,unit
 *
 * Last come what notify costs when nobody waits, and how often an idle waiter wakes. */
#include "engine/park.h"
#include "hal/hal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX  21u
#define SAMPLES_MAX 8000u
#define STOP        UINT64_MAX /* published instead of a stamp */

enum way { WAY_FUTEX, WAY_PARK, WAY_PARK_SPIN_WORD, WAY_PARK_SPIN_LOOK, WAY_COUNT };
static const char *const way_names[WAY_COUNT] = {"raw futex", "ggmk park sleeping",
                                                 "ggmk park spinning on its word",
                                                 "ggmk park spinning and looking"};

struct bench {
    struct park park;
    struct park_slot slots[1];
    _Alignas(GMK_FALSE_SHARING) _Atomic uint64_t work;  /* stamp, 0: none */
    _Alignas(GMK_FALSE_SHARING) _Atomic uint32_t futex; /* for WAY_FUTEX: changes with work */
    _Alignas(GMK_FALSE_SHARING) _Atomic uint32_t taken; /* samples the waiter has taken */
    _Alignas(GMK_FALSE_SHARING) struct park_spin spin;
    enum way way;
    uint64_t samples[SAMPLES_MAX];
};

static uint64_t take(struct bench *b) {
    /* Acquire: pairs with the release in publish(). */
    uint64_t stamp = atomic_load_explicit(&b->work, memory_order_acquire);
    if (stamp != 0) {
        atomic_store_explicit(&b->work, 0, memory_order_relaxed);
    }
    return stamp;
}

static uint64_t wait_on_futex(struct bench *b) {
    for (;;) {
        uint32_t seen = atomic_load_explicit(&b->futex, memory_order_acquire);
        uint64_t stamp = take(b);
        if (stamp != 0) {
            return stamp;
        }
        hal_wait(&b->futex, seen, HAL_FOREVER);
    }
}

static uint64_t wait_on_park(struct bench *b) {
    uint64_t stamp = take(b);
    park_spin_start(&b->spin);
    if (b->way == WAY_PARK_SPIN_LOOK) {
        while (stamp == 0 && park_spin_step(&b->spin)) {
            stamp = take(b);
        }
    }
    while (stamp == 0) {
        park_prepare(&b->park, 0);
        stamp = take(b);
        if (stamp != 0) {
            park_cancel(&b->park, 0);
            break;
        }
        if (b->way == WAY_PARK_SPIN_WORD) {
            while (!park_is_notified(&b->park, 0) && park_spin_step(&b->spin)) {}
        }
        park_commit(&b->park, 0, HAL_FOREVER);
        stamp = take(b);
    }
    park_spin_end(&b->spin);
    return stamp;
}

static void waiter(void *arg) {
    struct bench *b = arg;
    park_spin_init(&b->spin, PARK_SPIN_MAX_NS);
    for (uint32_t n = 0;; n++) {
        uint64_t stamp = b->way == WAY_FUTEX ? wait_on_futex(b) : wait_on_park(b);
        uint64_t now = hal_cycles();
        if (stamp == STOP) {
            return;
        }
        b->samples[n] = now > stamp ? now - stamp : 0;
        /* Release: pairs with the acquire in run(), before the samples are read. */
        atomic_store_explicit(&b->taken, n + 1, memory_order_release);
    }
}

static void publish(struct bench *b, uint64_t stamp) {
    atomic_store_explicit(&b->work, stamp, memory_order_release);
    if (b->way == WAY_FUTEX) {
        atomic_fetch_add_explicit(&b->futex, 1, memory_order_release);
        hal_wake(&b->futex, 1);
    } else {
        park_notify(&b->park, 1);
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct result {
    uint64_t p50, p99, p999;
};

static struct result run(enum way way, uint64_t gap_ns, uint32_t samples) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    park_init(&b.park, b.slots, 1, false);
    b.way = way;
    struct hal_thread thread;
    if (hal_thread_start(&thread, "waiter", 0, 0, waiter, &b) != 0) {
        hal_panic("park_bench: no thread");
    }
    uint64_t gap = gap_ns * hal_cycles_khz() / 1000000u;
    for (uint32_t n = 0; n < samples; n++) {
        uint64_t from = hal_cycles();
        while (hal_cycles() - from < gap) {
            hal_relax();
        }
        publish(&b, hal_cycles());
        while (atomic_load_explicit(&b.taken, memory_order_acquire) != n + 1) {
            hal_relax();
        }
    }
    publish(&b, STOP);
    hal_thread_join(&thread);
    qsort(b.samples, samples, sizeof b.samples[0], by_value);
    return (struct result){b.samples[samples / 2], b.samples[samples - 1 - samples / 100],
                           b.samples[samples - 1 - samples / 1000]};
}

static double us(uint64_t cycles) {
    return (double)cycles * 1000.0 / (double)hal_cycles_khz();
}

/* One row: median, least and most over the rounds. `scale` turns microseconds into `unit`. */
static void row(const char *name, const char *what, const char *contestant, uint64_t *values,
                uint32_t count, double scale, const char *unit) {
    qsort(values, count, sizeof *values, by_value);
    printf("%s%s,%s,%.2f,%.2f,%.2f,%s\n", name, what, contestant, scale * us(values[count / 2]),
           scale * us(values[0]), scale * us(values[count - 1]), unit);
}

static void job(const char *name, uint64_t gap_ns, uint32_t samples, uint32_t rounds) {
    static uint64_t p50[WAY_COUNT][ROUNDS_MAX], p99[WAY_COUNT][ROUNDS_MAX],
        p999[WAY_COUNT][ROUNDS_MAX];
    for (uint32_t round = 0; round < rounds; round++) {
        for (int way = 0; way < WAY_COUNT; way++) {
            struct result r = run((enum way)way, gap_ns, samples);
            p50[way][round] = r.p50;
            p99[way][round] = r.p99;
            p999[way][round] = r.p999;
        }
    }
    for (int way = 0; way < WAY_COUNT; way++) {
        row(name, " p50", way_names[way], p50[way], rounds, 1, "us");
        row(name, " p99", way_names[way], p99[way], rounds, 1, "us");
        row(name, " p99.9", way_names[way], p999[way], rounds, 1, "us");
    }
    fflush(stdout);
}

/* A notify with nobody parked, after a store that is the publication. */
static void notify_cost(bool asymmetric, const char *name, uint32_t rounds) {
    enum { CALLS = 1000000 };
    static struct park park;
    static struct park_slot slot;
    uint64_t cost[ROUNDS_MAX];
    _Atomic uint64_t work = 0;
    park_init(&park, &slot, 1, asymmetric);
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t from = hal_cycles();
        for (uint64_t i = 0; i < CALLS; i++) {
            atomic_store_explicit(&work, i, memory_order_release);
            park_notify(&park, 1);
        }
        cost[round] = (hal_cycles() - from) * 1000 / CALLS; /* thousandths of a cycle */
    }
    /* Thousandths of a cycle, so microseconds of them are nanoseconds of cycles. */
    row("notify nobody", "", name, cost, rounds, 1, "ns");
}

static void idle_waiter(void *arg) {
    struct bench *b = arg;
    while (take(b) == 0) {
        park_prepare(&b->park, 0);
        park_commit(&b->park, 0, HAL_FOREVER);
    }
}

static void idle(void) {
    static struct bench b;
    struct hal_thread thread;
    park_init(&b.park, b.slots, 1, false);
    if (hal_thread_start(&thread, "idle", 0, 0, idle_waiter, &b) != 0) {
        hal_panic("park_bench: no thread");
    }
    _Atomic uint32_t never = 0;
    hal_wait(&never, 0, UINT64_C(1000000000));
    uint32_t sleeps = atomic_load_explicit(&b.slots[0].sleeps, memory_order_relaxed);
    printf("idle waiter,ggmk park,%u,%u,%u,1/s\n", sleeps - 1, sleeps - 1, sleeps - 1);
    b.way = WAY_PARK;
    publish(&b, STOP);
    hal_thread_join(&thread);
}

static void all_jobs(void *arg) {
    const uint32_t rounds = *(const uint32_t *)arg;
    puts("job,contestant,median,min,max,unit");
    job("park wake 50 us", 50000, 4000, rounds);
    job("park wake 2 ms", 2000000, 100, rounds);
    notify_cost(false, "ggmk park symmetric", rounds);
    notify_cost(true, "ggmk park asymmetric", rounds);
    idle();
}

int main(int argc, char **argv) {
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 7;
    if (rounds == 0 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: park_bench [1 .. %u]\n", ROUNDS_MAX);
        return 2;
    }
    struct hal_thread thread;
    if (hal_cpu_count() < 2 ||
        hal_thread_start(&thread, "notifier", 0, 1, all_jobs, &rounds) != 0) {
        fprintf(stderr, "park_bench: needs two CPUs\n");
        return 1;
    }
    hal_thread_join(&thread);
    return 0;
}
