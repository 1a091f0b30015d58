/* Test of calls by ports: what arrives, in what order, under which token, and what each error means. */
#include "tests/user/ipc_partner.h"

/* ---- Words ------------------------------------------------------------------------------------ */

static void a_message_of_any_length_arrives_whole_and_nothing_more(void) {
    static struct partner server;
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT(start(&server, port, NORMAL, serve));
    for (unsigned bytes = 0; bytes <= 256; bytes++) {
        struct ipc m = {.tag = GMK_TAG(LABEL_ADD, bytes, 0)};
        gmk_msg_t *buffer = ipc_buffer();
        unsigned words = (bytes + 7) / 8;
        for (unsigned i = 0; i < 4; i++)
            m.w[i] = bytes * 1000 + i;
        for (unsigned i = 4; i < WORDS; i++)
            buffer->words[i] = i < words ? bytes * 1000 + i : 5;
        buffer->reserved[0] = 77;
        EXPECT_EQ(ipc_call(port, &m, GMK_FOREVER), GMK_OK);
        EXPECT_EQ(m.tag, GMK_TAG(LABEL_ADD, bytes, 0));
        for (unsigned i = 0; i < 4; i++)
            EXPECT_EQ(m.w[i], bytes * 1000 + i + 1);
        for (unsigned i = 4; i < WORDS; i++)
            EXPECT_EQ(buffer->words[i], i < words ? bytes * 1000 + i + 1 : 5);
        EXPECT_EQ(buffer->reserved[0], 77);
    }
    EXPECT_EQ(end_server(&server), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void what_no_message_can_be_is_refused(void) {
    gmk_handle_t port, deaf, mute;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    static const uint32_t tags[] = {GMK_TAG(1, 257, 0), GMK_TAG(1, 511, 0), GMK_TAG(1, 0, 5),
                                    GMK_TAG(1, 0, 7),   0x10000000u,        0x80000000u};
    for (unsigned i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        struct ipc m = {.tag = tags[i]};
        EXPECT_EQ(ipc_call(port, &m, 0), GMK_EINVAL);
        m.tag = tags[i];
        EXPECT_EQ(ipc_send(port, &m, 0), GMK_EINVAL);
        m.tag = tags[i];
        EXPECT_EQ(ipc_reply(&m), GMK_EINVAL);
        EXPECT_EQ(ipc_reply_recv(port, &m, 0), GMK_EINVAL);
    }
    struct ipc m = {0};
    EXPECT_EQ(ipc_call(GMK_SELF_FACTORY, &m, 0), GMK_ECAPTYPE);
    EXPECT_EQ(ipc_call(port + 256, &m, 0), GMK_EHANDLE);
    EXPECT_EQ(ipc_recv(0, &m, 0), GMK_EHANDLE);
    EXPECT_GOOD(deaf, sys_cap_derive(port, GMK_RIGHT_WRITE, 1));
    EXPECT_GOOD(mute, sys_cap_derive(port, GMK_RIGHT_READ, 2));
    EXPECT_EQ(ipc_recv(deaf, &m, 0), GMK_ERIGHTS);
    EXPECT_EQ(ipc_reply_recv(deaf, &m, 0), GMK_ERIGHTS);
    EXPECT_EQ(ipc_call(mute, &m, 0), GMK_ERIGHTS);
    EXPECT_EQ(ipc_send(mute, &m, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* ---- Waiting ---------------------------------------------------------------------------------- */

static void nothing_waits_with_no_time_and_a_wait_ends_with_its_time(void) {
    gmk_handle_t port;
    struct ipc m = {0};
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_EQ(ipc_recv(port, &m, 0), GMK_ETIMEOUT);
    m = (struct ipc){0}; /* an error leaves anything there */
    EXPECT_EQ(ipc_call(port, &m, 0), GMK_ETIMEOUT);
    m = (struct ipc){0};
    EXPECT_EQ(ipc_send(port, &m, 0), GMK_ETIMEOUT);
    m = (struct ipc){0};
    EXPECT_EQ(ipc_reply_recv(port, &m, 0), GMK_ETIMEOUT); /* token 0 is a dead one */
    for (unsigned i = 0; i < 3; i++) {
        m = (struct ipc){0};
        int64_t before = sys_time();
        EXPECT_EQ(i == 0   ? ipc_recv(port, &m, 3 * MS)
                  : i == 1 ? ipc_call(port, &m, 3 * MS)
                           : ipc_send(port, &m, 3 * MS),
                  GMK_ETIMEOUT);
        EXPECT(sys_time() - before >= (int64_t)(3 * MS));
    }
    EXPECT_EQ(ipc_recv(port, &m, 0), GMK_ETIMEOUT); /* nothing of them was left behind */
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void callers_queue_by_priority_and_then_first_come(void) {
    static struct partner p[12];
    static const unsigned priority[12] = {60, 50, 60, 70, 50, 40, 70, 60, 40, 50, 70, 40};
    gmk_handle_t port;
    struct ipc m;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 12; i++) {
        p[i].m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 8, 0), .w = {i}};
        EXPECT(start(&p[i], port, priority[i], i % 3 == 0 ? send_once : call_once));
        until_it_waits(&p[i]);
    }
    unsigned last = 255, last_i = 0;
    for (unsigned i = 0; i < 12; i++) {
        EXPECT_EQ(ipc_recv(port, &m, 0), GMK_OK);
        unsigned who = (unsigned)m.w[0];
        EXPECT_EQ(m.token != 0, who % 3 != 0);
        EXPECT(priority[who] <= last && (priority[who] < last || who > last_i));
        last = priority[who];
        last_i = who;
        if (m.token != 0)
            EXPECT_EQ(ipc_reply(&m), GMK_OK);
    }
    for (unsigned i = 0; i < 12; i++) {
        thread_join(p[i].thread);
        EXPECT_EQ(p[i].status, GMK_OK);
    }
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void a_port_that_ends_fails_those_who_wait_but_not_calls_in_progress(void) {
    static struct partner p[40], inside;
    gmk_handle_t port, own;
    struct ipc m;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(own, sys_cap_derive(port, GMK_RIGHT_READ | GMK_RIGHT_WRITE, 5));
    inside.m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 8, 0), .w = {9}};
    EXPECT(start(&inside, own, NORMAL, call_once));
    EXPECT_EQ(ipc_recv(port, &m, GMK_FOREVER), GMK_OK);
    EXPECT_EQ(m.badge, 5);
    for (unsigned i = 0; i < 40; i++) {
        EXPECT(start(&p[i], own, NORMAL, i % 2 == 0 ? call_once : send_once));
        until_it_waits(&p[i]);
    }
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    for (unsigned i = 0; i < 40; i++) {
        thread_join(p[i].thread);
        EXPECT_EQ(p[i].status, GMK_EHANDLE);
    }
    EXPECT_EQ(atomic_load(&inside.done), 0);
    m.w[0] = 10;
    EXPECT_EQ(ipc_reply(&m), GMK_OK);
    thread_join(inside.thread);
    EXPECT_EQ(inside.status, GMK_OK);
    EXPECT_EQ(inside.m.w[0], 10);
    EXPECT_EQ(ipc_call(own, &m, 0), GMK_EHANDLE);
}

static void receivers_of_a_port_that_ends_are_told(void) {
    static struct partner p[20];
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(start(&p[i], port, NORMAL, serve));
        until_it_waits(&p[i]);
    }
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    for (unsigned i = 0; i < 20; i++) {
        thread_join(p[i].thread);
        EXPECT_EQ(p[i].status, GMK_EHANDLE);
    }
}

static void a_bound_notification_tells_that_a_caller_waits(void) {
    static struct partner p;
    gmk_handle_t port, notify;
    uint64_t bits;
    struct ipc m;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(notify, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_EQ(sys_port_bind(port, notify, 4), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, UINT64_MAX, 0, &bits), GMK_ETIMEOUT);
    EXPECT(start(&p, port, NORMAL, call_once));
    EXPECT_EQ(sys_notify_wait(notify, UINT64_MAX, GMK_FOREVER, &bits), GMK_OK);
    EXPECT_EQ(bits, 4);
    EXPECT_EQ(ipc_recv(port, &m, 0), GMK_OK);
    EXPECT_EQ(ipc_reply(&m), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
    EXPECT_EQ(sys_cap_drop(notify), GMK_OK);
}

/* ---- Tokens ----------------------------------------------------------------------------------- */

static void replies_in_any_order_and_each_token_once(void) {
    static struct partner p[8];
    static const unsigned order[8] = {3, 0, 7, 1, 6, 2, 5, 4};
    struct ipc m[8], again;
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 8; i++) {
        p[i].m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 8, 0), .w = {i}};
        EXPECT(start(&p[i], port, NORMAL, call_once));
        EXPECT_EQ(ipc_recv(port, &m[i], GMK_FOREVER), GMK_OK);
        EXPECT_EQ(m[i].w[0], i);
    }
    for (unsigned i = 0; i < 8; i++) {
        struct ipc *r = &m[order[i]];
        r->w[0] = 100 + order[i];
        EXPECT_EQ(ipc_reply(r), GMK_OK);
        EXPECT_EQ(ipc_reply(r), GMK_ETOKEN);
        again = *r;
        again.tag = 0;
        EXPECT_EQ(ipc_reply_recv(port, &again, 0), GMK_ETIMEOUT); /* passed over */
        EXPECT_EQ(ipc_accept(r->token), GMK_ETOKEN);
    }
    for (unsigned i = 0; i < 8; i++) {
        thread_join(p[i].thread);
        EXPECT_EQ(p[i].status, GMK_OK);
        EXPECT_EQ(p[i].m.w[0], 100 + i);
    }
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void a_token_of_a_caller_that_gave_up_is_dead(void) {
    static struct partner p;
    struct ipc m;
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    p.timeout = 5 * MS;
    EXPECT(start(&p, port, NORMAL, call_once));
    EXPECT_EQ(ipc_recv(port, &m, GMK_FOREVER), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(p.status, GMK_ETIMEOUT);
    EXPECT_EQ(ipc_reply(&m), GMK_ETOKEN);
    EXPECT_EQ(ipc_accept(m.token), GMK_ETOKEN);
    EXPECT_EQ(ipc_reply_recv(port, &m, 0), GMK_ETIMEOUT);
    p.timeout = 0;
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void a_thread_holds_a_bounded_number_of_tokens(void) {
    static struct partner p[65];
    static struct ipc m[64];
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 65; i++) {
        EXPECT(start(&p[i], port, NORMAL, call_once));
        if (i < 64)
            EXPECT_EQ(ipc_recv(port, &m[i], GMK_FOREVER), GMK_OK);
    }
    struct ipc more;
    EXPECT_EQ(ipc_recv(port, &more, GMK_FOREVER), GMK_ELIMIT);
    EXPECT_EQ(ipc_reply(&m[0]), GMK_OK);
    EXPECT_EQ(ipc_recv(port, &more, GMK_FOREVER), GMK_OK);
    EXPECT_EQ(ipc_reply(&more), GMK_OK);
    for (unsigned i = 1; i < 64; i++)
        EXPECT_EQ(ipc_reply(&m[i]), GMK_OK);
    for (unsigned i = 0; i < 65; i++)
        thread_join(p[i].thread);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void reply_for_other(void *arg) {
    struct partner *p = arg;
    p->status = ipc_reply(&p->m);
    atomic_store(&p->done, 1);
}

static void any_thread_of_the_unit_may_reply(void) {
    static struct partner p, other;
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT(start(&p, port, NORMAL, call_once));
    EXPECT_EQ(ipc_recv(port, &other.m, GMK_FOREVER), GMK_OK);
    EXPECT(start(&other, port, NORMAL, reply_for_other));
    thread_join(other.thread);
    thread_join(p.thread);
    EXPECT_EQ(other.status, GMK_OK);
    EXPECT_EQ(p.status, GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void receive_and_die(void *arg) {
    struct partner *p = arg;
    p->status = ipc_recv(p->port, &p->m, GMK_FOREVER);
    atomic_store(&p->done, 1);
}

static void a_holder_that_ends_fails_its_callers(void) {
    static struct partner p, holder;
    struct ipc m = {.tag = GMK_TAG(LABEL_ADD, 8, 0)};
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT(start(&holder, port, NORMAL, receive_and_die));
    EXPECT_EQ(ipc_call(port, &m, GMK_FOREVER), GMK_EPEER);
    thread_join(holder.thread);
    EXPECT_EQ(ipc_reply(&holder.m), GMK_ETOKEN);
    (void)p;
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

int main(void) {
    static const struct utest tests[] = {
        UTEST(a_message_of_any_length_arrives_whole_and_nothing_more),
        UTEST(what_no_message_can_be_is_refused),
        UTEST(nothing_waits_with_no_time_and_a_wait_ends_with_its_time),
        UTEST(callers_queue_by_priority_and_then_first_come),
        UTEST(a_port_that_ends_fails_those_who_wait_but_not_calls_in_progress),
        UTEST(receivers_of_a_port_that_ends_are_told),
        UTEST(a_bound_notification_tells_that_a_caller_waits),
        UTEST(replies_in_any_order_and_each_token_once),
        UTEST(a_token_of_a_caller_that_gave_up_is_dead),
        UTEST(a_thread_holds_a_bounded_number_of_tokens),
        UTEST(any_thread_of_the_unit_may_reply),
        UTEST(a_holder_that_ends_fails_its_callers),
    };
    return UTEST_RUN(tests);
}
