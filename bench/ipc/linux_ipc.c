/* Linux column of the IPC benchmarks: the same jobs by Linux's own means, as the first program of a
 * Linux guest.
 *
 * Prints the lines of bench/ipc/run's table (see ipc_bench.h for what a sample is) and powers off. The
 * word rt=SECONDS on the command line adds the timer under load. Everything runs on CPU 0 unless a
 * job says otherwise. */
#define _GNU_SOURCE
#include "bench/ipc/ipc_bench.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    printf("peer: %s: %s\n", what, strerror(errno));
    (void)fflush(stdout);
    (void)reboot(RB_POWER_OFF);
    _exit(1);
}

static void need(bool done, const char *what) {
    if (!done)
        die(what);
}

static void print_line(const char *name, uint64_t p50, uint64_t worst) {
    printf("bench %s p50 %llu worst %llu\n", name, (unsigned long long)p50,
           (unsigned long long)worst);
    (void)fflush(stdout);
}

/* ---- One thread ---------------------------------------------------------------------------- */

static void job_null(void *arg) {
    (void)arg;
    (void)syscall(SYS_getppid);
}

static void job_eventfd_write(void *arg) {
    uint64_t one = 1;
    need(write(*(int *)arg, &one, sizeof one) == sizeof one, "eventfd");
}

