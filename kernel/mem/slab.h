/* Slab: what the heap needs to know beyond heap.h. */
#pragma once

#include "kernel/mem/heap.h"

#ifdef GMK_PROFILE_DEV
#define KSLAB_GUARD 16u /* bytes after each object: a canary, padded to keep the alignment */
#else
#define KSLAB_GUARD 0u
#endif

/* The cache that an object came from. Panics when it came from none. */
struct kslab_cache *kslab_of(const void *object);
void kslab_check(struct kslab_cache *cache); /* panics where an invariant does not hold */
