/* Tree: a task that emits two, and each of those two, to 2^20 tasks; the root's parent waits
 * for the group by running tasks.
 *
 * The engine's queues are bounded and it never blocks a sender: when they are full, emit says
 * EAGAIN and the sender decides. Here it runs the child at once, as a call, which is what
 * one would write; how often that happened is printed with the results. A second contestant
 * has a queue for the whole tree, so that every task of it travels through a queue. */
#include "bench/gmk.h"

#include <stdio.h>

#define WIDE_SLOTS  (1u << 20) /* room for every task of the tree */
#define SPARE_ARENA (64u << 20)

enum { TYPE_NODE = 1, TYPE_ROOT };

/* Over all runs with queues of default size. */
static struct {
    uint64_t in_place; /* children run as a call */
    uint64_t total;
} tally;

/* Recursion ends at height 0: at most 20 deep. */
static void node(gmk_ctx_t *ctx, uint64_t height) { /* NOLINT(misc-no-recursion) */
    bench_done();
    if (height == 0) {
        return;
    }
    gmk_task_t child = {.type = TYPE_NODE, .meta0 = height - 1};
    for (unsigned i = 0; i < 2; i++) {
        if (gmk_emit(ctx, &child) != GMK_OK) {
            __atomic_fetch_add(&tally.in_place, 1, __ATOMIC_RELAXED);
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

static int open_default(const struct bench_config *config) {
    return gmk_bench_boot(config, NULL, handlers, 2);
}

static int open_wide(const struct bench_config *config) {
    gmk_boot_cfg_t cfg = {.ready_slots = WIDE_SLOTS};
    cfg.arena_size = gmk_boot_arena_min(&cfg) + SPARE_ARENA;
    return gmk_bench_boot(config, &cfg, handlers, 2);
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
}

/* With the queues an engine boots with. */
static void run_narrow(const struct bench_config *config, struct bench_run *run) {
    run_tree(config, run);
    tally.total += run->seen;
}

/* What the reader of the tree's figures must know, printed by the program at its end. */
void gmk_tree_print_in_place(void) {
    if (tally.total != 0) {
        printf("# tree: in \"ggmk group_wait\" %.1f%% of the tasks ran as a call of their parent's "
               "handler, because all queues were full\n",
               100.0 * (double)tally.in_place / (double)tally.total);
    }
}

const struct bench_contestant gmk_tree = {open_default, run_narrow, gmk_bench_halt};
const struct bench_contestant gmk_tree_wide = {open_wide, run_tree, gmk_bench_halt};
