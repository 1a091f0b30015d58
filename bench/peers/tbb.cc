/* oneTBB: tasks. Submit from outside an arena, submit with the caller's help, a tree, a wake.
 *
 * An arena with no slot for masters is what "from outside" means in oneTBB; enqueue() is its
 * only entrance. The helped form is the other idiom, task_group: the caller owns a slot,
 * pushes to its own deque and runs tasks while it waits, so it has one more working thread
 * than the rest of the submit job; it is shown for comparison.
 * oneTBB keeps its threads after close(); they sleep, and are pinned anew by the next arena. */
#include "bench/peers/peers.h"

#include <atomic>
#include <memory>
#include <new>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

namespace {

class Pinner : public tbb::task_scheduler_observer {
  public:
    explicit Pinner(tbb::task_arena &arena) : tbb::task_scheduler_observer(arena) {
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
    std::atomic<unsigned> next{0};
    unsigned places = 1;
};

struct Scheduler {
    tbb::global_control limit;
    tbb::task_arena arena;
    Pinner pinner;
    tbb::task_group group;

    Scheduler(unsigned workers, unsigned masters)
        : limit(tbb::global_control::max_allowed_parallelism, workers + 1),
          arena(static_cast<int>(workers + masters), masters), pinner(arena) {
        pinner.places = workers == 0 ? 1 : workers;
        arena.initialize();
    }
};

std::unique_ptr<Scheduler> scheduler;

int open_with(unsigned workers, unsigned masters) {
    scheduler.reset(new (std::nothrow) Scheduler(workers, masters));
    return scheduler ? 0 : -1;
}

int open_outside(const struct bench_config *config) {
    return open_with(config->workers, 0);
}

int open_helped(const struct bench_config *config) {
    return open_with(config->workers, 1);
}

/* All working threads of the tree job: the waiting caller and workers - 1 others. */
int open_tree(const struct bench_config *config) {
    return open_with(config->workers - 1, 1);
}

void close_all() {
    scheduler.reset();
}

void run_submit(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    for (uint64_t i = 0; i < config->count; i++) {
        scheduler->arena.enqueue([] { bench_done(); });
    }
    bench_count_wait(run, start, config->count);
}

void run_helped(const struct bench_config *config, struct bench_run *run) {
    uint64_t start = bench_now_ns();
    scheduler->arena.execute([config] {
        for (uint64_t i = 0; i < config->count; i++) {
            scheduler->group.run([] { bench_done(); });
        }
        scheduler->group.wait();
    });
    bench_count_wait(run, start, config->count);
}

void node(unsigned height) {
    bench_done();
    if (height != 0) {
        scheduler->group.run([height] { node(height - 1); });
        scheduler->group.run([height] { node(height - 1); });
    }
}

void run_tree(const struct bench_config *config, struct bench_run *run) {
    unsigned height = 0;
    while ((2ull << (height + 1)) - 1 <= config->count) {
        height++;
    }
    uint64_t start = bench_now_ns();
    scheduler->arena.execute([height] {
        scheduler->group.run([height] { node(height); });
        scheduler->group.wait();
    });
    bench_count_wait(run, start, (2ull << height) - 1);
}

void wake(uint64_t stamp_ns) {
    scheduler->arena.enqueue([stamp_ns] { bench_wake_landed(stamp_ns); });
}

void run_wake(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, wake);
}

} // namespace

extern "C" {
extern const struct bench_contestant peer_tbb_submit = {open_outside, run_submit, close_all};
extern const struct bench_contestant peer_tbb_helped = {open_helped, run_helped, close_all};
extern const struct bench_contestant peer_tbb_tree = {open_tree, run_tree, close_all};
extern const struct bench_contestant peer_tbb_wake = {open_outside, run_wake, close_all};
}
