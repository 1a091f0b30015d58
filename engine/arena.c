/* Arena: splits the memory and hands each part its share; see arena.h. */
#include "engine/arena.h"

#include <string.h>

#include "lib/checked.h"

static const unsigned share_percent[ARENA_PARTS] = {
    [ARENA_TASKS] = 10, [ARENA_TRACE] = 2, [ARENA_BLOCKS] = 68, [ARENA_BUMP] = 20};
_Static_assert(10 + 2 + 68 + 20 == 100, "the shares are the whole");

static size_t page_down(size_t bytes) {
    return bytes & ~(ARENA_PAGE - 1);
}

static size_t trace_piece(const struct arena_cfg *cfg) {
    return cfg->trace_piece == 0 ? ARENA_TRACE_PIECE : cfg->trace_piece;
}

static bool cfg_ok(const struct arena_cfg *cfg) {
    if (cfg->n_bumps == 0 || cfg->n_bumps > ARENA_USERS_MAX)
        return false;
    if (cfg->n_caches == 0 || cfg->n_caches > ARENA_USERS_MAX)
        return false;
    /* More could wrap in the sums and percentages below. */
    if (cfg->carve_bytes > SIZE_MAX / 256)
        return false;
    return slab_size_for(trace_piece(cfg), ARENA_TRACE_MIN, 0) != 0;
}

/* Pages that the array of bumps takes from the bump part. */
static size_t bumps_size(unsigned n_bumps) {
    return page_down(n_bumps * sizeof(struct bump) + ARENA_PAGE - 1);
}

static size_t part_min(const struct arena_cfg *cfg, enum arena_part part) {
    switch (part) {
    case ARENA_TASKS:
        return page_down(cfg->carve_bytes + ARENA_PAGE - 1) +
               slab_size_for(ARENA_TASK_SIZE, ARENA_TASKS_MIN, cfg->n_caches);
    case ARENA_TRACE:
        return slab_size_for(trace_piece(cfg), ARENA_TRACE_MIN, 0);
    case ARENA_BLOCKS:
        return block_pool_size_min(cfg->n_caches);
    case ARENA_BUMP:
        return bumps_size(cfg->n_bumps) + cfg->n_bumps * ARENA_BUMP_MIN;
    case ARENA_PARTS:
        break;
    }
    return 0;
}

/* Bytes of a part when `rest` is what all four share. */
static size_t part_size(size_t rest, enum arena_part part) {
    return page_down(checked_percent(rest, share_percent[part]));
}

size_t arena_size_min(const struct arena_cfg *cfg) {
    size_t rest = 0;
    if (!cfg_ok(cfg))
        return 0;
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        /* The part's minimum in whole pages, and one page that rounding down may cost. */
        size_t bytes = page_down(part_min(cfg, part) + 2 * ARENA_PAGE - 1);
        size_t needed;
        if (!checked_mul(bytes, 100, &needed))
            return 0;
        needed = needed / share_percent[part] + 1;
        if (needed > rest)
            rest = needed;
    }
    return page_down(rest + ARENA_PAGE - 1);
}

static int make_bumps(struct arena *arena, char *memory, size_t size) {
    size_t head = bumps_size(arena->n_bumps);
    size_t each = page_down((size - head) / arena->n_bumps);
    if (each > BUMP_SIZE_MAX)
        each = BUMP_SIZE_MAX;
    arena->bumps = (struct bump *)(void *)memory;
    arena->bump_size = size;
    for (unsigned i = 0; i < arena->n_bumps; i++) {
        int status = bump_init(&arena->bumps[i], memory + head + i * each, each, &arena->guard);
        if (status != GMK_OK)
            return status;
    }
    return GMK_OK;
}

/* With queues to cut, the slab gets its least and the front of the part the rest. */
static int make_tasks(struct arena *arena, const struct arena_cfg *cfg, char *at, size_t size) {
    size_t slab = slab_size_for(ARENA_TASK_SIZE, ARENA_TASKS_MIN, cfg->n_caches);
    size_t front = cfg->carve_bytes != 0 ? page_down(size - slab) : 0;
    carve_init(&arena->carve, at, front);
    return slab_init(&arena->tasks, at + front, size - front, ARENA_TASK_SIZE, cfg->n_caches,
                     &arena->guard);
}

