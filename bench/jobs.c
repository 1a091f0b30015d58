/* Jobs: what is compared, between whom, and how often.
 *
 * Usage: bench_tasks [--rounds N] [--list] [NAME-PART ...]
 * Without a name all jobs run. CSV rows on stdout, progress on stderr. Rings, allocators,
 * parking and trace rings have programs of their own beside this one. */
#include "bench/gmk.h"
#include "bench/peers/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS          7u
#define COST_ROUNDS     15u /* differences of 3% need more */
#define MILLION         1000000u
#define TREE_TASKS      (1u << 20)
#define STREAM_MESSAGES 400000u
#define FAN_MESSAGES    150000u
#define NEAR_SAMPLES    3000u /* latency samples per round, 50 us apart */
#define FAR_SAMPLES     150u  /* 2 ms apart */
#define NEAR_NS         (50u * 1000u)
#define FAR_NS          (2000u * 1000u)
#define NNG_PART        40u /* nng is so slow from one thread to another that it gets a part */

/* Each list ends with an entry without a name. */
static const struct bench_entry submit[] = {
    {"ggmk submit", "", &gmk_submit_one, 0},
    {"oneTBB enqueue", "libtbb-dev", &peer_tbb_submit, 0},
    {"oneTBB task_group (caller helps)", "libtbb-dev", &peer_tbb_helped, 0},
    {"raw MPMC pool", "", &peer_raw_submit, 0},
    {"libgomp task *", "gcc", &peer_gomp_submit, 0},
    {0},
};

static const struct bench_entry submit_bulk[] = {
    {"ggmk submit_n", "", &gmk_submit_bulk, 0},
    {"raw MPMC pool", "", &peer_raw_bulk, 0},
    {0},
};

static const struct bench_entry tree[] = {
    {"ggmk spawn", "", &gmk_tree, 0},
    {"ggmk emit, queue of 2^20", "", &gmk_tree_wide, 0},
    {"oneTBB task_group", "libtbb-dev", &peer_tbb_tree, 0},
    {"libgomp taskgroup *", "gcc", &peer_gomp_tree, 0},
    {0},
};

static const struct bench_entry wake[] = {
    {"ggmk submit", "", &gmk_wake, 0},
    {"oneTBB enqueue", "libtbb-dev", &peer_tbb_wake, 0},
    {"libuv async_send", "libuv1-dev", &peer_uv_wake, 0},
    {"futex wait/wake", "", &peer_futex_wake, 0},
    {0},
};

static const struct bench_entry idle[] = {
    {"ggmk", "", &gmk_submit_one, 0},
    {"oneTBB", "libtbb-dev", &peer_tbb_submit, 0},
    {0},
};

static const struct bench_entry channel[] = {
    {"ggmk chan_send", "", &gmk_chan_stream, 0},
    {"ggmk chan_emit_n by 32", "", &gmk_chan_bulk, 0},
    {"libuv async + mutex queue", "libuv1-dev", &peer_uv_stream, 0},
    {"moodycamel blocking queue", "libconcurrentqueue-dev", &peer_moodycamel_stream, 0},
    {"oneTBB bounded queue", "libtbb-dev", &peer_tbb_queue, 0},
    {"oneTBB flow graph", "libtbb-dev", &peer_tbb_flow, 0},
    {"ZeroMQ push/pull", "libzmq3-dev", &peer_zmq_stream, 0},
    {"nng push/pull", "libnng-dev", &peer_nng_stream, NNG_PART},
    {0},
};

static const struct bench_entry channel_cold[] = {
    {"ggmk chan_send", "", &gmk_chan_cold, 0},
    {"libuv async + mutex queue", "libuv1-dev", &peer_uv_wake, 0},
    {"moodycamel blocking queue", "libconcurrentqueue-dev", &peer_moodycamel_cold, 0},
    {"oneTBB bounded queue", "libtbb-dev", &peer_tbb_queue_cold, 0},
    {"oneTBB flow graph", "libtbb-dev", &peer_tbb_flow_cold, 0},
    {"ZeroMQ push/pull", "libzmq3-dev", &peer_zmq_cold, 0},
    {"nng push/pull", "libnng-dev", &peer_nng_cold, 0},
    {0},
};

