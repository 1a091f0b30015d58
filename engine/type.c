/* Type: adding task types. See type.h. */
#include "engine/type.h"

int type_add(struct engine *eng, uint32_t type, gmk_handler_fn fn, const char *name,
             uint16_t module) {
    if (type == 0 || type >= GMK_TYPES_MAX)
        return GMK_EINVAL;
    uint32_t known = engine_type_index(eng, type);
    if (known != 0)
        return fn == NULL ? GMK_OK : GMK_EEXIST;
    uint32_t index = atomic_load_explicit(&eng->n_types, memory_order_relaxed);
    if (index > eng->cfg.max_types) /* [0] is the engine's own */
        return GMK_ELIMIT;
    struct type_info *info = &eng->types[index];
    info->fn = fn;
    info->name = name;
    info->type = type;
    info->module = module;
    info->trace_name = (uint16_t)trace_intern(&eng->trace, name);
    atomic_store_explicit(&eng->n_types, index + 1, memory_order_release);
    /* Release pairs with the acquire in engine_type_index(). */
    atomic_store_explicit(&eng->type_index[type], (uint16_t)index, memory_order_release);
    return GMK_OK;
}
