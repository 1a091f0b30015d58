/* Test of priority inheritance: a thread that works for another is as urgent as that one, through chains of
 * servers, and not a moment longer, whatever ends the call. */
#include "tests/user/lib/utest.h"
#include "user/lib/sys.h"
#include "user/lib/thread.h"

#include <stdatomic.h>

#define MS       UINT64_C(1000000)
#define OWN      100u /* of all servers */
#define DEPTH    8u
#define LABEL_GO 1u /* pass it on */
#define ROUNDS   40u

struct actor {
    struct thread *thread;
    gmk_handle_t port, next; /* receives here; calls on there, 0: it is the last */
    struct ipc m;
    uint64_t timeout;
    int status;
    _Atomic uint32_t hold, holds, done;
};

static gmk_thread_info_t info_of(const struct actor *a) {
    gmk_thread_info_t info = {.state = GMK_THREAD_EXITED};
    (void)sys_thread_info(a->thread->handle, &info);
    return info;
}

static unsigned now_of(const struct actor *a) {
    return info_of(a).effective;
}

static bool start(struct actor *a, unsigned priority, void (*fn)(void *)) {
    atomic_store(&a->done, 0);
    if (thread_start(&a->thread, "actor", priority, 0, fn, a) != GMK_OK)
        return false;
    const gmk_sched_args_t fixed = {.priority = (uint16_t)priority, .flags = GMK_SCHED_FIXED};
    int64_t status = sys_thread_sched(a->thread->handle, &fixed);
    return status == GMK_OK || status == GMK_ESTATE; /* it may have run to its end already */
}

static void until_it_waits(const struct actor *a) {
    while (info_of(a).state != GMK_THREAD_BLOCKED && atomic_load(&a->done) == 0)
        utest_pause();
}

/* Its effective priority becomes this, soon; false after a second. */
static bool becomes(const struct actor *a, unsigned priority) {
    for (unsigned i = 0; i < 1000; i++) {
        if (now_of(a) == priority)
            return true;
        utest_pause();
    }
    utest_note("effective priority %u, not %u", now_of(a), priority);
    return false;
}

/* Serves until its port is gone. With `hold` set it keeps a request until that is cleared. */
static void serve(void *arg) {
    struct actor *a = arg;
    a->status = ipc_recv(a->port, &a->m, GMK_FOREVER);
    while (a->status == GMK_OK) {
        uint32_t token = a->m.token;
        if (a->next != 0) {
            struct ipc m = {.tag = GMK_TAG(LABEL_GO, 8, 0), .w = {a->m.w[0] + 1}};
            int status = ipc_call(a->next, &m, GMK_FOREVER);
            a->m.w[0] = status == GMK_OK ? m.w[0] : (uint64_t)(int64_t)status;
        }
        atomic_store(&a->holds, 1);
        while (atomic_load(&a->hold) != 0)
            (void)sys_word_wait(&a->hold, 1, GMK_FOREVER);
        atomic_store(&a->holds, 0);
        a->m.token = token;
        a->m.tag = GMK_TAG(LABEL_GO, 8, 0);
        a->status = ipc_reply_recv(a->port, &a->m, GMK_FOREVER);
    }
    atomic_store(&a->done, 1);
}

static void call_once(void *arg) {
    struct actor *a = arg;
    a->status = ipc_call(a->port, &a->m, a->timeout != 0 ? a->timeout : GMK_FOREVER);
    atomic_store(&a->done, 1);
}

static void let_go(struct actor *a) {
    atomic_store(&a->hold, 0);
    (void)sys_word_wake(&a->hold, 1);
}

static struct actor chain[DEPTH];

static bool build(void) {
    for (unsigned i = 0; i < DEPTH; i++) {
        int64_t port = sys_port_create(GMK_SELF_FACTORY);
        if (port < 0)
            return false;
        chain[i] = (struct actor){.port = (gmk_handle_t)port};
    }
    for (unsigned i = 0; i < DEPTH; i++) {
        chain[i].next = i + 1 < DEPTH ? chain[i + 1].port : 0;
        if (!start(&chain[i], OWN, serve))
            return false;
        until_it_waits(&chain[i]);
    }
    return true;
}

