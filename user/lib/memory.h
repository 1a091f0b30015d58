/* Memory: mapping and unmapping as a whole, and a small heap.
 *
 * The kernel works on large ranges in bounded steps; these functions repeat a step until all is
 * done. `prot` is GMK_PROT_.. and GMK_MAP_.. together. */
#pragma once

#include "ggmk/abi.h"

/* Zeroed memory of whole pages, mapped where the kernel likes: *address. GMK_OK, or what
 * sys_memory_create() and sys_memory_map() refuse with. */
int memory_new(uint64_t size, unsigned prot, uint64_t *address);
/* Unmaps it; once nothing else maps these pages they go back to the budget. */
int memory_free(uint64_t address, uint64_t size);

/* The same three for any unit that the caller may change; memory_map_at() gives the address. */
int64_t memory_map_at(gmk_handle_t unit, gmk_handle_t memory, uint64_t address, uint64_t offset,
                      uint64_t size, unsigned prot);
int memory_unmap(gmk_handle_t unit, uint64_t address, uint64_t size);
int memory_protect(gmk_handle_t unit, uint64_t address, uint64_t size, unsigned prot);
/* A copy-on-write clone of a range of an anonymous object, paid by `factory`: its handle. */
int64_t memory_clone(gmk_handle_t memory, gmk_handle_t factory, uint64_t offset, uint64_t size);
/* A wired or contiguous object (GMK_MEMORY_WIRED, GMK_MEMORY_CONTIG), all of it there: its handle. */
int64_t memory_wired(gmk_handle_t factory, unsigned kind, uint64_t size);

/* Heap: blocks of any size, aligned to 16, for all threads. Small ones in powers of two from shared
 * chunks, which are never given back; large ones are mappings of their own. NULL: no memory. */
void *heap_alloc(size_t size);
void *heap_alloc_zeroed(size_t size);
void heap_free(void *block); /* NULL: nothing */
