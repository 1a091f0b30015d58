/* Signals inside the kernel: there are none; see unistd.h. */
#pragma once

#define SIGQUIT 3
#define SIGABRT 6
#define SIGUSR1 10
#define SIG_DFL ((void (*)(int))0)

struct sigaction {
    void (*sa_handler)(int);
};

void (*signal(int number, void (*handler)(int)))(int);
int sigaction(int number, const struct sigaction *action, struct sigaction *before);
int raise(int number);
