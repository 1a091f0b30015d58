/* Test of calls by ports and capabilities: those that travel, those that are taken back meanwhile, and
 * tokens in hands that they were not given to. */
#include "tests/user/ipc_partner.h"
#include "tests/user/lib/utest_program.h"

/* What a partner sends along: four capabilities, each with these rights. */
static gmk_handle_t sent[4];
static uint32_t sent_rights[4];

static void send_caps(void *arg) {
    struct partner *p = arg;
    for (unsigned i = 0; i < 4; i++) {
        ipc_buffer()->caps[i] = sent[i];
        ipc_buffer()->rights[i] = sent_rights[i];
    }
    p->status = p->m.tag & 1 ? ipc_call(p->port, &p->m, GMK_FOREVER)
                             : ipc_send(p->port, &p->m, GMK_FOREVER);
    atomic_store(&p->done, 1);
}

static bool same_object(gmk_handle_t a, gmk_handle_t b) {
    gmk_cap_info_t x, y;
    return sys_cap_info(a, &x) == GMK_OK && sys_cap_info(b, &y) == GMK_OK && x.object == y.object;
}

static void capabilities_travel_narrowed_and_all_or_none(void) {
    static struct partner p;
    gmk_handle_t port, got[4];
    struct ipc m;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_GOOD(sent[i], sys_notify_create(GMK_SELF_FACTORY));
        sent_rights[i] = i < 2 ? GMK_RIGHTS_ALL : GMK_RIGHT_READ;
    }
    /* Once it meets us in the queue, once waiting for it. */
    for (unsigned way = 0; way < 2; way++) {
        p.m = (struct ipc){.tag = GMK_TAG(LABEL_ADD + way, 0, 4)};
        EXPECT(start(&p, port, NORMAL, send_caps));
        if (way == 0)
            until_it_waits(&p);
        EXPECT_EQ(ipc_recv(port, &m, GMK_FOREVER), GMK_OK);
        EXPECT_EQ(GMK_TAG_CAPS(m.tag), 4);
        for (unsigned i = 0; i < 4; i++)
            got[i] = ipc_buffer()->caps[i];
        for (unsigned i = 0; i < 4; i++) {
            EXPECT(same_object(got[i], sent[i]) && got[i] != sent[i]);
            uint64_t rights = (uint64_t)sys_cap_check(got[i]) >> 8;
            EXPECT_EQ(rights, (uint64_t)sys_cap_check(sent[i]) >> 8 & sent_rights[i]);
            EXPECT_EQ(sys_cap_drop(got[i]), GMK_OK);
        }
        m.tag = 0;
        EXPECT_EQ(m.token != 0 ? ipc_reply(&m) : GMK_OK, GMK_OK);
        thread_join(p.thread);
        EXPECT_EQ(p.status, GMK_OK);
    }
    /* The third may not be granted: nothing comes, and nothing is left of the first two. */
    gmk_handle_t good = sent[2], before, after;
    EXPECT_GOOD(sent[2], sys_cap_derive(good, GMK_RIGHT_READ, 0));
    for (unsigned way = 0; way < 2; way++) {
        p.m = (struct ipc){.tag = GMK_TAG(LABEL_ADD + way, 0, 4)};
        EXPECT(start(&p, port, NORMAL, send_caps));
        if (way == 0)
            until_it_waits(&p);
        EXPECT_GOOD(before, sys_notify_create(GMK_SELF_FACTORY));
        EXPECT_EQ(ipc_recv(port, &m, 5 * MS), GMK_ETIMEOUT);
        thread_join(p.thread);
        EXPECT_EQ(p.status, GMK_ERIGHTS);
        EXPECT_GOOD(after, sys_notify_create(GMK_SELF_FACTORY));
        EXPECT_EQ(sys_cap_drop(before), GMK_OK);
        EXPECT_EQ(sys_cap_drop(after), GMK_OK);
    }
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(sys_cap_drop(i == 2 ? good : sent[i]), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

static void a_full_table_refuses_the_sender_and_the_receiver_goes_on_waiting(void) {
    static struct partner p, other;
    static gmk_handle_t filler[256];
    gmk_handle_t port;
    struct ipc m;
    unsigned count = 0;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(sent[0], sys_notify_create(GMK_SELF_FACTORY));
    sent_rights[0] = GMK_RIGHTS_ALL;
    p.m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 0, 1)};
    other.m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 8, 0), .w = {42}};
    EXPECT(start(&p, port, HIGH - 120, send_caps)); /* both wait before the table is full */
    until_it_waits(&p);
    EXPECT(start(&other, port, HIGH - 130, send_once));
    until_it_waits(&other);
    for (int64_t h; (h = sys_cap_derive(port, GMK_RIGHT_READ, 0)) > 0;)
        filler[count++] = (gmk_handle_t)h;
    EXPECT_EQ(ipc_recv(port, &m, GMK_FOREVER), GMK_OK);
    EXPECT_EQ(m.w[0], 42); /* the first was refused, the second came */
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQ(sys_cap_drop(filler[i]), GMK_OK);
    thread_join(p.thread);
    thread_join(other.thread);
    EXPECT_EQ(p.status, GMK_ELIMIT);
    EXPECT_EQ(other.status, GMK_OK);
    EXPECT_EQ(sys_cap_drop(sent[0]), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* ---- Other units --------------------------------------------------------------------------------- */

static void no_other_unit_can_answer_whatever_token_it_guesses(void) {
    static struct partner p[4];
    struct ipc m[4];
    gmk_handle_t port;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    for (unsigned i = 0; i < 4; i++) {
        p[i].m = (struct ipc){.tag = GMK_TAG(LABEL_ADD, 8, 0), .w = {i}};
        EXPECT(start(&p[i], port, NORMAL, call_once));
        EXPECT_EQ(ipc_recv(port, &m[i], GMK_FOREVER), GMK_OK);
    }
    EXPECT_EQ(utest_program("prog_token", NULL), 0); /* how many it could answer */
    for (unsigned i = 0; i < 4; i++) {
        m[i].w[0] += 10;
        EXPECT_EQ(ipc_reply(&m[i]), GMK_OK);
        thread_join(p[i].thread);
        EXPECT_EQ(p[i].m.w[0], i + 10);
    }
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

/* Keeps using a capability while another thread takes it back. */
static _Atomic uint32_t answered;

static void call_until_refused(void *arg) {
    struct partner *p = arg;
    do {
        struct ipc m = {.tag = GMK_TAG(LABEL_ADD, 8, 0)};
        p->status = ipc_call(p->port, &m, GMK_FOREVER);
        atomic_fetch_add(&answered, p->status == GMK_OK);
    } while (p->status == GMK_OK);
    atomic_store(&p->done, 1);
}

static void a_revoked_capability_calls_no_more(void) {
    static struct partner server, caller;
    gmk_handle_t port, lent;
    EXPECT_GOOD(port, sys_port_create(GMK_SELF_FACTORY));
    EXPECT(start(&server, port, NORMAL - 20, serve));
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_GOOD(lent, sys_cap_derive(port, GMK_RIGHT_WRITE, 0));
        atomic_store(&answered, 0);
        EXPECT(start(&caller, lent, NORMAL - 20, call_until_refused));
        while (atomic_load(&answered) < 100)
            utest_pause();
        EXPECT_EQ(i % 2 == 0 ? sys_cap_revoke(port) : sys_cap_drop(lent), GMK_OK);
        thread_join(caller.thread);
        EXPECT_EQ(caller.status, GMK_EHANDLE);
    }
    EXPECT_EQ(end_server(&server), GMK_OK);
    EXPECT_EQ(sys_cap_drop(port), GMK_OK);
}

int main(void) {
    static const struct utest tests[] = {
        UTEST(capabilities_travel_narrowed_and_all_or_none),
        UTEST(a_full_table_refuses_the_sender_and_the_receiver_goes_on_waiting),
        UTEST(no_other_unit_can_answer_whatever_token_it_guesses),
        UTEST(a_revoked_capability_calls_no_more),
    };
    return UTEST_RUN(tests);
}