static int make_part(struct arena *arena, const struct arena_cfg *cfg, enum arena_part part,
                     char *at, size_t size) {
    struct alloc_guard *guard = &arena->guard;
    switch (part) {
    case ARENA_TASKS:
        return make_tasks(arena, cfg, at, size);
    case ARENA_TRACE:
        return slab_init(&arena->trace, at, size, trace_piece(cfg), 0, guard);
    case ARENA_BLOCKS:
        return block_pool_init(&arena->blocks, at, size, cfg->n_caches, guard);
    case ARENA_BUMP:
        return make_bumps(arena, at, size);
    case ARENA_PARTS:
        break;
    }
    return GMK_EINVAL;
}

int arena_init(struct arena *arena, void *memory, size_t size, const struct arena_cfg *cfg) {
    if (memory == NULL || (uintptr_t)memory % ARENA_PAGE != 0 || !cfg_ok(cfg))
        return GMK_EINVAL;
    size = page_down(size);
    if (size < arena_size_min(cfg))
        return GMK_ENOMEM;
    if (!cfg->zeroed)
        memset(memory, 0, size);
    memset(arena, 0, sizeof *arena);
    arena->size = size;
    arena->n_bumps = cfg->n_bumps;
    arena->n_caches = cfg->n_caches;
    arena->guard.on_corruption = cfg->on_corruption;
    char *at = memory;
    for (unsigned part = 0; part < ARENA_PARTS; part++) {
        size_t bytes = part_size(size, part);
        int status = make_part(arena, cfg, part, at, bytes);
        if (status != GMK_OK)
            return status;
        at += bytes;
    }
    return GMK_OK;
}

static void bump_sum(const struct arena *arena, struct part_stats *out) {
    *out = (struct part_stats){.size = arena->bump_size};
    for (unsigned i = 0; i < arena->n_bumps; i++) {
        struct part_stats one;
        bump_stats(&arena->bumps[i], &one);
        out->total += one.total;
        out->used += one.used;
        out->free += one.free;
        out->high += one.high;
        out->allocs += one.allocs;
        out->frees += one.frees;
        out->fails += one.fails;
    }
}

void arena_stats(const struct arena *arena, enum arena_part part, struct part_stats *out) {
    switch (part) {
    case ARENA_TASKS:
        slab_stats(&arena->tasks, out);
        carve_stats_add(&arena->carve, out);
        return;
    case ARENA_TRACE:
        slab_stats(&arena->trace, out);
        return;
    case ARENA_BLOCKS:
        block_stats(&arena->blocks, out);
        return;
    case ARENA_BUMP:
        bump_sum(arena, out);
        return;
    case ARENA_PARTS:
        break;
    }
    *out = (struct part_stats){0};
}

const char *arena_part_name(enum arena_part part) {
    static const char *const names[ARENA_PARTS] = {[ARENA_TASKS] = "tasks",
                                                   [ARENA_TRACE] = "trace",
                                                   [ARENA_BLOCKS] = "blocks",
                                                   [ARENA_BUMP] = "bump"};
    return part < ARENA_PARTS ? names[part] : "?";
}

uint64_t arena_fail_after(struct arena *arena, uint32_t n) {
    if (ALLOC_DEV)
        atomic_store_explicit(&arena->guard.fail_in, (int64_t)n, memory_order_relaxed);
    return counter_read(&arena->guard.injected);
}

uint64_t arena_check(const struct arena *arena) {
    uint64_t wrong =
        slab_check(&arena->tasks) + slab_check(&arena->trace) + block_check(&arena->blocks);
    for (unsigned i = 0; i < arena->n_bumps; i++) {
        const struct bump *bump = &arena->bumps[i];
        uint64_t left = atomic_load_explicit(&bump->mark, memory_order_relaxed) >> BUMP_COUNT_BITS;
        wrong += left > bump->size || left % BUMP_GRAIN != 0;
    }
    return wrong;
}
