/* Table: how often each word was seen, in one block of memory that is also a message.
 *
 * A table is an index of 16-bit offsets and, behind it, the entries in the order they were
 * added. It holds no pointer, so sending a full table means sending its block: nothing is
 * packed, and the receiver reads the entries where they lie. A set of tables, one of which
 * a word's hash selects, makes a larger table that can be emptied in parts.
 *
 * One handler at a time uses a table; the owner takes care of that. */
#pragma once

#include "ggmk/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest block the engine gives, less its header. */
#define LL_TABLE_BYTES (128u * 1024u - 256u)
#define LL_TABLE_SLOTS 8192u

struct ll_table {
    uint32_t used;                 /* bytes of entries */
    uint32_t entries;              /* how many */
    uint16_t slot[LL_TABLE_SLOTS]; /* offset of the entry / 8, plus 1; 0 = free */
};

struct ll_entry {
    uint32_t hash;
    uint32_t length;
    uint64_t count;
    /* `length` lower-case letters follow, filled up to a multiple of 8 */
};

#define LL_TABLE_ROOM (LL_TABLE_BYTES - (uint32_t)sizeof(struct ll_table))
#define LL_WORD_MAX   (LL_TABLE_ROOM - (uint32_t)sizeof(struct ll_entry))

GMK_STATIC_ASSERT(sizeof(struct ll_table) % 8 == 0, "entries are aligned");
GMK_STATIC_ASSERT(LL_TABLE_ROOM / 8 < UINT16_MAX, "a slot can name every entry");
GMK_STATIC_ASSERT(LL_TABLE_ROOM / (sizeof(struct ll_entry) + 8) < LL_TABLE_SLOTS * 3 / 4,
                  "the entries run out before the slots do");

/* The hash of a word, letter by letter: start, add each, finish. */
struct ll_hash {
    uint64_t mixed;
    uint64_t word; /* up to 8 letters that are not mixed in yet */
    uint32_t length;
};

static inline uint64_t ll_hash_mix(uint64_t mixed, uint64_t word) {
    uint64_t x = (mixed ^ word) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static inline void ll_hash_add(struct ll_hash *hash, uint8_t letter) {
    hash->word = hash->word << 8 | letter;
    if ((++hash->length & 7u) == 0) {
        hash->mixed = ll_hash_mix(hash->mixed, hash->word);
        hash->word = 0;
    }
}

static inline uint32_t ll_hash_end(const struct ll_hash *hash) {
    uint64_t x = ll_hash_mix(hash->mixed + hash->length, hash->word) * 0xd6e8feb86659fd93u;
    return (uint32_t)(x >> 32);
}

/* Makes LL_TABLE_BYTES of memory an empty table. */
void ll_table_init(struct ll_table *table);

/* Adds `count` to a word. False: there is no room for a new word. */
bool ll_table_add(struct ll_table *table, const char *word, uint32_t length, uint32_t hash,
                  uint64_t count);

/* Bytes of the block that say anything: what a message has to carry. */
static inline uint32_t ll_table_bytes(const struct ll_table *table) {
    return (uint32_t)sizeof(struct ll_table) + table->used;
}

/* Reads entries: start with offset 0; NULL at the end. `bytes` is what the message says it
 * carries: an entry that does not lie within it is not given out, whatever the table says. */
static inline const struct ll_entry *ll_table_at(const struct ll_table *table, uint32_t bytes,
                                                 uint32_t offset) {
    if (bytes < sizeof(struct ll_table) || offset % 8 != 0) {
        return NULL;
    }
    uint32_t room = bytes - (uint32_t)sizeof(struct ll_table);
    uint32_t used = table->used < room ? table->used : room;
    if (used < sizeof(struct ll_entry) || offset > used - sizeof(struct ll_entry)) {
        return NULL;
    }
    const char *at = (const char *)(table + 1) + offset;
    const struct ll_entry *entry = (const struct ll_entry *)(const void *)at;
    return entry->length <= used - offset - sizeof(struct ll_entry) ? entry : NULL;
}
static inline uint32_t ll_table_next(const struct ll_entry *entry, uint32_t offset) {
    return offset + (uint32_t)sizeof(struct ll_entry) + ((entry->length + 7u) & ~7u);
}
static inline const char *ll_entry_word(const struct ll_entry *entry) {
    return (const char *)(entry + 1);
}

#ifdef __cplusplus
}
#endif