static bool take_down(void) {
    for (unsigned i = 0; i < DEPTH; i++)
        if (sys_cap_drop(chain[i].port) != GMK_OK)
            return false;
    for (unsigned i = 0; i < DEPTH; i++) {
        thread_join(chain[i].thread);
        if (chain[i].status != GMK_EHANDLE)
            return false;
    }
    return true;
}

static bool all_become(unsigned priority) {
    for (unsigned i = 0; i < DEPTH; i++)
        if (!becomes(&chain[i], priority))
            return false;
    return true;
}

static bool client(struct actor *c, unsigned priority, uint64_t timeout) {
    *c = (struct actor){
        .port = chain[0].port, .m = {.tag = GMK_TAG(LABEL_GO, 8, 0)}, .timeout = timeout};
    return start(c, priority, call_once);
}

/* ---- Promises --------------------------------------------------------------------------------- */

static void eight_servers_in_a_row_inherit_and_give_back(void) {
    static struct actor c;
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c, 130, 0));
    EXPECT(all_become(130));
    let_go(&chain[DEPTH - 1]);
    thread_join(c.thread);
    EXPECT_EQ(c.status, GMK_OK);
    EXPECT_EQ(c.m.w[0], DEPTH - 1);
    EXPECT(all_become(OWN));
    EXPECT(take_down());
}

static void those_who_wait_in_the_queue_count_and_the_most_urgent_wins(void) {
    static struct actor c[3];
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c[0], 110, 0));
    EXPECT(all_become(110));
    EXPECT(client(&c[1], 140, 0));
    EXPECT(all_become(140));
    EXPECT(client(&c[2], 120, 0));
    until_it_waits(&c[2]);
    EXPECT(all_become(140));
    let_go(&chain[DEPTH - 1]);
    for (unsigned i = 0; i < 3; i++) {
        thread_join(c[i].thread);
        EXPECT_EQ(c[i].status, GMK_OK);
    }
    EXPECT(all_become(OWN));
    EXPECT(take_down());
}

static void a_change_of_the_callers_priority_goes_along_the_chain(void) {
    static struct actor c;
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c, 110, 0));
    EXPECT(all_become(110));
    for (unsigned priority = 150; priority >= 110; priority -= 20) {
        const gmk_sched_args_t args = {.priority = (uint16_t)priority, .flags = GMK_SCHED_FIXED};
        EXPECT_EQ(sys_thread_sched(c.thread->handle, &args), GMK_OK);
        EXPECT(all_become(priority));
    }
    let_go(&chain[DEPTH - 1]);
    thread_join(c.thread);
    EXPECT(all_become(OWN));
    EXPECT(take_down());
}

static void a_caller_that_gives_up_takes_its_priority_back(void) {
    static struct actor c, queued;
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c, 130, 3000 * MS));
    EXPECT(all_become(130));
    EXPECT(client(&queued, 150, 1000 * MS)); /* times out in the queue */
    thread_join(queued.thread);
    EXPECT_EQ(queued.status, GMK_ETIMEOUT);
    thread_join(c.thread); /* and this one while it is served */
    EXPECT_EQ(c.status, GMK_ETIMEOUT);
    EXPECT_EQ(now_of(&chain[0]), OWN);
    let_go(&chain[DEPTH - 1]);
    EXPECT(all_become(OWN));
    EXPECT(client(&c, 120, 0)); /* the dead token was passed over */
    thread_join(c.thread);
    EXPECT_EQ(c.status, GMK_OK);
    EXPECT(take_down());
}

static void a_killed_caller_takes_its_priority_back(void) {
    static struct actor c[2];
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c[0], 130, 0));
    EXPECT(all_become(130));
    EXPECT(client(&c[1], 150, 0)); /* in the queue */
    EXPECT(all_become(150));
    EXPECT_EQ(sys_thread_kill(c[1].thread->handle, 0), GMK_OK);
    EXPECT(becomes(&chain[0], 130));
    EXPECT_EQ(sys_thread_kill(c[0].thread->handle, 0), GMK_OK);
    EXPECT(becomes(&chain[0], OWN));
    let_go(&chain[DEPTH - 1]);
    EXPECT(all_become(OWN));
    EXPECT(take_down());
}

