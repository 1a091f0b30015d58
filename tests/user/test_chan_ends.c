/* Test of channels of user mode: bounds, charges, names, rights, and the ends of everything. */
#include "tests/user/chan_lib.h"

/* ---- Bounds --------------------------------------------------------------------------------------- */

static void bytes_are_bounded_and_room_for_them_is_waited_for(void) {
    struct pair pair;
    static struct partner p;
    static char text[128], room[128];
    EXPECT(pair_with(&pair, 0, 16, 256));
    const gmk_chan_msg_t msg = {.type = TYPE, .data = (uint64_t)text, .size = 128};
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_OK);
    EXPECT_EQ(sys_chan_send(pair.out, &msg, 0), GMK_ETIMEOUT);
    p.msg = msg;
    EXPECT(start(&p, pair.out, send_one));
    until_it_waits(&p);
    for (unsigned i = 0; i < 3; i++) {
        gmk_chan_msg_t got = {.data = (uint64_t)room, .size = sizeof room};
        EXPECT_EQ(sys_chan_recv(pair.in, &got, GMK_FOREVER), GMK_OK);
        EXPECT_EQ(got.size, 128);
    }
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_OK);
    pair_drop(&pair);
    EXPECT(pair_with(&pair, 0, 16, 100));
    EXPECT_EQ(sys_chan_send(pair.out, &msg, GMK_FOREVER), GMK_EINVAL); /* it never fits */
    pair_drop(&pair);
}

static uint64_t frames_used(void) {
    gmk_unit_info_t info = {.frames_used = 0};
    (void)sys_unit_info(GMK_SELF_UNIT, &info);
    return info.frames_used;
}

static uint64_t objects_used(void) {
    gmk_unit_info_t info = {.objects_used = 0};
    (void)sys_unit_info(GMK_SELF_UNIT, &info);
    return info.objects_used;
}

static void a_channel_is_charged_and_given_back(void) {
    uint64_t frames = frames_used(), objects = objects_used();
    const char *name = fresh_name();
    gmk_handle_t out;
    EXPECT_GOOD(out, make(name, 0, 64, 64 * 1024));
    EXPECT_EQ(frames_used() - frames, 17); /* 64 KiB, and a page of slots */
    EXPECT_EQ(objects_used() - objects, 1);
    EXPECT_EQ(make(name, 0, 64, 0), GMK_EEXIST);
    EXPECT_EQ(frames_used() - frames, 17);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
    EXPECT_EQ(frames_used(), frames);
    EXPECT_EQ(objects_used(), objects);
    gmk_handle_t poor;
    EXPECT_GOOD(poor, sys_factory_split(FACTORY, 4, 4));
    gmk_chan_args_t args = {.type = TYPE, .bytes = 64 * 1024, .name = "test.poor"};
    EXPECT_EQ(sys_chan_create(registry(), poor, &args), GMK_EBUDGET);
    EXPECT_EQ(sys_cap_drop(poor), GMK_OK);
    EXPECT_EQ(frames_used(), frames);
}

/* ---- Names and rights --------------------------------------------------------------------------------- */

static void wrong_arguments_make_no_channel(void) {
    gmk_chan_args_t args = {.type = TYPE, .name = "test.args"};
    memset(args.name, 'x', sizeof args.name); /* without an end */
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    memcpy(args.name, "test.args", sizeof "test.args");
    args.slots = 3;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.slots = 2;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.slots = 1u << 31;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.slots = 0;
    args.options = GMK_CHAN_REPLAY;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_ENOTSUP);
    args.options = GMK_CHAN_LOOSE;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.options = ~0u & ~GMK_CHAN_REPLAY;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.options = 0;
    args.bytes = UINT64_MAX;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.bytes = 0;
    args.type = GMK_TYPES_MAX;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    args.type = TYPE;
    args.reserved = 1;
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, &args), GMK_EINVAL);
    EXPECT_EQ(sys_chan_create(registry(), FACTORY, (const gmk_chan_args_t *)1), GMK_EFAULT);
}

