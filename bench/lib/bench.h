/* Bench: the harness that lets contestants do the same job in turn and compares them.
 *
 * Problem: timings on a shared machine drift by more than the differences we look for.
 * Idea: every round runs every contestant once, in rotating order, each freshly opened and
 * closed again, so that drift hits all alike; the medians of the rounds are compared.
 * Every run counts its results: who loses work is reported as losing, not as fast.
 *
 * Who may call: bench_main() the program's main thread; bench_done(), bench_stream_take()
 * and bench_wake_landed() the contestants' worker threads; the rest contestants only.
 * What it does not do: it measures no instructions and no cache misses; use perf for those.
 *
 * The header is shared with C++ peers, so atomics are the __atomic builtins of gcc and clang.
 * Include it before any system header: it asks for Linux's own calls (affinity, futex). */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_THREADS_MAX   64u                     /* threads that count results in one run */
#define BENCH_SAMPLES_MAX   65536u                  /* latency samples of one run */
#define BENCH_ENTRIES_MAX   12u                     /* contestants of one job */
#define BENCH_ROUNDS_MAX    63u                     /* rounds of one job, without the warm-up */
#define BENCH_TIME_LIMIT_NS (10ull * 1000000000ull) /* a run that waits longer has lost work */
#define BENCH_SUBSCRIBERS   3u                      /* receivers in the fan-out job */

/* ---- What a contestant is ------------------------------------------------------------ */

/* What the job asks for. */
struct bench_config {
    unsigned workers; /* threads that run tasks, besides the submitting main thread */
    uint64_t count;   /* tasks, messages or samples of one run */
    uint64_t gap_ns;  /* latency jobs: pause between one landing and the next submit */
};

/* What one run hands back. The harness clears it before. */
struct bench_run {
    uint64_t elapsed_ns; /* rate jobs: first submit to last result */
    uint64_t expected;   /* results that should have come */
    uint64_t seen;       /* results that came, in order where order is promised */
    uint64_t *samples;   /* latency jobs: room for BENCH_SAMPLES_MAX, in ns */
    uint64_t n_samples;
};

struct bench_contestant {
    /* Starts its threads, pinned with bench_pin_worker(). Returns 0, or not 0 if it cannot. */
    int (*open)(const struct bench_config *config);
    void (*run)(const struct bench_config *config, struct bench_run *run);
    void (*close)(void); /* joins every thread it started, where the library can */
};

/* ---- Machine: bench/lib/machine.c ----------------------------------------------------- */

uint64_t bench_now_ns(void);

/* Submitter and worker places. The submitter has the first CPU this process may use; worker
 * i the (i+1)-th, wrapping: on 2 CPUs the second worker shares one with the submitter. */
void bench_pin_submitter(void);
void bench_unpin(void); /* libraries' own helper threads inherit the opener's mask */
void bench_pin_worker(unsigned worker);
unsigned bench_worker_cpu(unsigned worker);

/* Pause that gives the CPU away, for waits that must not disturb the contestant. */
void bench_sleep_ns(uint64_t ns);

static inline void bench_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Prints `# key: value` lines: CPU, kernel, places, one-way time of a cache line. */
void bench_print_machine(void);
void bench_print_distance(const char *when);

/* Mean one-way time over `trips` round trips between submitter and worker 1; 0 with one CPU. */
double bench_distance_ns(uint64_t trips);

/* ---- Counting results: bench/lib/count.c ---------------------------------------------- */

struct bench_slot {
    uint64_t done; /* written by one thread, read by all */
    uint64_t pad[15];
};

struct bench_mine {
    struct bench_slot *slot;
    uint32_t epoch;
};

extern uint32_t bench_epoch;
extern __thread struct bench_mine bench_mine;

void bench_claim_slot(void);

/* Counts one finished task of the current run. Costs a load and a plain store on a line of
 * the calling thread's own, the same for every contestant. */
static inline void bench_done(void) {
    if (bench_mine.epoch != __atomic_load_n(&bench_epoch, __ATOMIC_RELAXED)) {
        bench_claim_slot();
    }
    uint64_t *done = &bench_mine.slot->done;
    /* Pairs with the load in bench_done_total(): what the task wrote is seen with the count. */
    __atomic_store_n(done, *done + 1, __ATOMIC_RELEASE);
}

