/* Frames: the allocator of physical memory.
 *
 * Three places hold a free frame: a CPU's cache (touched by that CPU with IF off, no lock), or the
 * bitmap of its span (under the lock of the span's node). A frame moves between them in halves of
 * a cache, so most calls meet no lock.
 *
 * Invariants:
 *   1. A descriptor says FRAME_FREE exactly when its frame is in a bitmap or in a cache.
 *   2. frame_unclaimed + promises + claims under way == bits that are set, so a claim that
 *      succeeded finds a bit.
 *   3. Per owner, the sum of all CPUs' accounts and the shared one is the number of its frames.
 * frame_check() proves 1 to 3 at rest.
 *
 * Who may call: any context but NMI. It does not reclaim, wait or zero by itself. */
#include "kernel/core/cpu.h"
#include "kernel/mem/frame_span.h"
#include "ggmk/log.h"

#define HALF (FRAME_CACHE / 2u)
/* Another CPU may free on a node that was passed and take from one that was not; after this many
 * rounds a claimed frame not found means that invariant 2 is broken. */
#define ROUNDS_MAX 1000u

struct frame_cache {
    uint32_t count;
    paddr_t frames[FRAME_CACHE];
    /* Written by its CPU alone, read by all: relaxed, exact at rest. */
    _Atomic int64_t owned[FRAME_OWNERS];
};

struct frame_span frame_spans[FRAME_SPANS_MAX];
unsigned frame_span_count;
struct frame_node frame_nodes[FRAME_NODES_MAX];
_Atomic int64_t frame_unclaimed;

static struct frame_cache boot_cache;
static struct frame_cache *caches[CPUS_MAX] = {&boot_cache};
static _Atomic int64_t shared_owned[FRAME_OWNERS];
static _Atomic uint32_t fail_in;

/* ---- Accounts ------------------------------------------------------------------------- */

void frame_account(enum frame_owner owner, int64_t change) {
    atomic_fetch_add_explicit(&shared_owned[owner], change, memory_order_relaxed);
}

static void account_mine(struct frame_cache *cache, unsigned owner, int64_t change) {
    _Atomic int64_t *owned = &cache->owned[owner];
    atomic_store_explicit(owned, atomic_load_explicit(owned, memory_order_relaxed) + change,
                          memory_order_relaxed);
}

static bool must_fail(void) {
    return atomic_load_explicit(&fail_in, memory_order_relaxed) != 0 &&
           atomic_fetch_sub_explicit(&fail_in, 1, memory_order_relaxed) == 1;
}

void frame_fail_after(uint32_t n) {
    atomic_store_explicit(&fail_in, n, memory_order_relaxed);
}

/* Takes up to `want` off the frames that nobody has been promised; at least `least` or none. */
static size_t claim(size_t least, size_t want) {
    int64_t there = atomic_load_explicit(&frame_unclaimed, memory_order_relaxed);
    for (;;) { /* another turn only when another CPU got its claim through */
        if (there < (int64_t)least || there <= 0)
            return 0;
        size_t got = (uint64_t)there < want ? (size_t)there : want;
        /* Acquire: pairs with the release in unclaim(): the bits are set. */
        if (atomic_compare_exchange_weak_explicit(&frame_unclaimed, &there, there - (int64_t)got,
                                                  memory_order_acquire, memory_order_relaxed))
            return got;
    }
}

static void unclaim(size_t count) {
    atomic_fetch_add_explicit(&frame_unclaimed, (int64_t)count, memory_order_release);
}

/* ---- Bitmaps ---------------------------------------------------------------------------- */

static struct frame_span *span_of(uint64_t number) {
    for (unsigned i = frame_span_count; i-- != 0;) {
        struct frame_span *span = &frame_spans[i];
        if (number >= span->first)
            return number - span->first < span->count ? span : NULL;
    }
    return NULL;
}

struct frame *frame_of(paddr_t frame) {
    return span_of(frame >> PAGE_SHIFT) != NULL ? frame_at(frame >> PAGE_SHIFT) : NULL;
}