static void a_server_that_dies_in_the_middle_fails_its_caller_and_lets_the_others_be(void) {
    for (unsigned dies = 0; dies < DEPTH; dies++) {
        static struct actor c;
        EXPECT(build());
        atomic_store(&chain[DEPTH - 1].hold, 1);
        EXPECT(client(&c, 130, 0));
        EXPECT(all_become(130));
        EXPECT_EQ(sys_thread_kill(chain[dies].thread->handle, 0), GMK_OK);
        thread_join(c.thread);
        if (dies == 0)
            EXPECT_EQ(c.status, GMK_EPEER);
        else
            EXPECT_EQ((int64_t)c.m.w[0], GMK_EPEER);
        let_go(&chain[DEPTH - 1]);
        for (unsigned i = 0; i < DEPTH; i++)
            EXPECT(i == dies || becomes(&chain[i], OWN));
        for (unsigned i = 0; i < DEPTH; i++)
            EXPECT_EQ(sys_cap_drop(chain[i].port), GMK_OK);
        for (unsigned i = 0; i < DEPTH; i++)
            if (i != dies)
                thread_join(chain[i].thread);
    }
}

static void a_suspended_partner_stops_once_it_has_its_answer(void) {
    static struct actor c;
    EXPECT(build());
    atomic_store(&chain[DEPTH - 1].hold, 1);
    EXPECT(client(&c, 130, 0));
    EXPECT(all_become(130));
    EXPECT_EQ(sys_thread_suspend(c.thread->handle), GMK_OK);
    EXPECT_EQ(now_of(&chain[0]), 130); /* it still waits */
    let_go(&chain[DEPTH - 1]);
    EXPECT(all_become(OWN));
    EXPECT_EQ(info_of(&c).state, GMK_THREAD_STOPPED);
    EXPECT_EQ(atomic_load(&c.done), 0);
    EXPECT_EQ(sys_thread_resume(c.thread->handle), GMK_OK);
    thread_join(c.thread);
    EXPECT_EQ(c.status, GMK_OK);
    /* A suspended receiver gets the message, and answers when it may. */
    EXPECT_EQ(sys_thread_suspend(chain[0].thread->handle), GMK_OK);
    EXPECT(client(&c, 130, 20 * MS));
    thread_join(c.thread);
    EXPECT_EQ(c.status, GMK_ETIMEOUT);
    EXPECT_EQ(sys_thread_resume(chain[0].thread->handle), GMK_OK);
    EXPECT(all_become(OWN));
    EXPECT(client(&c, 130, 0));
    thread_join(c.thread);
    EXPECT_EQ(c.status, GMK_OK);
    EXPECT(take_down());
}

/* Receives, and waits; what is accepted from it leaves. */
static void receive_and_wait(void *arg) {
    struct actor *a = arg;
    a->status = ipc_recv(a->port, &a->m, GMK_FOREVER);
    atomic_store(&a->holds, 1);
    while (atomic_load(&a->hold) != 0)
        (void)sys_word_wait(&a->hold, 1, GMK_FOREVER);
    atomic_store(&a->done, 1);
}

static void accept_and_wait(void *arg) {
    struct actor *a = arg;
    a->status = ipc_accept(a->m.token);
    atomic_store(&a->holds, 1);
    while (atomic_load(&a->hold) != 0)
        (void)sys_word_wait(&a->hold, 1, GMK_FOREVER);
    if (a->status == GMK_OK)
        a->status = ipc_reply(&a->m);
    atomic_store(&a->done, 1);
}

