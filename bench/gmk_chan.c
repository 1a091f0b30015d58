/* Channels: one lossless point-to-point channel with an ordered subscription, one lossless
 * fan-out channel with three; the sender is an attached thread.
 *
 * gmk_chan_send() waits when the channel is full, so nothing is lost; the receivers check
 * that every number came once and in order. */
#include "bench/gmk.h"

#define TYPE_MESSAGE 1u
#define BULK         32u
#define SLOTS        8192u

static uint32_t chan;
static gmk_ctx_t *sender;

static int handle_message(gmk_ctx_t *ctx) {
    struct bench_stream *stream = ctx->state;
    if (ctx->task->meta1 != 0) {
        bench_wake_landed(ctx->task->meta1);
    } else {
        bench_stream_take(stream, ctx->task->meta0);
    }
    return GMK_OK;
}

static const gmk_handler_fn handlers[] = {handle_message};

static int open_with(const struct bench_config *config, uint32_t options, unsigned subscribers) {
    int status = gmk_bench_boot(config, NULL, handlers, 1);
    if (status != 0) {
        return status;
    }
    sender = gmk_attach(&gmk_bench_kernel);
    if (sender == NULL) {
        return -1;
    }
    gmk_bench_check(gmk_chan_open(sender, "bench.line", TYPE_MESSAGE, options, SLOTS, &chan),
                    "gmk_chan_open");
    for (unsigned i = 0; i < subscribers; i++) {
        uint32_t sub;
        gmk_bench_check(gmk_chan_sub(sender, chan, handle_message, NULL, &bench_streams[i],
                                     GMK_SUB_ORDERED, &sub),
                        "gmk_chan_sub");
    }
    return 0;
}

static int open_pair(const struct bench_config *config) {
    return open_with(config, GMK_CHAN_P2P | GMK_CHAN_LOSSLESS, 1);
}

static int open_fan(const struct bench_config *config) {
    return open_with(config, GMK_CHAN_FANOUT | GMK_CHAN_LOSSLESS, BENCH_SUBSCRIBERS);
}

static void send_one(const gmk_task_t *task) {
    gmk_bench_check(gmk_chan_send(sender, chan, task, BENCH_TIME_LIMIT_NS), "gmk_chan_send");
}

/* In bulk, and when the channel is full one by one with a wait. */
static void send_n(const gmk_task_t *tasks, uint32_t count) {
    while (count != 0) {
        int taken = gmk_chan_emit_n(sender, chan, tasks, count);
        if (taken == GMK_EAGAIN || taken == 0) {
            send_one(tasks);
            taken = 1;
        }
        gmk_bench_check(taken, "gmk_chan_emit_n");
        tasks += taken;
        count -= (uint32_t)taken;
    }
}

static void stream(const struct bench_config *config, struct bench_run *run, unsigned receivers) {
    gmk_task_t task = {.type = TYPE_MESSAGE};
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq++) {
        task.meta0 = seq;
        send_one(&task);
    }
    bench_stream_wait(run, start, receivers, config->count);
}

static void stream_bulk(const struct bench_config *config, struct bench_run *run,
                        unsigned receivers) {
    gmk_task_t tasks[BULK] = {{.type = TYPE_MESSAGE}};
    for (uint32_t k = 1; k < BULK; k++) {
        tasks[k] = tasks[0];
    }
    uint64_t start = bench_now_ns();
    for (uint64_t seq = 1; seq <= config->count; seq += BULK) {
        uint64_t left = config->count - seq + 1;
        uint64_t n = left < BULK ? left : BULK;
        for (uint64_t k = 0; k < n; k++) {
            tasks[k].meta0 = seq + k;
        }
        send_n(tasks, (uint32_t)n);
    }
    bench_stream_wait(run, start, receivers, config->count);
}

static void run_pair(const struct bench_config *config, struct bench_run *run) {
    stream(config, run, 1);
}

static void run_pair_bulk(const struct bench_config *config, struct bench_run *run) {
    stream_bulk(config, run, 1);
}

static void run_fan(const struct bench_config *config, struct bench_run *run) {
    stream(config, run, BENCH_SUBSCRIBERS);
}

static void run_fan_bulk(const struct bench_config *config, struct bench_run *run) {
    stream_bulk(config, run, BENCH_SUBSCRIBERS);
}

static void send_stamp(uint64_t stamp_ns) {
    gmk_task_t task = {.type = TYPE_MESSAGE, .meta1 = stamp_ns};
    send_one(&task);
}

static void run_cold(const struct bench_config *config, struct bench_run *run) {
    bench_wake_loop(config, run, send_stamp);
}

const struct bench_contestant gmk_chan_stream = {open_pair, run_pair, gmk_bench_halt};
const struct bench_contestant gmk_chan_bulk = {open_pair, run_pair_bulk, gmk_bench_halt};
const struct bench_contestant gmk_chan_cold = {open_pair, run_cold, gmk_bench_halt};
const struct bench_contestant gmk_chan_fan = {open_fan, run_fan, gmk_bench_halt};
const struct bench_contestant gmk_chan_fan_bulk = {open_fan, run_fan_bulk, gmk_bench_halt};
