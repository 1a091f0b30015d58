/* Layout: defaults, ranges and sizes of a configuration. See layout.h. */
#include "engine/layout.h"

#include "engine/chan.h"
#include "engine/enqueue.h"
#include "engine/lane.h"
#include "lib/checked.h"

#define MS UINT64_C(1000000)

static uint32_t scaled(uint32_t value, unsigned halvings, uint32_t least) {
    uint32_t less = value >> halvings;
    return less > least ? less : least;
}

static uint32_t default_workers(void) {
    unsigned cpus = hal_cpu_count();
    return cpus < GMK_WORKERS_MAX ? cpus : GMK_WORKERS_MAX;
}

#define DEFAULT(field, value) ((field) = (field) != 0 ? (field) : (value))

void layout_defaults(gmk_boot_cfg_t *cfg, unsigned halvings) {
    DEFAULT(cfg->arena_size, ARENA_SIZE_DEFAULT);
    DEFAULT(cfg->n_workers, default_workers());
    DEFAULT(cfg->n_tenants, 1);
    DEFAULT(cfg->max_clients, scaled(16, halvings, 4));
    DEFAULT(cfg->max_types, scaled(128, halvings, 32));
    DEFAULT(cfg->max_groups, scaled(1024, halvings, 64));
    DEFAULT(cfg->max_timers, scaled(8192, halvings, 64));
    DEFAULT(cfg->ready_slots, scaled(8192, halvings, 64));
    DEFAULT(cfg->local_slots, scaled(256, halvings, 64));
    DEFAULT(cfg->channel_slots, scaled(1024, halvings, 16));
    DEFAULT(cfg->max_yields, 10000);
    DEFAULT(cfg->max_retries, 8);
    DEFAULT(cfg->retry_base_ns, 1 * MS);
    DEFAULT(cfg->retry_max_ns, 1000 * MS);
    DEFAULT(cfg->poison_failures, 100);
    DEFAULT(cfg->poison_window_ns, 1000 * MS);
    DEFAULT(cfg->halt_timeout_ns, 10000 * MS);
    DEFAULT(cfg->hang_ns, 1000 * MS);
    DEFAULT(cfg->stamp_shift, 8);
}

/* ---- Ranges ------------------------------------------------------------------------- */

struct range {
    const char *field;
    uint64_t value, least, most;
    bool power_of_two;
};

static int check_range(const struct range *r) {
    bool power = (r->value & (r->value - 1)) == 0;
    if (r->value >= r->least && r->value <= r->most && (power || !r->power_of_two))
        return GMK_OK;
    log_line(GMK_LOG_ERROR, "boot", "GMK_EINVAL: %s is %llu; it must be %llu .. %llu%s", r->field,
             (unsigned long long)r->value, (unsigned long long)r->least,
             (unsigned long long)r->most, r->power_of_two ? " and a power of two" : "");
    return GMK_EINVAL;
}

