/* Test of channels between threads of user mode: messages, waiting, many at once. */
#include "tests/user/chan_lib.h"

/* ---- Messages --------------------------------------------------------------------------------- */

static void what_is_sent_arrives_in_order(void) {
    struct pair pair;
    EXPECT(pair_with(&pair, 0, 16, 0));
    for (uint64_t i = 1; i <= 10; i++) {
        const gmk_chan_msg_t msg = {.type = TYPE,
                                    .flags = GMK_PRIO(3),
                                    .meta0 = i,
                                    .meta1 = ~i,
                                    .data = (uint64_t)&i,
                                    .size = sizeof i};
        EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
    }
    for (uint64_t i = 1; i <= 10; i++) {
        uint64_t value = 0;
        gmk_chan_msg_t msg = {.data = (uint64_t)&value, .size = sizeof value};
        EXPECT_EQ(sys_chan_recv(pair.in, &msg, 0), GMK_OK);
        EXPECT_EQ(msg.type, TYPE);
        EXPECT_EQ(msg.flags, GMK_PRIO(3));
        EXPECT_EQ(msg.meta0, i);
        EXPECT_EQ(msg.meta1, ~i);
        EXPECT_EQ(msg.seq, i);
        EXPECT_EQ(msg.lost, 0);
        EXPECT_EQ(msg.size, sizeof i);
        EXPECT_EQ(value, i);
    }
    uint64_t none;
    EXPECT_EQ(hear(pair.in, &none), GMK_ETIMEOUT);
    pair_drop(&pair);
}

static void payloads_of_every_size_survive(void) {
    static uint8_t out[GMK_CHAN_BYTES_MAX + 1], in[GMK_CHAN_BYTES_MAX + 1];
    static const uint64_t sizes[] = {1, 63, 64, 65, 4095, 4096, 4097, 65535, GMK_CHAN_BYTES_MAX};
    struct pair pair;
    EXPECT(pair_with(&pair, 0, 4, 2 * GMK_CHAN_BYTES_MAX));
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        const gmk_chan_msg_t msg = {.type = TYPE, .data = (uint64_t)out, .size = sizes[k]};
        gmk_chan_msg_t got = {.data = (uint64_t)in, .size = sizeof in};
        memset(in, 0, sizeof in);
        EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
        EXPECT_EQ(sys_chan_recv(pair.in, &got, 0), GMK_OK);
        EXPECT_EQ(got.size, sizes[k]);
        EXPECT_EQ(memcmp(out, in, sizes[k]), 0);
        EXPECT_EQ(in[sizes[k]], 0);
    }
    const gmk_chan_msg_t huge = {.type = TYPE, .data = (uint64_t)out, .size = sizeof out};
    EXPECT_EQ(sys_chan_send(pair.out, &huge, 0), GMK_EINVAL);
    pair_drop(&pair);
}

static void too_little_room_takes_nothing_and_says_how_much(void) {
    struct pair pair;
    char text[] = "thirteen long", room[sizeof text];
    EXPECT(pair_with(&pair, 0, 16, 0));
    const gmk_chan_msg_t msg = {.type = TYPE, .data = (uint64_t)text, .size = sizeof text};
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
    gmk_chan_msg_t got = {.data = (uint64_t)room, .size = sizeof text - 1};
    EXPECT_EQ(sys_chan_recv(pair.in, &got, GMK_FOREVER), GMK_ERANGE);
    EXPECT_EQ(got.size, sizeof text);
    EXPECT_EQ(sys_chan_recv(pair.in, &got, GMK_FOREVER), GMK_OK);
    EXPECT_EQ(memcmp(text, room, sizeof text), 0);
    pair_drop(&pair);
}

static void a_bad_address_loses_no_message(void) {
    struct pair pair;
    uint64_t word = 5;
    EXPECT(pair_with(&pair, 0, 16, 0));
    for (uint64_t i = 1; i <= 2; i++) {
        const gmk_chan_msg_t msg = {.type = TYPE, .meta0 = i, .data = (uint64_t)&word, .size = 8};
        EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
    }
    static const uint64_t bad[] = {0,
                                   8,
                                   GMK_USER_MAX,
                                   GMK_USER_MAX - 4,
                                   UINT64_C(0xffff800000000000),
                                   UINT64_MAX - 7,
                                   UINT64_C(0x0000800000000000)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gmk_chan_msg_t got = {.data = bad[i], .size = 8};
        EXPECT_EQ(sys_chan_recv(pair.in, &got, 0), GMK_EFAULT);
        EXPECT_EQ(sys_chan_recv(pair.in, (gmk_chan_msg_t *)bad[i], 0), GMK_EFAULT);
        EXPECT_EQ(sys_chan_send(pair.out, (const gmk_chan_msg_t *)bad[i], 0), GMK_EFAULT);
        const gmk_chan_msg_t out = {.type = TYPE, .data = bad[i], .size = 8};
        EXPECT_EQ(sys_chan_send(pair.out, &out, 0), GMK_EFAULT);
    }
    for (uint64_t i = 1; i <= 2; i++) { /* both are there, in order */
        uint64_t room = 0;
        gmk_chan_msg_t got = {.data = (uint64_t)&room, .size = 8};
        EXPECT_EQ(sys_chan_recv(pair.in, &got, 0), GMK_OK);
        EXPECT_EQ(got.meta0, i);
        EXPECT_EQ(room, 5);
    }
    pair_drop(&pair);
}

