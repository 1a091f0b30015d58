/* Block, slow halves: refill and drain of magazines, references, refusals, sums.
 *
 * What the inline way in block.h does not do in one step ends here: an empty or full
 * magazine, a block with several references, a pointer that is no live block.
 *
 * Bounds. A refill is at most BLOCK_PASSES times: one look through the summary, one cut,
 * one flush of the own cache (BLOCK_BINS * MAG_SLOTS blocks), one look at every chunk. The
 * later steps are reached only when the pool has no block of the class left.
 *
 * GNU extension: __builtin_prefetch, a hint. */
#include "engine/block.h"

#include <string.h>

#include "engine/block_chunk.h"

/* Passes over the pool before a request fails: a second one, because during the first
 * another thread may have held a free chunk in its hands to see if it can be cut again. */
#define BLOCK_PASSES 2u
/* A share of 1/8 of the pool may rest in magazines, split evenly. */
#define BLOCK_CACHED_SHARE 8u
/* More references than this are a leak of references, not a use. */
#define BLOCK_REFS_MAX (UINT32_C(1) << 31)

/* ---- Exchange with the pool ----------------------------------------------------- */

/* Gives the `count` coldest blocks of a magazine to the pool. */
static void drain(struct block_cache *cache, unsigned bin, uint32_t count) {
    struct magazine *mag = &cache->mag[bin];
    struct block_pool *pool = cache->pool;
    if (count == 0)
        return;
    chunk_give(pool, bin, mag->slot, count);
    mag->count -= count;
    for (uint32_t i = 0; i < mag->count; i++)
        mag->slot[i] = mag->slot[i + count];
    atomic_fetch_sub_explicit(&pool->out, count * block_bin_size(bin), memory_order_relaxed);
}

void block_cache_flush(struct block_cache *cache) {
    for (unsigned bin = 0; bin < BLOCK_BINS; bin++)
        drain(cache, bin, cache->mag[bin].count);
}

/* Fills an empty magazine; false when the pool has nothing for this class. */
static bool refill(struct block_cache *cache, unsigned bin) {
    struct magazine *mag = &cache->mag[bin];
    struct block_pool *pool = cache->pool;
    unsigned got = 0;
    for (unsigned pass = 0; got == 0 && pass < BLOCK_PASSES; pass++) {
        got = chunk_take(pool, bin, mag->batch, &mag->hint, mag->slot);
        if (got == 0)
            got = chunk_cut(pool, bin, mag->batch, &mag->hint, mag->slot);
        if (got != 0)
            break;
        /* Blocks of other classes in our own magazines may be what keeps a chunk from being free. */
        block_cache_flush(cache);
        got = chunk_recut(pool, bin, mag->batch, &mag->hint, mag->slot);
    }
    if (got == 0) {
        atomic_fetch_add_explicit(&pool->pressure, 1, memory_order_relaxed);
        return false;
    }
    mag->count = got;
    /* Another thread freed these last, so their headers lie in its cache: fetch all lines at
     * once, ready for writing, instead of one after the other (eight headers share a line). */
    for (unsigned i = 0; i < got; i += 8)
        __builtin_prefetch((const void *)&cache->headers[mag->slot[i]], 1);
    high_water_add(&pool->out, &pool->high, got * block_bin_size(bin));
    return true;
}

bool block_cache_ready(struct block_cache *cache, unsigned bin) {
    if (cache->mag[bin].count != 0 || refill(cache, bin))
        return true;
    counter_add(&cache->mag[bin].fails, 1);
    return false;
}

void *block_alloc_slow(struct block_cache *cache, size_t size, uint8_t tenant) {
    unsigned bin = block_bin(size);
    if (bin >= BLOCK_BINS) {
        counter_add(&cache->bad_sizes, 1);
        return NULL;
    }
    return block_cache_ready(cache, bin) ? block_pop(cache, bin, size, tenant) : NULL;
}

/* ---- References and refusals ------------------------------------------------------ */

static int refuse(struct block_cache *cache, const char *what, void *ptr) {
    counter_add(&cache->bad_frees, 1);
    guard_report(cache->pool->guard, what, ptr);
    return GMK_EINVAL;
}

