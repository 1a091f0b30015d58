/* Type: the table of task types that one engine knows. */
#pragma once

#include "engine/engine.h"

/* Adds a type. Known already: GMK_OK when both or the new one is without a handler (a
 * channel's), EEXIST when both have one. ELIMIT: cfg.max_types. Boot, or under the channel
 * lock. `name` must live as long as the engine. */
int type_add(struct engine *eng, uint32_t type, gmk_handler_fn fn, const char *name,
             uint16_t module);
