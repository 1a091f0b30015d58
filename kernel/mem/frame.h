/* Frames: physical memory in pieces of 4 KiB, each with a descriptor.
 *
 * Allocation is O(1): each CPU keeps a small stack of free frames (no lock); behind it each NUMA
 * node has a bitmap with summary levels, one bit per frame, set = free, so that the first free
 * frame is found by a bounded number of bit scans. Contiguous runs (DMA, large pages) are searched
 * in the bitmap, which is the slow path, bounded by the node's words.
 *
 * Any context with IF off or on, interrupt handlers too; never blocks; not in an NMI. */
#pragma once

#include "arch/arch.h"

#include <stdatomic.h>

#define FRAME_NODES_MAX 8u  /* NUMA nodes; memory of further ones joins node 0, reported */
#define FRAME_CACHE     64u /* frames that a CPU keeps at most; moved in halves */

/* Whose a frame is; for accounts and the monitor. */
enum frame_owner {
    FRAME_FREE = 0,
    FRAME_RESERVED, /* firmware, holes, the boot loader's until it is released */
    FRAME_IMAGE,    /* the kernel's code and data */
    FRAME_TABLE,    /* page tables */
    FRAME_HEAP,     /* large blocks */
    FRAME_SLAB,
    FRAME_STACK,
    FRAME_ENGINE, /* arenas */
    FRAME_MODULE, /* initrd and others from the loader */
    FRAME_META,   /* frame descriptors, bitmaps */
    FRAME_OTHER,
    FRAME_OBJECT,      /* pools of objects, tables of capabilities */
    FRAME_USER,        /* pages of memory objects */
    FRAME_MEMORY_TREE, /* their trees */
    FRAME_USER_TABLE,  /* page tables of units, and what else their spaces need */
    FRAME_OWNERS
};

struct frame {
    uint8_t owner; /* enum frame_owner */
    uint8_t node;
    uint16_t age;
    _Atomic uint32_t refs; /* FRAME_USER: memory objects that share it */
    void *object;          /* the owner's own */
};
_Static_assert(sizeof(struct frame) == 16, "descriptors cost 16 bytes per 4 KiB: 0.4 %");

/* A frame near this CPU (or from the nearest node that has one), not zeroed. 0: none left; up to
 * FRAME_CACHE free ones may then still lie in the cache of each other CPU. */
paddr_t frame_alloc(enum frame_owner owner);
paddr_t frame_alloc_zeroed(enum frame_owner owner);
/* From this node only, past the CPU's cache. */
paddr_t frame_alloc_on(unsigned node, enum frame_owner owner);
void frame_free(paddr_t frame);

/* `count` frames in a row, aligned to `align` bytes (a power of two >= 4096), all below `limit`
 * (0: anywhere). 0: no such run. */
paddr_t frame_alloc_run(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner);
void frame_free_run(paddr_t first, size_t count);

/* The descriptor; NULL where there is no RAM. */
struct frame *frame_of(paddr_t frame);

/* Promises: `count` frames are set aside, without saying which; each is then taken by
 * frame_alloc_promised(), which cannot fail, or given up. For memory that comes on first touch. */
bool frame_promise(size_t count);
void frame_promise_drop(size_t count);
paddr_t frame_alloc_promised(enum frame_owner owner);

struct frame_stats {
    uint64_t total, free; /* frames; free counts CPU caches and promises too */
    uint64_t by_owner[FRAME_OWNERS];
};
void frame_stats(struct frame_stats *stats); /* sums, exact at rest */
void frame_node_stats(unsigned node, uint64_t *total, uint64_t *free);

/* Tests: the n-th allocation or promise from now on fails (1 = the next), once. 0 switches it off. */
void frame_fail_after(uint32_t n);
/* Walks everything and panics where an invariant does not hold. Slow. At rest. */
void frame_check(void);
