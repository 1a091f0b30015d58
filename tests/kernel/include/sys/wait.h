/* Processes inside the kernel: there are none; see unistd.h. */
#pragma once

#include <unistd.h>

#define WIFEXITED(status)   ((status) == 0)
#define WEXITSTATUS(status) (status)
#define WIFSIGNALED(status) ((status) != 0)
#define WTERMSIG(status)    (status)

pid_t waitpid(pid_t child, int *status, int options);
