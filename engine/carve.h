/* Carve: cuts permanent structures and channel logs out of the arena's task part.
 *
 * Boot cuts what lives as long as the engine. Channel logs come and go: a log's size is a
 * power of two, so a freed one goes to the list of its size and serves the next of that
 * size. Nothing is split or merged; bounded time.
 *
 * Who may call: boot alone; later under the channel lock. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block_guard.h"

#define CARVE_SIZES 64u

struct carve {
    char *at;
    char *end;
    void *free[CARVE_SIZES]; /* freed logs by log2(size); the first word links them */
    size_t total;
    /* Written under the same lock, read by anybody. */
    _Atomic size_t used;
    _Atomic size_t high;
    _Atomic uint64_t takes;
    _Atomic uint64_t gives;
    _Atomic uint64_t fails;
};

void carve_init(struct carve *carve, void *memory, size_t size);

/* `size` bytes, zeroed, at a multiple of GMK_FALSE_SHARING; NULL when there is no room. */
void *carve_take(struct carve *carve, size_t size);

/* The same for a power of two that carve_give_log() may give back; not zeroed. */
void *carve_take_log(struct carve *carve, size_t size);
void carve_give_log(struct carve *carve, void *log, size_t size);

/* Adds this carve's counters to *out. Any thread. */
void carve_stats_add(const struct carve *carve, struct part_stats *out);