static void wrong_names_find_nothing(void) {
    char name[GMK_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    const gmk_handle_t names = registry();
    EXPECT_EQ(sys_chan_open(names, FACTORY, name, 0, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, name, GMK_NAME_MAX, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, name, SIZE_MAX, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, name, GMK_NAME_MAX - 1, W), GMK_ENOENT);
    EXPECT_EQ(sys_chan_open(names, FACTORY, "a\0b", 3, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, "a b", 3, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, "a\033", 2, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, "a\x80", 2, W), GMK_EINVAL);
    EXPECT_EQ(sys_chan_open(names, FACTORY, "sys.error", 9, R), GMK_EPERM);
    EXPECT_EQ(sys_chan_open(names, FACTORY, (const char *)8, 4, W), GMK_EFAULT);
    EXPECT_EQ(open("test.none", 0), GMK_EINVAL);
    EXPECT_EQ(open("test.none", GMK_RIGHT_EXECUTE | W), GMK_EINVAL);
    EXPECT_EQ(open("test.none", W), GMK_ENOENT);
    gmk_chan_args_t args = {.type = TYPE, .name = "sys.mine"};
    EXPECT_EQ(sys_chan_create(names, FACTORY, &args), GMK_EPERM);
}

static void a_registry_shows_only_its_names(void) {
    gmk_handle_t narrow, narrower, mine, deaf;
    EXPECT_GOOD(narrow, sys_registry_create(registry(), FACTORY, "test.in.", 8));
    EXPECT_GOOD(narrower, sys_registry_create(narrow, FACTORY, "side.", 5));
    gmk_chan_args_t args = {.type = TYPE, .name = "test.in.a"},
                    other = {.type = TYPE, .name = "test.out"};
    EXPECT_EQ(sys_chan_create(narrow, FACTORY, &other), GMK_EPERM);
    EXPECT_GOOD(mine, sys_chan_create(narrow, FACTORY, &args));
    EXPECT_EQ(sys_chan_open(narrower, FACTORY, args.name, 9, W), GMK_EPERM);
    EXPECT_EQ(sys_chan_open(narrow, FACTORY, args.name, 8, W), GMK_ENOENT);
    EXPECT_EQ(sys_chan_open(narrow, FACTORY, args.name, 7, W), GMK_EPERM);
    gmk_handle_t end;
    EXPECT_GOOD(end, sys_chan_open(narrow, FACTORY, args.name, 9, W));
    EXPECT_EQ(sys_cap_drop(end), GMK_OK);
    EXPECT_EQ(sys_registry_create(narrow, FACTORY, args.name, GMK_NAME_MAX - 1), GMK_EINVAL);
    EXPECT_GOOD(deaf, sys_cap_derive(narrow, R, 0));
    EXPECT_EQ(sys_chan_create(deaf, FACTORY, &args), GMK_ERIGHTS);
    EXPECT_EQ(sys_registry_create(deaf, FACTORY, "x", 1), GMK_ERIGHTS);
    EXPECT_EQ(sys_chan_open(deaf, FACTORY, args.name, 9, W | M), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_drop(mine), GMK_OK);
    EXPECT_EQ(sys_cap_drop(narrower), GMK_OK);
    EXPECT_EQ(sys_cap_drop(narrow), GMK_OK);
    EXPECT_EQ(sys_chan_open(narrow, FACTORY, args.name, 9, W), GMK_EHANDLE);
}

static void rights_of_an_end_say_what_it_may(void) {
    const char *name = fresh_name();
    gmk_handle_t out, in, weak;
    uint64_t value;
    EXPECT_GOOD(out, make(name, 0, 16, 0));
    EXPECT_GOOD(in, open(name, R));
    EXPECT_GOOD(weak, open(name, W));
    EXPECT_EQ(say(in, 1), GMK_ERIGHTS);
    EXPECT_EQ(hear(weak, &value), GMK_ERIGHTS);
    EXPECT_EQ(sys_chan_close(weak), GMK_ERIGHTS);
    EXPECT_EQ(sys_chan_close(in), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_drop(weak), GMK_OK);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

/* ---- Ends --------------------------------------------------------------------------------------------- */

static void closing_delivers_what_was_sent_and_then_says_so(void) {
    struct pair pair;
    uint64_t value;
    EXPECT(pair_with(&pair, 0, 16, 0));
    EXPECT_EQ(say(pair.out, 1), GMK_OK);
    EXPECT_EQ(say(pair.out, 2), GMK_OK);
    EXPECT_EQ(sys_chan_close(pair.out), GMK_OK);
    EXPECT_EQ(sys_chan_close(pair.out), GMK_ECLOSED);
    EXPECT_EQ(say(pair.out, 3), GMK_ECLOSED);
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    EXPECT_EQ(value, 2);
    EXPECT_EQ(hear(pair.in, &value), GMK_ECLOSED);
    EXPECT_EQ(hear(pair.in, &value), GMK_ECLOSED);
    EXPECT_EQ(say(pair.out, 3), GMK_ECLOSED);
    pair_drop(&pair);
}

static void the_end_of_its_maker_closes_a_channel(void) {
    static struct partner p, q;
    const char *name = fresh_name();
    gmk_handle_t out, in, weak;
    EXPECT_GOOD(out, make(name, 0, 4, 0));
    EXPECT_GOOD(in, open(name, R));
    EXPECT_GOOD(weak, open(name, W));
    EXPECT(start(&p, in, receive_one));
    until_it_waits(&p);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_ECLOSED);
    EXPECT_EQ(say(weak, 1), GMK_ECLOSED);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(weak), GMK_OK);
    /* And who waits for room. */
    name = fresh_name();
    EXPECT_GOOD(out, make(name, 0, 4, 0));
    EXPECT_GOOD(in, open(name, R));
    EXPECT_GOOD(weak, open(name, W));
    for (uint64_t i = 0; i < 3; i++)
        EXPECT_EQ(say(weak, i), GMK_OK);
    EXPECT(start(&q, weak, send_one));
    until_it_waits(&q);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
    thread_join(q.thread);
    EXPECT_EQ(atomic_load(&q.status), GMK_ECLOSED);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    EXPECT_EQ(sys_cap_drop(weak), GMK_OK);
}

