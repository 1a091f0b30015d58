/* Dump request on Linux: SIGQUIT, which a terminal sends for Ctrl-\.
 *
 * The signal may arrive in any thread at any time, also while the request is being taken
 * back. What makes that safe: the handler counts itself in before it reads the function, and
 * whoever changes the function first clears it, then waits until the count is zero. So no
 * handler mixes an old function with a new argument, and none runs after the request is gone. */
#define _GNU_SOURCE 1

#include "hal/hal.h"

#include <errno.h>
#include <signal.h>

typedef void (*dump_fn)(void *arg);

static struct hal_lock lock; /* serialises the callers of hal_on_dump_request() */

/* Guarded by lock. */
static bool installed;
static struct sigaction before;

/* Read by the handler. */
static _Atomic(dump_fn) request_fn; /* NULL: none */
static void *_Atomic request_arg;   /* changes only while request_fn is NULL and nobody runs */
static _Atomic uint32_t running;    /* handlers between their first and last line */

static void on_signal(int number) {
    (void)number;
    int saved = errno;
    /* Seq_cst, both: pair with the store and load in request_clear(). Either that thread
     * sees this handler's count, or this handler sees NULL. */
    atomic_fetch_add_explicit(&running, 1, memory_order_seq_cst);
    dump_fn fn = atomic_load_explicit(&request_fn, memory_order_seq_cst);
    if (fn != NULL) {
        fn(atomic_load_explicit(&request_arg, memory_order_relaxed));
    }
    /* Release: pairs with the load in request_clear(), which lets fn's data be freed. */
    atomic_fetch_sub_explicit(&running, 1, memory_order_release);
    errno = saved;
}

static void request_clear(void) {
    /* Seq_cst, both: pair with on_signal(). */
    atomic_store_explicit(&request_fn, NULL, memory_order_seq_cst);
    while (atomic_load_explicit(&running, memory_order_seq_cst) != 0) {
        hal_yield_cpu();
    }
}

static bool install(void) {
    struct sigaction action = {.sa_flags = SA_RESTART | SA_ONSTACK};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGQUIT, &action, &before) == 0;
}

bool hal_on_dump_request(void (*fn)(void *arg), void *arg) {
    hal_lock(&lock);
    request_clear();
    if (fn == NULL) {
        if (installed) {
            installed = sigaction(SIGQUIT, &before, NULL) != 0;
        }
    } else {
        installed = installed || install();
        if (installed) {
            atomic_store_explicit(&request_arg, arg, memory_order_relaxed);
            /* Seq_cst, so also release: on_signal() that reads fn reads its arg. */
            atomic_store_explicit(&request_fn, fn, memory_order_seq_cst);
        }
    }
    bool ok = fn == NULL ? !installed : installed;
    hal_unlock(&lock);
    return ok;
}
