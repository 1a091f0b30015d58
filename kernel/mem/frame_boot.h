/* Frames at boot: what mem_init() and mem_numa_init() tell the allocator. Nobody else includes it.
 *
 * Physical memory is a few *spans*: runs of frames without a hole, of one NUMA node, each with
 * its own bitmap. They are sorted by address; single frames come from the highest span that has
 * one, so that low memory, which old devices need, is used last. */
#pragma once

#include "kernel/mem/frame.h"

#define FRAME_SPANS_MAX 32u

/* Bytes that the bitmap of a span of `count` frames needs. */
size_t frame_span_bytes(uint64_t count);

/* Adds a span above all others, on node 0. Its descriptors exist and name an owner; those that say
 * FRAME_FREE are free memory from now on. `bitmap` has frame_span_bytes(count) bytes. */
void frame_span_add(uint64_t first, uint64_t count, void *bitmap);

/* Sets the owner of frames before their span is added. */
void frame_boot_owner(paddr_t base, paddr_t end, enum frame_owner owner);
/* Frames that had another owner become free memory; FRAME_RESERVED ones only. Returns how many. */
uint64_t frame_boot_release(paddr_t base, paddr_t end);

/* Cuts spans so that each [base, end) part given lies on its node; single CPU, IF off. False: no
 * room for the new spans or their bitmaps; then nothing changed. */
struct frame_part {
    paddr_t base, end;
    uint32_t node;
};
bool frame_numa_split(const struct frame_part *parts, unsigned count);
/* The order in which a CPU of `node` looks for memory: itself, then by distance. */
void frame_numa_order(unsigned node, const uint8_t *distance, unsigned nodes);

/* Gives a CPU its cache: frame_cache_bytes() zeroed bytes. */
size_t frame_cache_bytes(void);
void frame_cache_init(unsigned cpu, void *memory);
