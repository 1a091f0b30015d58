/* Table: how often each word was seen, in one block of memory that is also a message. */
#include "examples/loglens/modules/table.h"

#include <string.h>

void ll_table_init(struct ll_table *table) {
    memset(table, 0, sizeof *table);
}

static struct ll_entry *entry_of(struct ll_table *table, uint16_t slot) {
    return (struct ll_entry *)(void *)((char *)(table + 1) + (size_t)(slot - 1u) * 8);
}

static bool same_word(const struct ll_entry *entry, const char *word, uint32_t length,
                      uint32_t hash) {
    return entry->hash == hash && entry->length == length &&
           memcmp(ll_entry_word(entry), word, length) == 0;
}

/* Writes a new entry behind the others. False: no room. */
static bool append(struct ll_table *table, uint16_t *slot, const char *word, uint32_t length,
                   uint32_t hash, uint64_t count) {
    if (length > LL_WORD_MAX) {
        return false;
    }
    uint32_t padded = (length + 7u) & ~7u;
    uint32_t size = (uint32_t)sizeof(struct ll_entry) + padded;
    if (size > LL_TABLE_ROOM - table->used) {
        return false;
    }
    *slot = (uint16_t)(table->used / 8u + 1u);
    struct ll_entry *entry = entry_of(table, *slot);
    *entry = (struct ll_entry){.hash = hash, .length = length, .count = count};
    char *letters = (char *)(entry + 1);
    memcpy(letters, word, length);
    memset(letters + length, 0, padded - length);
    table->used += size;
    table->entries++;
    return true;
}

bool ll_table_add(struct ll_table *table, const char *word, uint32_t length, uint32_t hash,
                  uint64_t count) {
    /* Ends: at least a quarter of the slots is free, by the static assert in table.h. */
    for (uint32_t i = hash;; i++) {
        uint16_t *slot = &table->slot[i % LL_TABLE_SLOTS];
        if (*slot == 0) {
            return append(table, slot, word, length, hash, count);
        }
        struct ll_entry *entry = entry_of(table, *slot);
        if (same_word(entry, word, length, hash)) {
            entry->count += count;
            return true;
        }
    }
}
