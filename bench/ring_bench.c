/* Ring bench: our rings against other people's, interleaved in one process, threads pinned.
 *
 * Prints CSV `job,contestant,median,min,max,unit` to standard output, ratios of medians to
 * standard error. One round runs every contestant of a job once; the order rotates, so that
 * drift of the machine meets all of them. Arguments: [rounds] [scale percent] [job filter].
 *
 * Thread i of a side runs on core (i + side) of the allowed set: with two cores, the one
 * producer and the one consumer sit on different cores, and with more pairs each core holds
 * both kinds, so that threads are preempted in the middle of operations. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/localq.h"
#include "ring_peers.h"

enum { ROUNDS_MAX = 101, ENTRIES_MAX = 8, CAPACITY = 1024, ROUND_NS = 500000000 };

static int cores[CPU_SETSIZE];
static int n_cores;

struct worker {
    pthread_t thread;
    struct contest_run *run;
    uint32_t index; /* producers first, then consumers */
    uint64_t begin_ns, end_ns;
};

static void find_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        abort();
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            cores[n_cores++] = i;
}

static void pin(uint32_t which) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cores[which % (uint32_t)n_cores], &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        abort();
}

static void *worker_main(void *arg) {
    struct worker *self = arg;
    struct contest_run *run = self->run;
    bool produces = self->index < run->producers;
    uint32_t mine = produces ? self->index : self->index - run->producers;
    uint64_t total = run->per_producer * run->producers;

    pin(produces ? mine : mine + 1);
    atomic_fetch_add(&run->ready, 1);
    while (!atomic_load(&run->go))
        sched_yield();
    self->begin_ns = contest_now_ns();
    if (produces)
        (run->batch ? run->who->produce_n : run->who->produce_1)(run, mine * run->per_producer,
                                                                 run->per_producer);
    else
        (run->batch ? run->who->consume_n : run->who->consume_1)(run, 0, total / run->consumers);
    self->end_ns = contest_now_ns();
    atomic_fetch_add(&run->finished, 1);
    return NULL;
}

/* Calls a round off after ROUND_NS: a contestant that collapses when a thread is preempted
 * would take minutes for what others do in milliseconds. What it did until then counts. */
static void supervise(struct contest_run *run) {
    const struct timespec nap = {.tv_nsec = 5000000};
    uint64_t limit = contest_now_ns() + ROUND_NS;

    while (atomic_load(&run->finished) < run->producers + run->consumers) {
        if (contest_now_ns() > limit)
            atomic_store(&run->called_off, true);
        nanosleep(&nap, NULL);
    }
}

/* One contestant, one round: millions of messages per second. */
static double run_once(const struct contestant *who, uint32_t pairs, bool batch, uint64_t total) {
    static struct worker workers[2 * CONTEST_THREADS_MAX];
    struct contest_run run = {.who = who,
                              .producers = pairs,
                              .consumers = pairs,
                              .batch = batch,
                              .per_producer = total / pairs};
    uint64_t begin = UINT64_MAX, end = 0;

    run.ring = who->make(CAPACITY);
    for (uint32_t i = 0; i < 2 * pairs; i++) {
        workers[i] = (struct worker){.run = &run, .index = i};
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            abort();
    }
    while (atomic_load(&run.ready) < 2 * pairs)
        sched_yield();
    atomic_store(&run.go, true);
    supervise(&run);
    for (uint32_t i = 0; i < 2 * pairs; i++) {
        pthread_join(workers[i].thread, NULL);
        begin = workers[i].begin_ns < begin ? workers[i].begin_ns : begin;
        end = workers[i].end_ns > end ? workers[i].end_ns : end;
    }
    if (!atomic_load(&run.called_off) && atomic_load(&run.sum) != total * (total - 1) / 2) {
        fprintf(stderr, "%s lost or doubled a message\n", who->name);
        exit(1);
    }
    free(run.ring);
    return (double)atomic_load(&run.received) * 1e3 / (double)(end - begin);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_job(const char *job, const struct contestant *const *entries, int n_entries,
                    uint32_t pairs, bool batch, uint64_t total, int rounds) {
    static double rate[ENTRIES_MAX][ROUNDS_MAX];
    double medians[ENTRIES_MAX];

    total -= total % ((uint64_t)pairs * CONTEST_BATCH);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < n_entries; i++) {
            int who = (i + round) % n_entries;
            rate[who][round] = run_once(entries[who], pairs, batch, total);
        }
    for (int i = 0; i < n_entries; i++) {
        qsort(rate[i], (size_t)rounds, sizeof(double), compare_doubles);
        medians[i] = rate[i][rounds / 2];
        printf("%s,%s,%.1f,%.1f,%.1f,M/s\n", job, entries[i]->name, medians[i], rate[i][0],
               rate[i][rounds - 1]);
        fprintf(stderr, "%-20s %-14s %8.1f M/s   ours is %.2f times it\n", job, entries[i]->name,
                medians[i], medians[0] / medians[i]);
    }
    fflush(stdout);
}

/* ---- core to core ------------------------------------------------------------------- */

static struct {
    alignas(128) _Atomic uint64_t ping;
    alignas(128) _Atomic uint64_t pong;
} line;

enum { PINGS = 100000 };

static void *pong_main(void *arg) {
    (void)arg;
    pin(1);
    for (uint64_t i = 1; i <= PINGS; i++) {
        while (atomic_load_explicit(&line.ping, memory_order_acquire) != i)
            __builtin_ia32_pause();
        atomic_store_explicit(&line.pong, i, memory_order_release);
    }
    return NULL;
}

