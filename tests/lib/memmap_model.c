/* Memory map model: see memmap_model.h. */
#include "tests/lib/memmap_model.h"

#define CELLS_PER_FRAME (MEMMAP_FRAME / MODEL_CELL)

static unsigned end_of(unsigned cell, unsigned count) {
    return count < MODEL_CELLS - cell ? cell + count : MODEL_CELLS;
}

void memmap_model_add(struct memmap_model *model, unsigned cell, unsigned count, uint32_t kind) {
    for (unsigned i = cell; i < end_of(cell, count); i++) {
        model->kind[i] = model->kind[i] < kind ? kind : model->kind[i];
    }
}

void memmap_model_claim(struct memmap_model *model, unsigned cell, unsigned count, uint32_t kind) {
    for (unsigned i = cell; i < end_of(cell, count); i++) {
        model->kind[i] = kind;
    }
}

void memmap_model_finish(struct memmap_model *model) {
    for (unsigned frame = 0; frame < MODEL_CELLS; frame += CELLS_PER_FRAME) {
        unsigned ram = 0;
        for (unsigned i = frame; i < frame + CELLS_PER_FRAME; i++) {
            ram += model->kind[i] == MEMMAP_RAM;
        }
        /* The last frame of all ends at 2^64, which no 64-bit end can name. */
        bool last = model->base + (uint64_t)(frame + CELLS_PER_FRAME) * MODEL_CELL == 0;
        for (unsigned i = frame; (ram < CELLS_PER_FRAME || last) && i < frame + CELLS_PER_FRAME;
             i++) {
            model->kind[i] = model->kind[i] == MEMMAP_RAM ? 0 : model->kind[i];
        }
    }
}

static const char *check_order(const struct memmap *map) {
    for (uint32_t i = 0; i < map->count; i++) {
        const struct memmap_range *range = &map->at[i];
        if (range->base >= range->end) {
            return "an entry is empty";
        }
        if (i > 0 && range[-1].end > range->base) {
            return "entries overlap or are not sorted";
        }
        if (i > 0 && range[-1].end == range->base && range[-1].kind == range->kind) {
            return "neighbours of one kind are not merged";
        }
    }
    return NULL;
}

/* What the map says of every cell, in one walk along both. False: it says two things of one. */
static bool read_cells(const struct memmap *map, uint64_t base, uint32_t kind[MODEL_CELLS]) {
    uint32_t at = 0;
    for (unsigned i = 0; i < MODEL_CELLS; i++) {
        uint64_t first = base + (uint64_t)i * MODEL_CELL, last = first + MODEL_CELL - 2;
        while (at < map->count && map->at[at].end <= first) {
            at++;
        }
        bool starts = at < map->count && map->at[at].base <= first;
        if (starts ? map->at[at].end <= last : at < map->count && map->at[at].base <= last) {
            return false;
        }
        kind[i] = starts ? map->at[at].kind : 0;
    }
    return true;
}

static const char *compare(const struct memmap_model *model, const struct memmap *map, bool exact) {
    uint32_t kind[MODEL_CELLS];
    const char *wrong = check_order(map);
    if (wrong != NULL) {
        return wrong;
    }
    if (!read_cells(map, model->base, kind)) {
        return "an entry ends where nothing ended";
    }
    for (unsigned i = 0; i < MODEL_CELLS; i++) {
        if (exact && kind[i] != model->kind[i]) {
            return "a place has another kind than in the model";
        }
        if (kind[i] == MEMMAP_RAM && model->kind[i] != MEMMAP_RAM) {
            return "there is RAM where the model has none";
        }
    }
    return NULL;
}

const char *memmap_model_compare(const struct memmap_model *model, const struct memmap *map) {
    for (uint32_t i = 0; i < map->count; i++) {
        if (map->at[i].base - model->base >= MODEL_BYTES ||
            map->at[i].end - 1 - model->base >= MODEL_BYTES) {
            return "an entry is outside of what was added";
        }
    }
    return compare(model, map, true);
}

const char *memmap_model_is_safe(const struct memmap_model *model, const struct memmap *map) {
    return compare(model, map, false);
}
