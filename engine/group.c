/* Group: credits, the tree of groups, cancelling and waiting. See group.h. */
#include "engine/group.h"

#include "engine/wake.h"

static struct group *group_at(struct engine *eng, uint32_t handle) {
    uint32_t index = handle & 0xffffu;
    return index == 0 || index > eng->cfg.max_groups ? NULL : &eng->groups[index];
}

struct group *group_find(struct engine *eng, uint32_t handle) {
    struct group *g = group_at(eng, handle);
    /* Acquire pairs with group_open(): a live handle shows a complete group. */
    return g != NULL && atomic_load_explicit(&g->handle, memory_order_acquire) == handle ? g : NULL;
}

static void group_free(struct engine *eng, struct group *g) {
    uint32_t handle = atomic_load_explicit(&g->handle, memory_order_relaxed);
    atomic_store_explicit(&g->handle, 0, memory_order_release);
    hal_short_lock(&eng->group_lock);
    g->next_free = eng->group_free;
    eng->group_free = handle & 0xffffu;
    hal_short_unlock(&eng->group_lock);
}

/* Takes `n` from pending. The last one ends the group, which may end its parent, and so
 * on: at most GMK_GROUP_DEPTH_MAX steps. A group that is waited for ends with its waiter,
 * who first looks whether one of its parents was cancelled. */
static void group_sub(struct engine *eng, struct group *g, uint64_t n) {
    for (uint32_t step = 0; g != NULL && step <= GMK_GROUP_DEPTH_MAX; step++) {
        uint32_t parent = g->parent; /* after zero the group may be gone */
        /* G1 pairs with G2 in group_finished(): all effects of the group's tasks are visible
         * to the waiter. seq_cst: the wake-up check that follows must not overtake it. */
        uint64_t left = atomic_fetch_sub_explicit(&g->pending, n, memory_order_seq_cst) - n;
        K_ASSERT((left & GROUP_COUNT) < GROUP_COUNT / 2, "a group's count never goes below zero");
        if ((left & GROUP_COUNT) != 0)
            return;
        if (left & GROUP_WAITED) {
            wake_waiting(eng);
            return;
        }
        group_free(eng, g);
        g = parent != 0 ? group_at(eng, parent) : NULL;
        n = 1;
    }
}

void group_flush(struct agent *a) {
    struct group *g = a->credit_group;
    uint64_t credits = a->credits;
    a->credit_group = NULL;
    a->credits = 0;
    if (g != NULL && credits != 0)
        group_sub(a->eng, g, credits);
}

void group_spawn_slow(struct agent *a, struct group *g) {
    if (!a->is_worker) {
        atomic_fetch_add_explicit(&g->pending, 1, memory_order_relaxed); /* as below */
        return;
    }
    if (a->credit_group != g)
        group_flush(a);
    if (a->credits == 0) {
        /* Relaxed: the group is alive through the handle or task that named it. */
        atomic_fetch_add_explicit(&g->pending, GROUP_CREDITS, memory_order_relaxed);
        a->credit_group = g;
        a->credits = GROUP_CREDITS;
    }
    a->credits--;
}

void group_end_slow(struct agent *a, struct group *g) {
    if (!a->is_worker) {
        group_sub(a->eng, g, 1);
        return;
    }
    group_flush(a);
    a->credit_group = g;
    a->credits = 1;
}

bool group_parent_is_canceled(struct engine *eng, const struct group *g) {
    for (uint32_t step = 0; g->parent != 0 && step <= GMK_GROUP_DEPTH_MAX; step++) {
        g = group_at(eng, g->parent);
        if (atomic_load_explicit(&g->canceled, memory_order_relaxed))
            return true;
    }
    return false;
}

