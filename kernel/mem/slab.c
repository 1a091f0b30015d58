/* Slab: objects of one size, cut from frames.
 *
 * A slab is one frame, reached through the direct map, with a header: where its objects begin, a
 * list of the freed ones, and how many were never used. The frame's descriptor names the header,
 * so an object's address leads to its slab in O(1). Large objects would lose half a frame to a
 * header inside, so theirs is an object of a slab of its own.
 *
 * A cache lists its slabs that are neither full nor empty. A full one is in no list; an empty one
 * goes back to the frame allocator at once, whose per-CPU cache makes that cheap.
 *
 * In DEV each object is followed by a canary that also tells free from used, and a freed object
 * is filled with poison that must be intact when it is taken again. */
#include "ggmk/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/slab.h"

#include <stdatomic.h>
#include <string.h>

#define HEADER_SIZE  64u
#define OUTSIDE_FROM 512u /* from this size on the header lies outside */
#define POISON       0xa5
#define CANARY_USED  UINT64_C(0x5e7dca4a12bf0ce1)
#define CANARY_FREE  UINT64_C(0xf4eef4eef4eef4ee)

struct kslab_page {
    struct kslab_cache *cache;
    struct kslab_page *next, *prev; /* in cache->partial */
    char *base;
    void *freed;             /* its first word names the next */
    uint32_t used, capacity; /* objects */
    _Atomic uint32_t fresh;  /* the first ones, that have been used once; only grows */
};
_Static_assert(sizeof(struct kslab_page) <= HEADER_SIZE, "a header fits before the objects");

static struct kslab_cache headers = {
    .name = "slab header", .object_size = HEADER_SIZE, .lock = SPINLOCK_INIT(LOCK_SLAB)};

static uint32_t stride_of(const struct kslab_cache *cache) {
    return cache->object_size + KSLAB_GUARD;
}

void kslab_init(struct kslab_cache *cache, const char *name, uint32_t object_size) {
    K_ASSERT(object_size >= 16 && object_size % 8 == 0, "objects have room for a link");
    K_ASSERT(object_size + KSLAB_GUARD <= PAGE_SIZE, "an object fits a frame");
    *cache = (struct kslab_cache){.name = name, .object_size = object_size};
    spin_init(&cache->lock, LOCK_SLAB);
}

/* ---- Canaries and poison: DEV ------------------------------------------------------------ */

#ifdef GMK_PROFILE_DEV
static uint64_t *canary_of(const struct kslab_cache *cache, char *object) {
    return (uint64_t *)(object + cache->object_size);
}

static void mark_used(const struct kslab_cache *cache, char *object, bool fresh) {
    for (uint32_t i = sizeof(void *); i < cache->object_size && !fresh; i++) {
        if ((uint8_t)object[i] != POISON)
            panic("slab %s: %p was written after it was freed, byte %u", cache->name,
                  (void *)object, i);
    }
    *canary_of(cache, object) = CANARY_USED;
}

static void mark_free(const struct kslab_cache *cache, char *object) {
    uint64_t canary = *canary_of(cache, object);
    if (canary != CANARY_USED)
        panic("slab %s: %p %s", cache->name, (void *)object,
              canary == CANARY_FREE ? "is freed twice" : "was written past its end");
    *canary_of(cache, object) = CANARY_FREE;
    memset(object, POISON, cache->object_size);
}
#else
static void mark_used(const struct kslab_cache *cache, char *object, bool fresh) {
    (void)cache, (void)object, (void)fresh;
}
static void mark_free(const struct kslab_cache *cache, char *object) {
    (void)cache, (void)object;
}
#endif

/* ---- Slabs ---------------------------------------------------------------------------------- */

static void partial_add(struct kslab_cache *cache, struct kslab_page *page) {
    page->prev = NULL;
    page->next = cache->partial;
    if (page->next != NULL)
        page->next->prev = page;
    cache->partial = page;
}

static void partial_remove(struct kslab_cache *cache, struct kslab_page *page) {
    *(page->prev != NULL ? &page->prev->next : &cache->partial) = page->next;
    if (page->next != NULL)
        page->next->prev = page->prev;
}