static void an_accepted_call_moves_its_priority(void) {
    static struct actor c, first, second;
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    first = (struct actor){.port = port, .hold = 1};
    EXPECT(start(&first, OWN, receive_and_wait));
    c = (struct actor){.port = port, .m = {.tag = GMK_TAG(LABEL_GO, 8, 0)}};
    EXPECT(start(&c, 130, call_once));
    EXPECT(becomes(&first, 130));
    second = (struct actor){.port = port, .hold = 1, .m = first.m};
    EXPECT(start(&second, OWN, accept_and_wait));
    EXPECT(becomes(&second, 130));
    EXPECT(becomes(&first, OWN));
    let_go(&first); /* its end is of no account to the caller now */
    thread_join(first.thread);
    EXPECT_EQ(atomic_load(&c.done), 0);
    let_go(&second);
    thread_join(second.thread);
    thread_join(c.thread);
    EXPECT_EQ(second.status, GMK_OK);
    EXPECT_EQ(c.status, GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* ---- Many at once ------------------------------------------------------------------------------- */

static _Atomic uint32_t good, late, gone;
static _Atomic uint32_t stop;

/* Calls into the chain at random places with random limits. */
static void call_around(void *arg) {
    struct actor *a = arg;
    uint64_t random = (uintptr_t)a | 1;
    while (atomic_load(&stop) == 0) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct ipc m = {.tag = GMK_TAG(LABEL_GO, 8, 0)};
        unsigned at = (unsigned)(random >> 40) % DEPTH;
        uint64_t timeout = random >> 60 < 8 ? (random >> 33) % 300000 + 1 : GMK_FOREVER;
        int status = ipc_call(chain[at].port, &m, timeout);
        if (status == GMK_OK)
            atomic_fetch_add(&good, m.w[0] == DEPTH - 1 - at ? 1 : 1000000);
        else
            atomic_fetch_add(status == GMK_ETIMEOUT ? &late : &gone, 1);
    }
    a->status = GMK_OK;
    atomic_store(&a->done, 1);
}

static void many_clients_and_servers_leave_every_priority_as_it_was(void) {
    static struct actor c[12];
    EXPECT(build());
    atomic_store(&stop, 0);
    for (unsigned i = 0; i < 12; i++) { /* less urgent than this thread, on one CPU too */
        c[i] = (struct actor){0};
        EXPECT(start(&c[i], 101 + i % 10, call_around));
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        /* Some are killed, stopped and changed meanwhile. */
        unsigned who = i % 12;
        const gmk_sched_args_t args = {.priority = (uint16_t)(101 + 7 * i % 10),
                                       .flags = GMK_SCHED_FIXED};
        if (i % 4 == 0)
            EXPECT_EQ(sys_thread_sched(c[who].thread->handle, &args), GMK_OK);
        if (i % 4 == 1)
            (void)sys_thread_suspend(c[who].thread->handle);
        utest_pause();
        if (i % 4 == 1)
            (void)sys_thread_resume(c[who].thread->handle);
    }
    EXPECT_EQ(sys_thread_kill(c[3].thread->handle, 0), GMK_OK);
    EXPECT_EQ(sys_thread_kill(c[7].thread->handle, 0), GMK_OK);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 12; i++)
        if (i != 3 && i != 7)
            thread_join(c[i].thread);
    EXPECT(atomic_load(&good) > 0 && atomic_load(&good) < 1000000);
    EXPECT_EQ(atomic_load(&gone), 0);
    utest_note("%u answered, %u too late", atomic_load(&good), atomic_load(&late));
    EXPECT(all_become(OWN));
    EXPECT(take_down());
}

int main(void) {
    static const struct utest tests[] = {
        UTEST(eight_servers_in_a_row_inherit_and_give_back),
        UTEST(those_who_wait_in_the_queue_count_and_the_most_urgent_wins),
        UTEST(a_change_of_the_callers_priority_goes_along_the_chain),
        UTEST(a_caller_that_gives_up_takes_its_priority_back),
        UTEST(a_killed_caller_takes_its_priority_back),
        UTEST(a_server_that_dies_in_the_middle_fails_its_caller_and_lets_the_others_be),
        UTEST(a_suspended_partner_stops_once_it_has_its_answer),
        UTEST(an_accepted_call_moves_its_priority),
        UTEST(many_clients_and_servers_leave_every_priority_as_it_was),
    };
    return UTEST_RUN(tests);
}