/* Takes up to `want` frames of one node, highest span first. */
static size_t node_take(unsigned node, paddr_t *out, size_t want) {
    size_t got = 0;
    bool irq = spin_lock(&frame_nodes[node].lock);
    for (unsigned i = frame_span_count; i-- != 0 && got < want;) {
        struct frame_span *span = &frame_spans[i];
        for (; span->node == node && span->free != 0 && got < want; span->free--) {
            size_t bit = bitmap_next(&span->map, 0);
            bitmap_clear(&span->map, bit);
            out[got++] = (span->first + bit) << PAGE_SHIFT;
        }
    }
    spin_unlock(&frame_nodes[node].lock, irq);
    return got;
}

/* Finds `count` claimed frames, nearest nodes first. */
static void take_claimed(paddr_t *out, size_t count) {
    const struct frame_node *home = &frame_nodes[cpu_this()->node % FRAME_NODES_MAX];
    size_t got = 0;
    for (unsigned round = 0; got < count && round < ROUNDS_MAX; round++) {
        for (unsigned i = 0; i < home->order_count && got < count; i++)
            got += node_take(home->order[i], out + got, count - got);
    }
    K_ASSERT(got == count, "a claimed frame is in some bitmap");
}

/* Puts frames back into the bitmaps; runs of one node share a taking of its lock. */
static void give_back(const paddr_t *frames, size_t count) {
    for (size_t i = 0; i < count;) {
        uint32_t node = span_of(frames[i] >> PAGE_SHIFT)->node;
        bool irq = spin_lock(&frame_nodes[node].lock);
        for (; i < count; i++) {
            struct frame_span *span = span_of(frames[i] >> PAGE_SHIFT);
            if (span->node != node)
                break;
            bitmap_set(&span->map, (frames[i] >> PAGE_SHIFT) - span->first);
            span->free++;
        }
        spin_unlock(&frame_nodes[node].lock, irq);
    }
    unclaim(count);
}

/* ---- One frame ---------------------------------------------------------------------------- */

static paddr_t hand_out(paddr_t frame, enum frame_owner owner) {
    struct frame *descriptor = frame_at(frame >> PAGE_SHIFT);
    K_ASSERT(descriptor->owner == FRAME_FREE, "a frame that is handed out was free");
    descriptor->owner = (uint8_t)owner;
    descriptor->age = 0;
    descriptor->object = NULL;
    atomic_store_explicit(&descriptor->refs, 1, memory_order_relaxed);
    return frame;
}

/* Checks that a frame may be freed, and forgets its owner, who is returned. */
static enum frame_owner take_back(paddr_t frame) {
    struct frame *descriptor = (frame & (PAGE_SIZE - 1)) == 0 ? frame_of(frame) : NULL;
    K_ASSERT(descriptor != NULL, "what is freed is a frame of RAM");
    enum frame_owner owner = descriptor->owner;
    K_ASSERT(owner != FRAME_FREE, "a frame is freed once");
    K_ASSERT(owner != FRAME_RESERVED && owner != FRAME_IMAGE, "a freed frame was handed out");
    descriptor->owner = FRAME_FREE;
    atomic_store_explicit(&descriptor->refs, 0, memory_order_relaxed);
    return owner;
}

/* A claimed frame, past the cache. */
static paddr_t alloc_claimed(enum frame_owner owner) {
    paddr_t frame;
    bool irq = arch_irq_disable();
    take_claimed(&frame, 1);
    arch_irq_restore(irq);
    frame_account(owner, 1);
    return hand_out(frame, owner);
}

paddr_t frame_alloc(enum frame_owner owner) {
    if (must_fail())
        return 0;
    bool irq = arch_irq_disable();
    struct frame_cache *cache = caches[cpu_this()->index];
    paddr_t frame = 0;
    if (cache == NULL) {
        frame = claim(1, 1) == 1 ? alloc_claimed(owner) : 0;
    } else {
        if (cache->count == 0) {
            uint32_t got = (uint32_t)claim(1, HALF);
            take_claimed(cache->frames, got);
            cache->count = got;
        }
        if (cache->count != 0) {
            frame = hand_out(cache->frames[--cache->count], owner);
            account_mine(cache, owner, 1);
        }
    }
    arch_irq_restore(irq);
    return frame;
}

