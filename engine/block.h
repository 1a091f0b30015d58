/* Block: general allocator of the arena, 12 power-of-two classes from 64 B to 128 KiB.
 *
 * Problem: handlers allocate and free payloads of any size at task rate, often on one
 * thread and free them on another, in bounded time and without a system call.
 * Idea: three layers.
 *   1. A cache per worker or client holds a magazine of free blocks per class
 *      (block_mag.h). The usual alloc or free is a pop or a push, inline below.
 *   2. Chunks of 128 KiB, each cut into blocks of one class, keep their free blocks as
 *      bits (block_bits.h). Magazines take and give 64 at a time; whoever frees, the bit
 *      goes home to its chunk, so blocks freed elsewhere come back by themselves.
 *   3. A chunk whose blocks are all free can be cut again for another class when nothing
 *      else is left: exhaustion in one class strands nothing for ever.
 * Headers lie apart, one 8-byte word per 64-byte granule, at the index of the block's
 * first granule:
 *     bits 0..31 references, 0 = not live | 32..35 class | 36..43 tenant | 44..63 length
 * A payload therefore starts on a cache line, a neighbour's overrun cannot reach a header,
 * eight headers share a line, and "is this pointer a live block of ours?" is a range
 * check and one load: the header of any address that is not the start of a live block
 * has zero references. Price: 1/9 of the part.
 * Invariants (block_check() counts violations): every block of an assigned chunk is in
 * exactly one of: a free bit, a magazine slot, live. Live headers carry the chunk's class.
 * Who may call: a cache belongs to one thread at a time; block_retain() and the queries
 * may be called by any holder of a reference.
 * Not here: blocks above 128 KiB, growing blocks in place, returning memory to the system.
 *
 * GNU extension: __builtin_clzll for the class of a size. */
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

#define BLOCK_BINS           12u
#define BLOCK_GRANULE_SHIFT  6u  /* 64 bytes: the smallest class, the unit of block numbers */
#define BLOCK_CHUNK_SHIFT    17u /* 128 KiB: the largest class */
#define BLOCK_CHUNK_SIZE     ((size_t)1 << BLOCK_CHUNK_SHIFT)
#define BLOCK_CHUNK_GRANULES (1u << (BLOCK_CHUNK_SHIFT - BLOCK_GRANULE_SHIFT))
#define BLOCK_CHUNK_WORDS    (BLOCK_CHUNK_GRANULES / 64u)
/* DEV keeps a canary behind every payload; the largest request is smaller by that. */
#define BLOCK_CANARY_SIZE (ALLOC_DEV ? 8u : 0u)
#define BLOCK_SIZE_MAX    (BLOCK_CHUNK_SIZE - BLOCK_CANARY_SIZE)
/* Fewer chunks than this are no useful pool; arena_size_min() asks for them. */
#define BLOCK_CHUNKS_MIN 4u
#define BLOCK_CHUNKS_MAX (1u << 20) /* 128 GiB: block numbers stay below 2^31 */

struct block_chunk {
    _Atomic uint64_t free[BLOCK_CHUNK_WORDS]; /* bit i: block i is in the pool */
    /* Class, or BLOCK_BINS: not cut. Changes only while every block is held by one thread. */
    alignas(GMK_CACHE_LINE) _Atomic uint32_t bin;
};

struct block_pool {
    /* Constant after block_pool_init(). */
    char *base;                /* first granule */
    _Atomic uint64_t *headers; /* one per granule */
    struct block_chunk *chunks;
    _Atomic uint64_t *
        sets; /* [BLOCK_BINS + 1][set_words]: chunks that may have free blocks; last row: not cut */
    struct block_cache *caches;
    struct alloc_guard *guard;
    size_t size;
    uint32_t n_chunks;
    uint32_t n_granules;
    uint32_t set_words;
    uint32_t n_caches;
    /* Written by all threads, once per batch. */
    alignas(
        GMK_FALSE_SHARING) _Atomic size_t out; /* bytes outside the pool: live or in magazines */
    _Atomic size_t high;
    _Atomic uint32_t recuts;   /* chunks cut again for another class, so far */
    _Atomic uint32_t pressure; /* allocations that found nothing: asks caches to give back */
};

