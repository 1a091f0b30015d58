/* oneTBB: channels. A concurrent_bounded_queue with a thread that pops, and a flow graph.
 *
 * The bounded queue waits when full: lossless, in order. In the flow graph a serial
 * function_node with its own queue handles one message at a time in order; broadcast_node
 * fans out to three of them. Flow-graph queues are unbounded: lossless, but memory grows. */
#include "bench/peers/message.h"
#include "bench/peers/peers.h"

#include <atomic>
#include <memory>
#include <new>
#include <tbb/concurrent_queue.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>
#include <thread>
#include <vector>

namespace {

/* ---- Bounded queue ------------------------------------------------------------------- */

constexpr std::ptrdiff_t queue_capacity = 65536;

struct QueueBox {
    tbb::concurrent_bounded_queue<message> queue;
    std::thread thread;
};

std::unique_ptr<QueueBox> queue_box;

void queue_thread() {
    message m;
    bench_pin_worker(0);
    do {
        queue_box->queue.pop(m);
    } while (message_take(&m, 0));
}

int open_queue(const struct bench_config *) {
    queue_box.reset(new (std::nothrow) QueueBox);
    queue_box->queue.set_capacity(queue_capacity);
    queue_box->thread = std::thread(queue_thread);
    return 0;
}

void close_queue() {
    queue_box->queue.push(message{MESSAGE_STOP, 0, {}});
    queue_box->thread.join();
    queue_box.reset();
}

void run_queue(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        queue_box->queue.push(message{seq, 0, {}});
    }
    bench_stream_wait(run, start, 1, config->count);
}

void queue_stamp(uint64_t stamp_ns) {
    queue_box->queue.push(message{0, stamp_ns, {}});
}

void run_queue_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, queue_stamp);
}

/* ---- Flow graph ------------------------------------------------------------------------ */

class Pinner : public tbb::task_scheduler_observer {
  public:
    Pinner(tbb::task_arena &arena, unsigned workers)
        : tbb::task_scheduler_observer(arena), places(workers) {
        observe(true);
    }
    ~Pinner() override {
        observe(false);
    }
    void on_scheduler_entry(bool is_worker) override {
        if (is_worker) {
            bench_pin_worker(next.fetch_add(1, std::memory_order_relaxed) % places);
        }
    }

  private:
    std::atomic<unsigned> next{0};
    unsigned places;
};

using Receiver = tbb::flow::function_node<message, int>;

/* The graph runs in the arena it was built in; the sender only puts messages into it. */
struct FlowBox {
    tbb::global_control limit;
    tbb::task_arena arena;
    Pinner pinner;
    std::unique_ptr<tbb::flow::graph> graph;
    std::unique_ptr<tbb::flow::broadcast_node<message>> entrance;
    std::vector<std::unique_ptr<Receiver>> receivers;

    explicit FlowBox(unsigned workers)
        : limit(tbb::global_control::max_allowed_parallelism, workers + 1),
          arena(static_cast<int>(workers), 0), pinner(arena, workers) {
        arena.initialize();
    }
};

std::unique_ptr<FlowBox> flow_box;

void build_graph(unsigned receivers) {
    FlowBox &box = *flow_box;
    box.graph.reset(new tbb::flow::graph);
    box.entrance.reset(new tbb::flow::broadcast_node<message>(*box.graph));
    for (unsigned i = 0; i < receivers; i++) {
        box.receivers.emplace_back(
            new Receiver(*box.graph, tbb::flow::serial, [i](const message &m) -> int {
                message_take(&m, i);
                return 0;
            }));
        tbb::flow::make_edge(*box.entrance, *box.receivers[i]);
    }
}

int open_flow_with(unsigned workers, unsigned receivers) {
    flow_box.reset(new (std::nothrow) FlowBox(workers));
    if (!flow_box) {
        return -1;
    }
    /* A graph binds to the arena its builder runs in; only a member may build it. */
    std::atomic<bool> built{false};
    flow_box->arena.enqueue([&built, receivers] {
        build_graph(receivers);
        built.store(true, std::memory_order_release); /* pairs with the load below */
    });
    while (!built.load(std::memory_order_acquire)) {
        bench_sleep_ns(10000);
    }
    return 0;
}

int open_flow(const struct bench_config *config) {
    return open_flow_with(config->workers, 1);
}

int open_fan(const struct bench_config *config) {
    return open_flow_with(config->workers, BENCH_SUBSCRIBERS);
}

void close_flow() {
    flow_box->graph->wait_for_all();
    flow_box.reset();
}

void run_flow(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        flow_box->entrance->try_put(message{seq, 0, {}});
    }
    bench_stream_wait(run, start, static_cast<unsigned>(flow_box->receivers.size()), config->count);
}

void flow_stamp(uint64_t stamp_ns) {
    flow_box->entrance->try_put(message{0, stamp_ns, {}});
}

void run_flow_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, flow_stamp);
}

} // namespace

extern "C" {
extern const struct bench_contestant peer_tbb_queue = {open_queue, run_queue, close_queue};
extern const struct bench_contestant peer_tbb_queue_cold = {open_queue, run_queue_cold,
                                                            close_queue};
extern const struct bench_contestant peer_tbb_flow = {open_flow, run_flow, close_flow};
extern const struct bench_contestant peer_tbb_flow_cold = {open_flow, run_flow_cold, close_flow};
extern const struct bench_contestant peer_tbb_flow_fan = {open_fan, run_flow, close_flow};
}
