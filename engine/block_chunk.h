/* Chunk: the shared pool under the block caches; see block_chunk.c. For block*.c only. */
#pragma once

#include <stdint.h>

#include "engine/block.h"

/* Blocks of class `bin` in one chunk, and words of bits they need. */
static inline uint32_t chunk_blocks(unsigned bin) {
    return BLOCK_CHUNK_GRANULES >> bin;
}
static inline uint32_t chunk_words(unsigned bin) {
    uint32_t blocks = chunk_blocks(bin);
    return blocks < 64u ? 1u : blocks / 64u;
}
/* A word of bits of a wholly free chunk. */
static inline uint64_t chunk_full_word(unsigned bin) {
    uint32_t blocks = chunk_blocks(bin);
    return blocks < 64u ? (UINT64_C(1) << blocks) - 1u : UINT64_MAX;
}

/* All chunks start uncut; their words and the sets are zero before. */
void chunk_init_all(struct block_pool *pool);

/* Each takes 1 .. want blocks (want <= MAG_BATCH) of class `bin` into out[] and returns how
 * many, 0 for none: from chunks of this class; by cutting an unused chunk; by cutting again
 * a wholly free chunk of another class. Any thread. */
unsigned chunk_take(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                    uint32_t *out);
unsigned chunk_cut(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                   uint32_t *out);
unsigned chunk_recut(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                     uint32_t *out);

/* Gives blocks of class `bin` back. Any thread that owns them. */
void chunk_give(struct block_pool *pool, unsigned bin, const uint32_t *granules, unsigned count);