struct block_cache {
    /* Constant after init. */
    alignas(GMK_FALSE_SHARING) char *base;
    _Atomic uint64_t *headers;
    uint64_t n_granules;
    struct block_pool *pool;
    /* Owner writes, anybody reads. */
    _Atomic uint64_t bad_sizes; /* requests of 0 bytes or above the largest class */
    _Atomic uint64_t bad_frees; /* frees refused */
    uint32_t pressure_seen;     /* owner only */
    alignas(GMK_FALSE_SHARING) struct magazine mag[BLOCK_BINS];
};

/* ---- Header word ------------------------------------------------------------ */

#define BLOCK_REFS_MASK UINT64_C(0xffffffff)

static inline uint64_t block_header(unsigned bin, uint8_t tenant, size_t size) {
    return 1u | (uint64_t)bin << 32 | (uint64_t)tenant << 36 | (uint64_t)size << 44;
}
static inline uint32_t block_header_refs(uint64_t header) {
    return (uint32_t)(header & BLOCK_REFS_MASK);
}
static inline unsigned block_header_bin(uint64_t header) {
    return (unsigned)(header >> 32) & 15u;
}

/* Class of a size; a value of BLOCK_BINS or more for sizes that have none (0 and too large). */
static inline unsigned block_bin(size_t size) {
    return (63u ^ (unsigned)__builtin_clzll((uint64_t)(size - 1) | 63u)) - 5u;
}
static inline size_t block_bin_size(unsigned bin) {
    return (size_t)64 << bin;
}

/* Number of the granule at `ptr`; n_granules or more when ptr is no granule of the pool.
 * The rotation brings a misaligned low part to the top: one compare tests both. */
static inline uint64_t block_granule(const char *base, const void *ptr) {
    uint64_t offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)base);
    return offset >> BLOCK_GRANULE_SHIFT | offset << (64u - BLOCK_GRANULE_SHIFT);
}

/* ---- Slow halves, in block.c and block_check.c ---------------------------------- */

void *block_alloc_slow(struct block_cache *cache, size_t size, uint8_t tenant);
int block_free_slow(struct block_cache *cache, void *ptr);
void *block_alloc_dev(struct block_cache *cache, size_t size, uint8_t tenant);
int block_free_dev(struct block_cache *cache, void *ptr);
/* True when the magazine of `bin` has a block, after a refill if need be. */
bool block_cache_ready(struct block_cache *cache, unsigned bin);
/* Writes `mark` (no references) to the header and takes the block back. */
void block_push(struct block_cache *cache, uint32_t granule, unsigned bin, uint64_t mark);

/* ---- The usual way ------------------------------------------------------------ */

/* The top block of a magazine that has one becomes live. */
static inline void *block_pop(struct block_cache *cache, unsigned bin, size_t length,
                              uint8_t tenant) {
    struct magazine *mag = &cache->mag[bin];
    uint32_t granule = mag->slot[--mag->count];
    counter_add(&mag->allocs, 1);
    /* Relaxed: whoever gets the pointer from us gets it through a queue. */
    atomic_store_explicit(&cache->headers[granule], block_header(bin, tenant, length),
                          memory_order_relaxed);
    return cache->base + ((size_t)granule << BLOCK_GRANULE_SHIFT);
}

/* `size` bytes (1 .. BLOCK_SIZE_MAX) on a cache line, with one reference, charged to
 * nobody but marked with `tenant`. NULL when the size has no class or the pool is
 * exhausted. Contents are undefined. Owner of `cache` only. */
static inline void *block_alloc(struct block_cache *cache, size_t size, uint8_t tenant) {
    if (ALLOC_DEV)
        return block_alloc_dev(cache, size, tenant);
    unsigned bin = block_bin(size);
    if (GMK_LIKELY(bin < BLOCK_BINS) && GMK_LIKELY(cache->mag[bin].count != 0))
        return block_pop(cache, bin, size, tenant);
    return block_alloc_slow(cache, size, tenant);
}

