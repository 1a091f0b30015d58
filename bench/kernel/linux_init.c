/* Linux init: the first program of the Linux guest that the kernel is compared with.
 *
 * Its first act is a line, so that "start to init's first line" ends there. With the word
 * ggmk_bench=tasks on the command line it then runs the hosted engine's side of the task
 * benchmark, in this guest, under the same counting clock as ours. Then it powers off. */
#define _DEFAULT_SOURCE /* mount(), reboot() */
#include "bench/kernel/task_bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

static bool asked_for_tasks(void) {
    char line[4096] = "";
    if (mount("proc", "/dev", "proc", 0, NULL) != 0)
        return false;
    FILE *file = fopen("/dev/cmdline", "r");
    if (file == NULL)
        return false;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    (void)fclose(file);
    return strstr(line, "ggmk_bench=tasks") != NULL;
}

static void print_line(const char *name, uint64_t p50, uint64_t worst) {
    printf("bench %s p50 %llu worst %llu\n", name, (unsigned long long)p50,
           (unsigned long long)worst);
}

int main(void) {
    (void)write(STDOUT_FILENO, "peer: init runs\n", 16);
    if (asked_for_tasks()) {
        task_bench(print_line);
        (void)fflush(stdout);
    }
    (void)reboot(RB_POWER_OFF);
    return 1;
}
