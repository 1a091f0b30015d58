/* Kernel heap: kmalloc(), which chooses between a slab cache and whole pages. */
#include "ggmk/log.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/slab.h"
#include "kernel/mem/vm.h"

#include <string.h>

#define CLASS_LEAST 16u
#define CLASSES     8u /* 16 .. 2048, less the guard in DEV */
/* In DEV the guard alone fills the least class, which therefore is not used. */
#define CLASS_FIRST (KSLAB_GUARD >= CLASS_LEAST ? 1u : 0u)

_Static_assert((CLASS_LEAST << (CLASSES - 1)) == 2048, "the largest class");

static struct kslab_cache classes[CLASSES];
static const char *const size_class_names[CLASSES] = {
    "kmalloc-16",  "kmalloc-32",  "kmalloc-64",   "kmalloc-128",
    "kmalloc-256", "kmalloc-512", "kmalloc-1024", "kmalloc-2048",
};
static _Atomic uint32_t kmalloc_fails_in;

void kheap_init(void) {
    for (unsigned i = CLASS_FIRST; i < CLASSES; i++)
        kslab_init(&classes[i], size_class_names[i], (CLASS_LEAST << i) - KSLAB_GUARD);
}

void kheap_fail_after(uint32_t n) {
    atomic_store_explicit(&kmalloc_fails_in, n, memory_order_relaxed);
}

/* The class of the next power of two; CLASSES: too large for a slab. */
static unsigned class_of(size_t size) {
    size_t whole = size + KSLAB_GUARD;
    if (whole <= CLASS_LEAST)
        return 0;
    unsigned bits = 64u - (unsigned)__builtin_clzll(whole - 1);
    return bits <= 11 ? bits - 4 : CLASSES;
}

static bool is_large(const void *block) {
    return (vaddr_t)block - LAYOUT_HEAP < LAYOUT_HEAP_SIZE;
}

void *kmalloc(size_t size) {
    if (size == 0 || size > LAYOUT_HEAP_SIZE)
        return NULL;
    if (atomic_load_explicit(&kmalloc_fails_in, memory_order_relaxed) != 0 &&
        atomic_fetch_sub_explicit(&kmalloc_fails_in, 1, memory_order_relaxed) == 1)
        return NULL;
    unsigned class = class_of(size);
    return class < CLASSES ? kslab_take(&classes[class]) : vm_lazy_alloc(size);
}

void *kzalloc(size_t size) {
    void *block = kmalloc(size);
    if (block != NULL && !is_large(block)) /* pages come zeroed */
        memset(block, 0, size);
    return block;
}

void kfree(void *block) {
    if (block == NULL)
        return;
    if (is_large(block))
        vm_lazy_free(block);
    else
        kslab_give(kslab_of(block), block);
}

size_t kmalloc_size(const void *block) {
    return is_large(block) ? vm_lazy_size(block) : kslab_of(block)->object_size;
}

void kheap_stats(struct kheap_stats *stats) {
    struct frame_stats frames;
    *stats = (struct kheap_stats){0};
    for (unsigned i = CLASS_FIRST; i < CLASSES; i++) {
        bool irq = spin_lock(&classes[i].lock);
        stats->slab_used += classes[i].used;
        stats->slab_bytes += classes[i].total * (CLASS_LEAST << i);
        spin_unlock(&classes[i].lock, irq);
    }
    frame_stats(&frames);
    stats->resident_pages = frames.by_owner[FRAME_HEAP];
    vm_lazy_stats(&stats->large_used, &stats->large_blocks, &stats->faults);
}

void kheap_check(void) {
    for (unsigned i = CLASS_FIRST; i < CLASSES; i++)
        kslab_check(&classes[i]);
}