/* Gives one reference back; the last one frees the block, on whichever thread. GMK_OK, or
 * GMK_EINVAL when `ptr` is not a live block (foreign, misaligned, freed before): then
 * nothing changed and the guard was told. Two frees of one block at the very same moment
 * by two threads are told apart only in DEV. Owner of `cache` only. */
static inline int block_free(struct block_cache *cache, void *ptr) {
    if (ALLOC_DEV)
        return block_free_dev(cache, ptr);
    uint64_t granule = block_granule(cache->base, ptr);
    if (GMK_LIKELY(granule < cache->n_granules)) {
        /* B1 pairs with B2 in block_free_slow(): the other holders have finished with the contents. */
        uint64_t header = atomic_load_explicit(&cache->headers[granule], memory_order_acquire);
        struct magazine *mag = &cache->mag[block_header_bin(header)];
        if (GMK_LIKELY(block_header_refs(header) == 1) && GMK_LIKELY(mag->count < mag->limit)) {
            /* We hold the only reference, so nobody else touches this header now. */
            atomic_store_explicit(&cache->headers[granule], 0, memory_order_relaxed);
            mag->slot[mag->count++] = (uint32_t)granule;
            counter_add(&mag->frees, 1);
            return GMK_OK;
        }
    }
    return block_free_slow(cache, ptr);
}
static inline int block_release(struct block_cache *cache, void *ptr) {
    return block_free(cache, ptr);
}

/* Adds `count` references. The caller holds one. GMK_OK; GMK_EINVAL as block_free(), also
 * when the count would pass 2^31. Any thread. */
int block_retain(struct block_pool *pool, void *ptr, uint32_t count);

/* Is `ptr` inside the pool's memory? False for memory of the caller, the stack, NULL. */
static inline bool block_owns(const struct block_pool *pool, const void *ptr) {
    return (uintptr_t)ptr - (uintptr_t)pool->base < (size_t)pool->n_granules << BLOCK_GRANULE_SHIFT;
}

/* What is known of a live block. All zero when `ptr` is none. */
struct block_info {
    uint32_t refs;
    uint32_t length; /* as requested */
    uint32_t size;   /* of its class; 0: not a live block */
    uint8_t bin;
    uint8_t tenant;
};
struct block_info block_info(const struct block_pool *pool, const void *ptr);

/* ---- Caches and pool ------------------------------------------------------------ */

/* Bytes that block_pool_init() needs for `n_caches` caches and BLOCK_CHUNKS_MIN chunks. */
size_t block_pool_size_min(unsigned n_caches);

/* Makes a pool of `memory` (page-aligned, zeroed: headers are not touched). GMK_EINVAL for zero caches, GMK_ENOMEM below
 * block_pool_size_min(). Once, before anybody else looks. */
int block_pool_init(struct block_pool *pool, void *memory, size_t size, unsigned n_caches,
                    struct alloc_guard *guard);

/* Cache `index` (below n_caches). It belongs to the thread the caller gives it to. */
static inline struct block_cache *block_cache_at(struct block_pool *pool, unsigned index) {
    return &pool->caches[index];
}

/* Gives every cached block back to the pool. Before a thread leaves its cache to another,
 * or goes to sleep for long. At most BLOCK_BINS * MAG_SLOTS blocks. Owner only. */
void block_cache_flush(struct block_cache *cache);

/* Flushes if an allocation somewhere found nothing since the last call. Cheap: one load.
 * For the idle loop of a worker. Owner only. */
static inline void block_cache_trim(struct block_cache *cache) {
    uint32_t now = atomic_load_explicit(&cache->pool->pressure, memory_order_relaxed);
    if (GMK_LIKELY(now == cache->pressure_seen))
        return;
    cache->pressure_seen = now;
    block_cache_flush(cache);
}

/* Sums the caches' counters. `high` counts what left the pool, magazines included: the
 * most memory the program would have needed, at most a batch per class and cache above
 * the peak of `used`. Any thread. */
void block_stats(const struct block_pool *pool, struct part_stats *out);

/* Number of violated invariants; 0 is sound. Only while nobody allocates or frees. */
uint64_t block_check(const struct block_pool *pool);
