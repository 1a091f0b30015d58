/* Fault: failure rates and poison. See fault.h. */
#include "engine/fault.h"

void fault_poison(struct agent *a, uint32_t type, const char *why) {
    struct type_info *info = &a->eng->types[engine_type_index(a->eng, type)];
    if (atomic_exchange_explicit(&info->poisoned, 1, memory_order_relaxed) != 0)
        return;
    trace_event(&a->trace, TRACE_POISON, type);
    log_line(GMK_LOG_ERROR, "engine", "type %u (%s) is poisoned: %s; gmk_type_reset() lifts it",
             type, info->name, why);
}

void fault_note(struct agent *a, uint32_t type, int status) {
    struct engine *eng = a->eng;
    struct type_info *info = &eng->types[engine_type_index(eng, type)];
    uint64_t now = engine_now(eng);
    uint64_t start = atomic_load_explicit(&info->window_start, memory_order_relaxed);

    if (log_wants(GMK_LOG_DEBUG))
        log_line(GMK_LOG_DEBUG, "engine", "type %u (%s) failed: %s", type, info->name,
                 gmk_error_name(status));
    if (eng->cfg.poison_window_ns == UINT64_MAX)
        return;
    /* Relaxed throughout: a rate; a failure counted in the neighbouring window is no harm. */
    if (now - start > eng->cfg.poison_window_ns &&
        atomic_compare_exchange_strong_explicit(&info->window_start, &start, now,
                                                memory_order_relaxed, memory_order_relaxed))
        atomic_store_explicit(&info->failures, 0, memory_order_relaxed);
    uint32_t failures = atomic_fetch_add_explicit(&info->failures, 1, memory_order_relaxed) + 1;
    if (failures >= eng->cfg.poison_failures)
        fault_poison(a, type, "it failed too often");
}

int fault_reset(struct engine *eng, uint32_t type) {
    uint32_t index = engine_type_index(eng, type);
    if (index == 0)
        return GMK_ENOENT;
    struct type_info *info = &eng->types[index];
    atomic_store_explicit(&info->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&info->window_start, engine_now(eng), memory_order_relaxed);
    atomic_store_explicit(&info->poisoned, 0, memory_order_relaxed);
    return GMK_OK;
}
