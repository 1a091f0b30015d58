/* Chunk: 128 KiB of one class whose free blocks are bits, shared by all threads.
 *
 * Problem: give caches blocks in batches, take them back from any thread, and let memory
 * change its class, all without a lock.
 * Life of a chunk:
 *
 *     uncut --chunk_cut()--> class b --chunk_recut(), all blocks free--> class b'
 *
 * - uncut: bin == BLOCK_BINS, its bit is set in the last row of sets, no free bits.
 * - class b: each of its blocks is a free bit, in a magazine, or live. If a free bit is
 *   set and no operation is under way, the chunk's bit in row b of sets is set.
 * - changing: one thread holds every block (it took all free bits), so no other thread
 *   can own or free one; that thread alone may write bin.
 * A thread may still look at a chunk under the old class. It checks after it took bits:
 * holding one block makes the class stable, and a wrong guess is given back (take_bits()).
 * A stale summary bit in the old row costs one look and is cleared by it.
 *
 * Bounds: chunk_take() looks at set_words + 1 summary words and, per summary bit, at no more
 * than BLOCK_CHUNK_WORDS words; chunk_recut() looks at every chunk once. */
#include "engine/block_chunk.h"

#include <string.h>

#include "engine/block_bits.h"

static _Atomic uint64_t *set_word(struct block_pool *pool, unsigned row, uint32_t chunk) {
    return &pool->sets[(size_t)row * pool->set_words + chunk / 64u];
}
static uint64_t set_bit(uint32_t chunk) {
    return UINT64_C(1) << (chunk % 64u);
}

void chunk_init_all(struct block_pool *pool) {
    for (uint32_t c = 0; c < pool->n_chunks; c++) {
        atomic_init(&pool->chunks[c].bin, BLOCK_BINS);
        counter_add(set_word(pool, BLOCK_BINS, c), set_bit(c));
    }
}

/* Writes the block numbers of the bits in `mask` of word `w`; returns how many. */
static unsigned spell_bits(uint32_t chunk, unsigned bin, uint32_t w, uint64_t mask, uint32_t *out) {
    uint32_t first = chunk * BLOCK_CHUNK_GRANULES + (w * 64u << bin);
    unsigned count = 0;
    for (; mask != 0; mask &= mask - 1)
        out[count++] = first + ((uint32_t)bits_lowest(mask) << bin);
    return count;
}

/* Takes at most `want` blocks out of one chunk that is believed to be of class `bin`. */
static unsigned take_bits(struct block_pool *pool, uint32_t c, unsigned bin, unsigned want,
                          uint32_t *out) {
    struct block_chunk *chunk = &pool->chunks[c];
    unsigned got = 0;
    for (uint32_t w = 0; w < chunk_words(bin) && got < want; w++) {
        uint64_t mask = bits_take(&chunk->free[w], want - got);
        if (mask == 0)
            continue;
        /* Ordered after the take, whose partner (assign()) wrote bin before the bits. */
        unsigned now = atomic_load_explicit(&chunk->bin, memory_order_relaxed);
        if (now != bin) {
            bits_give(&chunk->free[w], mask, set_word(pool, now, c), set_bit(c));
            return got;
        }
        got += spell_bits(c, bin, w, mask, out + got);
    }
    return got;
}

/* The chunk looked empty, or is of another class by now: its summary bit in row `bin` goes. */
static void retract(struct block_pool *pool, uint32_t c, unsigned bin) {
    struct block_chunk *chunk = &pool->chunks[c];
    bits_hide(set_word(pool, bin, c), set_bit(c));
    /* C2 pairs with C1 in assign(): cut for our class meanwhile, its cutter may have seen the
     * bit before we hid it. Both seq_cst, as T1 and G2 between them. */
    if (atomic_load_explicit(&chunk->bin, memory_order_seq_cst) == bin)
        bits_recall(chunk->free, chunk_words(bin), set_word(pool, bin, c), set_bit(c));
}

unsigned chunk_take(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                    uint32_t *out) {
    uint32_t start = *hint / 64u;
    /* The first word is visited twice: from the hint upwards, and at the end as a whole. */
    for (uint32_t i = 0; i <= pool->set_words; i++) {
        uint32_t w = (start + i) % pool->set_words;
        uint64_t bits = atomic_load_explicit(set_word(pool, bin, w * 64u), memory_order_relaxed);
        if (i == 0)
            bits &= UINT64_MAX << (*hint % 64u);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t c = w * 64u + bits_lowest(bits);
            unsigned got = 0;
            if (atomic_load_explicit(&pool->chunks[c].bin, memory_order_relaxed) == bin)
                got = take_bits(pool, c, bin, want, out);
            if (got < want)
                retract(pool, c, bin);
            if (got == 0)
                continue;
            *hint = c;
            return got;
        }
    }
    return 0;
}

