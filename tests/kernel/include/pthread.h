/* POSIX threads inside the kernel: each is a thread of hal/hal.h. */
#pragma once

typedef struct shim_thread *pthread_t;
typedef struct shim_thread_attr pthread_attr_t; /* only ever NULL */

/* 0, or 11 (EAGAIN): no memory or no thread left. */
int pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg);
int pthread_join(pthread_t thread, void **result);
int pthread_kill(pthread_t thread, int signal_number); /* no signals: fails the test */