void bench_count_reset(void); /* no contestant may be running */
uint64_t bench_done_total(void);

/* Sleeps in short naps until `expected` tasks are done or the time limit passed, and fills
 * run->elapsed_ns (from `start_ns`), expected and seen. */
void bench_count_wait(struct bench_run *run, uint64_t start_ns, uint64_t expected);

/* A stream of messages numbered 1, 2, 3 ... to one receiver. */
struct bench_stream {
    uint64_t seen;  /* messages taken */
    uint64_t last;  /* highest number taken; seen == last == sent means none lost, in order */
    uint64_t wrong; /* messages that came after a higher number, or twice */
    uint64_t pad[13];
};

extern struct bench_stream bench_streams[BENCH_SUBSCRIBERS];

/* Takes message `seq`. One thread at a time per stream; whoever orders the messages must
 * order these calls too. */
static inline void bench_stream_take(struct bench_stream *s, uint64_t seq) {
    uint64_t last = __atomic_load_n(&s->last, __ATOMIC_RELAXED);
    if (seq <= last) {
        __atomic_store_n(&s->wrong, s->wrong + 1, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&s->last, seq, __ATOMIC_RELAXED);
    }
    /* Pairs with the load in bench_stream_wait(). */
    __atomic_store_n(&s->seen, s->seen + 1, __ATOMIC_RELEASE);
}

/* Waits until `streams` streams took `each` messages or, for a lossy contestant, until none
 * moved for a while. Fills elapsed_ns (until the last one moved), expected and seen; messages
 * out of order count as not seen. */
void bench_stream_wait(struct bench_run *run, uint64_t start_ns, unsigned streams, uint64_t each);

/* ---- Latency: bench/lib/wake.c --------------------------------------------------------- */

/* Submits config->count stamps one by one with `submit`, each config->gap_ns after the one
 * before landed, and collects submit-to-landing times. `submit` may not block. */
void bench_wake_loop(const struct bench_config *config, struct bench_run *run,
                     void (*submit)(uint64_t stamp_ns));
/* The receiving side: the stamp arrived, now. */
void bench_wake_landed(uint64_t stamp_ns);

/* ---- Threads: bench/lib/threads.c -------------------------------------------------------- */

/* Ids of this process's threads, ascending; how many. */
unsigned bench_threads_list(long *ids, unsigned max);

/* CPU time a thread has used; that all threads but the main one have used. */
double bench_thread_cpu_ns(long id);
double bench_others_cpu_ns(void);

/* Remembers the threads there are; pins those that came since, in the order of their birth, to
 * the places of worker 0, 1 ... */
void bench_threads_note(void);
void bench_threads_pin_new(unsigned workers);

/* ---- Jobs: bench/lib/run.c -------------------------------------------------------------- */

enum bench_kind {
    BENCH_RATE,    /* one row: million results per second */
    BENCH_CPU,     /* one row: million results per second of the workers' CPU time */
    BENCH_STREAM,  /* as RATE, and a row with what was lost or out of order */
    BENCH_LATENCY, /* three rows: p50, p99, p99.9 in microseconds */
    BENCH_IDLE     /* two rows: CPU and wake-ups of threads that have nothing to do */
};

struct bench_entry {
    const char *name;    /* ours begin with "ggmk"; ending in " *": not compared, see docs */
    const char *package; /* Debian package it needs */
    const struct bench_contestant *contestant; /* NULL: built without that package */
    unsigned part; /* does 1/part of the work, for very slow ones; 0 = 1 */
};

struct bench_job {
    const char *name;
    enum bench_kind kind;
    unsigned rounds;
    struct bench_config config;
    const struct bench_entry *entries; /* ends with an entry without a name */
};

/* Runs one job and prints its CSV rows `job,contestant,median,min,max,unit` on stdout,
 * progress on stderr. `rounds` overrides the job's own if not 0. */
void bench_run_job(const struct bench_job *job, unsigned rounds);
void bench_run_idle(const struct bench_job *job, unsigned rounds);

/* Opens with the caller unpinned, then pins the caller as submitter. */
int bench_open(const struct bench_contestant *contestant, const struct bench_config *config);

/* Sorts `values` and gives the q-quantile (0 <= q <= 1) by nearest rank. */
double bench_quantile(double *values, size_t n, double q);

#ifdef __cplusplus
}
#endif
