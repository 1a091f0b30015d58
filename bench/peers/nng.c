/* nng: inproc push/pull for point-to-point, pub/sub for fan-out.
 *
 * push waits when the buffers are full, so it is lossless. pub/sub drops messages when a
 * subscriber's buffer is full and has no option to wait: it is lossy, and what it lost is
 * reported beside its rate. Buffers are as large as nng allows. */
#include "bench/peers/message.h"
#include "bench/peers/peers.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define ADDRESS  "inproc://bench"
#define BUFFERED 8192

static struct {
    nng_socket out;
    nng_socket in[BENCH_SUBSCRIBERS];
    unsigned n_receivers;
    pthread_t threads[BENCH_SUBSCRIBERS];
    uint32_t greeted;
} box;

static void *receiver(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg;
    nng_msg *msg;
    bench_pin_worker(me);
    while (nng_recvmsg(box.in[me], &msg, 0) == 0) { /* ends when the socket is closed */
        struct message m;
        memcpy(&m, nng_msg_body(msg), sizeof m);
        nng_msg_free(msg);
        if (m.seq == MESSAGE_HELLO && m.stamp_ns == 0) {
            /* Pairs with the load in greet(). */
            __atomic_fetch_or(&box.greeted, 1u << me, __ATOMIC_RELEASE);
        } else {
            message_take(&m, me);
        }
    }
    return NULL;
}

static void send_message(uint64_t seq, uint64_t stamp_ns) {
    struct message m = {.seq = seq, .stamp_ns = stamp_ns};
    nng_msg *msg;
    if (nng_msg_alloc(&msg, sizeof m) != 0) {
        return;
    }
    memcpy(nng_msg_body(msg), &m, sizeof m);
    int status;
    while ((status = nng_sendmsg(box.out, msg, NNG_FLAG_NONBLOCK)) == NNG_EAGAIN) {
        sched_yield();
    }
    if (status != 0) {
        nng_msg_free(msg);
    }
}

static void greet(void) {
    uint32_t everybody = (1u << box.n_receivers) - 1;
    /* Pairs with the fetch_or in receiver(). */
    while (__atomic_load_n(&box.greeted, __ATOMIC_ACQUIRE) != everybody) {
        send_message(MESSAGE_HELLO, 0);
        bench_sleep_ns(100000);
    }
}

static int nng_open_with(int (*open_out)(nng_socket *), int (*open_in)(nng_socket *),
                         unsigned receivers) {
    box.n_receivers = receivers;
    box.greeted = 0;
    if (open_out(&box.out) != 0) {
        return -1;
    }
    nng_socket_set_int(box.out, NNG_OPT_SENDBUF, BUFFERED);
    if (nng_listen(box.out, ADDRESS, NULL, 0) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < receivers; i++) {
        if (open_in(&box.in[i]) != 0) {
            return -1;
        }
        nng_socket_set_int(box.in[i], NNG_OPT_RECVBUF, BUFFERED);
        nng_socket_set(box.in[i], NNG_OPT_SUB_SUBSCRIBE, "", 0); /* pull has no such option */
        if (nng_dial(box.in[i], ADDRESS, NULL, 0) != 0 ||
            pthread_create(&box.threads[i], NULL, receiver, (void *)(uintptr_t)i) != 0) {
            return -1;
        }
    }
    greet();
    return 0;
}

static int open_pair(const struct bench_config *config) {
    (void)config;
    return nng_open_with(nng_push0_open, nng_pull0_open, 1);
}

static int open_fan(const struct bench_config *config) {
    (void)config;
    return nng_open_with(nng_pub0_open, nng_sub0_open, BENCH_SUBSCRIBERS);
}

static void nng_shut(void) {
    for (unsigned i = 0; i < box.n_receivers; i++) {
        nng_close(box.in[i]);
        pthread_join(box.threads[i], NULL);
    }
    nng_close(box.out);
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

const struct bench_contestant peer_nng_stream = {open_pair, run_stream, nng_shut};
const struct bench_contestant peer_nng_cold = {open_pair, run_cold, nng_shut};
const struct bench_contestant peer_nng_fan = {open_fan, run_stream, nng_shut};
