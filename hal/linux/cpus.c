/* CPUs on Linux: those the process may use, numbered from 0.
 *
 * A container or taskset(1) may leave the process CPUs 4 and 5 only. The engine counts them
 * as 0 and 1; this file keeps the table both ways. It is read once, so that numbers mean the
 * same thing for the life of the process, from the affinity mask of the thread that asks
 * first (new threads inherit that mask, so it is what the engine's threads would get). */
#define _GNU_SOURCE 1

#include "hal/linux/cpus.h"

#include "hal/hal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define CPUS_MAX CPU_SETSIZE /* 1,024: what a cpu_set_t of fixed size can name */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned cpu_count;               /* set by cpus_read(), constant after */
static uint16_t number_to_cpu[CPUS_MAX]; /* likewise */
static uint16_t cpu_to_number[CPUS_MAX]; /* likewise; 0 for CPUs outside the mask */

static void cpus_read(void) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
            if (CPU_ISSET(cpu, &allowed)) {
                cpu_to_number[cpu] = (uint16_t)cpu_count;
                number_to_cpu[cpu_count] = (uint16_t)cpu;
                cpu_count++;
            }
        }
    }
    if (cpu_count == 0) { /* more than 1,024 CPUs, or a sandbox that hides the mask */
        cpu_count = 1;
    }
}

unsigned hal_cpu_count(void) {
    pthread_once(&once, cpus_read);
    return cpu_count;
}

unsigned hal_cpu_current(void) {
    pthread_once(&once, cpus_read);
    int cpu = sched_getcpu();
    return cpu >= 0 && cpu < CPUS_MAX ? cpu_to_number[cpu] : 0;
}

int cpus_pin_attr(pthread_attr_t *attr, unsigned number) {
    if (number >= hal_cpu_count()) {
        return EINVAL;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number_to_cpu[number], &one);
    return pthread_attr_setaffinity_np(attr, sizeof one, &one);
}
