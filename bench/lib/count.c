/* Count: results of a run, counted where they happen without disturbing each other.
 *
 * Each thread that finishes tasks owns one line; the submitter sums them now and then.
 * Threads of a library may outlive a run (pools do), so slots belong to an epoch: a new
 * run starts a new epoch and threads claim afresh. Invariant: within an epoch a slot has
 * one writer. A thread still running tasks of an old run would break the next run's count,
 * which is why a contestant's close() must leave nothing behind. */
#include "bench/lib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAP_NS          20000u
#define STREAM_QUIET_NS (200ull * 1000000ull) /* no message for so long: the rest is lost */

static struct bench_slot slots[BENCH_THREADS_MAX] __attribute__((aligned(128)));
static uint32_t slots_used;
uint32_t bench_epoch = 1;
__thread struct bench_mine bench_mine;
struct bench_stream bench_streams[BENCH_SUBSCRIBERS] __attribute__((aligned(128)));

void bench_claim_slot(void) {
    uint32_t index = __atomic_fetch_add(&slots_used, 1, __ATOMIC_RELAXED);
    if (index >= BENCH_THREADS_MAX) {
        fprintf(stderr, "bench: more than %u threads count results\n", BENCH_THREADS_MAX);
        abort();
    }
    bench_mine.slot = &slots[index];
    bench_mine.epoch = __atomic_load_n(&bench_epoch, __ATOMIC_RELAXED);
}

void bench_count_reset(void) {
    for (unsigned i = 0; i < BENCH_THREADS_MAX; i++) {
        __atomic_store_n(&slots[i].done, 0, __ATOMIC_RELAXED);
    }
    memset(bench_streams, 0, sizeof bench_streams);
    __atomic_store_n(&slots_used, 0, __ATOMIC_RELAXED);
    /* The contestant hands its first task over with its own release and acquire. */
    __atomic_store_n(&bench_epoch, bench_epoch + 1, __ATOMIC_RELAXED);
}

uint64_t bench_done_total(void) {
    uint64_t total = 0;
    for (unsigned i = 0; i < BENCH_THREADS_MAX; i++) {
        /* Pairs with the store in bench_done(). */
        total += __atomic_load_n(&slots[i].done, __ATOMIC_ACQUIRE);
    }
    return total;
}

void bench_count_wait(struct bench_run *run, uint64_t start_ns, uint64_t expected) {
    uint64_t now = bench_now_ns();
    while (bench_done_total() < expected && now - start_ns < BENCH_TIME_LIMIT_NS) {
        bench_sleep_ns(NAP_NS);
        now = bench_now_ns();
    }
    run->elapsed_ns = now - start_ns;
    run->expected = expected;
    run->seen = bench_done_total();
}

static uint64_t streams_seen(unsigned streams) {
    uint64_t seen = 0;
    for (unsigned i = 0; i < streams; i++) {
        /* Pairs with the store in bench_stream_take(). */
        seen += __atomic_load_n(&bench_streams[i].seen, __ATOMIC_ACQUIRE);
    }
    return seen;
}

void bench_stream_wait(struct bench_run *run, uint64_t start_ns, unsigned streams, uint64_t each) {
    uint64_t expected = each * streams;
    uint64_t seen = streams_seen(streams);
    uint64_t moved_ns = bench_now_ns();
    while (seen < expected) {
        bench_sleep_ns(NAP_NS);
        uint64_t now = bench_now_ns();
        uint64_t before = seen;
        seen = streams_seen(streams);
        if (seen != before) {
            moved_ns = now;
        } else if (now - moved_ns > STREAM_QUIET_NS) {
            break;
        }
    }
    run->elapsed_ns = moved_ns - start_ns;
    run->expected = expected;
    run->seen = seen;
    for (unsigned i = 0; i < streams; i++) {
        run->seen -= __atomic_load_n(&bench_streams[i].wrong, __ATOMIC_RELAXED);
    }
}
