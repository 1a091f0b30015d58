/* Memory map model: a small window of addresses, cell by cell, against which lib/memmap is held.
 *
 * A cell is a quarter of a frame, so that ranges begin and end inside frames. The window may
 * lie anywhere, also at the very end of the address space. */
#pragma once

#include "lib/memmap.h"

#include <stddef.h>

#define MODEL_CELLS 2048u
#define MODEL_CELL  1024u
#define MODEL_BYTES ((uint64_t)MODEL_CELLS * MODEL_CELL)

struct memmap_model {
    uint64_t base;              /* of the window, a multiple of a frame */
    uint32_t kind[MODEL_CELLS]; /* 0: in no range */
};

/* The range in cells of the window; an end past the window is cut, as the map does at 2^64. */
void memmap_model_add(struct memmap_model *model, unsigned cell, unsigned count, uint32_t kind);
void memmap_model_claim(struct memmap_model *model, unsigned cell, unsigned count, uint32_t kind);
/* What memmap_finish() does: RAM is whole frames. */
void memmap_model_finish(struct memmap_model *model);

/* NULL when the map is sorted, disjoint, merged and says what the model says; else what is wrong. */
const char *memmap_model_compare(const struct memmap_model *model, const struct memmap *map);
/* The weaker promise of a map that overflowed: no RAM where the model has none. */
const char *memmap_model_is_safe(const struct memmap_model *model, const struct memmap *map);
