/* POSIX threads: for tests in the guest, over the same threads that the engine gets. */
#include <pthread.h>

#include <stdlib.h>

#include "hal/hal.h"

#define STACK_SIZE (64u * 1024u)
#define NO_THREAD  11 /* EAGAIN */

struct shim_thread {
    struct hal_thread thread;
    void *(*fn)(void *arg);
    void *arg, *result;
};

static void thread_main(void *arg) {
    struct shim_thread *self = arg;
    self->result = self->fn(self->arg);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg) {
    (void)attr;
    struct shim_thread *self = malloc(sizeof(*self));
    if (self == NULL)
        return NO_THREAD;
    *self = (struct shim_thread){.fn = fn, .arg = arg};
    if (hal_thread_start(&self->thread, "test", STACK_SIZE, -1, thread_main, self) != 0) {
        free(self);
        return NO_THREAD;
    }
    *out = self;
    return 0;
}

int pthread_join(pthread_t thread, void **result) {
    hal_thread_join(&thread->thread);
    if (result != NULL)
        *result = thread->result;
    free(thread);
    return 0;
}
