/* Hash: a 64-bit hash that is fed piece by piece, for trace hashes and tables of names.
 *
 * Every value goes through one multiply-rotate round (as in xxHash64 and MurmurHash3), the
 * end through a finisher that lets every input bit reach every output bit. The result is the
 * same on every machine, whatever its byte order: it is compared between runs and targets.
 * The order of the pieces matters. It is no defence against somebody who picks collisions.
 *
 *     uint64_t h = hash_begin(seed);
 *     h = hash_u64(h, task.type);
 *     h = hash_bytes(h, name, length);
 *     h = hash_end(h); */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_rotate(uint64_t value, unsigned by) {
    return (value << by) | (value >> (64 - by));
}

static inline uint64_t hash_begin(uint64_t seed) {
    return seed + UINT64_C(0x9e3779b97f4a7c15); /* golden ratio: a seed of 0 is as good */
}

/* One 64-bit value; also how pointers, types and counters go in. */
static inline uint64_t hash_u64(uint64_t state, uint64_t value) {
    value *= UINT64_C(0xc2b2ae3d27d4eb4f); /* odd constants of xxHash64 */
    value = hash_rotate(value, 31);
    value *= UINT64_C(0x9e3779b185ebca87);
    state ^= value;
    return hash_rotate(state, 27) * UINT64_C(0x9e3779b185ebca87) + UINT64_C(0x85ebca77c2b2ae63);
}

/* Up to eight bytes as a little-endian number. */
static inline uint64_t hash_load(const unsigned char *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

/* `size` bytes and their number, so that "ab","c" and "a","bc" differ. */
static inline uint64_t hash_bytes(uint64_t state, const void *data, size_t size) {
    const unsigned char *bytes = data;
    size_t left = size;
    for (; left >= 8; left -= 8, bytes += 8) {
        state = hash_u64(state, hash_load(bytes, 8));
    }
    if (left > 0) {
        state = hash_u64(state, hash_load(bytes, left));
    }
    return hash_u64(state, size);
}

static inline uint64_t hash_end(uint64_t state) {
    state ^= state >> 33; /* the finisher of MurmurHash3 */
    state *= UINT64_C(0xff51afd7ed558ccd);
    state ^= state >> 33;
    state *= UINT64_C(0xc4ceb9fe1a85ec53);
    return state ^ (state >> 33);
}

/* A text up to its terminator, finished: for tables of names. */
static inline uint64_t hash_text(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    return hash_end(hash_bytes(hash_begin(0), text, length));
}
