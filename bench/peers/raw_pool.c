/* Raw pool: the least a thread pool can be, as the mark to beat.
 *
 * A bounded MPMC ring after Dmitry Vyukov, one cell per cache line, and threads that spin on
 * it and call a function pointer. No groups, no priorities, no metrics, no sleeping, no
 * types: what a program would write for itself when only throughput counts.
 * The bulk form reserves a run of cells with one compare-and-swap; its consumers still take
 * one at a time. A waiter spins a little, then yields, because on two CPUs the submitter
 * shares its CPU with a worker. */
#include "bench/peers/peers.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define RING_CELLS         65536u
#define SPINS_BEFORE_YIELD 64u
#define BULK               32u
#define WORKERS_MAX        16u

struct cell {
    uint64_t turn; /* position when free for a producer, position + 1 when full */
    void (*run)(uint64_t arg);
    uint64_t arg;
    uint64_t pad[5];
} __attribute__((aligned(64)));

static struct {
    uint64_t head __attribute__((aligned(128)));
    uint64_t tail __attribute__((aligned(128)));
    bool stop __attribute__((aligned(128)));
    struct cell *cells;
    pthread_t threads[WORKERS_MAX];
    unsigned n_threads;
} pool;

static void trivial(uint64_t arg) {
    (void)arg;
    bench_done();
}

static void wait_a_little(unsigned *spins) {
    if (++*spins < SPINS_BEFORE_YIELD) {
        bench_relax();
    } else {
        sched_yield();
    }
}

/* Reserves `n` cells from `head`; the last one free means that all before it are. */
static uint64_t reserve(uint64_t n) {
    unsigned spins = 0;
    uint64_t head = __atomic_load_n(&pool.head, __ATOMIC_RELAXED);
    for (;;) {
        uint64_t last = head + n - 1;
        /* Pairs with the store of turn in take(). */
        uint64_t turn = __atomic_load_n(&pool.cells[last % RING_CELLS].turn, __ATOMIC_ACQUIRE);
        if (turn == last) {
            if (__atomic_compare_exchange_n(&pool.head, &head, head + n, true, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED)) {
                return head;
            }
        } else {
            wait_a_little(&spins);
            head = __atomic_load_n(&pool.head, __ATOMIC_RELAXED);
        }
    }
}

/* A free last cell does not prove that the earlier ones are free when consumers finish out
 * of order, so each cell is still waited for. */
static void fill(uint64_t position, uint64_t arg) {
    struct cell *cell = &pool.cells[position % RING_CELLS];
    unsigned spins = 0;
    /* Pairs with the store of turn in take(). */
    while (__atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE) != position) {
        wait_a_little(&spins);
    }
    cell->run = trivial;
    cell->arg = arg;
    /* Pairs with the load of turn in take(). */
    __atomic_store_n(&cell->turn, position + 1, __ATOMIC_RELEASE);
}

static bool take(void) {
    uint64_t tail = __atomic_load_n(&pool.tail, __ATOMIC_RELAXED);
    for (;;) {
        struct cell *cell = &pool.cells[tail % RING_CELLS];
        /* Pairs with the store of turn in fill(). */
        uint64_t turn = __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE);
        if ((int64_t)(turn - (tail + 1)) < 0) {
            return false;
        }
        if (turn == tail + 1 && __atomic_compare_exchange_n(&pool.tail, &tail, tail + 1, true,
                                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            void (*run)(uint64_t) = cell->run;
            uint64_t arg = cell->arg;
            /* Pairs with the loads of turn in reserve() and fill(). */
            __atomic_store_n(&cell->turn, tail + RING_CELLS, __ATOMIC_RELEASE);
            run(arg);
            return true;
        }
        tail = __atomic_load_n(&pool.tail, __ATOMIC_RELAXED);
    }
}

static void *worker(void *arg) {
    unsigned spins = 0;
    bench_pin_worker((unsigned)(uintptr_t)arg);
    while (!__atomic_load_n(&pool.stop, __ATOMIC_RELAXED)) {
        if (take()) {
            spins = 0;
        } else {
            wait_a_little(&spins);
        }
    }
    return NULL;
}

static int pool_open(const struct bench_config *config) {
    pool.cells = aligned_alloc(64, RING_CELLS * sizeof *pool.cells);
    if (pool.cells == NULL || config->workers > WORKERS_MAX) {
        return -1;
    }
    for (uint64_t i = 0; i < RING_CELLS; i++) {
        pool.cells[i].turn = i;
    }
    pool.head = 0;
    pool.tail = 0;
    pool.stop = false;
    pool.n_threads = config->workers;
    for (unsigned i = 0; i < config->workers; i++) {
        if (pthread_create(&pool.threads[i], NULL, worker, (void *)(uintptr_t)i) != 0) {
            abort();
        }
    }
    return 0;
}

static void pool_close(void) {
    __atomic_store_n(&pool.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < pool.n_threads; i++) {
        pthread_join(pool.threads[i], NULL);
    }
    free(pool.cells);
}

static void run_single(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t i = 0; i < config->count; i++) {
        fill(reserve(1), i);
    }
    bench_count_wait(run, start, config->count);
}

static void run_bulk(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t i = 0; i < config->count; i += BULK) {
        uint64_t n = config->count - i < BULK ? config->count - i : BULK;
        uint64_t first = reserve(n);
        for (uint64_t k = 0; k < n; k++) {
            fill(first + k, i + k);
        }
    }
    bench_count_wait(run, start, config->count);
}

const struct bench_contestant peer_raw_submit = {pool_open, run_single, pool_close};
const struct bench_contestant peer_raw_bulk = {pool_open, run_bulk, pool_close};