static const struct bench_entry fan_out[] = {
    {"ggmk chan_send", "", &gmk_chan_fan, 0},
    {"ggmk chan_emit_n by 32", "", &gmk_chan_fan_bulk, 0},
    {"oneTBB flow graph", "libtbb-dev", &peer_tbb_flow_fan, 0},
    {"ZeroMQ pub/sub", "libzmq3-dev", &peer_zmq_fan, 0},
    {"nng pub/sub", "libnng-dev", &peer_nng_fan, 0},
    {0},
};

static const struct bench_entry cost_submit[] = {
    {"ggmk as it boots", "", &gmk_submit_one, 0},
    {"ggmk trace warn", "", &gmk_submit_trace_warn, 0},
    {"ggmk trace all", "", &gmk_submit_trace_all, 0},
    {0},
};

static const struct bench_entry cost[] = {
    {"ggmk as it boots", "", &gmk_cost_default, 0},
    {"ggmk histograms off", "", &gmk_cost_untimed, 0},
    {"ggmk two more counters per task", "", &gmk_cost_counted, 0},
    {"ggmk two tenants", "", &gmk_cost_tenants, 0},
    {"ggmk trace warn", "", &gmk_cost_warn, 0},
    {"ggmk trace all", "", &gmk_cost_all, 0},
    {0},
};

/* name, kind, rounds, {workers, count, gap}, contestants */
static const struct bench_job jobs[] = {
    {"submit 1 worker", BENCH_RATE, ROUNDS, {1, MILLION, 0}, submit},
    {"submit 2 workers", BENCH_RATE, ROUNDS, {2, MILLION, 0}, submit},
    {"submit by 32 1 worker", BENCH_RATE, ROUNDS, {1, MILLION, 0}, submit_bulk},
    {"submit by 32 2 workers", BENCH_RATE, ROUNDS, {2, MILLION, 0}, submit_bulk},
    {"tree 1 worker", BENCH_RATE, ROUNDS, {1, TREE_TASKS, 0}, tree},
    {"tree 2 workers", BENCH_RATE, ROUNDS, {2, TREE_TASKS, 0}, tree},
    {"wake after 50 us", BENCH_LATENCY, ROUNDS, {1, NEAR_SAMPLES, NEAR_NS}, wake},
    {"wake after 2 ms", BENCH_LATENCY, ROUNDS, {1, FAR_SAMPLES, FAR_NS}, wake},
    {"idle 2 workers", BENCH_IDLE, ROUNDS, {2, 1000, 0}, idle},
    {"channel", BENCH_STREAM, ROUNDS, {1, STREAM_MESSAGES, 0}, channel},
    {"channel from cold", BENCH_LATENCY, ROUNDS, {1, FAR_SAMPLES, FAR_NS}, channel_cold},
    {"fan-out to 3", BENCH_STREAM, ROUNDS, {2, FAN_MESSAGES, 0}, fan_out},
    {"cost of observing submit", BENCH_RATE, COST_ROUNDS, {1, MILLION / 2, 0}, cost_submit},
    {"cost of observing tasks", BENCH_CPU, COST_ROUNDS, {1, 2 * MILLION, 0}, cost},
};

#define N_JOBS (sizeof jobs / sizeof *jobs)

struct options {
    unsigned rounds; /* 0: each job's own */
    bool list;
    char **names;
    int n_names;
};

static struct options read_options(int argc, char **argv) {
    struct options o = {0};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            o.rounds = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--list") == 0) {
            o.list = true;
        } else {
            fprintf(stderr, "usage: %s [--rounds N] [--list] [NAME-PART ...]\n", argv[0]);
            exit(2);
        }
    }
    o.names = argv + i;
    o.n_names = argc - i;
    return o;
}

static bool wanted(const struct options *o, const char *name) {
    for (int i = 0; i < o->n_names; i++) {
        if (strstr(name, o->names[i]) != NULL) {
            return true;
        }
    }
    return o->n_names == 0;
}

int main(int argc, char **argv) {
    struct options o = read_options(argc, argv);
    if (o.list) {
        for (size_t i = 0; i < N_JOBS; i++) {
            puts(jobs[i].name);
        }
        return 0;
    }
    bench_pin_submitter();
    bench_print_machine();
    bench_print_distance("before");
    for (size_t i = 0; i < N_JOBS; i++) {
        if (wanted(&o, jobs[i].name)) {
            bench_run_job(&jobs[i], o.rounds);
        }
    }
    bench_print_distance("after");
    return 0;
}