paddr_t frame_alloc_zeroed(enum frame_owner owner) {
    paddr_t frame = frame_alloc(owner);
    if (frame != 0)
        arch_page_clear(arch_phys(frame));
    return frame;
}

paddr_t frame_alloc_on(unsigned node, enum frame_owner owner) {
    paddr_t frame;
    if (node >= FRAME_NODES_MAX || must_fail() || claim(1, 1) == 0)
        return 0;
    if (node_take(node, &frame, 1) == 0) {
        unclaim(1);
        return 0;
    }
    frame_account(owner, 1);
    return hand_out(frame, owner);
}

void frame_free(paddr_t frame) {
    bool irq = arch_irq_disable();
    struct cpu *cpu = cpu_this();
    struct frame_cache *cache = caches[cpu->index];
    enum frame_owner owner = take_back(frame);
    if (cache == NULL || frame_at(frame >> PAGE_SHIFT)->node != cpu->node) {
        give_back(&frame, 1);
        frame_account(owner, -1);
    } else {
        if (cache->count == FRAME_CACHE) {
            cache->count = HALF;
            give_back(cache->frames + HALF, HALF);
        }
        cache->frames[cache->count++] = frame;
        account_mine(cache, owner, -1);
    }
    arch_irq_restore(irq);
}

void frame_cache_drain(void) {
    struct frame_cache *cache = caches[cpu_this()->index];
    if (cache == NULL || cache->count == 0)
        return;
    give_back(cache->frames, cache->count);
    cache->count = 0;
}

size_t frame_cache_bytes(void) {
    return sizeof(struct frame_cache);
}

void frame_cache_init(unsigned cpu, void *memory) {
    if (caches[cpu] == NULL)
        caches[cpu] = memory;
}

/* ---- Promises ----------------------------------------------------------------------------- */

bool frame_promise(size_t count) {
    return count == 0 || (!must_fail() && count <= INT64_MAX && claim(count, count) == count);
}

void frame_promise_drop(size_t count) {
    unclaim(count);
}

