/* POSIX inside the kernel: there are no processes and no files. Tests that need them are left out
 * by name (tests/kernel/hosted_only.h); so that their programs link, each function here is
 * there, and fails the test that calls it (tests/kernel/lib/hosted.c). */
#pragma once

#include <stddef.h>

typedef int pid_t;
typedef long ssize_t;
#define STDERR_FILENO 2

pid_t fork(void);
int pipe(int ends[2]);
int dup(int file);
int dup2(int from, int to);
int close(int file);
int unlink(const char *path);
ssize_t read(int file, void *bytes, size_t size);
ssize_t pread(int file, void *bytes, size_t size, long at);
void _exit(int status);