int layout_check(const gmk_boot_cfg_t *cfg) {
    const struct range ranges[] = {
        {"arena_size", cfg->arena_size, ARENA_PAGE, UINT64_C(1) << 46, false},
        {"n_workers", cfg->n_workers, 1, GMK_WORKERS_MAX, false},
        {"n_tenants", cfg->n_tenants, 1, GMK_TENANTS_MAX, false},
        {"max_clients", cfg->max_clients, 1, GMK_CLIENTS_MAX, false},
        {"max_types", cfg->max_types, 4, GMK_TYPES_MAX, false},
        {"max_groups", cfg->max_groups, 1, 65535, false},
        {"max_timers", cfg->max_timers, 1, 1u << 24, false},
        {"ready_slots", cfg->ready_slots, 2, 1u << 24, true},
        {"local_slots", cfg->local_slots, 16, LOCALQ_CAPACITY_MAX, true},
        {"channel_slots", cfg->channel_slots, CHAN_SLOTS_MIN, CHAN_SLOTS_MAX, true},
        {"max_yields", cfg->max_yields, 1, UINT16_MAX, false},
        {"max_retries", cfg->max_retries, 1, 15, false},
        {"stamp_shift", cfg->stamp_shift, 0, 31, false},
        {"retry_max_ns", cfg->retry_max_ns, cfg->retry_base_ns, UINT64_MAX / 2, false},
        {"trace_level", cfg->trace_level, 0, GMK_TRACE_ALL, false},
        {"log_level", cfg->log_level, 0, GMK_LOG_DEBUG, false},
        {"hang_ns", cfg->hang_ns, MS, UINT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (check_range(&ranges[i]) != GMK_OK)
            return GMK_EINVAL;
    return GMK_OK;
}

/* ---- Sizes ---------------------------------------------------------------------------- */

uint32_t layout_subs_max(const gmk_boot_cfg_t *cfg) {
    return cfg->arena_size >= ARENA_SIZE_DEFAULT / 4 ? 512 : 64;
}

uint32_t layout_system_slots(const gmk_boot_cfg_t *cfg) {
    return cfg->channel_slots < 256 ? cfg->channel_slots : 256;
}

/* Tasks that can come again at the same time: the lane keeps room for them. */
static uint32_t again_slots(const gmk_boot_cfg_t *cfg) {
    return enqueue_again_max(cfg->n_workers, layout_subs_max(cfg));
}

uint32_t layout_lane_slots(const gmk_boot_cfg_t *cfg) {
    uint32_t fresh = cfg->deterministic ? cfg->ready_slots : cfg->channel_slots;
    return fresh + again_slots(cfg);
}

/* Every piece is rounded up to this by carve_take(). */
static size_t piece(size_t bytes) {
    return (bytes + GMK_FALSE_SHARING - 1) & ~(size_t)(GMK_FALSE_SHARING - 1);
}

static size_t agent_bytes(const gmk_boot_cfg_t *cfg) {
    size_t tenants = cfg->n_tenants > 1 ? cfg->n_tenants * sizeof(struct count_line) : 0;
    return piece(sizeof(struct agent)) + piece((cfg->max_types + 1u) * sizeof(struct count_line)) +
           piece(tenants) + 2 * piece(sizeof(struct hist));
}

#define LAYOUT_TRACE_SLOTS 1024u

size_t layout_control_bytes(const gmk_boot_cfg_t *cfg) {
    size_t agents = cfg->n_workers + cfg->max_clients;
    size_t bytes = GMK_FALSE_SHARING + piece(sizeof(struct engine));
    bytes += piece(agents * sizeof(struct agent *)) + agents * agent_bytes(cfg);
    bytes += piece(cfg->n_workers * sizeof(struct park_slot));
    bytes += piece((cfg->max_types + 1u) * sizeof(struct type_info));
    bytes += piece(GMK_CHANNELS_MAX * sizeof(struct channel));
    bytes += piece(layout_subs_max(cfg) * sizeof(struct chan_sub));
    bytes += piece((cfg->max_groups + 1u) * sizeof(struct group));
    bytes += piece(LAYOUT_TRACE_SLOTS * sizeof(char *));
    bytes += 4 * piece(cfg->n_tenants * sizeof(uint64_t)) + piece(sizeof(struct lane));
    return (bytes + ARENA_PAGE - 1) & ~(ARENA_PAGE - 1);
}

size_t layout_task_bytes(const gmk_boot_cfg_t *cfg) {
    size_t bytes = GMK_FALSE_SHARING + GMK_PRIORITIES * piece(ring_mpmc_bytes(cfg->ready_slots));
    bytes += piece(ring_mpmc_bytes(enqueue_overflow_slots(cfg->n_workers, layout_subs_max(cfg))));
    bytes += cfg->n_workers * piece(localq_bytes(cfg->local_slots));
    bytes += piece(heap_bytes(cfg->max_timers)) + piece(lane_bytes(layout_lane_slots(cfg)));
    bytes += 2 * piece(layout_system_slots(cfg) * sizeof(union chan_cell));
    bytes += 4 * piece(cfg->channel_slots * sizeof(union chan_cell)); /* room to begin with */
    return bytes;
}

struct arena_cfg layout_arena_cfg(const gmk_boot_cfg_t *cfg) {
    unsigned agents = cfg->n_workers + cfg->max_clients;
    size_t share = checked_percent(cfg->arena_size, 2) / (agents + 1); /* and the watchdog */
    size_t trace_piece = ((size_t)TRACE_RING_WORDS_MIN * 8);
    while (trace_piece * 4 < share && trace_piece < (size_t)1
                                                        << 22) /* leave some for bookkeeping */
        trace_piece *= 2;
    return (struct arena_cfg){
        .n_bumps = cfg->n_workers,
        .n_caches = agents,
        .trace_piece = trace_piece,
        .zeroed = true,
        .carve_bytes = layout_task_bytes(cfg),
    };
}

size_t layout_arena_bytes(const gmk_boot_cfg_t *cfg) {
    struct arena_cfg arena = layout_arena_cfg(cfg);
    return layout_control_bytes(cfg) + arena_size_min(&arena);
}

size_t layout_arena_min(const gmk_boot_cfg_t *cfg) {
    gmk_boot_cfg_t least = *cfg;
    size_t needed = ARENA_PAGE;
    do { /* at most once per step of layout_subs_max() and of the trace pieces */
        least.arena_size = needed;
        needed = layout_arena_bytes(&least);
    } while (needed > least.arena_size);
    return least.arena_size;
}

int layout_fit(gmk_boot_cfg_t *cfg) {
    gmk_boot_cfg_t wish = *cfg;
    for (unsigned halvings = 0; halvings <= LAYOUT_HALVINGS; halvings++) {
        *cfg = wish;
        layout_defaults(cfg, halvings);
        if (layout_check(cfg) != GMK_OK)
            return GMK_EINVAL;
        if (layout_arena_bytes(cfg) <= cfg->arena_size)
            return GMK_OK;
    }
    log_line(GMK_LOG_ERROR, "boot",
             "GMK_ENOMEM: arena_size is %zu bytes; this configuration needs at least %zu",
             cfg->arena_size, layout_arena_min(cfg));
    return GMK_ENOMEM;
}
