/* Wake: how long from a submit to the first line of its handler.
 *
 * One stamp is under way at a time. The submitter spins on its own CPU until the stamp
 * landed, keeps spinning for the gap (so that its own wake-up is not measured), and submits
 * the next one. What the receiver does in the gap, spin or sleep, is its own choice and
 * exactly what the job compares. */
#include "bench/lib/bench.h"

static struct {
    uint64_t landed; /* stamps that arrived; written by the receiver */
    uint64_t took_ns;
    uint64_t pad[14];
} inbox __attribute__((aligned(128)));

void bench_wake_landed(uint64_t stamp_ns) {
    __atomic_store_n(&inbox.took_ns, bench_now_ns() - stamp_ns, __ATOMIC_RELAXED);
    /* Pairs with the load in wait_landed(). */
    __atomic_store_n(&inbox.landed, __atomic_load_n(&inbox.landed, __ATOMIC_RELAXED) + 1,
                     __ATOMIC_RELEASE);
}

static bool wait_landed(uint64_t number, uint64_t since_ns) {
    /* Pairs with the store in bench_wake_landed(). */
    while (__atomic_load_n(&inbox.landed, __ATOMIC_ACQUIRE) != number) {
        bench_relax();
        if (bench_now_ns() - since_ns > BENCH_TIME_LIMIT_NS) {
            return false;
        }
    }
    return true;
}

static void spin_for(uint64_t ns) {
    uint64_t start = bench_now_ns();
    while (bench_now_ns() - start < ns) {
        bench_relax();
    }
}

void bench_wake_loop(const struct bench_config *config, struct bench_run *run,
                     void (*submit)(uint64_t stamp_ns)) {
    __atomic_store_n(&inbox.landed, 0, __ATOMIC_RELAXED);
    run->expected = config->count < BENCH_SAMPLES_MAX ? config->count : BENCH_SAMPLES_MAX;
    uint64_t start = bench_now_ns();
    for (uint64_t i = 1; i <= run->expected; i++) {
        spin_for(config->gap_ns);
        uint64_t stamp = bench_now_ns();
        submit(stamp);
        if (!wait_landed(i, stamp)) {
            break;
        }
        run->samples[run->n_samples++] = __atomic_load_n(&inbox.took_ns, __ATOMIC_RELAXED);
    }
    run->seen = run->n_samples;
    run->elapsed_ns = bench_now_ns() - start;
}
