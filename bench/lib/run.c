/* Run: rounds of all contestants in turn, their medians, and the CSV rows.
 *
 * Idea: for each round, for each contestant: open, warm up with a small part of the work,
 * run, close. The order rotates by one each round, so nobody always follows the same
 * neighbour. Round 0 warms caches and page tables of the process and is dropped.
 * Invariant: at any time threads of at most one contestant are awake; the pause before each
 * run lets the spinning leftovers of the one before go to sleep. */
#include "bench/lib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_NS      (10ull * 1000000ull)
#define WARM_PART      16u /* a fresh contestant first does 1/16 of the work, not counted */
#define METRICS_MAX    3u
#define DISTANCE_TRIPS 2000u

struct series {
    double value[METRICS_MAX][BENCH_ROUNDS_MAX];
    double *pool; /* latency: samples of all rounds, for the far tail */
    size_t n_pool;
    unsigned n;
    uint64_t expected;
    uint64_t lost;
    bool failed;
};

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t n, double q) {
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof *values, compare_doubles);
    size_t rank = (size_t)(q * (double)(n - 1) + 0.5);
    return values[rank];
}

static void print_row(const char *job, const char *metric, const char *who, double *values,
                      size_t n, const char *unit) {
    double median = bench_quantile(values, n, 0.5); /* sorts */
    printf("%s%s,%s,%.4g,%.4g,%.4g,%s\n", job, metric, who, median, values[0], values[n - 1], unit);
}

int bench_open(const struct bench_contestant *contestant, const struct bench_config *config) {
    bench_unpin();
    int status = contestant->open(config);
    bench_pin_submitter();
    return status;
}

/* ---- One run --------------------------------------------------------------------------- */

static void run_once(const struct bench_contestant *contestant, const struct bench_config *config,
                     struct bench_run *run) {
    static uint64_t samples[BENCH_SAMPLES_MAX];
    memset(run, 0, sizeof *run);
    run->samples = samples;
    bench_count_reset();
    contestant->run(config, run);
}

static void keep_latency(struct series *s, const struct bench_run *run, unsigned rounds) {
    static double us[BENCH_SAMPLES_MAX];
    size_t n = (size_t)run->n_samples;
    if (s->pool == NULL) {
        s->pool = malloc((size_t)run->expected * rounds * sizeof *s->pool);
    }
    for (size_t i = 0; i < n; i++) {
        us[i] = (double)run->samples[i] / 1000.0;
    }
    if (s->pool != NULL) {
        memcpy(s->pool + s->n_pool, us, n * sizeof *us);
        s->n_pool += n;
    }
    s->value[0][s->n] = bench_quantile(us, n, 0.5);
    s->value[1][s->n] = bench_quantile(us, n, 0.99);
    s->value[2][s->n] = bench_quantile(us, n, 0.999);
}

static void run_entry(const struct bench_job *job, const struct bench_entry *entry,
                      struct series *s, bool keep, unsigned rounds) {
    struct bench_run run;
    struct bench_config config = job->config;
    config.count /= entry->part != 0 ? entry->part : 1;
    struct bench_config warm = config;
    warm.count = warm.count / WARM_PART + 1;
    bench_sleep_ns(SETTLE_NS);
    if (bench_open(entry->contestant, &config) != 0) {
        s->failed = true;
        return;
    }
    run_once(entry->contestant, &warm, &run);
    double cpu_ns = bench_others_cpu_ns();
    run_once(entry->contestant, &config, &run);
    cpu_ns = bench_others_cpu_ns() - cpu_ns;
    entry->contestant->close();
    if (!keep) {
        return;
    }
    s->expected += run.expected;
    s->lost += run.expected - run.seen;
    if (job->kind == BENCH_LATENCY) {
        keep_latency(s, &run, rounds);
    } else {
        double ns = job->kind == BENCH_CPU ? cpu_ns : (double)run.elapsed_ns;
        s->value[0][s->n] = (double)run.seen * 1000.0 / (ns + 1);
    }
    s->n++;
}

/* ---- One job ---------------------------------------------------------------------------- */

static void print_entry(const struct bench_job *job, const struct bench_entry *entry,
                        struct series *s) {
    if (entry->contestant == NULL) {
        printf("# skipped: %s (%s) in %s\n", entry->package, entry->name, job->name);
    } else if (s->failed || s->n == 0) {
        printf("# failed to open: %s in %s\n", entry->name, job->name);
    } else if (job->kind == BENCH_LATENCY) {
        double tail = bench_quantile(s->pool, s->n_pool, 0.999);
        print_row(job->name, " p50", entry->name, s->value[0], s->n, "us");
        print_row(job->name, " p99", entry->name, s->value[1], s->n, "us");
        bench_quantile(s->value[2], s->n, 0.5); /* sorts */
        printf("%s p99.9,%s,%.4g,%.4g,%.4g,us\n", job->name, entry->name, tail, s->value[2][0],
               s->value[2][s->n - 1]);
    } else {
        print_row(job->name, "", entry->name, s->value[0], s->n,
                  job->kind == BENCH_CPU ? "M/s of CPU" : "M/s");
    }
    if (job->kind == BENCH_STREAM && s->n != 0) {
        double percent = 100.0 * (double)s->lost / (double)s->expected;
        printf("%s lost,%s,%.4g,%.4g,%.4g,%%\n", job->name, entry->name, percent, percent, percent);
    } else if (s->lost != 0) {
        printf("# LOST: %s lost %llu results in %s: its figures do not count\n", entry->name,
               (unsigned long long)s->lost, job->name);
    }
}

static unsigned count_entries(const struct bench_job *job) {
    unsigned n = 0;
    while (n < BENCH_ENTRIES_MAX && job->entries[n].name != NULL) {
        n++;
    }
    return n;
}

void bench_run_job(const struct bench_job *job, unsigned rounds) {
    static struct series all[BENCH_ENTRIES_MAX];
    unsigned n = count_entries(job);
    if (job->kind == BENCH_IDLE) {
        bench_run_idle(job, rounds);
        return;
    }
    rounds = rounds != 0 ? rounds : job->rounds;
    rounds = rounds < BENCH_ROUNDS_MAX ? rounds : BENCH_ROUNDS_MAX;
    memset(all, 0, sizeof all);
    double distance[BENCH_ROUNDS_MAX + 1];
    fprintf(stderr, "%-28s", job->name);
    for (unsigned round = 0; round <= rounds; round++) {
        distance[round] = bench_distance_ns(DISTANCE_TRIPS);
        for (unsigned i = 0; i < n; i++) {
            unsigned turn = (i + round) % n;
            if (job->entries[turn].contestant != NULL && !all[turn].failed) {
                run_entry(job, &job->entries[turn], &all[turn], round != 0, rounds);
            }
        }
        fputc('.', stderr);
    }
    fputc('\n', stderr);
    double median = bench_quantile(distance, rounds + 1, 0.5); /* sorts */
    printf("# during %s: one-way cache line %.0f ns (%.0f to %.0f)\n", job->name, median,
           distance[0], distance[rounds]);
    for (unsigned i = 0; i < n; i++) {
        print_entry(job, &job->entries[i], &all[i]);
        free(all[i].pool);
    }
    fflush(stdout);
}
