/* Trace bench: what one record of each kind costs, in nanoseconds.
 *
 * Method: one pinned thread; each contestant writes RECORDS records into a ring of 64 KiB
 * (it runs over itself, as a flight recorder does all the time); ROUNDS rounds in which the
 * contestants take turns; median, least and most of the rounds are printed. `clock` is
 * hal_cycles() alone: the part of every record that no layout can save. `peer` is what one
 * would write without thinking: clock_gettime() and a 48-byte structure copied into a ring.
 *
 * Output: job,contestant,median,min,max,unit */
#define _GNU_SOURCE 1 /* sched_setaffinity */

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/hist.h"
#include "engine/trace.h"

#define RECORDS    1000000u
#define ROUNDS     9u
#define RING_WORDS 8192u

static struct trace_config config;
static struct trace_ring ring;
static struct hist hist;
static unsigned name;
static volatile uint64_t sink;

struct peer_record {
    struct timespec begin;
    struct timespec end;
    const char *name;
    uint64_t thread;
};
static struct peer_record peer_ring[RING_WORDS * sizeof(uint64_t) / sizeof(struct peer_record)];

static void clock_alone(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        sink = hal_cycles();
    }
}

static void peer(void) {
    struct timespec last;
    size_t at = 0;
    clock_gettime(CLOCK_MONOTONIC, &last);
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct peer_record record = {.begin = last, .name = "handler", .thread = 1};
        clock_gettime(CLOCK_MONOTONIC, &record.end);
        last = record.end;
        memcpy(&peer_ring[at], &record, sizeof record);
        sink = at;
        at = at + 1u == sizeof peer_ring / sizeof peer_ring[0] ? 0 : at + 1u;
    }
}

static void tasks(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint64_t begin = trace_task_begin(&ring, 1);
        sink = i;
        trace_task_end(&ring, begin, name);
    }
}

static void tasks_off(void) {
    trace_set_level(&config, GMK_TRACE_WARN);
    tasks();
    trace_set_level(&config, GMK_TRACE_ALL);
}

static void tasks_sampled(void) {
    trace_set_sampling(&config, TRACE_TASK, 6);
    tasks();
    trace_set_sampling(&config, TRACE_TASK, 0);
}

static void instants(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        trace_event(&ring, TRACE_STEAL, i);
    }
}

static void named(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        trace_event_name(&ring, TRACE_SUBMIT, 1, name);
    }
}

static void counters(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        trace_counter(&ring, TRACE_QUEUED, 1, i);
    }
}

static void users(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        trace_user(&ring, 1, GMK_TRACE_INFO, "user event", i);
    }
}

static void users_inline(void) {
    uint32_t slots = config.slot_count;
    config.slot_count = 0;
    users();
    config.slot_count = slots;
}

static void histogram(void) {
    for (uint32_t i = 0; i < RECORDS; i++) {
        hist_record(&hist, (uint64_t)i * 977u % 100000u);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} contestants[] = {
    {"clock", clock_alone},
    {"peer", peer},
    {"task", tasks},
    {"task-off", tasks_off},
    {"task-1-in-64", tasks_sampled},
    {"instant", instants},
    {"named", named},
    {"counter", counters},
    {"user", users},
    {"user-inline", users_inline},
    {"hist-record", histogram},
};
#define CONTESTANTS (sizeof contestants / sizeof contestants[0])

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void set_up(void) {
    static _Atomic(const char *) slots[1024];
    static uint64_t memory[RING_WORDS];
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(hal_cpu_current(), &cpus);
    (void)sched_setaffinity(0, sizeof cpus, &cpus);
    trace_config_init(&config, GMK_TRACE_ALL, slots, 1024);
    if (!trace_attach(&config, &ring, memory, RING_WORDS, "bench")) {
        fprintf(stderr, "trace_bench: no ring\n");
        exit(1);
    }
    name = trace_intern(&config, "handler");
}

int main(void) {
    static double ns[CONTESTANTS][ROUNDS];
    set_up();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < CONTESTANTS; i++) {
            double start = now_ns();
            contestants[i].run();
            ns[i][round] = (now_ns() - start) / RECORDS;
        }
    }
    printf("job,contestant,median,min,max,unit\n");
    for (size_t i = 0; i < CONTESTANTS; i++) {
        qsort(ns[i], ROUNDS, sizeof ns[i][0], compare);
        printf("trace-record,%s,%.2f,%.2f,%.2f,ns\n", contestants[i].name, ns[i][ROUNDS / 2u],
               ns[i][0], ns[i][ROUNDS - 1u]);
    }
    return 0;
}