static void who_waits_in_an_end_that_goes_is_told(void) {
    static struct partner p, q;
    const char *name = fresh_name();
    gmk_handle_t out, in, weak;
    EXPECT_GOOD(out, make(name, GMK_CHAN_FANOUT, 4, 0));
    EXPECT_GOOD(in, open(name, R));
    EXPECT(start(&p, in, receive_one));
    until_it_waits(&p);
    EXPECT_EQ(sys_cap_drop(in), GMK_OK);
    thread_join(p.thread);
    EXPECT_EQ(atomic_load(&p.status), GMK_EHANDLE);
    EXPECT_GOOD(weak, open(name, W)); /* nobody receives any more: it waits */
    EXPECT(start(&q, weak, send_one));
    until_it_waits(&q);
    EXPECT_EQ(sys_cap_drop(weak), GMK_OK);
    thread_join(q.thread);
    EXPECT_EQ(atomic_load(&q.status), GMK_EHANDLE);
    EXPECT_EQ(sys_cap_drop(out), GMK_OK);
}

static void a_thread_that_waits_can_be_killed(void) {
    static struct partner p, q;
    struct pair pair;
    uint64_t value;
    EXPECT(pair_with(&pair, 0, 4, 0));
    EXPECT(start(&p, pair.in, receive_one));
    until_it_waits(&p);
    EXPECT_EQ(sys_thread_kill(p.thread->handle, 0), GMK_OK);
    for (uint64_t i = 1; i <= 3; i++)
        EXPECT_EQ(say(pair.out, i), GMK_OK);
    EXPECT(start(&q, pair.out, send_one));
    until_it_waits(&q);
    EXPECT_EQ(sys_thread_kill(q.thread->handle, 0), GMK_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        EXPECT_EQ(hear(pair.in, &value), GMK_OK);
        EXPECT_EQ(value, i);
    }
    EXPECT_EQ(hear(pair.in, &value), GMK_ETIMEOUT);
    EXPECT_EQ(say(pair.out, 9), GMK_OK);
    pair_drop(&pair);
}

