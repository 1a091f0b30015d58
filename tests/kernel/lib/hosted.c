/* Hosted facilities: there so that programs link; a test that calls one fails, by its name. Such a
 * test belongs into tests/kernel/hosted_only.h. */
#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTED(type, name, ...)                                \
    type name(__VA_ARGS__) {                                   \
        fail_msg("%s(): the kernel has no such thing", #name); \
    }

#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-parameter"
#else
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

HOSTED(FILE *, fopen, const char *path, const char *mode)
HOSTED(int, fclose, FILE *file)
HOSTED(size_t, fwrite, const void *bytes, size_t size, size_t count, FILE *file)
HOSTED(char *, fgets, char *line, int size, FILE *file)
HOSTED(int, mkstemp, char *path)
HOSTED(int, pthread_kill, pthread_t thread, int signal_number)
HOSTED(pid_t, fork, void)
HOSTED(int, pipe, int ends[2])
HOSTED(int, dup, int file)
HOSTED(int, dup2, int from, int to)
HOSTED(int, close, int file)
HOSTED(int, unlink, const char *path)
HOSTED(ssize_t, read, int file, void *bytes, size_t size)
HOSTED(ssize_t, pread, int file, void *bytes, size_t size, long at)
HOSTED(void, _exit, int status)
HOSTED(int, sigaction, int number, const struct sigaction *action, struct sigaction *before)
HOSTED(int, raise, int number)
HOSTED(pid_t, waitpid, pid_t child, int *status, int options)
HOSTED(DIR *, opendir, const char *path)
HOSTED(struct dirent *, readdir, DIR *folder)
HOSTED(int, closedir, DIR *folder)

void (*signal(int number, void (*handler)(int)))(int) {
    fail_msg("%s(): the kernel has no such thing", __func__);
}
