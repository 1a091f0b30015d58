/* Bitmap: many bits, of which the next set one is found in a few steps.
 *
 * The idea: over the words of bits lies a second level with one bit per word ("is that word not
 * 0?"), over it a third, and so on until one word is left. Looking for a set bit climbs until a
 * word has one and descends along lowest set bits: at most two word reads per level, and 64^6
 * bits need six levels. Setting and clearing touch a level above only when a word changes
 * between 0 and not 0.
 *
 * Invariant: bit i of level[n + 1] is set exactly when level[n][i] != 0; bits past the end are
 * clear. Memory comes from the caller. Not thread-safe: the caller's lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BITMAP_LEVELS_MAX 6u
#define BITMAP_NONE       SIZE_MAX

struct bitmap {
    uint64_t *level[BITMAP_LEVELS_MAX]; /* [0] has the bits, the last one is a single word */
    unsigned levels;
    size_t bits;
};

/* Words of the level n of a bitmap of `bits` > 0. */
static inline size_t bitmap_words_at(size_t bits, unsigned n) {
    return ((bits - 1) >> (6 * (n + 1))) + 1;
}

/* Words of memory that a bitmap of 0 < bits <= 64^6 needs. */
static inline size_t bitmap_words(size_t bits) {
    size_t words = 0;
    for (unsigned n = 0; n < BITMAP_LEVELS_MAX; n++) {
        words += bitmap_words_at(bits, n);
        if (bitmap_words_at(bits, n) == 1)
            break;
    }
    return words;
}

/* All bits clear. */
static inline void bitmap_init(struct bitmap *map, uint64_t *memory, size_t bits) {
    memset(memory, 0, bitmap_words(bits) * sizeof *memory);
    map->bits = bits;
    map->levels = 0;
    for (size_t words = 0; words != 1;) {
        words = bitmap_words_at(bits, map->levels);
        map->level[map->levels++] = memory;
        memory += words;
    }
}

static inline bool bitmap_test(const struct bitmap *map, size_t i) {
    return (map->level[0][i / 64] >> (i % 64) & 1) != 0;
}

static inline void bitmap_set(struct bitmap *map, size_t i) {
    for (unsigned n = 0; n < map->levels; n++, i /= 64) {
        uint64_t old = map->level[n][i / 64];
        map->level[n][i / 64] = old | UINT64_C(1) << (i % 64);
        if (old != 0)
            return;
    }
}

static inline void bitmap_clear(struct bitmap *map, size_t i) {
    for (unsigned n = 0; n < map->levels; n++, i /= 64) {
        uint64_t left = map->level[n][i / 64] &= ~(UINT64_C(1) << (i % 64));
        if (left != 0)
            return;
    }
}

/* Sets [first, end), first < end. The words above those are then not 0 either: each level has
 * one range to set. */
static inline void bitmap_set_range(struct bitmap *map, size_t first, size_t end) {
    for (unsigned n = 0; n < map->levels; n++) {
        size_t last = end - 1;
        for (size_t word = first / 64; word <= last / 64; word++) {
            uint64_t mask = UINT64_MAX;
            if (word == first / 64)
                mask &= UINT64_MAX << (first % 64);
            if (word == last / 64)
                mask &= UINT64_MAX >> (63 - last % 64);
            map->level[n][word] |= mask;
        }
        first /= 64;
        end = last / 64 + 1;
    }
}

/* The first set bit at or after `from`; BITMAP_NONE. */
static inline size_t bitmap_next(const struct bitmap *map, size_t from) {
    size_t i = from;
    for (unsigned n = 0; n < map->levels; n++) {
        if (map->bits == 0 || i / 64 >= bitmap_words_at(map->bits, n))
            return BITMAP_NONE;
        uint64_t word = map->level[n][i / 64] >> (i % 64);
        if (word == 0) {
            i = i / 64 + 1;
            continue;
        }
        i += (unsigned)__builtin_ctzll(word);
        while (n-- != 0)
            i = i * 64 + (unsigned)__builtin_ctzll(map->level[n][i]);
        return i;
    }
    return BITMAP_NONE;
}

/* The first clear bit in [from, end); `end` if all are set. Reads words one by one. */
static inline size_t bitmap_next_clear(const struct bitmap *map, size_t from, size_t end) {
    for (size_t i = from; i < end; i = (i / 64 + 1) * 64) {
        uint64_t clear = ~map->level[0][i / 64] >> (i % 64);
        if (clear != 0) {
            size_t at = i + (unsigned)__builtin_ctzll(clear);
            return at < end ? at : end;
        }
    }
    return end;
}
