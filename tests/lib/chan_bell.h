/* Bells: wakers for tests of pulled subscriptions, and pulling. */
#pragma once

#include "tests/lib/chan_fixture.h"

/* What a puller waits with: `calls` counts the calls, hal_wait() sleeps on it. */
struct bell {
    gmk_waker_t waker;
    _Atomic uint32_t calls;
};

static inline void ring_bell(gmk_waker_t *self) {
    struct bell *bell = (struct bell *)self; /* its first member */
    atomic_fetch_add_explicit(&bell->calls, 1, memory_order_release);
    hal_wake(&bell->calls, UINT32_MAX);
}

static inline uint32_t calls_of(struct bell *bell) {
    return atomic_load_explicit(&bell->calls, memory_order_acquire);
}

static inline int before(void **state) {
    (void)state;
    chan_up(2);
    return 0;
}

static inline int after(void **state) {
    (void)state;
    chan_down();
    return 0;
}

/* Bells stay: a call may come late. */
static inline struct bell *new_bell(void) {
    static struct bell bells[64];
    static uint32_t used;
    struct bell *bell = &bells[used++ % 64];
    bell->waker.wake = ring_bell;
    atomic_store(&bell->calls, 0);
    return bell;
}

static inline uint32_t pull_from(uint32_t chan, struct bell *bell) {
    uint32_t sub = UINT32_MAX;
    ASSERT_OK(gmk_chan_sub_pull(chan_me, chan, &bell->waker, &sub));
    return sub;
}

static inline int pull(uint32_t chan, uint32_t sub, gmk_task_t *out) {
    return gmk_chan_pull(chan_me, chan, sub, UINT32_MAX, out);
}

/* Takes one, which must be there and have this value. */
static inline gmk_task_t expect(uint32_t chan, uint32_t sub, uint64_t value) {
    gmk_task_t task = {0};
    assert_int_equal(pull(chan, sub, &task), GMK_OK);
    assert_int_equal(task.meta0, value);
    return task;
}

static inline void expect_nothing(uint32_t chan, uint32_t sub) {
    gmk_task_t task;
    assert_int_equal(pull(chan, sub, &task), GMK_EAGAIN);
}

/* Waits for a call after `seen`; the fixture's time limit ends a test that waits in vain. */
static inline void await(struct bell *bell, uint32_t seen) {
    while (calls_of(bell) == seen)
        assert_true(hal_wait(&bell->calls, seen, SCHED_LIMIT_NS));
}
