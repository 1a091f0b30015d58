/* Layout, building: cuts the memory into the structures that layout.c measured. */
#include <string.h>

#include "engine/chan.h"
#include "engine/enqueue.h"
#include "engine/gather.h"
#include "engine/lane.h"
#include "engine/layout.h"
#include "engine/memory.h"
#include "engine/type.h"
#include "lib/format.h"

#define LAYOUT_TRACE_SLOTS 1024u

/* What layout_control_bytes() counted must be there. */
static void *must_take(struct carve *carve, size_t bytes) {
    void *piece = carve_take(carve, bytes);
    K_ASSERT(piece != NULL, "layout.c measures what layout_build.c takes");
    return piece;
}

static void build_agent(struct engine *eng, struct carve *control, uint32_t index) {
    struct agent *a = must_take(control, sizeof(*a));
    eng->agents[index] = a;
    a->eng = eng;
    a->index = index;
    a->is_worker = index < eng->n_workers;
    a->resident = a->is_worker; /* also when the lane runs on a client's thread */
    a->types = must_take(control, (eng->cfg.max_types + 1u) * sizeof(struct count_line));
    if (eng->cfg.n_tenants > 1)
        a->tenants = must_take(control, eng->cfg.n_tenants * sizeof(struct count_line));
    a->queue_time = must_take(control, sizeof(struct hist));
    a->handler_time = must_take(control, sizeof(struct hist));
    a->ctx = &a->base;
    a->base = (gmk_ctx_t){.kernel = eng->kernel, .agent = a, .module = MODULE_NONE};
    a->quantum = 1;
    a->victim = index + 1 < eng->n_workers ? index + 1 : 0;
    a->random = eng->cfg.seed + index;
    atomic_init(&a->used, a->is_worker ? 1 : 0);
    park_spin_init(&a->spin, hal_cpu_count() > 1 ? PARK_SPIN_MAX_NS : 0);
}

static struct engine *build_control(void *pages, const gmk_boot_cfg_t *cfg) {
    struct carve control;
    carve_init(&control, pages, layout_control_bytes(cfg));
    struct engine *eng = must_take(&control, sizeof(*eng));
    eng->cfg = *cfg;
    eng->pages = pages;
    eng->pages_size = cfg->arena_size;
    eng->n_workers = cfg->n_workers;
    eng->n_agents = cfg->n_workers + cfg->max_clients;
    eng->agents = must_take(&control, eng->n_agents * sizeof(struct agent *));
    for (uint32_t i = 0; i < eng->n_agents; i++)
        build_agent(eng, &control, i);
    eng->park_slots = must_take(&control, eng->n_workers * sizeof(struct park_slot));
    park_init(&eng->park, eng->park_slots, eng->n_workers, true);
    eng->types = must_take(&control, (cfg->max_types + 1u) * sizeof(struct type_info));
    eng->types[0].name = "token";
    atomic_init(&eng->n_types, 1);
    eng->channels = must_take(&control, GMK_CHANNELS_MAX * sizeof(struct channel));
    hal_short_init(&eng->channel_lock);
    eng->subs_max = layout_subs_max(cfg);
    eng->subs = must_take(&control, eng->subs_max * sizeof(struct chan_sub));
    eng->groups = must_take(&control, (cfg->max_groups + 1u) * sizeof(struct group));
    eng->inflight = must_take(&control, cfg->n_tenants * sizeof(uint64_t));
    eng->bytes = must_take(&control, cfg->n_tenants * sizeof(uint64_t));
    eng->task_limit = must_take(&control, cfg->n_tenants * sizeof(uint64_t));
    eng->byte_limit = must_take(&control, cfg->n_tenants * sizeof(uint64_t));
    eng->lane = must_take(&control, sizeof(struct lane));
    trace_config_init(&eng->trace, cfg->trace_level,
                      must_take(&control, LAYOUT_TRACE_SLOTS * sizeof(char *)), LAYOUT_TRACE_SLOTS);
    return eng;
}

static int build_ring(struct engine *eng, struct ring_mpmc **out, uint64_t slots) {
    size_t bytes = ring_mpmc_bytes(slots);
    void *memory = carve_take(&eng->arena.carve, bytes);
    return memory == NULL ? GMK_ENOMEM : ring_mpmc_init(out, memory, bytes, slots);
}

