/* Bump, the rest: making, refusing, resetting and counting; the allocation is in bump.h. */
#include "engine/bump.h"

#include <string.h>

#include "ggmk/error.h"

#define POISON_BYTE 0xdd

int bump_init(struct bump *bump, void *memory, size_t size, struct alloc_guard *guard) {
    if (memory == NULL || (uintptr_t)memory % BUMP_ALIGN_MAX != 0)
        return GMK_EINVAL;
    if (size == 0 || size % BUMP_ALIGN_MAX != 0 || size > BUMP_SIZE_MAX)
        return GMK_EINVAL;
    memset(bump, 0, sizeof *bump);
    bump->end = (char *)memory + size;
    bump->size = size;
    bump->guard = guard;
    atomic_init(&bump->mark, (uint64_t)size << BUMP_COUNT_BITS);
    return GMK_OK;
}

void *bump_refuse(struct bump *bump) {
    counter_add(&bump->fails, 1);
    return NULL;
}

void bump_reset(struct bump *bump) {
    uint64_t mark = atomic_load_explicit(&bump->mark, memory_order_relaxed);
    size_t used = bump->size - (size_t)(mark >> BUMP_COUNT_BITS);
    if (used > atomic_load_explicit(&bump->high, memory_order_relaxed))
        atomic_store_explicit(&bump->high, used, memory_order_relaxed);
    if (ALLOC_DEV)
        memset(bump_base(bump), POISON_BYTE, used);
    counter_add(&bump->dropped, mark & BUMP_COUNT_MASK);
    counter_add(&bump->resets, 1);
    atomic_store_explicit(&bump->mark, (uint64_t)bump->size << BUMP_COUNT_BITS,
                          memory_order_relaxed);
}

void bump_stats(const struct bump *bump, struct part_stats *out) {
    uint64_t mark = atomic_load_explicit(&bump->mark, memory_order_relaxed);
    *out = (struct part_stats){.size = bump->size, .total = bump->size};
    out->free = (size_t)(mark >> BUMP_COUNT_BITS);
    out->used = out->total - out->free;
    out->high = atomic_load_explicit(&bump->high, memory_order_relaxed);
    if (out->used > out->high)
        out->high = out->used;
    out->frees = counter_read(&bump->dropped);
    out->allocs = out->frees + (mark & BUMP_COUNT_MASK);
    out->fails = counter_read(&bump->fails);
}
