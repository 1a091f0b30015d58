/* Carve: permanent memory from one piece, and a free list per log size. See carve.h. */
#include "engine/carve.h"

#include <string.h>

#include "ggmk/base.h"

static size_t left(const struct carve *carve);

void carve_init(struct carve *carve, void *memory, size_t size) {
    uintptr_t start =
        ((uintptr_t)memory + GMK_FALSE_SHARING - 1) & ~(uintptr_t)(GMK_FALSE_SHARING - 1);
    size_t skipped = (size_t)(start - (uintptr_t)memory);
    memset(carve, 0, sizeof(*carve));
    carve->at = (char *)start;
    carve->end = skipped < size ? (char *)memory + size : carve->at;
    carve->total = left(carve);
}

static size_t left(const struct carve *carve) {
    return (size_t)(carve->end - carve->at);
}

/* Counts a piece that was given out, or one that could not be. */
static void *note(struct carve *carve, void *piece, size_t size) {
    if (piece == NULL) {
        atomic_fetch_add_explicit(&carve->fails, 1, memory_order_relaxed);
        return NULL;
    }
    size_t used = atomic_load_explicit(&carve->used, memory_order_relaxed) + size;
    atomic_store_explicit(&carve->used, used, memory_order_relaxed);
    if (used > atomic_load_explicit(&carve->high, memory_order_relaxed))
        atomic_store_explicit(&carve->high, used, memory_order_relaxed);
    atomic_fetch_add_explicit(&carve->takes, 1, memory_order_relaxed);
    return piece;
}

/* A piece is a multiple of GMK_FALSE_SHARING; 0: no such size. */
static size_t rounded(size_t size) {
    return size > SIZE_MAX - GMK_FALSE_SHARING
               ? 0
               : (size + GMK_FALSE_SHARING - 1) & ~(size_t)(GMK_FALSE_SHARING - 1);
}

static void *cut(struct carve *carve, size_t size) {
    if (size == 0 || size > left(carve))
        return NULL;
    void *piece = carve->at;
    carve->at += size;
    return piece;
}

void *carve_take(struct carve *carve, size_t size) {
    size_t bytes = rounded(size);
    void *piece = note(carve, cut(carve, bytes), bytes);
    if (piece != NULL)
        memset(piece, 0, bytes);
    return piece;
}

static unsigned size_index(size_t size) {
    return 63u - (unsigned)__builtin_clzll((unsigned long long)size);
}

void *carve_take_log(struct carve *carve, size_t size) {
    void **head = &carve->free[size_index(size)];
    void *log = *head;
    if (log != NULL)
        memcpy(head, log, sizeof(*head)); /* unlink: the first word is the next */
    else
        log = cut(carve, rounded(size));
    return note(carve, log, rounded(size));
}

void carve_give_log(struct carve *carve, void *log, size_t size) {
    void **head = &carve->free[size_index(size)];
    memcpy(log, head, sizeof(*head));
    *head = log;
    atomic_fetch_sub_explicit(&carve->used, rounded(size), memory_order_relaxed);
    atomic_fetch_add_explicit(&carve->gives, 1, memory_order_relaxed);
}

void carve_stats_add(const struct carve *carve, struct part_stats *out) {
    size_t used = atomic_load_explicit(&carve->used, memory_order_relaxed);
    out->total += carve->total;
    out->used += used;
    out->free += carve->total - used;
    out->high += atomic_load_explicit(&carve->high, memory_order_relaxed);
    out->allocs += atomic_load_explicit(&carve->takes, memory_order_relaxed);
    out->frees += atomic_load_explicit(&carve->gives, memory_order_relaxed);
    out->fails += atomic_load_explicit(&carve->fails, memory_order_relaxed);
}
