/* Thread-local pointer on Linux: a compiler TLS variable, with a pthread key for the end.
 *
 * Reading the variable is one load; a pthread key is a call. But only a key has a destructor,
 * so the key's value is no more than a flag that makes pthreads call it. */
#include "hal/hal.h"

#include <pthread.h>

_Thread_local void *hal_local;

static _Thread_local void (*at_exit)(void *value); /* the last one asked for */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void thread_ends(void *flag) {
    (void)flag;
    void *value = hal_local;
    hal_local = NULL;
    if (value != NULL) {
        at_exit(value);
    }
}

static void key_create(void) {
    if (pthread_key_create(&key, thread_ends) != 0) {
        hal_panic("hal_local_on_exit: the process has used up its pthread keys");
    }
}

void hal_local_on_exit(void (*fn)(void *value)) {
    pthread_once(&once, key_create);
    at_exit = fn;
    if (pthread_setspecific(key, &at_exit) != 0) {
        hal_panic("hal_local_on_exit: no memory for the thread's key");
    }
}
