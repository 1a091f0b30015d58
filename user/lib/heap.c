/* Heap: one list of free blocks for each power of two.
 *
 * A block is preceded by 16 bytes that tell its class, or for a mapping of its own its size. A list
 * that is empty takes a piece of the current chunk. Blocks are not joined again: a program that lives
 * long and changes its sizes much wants an allocator of its own. */
#include "user/lib/memory.h"
#include "user/lib/mutex.h"

#include <string.h>

#define HEAD       16u
#define CHUNK      65536u
#define CLASS_MIN  5u  /* 32 bytes with the head */
#define CLASS_MAX  14u /* 16 KiB; above it: a mapping of its own */
#define CLASS_OWN  255u
#define SIZE_LIMIT (UINT64_C(1) << 38)

struct head {
    uint32_t class; /* log2 of its size, or CLASS_OWN */
    uint64_t size;  /* CLASS_OWN: of the mapping */
};
struct free_block {
    struct head head;
    struct free_block *next;
};

static struct mutex mutex; /* guards the rest */
static struct free_block *lists[CLASS_MAX + 1];
static char *chunk;
static size_t chunk_left;

/* A new block from the chunk. The rest of a chunk that is too small is left. */
static struct free_block *carve(unsigned class) {
    size_t size = (size_t)1 << class;
    if (chunk_left < size) {
        uint64_t address;
        if (memory_new(CHUNK, GMK_PROT_READ | GMK_PROT_WRITE, &address) != GMK_OK)
            return NULL;
        chunk = (char *)address;
        chunk_left = CHUNK;
    }
    struct free_block *block = (struct free_block *)(void *)chunk;
    chunk += size;
    chunk_left -= size;
    block->head.class = class;
    return block;
}

static void *alloc_own(size_t size) {
    uint64_t address, whole = (size + HEAD + 4095) & ~UINT64_C(4095);
    if (size > SIZE_LIMIT || memory_new(whole, GMK_PROT_READ | GMK_PROT_WRITE, &address) != GMK_OK)
        return NULL;
    struct head *head = (struct head *)address;
    *head = (struct head){.class = CLASS_OWN, .size = whole};
    return (char *)head + HEAD;
}

void *heap_alloc(size_t size) {
    unsigned class = CLASS_MIN;
    while (class <= CLASS_MAX && ((size_t)1 << class) - HEAD < size)
        class ++;
    if (class > CLASS_MAX)
        return alloc_own(size);
    mutex_lock(&mutex);
    struct free_block *block = lists[class];
    if (block != NULL)
        lists[class] = block->next;
    else
        block = carve(class);
    mutex_unlock(&mutex);
    return block != NULL ? (char *)block + HEAD : NULL;
}

void *heap_alloc_zeroed(size_t size) {
    void *block = heap_alloc(size);
    return block != NULL ? memset(block, 0, size) : NULL;
}

void heap_free(void *block) {
    if (block == NULL)
        return;
    struct free_block *at = (struct free_block *)(void *)((char *)block - HEAD);
    if (at->head.class == CLASS_OWN) {
        (void)memory_free((uintptr_t)at, at->head.size);
        return;
    }
    mutex_lock(&mutex);
    at->next = lists[at->head.class];
    lists[at->head.class] = at;
    mutex_unlock(&mutex);
}
