/* Slab: objects of one fixed size, a power of two from 64 bytes up.
 *
 * Problem: the engine parks tasks, chains overflow buckets and hands out trace pieces: all
 * of one size, from any thread, in bounded time.
 * Idea: the same as block.h without classes: a cache per owner (a magazine), behind it one
 * free bit per object, and one summary bit per word of those. A byte per object says
 * whether it is live, so a second free is caught by one load.
 * Invariant: every object is in exactly one of: a free bit, a magazine slot, live.
 * Who may call: a slab_cache belongs to one thread at a time; the _shared calls need no
 * cache and may be made by any thread.
 * Not here: several sizes; references (see block.h).
 *
 * In DEV a freed object is filled with poison and verified when it is allocated again. There
 * is no canary: objects are used to their last byte. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block_guard.h"
#include "engine/block_mag.h"
#include "ggmk/base.h"
#include "ggmk/error.h"

#define SLAB_OBJECT_MIN  64u
#define SLAB_OBJECTS_MAX (UINT32_C(1) << 30)

struct slab {
    /* Constant after slab_init(). */
    char *base;
    _Atomic uint64_t *words;   /* bit = object is in the pool */
    _Atomic uint64_t *summary; /* bit = that word may have a bit */
    _Atomic uint8_t *states;   /* enum slab_state, one per object */
    struct slab_cache *caches;
    struct alloc_guard *guard;
    size_t size;
    uint32_t shift; /* log2 of the object size */
    uint32_t n_objects;
    uint32_t n_words;
    uint32_t n_summary;
    uint32_t n_caches;
    /* Written by all threads, once per batch. */
    alignas(GMK_FALSE_SHARING) _Atomic size_t out; /* bytes outside the pool */
    _Atomic size_t high;
    /* Counters of the _shared calls. */
    _Atomic uint64_t allocs;
    _Atomic uint64_t frees;
    _Atomic uint64_t fails;
};

enum slab_state { SLAB_FREE = 0, SLAB_LIVE = 1, SLAB_POISONED = 2 };

struct slab_cache {
    /* Constant after init. */
    alignas(GMK_FALSE_SHARING) char *base;
    _Atomic uint8_t *states;
    struct slab *slab;
    uint64_t n_objects;
    uint32_t shift;
    /* Owner writes, anybody reads. */
    _Atomic uint64_t bad_frees;
    alignas(GMK_FALSE_SHARING) struct magazine mag;
};

/* Bytes for `n_objects` objects of `object_size` and `n_caches` caches. 0 when the object
 * size is no power of two from SLAB_OBJECT_MIN, or the sum does not fit. */
size_t slab_size_for(size_t object_size, size_t n_objects, unsigned n_caches);

/* Makes a slab of `memory` (page-aligned, zeroed), as many objects as fit. GMK_EINVAL for a bad object
 * size; GMK_ENOMEM when not even one object fits. n_caches may be 0. */
int slab_init(struct slab *slab, void *memory, size_t size, size_t object_size, unsigned n_caches,
              struct alloc_guard *guard);

static inline struct slab_cache *slab_cache_at(struct slab *slab, unsigned index) {
    return &slab->caches[index];
}

/* Slow halves, in slab.c. */
void *slab_alloc_slow(struct slab_cache *cache);
int slab_free_slow(struct slab_cache *cache, void *ptr);

/* Number of the object at `ptr`; n_objects or more when it is none (as block_granule()). */
static inline uint64_t slab_index(const char *base, uint32_t shift, const void *ptr) {
    uint64_t offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)base);
    return offset >> shift | offset << (64u - shift);
}

/* One object, aligned to 64 bytes, contents undefined; NULL when none is left. Owner only. */
static inline void *slab_alloc(struct slab_cache *cache) {
    if (ALLOC_DEV || GMK_UNLIKELY(cache->mag.count == 0))
        return slab_alloc_slow(cache);
    uint32_t index = cache->mag.slot[--cache->mag.count];
    counter_add(&cache->mag.allocs, 1);
    atomic_store_explicit(&cache->states[index], SLAB_LIVE, memory_order_relaxed);
    return cache->base + ((size_t)index << cache->shift);
}

/* Takes an object back, from whichever cache it came. GMK_OK; GMK_EINVAL when it is not a
 * live object: nothing changed and the guard was told. Owner only. */
static inline int slab_free(struct slab_cache *cache, void *ptr) {
    if (ALLOC_DEV)
        return slab_free_slow(cache, ptr);
    struct magazine *mag = &cache->mag;
    uint64_t index = slab_index(cache->base, cache->shift, ptr);
    if (GMK_UNLIKELY(index >= cache->n_objects) || GMK_UNLIKELY(mag->count >= mag->limit) ||
        GMK_UNLIKELY(atomic_load_explicit(&cache->states[index], memory_order_relaxed) !=
                     SLAB_LIVE))
        return slab_free_slow(cache, ptr);
    atomic_store_explicit(&cache->states[index], SLAB_FREE, memory_order_relaxed);
    mag->slot[mag->count++] = (uint32_t)index;
    counter_add(&mag->frees, 1);
    return GMK_OK;
}

/* The same without a cache, straight from the pool. Any thread. */
void *slab_alloc_shared(struct slab *slab);
int slab_free_shared(struct slab *slab, void *ptr);

static inline bool slab_owns(const struct slab *slab, const void *ptr) {
    return (uintptr_t)ptr - (uintptr_t)slab->base < (size_t)slab->n_objects << slab->shift;
}

/* Gives every cached object back to the pool; at most MAG_SLOTS. Owner only. */
void slab_cache_flush(struct slab_cache *cache);

/* Sums of all counters; `high` counts what left the pool, magazines included. Any thread. */
void slab_stats(const struct slab *slab, struct part_stats *out);

/* Number of violated invariants; 0 is sound. Only while nobody allocates or frees. */
uint64_t slab_check(const struct slab *slab);
