/* Memory: what handlers get from the arena, charged to their tenant. */
#pragma once

#include "engine/engine.h"

void *memory_alloc(struct agent *a, size_t size, uint8_t tenant);

/* Drops one reference; the last frees the block and discharges its tenant. */
void memory_free(struct agent *a, void *block);

/* The arena found damage (double free, foreign pointer, overrun): one log line. */
void memory_damage(const char *what, void *block);
