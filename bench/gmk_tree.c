/* Tree: a task that starts two, and each of those two, to 2^20 tasks; the root's parent waits
 * for the group by running tasks.
 *
 * Two ways. gmk_spawn() is the engine's call for trees: a child goes into the worker's queue,
 * where others can steal it, or runs at once when that is full; every child is a task, checked,
 * counted and credited to the group either way. gmk_emit() queues every child; its contestant
 * has queues for the whole tree, because the engine never blocks a sender. */
#include "bench/gmk.h"

#define WIDE_SLOTS  (1u << 20) /* room for every task of the tree */
#define SPARE_ARENA (64u << 20)

enum { TYPE_SPAWN = 1, TYPE_EMIT, TYPE_ROOT };

typedef int (*start_fn)(gmk_ctx_t *ctx, const gmk_task_t *task);

static int node(gmk_ctx_t *ctx, start_fn start) {
    uint64_t height = ctx->task->meta0;
    bench_done();
    if (height == 0) {
        return GMK_OK;
    }
    gmk_task_t child = {.type = ctx->task->type, .meta0 = height - 1};
    for (unsigned i = 0; i < 2; i++) {
        gmk_bench_check(start(ctx, &child), "a child of the tree");
    }
    return GMK_OK;
}

static int handle_spawn(gmk_ctx_t *ctx) {
    return node(ctx, gmk_spawn);
}

static int handle_emit(gmk_ctx_t *ctx) {
    return node(ctx, gmk_emit);
}

/* The waiting parent; meta1 is the type of the tree's tasks. Not part of the tree itself. */
static int handle_root(gmk_ctx_t *ctx) {
    uint32_t group = 0;
    int status = gmk_group_open(ctx, 0, &group);
    if (status == GMK_OK) {
        gmk_task_t first = {
            .type = (uint32_t)ctx->task->meta1, .meta0 = ctx->task->meta0, .group = group};
        status = gmk_emit(ctx, &first);
    }
    return status == GMK_OK ? gmk_group_wait(ctx, group) : status;
}

static const gmk_handler_fn handlers[] = {handle_spawn, handle_emit, handle_root};

static int open_default(const struct bench_config *config) {
    return gmk_bench_boot(config, NULL, handlers, 3);
}

static int open_wide(const struct bench_config *config) {
    gmk_boot_cfg_t cfg = {.ready_slots = WIDE_SLOTS};
    cfg.arena_size = gmk_boot_arena_min(&cfg) + SPARE_ARENA;
    return gmk_bench_boot(config, &cfg, handlers, 3);
}

static void run_tree(const struct bench_config *config, struct bench_run *run, unsigned type) {
    unsigned height = 0;
    while ((2ull << (height + 1)) - 1 <= config->count) {
        height++;
    }
    gmk_task_t root = {.type = TYPE_ROOT, .meta0 = height, .meta1 = type};
    uint64_t start = bench_now_ns();
    gmk_bench_submit(&root);
    bench_count_wait(run, start, (2ull << height) - 1);
}

static void run_spawn(const struct bench_config *config, struct bench_run *run) {
    run_tree(config, run, TYPE_SPAWN);
}

static void run_emit(const struct bench_config *config, struct bench_run *run) {
    run_tree(config, run, TYPE_EMIT);
}

const struct bench_contestant gmk_tree = {open_default, run_spawn, gmk_bench_halt};
const struct bench_contestant gmk_tree_wide = {open_wide, run_emit, gmk_bench_halt};
