/* Context: attaching threads, identity, time, services, trace and limits: the small public
 * functions of ggmk/kernel.h, run.h, module.h and trace.h. */
#include <string.h>

#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/fault.h"
#include "engine/lane.h"
#include "engine/sandbox.h"
#include "lib/rand.h"

gmk_ctx_t *gmk_attach(gmk_kernel_t *kernel) {
    int why;
    struct agent *a = agent_enter(kernel, &why);
    if (a == NULL)
        return NULL;
    gmk_ctx_t *ctx = agent_context(a);
    agent_leave(a);
    return ctx;
}

void gmk_detach(gmk_kernel_t *kernel) {
    agent_detach(kernel);
}

/* ---- Identity and time: handlers and attached threads, which hold a live context --------- */

uint32_t gmk_self_worker(const gmk_ctx_t *ctx) {
    if (ctx == NULL || ctx->agent == NULL)
        return ctx != NULL && ctx->sandbox != NULL ? 0 : UINT32_MAX;
    /* Only handlers have a task, and only their agents are sure to be there still. */
    return ctx->task != NULL && ctx->agent->is_worker ? ctx->agent->index : UINT32_MAX;
}

uint32_t gmk_self_tenant(const gmk_ctx_t *ctx) {
    return ctx != NULL && ctx->task != NULL ? ctx->task->tenant : 0;
}

uint64_t gmk_now(const gmk_ctx_t *ctx) {
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_now(ctx->sandbox);
    int why;
    struct agent *a = agent_enter_ctx((gmk_ctx_t *)(uintptr_t)ctx, &why);
    if (a == NULL)
        return hal_now_ns();
    uint64_t now = engine_now(a->eng);
    agent_leave(a);
    return now;
}

uint64_t gmk_random(gmk_ctx_t *ctx) {
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_random(ctx->sandbox);
    int why;
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (a == NULL)
        return 0;
    uint64_t value = rand_splitmix(&a->random);
    agent_leave(a);
    return value;
}

uint64_t gmk_tick(const gmk_ctx_t *ctx) {
    int why;
    if (ctx != NULL && ctx->sandbox != NULL)
        return 0;
    struct agent *a = agent_enter_ctx((gmk_ctx_t *)(uintptr_t)ctx, &why);
    if (a == NULL)
        return 0;
    uint64_t tick = atomic_load_explicit(&a->eng->lane->tick, memory_order_relaxed);
    agent_leave(a);
    return tick;
}

uint64_t gmk_trace_hash(const gmk_ctx_t *ctx) {
    int why;
    if (ctx != NULL && ctx->sandbox != NULL)
        return 0;
    struct agent *a = agent_enter_ctx((gmk_ctx_t *)(uintptr_t)ctx, &why);
    if (a == NULL)
        return 0;
    uint64_t hash = atomic_load_explicit(&a->eng->lane->hash, memory_order_relaxed);
    agent_leave(a);
    return hash;
}

/* ---- Services ----------------------------------------------------------------------------- */

int gmk_service_publish(gmk_ctx_t *ctx, const char *name, uint32_t version, const void *interface,
                        enum gmk_privilege level) {
    int status;
    if (ctx == NULL)
        return GMK_EINVAL;
    if (ctx->sandbox != NULL)
        return sandbox_service_publish(ctx->sandbox, name, version, interface, level);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    status = service_publish(&a->eng->services, ctx->module, name, version, interface, level);
    agent_leave(a);
    return status;
}

const void *gmk_service_get(gmk_ctx_t *ctx, const char *name, uint32_t version, int *why) {
    int status = GMK_EINVAL;
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_service_get(ctx->sandbox, name, version, why);
    struct agent *a = ctx != NULL ? agent_enter_ctx(ctx, &status) : NULL;
    if (a == NULL) {
        if (why != NULL)
            *why = status;
        return NULL;
    }
    const void *interface =
        service_get(&a->eng->services, engine_privilege(a->eng, ctx->module), name, version, why);
    agent_leave(a);
    return interface;
}