static void wrong_messages_are_refused(void) {
    struct pair pair;
    EXPECT(pair_with(&pair, 0, 16, 0));
    gmk_chan_msg_t msg = {.type = TYPE + 1};
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_ETYPE);
    msg.type = 0;
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_ETYPE);
    msg.type = TYPE;
    msg.flags = 0x20; /* the engine's own */
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_EINVAL);
    msg.flags = 7;
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_EINVAL);
    msg.flags = 0;
    msg.size = UINT64_MAX;
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_EINVAL);
    msg.size = UINT64_C(1) << 32;
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_EINVAL);
    EXPECT_EQ(sys_chan_send(pair.in, &msg, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_chan_recv(FACTORY, &msg, 0), GMK_ECAPTYPE);
    EXPECT_EQ(sys_chan_recv(0x7fffff00, &msg, 0), GMK_EHANDLE);
    pair_drop(&pair);
    EXPECT_EQ(say(pair.out, 1), GMK_EHANDLE);
}

static void a_channel_of_any_type_carries_any(void) {
    const char *name = fresh_name();
    gmk_chan_args_t args = {.slots = 8};
    memcpy(args.name, name, strlen(name) + 1);
    gmk_handle_t out, in;
    EXPECT_GOOD(out, sys_chan_create(registry(), FACTORY, &args));
    EXPECT_GOOD(in, open(name, R));
    for (uint32_t type = 1; type < GMK_TYPES_MAX; type += 500) {
        gmk_chan_msg_t msg = {.type = type}, got = {.type = 0};
        EXPECT_EQ(sys_chan_send(out, &msg, 0), GMK_OK);
        EXPECT_EQ(sys_chan_recv(in, &got, 0), GMK_OK);
        EXPECT_EQ(got.type, type);
    }
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

static void a_receiver_waits_for_a_message(void) {
    struct pair pair;
    static struct partner p;
    EXPECT(pair_with(&pair, 0, 16, 0));
    EXPECT(start(&p, pair.in, receive_one));
    until_it_waits(&p);
    EXPECT_EQ(say(pair.out, 42), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_OK);
    EXPECT_EQ(p.msg.meta0, 42);
    pair_drop(&pair);
}

static void a_sender_waits_for_room(void) {
    struct pair pair;
    static struct partner p;
    uint64_t value;
    EXPECT(pair_with(&pair, 0, 4, 0));
    for (uint64_t i = 1; i <= 3; i++)
        EXPECT_EQ(say(pair.out, i), GMK_OK);
    EXPECT_EQ(say(pair.out, 4), GMK_ETIMEOUT); /* the last slot is for priority 0 */
    p.msg = (gmk_chan_msg_t){.meta0 = 4};
    EXPECT(start(&p, pair.out, send_one));
    until_it_waits(&p);
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_OK);
    for (uint64_t i = 2; i <= 4; i++) {
        EXPECT_EQ(hear(pair.in, &value), GMK_OK);
        EXPECT_EQ(value, i);
    }
    pair_drop(&pair);
}

static void a_sender_waits_for_the_first_receiver(void) {
    const char *name = fresh_name();
    static struct partner p;
    gmk_handle_t out, in;
    uint64_t value;
    EXPECT_GOOD(out, make(name, 0, 16, 0));
    EXPECT_EQ(say(out, 1), GMK_ETIMEOUT);
    p.msg = (gmk_chan_msg_t){.meta0 = 9};
    EXPECT(start(&p, out, send_one));
    until_it_waits(&p);
    EXPECT_GOOD(in, open(name, R));
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_OK);
    EXPECT_EQ(hear(in, &value), GMK_OK);
    EXPECT_EQ(value, 9);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