/* Called without the cache's lock: the header may come from another cache. */
static struct kslab_page *slab_new(struct kslab_cache *cache) {
    paddr_t frame = frame_alloc(FRAME_SLAB);
    if (frame == 0)
        return NULL;
    char *bytes = arch_phys(frame);
    bool outside = stride_of(cache) >= OUTSIDE_FROM;
    struct kslab_page *page = outside ? kslab_take(&headers) : (void *)bytes;
    if (page == NULL) {
        frame_free(frame);
        return NULL;
    }
    uint32_t header = outside ? 0 : HEADER_SIZE;
    *page = (struct kslab_page){.cache = cache,
                                .base = bytes + header,
                                .capacity = (PAGE_SIZE - header) / stride_of(cache)};
    frame_of(frame)->object = page;
    return page;
}

static void slab_free(struct kslab_page *page) {
    paddr_t frame = page_down(layout_direct_to_phys(page->base));
    if ((uintptr_t)page->base % PAGE_SIZE == 0) /* no header inside */
        kslab_give(&headers, page);
    frame_free(frame);
}

static struct kslab_page *slab_of(const void *object) {
    paddr_t frame = page_down(layout_direct_to_phys(object));
    const struct frame *descriptor = frame_of(frame);
    K_ASSERT(descriptor != NULL && descriptor->owner == FRAME_SLAB, "an object lies in a slab");
    return descriptor->object;
}

struct kslab_cache *kslab_of(const void *object) {
    return slab_of(object)->cache;
}

/* Relaxed: whoever frees an object has seen the taking of it. */
static uint32_t fresh_of(const struct kslab_page *page) {
    return atomic_load_explicit(&page->fresh, memory_order_relaxed);
}

void *kslab_take(struct kslab_cache *cache) {
    bool irq = spin_lock(&cache->lock);
    if (cache->partial == NULL) {
        spin_unlock(&cache->lock, irq);
        struct kslab_page *fresh = slab_new(cache);
        if (fresh == NULL)
            return NULL;
        irq = spin_lock(&cache->lock);
        partial_add(cache, fresh);
        cache->total += fresh->capacity;
    }
    struct kslab_page *page = cache->partial;
    char *object = page->freed;
    bool fresh = object == NULL;
    if (fresh) {
        uint32_t number = fresh_of(page);
        object = page->base + (size_t)number * stride_of(cache);
        atomic_store_explicit(&page->fresh, number + 1, memory_order_relaxed);
    } else {
        page->freed = *(void **)page->freed;
    }
    if (++page->used == page->capacity)
        partial_remove(cache, page);
    cache->used++;
    spin_unlock(&cache->lock, irq);
    mark_used(cache, object, fresh);
    return object;
}

void kslab_give(struct kslab_cache *cache, void *object) {
    struct kslab_page *page = slab_of(object);
    size_t offset = (size_t)((char *)object - page->base);
    K_ASSERT(page->cache == cache, "an object goes back to its cache");
    K_ASSERT(offset % stride_of(cache) == 0 && offset / stride_of(cache) < fresh_of(page),
             "what is freed is the start of an object");
    mark_free(cache, object);
    bool irq = spin_lock(&cache->lock);
    K_ASSERT(page->used != 0, "an object is freed once");
    *(void **)object = page->freed;
    page->freed = object;
    if (page->used-- == page->capacity)
        partial_add(cache, page);
    cache->used--;
    bool empty = page->used == 0;
    if (empty) {
        partial_remove(cache, page);
        cache->total -= page->capacity;
    }
    spin_unlock(&cache->lock, irq);
    if (empty)
        slab_free(page);
}

void kslab_check(struct kslab_cache *cache) {
    bool irq = spin_lock(&cache->lock);
    const struct kslab_page *prev = NULL;
    uint64_t room = 0;
    for (const struct kslab_page *page = cache->partial; page != NULL; page = page->next) {
        uint32_t freed = 0;
        K_ASSERT(page->cache == cache && page->prev == prev, "the list of slabs is sound");
        K_ASSERT(page->used != 0 && page->used < page->capacity, "a listed slab is partly used");
        for (void *const *at = page->freed; at != NULL && freed <= fresh_of(page); at = *at)
            freed++;
        K_ASSERT(freed == page->fresh - page->used, "a slab counts its freed objects");
        room += page->capacity - page->used;
        prev = page;
    }
    K_ASSERT(cache->used + room == cache->total, "what no listed slab has free is used");
    spin_unlock(&cache->lock, irq);
}
