/* Metrics: reading an engine's numbers, for the public functions and the exports. */
#pragma once

#include "engine/engine.h"

int metrics_sched(struct engine *eng, gmk_sched_stats_t *out);
int metrics_part(struct engine *eng, unsigned part, gmk_part_stats_t *out);
int metrics_view(struct engine *eng, unsigned kind, struct hist_view *view);
uint64_t metrics_user(struct engine *eng, uint32_t metric);