void block_push(struct block_cache *cache, uint32_t granule, unsigned bin, uint64_t mark) {
    struct magazine *mag = &cache->mag[bin];
    atomic_store_explicit(&cache->headers[granule], mark, memory_order_relaxed);
    counter_add(&mag->frees, 1);
    if (mag->limit == 0) {
        chunk_give(cache->pool, bin, &granule, 1);
        atomic_fetch_sub_explicit(&cache->pool->out, block_bin_size(bin), memory_order_relaxed);
        return;
    }
    if (mag->count >= mag->limit)
        drain(cache, bin, mag->batch);
    mag->slot[mag->count++] = granule;
}

int block_free_slow(struct block_cache *cache, void *ptr) {
    uint64_t granule = block_granule(cache->base, ptr);
    if (granule >= cache->n_granules) {
        return refuse(cache,
                      block_owns(cache->pool, ptr) ? "freed pointer is not the start of a block"
                                                   : "freed pointer is not of this arena",
                      ptr);
    }
    _Atomic uint64_t *word = &cache->headers[granule];
    uint64_t header = atomic_load_explicit(word, memory_order_acquire); /* as B1 */
    if (block_header_refs(header) == 0)
        return refuse(cache, "block freed twice, or pointer into its middle", ptr);
    if (block_header_refs(header) > 1) {
        /* B2 pairs with B1 and with itself: our use of the contents is over before the last holder frees. */
        header = atomic_fetch_sub_explicit(word, 1, memory_order_acq_rel);
        if (block_header_refs(header) > 1)
            return GMK_OK;
        if (block_header_refs(header) == 0) {
            atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
            return refuse(cache, "more references given back than were taken", ptr);
        }
    }
    block_push(cache, (uint32_t)granule, block_header_bin(header), 0);
    return GMK_OK;
}

int block_retain(struct block_pool *pool, void *ptr, uint32_t count) {
    uint64_t granule = block_granule(pool->base, ptr);
    if (granule < pool->n_granules) {
        _Atomic uint64_t *word = &pool->headers[granule];
        /* Relaxed: the caller's own reference keeps the block; handing it on orders the rest. */
        uint64_t refs = block_header_refs(atomic_load_explicit(word, memory_order_relaxed));
        if (refs != 0 && count < BLOCK_REFS_MAX && refs + count < BLOCK_REFS_MAX) {
            atomic_fetch_add_explicit(word, count, memory_order_relaxed);
            return GMK_OK;
        }
    }
    guard_report(pool->guard, "reference taken to what is not a live block", ptr);
    return GMK_EINVAL;
}

struct block_info block_info(const struct block_pool *pool, const void *ptr) {
    struct block_info info = {0};
    uint64_t granule = block_granule(pool->base, ptr);
    if (granule >= pool->n_granules)
        return info;
    uint64_t header = atomic_load_explicit(&pool->headers[granule], memory_order_relaxed);
    if (block_header_refs(header) == 0)
        return info;
    info.refs = block_header_refs(header);
    info.bin = (uint8_t)block_header_bin(header);
    info.tenant = (uint8_t)(header >> 36);
    info.length = (uint32_t)(header >> 44);
    info.size = (uint32_t)block_bin_size(info.bin);
    return info;
}

/* ---- Making and summing ------------------------------------------------------------- */

/* Bytes of bookkeeping in front of the blocks, rounded up to a page. */
static size_t overhead(size_t n_chunks, size_t n_caches) {
    size_t set_words = (n_chunks + 63) / 64;
    size_t bytes = n_caches * sizeof(struct block_cache) + n_chunks * sizeof(struct block_chunk) +
                   (BLOCK_BINS + 1) * set_words * 8 + n_chunks * (size_t)BLOCK_CHUNK_GRANULES * 8 +
                   GMK_FALSE_SHARING;
    return (bytes + 4095) & ~(size_t)4095;
}

size_t block_pool_size_min(unsigned n_caches) {
    return overhead(BLOCK_CHUNKS_MIN, n_caches) + BLOCK_CHUNKS_MIN * BLOCK_CHUNK_SIZE;
}

