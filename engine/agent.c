/* Agent: thread records, clients, and the gate. See agent.h. */
#include "engine/agent.h"

#include "engine/group.h"
#include "engine/running.h"

static struct thread_record records[AGENT_THREADS_MAX];

/* ---- Clients ----------------------------------------------------------------------- */

struct agent *agent_take_client(struct engine *eng) {
    for (uint32_t i = eng->n_workers; i < eng->n_agents; i++) {
        struct agent *a = eng->agents[i];
        if (atomic_load_explicit(&a->used, memory_order_relaxed) == 0) {
            atomic_store_explicit(&a->used, 1, memory_order_relaxed);
            return a;
        }
    }
    return NULL;
}

/* Strikes an entry of the calling thread and frees its client, if the engine still runs.
 * The client's counters stay: they are history. */
static void entry_release(struct thread_entry *entry) {
    running_lock();
    uint64_t boot_id = atomic_load_explicit(&entry->boot_id, memory_order_relaxed);
    if (boot_id != 0 && running_find(boot_id) != NULL) {
        group_flush(entry->agent);
        block_cache_flush(entry->agent->blocks);
        atomic_store_explicit(&entry->agent->used, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&entry->boot_id, 0, memory_order_relaxed);
    running_unlock();
}

/* ---- Thread records -------------------------------------------------------------- */

/* The calling thread ends. */
static void record_release(void *value) {
    struct thread_record *rec = value;
    for (uint32_t i = 0; i < AGENT_ENGINES_MAX; i++)
        entry_release(&rec->at[i]);
    /* Release pairs with the acquire in record_own(). */
    atomic_store_explicit(&rec->used, 0, memory_order_release);
}

/* The calling thread's record, taken at its first call; NULL when all are in use. */
static struct thread_record *record_own(void) {
    if (GMK_LIKELY(hal_local != NULL))
        return hal_local;
    for (uint32_t i = 0; i < AGENT_THREADS_MAX; i++) {
        uint32_t no = 0;
        if (atomic_load_explicit(&records[i].used, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&records[i].used, &no, 1, memory_order_acquire,
                                                    memory_order_relaxed)) {
            hal_local = &records[i];
            hal_local_on_exit(record_release);
            return &records[i];
        }
    }
    return NULL;
}

static struct thread_entry *entry_find(struct thread_record *rec, uint64_t boot_id) {
    for (uint32_t i = 0; i < AGENT_ENGINES_MAX; i++)
        if (atomic_load_explicit(&rec->at[i].boot_id, memory_order_relaxed) == boot_id)
            return &rec->at[i];
    return NULL;
}

/* Under the running lock. */
static struct thread_entry *entry_add(struct thread_record *rec, struct agent *a) {
    struct thread_entry *entry = entry_find(rec, 0);
    if (entry == NULL)
        return NULL;
    entry->agent = a;
    entry->resident = a->resident;
    entry->ctx = (gmk_ctx_t){.kernel = a->eng->kernel, .agent = a, .module = MODULE_NONE};
    /* Release pairs with the acquire in gate_enter(): only this thread reads it, but halt
     * and the thread meet here. */
    atomic_store_explicit(&entry->boot_id, a->eng->boot_id, memory_order_release);
    return entry;
}

/* Becomes a client of an engine that runs. */
static struct thread_entry *entry_attach(struct thread_record *rec, uint64_t boot_id, int *why) {
    struct thread_entry *entry = NULL;
    running_lock();
    struct engine *eng = running_find(boot_id);
    if (eng != NULL) {
        struct agent *a = agent_take_client(eng);
        entry = a != NULL ? entry_add(rec, a) : NULL;
        if (a != NULL && entry == NULL)
            atomic_store_explicit(&a->used, 0, memory_order_relaxed);
        *why = GMK_ELIMIT;
    }
    running_unlock();
    return entry;
}

bool agent_bind(struct agent *a) {
    struct thread_record *rec = record_own();
    if (rec == NULL)
        return false;
    a->resident = true;
    running_lock();
    bool bound = entry_find(rec, a->eng->boot_id) == NULL && entry_add(rec, a) != NULL;
    running_unlock();
    return bound;
}

void agent_unbind(struct agent *a) {
    struct thread_record *rec = hal_local;
    struct thread_entry *entry = rec != NULL ? entry_find(rec, a->eng->boot_id) : NULL;
    if (entry != NULL)
        atomic_store_explicit(&entry->boot_id, 0, memory_order_relaxed);
    a->resident = false;
}

static void set_resident(struct agent *a, bool resident) {
    struct thread_record *rec = hal_local;
    entry_find(rec, a->eng->boot_id)->resident = resident;
    a->resident = resident;
}

void agent_become_resident(struct agent *a) {
    agent_leave(a);
    running_lock();
    set_resident(a, true);
    running_unlock();
}

void agent_become_client(struct agent *a) {
    set_resident(a, false);
}

/* ---- The gate ---------------------------------------------------------------------- */

static struct agent *gate_enter(struct thread_record *rec, struct thread_entry *entry,
                                uint64_t boot_id, int *why) {
    struct agent *a = entry->agent;
    if (boot_id != 0 && entry->resident)
        return a;
    uint64_t inside = atomic_load_explicit(&rec->inside, memory_order_relaxed);
    *why = inside != 0 && inside != boot_id ? GMK_EPERM : GMK_EHALTED;
    if (GMK_UNLIKELY(boot_id == 0 || *why == GMK_EPERM))
        return NULL; /* struck; or from within an export's callback of another engine */
    /* A1 pairs with the barrier in agent_shut_gate(): it sees us, or we see the strike. */
    atomic_store_explicit(&rec->inside, boot_id, memory_order_relaxed);
    if (hal_barrier_is_asymmetric())
        atomic_signal_fence(memory_order_seq_cst);
    else
        hal_fence();
    rec->nest++;
    if (GMK_LIKELY(atomic_load_explicit(&entry->boot_id, memory_order_acquire) == boot_id))
        return a;
    if (--rec->nest == 0)
        atomic_store_explicit(&rec->inside, 0, memory_order_release);
    return NULL;
}

struct agent *agent_enter(gmk_kernel_t *kernel, int *why) {
    struct thread_record *rec = record_own();
    *why = kernel == NULL ? GMK_EINVAL : rec == NULL ? GMK_ELIMIT : GMK_EHALTED;
    if (GMK_UNLIKELY(kernel == NULL || rec == NULL))
        return NULL;
    uint64_t boot_id = __atomic_load_n(&kernel->boot_id, __ATOMIC_RELAXED);
    if (GMK_UNLIKELY(boot_id == 0))
        return NULL;
    struct thread_entry *entry = entry_find(rec, boot_id);
    if (GMK_UNLIKELY(entry == NULL))
        entry = entry_attach(rec, boot_id, why);
    return entry != NULL ? gate_enter(rec, entry, boot_id, why) : NULL;
}

struct agent *agent_enter_ctx(gmk_ctx_t *ctx, int *why) {
    *why = GMK_EINVAL;
    if (GMK_UNLIKELY(ctx == NULL))
        return NULL;
    /* Not an attached thread's: the context of a handler or of a lifecycle call, which lives
     * on the stack or in its agent, and is used by the agent's own thread. */
    if (GMK_LIKELY((uintptr_t)ctx - (uintptr_t)records >= sizeof(records)))
        return ctx->agent;
    struct thread_record *rec = hal_local;
    for (uint32_t i = 0; rec != NULL && i < AGENT_ENGINES_MAX; i++)
        if (ctx == &rec->at[i].ctx)
            return gate_enter(rec, &rec->at[i],
                              atomic_load_explicit(&rec->at[i].boot_id, memory_order_relaxed), why);
    return NULL;
}

void agent_leave(struct agent *a) {
    if (a->resident)
        return;
    struct thread_record *rec = hal_local;
    /* Release pairs with agent_shut_gate(): our use of the engine is over. */
    if (--rec->nest == 0)
        atomic_store_explicit(&rec->inside, 0, memory_order_release);
}

bool agent_is_busy(const struct agent *a) {
    const struct thread_record *rec = hal_local;
    return a->is_worker || (!a->resident && rec->nest > 1);
}

gmk_ctx_t *agent_context(struct agent *a) {
    if (a->resident)
        return &a->base;
    struct thread_entry *entry = entry_find(hal_local, a->eng->boot_id);
    return entry != NULL ? &entry->ctx : NULL; /* struck just now: the engine halts */
}

/* Strikes the engine from one record, unless a resident agent holds the entry. */
static void record_strike(struct thread_record *rec, struct engine *eng) {
    struct thread_entry *entry = entry_find(rec, eng->boot_id);
    if (entry != NULL && !entry->resident)
        atomic_store_explicit(&entry->boot_id, 0, memory_order_release);
}

void agent_shut_gate(struct engine *eng) {
    running_lock(); /* keeps threads that end, and their entries, out of the way */
    for (uint32_t i = 0; i < AGENT_THREADS_MAX; i++)
        record_strike(&records[i], eng);
    running_unlock();
    if (!hal_barrier_all())
        hal_fence(); /* pairs with A1's */
    for (uint32_t i = 0; i < AGENT_THREADS_MAX; i++)
        /* Bounded: calls from outside do not block once the engine halts. */
        while (atomic_load_explicit(&records[i].inside, memory_order_acquire) == eng->boot_id)
            hal_yield_cpu();
}

void agent_detach(gmk_kernel_t *kernel) {
    struct thread_record *rec = hal_local;
    uint64_t boot_id = kernel != NULL ? __atomic_load_n(&kernel->boot_id, __ATOMIC_RELAXED) : 0;
    struct thread_entry *entry = rec != NULL && boot_id != 0 ? entry_find(rec, boot_id) : NULL;
    if (entry != NULL && !entry->resident)
        entry_release(entry);
}
