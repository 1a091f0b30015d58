/* Stdlib: the few functions of the C library that the sink of loglens uses. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/memory.h"

/* In front of every block: its size. Keeps the alignment of 16. */
struct block {
    size_t size;
    size_t unused;
};

void *malloc(size_t size) {
    struct block *block = size > SIZE_MAX - sizeof *block ? NULL : heap_alloc(size + sizeof *block);
    if (block == NULL)
        return NULL;
    block->size = size;
    return block + 1;
}

void free(void *memory) {
    if (memory != NULL)
        heap_free((struct block *)memory - 1);
}

void *realloc(void *memory, size_t size) {
    void *larger = malloc(size);
    if (memory == NULL || larger == NULL)
        return larger;
    size_t before = ((struct block *)memory - 1)->size;
    memcpy(larger, memory, before < size ? before : size);
    free(memory);
    return larger;
}

static void swap(char *a, char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

/* Lets the element at `root` of a heap of `count` sink to its place. */
static void sift(char *base, size_t root, size_t count, size_t size,
                 int (*compare)(const void *, const void *)) {
    for (size_t child; (child = root * 2 + 1) < count; root = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + root * size, base + child * size) >= 0)
            return;
        swap(base + root * size, base + child * size, size);
    }
}

/* Heapsort: bounded, and without memory. */
void qsort(void *array, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    char *base = array;
    for (size_t i = count / 2; i > 0; i--)
        sift(base, i - 1, count, size, compare);
    for (size_t i = count; i > 1; i--) {
        swap(base, base + (i - 1) * size, size);
        sift(base, 0, i - 1, size, compare);
    }
}
