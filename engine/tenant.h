/* Tenant: accounts with limits on tasks inside the engine and bytes of blocks held.
 *
 * What a tenant did is counted per agent like everything else. Limits need a number that is
 * right at the moment of the check, so where they are watched (engine.count_inflight: more
 * than one tenant, or a limit in the configuration) each task in and out, and each block,
 * costs one atomic addition on the tenant's line. An engine with one tenant and no limit
 * pays nothing. */
#pragma once

#include "engine/engine.h"

/* Admits one task of a valid tenant; false when its limit is reached. */
static inline bool tenant_enter(struct engine *eng, uint8_t tenant) {
    if (GMK_LIKELY(!eng->count_inflight))
        return true;
    uint64_t limit = atomic_load_explicit(&eng->task_limit[tenant], memory_order_relaxed);
    /* Relaxed: a quota, it orders nothing. Add first, so that racing tasks cannot both pass. */
    uint64_t before = atomic_fetch_add_explicit(&eng->inflight[tenant], 1, memory_order_relaxed);
    if (limit == 0 || before < limit)
        return true;
    atomic_fetch_sub_explicit(&eng->inflight[tenant], 1, memory_order_relaxed);
    return false;
}

/* Counts one task more without asking: it was inside already, or is a further delivery. */
static inline void tenant_join(struct engine *eng, uint8_t tenant) {
    if (GMK_UNLIKELY(eng->count_inflight))
        atomic_fetch_add_explicit(&eng->inflight[tenant], 1, memory_order_relaxed);
}

static inline void tenant_leave(struct engine *eng, uint8_t tenant) {
    if (GMK_UNLIKELY(eng->count_inflight))
        atomic_fetch_sub_explicit(&eng->inflight[tenant], 1, memory_order_relaxed);
}

/* The same for bytes of blocks. */
static inline bool tenant_charge(struct engine *eng, uint8_t tenant, uint64_t bytes) {
    if (GMK_LIKELY(!eng->count_inflight))
        return true;
    uint64_t limit = atomic_load_explicit(&eng->byte_limit[tenant], memory_order_relaxed);
    uint64_t before = atomic_fetch_add_explicit(&eng->bytes[tenant], bytes, memory_order_relaxed);
    if (limit == 0 || before + bytes <= limit)
        return true;
    atomic_fetch_sub_explicit(&eng->bytes[tenant], bytes, memory_order_relaxed);
    return false;
}

static inline void tenant_discharge(struct engine *eng, uint8_t tenant, uint64_t bytes) {
    if (GMK_UNLIKELY(eng->count_inflight))
        atomic_fetch_sub_explicit(&eng->bytes[tenant], bytes, memory_order_relaxed);
}
