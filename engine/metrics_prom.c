/* Metrics as Prometheus text: which families there are and what their rows say. */
#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/counts.h"
#include "engine/metrics.h"
#include "engine/prom.h"
#include "lib/format.h"

static void number(char *text, size_t size, uint64_t value) {
    (void)format_string(text, size, "%llu", (unsigned long long)value);
}

static void write_types(struct prom *w, struct engine *eng) {
    static const struct {
        const char *name, *help;
        enum prom_type type;
    } families[] = {
        {"ggmk_tasks_submitted_total", "Tasks taken from outside.", PROM_COUNTER},
        {"ggmk_tasks_emitted_total", "Tasks taken from handlers and channels.", PROM_COUNTER},
        {"ggmk_tasks_completed_total", "Handlers that returned GMK_OK.", PROM_COUNTER},
        {"ggmk_tasks_failed_total", "Handlers that returned a failure.", PROM_COUNTER},
        {"ggmk_tasks_dropped_total", "Tasks that ended as dead letters.", PROM_COUNTER},
        {"ggmk_tasks_queued", "Tasks waiting, running or timed.", PROM_GAUGE},
        {"ggmk_task_yields_total", "Times a task gave way.", PROM_COUNTER},
        {"ggmk_task_retries_total", "Times a task asked for another try.", PROM_COUNTER},
    };
    uint32_t n = atomic_load_explicit(&eng->n_types, memory_order_acquire);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        prom_family(w, families[f].name, families[f].help, families[f].type);
        for (uint32_t i = 1; i < n; i++) {
            gmk_counts_t c;
            char id[12];
            counts_sum(eng, i, &c);
            number(id, sizeof(id), eng->types[i].type);
            const uint64_t values[] = {c.submitted, c.emitted, c.completed, c.failed,
                                       c.dropped,   c.queued,  c.yields,    c.retries};
            struct prom_label labels[] = {{"type", id}, {"name", eng->types[i].name}};
            prom_u64(w, labels, 2, values[f]);
        }
    }
}

static void write_tenants(struct prom *w, struct engine *eng) {
    prom_family(w, "ggmk_tenant_tasks_total", "Tasks of a tenant by how they ended.", PROM_COUNTER);
    for (uint32_t t = 0; t < eng->cfg.n_tenants; t++) {
        gmk_counts_t c;
        char id[12];
        number(id, sizeof(id), t);
        counts_sum_tenant(eng, (uint8_t)t, &c);
        struct prom_label labels[] = {{"tenant", id}, {"end", "completed"}};
        prom_u64(w, labels, 2, c.completed);
        labels[1].value = "failed";
        prom_u64(w, labels, 2, c.failed);
        labels[1].value = "dropped";
        prom_u64(w, labels, 2, c.dropped);
    }
}

static void one(struct prom *w, const char *name, const char *help, uint64_t value) {
    prom_family(w, name, help, PROM_COUNTER);
    prom_u64(w, NULL, 0, value);
}

static void write_sched(struct prom *w, struct engine *eng) {
    gmk_sched_stats_t s;
    (void)metrics_sched(eng, &s);
    one(w, "ggmk_sched_gathered_total", "Tasks taken from the shared ready rings.", s.gathered);
    one(w, "ggmk_sched_local_total", "Tasks taken from a worker's own queue.", s.local);
    one(w, "ggmk_sched_stolen_total", "Tasks taken from another worker's queue.", s.stolen);
    one(w, "ggmk_sched_overflow_total", "Tasks that used the overflow bucket.", s.overflow);
    one(w, "ggmk_sched_parks_total", "Times a worker went to sleep.", s.parks);
    one(w, "ggmk_sched_wakes_total", "Wake-ups sent to sleeping workers.", s.wakes);
    one(w, "ggmk_sched_refused_total", "Submits and emits answered with an error.", s.refused);
    one(w, "ggmk_sched_timers_total", "Tasks that waited for their time.", s.timers);
    one(w, "ggmk_bad_frees_total", "Frees of what was not a live block.", s.bad_frees);
    one(w, "ggmk_hangs_total", "Reports of the hang detector.", s.hangs);
    prom_family(w, "ggmk_ready_tasks", "Tasks in a shared ready ring.", PROM_GAUGE);
    for (uint32_t p = 0; p < GMK_PRIORITIES; p++) {
        char id[12];
        number(id, sizeof(id), p);
        struct prom_label label = {"priority", id};
        prom_u64(w, &label, 1, ring_count_mpmc(eng->ready[p]));
    }
}

