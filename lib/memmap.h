/* Memory map: makes order of what firmware says about memory.
 *
 * In: ranges in any order, overlapping, empty, unaligned, wrapping. Out: sorted, disjoint, merged
 * ranges whose RAM parts are whole frames; where ranges overlap the stronger kind wins (enum
 * boot_range_kind orders them, RAM is the weakest), and a range that wraps past 2^64 is cut.
 *
 * The map is sorted, disjoint and merged after every call, so `n` ranges take at most 2n - 1
 * entries. When the table is full nevertheless, doubt costs memory, never safety: a range that
 * cannot be split belongs wholly to the stronger kind, and once something was dropped no more RAM
 * is taken. Bounded: O(n^2) for n <= MEMMAP_MAX. Pure; no allocation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MEMMAP_MAX   512u
#define MEMMAP_RAM   1u    /* the kind that is handed out; every other one is a larger number */
#define MEMMAP_FRAME 4096u /* RAM comes out in multiples of this */

struct memmap_range {
    uint64_t base, end; /* [base, end) */
    uint32_t kind;
};

struct memmap {
    struct memmap_range at[MEMMAP_MAX];
    uint32_t count;
    uint32_t overlaps, empties, wrapped, dropped; /* what was wrong with the input */
};

/* Adds one range as firmware gave it. The map starts as zeroes. */
void memmap_add(struct memmap *map, uint64_t base, uint64_t size, uint32_t kind);
/* Adds a range that replaces whatever is there: the kernel's image, modules. */
void memmap_claim(struct memmap *map, uint64_t base, uint64_t size, uint32_t kind);
/* Aligns RAM inward to frames. After the last add. */
void memmap_finish(struct memmap *map);
