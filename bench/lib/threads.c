/* Threads: which threads of this process are whose, and moving them to their places.
 *
 * A library's worker threads are not ours to start, so their places are set from outside: the
 * threads that appeared between two looks at /proc/self/task are the library's, in the order
 * of their ids, which is the order of their birth. */
#include "bench/lib/bench.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOTED_MAX 256u

static long noted[NOTED_MAX];
static unsigned n_noted;

static int compare_ids(const void *a, const void *b) {
    long x = *(const long *)a;
    long y = *(const long *)b;
    return (x > y) - (x < y);
}

unsigned bench_threads_list(long *ids, unsigned max) {
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && n < max;) {
        long id = strtol(entry->d_name, NULL, 10);
        if (id > 0) {
            ids[n++] = id;
        }
    }
    closedir(dir);
    qsort(ids, n, sizeof *ids, compare_ids);
    return n;
}

double bench_thread_cpu_ns(long id) {
    /* The kernel's encoding of "CPU clock of thread id" (linux: posix-timers, CPUCLOCK_SCHED). */
    clockid_t clock = (clockid_t)((~(unsigned)id << 3) | 6u);
    struct timespec used;
    if (clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

double bench_others_cpu_ns(void) {
    long ids[NOTED_MAX];
    unsigned n = bench_threads_list(ids, NOTED_MAX);
    double sum = 0;
    for (unsigned i = 0; i < n; i++) {
        sum += ids[i] == (long)getpid() ? 0 : bench_thread_cpu_ns(ids[i]);
    }
    return sum;
}

void bench_threads_note(void) {
    n_noted = bench_threads_list(noted, NOTED_MAX);
}

void bench_threads_pin_new(unsigned workers) {
    long ids[NOTED_MAX];
    unsigned n = bench_threads_list(ids, NOTED_MAX);
    unsigned worker = 0;
    for (unsigned i = 0; i < n; i++) {
        if (bsearch(&ids[i], noted, n_noted, sizeof *noted, compare_ids) == NULL) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(bench_worker_cpu(worker++ % workers), &set);
            sched_setaffinity((pid_t)ids[i], sizeof set, &set);
        }
    }
}
