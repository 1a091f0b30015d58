/* Slab, slow halves: exchange of objects with the shared free bits, refusals, sums.
 *
 * Bounds: a refill looks at n_summary + 1 summary words and, per summary bit, at one word; a
 * drain gives at most MAG_SLOTS objects. No locks; see block_bits.h for the protocol. */
#include "engine/slab.h"

#include <string.h>

#include "engine/block_bits.h"
#include "lib/checked.h"

#define POISON_BYTE 0xdd
#define FRESH_BYTE  0xa5
/* At most this share of all objects may rest in caches. */
#define SLAB_CACHED_SHARE 8u

/* ---- Exchange with the pool ------------------------------------------------------- */

/* Takes 1 .. want objects out of one word near *hint; 0 when the pool is empty. */
static unsigned pool_take(struct slab *slab, unsigned want, uint32_t *hint, uint32_t *out) {
    uint32_t start = *hint / 64u;
    for (uint32_t i = 0; i <= slab->n_summary; i++) {
        uint32_t s = (start + i) % slab->n_summary;
        uint64_t bits = atomic_load_explicit(&slab->summary[s], memory_order_relaxed);
        if (i == 0)
            bits &= UINT64_MAX << (*hint % 64u);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t w = s * 64u + bits_lowest(bits);
            uint64_t summary_bit = UINT64_C(1) << (w % 64u);
            uint64_t mask = bits_take(&slab->words[w], want);
            unsigned got = 0;
            for (uint64_t rest = mask; rest != 0; rest &= rest - 1)
                out[got++] = w * 64u + bits_lowest(rest);
            if (got < want) {
                bits_hide(&slab->summary[s], summary_bit);
                bits_recall(&slab->words[w], 1, &slab->summary[s], summary_bit);
            }
            if (got == 0)
                continue;
            *hint = w;
            high_water_add(&slab->out, &slab->high, (size_t)got << slab->shift);
            return got;
        }
    }
    return 0;
}

static void pool_give(struct slab *slab, const uint32_t *indices, unsigned count) {
    unsigned i = 0;
    while (i < count) {
        uint32_t w = indices[i] / 64u;
        uint64_t mask = 0;
        for (; i < count && indices[i] / 64u == w; i++)
            mask |= UINT64_C(1) << (indices[i] % 64u);
        bits_give(&slab->words[w], mask, &slab->summary[w / 64u], UINT64_C(1) << (w % 64u));
    }
    atomic_fetch_sub_explicit(&slab->out, (size_t)count << slab->shift, memory_order_relaxed);
}

static void drain(struct slab_cache *cache, uint32_t count) {
    struct magazine *mag = &cache->mag;
    if (count == 0)
        return;
    pool_give(cache->slab, mag->slot, count);
    mag->count -= count;
    for (uint32_t i = 0; i < mag->count; i++)
        mag->slot[i] = mag->slot[i + count];
}

void slab_cache_flush(struct slab_cache *cache) {
    drain(cache, cache->mag.count);
}

/* ---- Becoming live, becoming free --------------------------------------------------- */

static void *wake(struct slab *slab, uint32_t index) {
    unsigned char *object = (unsigned char *)slab->base + ((size_t)index << slab->shift);
    if (ALLOC_DEV) {
        size_t size = (size_t)1 << slab->shift;
        if (atomic_load_explicit(&slab->states[index], memory_order_relaxed) == SLAB_POISONED) {
            size_t i = 0;
            while (i < size && object[i] == POISON_BYTE)
                i++;
            if (i < size)
                guard_report(slab->guard, "slab object was written after it was freed", object);
        }
        memset(object, FRESH_BYTE, size);
    }
    atomic_store_explicit(&slab->states[index], SLAB_LIVE, memory_order_relaxed);
    return object;
}

