/* Block checks: canary, poison and exact double-free detection of DEV; the invariants of the pool.
 *
 * In DEV a payload is followed by canary bytes up to the end of its class (at least
 * BLOCK_CANARY_SIZE), verified when the block is freed. A freed block is filled with
 * poison, verified when it is allocated again: a difference means that somebody wrote after
 * the free. A header changes by compare-and-swap, so of two frees at the same moment exactly
 * one wins. A header without references but with the mark POISONED tells a filled block
 * from one that was never used since its chunk was cut. */
#include <string.h>

#include "engine/block.h"
#include "engine/block_bits.h"
#include "engine/block_chunk.h"

#define CANARY_BYTE 0xc5
#define POISON_BYTE 0xdd
#define FRESH_BYTE  0xa5
#define POISONED    (UINT64_C(1) << 63)

static bool all_bytes(const unsigned char *bytes, size_t count, unsigned char value) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

void *block_alloc_dev(struct block_cache *cache, size_t size, uint8_t tenant) {
    unsigned bin =
        size == 0 || size > BLOCK_SIZE_MAX ? BLOCK_BINS : block_bin(size + BLOCK_CANARY_SIZE);
    if (bin >= BLOCK_BINS)
        return block_alloc_slow(cache, 0, tenant);
    struct magazine *mag = &cache->mag[bin];
    if (guard_inject(cache->pool->guard)) {
        counter_add(&mag->fails, 1);
        return NULL;
    }
    if (!block_cache_ready(cache, bin))
        return NULL;
    uint64_t before =
        atomic_load_explicit(&cache->headers[mag->slot[mag->count - 1]], memory_order_relaxed);
    unsigned char *block = block_pop(cache, bin, size, tenant);
    if (before == POISONED && !all_bytes(block, block_bin_size(bin), POISON_BYTE))
        guard_report(cache->pool->guard, "block was written after it was freed", block);
    memset(block, FRESH_BYTE, size);
    memset(block + size, CANARY_BYTE, block_bin_size(bin) - size);
    return block;
}

/* We hold the last reference and took it out of the header: check, poison, take back. */
static int free_last(struct block_cache *cache, unsigned char *block, uint32_t granule,
                     uint64_t header) {
    unsigned bin = block_header_bin(header);
    size_t length = header >> 44;
    size_t size = block_bin_size(bin);
    if (!all_bytes(block + length, size - length, CANARY_BYTE)) {
        /* Nothing changes: the block stays live, its neighbour's fate is for a person to judge. */
        atomic_store_explicit(&cache->headers[granule], header, memory_order_relaxed);
        counter_add(&cache->bad_frees, 1);
        guard_report(cache->pool->guard, "block was written beyond its length", block);
        return GMK_EINVAL;
    }
    memset(block, POISON_BYTE, size);
    block_push(cache, granule, bin, POISONED);
    return GMK_OK;
}

int block_free_dev(struct block_cache *cache, void *ptr) {
    uint64_t granule = block_granule(cache->base, ptr);
    if (granule >= cache->n_granules)
        return block_free_slow(cache, ptr);
    _Atomic uint64_t *word = &cache->headers[granule];
    uint64_t header = atomic_load_explicit(word, memory_order_relaxed);
    /* Repeats only when another holder changed the count meanwhile: at most once per holder. */
    while (block_header_refs(header) != 0) {
        uint64_t next = block_header_refs(header) == 1 ? 0 : header - 1;
        /* Pairs with itself: what other holders did with the contents is over before the last
         * one looks at them. */
        if (atomic_compare_exchange_weak_explicit(word, &header, next, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return next != 0 ? GMK_OK : free_last(cache, ptr, (uint32_t)granule, header);
    }
    return block_free_slow(cache, ptr);
}

/* ---- Invariants ------------------------------------------------------------------- */

static bool bit_is_free(const struct block_pool *pool, uint32_t granule, unsigned bin) {
    uint32_t block = granule % BLOCK_CHUNK_GRANULES >> bin;
    uint64_t word = atomic_load_explicit(
        &pool->chunks[granule / BLOCK_CHUNK_GRANULES].free[block / 64u], memory_order_relaxed);
    return (word >> block % 64u & 1u) != 0;
}

/* Every granule of a chunk: live headers only at block starts, with the chunk's class, and
 * not free. Adds the blocks that are neither to *loose. */
static uint64_t check_chunk(const struct block_pool *pool, uint32_t c, uint64_t *loose) {
    unsigned bin = atomic_load_explicit(&pool->chunks[c].bin, memory_order_relaxed);
    uint64_t wrong = 0;
    bool any_free = false;
    for (uint32_t i = 0; i < BLOCK_CHUNK_GRANULES; i++) {
        uint32_t g = c * BLOCK_CHUNK_GRANULES + i;
        uint64_t header = atomic_load_explicit(&pool->headers[g], memory_order_relaxed);
        bool live = block_header_refs(header) != 0;
        if (bin == BLOCK_BINS || i % (1u << bin) != 0) {
            wrong += live;
            continue;
        }
        bool is_free = bit_is_free(pool, g, bin);
        wrong += live && (is_free || block_header_bin(header) != bin);
        *loose += !live && !is_free;
        any_free = any_free || is_free;
    }
    /* A free bit without its summary bit would never be found. */
    uint64_t set = atomic_load_explicit(&pool->sets[(size_t)bin * pool->set_words + c / 64u],
                                        memory_order_relaxed);
    wrong += (any_free || bin == BLOCK_BINS) && (set >> c % 64u & 1u) == 0;
    return wrong;
}

/* Every slot names a block of the magazine's class that is neither live nor free. */
static uint64_t check_magazine(const struct block_pool *pool, const struct magazine *mag,
                               unsigned bin) {
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < mag->count; i++) {
        uint32_t g = mag->slot[i];
        if (g >= pool->n_granules || g % (1u << bin) != 0 ||
            atomic_load_explicit(&pool->chunks[g / BLOCK_CHUNK_GRANULES].bin,
                                 memory_order_relaxed) != bin) {
            wrong++;
            continue;
        }
        uint64_t header = atomic_load_explicit(&pool->headers[g], memory_order_relaxed);
        wrong += block_header_refs(header) != 0 || bit_is_free(pool, g, bin);
    }
    return wrong;
}

uint64_t block_check(const struct block_pool *pool) {
    uint64_t wrong = 0;
    uint64_t loose = 0;
    uint64_t cached = 0;
    for (uint32_t c = 0; c < pool->n_chunks; c++)
        wrong += check_chunk(pool, c, &loose);
    for (unsigned i = 0; i < pool->n_caches; i++) {
        for (unsigned bin = 0; bin < BLOCK_BINS; bin++) {
            const struct magazine *mag = &pool->caches[i].mag[bin];
            wrong += check_magazine(pool, mag, bin);
            cached += mag->count;
        }
    }
    return wrong + (loose > cached ? loose - cached : cached - loose);
}
