/* Channel tests, shared: making channels, saying and hearing, partners that wait. */
#pragma once

#include "ggmk/chan.h"
#include "tests/user/lib/utest.h"
#include "user/lib/memory.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <string.h>

#define MS      UINT64_C(1000000)
#define R       GMK_RIGHT_READ
#define W       GMK_RIGHT_WRITE
#define G       GMK_RIGHT_GRANT
#define M       GMK_RIGHT_MANAGE
#define FACTORY GMK_SELF_FACTORY
#define TYPE    7u

static inline gmk_handle_t registry(void) {
    return handle_find("registry");
}

/* Each test has names of its own: an engine gives a name back a little after its last end. */
static inline const char *fresh_name(void) {
    static char name[] = "test.chan.aaa";
    for (char *at = name + sizeof name - 2;; at--) {
        if (*at != 'z') {
            (*at)++;
            return name;
        }
        *at = 'a';
    }
}

static inline int64_t make(const char *name, unsigned options, unsigned slots, uint64_t bytes) {
    gmk_chan_args_t args = {.type = TYPE, .options = options, .slots = slots, .bytes = bytes};
    memcpy(args.name, name, strlen(name) + 1);
    return sys_chan_create(registry(), FACTORY, &args);
}

static inline int64_t open(const char *name, unsigned rights) {
    return sys_chan_open(registry(), FACTORY, name, strlen(name), rights);
}

static inline int64_t say(gmk_handle_t chan, uint64_t value) {
    const gmk_chan_msg_t msg = {.type = TYPE, .meta0 = value};
    return sys_chan_send(chan, &msg, 0);
}

static inline int64_t hear(gmk_handle_t chan, uint64_t *value) {
    gmk_chan_msg_t msg = {.type = 0};
    int64_t status = sys_chan_recv(chan, &msg, 0);
    *value = msg.meta0;
    return status;
}

/* A sender's end and a receiver's. */
struct pair {
    gmk_handle_t out, in;
};

static inline bool pair_with(struct pair *pair, unsigned options, unsigned slots, uint64_t bytes) {
    const char *name = fresh_name();
    int64_t out = make(name, options, slots, bytes), in = out > 0 ? open(name, R) : out;
    pair->out = (gmk_handle_t)out;
    pair->in = (gmk_handle_t)in;
    return in > 0;
}

static inline void pair_drop(const struct pair *pair) {
    (void)sys_cap_drop(pair->in);
    (void)sys_cap_drop(pair->out);
}

/* ---- Partners ------------------------------------------------------------------------------- */

struct partner {
    struct thread *thread;
    gmk_handle_t chan, other;
    uint64_t timeout, count;
    gmk_chan_msg_t msg;
    _Atomic int64_t status;
    _Atomic uint32_t done;
};

static inline bool start(struct partner *p, gmk_handle_t chan, void (*fn)(void *)) {
    p->chan = chan;
    atomic_store(&p->done, 0);
    atomic_store(&p->status, 1);
    if (p->timeout == 0)
        p->timeout = GMK_FOREVER;
    return thread_start(&p->thread, "partner", GMK_PRIORITY_NORMAL, 0, fn, p) == GMK_OK;
}

static inline void until_it_waits(const struct partner *p) {
    gmk_thread_info_t info = {.state = GMK_THREAD_NEW};
    while (info.state != GMK_THREAD_BLOCKED && atomic_load(&p->done) == 0) {
        (void)sys_yield();
        if (sys_thread_info(p->thread->handle, &info) != GMK_OK)
            return;
    }
}

static inline void receive_one(void *arg) {
    struct partner *p = arg;
    atomic_store(&p->status, sys_chan_recv(p->chan, &p->msg, p->timeout));
    atomic_store(&p->done, 1);
}

static inline void send_one(void *arg) {
    struct partner *p = arg;
    p->msg.type = TYPE;
    atomic_store(&p->status, sys_chan_send(p->chan, &p->msg, p->timeout));
    atomic_store(&p->done, 1);
}

static inline void echo(void *arg) {
    struct partner *p = arg;
    int64_t status = GMK_OK;
    for (uint64_t i = 0; i < p->count && status == GMK_OK; i++) {
        status = sys_chan_recv(p->chan, &p->msg, GMK_FOREVER);
        p->msg.meta0++;
        if (status == GMK_OK)
            status = sys_chan_send(p->other, &p->msg, GMK_FOREVER);
    }
    atomic_store(&p->status, status);
    atomic_store(&p->done, 1);
}
