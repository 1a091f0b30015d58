/* Tree: a task that emits two, and each of those two, to 2^20 tasks; the root's parent waits
 * for the group by running tasks.
 *
 * The engine's queues are bounded and it never blocks a sender: when they are full, emit says
 * EAGAIN and the sender decides. Here it runs the child at once, as a call, which is what
 * one would write; how often that happened is printed with the
 * results. */
#include "bench/gmk.h"

#include <stdio.h>

enum { TYPE_NODE = 1, TYPE_ROOT };

static uint64_t in_place; /* children run as a call, all runs */
static uint64_t total;

/* Recursion ends at height 0: at most 20 deep. */
static void node(gmk_ctx_t *ctx, uint64_t height) { /* NOLINT(misc-no-recursion) */
    bench_done();
    if (height == 0) {
        return;
    }
    gmk_task_t child = {.type = TYPE_NODE, .meta0 = height - 1};
    for (unsigned i = 0; i < 2; i++) {
        if (gmk_emit(ctx, &child) != GMK_OK) {
            __atomic_fetch_add(&in_place, 1, __ATOMIC_RELAXED);
            node(ctx, height - 1);
        }
    }
}

static int handle_node(gmk_ctx_t *ctx) {
    node(ctx, ctx->task->meta0);
    return GMK_OK;
}

/* The waiting parent. Its own count is not part of the tree. */
static int handle_root(gmk_ctx_t *ctx) {
    uint32_t group = 0;
    int status = gmk_group_open(ctx, 0, &group);
    if (status == GMK_OK) {
        gmk_task_t first = {.type = TYPE_NODE, .meta0 = ctx->task->meta0, .group = group};
        status = gmk_emit(ctx, &first);
    }
    return status == GMK_OK ? gmk_group_wait(ctx, group) : status;
}

static const gmk_handler_fn handlers[] = {handle_node, handle_root};

static int boot_level(const struct bench_config *config, enum gmk_trace_level level) {
    gmk_boot_cfg_t cfg = {.trace_level = (uint8_t)level};
    return gmk_bench_boot(config, &cfg, handlers, 2);
}

static int open_default(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_OFF);
}

static int open_warn(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_WARN);
}

static int open_all(const struct bench_config *config) {
    return boot_level(config, GMK_TRACE_ALL);
}

static void run_tree(const struct bench_config *config, struct bench_run *run) {
    unsigned height = 0;
    while ((2ull << (height + 1)) - 1 <= config->count) {
        height++;
    }
    gmk_task_t root = {.type = TYPE_ROOT, .meta0 = height};
    uint64_t start = bench_now_ns();
    gmk_bench_submit(&root);
    bench_count_wait(run, start, (2ull << height) - 1);
    total += run->seen;
}

/* What the reader of the tree's figures must know, printed by the program at its end. */
void gmk_tree_print_in_place(void) {
    if (total != 0) {
        printf(
            "# tree: %.1f%% of our tree's tasks were run as a call because all queues were full\n",
            100.0 * (double)in_place / (double)total);
    }
}

const struct bench_contestant gmk_tree = {open_default, run_tree, gmk_bench_halt};
const struct bench_contestant gmk_tree_trace_warn = {open_warn, run_tree, gmk_bench_halt};
const struct bench_contestant gmk_tree_trace_all = {open_all, run_tree, gmk_bench_halt};