static void names_and_ids_serve_again_and_again(void) {
    const char *name = fresh_name();
    uint64_t frames = frames_used();
    for (unsigned i = 0; i < 300; i++) { /* more than there are ids, and subscriptions */
        int64_t out = GMK_EEXIST, in;
        for (unsigned tries = 0; tries < 100000 && (out == GMK_EEXIST || out == GMK_ELIMIT);
             tries++) {
            out = make(name, 0, 8, 512);
            if (out < 0)
                (void)sys_yield();
        }
        EXPECT(out > 0);
        for (in = GMK_ELIMIT; in == GMK_ELIMIT;)
            in = open(name, R);
        EXPECT(in > 0);
        uint64_t word = i;
        const gmk_chan_msg_t msg = {.type = TYPE, .data = (uint64_t)&word, .size = 8};
        EXPECT_EQ(sys_chan_send((gmk_handle_t)out, &msg, 0), GMK_OK);
        EXPECT_EQ(sys_cap_drop((gmk_handle_t)(i % 2 != 0 ? out : in)), GMK_OK);
        EXPECT_EQ(sys_cap_drop((gmk_handle_t)(i % 2 != 0 ? in : out)), GMK_OK);
    }
    EXPECT(frames_used() <= frames); /* threads of earlier tests may only now be gone */
}

static void a_notification_tells_of_messages(void) {
    struct pair pair;
    gmk_handle_t notify;
    uint64_t bits = 0, value;
    EXPECT(pair_with(&pair, 0, 16, 0));
    EXPECT_GOOD(notify, sys_notify_create(FACTORY));
    EXPECT_EQ(say(pair.out, 1), GMK_OK);
    EXPECT_EQ(sys_chan_bind(pair.in, notify, 4), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, 4, 0, &bits), GMK_OK); /* one waits already */
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    EXPECT_EQ(hear(pair.in, &value), GMK_ETIMEOUT);
    EXPECT_EQ(sys_notify_wait(notify, 4, 0, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(say(pair.out, 2), GMK_OK);
    EXPECT_EQ(say(pair.out, 3), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, 4, 0, &bits), GMK_OK);
    EXPECT_EQ(bits, 4);
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, 4, 0, &bits), GMK_OK); /* another one waits */
    EXPECT_EQ(hear(pair.in, &value), GMK_OK);
    EXPECT_EQ(sys_notify_wait(notify, 4, 0, &bits), GMK_ETIMEOUT);
    pair_drop(&pair);
    EXPECT_EQ(sys_cap_drop(notify), GMK_OK);
}

static const struct utest tests[] = {
    UTEST(bytes_are_bounded_and_room_for_them_is_waited_for),
    UTEST(a_channel_is_charged_and_given_back),
    UTEST(wrong_arguments_make_no_channel),
    UTEST(wrong_names_find_nothing),
    UTEST(a_registry_shows_only_its_names),
    UTEST(rights_of_an_end_say_what_it_may),
    UTEST(closing_delivers_what_was_sent_and_then_says_so),
    UTEST(the_end_of_its_maker_closes_a_channel),
    UTEST(who_waits_in_an_end_that_goes_is_told),
    UTEST(a_thread_that_waits_can_be_killed),
    UTEST(names_and_ids_serve_again_and_again),
    UTEST(a_notification_tells_of_messages),
};

int main(void) {
    return UTEST_RUN(tests);
}
