/* Memory: blocks, references and scratch for handlers. See memory.h and ggmk/run.h. */
#include "engine/memory.h"

#include "engine/agent.h"
#include "engine/sandbox.h"
#include "engine/tenant.h"
#include "ggmk/run.h"

void memory_damage(const char *what, void *block) {
    log_line(GMK_LOG_ERROR, "memory", "%s: %p", what, block);
}

void *memory_alloc(struct agent *a, size_t size, uint8_t tenant) {
    size_t charge = 0;
    if (GMK_UNLIKELY(a->eng->count_inflight)) {
        unsigned bin =
            size != 0 && size <= BLOCK_SIZE_MAX ? block_bin(size + BLOCK_CANARY_SIZE) : 0;
        charge = block_bin_size(bin);
        if (!tenant_charge(a->eng, tenant, charge))
            return NULL;
    }
    void *block = block_alloc(a->blocks, size, tenant);
    if (GMK_UNLIKELY(block == NULL)) {
        tenant_discharge(a->eng, tenant, charge);
        trace_event(&a->trace, TRACE_ALLOC_FAIL, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX);
    }
    return block;
}

void memory_free(struct agent *a, void *block) {
    if (GMK_LIKELY(!a->eng->count_inflight)) {
        if (GMK_UNLIKELY(block_free(a->blocks, block) != GMK_OK))
            agent_sched(a, SCHED_BAD_FREES, 1);
        return;
    }
    /* The cache is ours alone, so its counter tells whether this was the last reference. */
    struct block_info info = block_info(&a->eng->arena.blocks, block);
    _Atomic uint64_t *frees = &a->blocks->mag[info.bin].frees;
    uint64_t before = atomic_load_explicit(frees, memory_order_relaxed);
    if (block_free(a->blocks, block) != GMK_OK)
        agent_sched(a, SCHED_BAD_FREES, 1);
    else if (atomic_load_explicit(frees, memory_order_relaxed) != before)
        tenant_discharge(a->eng, info.tenant, info.size);
}

/* ---- For handlers and attached threads ------------------------------------------------- */

void *gmk_alloc(gmk_ctx_t *ctx, size_t size) {
    int why;
    if (GMK_UNLIKELY(ctx != NULL && ctx->sandbox != NULL))
        return sandbox_alloc(ctx->sandbox, size);
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (GMK_UNLIKELY(a == NULL))
        return NULL;
    void *block = memory_alloc(a, size, ctx->task != NULL ? ctx->task->tenant : 0);
    agent_leave(a);
    return block;
}

void gmk_free(gmk_ctx_t *ctx, void *block) {
    int why;
    if (block == NULL)
        return;
    if (GMK_UNLIKELY(ctx != NULL && ctx->sandbox != NULL)) {
        sandbox_free(ctx->sandbox, block);
        return;
    }
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (GMK_UNLIKELY(a == NULL))
        return;
    memory_free(a, block);
    agent_leave(a);
}

int gmk_retain(gmk_ctx_t *ctx, void *block) {
    int why;
    if (GMK_UNLIKELY(ctx != NULL && ctx->sandbox != NULL))
        return sandbox_retain(ctx->sandbox, block);
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (GMK_UNLIKELY(a == NULL))
        return why;
    int status = block_retain(&a->eng->arena.blocks, block, 1);
    agent_leave(a);
    return status;
}

void gmk_payload_retain(gmk_ctx_t *ctx) {
    if (GMK_UNLIKELY(ctx == NULL || ctx->task == NULL))
        return;
    if (ctx->sandbox != NULL)
        sandbox_payload_retain(ctx);
    else if (block_owns(&ctx->agent->eng->arena.blocks, ctx->task->payload))
        (void)block_retain(&ctx->agent->eng->arena.blocks, ctx->task->payload, 1);
}

void gmk_payload_release(gmk_ctx_t *ctx) {
    if (GMK_UNLIKELY(ctx == NULL || ctx->task == NULL))
        return;
    if (ctx->sandbox != NULL) {
        sandbox_payload_release(ctx);
        return;
    }
    void *payload = ctx->task->payload;
    ctx->task->payload = NULL; /* gone: the end of the task must not release it again */
    ctx->task->len = 0;
    if (payload != NULL && block_owns(&ctx->agent->eng->arena.blocks, payload))
        memory_free(ctx->agent, payload);
}

void *gmk_bump(gmk_ctx_t *ctx, size_t size) {
    if (GMK_UNLIKELY(ctx == NULL || ctx->agent == NULL))
        return ctx != NULL && ctx->sandbox != NULL ? sandbox_bump(ctx->sandbox, size) : NULL;
    /* Without a task it is an attached thread's context, whose engine may be gone. */
    return ctx->task != NULL && ctx->agent->bump != NULL ? bump_alloc(ctx->agent->bump, size, 16)
                                                         : NULL;
}

void gmk_bump_reset(gmk_ctx_t *ctx) {
    if (GMK_UNLIKELY(ctx == NULL))
        return;
    if (ctx->sandbox != NULL)
        sandbox_bump_reset(ctx->sandbox);
    else if (ctx->task != NULL && ctx->agent != NULL && ctx->agent->bump != NULL)
        bump_reset(ctx->agent->bump);
}
