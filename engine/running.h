/* Running: the list of engines that run in this process.
 *
 * Boot adds, halt removes, and whoever holds a boot id but no right to the engine's memory
 * (a thread that attaches, a thread that ends) finds it here, under the lock, or learns
 * that it is gone. Slow paths only. Outermost in the lock order. */
#pragma once

#include "engine/engine.h"

void running_lock(void);
void running_unlock(void);

/* The rest: under the lock. */
struct engine *running_find(uint64_t boot_id); /* NULL: not running (any more) */
bool running_add(struct engine *eng);          /* false: its handle has a running engine */
bool running_remove(gmk_kernel_t *kernel, struct engine **out);
