/* Arena: the one piece of memory an engine lives in, split into four parts.
 *
 *     | task slab 10% | trace slab 2% | blocks 68% | bump 20% |
 *
 * Problem: an engine must know at boot how much memory it can ever use, count every byte by
 * purpose, and never ask the platform again.
 * Idea: the caller brings memory once (hal_pages_alloc()); each part gets its fixed share,
 * bookkeeping included, and manages it alone, so exhaustion of one starves no other.
 * There are no globals: any number of arenas coexist, and giving the memory back is giving
 * everything back. struct arena must not move: its parts point to it.
 * Who may call: arena_init() before anybody else; each part says who may use it.
 * Not here: growing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block.h"
#include "engine/block_guard.h"
#include "engine/bump.h"
#include "engine/carve.h"
#include "engine/slab.h"

#define ARENA_SIZE_DEFAULT ((size_t)64 * 1024 * 1024)
#define ARENA_PAGE         ((size_t)4096)
/* Fewest objects a part must be able to hold. */
#define ARENA_TASKS_MIN   256u
#define ARENA_TRACE_MIN   1u
#define ARENA_BUMP_MIN    ((size_t)4 * 1024) /* bytes per region */
#define ARENA_TASK_SIZE   64u
#define ARENA_TRACE_PIECE ((size_t)8 * 1024)
#define ARENA_USERS_MAX   (GMK_WORKERS_MAX + GMK_CLIENTS_MAX)

enum arena_part { ARENA_TASKS, ARENA_TRACE, ARENA_BLOCKS, ARENA_BUMP, ARENA_PARTS };

struct arena_cfg {
    unsigned n_bumps;   /* bump regions, one per worker (or agent); 1 .. ARENA_USERS_MAX */
    unsigned n_caches;  /* block and task caches, one per worker and client; 1 .. ARENA_USERS_MAX */
    size_t trace_piece; /* bytes of one trace object, a power of two; 0: ARENA_TRACE_PIECE */
    size_t carve_bytes; /* least of the task part to be cut into queues; 0: it is all slab */
    bool zeroed;        /* the memory is zero already (fresh pages are): it is not cleared */
    alloc_corruption_fn on_corruption; /* may be NULL */
};

struct arena {
    /* Constant after arena_init(). */
    size_t size;
    unsigned n_bumps;
    unsigned n_caches;
    struct bump *bumps; /* at the start of the bump part */
    size_t bump_size;   /* of that part */
    struct alloc_guard guard;
    struct carve carve; /* the front of the task part: queues and channel logs */
    struct slab tasks;  /* the rest of it: objects of ARENA_TASK_SIZE bytes, n_caches caches */
    struct slab trace;  /* objects of trace_piece bytes, no caches: use the _shared calls */
    struct block_pool blocks;
};

/* Smallest size that arena_init() accepts for this configuration; 0 when the
 * configuration itself is wrong. */
size_t arena_size_min(const struct arena_cfg *cfg);

/* Splits `memory` (page-aligned; size is rounded down to pages). GMK_EINVAL: bad
 * configuration or address. GMK_ENOMEM: size is below arena_size_min(cfg). */
int arena_init(struct arena *arena, void *memory, size_t size, const struct arena_cfg *cfg);

/* What user `index` owns; `index` below n_caches or n_bumps. */
static inline struct block_cache *arena_block_cache(struct arena *arena, unsigned index) {
    return block_cache_at(&arena->blocks, index);
}
static inline struct slab_cache *arena_task_cache(struct arena *arena, unsigned index) {
    return slab_cache_at(&arena->tasks, index);
}
static inline struct bump *arena_bump(struct arena *arena, unsigned index) {
    return &arena->bumps[index];
}

/* Counters of one part; the bump regions are summed, `high` too. Any thread. */
void arena_stats(const struct arena *arena, enum arena_part part, struct part_stats *out);

/* "tasks", "trace", "blocks", "bump". */
const char *arena_part_name(enum arena_part part);

/* DEV: the n-th allocation attempt from now on, in any part and on any thread, fails once; 0
 * switches off. Returns how many were made to fail so far. Without DEV: no effect, 0. */
uint64_t arena_fail_after(struct arena *arena, uint32_t n);

/* Number of violated invariants of all parts; 0 is sound. Only while nobody allocates. */
uint64_t arena_check(const struct arena *arena);