/* Cuts a chunk for class `bin` and keeps the first blocks. The caller owns all of it: it
 * was uncut, or every free bit was taken. */
static unsigned assign(struct block_pool *pool, uint32_t c, unsigned bin, unsigned want,
                       uint32_t *out) {
    struct block_chunk *chunk = &pool->chunks[c];
    if (ALLOC_DEV) {
        /* Marks of freed blocks belong to the old cut. */
        for (uint32_t g = 0; g < BLOCK_CHUNK_GRANULES; g++)
            atomic_store_explicit(&pool->headers[c * BLOCK_CHUNK_GRANULES + g], 0,
                                  memory_order_relaxed);
    }
    /* C1 pairs with C2 in retract(). */
    atomic_store_explicit(&chunk->bin, bin, memory_order_seq_cst);
    uint64_t full = chunk_full_word(bin);
    uint64_t mine = bits_first(full, want);
    unsigned got = spell_bits(c, bin, 0, mine, out);
    _Atomic uint64_t *set = set_word(pool, bin, c);
    if ((full & ~mine) != 0)
        bits_give(&chunk->free[0], full & ~mine, set, set_bit(c));
    for (uint32_t w = 1; w < chunk_words(bin); w++)
        bits_give(&chunk->free[w], full, set, set_bit(c));
    return got;
}

unsigned chunk_cut(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                   uint32_t *out) {
    for (uint32_t w = 0; w < pool->set_words; w++) {
        _Atomic uint64_t *word = set_word(pool, BLOCK_BINS, w * 64u);
        uint64_t bit = bits_take(word, 1);
        /* Another thread may have taken the bit we saw; at most 64 such losses per word. */
        for (unsigned tries = 0; bit == 0 && tries < 64u; tries++) {
            if (atomic_load_explicit(word, memory_order_relaxed) == 0)
                break;
            bit = bits_take(word, 1);
        }
        if (bit == 0)
            continue;
        *hint = w * 64u + bits_lowest(bit);
        return assign(pool, *hint, bin, want, out);
    }
    return 0;
}

/* Takes every block of a chunk of class `old` if all are free; else leaves it as it was. */
static bool take_whole(struct block_pool *pool, uint32_t c, unsigned old) {
    struct block_chunk *chunk = &pool->chunks[c];
    uint64_t full = chunk_full_word(old);
    uint32_t words = chunk_words(old);
    uint32_t w;
    for (w = 0; w < words; w++)
        if (atomic_load_explicit(&chunk->free[w], memory_order_relaxed) != full)
            return false;
    for (w = 0; w < words; w++) {
        uint64_t mask = bits_take(&chunk->free[w], 64u);
        if (mask == full && atomic_load_explicit(&chunk->bin, memory_order_relaxed) == old)
            continue;
        if (mask != 0) {
            /* We hold a block, so the class is stable, whichever it is. */
            unsigned now = atomic_load_explicit(&chunk->bin, memory_order_relaxed);
            bits_give(&chunk->free[w], mask, set_word(pool, now, c), set_bit(c));
        }
        break;
    }
    if (w == words)
        return true;
    while (w-- != 0)
        bits_give(&chunk->free[w], full, set_word(pool, old, c), set_bit(c));
    return false;
}

unsigned chunk_recut(struct block_pool *pool, unsigned bin, unsigned want, uint32_t *hint,
                     uint32_t *out) {
    for (uint32_t c = 0; c < pool->n_chunks; c++) {
        unsigned old = atomic_load_explicit(&pool->chunks[c].bin, memory_order_relaxed);
        if (old >= BLOCK_BINS || old == bin)
            continue;
        if (!take_whole(pool, c, old))
            continue;
        atomic_fetch_add_explicit(&pool->recuts, 1, memory_order_relaxed);
        bits_hide(set_word(pool, old, c),
                  set_bit(c)); /* all its bits are ours: nothing to recall */
        *hint = c;
        return assign(pool, c, bin, want, out);
    }
    return 0;
}

void chunk_give(struct block_pool *pool, unsigned bin, const uint32_t *granules, unsigned count) {
    unsigned i = 0;
    while (i < count) {
        uint32_t c = granules[i] / BLOCK_CHUNK_GRANULES;
        uint32_t w = granules[i] % BLOCK_CHUNK_GRANULES >> bin >> 6;
        uint64_t mask = 0;
        /* Blocks taken together tend to come back together: one OR for a run in one word. */
        for (; i < count; i++) {
            uint32_t block = granules[i] % BLOCK_CHUNK_GRANULES >> bin;
            if (granules[i] / BLOCK_CHUNK_GRANULES != c || block >> 6 != w)
                break;
            mask |= UINT64_C(1) << (block % 64u);
        }
        bits_give(&pool->chunks[c].free[w], mask, set_word(pool, bin, c), set_bit(c));
    }
}
