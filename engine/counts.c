/* Counts: sums over agents, and quiet. See counts.h. */
#include "engine/counts.h"

#include <string.h>

#include "engine/wake.h"

static uint64_t line_sum(struct engine *eng, bool tenants, uint32_t index, enum count_kind kind) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < eng->n_agents; i++) {
        const struct agent *a = eng->agents[i];
        const struct count_line *lines = tenants ? a->tenants : a->types;
        /* Acquire pairs with the release in count_add(). */
        sum += atomic_load_explicit(&lines[index].n[kind], memory_order_acquire);
    }
    return sum;
}

static void add_line(struct engine *eng, bool tenants, uint32_t index, gmk_counts_t *out) {
    out->completed += line_sum(eng, tenants, index, COUNT_COMPLETED);
    out->failed += line_sum(eng, tenants, index, COUNT_FAILED);
    out->dropped += line_sum(eng, tenants, index, COUNT_DROPPED);
    out->yields += line_sum(eng, tenants, index, COUNT_YIELDS);
    out->retries += line_sum(eng, tenants, index, COUNT_RETRIES);
}

static void add_line_begin(struct engine *eng, bool tenants, uint32_t index, gmk_counts_t *out) {
    out->submitted += line_sum(eng, tenants, index, COUNT_SUBMITTED);
    out->emitted += line_sum(eng, tenants, index, COUNT_EMITTED);
}

static void set_queued(gmk_counts_t *out) {
    out->queued = out->submitted + out->emitted - out->completed - out->failed - out->dropped;
}

void counts_sum(struct engine *eng, uint32_t type_index, gmk_counts_t *out) {
    uint32_t n_types = atomic_load_explicit(&eng->n_types, memory_order_acquire);
    uint32_t first = type_index != 0 ? type_index : 1;
    uint32_t end = type_index != 0 ? type_index + 1 : n_types;
    memset(out, 0, sizeof(*out));
    for (uint32_t i = first; i < end; i++)
        add_line(eng, false, i, out);
    for (uint32_t i = first; i < end; i++)
        add_line_begin(eng, false, i, out);
    set_queued(out);
}

void counts_sum_tenant(struct engine *eng, uint8_t tenant, gmk_counts_t *out) {
    if (eng->agents[0]->tenants == NULL) {
        counts_sum(eng, 0, out);
        return;
    }
    memset(out, 0, sizeof(*out));
    add_line(eng, true, tenant, out);
    add_line_begin(eng, true, tenant, out);
    set_queued(out);
}

bool counts_quiet(struct engine *eng) {
    gmk_counts_t sum;
    counts_sum(eng, 0, &sum);
    return sum.queued == 0;
}

void counts_nudge_quiet(struct engine *eng) {
    /* seq_cst pairs with the add in counts_wait_quiet(). */
    if (atomic_load_explicit(&eng->quiet_waiters, memory_order_seq_cst) != 0)
        wake_waiting(eng);
}

static bool quiet_condition(struct engine *eng, void *arg) {
    (void)arg;
    return counts_quiet(eng);
}

int counts_wait_quiet(struct agent *a, uint64_t timeout_ns) {
    struct engine *eng = a->eng;
    atomic_fetch_add_explicit(&eng->quiet_waiters, 1, memory_order_seq_cst);
    int status = wake_wait_until(a, quiet_condition, NULL, timeout_ns);
    atomic_fetch_sub_explicit(&eng->quiet_waiters, 1, memory_order_seq_cst);
    return status;
}

uint64_t counts_sched(struct engine *eng, enum sched_kind kind) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < eng->n_agents; i++)
        sum += atomic_load_explicit(&eng->agents[i]->sched[kind], memory_order_relaxed);
    return sum;
}
