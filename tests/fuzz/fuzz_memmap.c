/* Fuzz of the memory map: against the model of every address, and with any 64-bit numbers.
 *
 * The input's first byte chooses. Even: ranges inside a small window, which the map has to tell
 * exactly as the model does (and, when it overflowed, no RAM where the model has none). Odd:
 * ranges anywhere; the map has to be sorted, disjoint and merged. */
#include "tests/lib/fuzz_input.h"
#include "tests/lib/memmap_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memmap map;
static struct memmap_model model;

static void in_the_window(struct fuzz_input *in) {
    static const uint64_t bases[] = {0, 0xfff00000u, -MODEL_BYTES, 1ull << 40};
    model.base = bases[fuzz_take(in, 1) % 4];
    while (in->left > 0) {
        uint64_t word = fuzz_take(in, 4);
        unsigned cell = (unsigned)(word % MODEL_CELLS);
        unsigned count = (unsigned)(word >> 11 & 0xfff) % (MODEL_CELLS - cell + 1);
        uint32_t kind = 1 + (uint32_t)(word >> 23 & 7) % 6;
        uint64_t base = model.base + (uint64_t)cell * MODEL_CELL;
        if ((word >> 26 & 7) == 7) {
            memmap_claim(&map, base, (uint64_t)count * MODEL_CELL, kind);
            memmap_model_claim(&model, cell, count, kind);
        } else {
            memmap_add(&map, base, (uint64_t)count * MODEL_CELL, kind);
            memmap_model_add(&model, cell, count, kind);
        }
    }
}

static void anywhere(struct fuzz_input *in) {
    while (in->left > 0) {
        uint64_t choice = fuzz_take(in, 1), base = fuzz_take(in, 8), size = fuzz_take(in, 8);
        void (*act)(struct memmap *, uint64_t, uint64_t, uint32_t) =
            (choice & 1) != 0 ? memmap_claim : memmap_add;
        act(&map, base, size, 1 + (uint32_t)(choice >> 1) % 6);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    bool window = fuzz_take(&in, 1) % 2 == 0;
    memset(&map, 0, sizeof map);
    memset(&model, 0, sizeof model);
    (window ? in_the_window : anywhere)(&in);
    for (int i = 0; i < 3; i++) { /* before finishing, after, and after finishing again */
        if (!window) {
            model.base = 0;
            memset(model.kind, 0, sizeof model.kind);
            for (uint32_t k = 0; k < map.count; k++) {
                fuzz_must(map.at[k].base < map.at[k].end, "an entry is empty");
                fuzz_must(k == 0 || map.at[k - 1].end <= map.at[k].base, "order");
                fuzz_must(i == 0 || map.at[k].kind != MEMMAP_RAM ||
                              (map.at[k].base | map.at[k].end) % MEMMAP_FRAME == 0,
                          "RAM that is not whole frames");
            }
        } else if (map.dropped == 0) {
            fuzz_must_not(memmap_model_compare(&model, &map));
        } else {
            fuzz_must_not(memmap_model_is_safe(&model, &map));
        }
        memmap_finish(&map);
        memmap_model_finish(&model);
    }
    return 0;
}