static void write_arena(struct prom *w, struct engine *eng) {
    static const struct {
        const char *name, *help;
        enum prom_type type;
    } families[] = {
        {"ggmk_arena_bytes", "Size of a part of the arena.", PROM_GAUGE},
        {"ggmk_arena_used_bytes", "Bytes in use.", PROM_GAUGE},
        {"ggmk_arena_high_water_bytes", "Most bytes that were in use.", PROM_GAUGE},
        {"ggmk_arena_allocs_total", "Allocations.", PROM_COUNTER},
        {"ggmk_arena_frees_total", "Frees.", PROM_COUNTER},
        {"ggmk_arena_fails_total", "Allocations refused.", PROM_COUNTER},
    };
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        prom_family(w, families[f].name, families[f].help, families[f].type);
        for (unsigned part = 0; part < GMK_PARTS; part++) {
            gmk_part_stats_t s;
            (void)metrics_part(eng, part, &s);
            const uint64_t values[] = {s.total, s.used, s.high_water, s.allocs, s.frees, s.fails};
            struct prom_label label = {"part", arena_part_name((enum arena_part)part)};
            prom_u64(w, &label, 1, values[f]);
        }
    }
}

/* One channel's number. */
typedef uint64_t (*chan_value_fn)(const gmk_chan_stats_t *stats);
static uint64_t value_sent(const gmk_chan_stats_t *s) {
    return s->sent;
}
static uint64_t value_delivered(const gmk_chan_stats_t *s) {
    return s->delivered;
}
static uint64_t value_dropped(const gmk_chan_stats_t *s) {
    return s->dropped;
}
static uint64_t value_refused(const gmk_chan_stats_t *s) {
    return s->refused;
}
static uint64_t value_depth(const gmk_chan_stats_t *s) {
    return s->depth;
}

static void write_channels(struct prom *w, struct engine *eng) {
    static const struct {
        const char *name, *help;
        enum prom_type type;
        chan_value_fn value;
    } families[] = {
        {"ggmk_channel_sent_total", "Messages accepted.", PROM_COUNTER, value_sent},
        {"ggmk_channel_delivered_total", "Deliveries handled.", PROM_COUNTER, value_delivered},
        {"ggmk_channel_dropped_total", "Deliveries that did not end well.", PROM_COUNTER,
         value_dropped},
        {"ggmk_channel_refused_total", "Sends answered with \"full\".", PROM_COUNTER,
         value_refused},
        {"ggmk_channel_depth", "Messages held for the slowest subscriber.", PROM_GAUGE,
         value_depth},
    };
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        prom_family(w, families[f].name, families[f].help, families[f].type);
        for (uint32_t id = 1; id < GMK_CHANNELS_MAX; id++) {
            gmk_chan_stats_t s;
            if (chan_stats(eng, id, &s) != GMK_OK)
                continue;
            struct prom_label label = {"channel", s.name};
            prom_u64(w, &label, 1, families[f].value(&s));
        }
    }
}

static void write_latency(struct prom *w, struct engine *eng) {
    static const char *const names[] = {"ggmk_queue_seconds", "ggmk_handler_seconds"};
    static const char *const helps[] = {"Time from queued to handler start (sampled).",
                                        "Time in the handler (sampled)."};
    for (unsigned kind = 0; kind <= GMK_LATENCY_HANDLER; kind++) {
        prom_family(w, names[kind], helps[kind], PROM_SUMMARY);
        (void)metrics_view(eng, kind, &eng->view);
        prom_summary(w, NULL, 0, &eng->view, (struct prom_scale){1, 1, 9});
    }
}

static void write_user(struct prom *w, struct engine *eng) {
    uint32_t n = atomic_load_explicit(&eng->n_metrics, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        one(w, eng->metric_name[i], eng->metric_help[i], metrics_user(eng, i));
}

int gmk_prometheus(gmk_kernel_t *kernel, gmk_write_fn write, void *arg) {
    int status;
    if (write == NULL)
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    struct prom w;
    prom_begin(&w, write, arg);
    hal_lock(&a->eng->metric_lock); /* guards eng->view */
    write_types(&w, a->eng);
    write_tenants(&w, a->eng);
    write_sched(&w, a->eng);
    write_arena(&w, a->eng);
    write_channels(&w, a->eng);
    write_latency(&w, a->eng);
    write_user(&w, a->eng);
    hal_unlock(&a->eng->metric_lock);
    status = prom_end(&w);
    agent_leave(a);
    return status;
}
