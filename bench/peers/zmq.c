/* ZeroMQ: inproc PUSH/PULL for point-to-point, PUB/SUB for fan-out, one receiving thread
 * per socket.
 *
 * PUSH waits at the high-water mark, so it is lossless. PUB drops there by default; it is
 * measured with ZMQ_XPUB_NODROP, which makes it wait, too: with it nothing is lost.
 * Messages above 33 bytes are allocated by zmq_send(); smaller ones travel inline. */
#include "bench/peers/message.h"
#include "bench/peers/peers.h"

#include <pthread.h>
#include <stdio.h>
#include <zmq.h>

#define ADDRESS    "inproc://bench"
#define HIGH_WATER 10000

static struct {
    void *context;
    void *out;
    unsigned n_receivers;
    pthread_t threads[BENCH_SUBSCRIBERS];
    void *in[BENCH_SUBSCRIBERS];
    uint32_t greeted; /* receivers that got MESSAGE_HELLO, one bit each */
} box;

static void *receiver(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg;
    struct message m;
    bench_pin_worker(me);
    for (;;) {
        if (zmq_recv(box.in[me], &m, sizeof m, 0) != (int)sizeof m) {
            continue;
        }
        if (m.seq == MESSAGE_HELLO && m.stamp_ns == 0) {
            /* Pairs with the load in greet(). */
            __atomic_fetch_or(&box.greeted, 1u << me, __ATOMIC_RELEASE);
        } else if (!message_take(&m, me)) {
            return NULL;
        }
    }
}

static void send_message(uint64_t seq, uint64_t stamp_ns) {
    struct message m = {.seq = seq, .stamp_ns = stamp_ns};
    if (zmq_send(box.out, &m, sizeof m, 0) != (int)sizeof m) {
        fprintf(stderr, "bench: zmq_send: %s\n", zmq_strerror(zmq_errno()));
    }
}

/* A subscription takes effect some time after connect; nothing before that counts as lost. */
static void greet(void) {
    uint32_t everybody = (1u << box.n_receivers) - 1;
    /* Pairs with the fetch_or in receiver(). */
    while (__atomic_load_n(&box.greeted, __ATOMIC_ACQUIRE) != everybody) {
        send_message(MESSAGE_HELLO, 0);
        bench_sleep_ns(100000);
    }
}

static int zmq_open(int out_type, int in_type, unsigned receivers) {
    int high_water = HIGH_WATER;
    int on = 1;
    box.context = zmq_ctx_new();
    box.out = zmq_socket(box.context, out_type);
    box.n_receivers = receivers;
    box.greeted = 0;
    zmq_setsockopt(box.out, ZMQ_SNDHWM, &high_water, sizeof high_water);
    if (out_type == ZMQ_PUB) {
        zmq_setsockopt(box.out, ZMQ_XPUB_NODROP, &on, sizeof on);
    }
    if (zmq_bind(box.out, ADDRESS) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < receivers; i++) {
        box.in[i] = zmq_socket(box.context, in_type);
        zmq_setsockopt(box.in[i], ZMQ_RCVHWM, &high_water, sizeof high_water);
        if (in_type == ZMQ_SUB) {
            zmq_setsockopt(box.in[i], ZMQ_SUBSCRIBE, "", 0);
        }
        if (zmq_connect(box.in[i], ADDRESS) != 0 ||
            pthread_create(&box.threads[i], NULL, receiver, (void *)(uintptr_t)i) != 0) {
            return -1;
        }
    }
    greet();
    return 0;
}

static int open_pair(const struct bench_config *config) {
    (void)config;
    return zmq_open(ZMQ_PUSH, ZMQ_PULL, 1);
}

static int open_fan(const struct bench_config *config) {
    (void)config;
    return zmq_open(ZMQ_PUB, ZMQ_SUB, BENCH_SUBSCRIBERS);
}

static void zmq_shut(void) {
    send_message(MESSAGE_STOP, 0);
    for (unsigned i = 0; i < box.n_receivers; i++) {
        pthread_join(box.threads[i], NULL);
        zmq_close(box.in[i]);
    }
    zmq_close(box.out);
    zmq_ctx_term(box.context);
}

static void run_stream(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        send_message(seq, 0);
    }
    bench_stream_wait(run, start, box.n_receivers, config->count);
}

static void send_stamp(uint64_t stamp_ns) {
    send_message(0, stamp_ns);
}

static void run_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, send_stamp);
}

const struct bench_contestant peer_zmq_stream = {open_pair, run_stream, zmq_shut};
const struct bench_contestant peer_zmq_cold = {open_pair, run_cold, zmq_shut};
const struct bench_contestant peer_zmq_fan = {open_fan, run_stream, zmq_shut};
