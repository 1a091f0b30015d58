/* Counts: sums over agents, and the question whether the engine is quiet. */
#pragma once

#include "engine/engine.h"

/* Sums one type (index), or all types with index 0; `ends` first, then beginnings, so that
 * queued is never negative. Any thread. */
void counts_sum(struct engine *eng, uint32_t type_index, gmk_counts_t *out);
void counts_sum_tenant(struct engine *eng, uint8_t tenant, gmk_counts_t *out);

/* Everything that came in has ended. Exact, although nobody is stopped: the ends are summed
 * before the beginnings. An end follows its beginning, so the beginnings at the moment
 * between the two sums lie between both; equal sums mean that nothing was inside then. */
bool counts_quiet(struct engine *eng);

/* An agent that is no worker ended a task: threads that wait for quiet look again. */
void counts_nudge_quiet(struct engine *eng);

/* Waits for quiet as agent `a`. GMK_OK, ETIMEOUT. */
int counts_wait_quiet(struct agent *a, uint64_t timeout_ns);

uint64_t counts_sched(struct engine *eng, enum sched_kind kind);
