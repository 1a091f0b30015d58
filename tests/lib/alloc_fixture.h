/* Allocator fixture: an arena in fresh pages, and a record of the damage it reports. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/arena.h"

struct alloc_fixture {
    struct arena arena;
    void *memory;
    size_t size;
};

/* What on_corruption was told since alloc_reports_clear(); of several threads, the last one. */
struct alloc_reports {
    _Atomic unsigned count;
    const char *_Atomic what;
    void *_Atomic block;
};
extern struct alloc_reports alloc_reports;

/* Makes an arena; ends the program with a sentence when that fails. */
void alloc_fixture_open(struct alloc_fixture *fixture, size_t size, unsigned users);
void alloc_fixture_close(struct alloc_fixture *fixture);

void alloc_reports_clear(void);
/* Was exactly one damage reported, for `block`, with `what` in its words? Says what else. */
bool alloc_reports_one(const char *what, const void *block);

/* Fills with, and checks for, bytes that depend on `seed`. */
void alloc_pattern_fill(void *block, size_t size, unsigned seed);
bool alloc_pattern_ok(const void *block, size_t size, unsigned seed);
