/* Spans of frames: shared by the allocator (frame.c) and its building (frame_boot.c). */
#pragma once

#include "kernel/core/lock.h"
#include "kernel/mem/frame_boot.h"
#include "kernel/mem/layout.h"
#include "lib/bitmap.h"

struct frame_span {
    /* Constant but for frame_numa_split(). */
    uint64_t first, count; /* frame numbers */
    uint32_t node;
    /* Guarded by the node's lock. */
    uint64_t free;
    struct bitmap map; /* set: free, and in no CPU's cache */
};

struct frame_node {
    struct spinlock lock;
    uint8_t order[FRAME_NODES_MAX]; /* nodes by distance, itself first; constant after boot */
    uint8_t order_count;
};

/* Sorted by address. */
extern struct frame_span frame_spans[FRAME_SPANS_MAX];
extern unsigned frame_span_count;
extern struct frame_node frame_nodes[FRAME_NODES_MAX];

/* Free frames in the bitmaps that nobody has been promised. Whoever wants one takes it off here
 * first, so a claim that succeeded finds its frame. */
extern _Atomic int64_t frame_unclaimed;

static inline struct frame *frame_at(uint64_t number) {
    return &((struct frame *)LAYOUT_FRAMES)[number];
}

/* Changes the accounts on a slow path. */
void frame_account(enum frame_owner owner, int64_t change);
/* Takes every frame out of this CPU's cache. IF off. */
void frame_cache_drain(void);