paddr_t frame_alloc_promised(enum frame_owner owner) {
    return alloc_claimed(owner);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

/* The first aligned run of `count` set bits that ends by frame number `end`; BITMAP_NONE. Each
 * candidate that fails is left behind past the clear bit that broke it. */
static size_t span_find(const struct frame_span *span, size_t count, uint64_t align, uint64_t end) {
    size_t at = bitmap_next(&span->map, 0);
    uint64_t last = end < span->first + span->count ? end : span->first + span->count;
    while (at != BITMAP_NONE) {
        uint64_t number = (span->first + at + align - 1) & ~(align - 1);
        if (number >= last || last - number < count)
            return BITMAP_NONE;
        size_t first = number - span->first;
        size_t clear = bitmap_next_clear(&span->map, first, first + count);
        if (clear == first + count)
            return first;
        at = bitmap_next(&span->map, clear);
    }
    return BITMAP_NONE;
}

static paddr_t node_take_run(unsigned node, size_t count, uint64_t align, uint64_t end) {
    paddr_t run = 0;
    bool irq = spin_lock(&frame_nodes[node].lock);
    for (unsigned i = frame_span_count; i-- != 0 && run == 0;) {
        struct frame_span *span = &frame_spans[i];
        if (span->node != node || span->free < count)
            continue;
        size_t first = span_find(span, count, align, end);
        if (first == BITMAP_NONE)
            continue;
        for (size_t bit = first; bit < first + count; bit++)
            bitmap_clear(&span->map, bit);
        span->free -= count;
        run = (span->first + first) << PAGE_SHIFT;
    }
    spin_unlock(&frame_nodes[node].lock, irq);
    return run;
}

paddr_t frame_alloc_run(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner) {
    K_ASSERT(align >= PAGE_SIZE && (align & (align - 1)) == 0, "alignment is 2^n, from a frame on");
    if (count == 0 || count > LAYOUT_PHYS_MAX >> PAGE_SHIFT || must_fail())
        return 0;
    uint64_t end = (limit == 0 ? LAYOUT_PHYS_MAX : limit) >> PAGE_SHIFT;
    bool irq = arch_irq_disable();
    frame_cache_drain(); /* its frames may be what a run lacks */
    const struct frame_node *home = &frame_nodes[cpu_this()->node % FRAME_NODES_MAX];
    paddr_t run = 0;
    if (claim(count, count) == count) {
        for (unsigned i = 0; i < home->order_count && run == 0; i++)
            run = node_take_run(home->order[i], count, align >> PAGE_SHIFT, end);
        if (run == 0)
            unclaim(count);
    }
    arch_irq_restore(irq);
    if (run == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        hand_out(run + i * PAGE_SIZE, owner);
    frame_account(owner, (int64_t)count);
    return run;
}

void frame_free_run(paddr_t first, size_t count) {
    for (size_t i = 0; i < count; i++)
        frame_free(first + i * PAGE_SIZE);
}

/* ---- Looking ---------------------------------------------------------------------------------- */

static uint64_t cached(void) {
    uint64_t count = 0;
    for (unsigned i = 0; i < CPUS_MAX; i++)
        count += caches[i] != NULL ? caches[i]->count : 0;
    return count;
}

void frame_node_stats(unsigned node, uint64_t *total, uint64_t *free) {
    *total = *free = 0;
    for (unsigned i = 0; i < frame_span_count; i++) {
        if (frame_spans[i].node == node) {
            *total += frame_spans[i].count;
            *free += frame_spans[i].free;
        }
    }
}

void frame_stats(struct frame_stats *stats) {
    *stats = (struct frame_stats){.free = cached()};
    for (unsigned i = 0; i < frame_span_count; i++) {
        stats->total += frame_spans[i].count;
        stats->free += frame_spans[i].free;
    }
    for (unsigned owner = 0; owner < FRAME_OWNERS; owner++) {
        int64_t sum = atomic_load_explicit(&shared_owned[owner], memory_order_relaxed);
        for (unsigned i = 0; i < CPUS_MAX; i++)
            sum += caches[i] != NULL
                       ? atomic_load_explicit(&caches[i]->owned[owner], memory_order_relaxed)
                       : 0;
        stats->by_owner[owner] = (uint64_t)sum;
    }
    stats->by_owner[FRAME_FREE] = stats->free;
}

void frame_check(void) {
    struct frame_stats stats;
    uint64_t owned[FRAME_OWNERS] = {0}, bits = 0;
    frame_stats(&stats);
    for (unsigned i = 0; i < frame_span_count; i++) {
        const struct frame_span *span = &frame_spans[i];
        uint64_t set = 0;
        for (uint64_t bit = 0; bit < span->count; bit++) {
            const struct frame *frame = frame_at(span->first + bit);
            K_ASSERT(frame->owner < FRAME_OWNERS, "a descriptor names an owner");
            K_ASSERT(frame->node == span->node, "a descriptor names its node");
            owned[frame->owner]++;
            if (bitmap_test(&span->map, bit)) {
                K_ASSERT(frame->owner == FRAME_FREE, "a frame in a bitmap has no owner");
                set++;
            }
        }
        K_ASSERT(set == span->free, "a span counts its free frames");
        bits += set;
    }
    K_ASSERT(owned[FRAME_FREE] == bits + cached(), "a free frame is in a bitmap or in a cache");
    K_ASSERT(atomic_load(&frame_unclaimed) <= (int64_t)bits, "no more is unclaimed than is free");
    for (unsigned owner = 0; owner < FRAME_OWNERS; owner++)
        K_ASSERT(owned[owner] == stats.by_owner[owner], "accounts agree with the descriptors");
}