static void cache_init(struct block_cache *cache, struct block_pool *pool, unsigned index) {
    size_t share = (size_t)pool->n_chunks * BLOCK_CHUNK_SIZE / BLOCK_CACHED_SHARE / BLOCK_BINS /
                   pool->n_caches;
    cache->base = pool->base;
    cache->headers = pool->headers;
    cache->n_granules = pool->n_granules;
    cache->pool = pool;
    atomic_init(&cache->bad_sizes, 0);
    atomic_init(&cache->bad_frees, 0);
    cache->pressure_seen = 0;
    /* Caches start their looks apart, so that they meet late. */
    uint32_t hint = (uint32_t)((uint64_t)pool->n_chunks * index / pool->n_caches);
    for (unsigned bin = 0; bin < BLOCK_BINS; bin++)
        magazine_init(&cache->mag[bin], share / block_bin_size(bin), hint);
}

/* Lays bookkeeping and blocks into `memory`: caches, chunks, sets, headers, then blocks. */
static void lay_out(struct block_pool *pool, char *memory) {
    char *at = memory;
    pool->caches = (struct block_cache *)(void *)at;
    at += pool->n_caches * sizeof(struct block_cache);
    pool->chunks = (struct block_chunk *)(void *)at;
    at += pool->n_chunks * sizeof(struct block_chunk);
    pool->headers = (_Atomic uint64_t *)(void *)at;
    at += (size_t)pool->n_granules * 8;
    pool->sets = (_Atomic uint64_t *)(void *)at;
    pool->base = memory + overhead(pool->n_chunks, pool->n_caches);
}

int block_pool_init(struct block_pool *pool, void *memory, size_t size, unsigned n_caches,
                    struct alloc_guard *guard) {
    if (memory == NULL || ((uintptr_t)memory & 4095u) != 0 || n_caches == 0)
        return GMK_EINVAL;
    if (n_caches > UINT16_MAX || size < block_pool_size_min(n_caches))
        return GMK_ENOMEM;
    size_t n_chunks =
        (size - overhead(0, n_caches)) / (BLOCK_CHUNK_SIZE + (size_t)BLOCK_CHUNK_GRANULES * 8);
    if (n_chunks > BLOCK_CHUNKS_MAX)
        n_chunks = BLOCK_CHUNKS_MAX;
    /* What the estimate leaves out is below 1%: few steps. */
    while (overhead(n_chunks, n_caches) + n_chunks * BLOCK_CHUNK_SIZE > size)
        n_chunks--;
    memset(pool, 0, sizeof *pool);
    pool->guard = guard;
    pool->size = size;
    pool->n_chunks = (uint32_t)n_chunks;
    pool->n_caches = n_caches;
    pool->n_granules = pool->n_chunks * BLOCK_CHUNK_GRANULES;
    pool->set_words = (pool->n_chunks + 63u) / 64u;
    lay_out(pool, memory);
    chunk_init_all(pool);
    for (unsigned i = 0; i < n_caches; i++)
        cache_init(&pool->caches[i], pool, i);
    return GMK_OK;
}

void block_stats(const struct block_pool *pool, struct part_stats *out) {
    *out =
        (struct part_stats){.size = pool->size, .total = (size_t)pool->n_chunks * BLOCK_CHUNK_SIZE};
    uint64_t used = 0;
    for (unsigned i = 0; i < pool->n_caches; i++) {
        const struct block_cache *cache = &pool->caches[i];
        out->fails += counter_read(&cache->bad_sizes);
        for (unsigned bin = 0; bin < BLOCK_BINS; bin++) {
            uint64_t frees = counter_read(&cache->mag[bin].frees);
            uint64_t allocs = counter_read(&cache->mag[bin].allocs);
            out->allocs += allocs;
            out->frees += frees;
            out->fails += counter_read(&cache->mag[bin].fails);
            used += (allocs - frees) *
                    block_bin_size(bin); /* modular: one cache alone may be "negative" */
        }
    }
    /* While others run, a free may be counted whose alloc was not yet: then we say none. */
    out->used = used > out->total ? 0 : (size_t)used;
    out->free = out->total - out->used;
    out->high = atomic_load_explicit(&pool->high, memory_order_relaxed);
}