int gmk_service_withdraw(gmk_ctx_t *ctx, const char *name) {
    int status;
    if (ctx == NULL)
        return GMK_EINVAL;
    if (ctx->sandbox != NULL)
        return sandbox_service_withdraw(ctx->sandbox, name);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    status = service_withdraw(&a->eng->services, ctx->module, name);
    agent_leave(a);
    return status;
}

/* ---- Limits ---------------------------------------------------------------------------------- */

/* The caller as a module, if its code runs in one; else it is the program itself. */
static bool may_manage(struct agent *a) {
    return engine_privilege(a->eng, a->ctx->module) >= GMK_DRIVER;
}

int gmk_type_reset(gmk_kernel_t *kernel, uint32_t type) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = may_manage(a) ? fault_reset(a->eng, type) : GMK_EPERM;
    agent_leave(a);
    return status;
}

static int set_limit(struct engine *eng, uint8_t tenant, uint64_t tasks, uint64_t bytes) {
    if (tenant >= eng->cfg.n_tenants)
        return GMK_ETENANT;
    if (!eng->count_inflight)
        return GMK_ENOTSUP; /* one tenant, booted without tenant_limit: nobody counts */
    atomic_store_explicit(&eng->task_limit[tenant], tasks, memory_order_relaxed);
    atomic_store_explicit(&eng->byte_limit[tenant], bytes, memory_order_relaxed);
    return GMK_OK;
}

int gmk_tenant_limit(gmk_kernel_t *kernel, uint8_t tenant, uint64_t tasks, uint64_t bytes) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = may_manage(a) ? set_limit(a->eng, tenant, tasks, bytes) : GMK_EPERM;
    agent_leave(a);
    return status;
}

/* ---- Trace ------------------------------------------------------------------------------------- */

void gmk_trace_event(gmk_ctx_t *ctx, enum gmk_trace_level level, const char *name, uint64_t value) {
    int why;
    if (ctx == NULL || ctx->sandbox != NULL)
        return;
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (a == NULL)
        return;
    if (trace_on_for(&a->trace, ctx->module, level))
        trace_user(&a->trace, ctx->module, level, name, value);
    agent_leave(a);
}

int gmk_trace_set_level(gmk_kernel_t *kernel, enum gmk_trace_level level) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = trace_set_level(&a->eng->trace, level);
    agent_leave(a);
    return status;
}

static int set_module_level(struct engine *eng, const char *module, int level) {
    for (uint32_t m = 0; module != NULL && level >= 0 && m < eng->modules.count; m++)
        if (strcmp(eng->modules.entries[m].module->name, module) == 0)
            return trace_set_module_level(&eng->trace, m, (unsigned)level);
    return module == NULL || level < 0 ? GMK_EINVAL : GMK_ENOENT;
}

int gmk_trace_set_module_level(gmk_kernel_t *kernel, const char *module, int level) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = set_module_level(a->eng, module, level);
    agent_leave(a);
    return status;
}

int gmk_trace_set_sampling(gmk_kernel_t *kernel, const char *kind, unsigned shift) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    int index = kind != NULL ? trace_kind_find(kind) : -1;
    status = index >= 0 ? trace_set_sampling(&a->eng->trace, (unsigned)index, shift) : GMK_ENOENT;
    agent_leave(a);
    return status;
}

int gmk_trace_export(gmk_kernel_t *kernel, gmk_write_fn write, void *arg,
                     gmk_trace_stats_t *stats) {
    int status;
    if (write == NULL)
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    struct engine *eng = a->eng;
    hal_lock(&eng->export_lock); /* one export at a time: its working memory is the engine's */
    status = trace_export(&eng->trace, &eng->exporter, hal_cycles_khz() * 1000, write, arg);
    if (stats != NULL)
        *stats = eng->exporter.stats;
    hal_unlock(&eng->export_lock);
    agent_leave(a);
    return status;
}