static void waiting_ends_with_its_time(void) {
    struct pair pair;
    gmk_chan_msg_t msg = {.type = TYPE};
    EXPECT(pair_with(&pair, 0, 4, 0));
    int64_t begin = sys_time();
    EXPECT_EQ(sys_chan_recv(pair.in, &msg, 5 * MS), GMK_ETIMEOUT);
    EXPECT(sys_time() - begin >= (int64_t)(5 * MS));
    for (uint64_t i = 1; i <= 3; i++)
        EXPECT_EQ(say(pair.out, i), GMK_OK);
    begin = sys_time();
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 5 * MS), GMK_ETIMEOUT);
    EXPECT(sys_time() - begin >= (int64_t)(5 * MS));
    pair_drop(&pair);
}

/* A call for nothing must not make the wait longer. */
static void a_call_for_nothing_does_not_prolong_the_wait(void) {
    const char *name = fresh_name();
    gmk_handle_t out, in;
    static struct partner thief, p;
    EXPECT_GOOD(out, make(name, 0, 16, 0));
    EXPECT_GOOD(in, open(name, R));
    p.timeout = 40 * MS;
    int64_t begin = sys_time();
    EXPECT(start(&p, in, receive_one));
    until_it_waits(&p);
    while (atomic_load(&p.done) == 0) { /* who takes it? both are called each time */
        EXPECT(start(&thief, in, receive_one));
        until_it_waits(&thief);
        EXPECT(say(out, 1) == GMK_OK);
        while (atomic_load(&p.done) == 0 && atomic_load(&thief.done) == 0)
            (void)sys_yield();
        if (atomic_load(&thief.done) == 0)
            EXPECT_EQ(say(out, 2), GMK_OK);
        thread_join(thief.thread);
    }
    thread_join(p.thread);
    EXPECT(atomic_load(&p.status) == GMK_ETIMEOUT || atomic_load(&p.status) == GMK_OK);
    EXPECT(sys_time() - begin < (int64_t)(20000 * MS));
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

static void a_round_trip_comes_back_every_time(void) {
    struct pair there = {0}, back = {0};
    static struct partner p;
    EXPECT(pair_with(&there, 0, 16, 0) && pair_with(&back, 0, 16, 0));
    p.other = back.out;
    p.count = 300;
    EXPECT(start(&p, there.in, echo));
    for (uint64_t i = 0; i < p.count; i++) {
        gmk_chan_msg_t msg = {.type = TYPE, .meta0 = i};
        EXPECT_EQ(sys_chan_send(there.out, &msg, GMK_FOREVER), GMK_OK);
        EXPECT_EQ(sys_chan_recv(back.in, &msg, GMK_FOREVER), GMK_OK);
        EXPECT_EQ(msg.meta0, i + 1);
    }
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_OK);
    pair_drop(&there);
    pair_drop(&back);
}

/* ---- Many ----------------------------------------------------------------------------------------- */

#define SENDERS 4u
#define EACH    100u

static void send_many(void *arg) {
    struct partner *p = arg;
    int64_t status = GMK_OK;
    for (uint64_t i = 1; i <= EACH && status == GMK_OK; i++) {
        uint64_t payload[4] = {p->count, i, ~i, 0};
        const gmk_chan_msg_t msg = {.type = TYPE,
                                    .meta0 = p->count,
                                    .meta1 = i,
                                    .data = (uint64_t)payload,
                                    .size = i % 2 != 0 ? sizeof payload : 0};
        status = sys_chan_send(p->chan, &msg, GMK_FOREVER);
    }
    atomic_store(&p->status, status);
    atomic_store(&p->done, 1);
}

