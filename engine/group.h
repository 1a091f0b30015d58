/* Group: counts tasks that belong together, so that somebody can wait for them or cancel
 * them, without a shared counter per task.
 *
 * The idea. `pending` is an upper bound of what is still to end: an agent that spawns
 * takes a batch of credits into its own cache (pending += GROUP_CREDITS once) and spends
 * one per task; a task that ends gives its credit to the cache of the agent that ran it.
 * A tree of a million tasks touches the shared line a few times. An agent gives its
 * credits back when it turns to another group's task or finds nothing to do, so pending
 * is exact as soon as nobody works for the group: it reaches zero exactly once, when the
 * handle is closed, no task is left and no agent holds credits. Only workers keep credits:
 * a foreign thread may not come back for as long as somebody waits for the group.
 *
 * Invariant: pending = open handle + child groups + tasks not ended + credits in caches.
 * Never below the truth, because credits are added before the task becomes visible. */
#pragma once

#include "engine/engine.h"

#define GROUP_CREDITS 64u

/* Bits of pending: somebody waits, and will free the group; the handle was dropped or is being
 * waited for, which either may happen once. In the count's own word, so that the last task
 * cannot miss a waiter that comes at the same moment. */
#define GROUP_WAITED (UINT64_C(1) << 63)
#define GROUP_CLOSED (UINT64_C(1) << 62)
#define GROUP_COUNT  (GROUP_CLOSED - 1)

/* NULL when the handle is not a live group's. */
struct group *group_find(struct engine *eng, uint32_t handle);

/* Gives the agent's cached credits back; completes the group if they were the last. */
void group_flush(struct agent *a);

/* Slow halves of the two below. */
void group_spawn_slow(struct agent *a, struct group *g);
void group_end_slow(struct agent *a, struct group *g);

/* Takes / gives back the credit of one task. The handle must be live. */
static inline void group_spawn(struct agent *a, uint32_t handle) {
    struct group *g = &a->eng->groups[handle & 0xffffu];
    if (GMK_LIKELY(a->credit_group == g) && GMK_LIKELY(a->credits != 0))
        a->credits--;
    else
        group_spawn_slow(a, g);
}

static inline void group_end(struct agent *a, uint32_t handle) {
    struct group *g = &a->eng->groups[handle & 0xffffu];
    if (GMK_LIKELY(a->credit_group == g))
        a->credits++;
    else
        group_end_slow(a, g);
}

/* A task of `handle` (0: of none) is next: credits of another group go back now. */
static inline void group_turn_to(struct agent *a, uint32_t handle) {
    if (a->credit_group != NULL && a->credit_group != &a->eng->groups[handle & 0xffffu])
        group_flush(a);
}

/* Is one above this group cancelled? */
bool group_parent_is_canceled(struct engine *eng, const struct group *g);

/* Is the group, or one above it, cancelled? The handle must be live. */
static inline bool group_is_canceled(struct engine *eng, uint32_t handle) {
    const struct group *g = &eng->groups[handle & 0xffffu];
    if (GMK_UNLIKELY(atomic_load_explicit(&g->canceled, memory_order_relaxed)))
        return true;
    return GMK_UNLIKELY(g->parent != 0) && group_parent_is_canceled(eng, g);
}

int group_open(struct agent *a, uint32_t parent, uint32_t *out_handle);

/* Marks the group, and ends its timed tasks; queued ones end when their turn comes. */
void group_cancel(struct agent *a, struct group *g);
int group_drop_handle(struct agent *a, struct group *g); /* EINVAL: somebody did, or waits */
int group_wait(struct agent *a, uint32_t handle);
