/* Module lifecycle: starts the modules in boot order and stops them in reverse.
 *
 * Early and late phase are the same walk over different functions and flags. A module
 * without an init counts as started when its turn has come, so its fini runs. What a
 * failing init did to ctx->state is forgotten: its early_fini sees what early_init left. */
#include "engine/log.h"
#include "engine/module.h"

enum phase { PHASE_EARLY, PHASE_LATE };

static bool *phase_flag(struct module_entry *entry, enum phase phase) {
    return phase == PHASE_EARLY ? &entry->early_up : &entry->up;
}

static void module_gone(const struct module_set *set, uint32_t index) {
    if (set->gone != NULL)
        set->gone(set->gone_arg, (uint16_t)index);
}

static int start_one(struct module_set *set, uint32_t index, enum phase phase, gmk_ctx_t *ctx) {
    struct module_entry *entry = &set->entries[index];
    const gmk_module_t *module = entry->module;
    int (*init)(gmk_ctx_t *) = phase == PHASE_EARLY ? module->early_init : module->init;
    int status = GMK_OK;
    if (init != NULL) {
        ctx->module = (uint16_t)index;
        ctx->state = entry->state;
        status = init(ctx);
    }
    if (status != GMK_OK) {
        log_line(GMK_LOG_ERROR, "boot", "GMK_EINIT: module \"%s\": %s returned %d (%s)",
                 module->name, phase == PHASE_EARLY ? "early_init" : "init", status,
                 gmk_error_name(status));
        module_gone(set, index);
        return GMK_EINIT;
    }
    if (init != NULL)
        entry->state = ctx->state;
    *phase_flag(entry, phase) = true;
    return GMK_OK;
}

static void stop_one(struct module_set *set, uint32_t index, enum phase phase, gmk_ctx_t *ctx) {
    struct module_entry *entry = &set->entries[index];
    const gmk_module_t *module = entry->module;
    void (*fini)(gmk_ctx_t *) = phase == PHASE_EARLY ? module->early_fini : module->fini;
    *phase_flag(entry, phase) = false;
    if (fini != NULL) {
        ctx->module = (uint16_t)index;
        ctx->state = entry->state;
        fini(ctx);
        entry->state = ctx->state;
    }
    module_gone(set, index);
}

static void stop_all(struct module_set *set, enum phase phase, gmk_ctx_t *ctx) {
    uint16_t module = ctx->module;
    void *state = ctx->state;
    for (uint32_t i = set->count; i > 0; i--) {
        if (*phase_flag(&set->entries[i - 1], phase))
            stop_one(set, i - 1, phase, ctx);
    }
    ctx->module = module;
    ctx->state = state;
}

static int start_all(struct module_set *set, enum phase phase, gmk_ctx_t *ctx) {
    uint16_t module = ctx->module;
    void *state = ctx->state;
    int status = GMK_OK;
    for (uint32_t i = 0; i < set->count && status == GMK_OK; i++)
        status = start_one(set, i, phase, ctx);
    ctx->module = module;
    ctx->state = state;
    if (status != GMK_OK)
        stop_all(set, phase, ctx);
    return status;
}

int module_start_early(struct module_set *set, gmk_ctx_t *ctx) {
    return start_all(set, PHASE_EARLY, ctx);
}

int module_start(struct module_set *set, gmk_ctx_t *ctx) {
    return start_all(set, PHASE_LATE, ctx);
}

void module_stop(struct module_set *set, gmk_ctx_t *ctx) {
    stop_all(set, PHASE_LATE, ctx);
}

void module_stop_early(struct module_set *set, gmk_ctx_t *ctx) {
    stop_all(set, PHASE_EARLY, ctx);
}