static void flooding_senders_are_held_up_and_lose_nothing(void) {
    static struct partner p[SENDERS];
    struct pair pair;
    uint64_t last[SENDERS] = {0};
    EXPECT(pair_with(&pair, 0, 8, 256));
    for (unsigned i = 0; i < SENDERS; i++) {
        p[i].count = i;
        EXPECT(start(&p[i], pair.out, send_many));
    }
    for (uint64_t n = 0; n < SENDERS * EACH; n++) {
        uint64_t payload[4] = {0};
        gmk_chan_msg_t msg = {.data = (uint64_t)payload, .size = sizeof payload};
        EXPECT_EQ(sys_chan_recv(pair.in, &msg, GMK_FOREVER), GMK_OK);
        EXPECT(msg.meta0 < SENDERS);
        EXPECT_EQ(msg.meta1, ++last[msg.meta0]); /* in each sender's order */
        EXPECT_EQ(msg.seq, n + 1);
        if (msg.size != 0) {
            EXPECT_EQ(payload[0], msg.meta0);
            EXPECT_EQ(payload[1], msg.meta1);
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        thread_join(p[i].thread);
        EXPECT_EQ(atomic_load(&p[i].status), GMK_OK);
    }
    pair_drop(&pair);
}

static void every_end_of_a_fan_out_gets_every_message(void) {
    const char *name = fresh_name();
    gmk_handle_t out, in[3];
    EXPECT_GOOD(out, make(name, GMK_CHAN_FANOUT, 16, 0));
    for (unsigned i = 0; i < 3; i++)
        EXPECT_GOOD(in[i], open(name, R));
    for (uint64_t n = 1; n <= 10; n++) {
        const gmk_chan_msg_t msg = {.type = TYPE, .meta0 = n, .data = (uint64_t)&n, .size = 8};
        EXPECT_EQ(sys_chan_send(out, &msg, 0), GMK_OK);
    }
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t n = 1; n <= 10; n++) {
            uint64_t word = 0;
            gmk_chan_msg_t msg = {.data = (uint64_t)&word, .size = 8};
            EXPECT_EQ(sys_chan_recv(in[i], &msg, 0), GMK_OK);
            EXPECT_EQ(msg.meta0, n);
            EXPECT_EQ(word, n);
        }
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(sys_cap_drop(in[i]), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

static void a_lossy_channel_says_how_many_were_lost(void) {
    struct pair pair;
    gmk_chan_msg_t msg = {.type = 0};
    EXPECT(pair_with(&pair, GMK_CHAN_LOSSY, 8, 0));
    for (uint64_t i = 1; i <= 20; i++)
        EXPECT_EQ(say(pair.out, i), GMK_OK);
    EXPECT_EQ(sys_chan_recv(pair.in, &msg, 0), GMK_OK);
    EXPECT_EQ(msg.meta0, 14);
    EXPECT_EQ(msg.lost, 13);
    for (uint64_t i = 15; i <= 20; i++) {
        EXPECT_EQ(sys_chan_recv(pair.in, &msg, 0), GMK_OK);
        EXPECT_EQ(msg.meta0, i);
        EXPECT_EQ(msg.lost, 0);
    }
    pair_drop(&pair);
}

static void one_receiver_is_enough_for_a_plain_channel(void) {
    struct pair pair;
    const char *name = fresh_name();
    gmk_handle_t out, in, more;
    EXPECT_GOOD(out, make(name, 0, 16, 0));
    EXPECT_GOOD(in, open(name, R));
    EXPECT_EQ(open(name, R), GMK_EEXIST);
    EXPECT_GOOD(more, open(name, W)); /* senders may be many */
    EXPECT_EQ(say(more, 1), GMK_OK);
    EXPECT_EQ(sys_cap_drop(more), GMK_OK);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
    EXPECT(pair_with(&pair, 0, 16, 0));
    pair_drop(&pair);
}

static void the_maker_may_receive_itself(void) {
    const char *name = fresh_name();
    gmk_handle_t both, out;
    uint64_t value;
    EXPECT_GOOD(both, make(name, 0, 16, 0));
    EXPECT_EQ(hear(both, &value), GMK_ETIMEOUT);
    EXPECT_GOOD(out, open(name, W));
    EXPECT_EQ(say(out, 3), GMK_OK);
    EXPECT_EQ(hear(both, &value), GMK_OK);
    EXPECT_EQ(value, 3);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
    EXPECT_EQ(sys_cap_drop(both), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(what_is_sent_arrives_in_order),
    UTEST(payloads_of_every_size_survive),
    UTEST(too_little_room_takes_nothing_and_says_how_much),
    UTEST(a_bad_address_loses_no_message),
    UTEST(wrong_messages_are_refused),
    UTEST(a_channel_of_any_type_carries_any),
    UTEST(a_receiver_waits_for_a_message),
    UTEST(a_sender_waits_for_room),
    UTEST(a_sender_waits_for_the_first_receiver),
    UTEST(waiting_ends_with_its_time),
    UTEST(a_call_for_nothing_does_not_prolong_the_wait),
    UTEST(a_round_trip_comes_back_every_time),
    UTEST(flooding_senders_are_held_up_and_lose_nothing),
    UTEST(every_end_of_a_fan_out_gets_every_message),
    UTEST(a_lossy_channel_says_how_many_were_lost),
    UTEST(one_receiver_is_enough_for_a_plain_channel),
    UTEST(the_maker_may_receive_itself),
};

int main(void) {
    return UTEST_RUN(tests);
}
