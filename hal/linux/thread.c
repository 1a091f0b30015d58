/* Threads on Linux: pthreads that leave the program's signals alone.
 *
 * A library's threads must not run the program's signal handlers: they have their own stack
 * size, and a handler that calls into the engine would find itself inside a worker. So every
 * signal is blocked in them but the faults a thread causes itself and the profiler's clock. */
#define _GNU_SOURCE 1

#include "hal/hal.h"
#include "hal/linux/cpus.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NAME_SIZE 16 /* Linux: 15 bytes and the terminator */

/* Timed waits of a thread end up to this much late, so that the kernel can gather timers.
 * The default of 50 us would be most of a timed task's lateness. */
#define TIMER_SLACK_NS 1000UL

struct start {
    void (*fn)(void *arg);
    void *arg;
    char name[NAME_SIZE];
};

static void *thread_main(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    if (start.name[0] != '\0') {
        pthread_setname_np(pthread_self(), start.name);
    }
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    start.fn(start.arg);
    return NULL;
}

static void signals_of_a_worker(sigset_t *blocked) {
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigfillset(blocked);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        sigdelset(blocked, kept[i]);
    }
}

/* Returns 0 or a positive error number. */
static int fill_attr(pthread_attr_t *attr, size_t stack_size, int cpu) {
    if (stack_size > 0) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN) + page;
        size_t size = stack_size < least ? least : stack_size;
        int error = pthread_attr_setstacksize(attr, (size + page - 1) & ~(page - 1));
        if (error != 0) {
            return error;
        }
    }
    return cpu >= 0 ? cpus_pin_attr(attr, (unsigned)cpu) : 0;
}

/* The new thread inherits the mask of its creator: block, create, restore. */
static int create_masked(pthread_t *id, const pthread_attr_t *attr, struct start *start) {
    sigset_t blocked, before;
    signals_of_a_worker(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(id, attr, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int hal_thread_start(struct hal_thread *out, const char *name, size_t stack_size, int cpu,
                     void (*fn)(void *arg), void *arg) {
    struct start *start = calloc(1, sizeof *start);
    if (start == NULL) {
        return -ENOMEM;
    }
    start->fn = fn;
    start->arg = arg;
    if (name != NULL) {
        strncpy(start->name, name, NAME_SIZE - 1); /* calloc() left the terminator */
    }
    pthread_attr_t attr;
    pthread_t id = 0;
    int error = pthread_attr_init(&attr);
    if (error == 0) {
        error = fill_attr(&attr, stack_size, cpu);
        if (error == 0) {
            error = create_masked(&id, &attr, start);
        }
        pthread_attr_destroy(&attr);
    }
    if (error != 0) {
        free(start);
        return -error;
    }
    out->opaque[0] = (uintptr_t)id;
    out->opaque[1] = 0;
    return 0;
}

void hal_thread_join(struct hal_thread *thread) {
    if (pthread_join((pthread_t)thread->opaque[0], NULL) != 0) {
        hal_panic("hal_thread_join: no such thread, or a thread that joins itself");
    }
}