static void probe_distance(int rounds) {
    double ns[ROUNDS_MAX];
    if (n_cores < 2)
        return;
    pin(0);
    for (int round = 0; round < rounds; round++) {
        pthread_t thread;
        atomic_store(&line.ping, 0);
        atomic_store(&line.pong, 0);
        if (pthread_create(&thread, NULL, pong_main, NULL) != 0)
            abort();
        uint64_t begin = contest_now_ns();
        for (uint64_t i = 1; i <= PINGS; i++) {
            atomic_store_explicit(&line.ping, i, memory_order_release);
            while (atomic_load_explicit(&line.pong, memory_order_acquire) != i)
                __builtin_ia32_pause();
        }
        ns[round] = (double)(contest_now_ns() - begin) / (2.0 * PINGS);
        pthread_join(thread, NULL);
    }
    qsort(ns, (size_t)rounds, sizeof(double), compare_doubles);
    printf("line_one_way,cores_%d_%d,%.1f,%.1f,%.1f,ns\n", cores[0], cores[1], ns[rounds / 2],
           ns[0], ns[rounds - 1]);
}

/* ---- one thread: what an operation costs when nobody contends ------------------------- */

enum { PAIRS = 4000000 };

/* ns per push and pop of one task by one thread, half a ring full. */
#define PAIR_NS(push, pop)                                          \
    do {                                                            \
        gmk_task_t task = {.type = 1};                              \
        for (int i = 0; i < 100; i++)                               \
            (void)(push);                                           \
        for (int round = 0; round < rounds; round++) {              \
            uint64_t begin = contest_now_ns();                      \
            for (uint64_t i = 0; i < PAIRS; i++) {                  \
                task.meta0 = i;                                     \
                contest_touch(&task);                               \
                (void)(push);                                       \
                (void)(pop);                                        \
                contest_touch(&task);                               \
            }                                                       \
            ns[round] = (double)(contest_now_ns() - begin) / PAIRS; \
        }                                                           \
    } while (0)

static void print_ns(const char *contestant, double *ns, int rounds) {
    qsort(ns, (size_t)rounds, sizeof(double), compare_doubles);
    printf("one_thread_pair,%s,%.2f,%.2f,%.2f,ns\n", contestant, ns[rounds / 2], ns[0],
           ns[rounds - 1]);
}

static void bench_pairs(int rounds) {
    double ns[ROUNDS_MAX];
    struct ring_mpmc *mpmc = gmk_mpmc_make(256);
    struct ring_spsc *spsc;
    struct localq *q;
    size_t spsc_bytes = ring_spsc_bytes(256, sizeof(gmk_task_t));
    size_t q_bytes = localq_bytes(LOCALQ_SLOTS);
    void *cell = cell_make(256);
    struct message m;

    if (ring_spsc_init(&spsc, contest_memory(spsc_bytes), spsc_bytes, 256, sizeof(gmk_task_t)) ||
        localq_init(&q, contest_memory(q_bytes), q_bytes, LOCALQ_SLOTS))
        abort();
    pin(0);
    PAIR_NS(localq_push(q, &task), localq_pop(q, &task));
    print_ns("ggmk_localq", ns, rounds);
    PAIR_NS(localq_push_newest(q, &task), localq_pop_newest(q, &task));
    print_ns("ggmk_localq_newest", ns, rounds);
    PAIR_NS(ring_push_mpmc(mpmc, &task), ring_pop_mpmc(mpmc, &task));
    print_ns("ggmk_mpmc", ns, rounds);
    PAIR_NS(ring_push_spsc(spsc, &task, sizeof task), ring_pop_spsc(spsc, &task, sizeof task));
    print_ns("ggmk_spsc", ns, rounds);
    memset(&m, 0, sizeof m);
    PAIR_NS(cell_push(cell, &m), cell_pop(cell, &m));
    print_ns("cell_per_line", ns, rounds);
    free(mpmc);
    free(spsc);
    free(q);
}

int main(int argc, char **argv) {
    static const struct contestant *const spsc[] = {&gmk_spsc_entry, &dpdk_spsc_entry,
                                                    &ck_spsc_entry};
    static const struct contestant *const mpmc[] = {&gmk_mpmc_entry, &dpdk_mpmc_entry,
                                                    &ck_mpmc_entry, &cell_entry};
    static const struct {
        const char *name;
        bool mpmc, batch;
        uint32_t pairs;
        uint64_t total;
    } jobs[] = {
        {"spsc_1", false, false, 1, 4000000},        {"spsc_32", false, true, 1, 16000000},
        {"mpmc_1p1c_1", true, false, 1, 2000000},    {"mpmc_1p1c_32", true, true, 1, 8000000},
        {"mpmc_2p2c_1", true, false, 2, 1000000},    {"mpmc_2p2c_32", true, true, 2, 4000000},
        {"preempt_4p4c_1", true, false, 4, 1000000}, {"preempt_4p4c_32", true, true, 4, 4000000},
    };
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    uint64_t scale = argc > 2 ? (uint64_t)atoll(argv[2]) : 100;
    const char *filter = argc > 3 ? argv[3] : "";

    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    find_cores();
    printf("job,contestant,median,min,max,unit\n");
    probe_distance(rounds);
    if (strstr("one_thread_pair", filter) != NULL)
        bench_pairs(rounds);
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        if (strstr(jobs[i].name, filter) == NULL)
            continue;
        run_job(jobs[i].name, jobs[i].mpmc ? mpmc : spsc, jobs[i].mpmc ? 4 : 3, jobs[i].pairs,
                jobs[i].batch, jobs[i].total * scale / 100, rounds);
    }
    return 0;
}
