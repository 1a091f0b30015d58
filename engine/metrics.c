/* Metrics: reading the counters, a module's own counters, and the Prometheus export.
 * See ggmk/metrics.h. */
#include <string.h>

#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/counts.h"
#include "engine/metrics.h"
#include "engine/prom.h"
#include "engine/sandbox.h"

/* Same frame for every reader: gate, work, gate. */
#define METRICS_CALL(kernel, out, call)                    \
    do {                                                   \
        int status_;                                       \
        if ((out) == NULL)                                 \
            return GMK_EINVAL;                             \
        struct agent *a = agent_enter((kernel), &status_); \
        if (a == NULL)                                     \
            return status_;                                \
        status_ = (call);                                  \
        agent_leave(a);                                    \
        return status_;                                    \
    } while (0)

static int read_counts(struct engine *eng, uint32_t index, gmk_counts_t *out) {
    counts_sum(eng, index, out);
    return GMK_OK;
}

int gmk_counts(gmk_kernel_t *kernel, gmk_counts_t *out) {
    METRICS_CALL(kernel, out, read_counts(a->eng, 0, out));
}

static int read_type(struct engine *eng, uint32_t type, gmk_counts_t *out) {
    uint32_t index = engine_type_index(eng, type);
    return index != 0 ? read_counts(eng, index, out) : GMK_ENOENT;
}

int gmk_type_counts(gmk_kernel_t *kernel, uint32_t type, gmk_counts_t *out) {
    METRICS_CALL(kernel, out, read_type(a->eng, type, out));
}

static int read_tenant(struct engine *eng, uint8_t tenant, gmk_counts_t *out) {
    if (tenant >= eng->cfg.n_tenants)
        return GMK_ETENANT;
    counts_sum_tenant(eng, tenant, out);
    return GMK_OK;
}

int gmk_tenant_counts(gmk_kernel_t *kernel, uint8_t tenant, gmk_counts_t *out) {
    METRICS_CALL(kernel, out, read_tenant(a->eng, tenant, out));
}

int metrics_sched(struct engine *eng, gmk_sched_stats_t *out) {
    *out = (gmk_sched_stats_t){
        .gathered = counts_sched(eng, SCHED_GATHERED),
        .local = counts_sched(eng, SCHED_LOCAL),
        .stolen = counts_sched(eng, SCHED_STOLEN),
        .overflow = counts_sched(eng, SCHED_OVERFLOW),
        .parks = counts_sched(eng, SCHED_PARKS),
        .wakes = atomic_load_explicit(&eng->park.wake_calls, memory_order_relaxed),
        .refused = counts_sched(eng, SCHED_REFUSED),
        .timers = counts_sched(eng, SCHED_TIMERS),
        .bad_frees = counts_sched(eng, SCHED_BAD_FREES),
        .hangs = atomic_load_explicit(&eng->hangs, memory_order_relaxed),
    };
    return GMK_OK;
}

int gmk_sched_stats(gmk_kernel_t *kernel, gmk_sched_stats_t *out) {
    METRICS_CALL(kernel, out, metrics_sched(a->eng, out));
}

int metrics_part(struct engine *eng, unsigned part, gmk_part_stats_t *out) {
    struct part_stats s;
    if (part >= GMK_PARTS)
        return GMK_EINVAL;
    arena_stats(&eng->arena, (enum arena_part)part, &s);
    *out = (gmk_part_stats_t){s.total, s.used, s.free, s.high, s.allocs, s.frees, s.fails};
    return GMK_OK;
}

int gmk_arena_stats(gmk_kernel_t *kernel, enum gmk_arena_part part, gmk_part_stats_t *out) {
    METRICS_CALL(kernel, out, metrics_part(a->eng, part, out));
}

int metrics_view(struct engine *eng, unsigned kind, struct hist_view *view) {
    if (kind > GMK_LATENCY_HANDLER)
        return GMK_EINVAL;
    memset(view, 0, sizeof(*view));
    for (uint32_t i = 0; i < eng->n_agents; i++)
        hist_add(view, kind == GMK_LATENCY_QUEUE ? eng->agents[i]->queue_time
                                                 : eng->agents[i]->handler_time);
    return GMK_OK;
}

/* Percentiles need a summed histogram, 8 KiB: too much for a caller's stack frame to hide,
 * so the sum lives in the engine and its lock makes readers wait for each other. */
static int read_latency(struct engine *eng, unsigned kind, gmk_latency_t *out) {
    hal_lock(&eng->metric_lock);
    struct hist_view *view = &eng->view;
    int status = metrics_view(eng, kind, view);
    if (status == GMK_OK)
        *out = (gmk_latency_t){
            .count = view->count,
            .p50_ns = hist_quantile(view, 500000),
            .p99_ns = hist_quantile(view, 990000),
            .p999_ns = hist_quantile(view, 999000),
            .max_ns = view->max,
            .mean_ns = hist_mean(view),
        };
    hal_unlock(&eng->metric_lock);
    return status;
}

int gmk_latency(gmk_kernel_t *kernel, enum gmk_latency_kind kind, gmk_latency_t *out) {
    METRICS_CALL(kernel, out, read_latency(a->eng, kind, out));
}

/* ---- A module's own counters --------------------------------------------------------------- */

static int metric_register(struct engine *eng, const char *name, const char *help, uint32_t *out) {
    int status = GMK_OK;
    hal_lock(&eng->metric_lock);
    uint32_t n = atomic_load_explicit(&eng->n_metrics, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(eng->metric_name[i], name) == 0)
            status = GMK_EEXIST;
    if (status == GMK_OK && n == GMK_METRICS_MAX)
        status = GMK_ELIMIT;
    if (status == GMK_OK) {
        memcpy(eng->metric_name[n], name, strlen(name) + 1);
        eng->metric_help[n] = help;
        atomic_store_explicit(&eng->n_metrics, n + 1, memory_order_release);
        *out = n;
    }
    hal_unlock(&eng->metric_lock);
    return status;
}

int gmk_metric_register(gmk_ctx_t *ctx, const char *name, const char *help, uint32_t *out_id) {
    int status;
    if (ctx == NULL || out_id == NULL || !prom_name_fits(name))
        return GMK_EINVAL;
    if (ctx->sandbox != NULL)
        return sandbox_metric_register(ctx->sandbox, name, out_id);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    status = metric_register(a->eng, name, help != NULL ? help : "", out_id);
    agent_leave(a);
    return status;
}

void gmk_metric_inc(gmk_ctx_t *ctx, uint32_t metric, uint64_t delta) {
    int why;
    if (ctx != NULL && ctx->sandbox != NULL) {
        sandbox_metric_inc(ctx->sandbox, metric, delta);
        return;
    }
    struct agent *a = agent_enter_ctx(ctx, &why);
    if (a == NULL)
        return;
    if (metric < GMK_METRICS_MAX)
        count_add(&a->user[metric], delta);
    agent_leave(a);
}

uint64_t metrics_user(struct engine *eng, uint32_t metric) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < eng->n_agents; i++)
        sum += atomic_load_explicit(&eng->agents[i]->user[metric], memory_order_acquire);
    return sum;
}

static int metric_read(struct engine *eng, uint32_t metric, uint64_t *out) {
    if (metric >= atomic_load_explicit(&eng->n_metrics, memory_order_acquire))
        return GMK_ENOENT;
    *out = metrics_user(eng, metric);
    return GMK_OK;
}

int gmk_metric_read(gmk_kernel_t *kernel, uint32_t metric, uint64_t *out) {
    METRICS_CALL(kernel, out, metric_read(a->eng, metric, out));
}