#define FAULT_PAGES ((IPC_SAMPLES + IPC_WARM) * IPC_BATCH)
static char *map_pages(size_t count) {
    char *at =
        mmap(NULL, count * 4096u, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(at != MAP_FAILED, "mmap");
    return at;
}

static void job_fault(void *arg) {
    char **at = arg;
    *(volatile char *)*at = 1;
    *at += 4096;
}

static void *nothing(void *arg) {
    return arg;
}

static void job_thread(void *arg) {
    (void)arg;
    pthread_t thread;
    need(pthread_create(&thread, NULL, nothing, NULL) == 0, "pthread_create");
    need(pthread_join(thread, NULL) == 0, "pthread_join");
}

static void job_program(void *arg) {
    (void)arg;
    char *const argv[] = {"/tiny", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        (void)execv(argv[0], argv);
        _exit(127);
    }
    int status = 0;
    need(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "vfork, exec, wait");
}

/* ---- Two threads or processes ------------------------------------------------------------------ */

static _Atomic uint32_t
    ball; /* whose turn it is: 0 the measuring thread, 1 the partner, 2 the end */

static void futex_until(uint32_t mine) {
    for (uint32_t now; (now = atomic_load(&ball)) != mine && now != 2;)
        (void)syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

static void futex_pass(uint32_t to) {
    atomic_store(&ball, to);
    (void)syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *futex_partner(void *arg) {
    for (futex_until(1); atomic_load(&ball) != 2; futex_until(1))
        futex_pass(0);
    return arg;
}

static void job_futex(void *arg) {
    (void)arg;
    futex_pass(1);
    futex_until(0);
}

struct pipes {
    int there[2], back[2];
};

static void pass_on(int from, int to) {
    char byte;
    while (read(from, &byte, 1) == 1)
        need(write(to, &byte, 1) == 1, "write");
}

static void job_pipe(void *arg) {
    struct pipes *p = arg;
    char byte = 1;
    need(write(p->there[1], &byte, 1) == 1 && read(p->back[0], &byte, 1) == 1, "pipe");
}

static void *event_partner(void *arg) {
    struct pipes *p = arg;
    uint64_t value;
    while (read(p->there[0], &value, sizeof value) == sizeof value && value == 1)
        need(write(p->back[0], &value, sizeof value) == sizeof value, "eventfd");
    return arg;
}

static void job_event(void *arg) {
    struct pipes *p = arg;
    uint64_t value = 1;
    need(write(p->there[0], &value, sizeof value) == sizeof value &&
             read(p->back[0], &value, sizeof value) == sizeof value,
         "eventfd");
}

static _Atomic bool yield_ends;
static void *yield_partner(void *arg) {
    while (!atomic_load(&yield_ends))
        (void)sched_yield();
    return arg;
}

/* Under SCHED_FIFO, equals take turns at every yield; under the usual policy they need not. */
static void set_fifo(int priority) {
    struct sched_param urgent = {.sched_priority = priority};
    need(sched_setscheduler(0, priority != 0 ? SCHED_FIFO : SCHED_OTHER, &urgent) == 0, "policy");
}

static void job_yield(void *arg) {
    (void)arg;
    (void)sched_yield();
}

static pthread_t start(void *(*fn)(void *), void *arg) {
    pthread_t thread;
    need(pthread_create(&thread, NULL, fn, arg) == 0, "pthread_create");
    return thread;
}

static void pairs(void) {
    pthread_t partner = start(futex_partner, NULL);
    ipc_bench("call-same", 1, job_futex, NULL, print_line);
    futex_pass(2);
    need(pthread_join(partner, NULL) == 0, "join");

    struct pipes p;
    need(pipe(p.there) == 0 && pipe(p.back) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(p.there[1]);
        pass_on(p.there[0], p.back[1]);
        _exit(0);
    }
    ipc_bench("call-cross", 1, job_pipe, &p, print_line);
    ipc_bench("channel", 1, job_pipe, &p, print_line);
    (void)close(p.there[1]);
    need(waitpid(pid, NULL, 0) == pid, "wait");

    p.there[0] = eventfd(0, 0);
    p.back[0] = eventfd(0, 0);
    partner = start(event_partner, &p);
    ipc_bench("signal-round", 1, job_event, &p, print_line);
    uint64_t last = 2;
    need(write(p.there[0], &last, sizeof last) == sizeof last, "eventfd");
    need(pthread_join(partner, NULL) == 0, "join");

    set_fifo(1); /* the partner inherits it */
    partner = start(yield_partner, NULL);
    ipc_bench("yield", 2, job_yield, NULL, print_line); /* there and back */
    atomic_store(&yield_ends, true);
    need(pthread_join(partner, NULL) == 0, "join");
    set_fifo(0);
}

/* ---- A timer under load ------------------------------------------------------------------------- */

static _Noreturn void forever(void (*job)(void *arg), void *arg) {
    for (;;)
        job(arg);
}
static void *hog_memory(void *arg) {
    for (;;) {
        char *at = map_pages(256), *page = at;
        for (unsigned i = 0; i < 256; i++)
            job_fault(&page);
        need(munmap(at, (size_t)256 * 4096) == 0, "munmap");
    }
    return arg;
}
static void *hog_pipe(void *arg) {
    forever(job_pipe, arg);
}
static void *hog_echo(void *arg) {
    struct pipes *p = arg;
    pass_on(p->there[0], p->back[1]);
    return arg;
}
static void *hog_programs(void *arg) {
    forever(job_program, arg);
}

/* The comparison is `preempt=full` on the guest's command line. */
static void real_time(uint64_t seconds) {
    static struct pipes p;
    need(pipe(p.there) == 0 && pipe(p.back) == 0, "pipe");
    for (unsigned i = 0; i < 2; i++)
        (void)start(hog_memory, NULL);
    (void)start(hog_pipe, &p);
    (void)start(hog_echo, &p);
    (void)start(hog_programs, NULL);
    set_fifo(80);
    need(mlockall(MCL_CURRENT) == 0, "mlockall");
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    struct rt_histogram late = {0};
    for (uint64_t n = 0; n < seconds * 1000; n++) {
        at.tv_nsec += 1000000;
        if (at.tv_nsec >= 1000000000) {
            at.tv_nsec -= 1000000000;
            at.tv_sec++;
        }
        need(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0, "sleep");
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        rt_add(&late, (uint64_t)((now.tv_sec - at.tv_sec) * 1000000000 + now.tv_nsec - at.tv_nsec));
    }
    rt_print(&late, "timer-loaded", print_line);
}

static uint64_t word(const char *line, const char *name) {
    const char *found = strstr(line, name);
    return found == NULL ? 0 : strtoull(found + strlen(name), NULL, 10);
}

int main(void) {
    char line[4096] = "";
    need(mount("proc", "/dev", "proc", 0, NULL) == 0, "/proc");
    FILE *file = fopen("/dev/cmdline", "r");
    need(file != NULL && fgets(line, sizeof line, file) != NULL, "/proc/cmdline");
    (void)fclose(file);
    uint64_t seconds = word(line, "rt=");
    if (seconds != 0)
        real_time(seconds);
    else {
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        need(sched_setaffinity(0, sizeof first, &first) == 0, "affinity");
        int event = eventfd(0, EFD_NONBLOCK);
        ipc_bench("null", 1, job_null, NULL, print_line);
        ipc_bench("signal-nobody", 1, job_eventfd_write, &event, print_line);
        pairs();
        ipc_bench("thread", 1, job_thread, NULL, print_line);
        ipc_bench("unit", 1, job_program, NULL, print_line);
        char *page = map_pages(FAULT_PAGES);
        (void)madvise(page, (size_t)FAULT_PAGES * 4096, MADV_NOHUGEPAGE);
        ipc_bench("fault", 1, job_fault, &page, print_line);
    }
    (void)fflush(stdout);
    (void)reboot(RB_POWER_OFF);
    return 1;
}
