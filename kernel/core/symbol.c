/* Symbols: from an address in the kernel's code to the name of its function.
 *
 * scripts/ksyms makes the table out of the linked image: sorted offsets from the image's base, 32
 * bits each, and the names in the same order in one pool. Where a name begins is found by walking
 * the pool: names are asked for in reports only, where an index would cost more than it gains.
 * The table lies behind all code, so its size moves no address it speaks of.
 *
 * Any context; reads constant data only. */
#include "kernel/core/panic.h"

#include <string.h>

#include "kernel/mem/layout.h"
#include "lib/format.h"

extern const uint32_t ksyms_count, ksyms_offsets[];
extern const char ksyms_names[];

/* Behind the last function, an address further away than this is not its. */
#define SYMBOL_LAST_MAX 4096u

/* Entries at or below `offset`: the last of them is the function. Halves its range each turn. */
static uint32_t symbol_rank(uint64_t offset) {
    uint32_t low = 0, high = ksyms_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2u;
        if (ksyms_offsets[middle] <= offset)
            low = middle + 1u;
        else
            high = middle;
    }
    return low;
}

size_t symbol_format(uintptr_t address, char *out, size_t size) {
    uint64_t offset = address - LAYOUT_IMAGE; /* of an address below the image: huge */
    uint32_t rank = symbol_rank(offset);
    if (rank == 0)
        return format_string(out, size, "?");
    uint64_t distance = offset - ksyms_offsets[rank - 1u];
    if (rank == ksyms_count && distance > SYMBOL_LAST_MAX)
        return format_string(out, size, "?");
    const char *name = ksyms_names;
    for (uint32_t i = 1; i < rank; i++)
        name += strlen(name) + 1u;
    return format_string(out, size, "%s+0x%zx", name, (size_t)distance);
}
