/* Idle: what engines cost when they have nothing to do.
 *
 * All contestants are opened at once, given a little work so that their threads exist, and
 * left alone. Threads are told apart by who opened them (new entries in /proc/self/task),
 * so the contestants can be watched side by side during the same seconds. Read are each
 * thread's CPU clock and its count of voluntary context switches: one per wake-up. */
#include "bench/lib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_THREADS_MAX 64u
#define IDLE_SETTLE_NS   (500ull * 1000000ull)
#define IDLE_ROUND_NS    (1000ull * 1000000ull)

struct watched {
    long tid;
    unsigned owner;
};

struct reading {
    double cpu_ns;
    double wakes;
};

static struct watched threads[IDLE_THREADS_MAX];
static unsigned n_threads;

static bool known(long tid) {
    for (unsigned i = 0; i < n_threads; i++) {
        if (threads[i].tid == tid) {
            return true;
        }
    }
    return false;
}

/* Every thread not seen so far belongs to `owner`. */
static void note_new_threads(unsigned owner) {
    long ids[IDLE_THREADS_MAX];
    unsigned n = bench_threads_list(ids, IDLE_THREADS_MAX);
    for (unsigned i = 0; i < n; i++) {
        if (!known(ids[i]) && n_threads < IDLE_THREADS_MAX) {
            threads[n_threads++] = (struct watched){ids[i], owner};
        }
    }
}

static double thread_wakes(long tid) {
    char text[128];
    double wakes = 0;
    snprintf(text, sizeof text, "/proc/self/task/%ld/status", tid);
    FILE *status = fopen(text, "r");
    if (status == NULL) {
        return 0;
    }
    while (fgets(text, sizeof text, status) != NULL) {
        if (strncmp(text, "voluntary_ctxt_switches:", 24) == 0) {
            wakes = strtod(text + 24, NULL);
        }
    }
    fclose(status);
    return wakes;
}

static struct reading read_owner(unsigned owner) {
    struct reading sum = {0, 0};
    for (unsigned i = 0; i < n_threads; i++) {
        if (threads[i].owner == owner) {
            sum.cpu_ns += bench_thread_cpu_ns(threads[i].tid);
            sum.wakes += thread_wakes(threads[i].tid);
        }
    }
    return sum;
}

static unsigned open_all(const struct bench_job *job, bool *open) {
    struct bench_run run;
    unsigned n = 0;
    n_threads = 0;
    note_new_threads(BENCH_ENTRIES_MAX); /* threads of before belong to nobody */
    for (; n < BENCH_ENTRIES_MAX && job->entries[n].name != NULL; n++) {
        const struct bench_contestant *contestant = job->entries[n].contestant;
        open[n] = contestant != NULL && bench_open(contestant, &job->config) == 0;
        if (open[n]) {
            memset(&run, 0, sizeof run);
            bench_count_reset();
            contestant->run(&job->config, &run);
            note_new_threads(n);
        } else if (contestant == NULL) {
            printf("# skipped: %s (%s) in %s\n", job->entries[n].package, job->entries[n].name,
                   job->name);
        }
    }
    bench_sleep_ns(IDLE_SETTLE_NS);
    return n;
}

static void print_idle(const struct bench_job *job, const char *who, double *cpu, double *wakes,
                       unsigned rounds) {
    double cpu_median = bench_quantile(cpu, rounds, 0.5);
    double wakes_median = bench_quantile(wakes, rounds, 0.5);
    printf("%s CPU,%s,%.4g,%.4g,%.4g,%%\n", job->name, who, cpu_median, cpu[0], cpu[rounds - 1]);
    printf("%s wake-ups,%s,%.4g,%.4g,%.4g,1/s\n", job->name, who, wakes_median, wakes[0],
           wakes[rounds - 1]);
}

void bench_run_idle(const struct bench_job *job, unsigned rounds) {
    static double cpu[BENCH_ENTRIES_MAX][BENCH_ROUNDS_MAX];
    static double wakes[BENCH_ENTRIES_MAX][BENCH_ROUNDS_MAX];
    struct reading before[BENCH_ENTRIES_MAX];
    bool open[BENCH_ENTRIES_MAX] = {false};
    rounds = rounds != 0 ? rounds : job->rounds;
    rounds = rounds < BENCH_ROUNDS_MAX ? rounds : BENCH_ROUNDS_MAX;
    fprintf(stderr, "%-28s", job->name);
    unsigned n = open_all(job, open);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < n; i++) {
            before[i] = read_owner(i);
        }
        uint64_t start = bench_now_ns();
        bench_sleep_ns(IDLE_ROUND_NS);
        double elapsed = (double)(bench_now_ns() - start);
        for (unsigned i = 0; i < n; i++) {
            struct reading now = read_owner(i);
            cpu[i][round] = 100.0 * (now.cpu_ns - before[i].cpu_ns) / elapsed;
            wakes[i][round] = (now.wakes - before[i].wakes) * 1e9 / elapsed;
        }
        fputc('.', stderr);
    }
    fputc('\n', stderr);
    for (unsigned i = 0; i < n; i++) {
        if (open[i]) {
            print_idle(job, job->entries[i].name, cpu[i], wakes[i], rounds);
            job->entries[i].contestant->close();
        }
    }
    fflush(stdout);
}
