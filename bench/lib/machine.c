/* Machine: places for threads, the clock, and what the reader must know about the host.
 *
 * Two cores of a virtual machine can be near (one cache) or far, and that can change from
 * one moment to the next; every rate between two threads hangs on it. So the one-way time of
 * a cache line is measured before and after the jobs and in each round of a job, and printed
 * with them. */
#include "bench/lib/bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX     256u
#define PROBE_TRIPS  20000u
#define PROBE_ROUNDS 7u
#define PROBE_WARM   500u /* trips until the other thread runs and is warm, not counted */
#define BUSY_NS      500.0 /* no two cores of one machine are so far apart: somebody takes CPU time */

uint64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPUs this process was allowed to use when it started; pinning must not narrow it. */
static unsigned allowed_cpus[CPUS_MAX];
static unsigned n_allowed;

static void find_allowed_cpus(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
            if (CPU_ISSET(cpu, &set)) {
                allowed_cpus[n_allowed++] = cpu;
            }
        }
    }
    if (n_allowed == 0) {
        allowed_cpus[n_allowed++] = 0;
    }
}

static unsigned place(unsigned index) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_allowed_cpus);
    return allowed_cpus[index % n_allowed];
}

static void pin_to(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        fprintf(stderr, "bench: cannot pin a thread to CPU %u; timings will wander\n", cpu);
    }
}

void bench_unpin(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < n_allowed; i++) {
        CPU_SET(allowed_cpus[i], &set);
    }
    sched_setaffinity(0, sizeof set, &set);
}

void bench_pin_submitter(void) {
    pin_to(place(0));
    /* Naps of the submitter should last as long as asked, not 50 us longer. */
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
}

unsigned bench_worker_cpu(unsigned worker) {
    return place(worker + 1);
}

void bench_pin_worker(unsigned worker) {
    pin_to(bench_worker_cpu(worker));
}

void bench_sleep_ns(uint64_t ns) {
    struct timespec nap = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&nap, NULL);
}

/* ---- One-way time of a cache line ------------------------------------------------------ */

/* Two words on two lines: each is written by one thread and read by the other. */
static struct {
    uint64_t ping;
    uint64_t pad0[15];
    uint64_t pong;
    uint64_t pad1[15];
} probe __attribute__((aligned(128)));

static void *probe_echo(void *arg) {
    uint64_t trips = *(const uint64_t *)arg;
    bench_pin_worker(0);
    for (uint64_t trip = 1; trip <= trips; trip++) {
        /* Pairs with the store of ping in bench_distance_ns(); the answer pairs with its load. */
        while (__atomic_load_n(&probe.ping, __ATOMIC_ACQUIRE) != trip) {
            bench_relax();
        }
        __atomic_store_n(&probe.pong, trip, __ATOMIC_RELEASE);
    }
    return NULL;
}

double bench_distance_ns(uint64_t trips) {
    pthread_t echo;
    uint64_t all = trips + PROBE_WARM;
    probe.ping = 0;
    probe.pong = 0;
    if (n_allowed < 2 || pthread_create(&echo, NULL, probe_echo, &all) != 0) {
        return 0;
    }
    uint64_t start = 0;
    for (uint64_t trip = 1; trip <= all; trip++) {
        if (trip == PROBE_WARM) {
            start = bench_now_ns();
        }
        /* Pairs with the load of ping in probe_echo(); the wait pairs with its store. */
        __atomic_store_n(&probe.ping, trip, __ATOMIC_RELEASE);
        while (__atomic_load_n(&probe.pong, __ATOMIC_ACQUIRE) != trip) {
            bench_relax();
        }
    }
    uint64_t end = bench_now_ns();
    pthread_join(echo, NULL);
    return (double)(end - start) / (2.0 * (double)(trips + 1));
}

void bench_print_distance(const char *when) {
    double one_way[PROBE_ROUNDS];
    if (n_allowed < 2) {
        printf("# one-way cache line %s: one CPU only, not measured\n", when);
        return;
    }
    for (unsigned i = 0; i < PROBE_ROUNDS; i++) {
        one_way[i] = bench_distance_ns(PROBE_TRIPS);
    }
    double median = bench_quantile(one_way, PROBE_ROUNDS, 0.5); /* sorts */
    printf("# one-way cache line CPU %u to %u %s: %.0f ns (%.0f to %.0f)\n", place(0), place(1),
           when, median, one_way[0], one_way[PROBE_ROUNDS - 1]);
    double load = 0;
    if (getloadavg(&load, 1) == 1) {
        printf("# load average %s: %.2f\n", when, load);
    }
    if (median > BUSY_NS) {
        printf("# BUSY: other programs ran %s these jobs; the figures are not fit to compare\n",
               when);
    }
    fflush(stdout);
}

/* ---- Facts -------------------------------------------------------------------------------- */

static void print_cpu_model(void) {
    char line[256];
    FILE *info = fopen("/proc/cpuinfo", "r");
    if (info == NULL) {
        return;
    }
    while (fgets(line, sizeof line, info) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            printf("# cpu:%s", colon + 1);
            break;
        }
    }
    fclose(info);
}

void bench_print_machine(void) {
    struct utsname name;
    print_cpu_model();
    unsigned submitter = place(0);
    printf("# cpus: %u\n", n_allowed);
    if (uname(&name) == 0) {
        printf("# kernel: %s %s\n", name.sysname, name.release);
    }
    printf("# compiler: %s\n", __VERSION__);
    printf("# places: submitter on CPU %u, worker 1 on CPU %u, worker 2 on CPU %u%s\n", submitter,
           bench_worker_cpu(0), bench_worker_cpu(1),
           bench_worker_cpu(1) == submitter ? " (shared with the submitter)" : "");
}
