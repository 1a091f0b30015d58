/* Layout: what a configuration means in bytes, before anything is allocated.
 *
 * The memory of an engine is one piece: a control block (the engine, its agents, counters,
 * registries), then the arena with its four parts. Queues and channel logs are cut out of
 * the arena's task part. A field of the configuration that is zero means the default, or
 * less of it where the arena is small: everything that scales is halved together until it
 * fits, at most LAYOUT_HALVINGS times. */
#pragma once

#include "engine/engine.h"

#define LAYOUT_HALVINGS 8u

/* Fills every zero field of *cfg with its default halved `halvings` times. */
void layout_defaults(gmk_boot_cfg_t *cfg, unsigned halvings);

/* Names the first field that is out of range in the log: EINVAL; else GMK_OK. */
int layout_check(const gmk_boot_cfg_t *cfg);

/* Sizes for a complete configuration. */
size_t layout_control_bytes(const gmk_boot_cfg_t *cfg);
size_t layout_task_bytes(const gmk_boot_cfg_t *cfg);
size_t layout_arena_bytes(const gmk_boot_cfg_t *cfg);

/* Least arena_size for all other fields of a complete configuration. Some pieces grow with the
 * arena, so this is the first size that is no smaller than what it needs itself. */
size_t layout_arena_min(const gmk_boot_cfg_t *cfg);
struct arena_cfg layout_arena_cfg(const gmk_boot_cfg_t *cfg);

/* Subscriptions an engine can have, and slots of its lane and of the system's channels. */
uint32_t layout_subs_max(const gmk_boot_cfg_t *cfg);
uint32_t layout_lane_slots(const gmk_boot_cfg_t *cfg);
uint32_t layout_system_slots(const gmk_boot_cfg_t *cfg);

/* Completes *cfg so that it fits cfg->arena_size. ENOMEM: the log says how much it needs. */
int layout_fit(gmk_boot_cfg_t *cfg);

/* Builds the engine's structures in zeroed `pages` of cfg->arena_size bytes. */
int layout_build(struct engine **out, void *pages, const gmk_boot_cfg_t *cfg);
