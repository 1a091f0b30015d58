/* IPC partners: threads that serve, call and send, for the tests of ports. */
#pragma once

#include "tests/user/lib/utest.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

#define MS     UINT64_C(1000000)
#define NORMAL GMK_PRIORITY_NORMAL
#define HIGH   GMK_PRIORITY_HIGH
#define WORDS  GMK_MSG_WORDS_MAX

/* ---- Partners --------------------------------------------------------------------------------- */

#define LABEL_END 7u /* the server ends */
#define LABEL_ADD 1u

struct partner {
    struct thread *thread;
    gmk_handle_t port;
    struct ipc m;
    uint64_t timeout;
    int status;
    _Atomic uint32_t done;
};

static inline gmk_thread_info_t info_of(const struct partner *p) {
    gmk_thread_info_t info = {.state = GMK_THREAD_EXITED};
    (void)sys_thread_info(p->thread->handle, &info);
    return info;
}

static inline bool start(struct partner *p, gmk_handle_t port, unsigned priority,
                         void (*fn)(void *)) {
    p->port = port;
    atomic_store(&p->done, 0);
    return thread_start(&p->thread, "partner", priority, 0, fn, p) == GMK_OK;
}

static inline void until_it_waits(const struct partner *p) {
    while (info_of(p).state != GMK_THREAD_BLOCKED && atomic_load(&p->done) == 0)
        utest_pause(); /* a yield would keep less urgent ones out */
}

/* Answers with the words plus one, and the label and length that came, until told to end. */
static inline void serve(void *arg) {
    struct partner *p = arg;
    p->status = ipc_recv(p->port, &p->m, GMK_FOREVER);
    while (p->status == GMK_OK && GMK_TAG_LABEL(p->m.tag) != LABEL_END) {
        for (unsigned i = 0; i < 4; i++)
            p->m.w[i]++;
        for (unsigned i = 4; i < WORDS; i++)
            ipc_buffer()->words[i]++;
        p->status = ipc_reply_recv(p->port, &p->m, GMK_FOREVER);
    }
    if (p->status == GMK_OK)
        p->status = ipc_reply(&p->m);
    atomic_store(&p->done, 1);
}

static inline void call_once(void *arg) {
    struct partner *p = arg;
    p->status = ipc_call(p->port, &p->m, p->timeout != 0 ? p->timeout : GMK_FOREVER);
    atomic_store(&p->done, 1);
}

static inline void send_once(void *arg) {
    struct partner *p = arg;
    p->status = ipc_send(p->port, &p->m, p->timeout != 0 ? p->timeout : GMK_FOREVER);
    atomic_store(&p->done, 1);
}

static inline int end_server(struct partner *p) {
    struct ipc m = {.tag = GMK_TAG(LABEL_END, 0, 0)};
    int status = ipc_call(p->port, &m, GMK_FOREVER);
    thread_join(p->thread);
    return status != GMK_OK ? status : p->status;
}