int group_open(struct agent *a, uint32_t parent, uint32_t *out_handle) {
    struct engine *eng = a->eng;
    struct group *above = parent != 0 ? group_find(eng, parent) : NULL;
    if (parent != 0 && above == NULL)
        return GMK_EINVAL;
    if (above != NULL && above->depth >= GMK_GROUP_DEPTH_MAX)
        return GMK_EDEPTH;
    hal_short_lock(&eng->group_lock);
    uint32_t index = eng->group_free;
    if (index != 0)
        eng->group_free = eng->groups[index].next_free;
    hal_short_unlock(&eng->group_lock);
    if (index == 0)
        return GMK_ELIMIT;

    struct group *g = &eng->groups[index];
    uint32_t generation = ++g->generation;
    uint32_t handle = (generation & 0xffffu) << 16 | index;
    atomic_store_explicit(&g->pending, 1, memory_order_relaxed);
    atomic_store_explicit(&g->canceled, 0, memory_order_relaxed);
    g->parent = parent;
    g->depth = above != NULL ? above->depth + 1 : 1;
    if (above != NULL)
        atomic_fetch_add_explicit(&above->pending, 1, memory_order_relaxed);
    atomic_store_explicit(&g->handle, handle, memory_order_release);
    *out_handle = handle;
    return GMK_OK;
}

void group_cancel(struct agent *a, struct group *g) {
    atomic_store_explicit(&g->canceled, 1, memory_order_relaxed);
    timer_drop_canceled(a);
}

/* Takes the handle away, once. */
static bool group_close(struct group *g, uint64_t mark) {
    uint64_t pending = atomic_load_explicit(&g->pending, memory_order_relaxed);
    do {
        if (pending & GROUP_CLOSED)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&g->pending, &pending,
                                                    pending | GROUP_CLOSED | mark,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

int group_drop_handle(struct agent *a, struct group *g) {
    if (!group_close(g, 0))
        return GMK_EINVAL;
    if (a->credit_group == g)
        group_flush(a);
    group_sub(a->eng, g, 1);
    return GMK_OK;
}

/* G2 pairs with G1 in group_sub(). */
static bool group_finished(struct engine *eng, void *arg) {
    (void)eng;
    const struct group *g = arg;
    return (atomic_load_explicit(&g->pending, memory_order_seq_cst) & GROUP_COUNT) == 0;
}

/* Does the innermost task on this stack belong to the group? Then waiting for it would be
 * waiting for oneself. */
static bool group_is_own(struct agent *a, uint32_t handle) {
    struct group *g = a->ctx->task != NULL ? group_find(a->eng, a->ctx->task->group) : NULL;
    for (uint32_t step = 0; g != NULL && step <= GMK_GROUP_DEPTH_MAX; step++) {
        if (atomic_load_explicit(&g->handle, memory_order_relaxed) == handle)
            return true;
        g = g->parent != 0 ? group_at(a->eng, g->parent) : NULL;
    }
    return false;
}

/* The waiter leaves, and with it the handle. It stands in for a task until it has taken the
 * mark away, so the group cannot end under it. */
static void group_stop_waiting(struct engine *eng, struct group *g) {
    atomic_fetch_add_explicit(&g->pending, 1, memory_order_relaxed);
    atomic_fetch_and_explicit(&g->pending, ~GROUP_WAITED, memory_order_relaxed);
    group_sub(eng, g, 1);
}

int group_wait(struct agent *a, uint32_t handle) {
    struct engine *eng = a->eng;
    struct group *g = group_find(eng, handle);
    if (g == NULL || group_is_own(a, handle))
        return GMK_EINVAL;
    if (a->is_worker && a->depth >= GMK_HELP_DEPTH_MAX)
        return GMK_EDEPTH;
    /* Only one may wait: the second would see the group disappear under it. */
    if (!group_close(g, GROUP_WAITED))
        return GMK_EINVAL;
    group_flush(a);
    group_sub(eng, g, 1);
    int status = wake_wait_until(a, group_finished, g, HAL_FOREVER);
    if (status == GMK_OK && group_is_canceled(eng, handle))
        status = GMK_ECANCELED;
    group_stop_waiting(eng, g);
    return status;
}
