/* libgomp: OpenMP tasks as gcc runs them.
 *
 * OpenMP has no "outside": the thread that creates tasks is a member of the team and runs
 * tasks itself when many are waiting (libgomp stops deferring at 64 per thread) and at the
 * end of the region. So `workers` here are the team's other threads in the submit job, and
 * all of the team's threads in the tree job, where every contestant's waiter helps. */
#include "bench/peers/peers.h"

#include <omp.h>

#define TREE_LEAF 0u

static unsigned team;

static int gomp_open_submit(const struct bench_config *config) {
    team = config->workers + 1;
    return 0;
}

static int gomp_open_tree(const struct bench_config *config) {
    team = config->workers;
    return 0;
}

/* libgomp keeps its threads; they sleep after a short spin (OMP_WAIT_POLICY is passive). */
static void gomp_close(void) {}

static void pin_team(void) {
    int me = omp_get_thread_num();
    if (me == 0) {
        bench_pin_submitter();
    } else {
        bench_pin_worker((unsigned)me - 1);
    }
}

static void run_submit(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
#pragma omp parallel num_threads(team)
    {
        pin_team();
#pragma omp single
        for (uint64_t i = 0; i < config->count; i++) {
#pragma omp task
            bench_done();
        }
    }
    bench_count_wait(run, start, config->count);
}

/* NOLINTNEXTLINE(misc-no-recursion): the job is a recursive tree */
static void node(unsigned height) {
    bench_done();
    if (height != TREE_LEAF) {
#pragma omp task
        node(height - 1);
#pragma omp task
        node(height - 1);
    }
}

static void run_tree(const struct bench_config *config, struct bench_run *run) {
    unsigned height = 0;
    while ((2ull << (height + 1)) - 1 <= config->count) {
        height++;
    }
    uint64_t start = bench_now_ns();
#pragma omp parallel num_threads(team)
    {
        pin_team();
#pragma omp single
#pragma omp taskgroup
        node(height);
    }
    bench_count_wait(run, start, (2ull << height) - 1);
}

const struct bench_contestant peer_gomp_submit = {gomp_open_submit, run_submit, gomp_close};
const struct bench_contestant peer_gomp_tree = {gomp_open_tree, run_tree, gomp_close};
