/* Allocator fixture: see alloc_fixture.h. */
#include "tests/lib/alloc_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct alloc_reports alloc_reports;

static void on_corruption(const char *what, void *block) {
    atomic_store(&alloc_reports.what, what);
    atomic_store(&alloc_reports.block, block);
    atomic_fetch_add(&alloc_reports.count, 1);
}

void alloc_fixture_open(struct alloc_fixture *fixture, size_t size, unsigned users) {
    struct arena_cfg cfg = {.n_bumps = users, .n_caches = users, .on_corruption = on_corruption};
    fixture->size = size;
    fixture->memory = aligned_alloc(ARENA_PAGE, size);
    if (fixture->memory == NULL) {
        fprintf(stderr, "no %zu bytes for the arena of the test\n", size);
        exit(1);
    }
    memset(fixture->memory, 0xee, size); /* the arena must not rely on zeroes nobody promised */
    int status = arena_init(&fixture->arena, fixture->memory, size, &cfg);
    if (status != GMK_OK) {
        fprintf(stderr, "arena_init gave %d, it needs %zu bytes\n", status, arena_size_min(&cfg));
        exit(1);
    }
    alloc_reports_clear();
}

void alloc_fixture_close(struct alloc_fixture *fixture) {
    free(fixture->memory);
}

void alloc_reports_clear(void) {
    atomic_store(&alloc_reports.count, 0);
    atomic_store(&alloc_reports.what, NULL);
    atomic_store(&alloc_reports.block, NULL);
}

bool alloc_reports_one(const char *what, const void *block) {
    unsigned count = atomic_load(&alloc_reports.count);
    const char *said = atomic_load(&alloc_reports.what);
    if (count == 1 && strstr(said, what) != NULL && atomic_load(&alloc_reports.block) == block)
        return true;
    fprintf(stderr, "expected one report \"...%s...\" for %p; got %u, the last \"%s\" for %p\n",
            what, block, count, said == NULL ? "" : said, atomic_load(&alloc_reports.block));
    return false;
}

static unsigned char pattern_byte(size_t index, unsigned seed) {
    return (unsigned char)((index * 167u) ^ (index >> 8) ^ seed ^ (seed >> 8));
}

void alloc_pattern_fill(void *block, size_t size, unsigned seed) {
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern_byte(i, seed);
}

bool alloc_pattern_ok(const void *block, size_t size, unsigned seed) {
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == pattern_byte(i, seed))
            continue;
        fprintf(stderr, "byte %zu of %zu at %p is %#x, expected %#x\n", i, size, block, bytes[i],
                pattern_byte(i, seed));
        return false;
    }
    return true;
}