/* Checks `ptr` and ends its life. On success *index is its number. */
static int retire(struct slab *slab, void *ptr, uint32_t *index) {
    uint64_t found = slab_index(slab->base, slab->shift, ptr);
    if (found >= slab->n_objects) {
        guard_report(slab->guard,
                     slab_owns(slab, ptr) ? "freed pointer is not the start of a slab object"
                                          : "freed pointer is not of this slab",
                     ptr);
        return GMK_EINVAL;
    }
    uint8_t live = SLAB_LIVE;
    /* Of two frees at the same moment one wins. */
    if (!atomic_compare_exchange_strong_explicit(&slab->states[found], &live, SLAB_FREE,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        guard_report(slab->guard, "slab object freed twice", ptr);
        return GMK_EINVAL;
    }
    *index = (uint32_t)found;
    if (ALLOC_DEV) {
        memset(ptr, POISON_BYTE, (size_t)1 << slab->shift);
        atomic_store_explicit(&slab->states[found], SLAB_POISONED, memory_order_relaxed);
    }
    return GMK_OK;
}

void *slab_alloc_slow(struct slab_cache *cache) {
    struct magazine *mag = &cache->mag;
    bool refused = guard_inject(cache->slab->guard);
    if (!refused && mag->count == 0)
        mag->count = pool_take(cache->slab, mag->batch, &mag->hint, mag->slot);
    if (refused || mag->count == 0) {
        counter_add(&mag->fails, 1);
        return NULL;
    }
    counter_add(&mag->allocs, 1);
    return wake(cache->slab, mag->slot[--mag->count]);
}

int slab_free_slow(struct slab_cache *cache, void *ptr) {
    struct magazine *mag = &cache->mag;
    uint32_t index = 0;
    if (retire(cache->slab, ptr, &index) != GMK_OK) {
        counter_add(&cache->bad_frees, 1);
        return GMK_EINVAL;
    }
    counter_add(&mag->frees, 1);
    if (mag->limit == 0) {
        pool_give(cache->slab, &index, 1);
        return GMK_OK;
    }
    if (mag->count >= mag->limit)
        drain(cache, mag->batch);
    mag->slot[mag->count++] = index;
    return GMK_OK;
}

void *slab_alloc_shared(struct slab *slab) {
    uint32_t hint = 0;
    uint32_t index;
    if (guard_inject(slab->guard) || pool_take(slab, 1, &hint, &index) == 0) {
        atomic_fetch_add_explicit(&slab->fails, 1, memory_order_relaxed);
        return NULL;
    }
    atomic_fetch_add_explicit(&slab->allocs, 1, memory_order_relaxed);
    return wake(slab, index);
}

int slab_free_shared(struct slab *slab, void *ptr) {
    uint32_t index = 0;
    if (retire(slab, ptr, &index) != GMK_OK)
        return GMK_EINVAL;
    atomic_fetch_add_explicit(&slab->frees, 1, memory_order_relaxed);
    pool_give(slab, &index, 1);
    return GMK_OK;
}

/* ---- Making and summing ------------------------------------------------------------- */

/* Bytes of bookkeeping in front of the objects, rounded up to a page. */
static size_t overhead(size_t n_objects, size_t n_caches) {
    size_t n_words = (n_objects + 63) / 64;
    size_t n_summary = (n_words + 63) / 64;
    size_t bytes = n_caches * sizeof(struct slab_cache) + (n_words + n_summary) * 8 + n_objects;
    return (bytes + 4095) & ~(size_t)4095;
}

static bool object_size_ok(size_t object_size) {
    return checked_is_power_of_two(object_size) && object_size >= SLAB_OBJECT_MIN &&
           object_size <= (size_t)1 << 30;
}

size_t slab_size_for(size_t object_size, size_t n_objects, unsigned n_caches) {
    size_t objects;
    size_t sum;
    if (!object_size_ok(object_size) || n_objects > SLAB_OBJECTS_MAX)
        return 0;
    if (!checked_mul(object_size, n_objects, &objects))
        return 0;
    if (!checked_add(objects, overhead(n_objects, n_caches), &sum))
        return 0;
    return sum;
}

static void lay_out(struct slab *slab, char *memory) {
    char *at = memory;
    slab->caches = (struct slab_cache *)(void *)at;
    at += slab->n_caches * sizeof(struct slab_cache);
    slab->words = (_Atomic uint64_t *)(void *)at;
    at += (size_t)slab->n_words * 8;
    slab->summary = (_Atomic uint64_t *)(void *)at;
    at += (size_t)slab->n_summary * 8;
    slab->states = (_Atomic uint8_t *)(void *)at;
    slab->base = memory + overhead(slab->n_objects, slab->n_caches);
}

static void cache_init(struct slab_cache *cache, struct slab *slab, unsigned index) {
    cache->base = slab->base;
    cache->states = slab->states;
    cache->slab = slab;
    cache->n_objects = slab->n_objects;
    cache->shift = slab->shift;
    atomic_init(&cache->bad_frees, 0);
    magazine_init(&cache->mag, slab->n_objects / SLAB_CACHED_SHARE / slab->n_caches,
                  (uint32_t)((uint64_t)slab->n_words * index / slab->n_caches));
}

int slab_init(struct slab *slab, void *memory, size_t size, size_t object_size, unsigned n_caches,
              struct alloc_guard *guard) {
    if (memory == NULL || ((uintptr_t)memory & 4095u) != 0 || !object_size_ok(object_size))
        return GMK_EINVAL;
    if (n_caches > UINT16_MAX || size < slab_size_for(object_size, 1, n_caches))
        return GMK_ENOMEM;
    size_t n_objects = size / object_size;
    if (n_objects > SLAB_OBJECTS_MAX)
        n_objects = SLAB_OBJECTS_MAX;
    size_t spare = overhead(n_objects, n_caches);
    if (n_objects * object_size > size - spare)
        n_objects = (size - spare) / object_size;
    memset(slab, 0, sizeof *slab);
    slab->guard = guard;
    slab->size = size;
    slab->n_objects = (uint32_t)n_objects;
    slab->n_caches = n_caches;
    while ((size_t)1 << slab->shift < object_size)
        slab->shift++;
    slab->n_words = (slab->n_objects + 63u) / 64u;
    slab->n_summary = (slab->n_words + 63u) / 64u;
    lay_out(slab, memory);
    /* Zeroed memory: every object is SLAB_FREE already, and the summary grows from none. */
    for (uint32_t w = 0; w < slab->n_words; w++) {
        uint32_t left = slab->n_objects - w * 64u;
        atomic_init(&slab->words[w], left >= 64u ? UINT64_MAX : (UINT64_C(1) << left) - 1u);
        counter_add(&slab->summary[w / 64u], UINT64_C(1) << (w % 64u));
    }
    for (unsigned i = 0; i < n_caches; i++)
        cache_init(&slab->caches[i], slab, i);
    return GMK_OK;
}

void slab_stats(const struct slab *slab, struct part_stats *out) {
    *out = (struct part_stats){.size = slab->size, .total = (size_t)slab->n_objects << slab->shift};
    out->allocs = counter_read(&slab->allocs);
    out->frees = counter_read(&slab->frees);
    out->fails = counter_read(&slab->fails);
    for (unsigned i = 0; i < slab->n_caches; i++) {
        out->allocs += counter_read(&slab->caches[i].mag.allocs);
        out->frees += counter_read(&slab->caches[i].mag.frees);
        out->fails += counter_read(&slab->caches[i].mag.fails);
    }
    uint64_t used = (out->allocs - out->frees) << slab->shift;
    /* While others run, a free may be counted whose alloc was not yet: then we say none. */
    out->used = used > out->total ? 0 : (size_t)used;
    out->free = out->total - out->used;
    out->high = atomic_load_explicit(&slab->high, memory_order_relaxed);
}

uint64_t slab_check(const struct slab *slab) {
    uint64_t wrong = 0;
    uint64_t loose = 0;
    uint64_t cached = 0;
    for (uint32_t i = 0; i < slab->n_objects; i++) {
        uint64_t word = atomic_load_explicit(&slab->words[i / 64u], memory_order_relaxed);
        uint64_t summary = atomic_load_explicit(&slab->summary[i / 4096u], memory_order_relaxed);
        bool is_free = (word >> i % 64u & 1u) != 0;
        bool live = atomic_load_explicit(&slab->states[i], memory_order_relaxed) == SLAB_LIVE;
        wrong += live && is_free;
        wrong += is_free && (summary >> i / 64u % 64u & 1u) == 0;
        loose += !live && !is_free;
    }
    for (unsigned c = 0; c < slab->n_caches; c++) {
        const struct magazine *mag = &slab->caches[c].mag;
        cached += mag->count;
        for (uint32_t i = 0; i < mag->count; i++)
            wrong += mag->slot[i] >= slab->n_objects ||
                     atomic_load_explicit(&slab->states[mag->slot[i]], memory_order_relaxed) ==
                         SLAB_LIVE;
    }
    return wrong + (loose > cached ? loose - cached : cached - loose);
}
