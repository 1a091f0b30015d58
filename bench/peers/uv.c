/* libuv: an event loop in a thread of its own, woken with uv_async_send().
 *
 * libuv has no queue between threads: uv_async_send() only wakes, and calls are merged. So
 * the stream is what its users write: a vector under a mutex, one wake per message, and
 * a callback that swaps the vector out and handles everything in it. It is unbounded, so the
 * sender never waits; a runtime with bounded queues does more work per message. */
#include "bench/peers/message.h"
#include "bench/peers/peers.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define FIRST_ROOM 1024u

struct batch {
    struct message *items;
    size_t used;
    size_t room;
};

static struct {
    uv_loop_t loop;
    uv_async_t async;
    uv_mutex_t lock;
    uv_thread_t thread;
    struct batch filling;  /* guarded by lock */
    struct batch handling; /* loop thread only */
} box;

static void on_wake(uv_async_t *async) {
    bool stop = false;
    uv_mutex_lock(&box.lock);
    struct batch full = box.filling;
    box.filling = box.handling;
    uv_mutex_unlock(&box.lock);
    for (size_t i = 0; i < full.used; i++) {
        stop |= !message_take(&full.items[i], 0);
    }
    full.used = 0;
    box.handling = full;
    if (stop) {
        uv_close((uv_handle_t *)async, NULL);
    }
}

static void loop_thread(void *arg) {
    (void)arg;
    bench_pin_worker(0);
    uv_run(&box.loop, UV_RUN_DEFAULT);
}

static void send_message(uint64_t seq, uint64_t stamp_ns) {
    uv_mutex_lock(&box.lock);
    struct batch *b = &box.filling;
    if (b->used == b->room) {
        b->room = b->room == 0 ? FIRST_ROOM : 2 * b->room;
        b->items = realloc(b->items, b->room * sizeof *b->items);
        if (b->items == NULL) {
            abort();
        }
    }
    b->items[b->used++] = (struct message){.seq = seq, .stamp_ns = stamp_ns};
    uv_mutex_unlock(&box.lock);
    uv_async_send(&box.async);
}

static int uv_open(const struct bench_config *config) {
    (void)config;
    memset(&box, 0, sizeof box);
    if (uv_loop_init(&box.loop) != 0 || uv_async_init(&box.loop, &box.async, on_wake) != 0) {
        return -1;
    }
    uv_mutex_init(&box.lock);
    return uv_thread_create(&box.thread, loop_thread, NULL);
}

static void uv_shut(void) {
    send_message(MESSAGE_STOP, 0);
    uv_thread_join(&box.thread);
    uv_loop_close(&box.loop);
    uv_mutex_destroy(&box.lock);
    free(box.filling.items);
    free(box.handling.items);
}

static void run_stream(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        send_message(seq, 0);
    }
    bench_stream_wait(run, start, 1, config->count);
}

static void send_stamp(uint64_t stamp_ns) {
    send_message(0, stamp_ns);
}

static void run_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, send_stamp);
}

const struct bench_contestant peer_uv_wake = {uv_open, run_cold, uv_shut};
const struct bench_contestant peer_uv_stream = {uv_open, run_stream, uv_shut};