static int build_queues(struct engine *eng) {
    const gmk_boot_cfg_t *cfg = &eng->cfg;
    uint64_t overflow_slots = enqueue_overflow_slots(cfg->n_workers, layout_subs_max(cfg));
    int status = build_ring(eng, &eng->overflow, overflow_slots);
    eng->overflow_half = overflow_slots / 2;
    for (uint32_t p = 0; status == GMK_OK && p < GMK_PRIORITIES; p++)
        status = build_ring(eng, &eng->ready[p], cfg->ready_slots);
    for (uint32_t i = 0; status == GMK_OK && i < eng->n_workers; i++) {
        size_t bytes = localq_bytes(cfg->local_slots);
        void *memory = carve_take(&eng->arena.carve, bytes);
        status = memory == NULL
                     ? GMK_ENOMEM
                     : localq_init(&eng->agents[i]->local, memory, bytes, cfg->local_slots);
    }
    void *timers = carve_take(&eng->arena.carve, heap_bytes(cfg->max_timers));
    void *lane = carve_take(&eng->arena.carve, lane_bytes(layout_lane_slots(cfg)));
    if (status != GMK_OK || timers == NULL || lane == NULL)
        return status != GMK_OK ? status : GMK_ENOMEM;
    heap_init(&eng->timers.heap, timers, cfg->max_timers);
    atomic_init(&eng->timers.next_due, TIMER_NEVER);
    uint32_t fresh = cfg->deterministic ? cfg->ready_slots : cfg->channel_slots;
    lane_init(eng->lane, lane, layout_lane_slots(cfg), layout_lane_slots(cfg) - fresh);
    return GMK_OK;
}

/* Caches, scratch and trace ring of every agent. */
static void build_agent_memory(struct engine *eng, size_t trace_piece) {
    for (uint32_t i = 0; i < eng->n_agents; i++) {
        struct agent *a = eng->agents[i];
        char name[GMK_NAME_MAX];
        a->blocks = arena_block_cache(&eng->arena, i);
        if (a->is_worker)
            a->bump = arena_bump(&eng->arena, i);
        (void)format_string(name, sizeof(name), "%s %u", a->is_worker ? "worker" : "client",
                            a->is_worker ? i : i - eng->n_workers);
        void *ring = slab_alloc_shared(&eng->arena.trace);
        size_t words = ring != NULL ? trace_ring_words(trace_piece) : 0;
        (void)trace_attach(&eng->trace, &a->trace, ring, words, name);
    }
}

static void build_watch(struct engine *eng, size_t trace_piece) {
    void *ring = slab_alloc_shared(&eng->arena.trace);
    size_t words = ring != NULL ? trace_ring_words(trace_piece) : 0;
    (void)trace_attach(&eng->trace, &eng->watch_trace, ring, words, "watchdog");
}

static void build_groups(struct engine *eng) {
    for (uint32_t i = 1; i <= eng->cfg.max_groups; i++)
        eng->groups[i].next_free = i < eng->cfg.max_groups ? i + 1 : 0;
    eng->group_free = 1;
    hal_short_init(&eng->group_lock);
}

int layout_build(struct engine **out, void *pages, const gmk_boot_cfg_t *cfg) {
    struct engine *eng = build_control(pages, cfg);
    size_t control = layout_control_bytes(cfg);
    struct arena_cfg arena = layout_arena_cfg(cfg);
    arena.on_corruption = memory_damage;
    int status =
        arena_init(&eng->arena, (char *)pages + control, cfg->arena_size - control, &arena);
    if (status == GMK_OK)
        status = build_queues(eng);
    if (status != GMK_OK)
        return status;
    build_agent_memory(eng, arena.trace_piece);
    build_watch(eng, arena.trace_piece);
    build_groups(eng);
    for (uint32_t i = 0; i < cfg->n_tenants; i++)
        atomic_init(&eng->task_limit[i], cfg->tenant_limit);
    eng->count_inflight = cfg->n_tenants > 1 || cfg->tenant_limit != 0;
    eng->plain = !eng->count_inflight && !cfg->deterministic;
    eng->stamp_mask = (1u << cfg->stamp_shift) - 1;
    eng->local_reserve = cfg->local_slots / 8;
    eng->gather_share = GATHER_BATCH / eng->n_workers > 4 ? GATHER_BATCH / eng->n_workers : 4;
    /* One spinner leaves the other CPUs to those who work; more help only where CPUs abound. */
    eng->spinners_max = 1 + eng->n_workers / 8;
    *out = eng;
    return GMK_OK;
}
