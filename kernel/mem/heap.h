/* Kernel heap: memory of any size for the kernel's own use.
 *
 * Two floors. Slab caches for objects of one size, in O(1). For the rest the first gap of a range of
 * addresses, in whole pages that get a frame when they are first touched (demand-paged,
 * vm_fault()): a large block costs only what is used of it.
 *
 * Any thread, IF on or off; interrupt handlers may use slabs, not large blocks. In DEV objects
 * carry canaries, and freed ones are poisoned; damage panics with the address. Behind a large
 * block lies an unmapped page, in every profile.
 *
 * The names start with k because lib/heap.h and engine/slab.h own the plain ones. */
#pragma once

#include "arch/arch.h"
#include "kernel/core/lock.h"

/* `size` bytes, 16-byte aligned, not zeroed. NULL when there is none, or when size is 0. Up to
 * 2048 bytes come from slabs of the next power of two, more are whole pages. */
void *kmalloc(size_t size);
void *kzalloc(size_t size);
void kfree(void *block);                /* NULL is allowed */
size_t kmalloc_size(const void *block); /* usable bytes */

struct kslab_cache {
    const char *name;
    uint32_t object_size; /* bytes, a multiple of 8 */
    struct spinlock lock;
    /* Guarded by lock. */
    struct kslab_page *partial;
    uint64_t used, total;
};
void kslab_init(struct kslab_cache *cache, const char *name, uint32_t object_size);
void *kslab_take(struct kslab_cache *cache); /* NULL: no frame */
void kslab_give(struct kslab_cache *cache, void *object);

struct kheap_stats {
    uint64_t slab_used, slab_bytes; /* objects, bytes of frames */
    uint64_t large_used, large_blocks;
    uint64_t resident_pages, faults;
};
void kheap_stats(struct kheap_stats *stats);
void kheap_init(void);  /* for mem_heap_init() */
void kheap_check(void); /* panics where an invariant does not hold */
/* Tests: the n-th kmalloc from now on fails, once; 0 switches it off. */
void kheap_fail_after(uint32_t n);
