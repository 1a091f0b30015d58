/* Futex: the floor of waking a sleeping thread.
 *
 * One thread that sleeps in FUTEX_WAIT and one that calls FUTEX_WAKE for each stamp, nothing
 * else. No runtime that lets its idle workers sleep can wake one faster than this; one
 * that is faster still spins during the gap. */
#include "bench/peers/peers.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    uint32_t word; /* counts stamps; UINT32_MAX asks the thread to stop */
    uint32_t pad[31];
    uint64_t stamp_ns;
    pthread_t thread;
} box __attribute__((aligned(128)));

static void *sleeper(void *arg) {
    uint32_t seen = 0;
    (void)arg;
    bench_pin_worker(0);
    for (;;) {
        /* Pairs with the stores in wake() and futex_close(). */
        uint32_t word = __atomic_load_n(&box.word, __ATOMIC_ACQUIRE);
        if (word == UINT32_MAX) {
            return NULL;
        }
        if (word == seen) {
            syscall(SYS_futex, &box.word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
            continue;
        }
        seen = word;
        bench_wake_landed(box.stamp_ns);
    }
}

static void publish(uint32_t word) {
    /* Pairs with the load in sleeper(). */
    __atomic_store_n(&box.word, word, __ATOMIC_RELEASE);
    syscall(SYS_futex, &box.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake(uint64_t stamp_ns) {
    box.stamp_ns = stamp_ns;
    publish(box.word + 1);
}

static int futex_open(const struct bench_config *config) {
    (void)config;
    box.word = 0;
    return pthread_create(&box.thread, NULL, sleeper, NULL);
}

static void futex_run(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, wake);
}

static void futex_close(void) {
    publish(UINT32_MAX);
    pthread_join(box.thread, NULL);
}

const struct bench_contestant peer_futex_wake = {futex_open, futex_run, futex_close};
