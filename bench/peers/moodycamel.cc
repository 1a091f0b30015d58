/* moodycamel: BlockingConcurrentQueue with a producer token and a thread that takes in bulk.
 *
 * An unbounded queue of sub-queues, one per producer; with a single producer it is in order.
 * The receiver takes up to 64 at a time, which is how its documentation says to be fast. */
#include "bench/peers/message.h"
#include "bench/peers/peers.h"

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <memory>
#include <new>
#include <thread>

namespace {

constexpr std::size_t bulk = 64;

struct Box {
    moodycamel::BlockingConcurrentQueue<message> queue;
    moodycamel::ProducerToken token{queue};
    std::thread thread;
};

std::unique_ptr<Box> box;

void receiver() {
    message taken[bulk];
    bool more = true;
    bench_pin_worker(0);
    moodycamel::ConsumerToken token(box->queue);
    while (more) {
        std::size_t n = box->queue.wait_dequeue_bulk(token, taken, bulk);
        for (std::size_t i = 0; i < n; i++) {
            more = message_take(&taken[i], 0) && more;
        }
    }
}

int open_box(const struct bench_config *) {
    box.reset(new (std::nothrow) Box);
    if (!box) {
        return -1;
    }
    box->thread = std::thread(receiver);
    return 0;
}

void close_box() {
    box->queue.enqueue(box->token, message{MESSAGE_STOP, 0, {}});
    box->thread.join();
    box.reset();
}

void run_stream(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        box->queue.enqueue(box->token, message{seq, 0, {}});
    }
    bench_stream_wait(run, start, 1, config->count);
}

void send_stamp(uint64_t stamp_ns) {
    box->queue.enqueue(box->token, message{0, stamp_ns, {}});
}

void run_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, send_stamp);
}

} // namespace

extern "C" {
extern const struct bench_contestant peer_moodycamel_stream = {open_box, run_stream, close_box};
extern const struct bench_contestant peer_moodycamel_cold = {open_box, run_cold, close_box};
}
