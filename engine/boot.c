/* Boot and halt: an engine's life from configuration to the last free. See ggmk/kernel.h.
 *
 * Boot goes through steps, each of which can fail; what was done is undone in reverse by
 * the same function that halt uses, so there is one way down. Workers start last: every
 * init has run before the first handler does, and what inits submitted waits in the queues.
 *
 *   memory -> modules checked -> types -> early init -> channels -> init -> workers, watchdog
 */
#include <string.h>

#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/counts.h"
#include "engine/dump.h"
#include "engine/gather.h"
#include "engine/group.h"
#include "engine/lane.h"
#include "engine/layout.h"
#include "engine/run.h"
#include "engine/running.h"
#include "engine/type.h"
#include "engine/wake.h"
#include "engine/watch.h"
#include "engine/worker.h"

/* ---- Steps up ------------------------------------------------------------------------------ */

static const char *module_of_ctx(const gmk_ctx_t *ctx) {
    const struct engine *eng = ctx->agent != NULL ? ctx->agent->eng : NULL;
    return eng != NULL && ctx->module < eng->modules.count
               ? eng->modules.entries[ctx->module].module->name
               : NULL;
}

static void module_is_gone(void *arg, uint16_t module) {
    struct engine *eng = arg;
    (void)service_withdraw_all(&eng->services, module);
}

static int boot_types(struct engine *eng) {
    for (uint32_t m = 0; m < eng->modules.count; m++) {
        const gmk_module_t *module = eng->modules.entries[m].module;
        trace_module_name(&eng->trace, m, module->name);
        for (uint32_t h = 0; h < module->n_handlers; h++) {
            const gmk_handler_reg_t *reg = &module->handlers[h];
            int status = type_add(eng, reg->type, reg->fn,
                                  reg->name != NULL ? reg->name : module->name, (uint16_t)m);
            if (status != GMK_OK) {
                log_line(GMK_LOG_ERROR, "boot", "%s: module \"%s\", type %u; max_types is %u",
                         gmk_error_name(status), module->name, reg->type, eng->cfg.max_types);
                return status;
            }
        }
    }
    return GMK_OK;
}

static int boot_system_channels(struct agent *a) {
    uint32_t slots = layout_system_slots(&a->eng->cfg);
    uint32_t options = GMK_CHAN_FANOUT | GMK_CHAN_LOSSY;
    uint32_t dropped = 0, error = 0;
    int status = chan_open(a, "sys.dropped", 0, options, slots, 0, &dropped);
    if (status == GMK_OK)
        status = chan_open(a, "sys.error", 0, options, slots, 0, &error);
    K_ASSERT(status != GMK_OK || (dropped == GMK_CHAN_SYS_DROPPED && error == GMK_CHAN_SYS_ERROR),
             "the system's channels are the first");
    return status;
}

/* One declaration: opens the channel unless an earlier one did, subscribes an input. */
static int boot_channel(struct agent *a, uint16_t m, const gmk_chan_decl_t *decl) {
    struct engine *eng = a->eng;
    const gmk_module_t *module = eng->modules.entries[m].module;
    uint32_t id;
    int status = chan_find(eng, decl->name, &id, NULL);
    if (status == GMK_ENOENT)
        status = chan_open(a, decl->name, decl->type, decl->options, decl->slots, 0, &id);
    if (status == GMK_OK && decl->dir == GMK_IN) {
        const gmk_handler_reg_t *own = module_handler(module, decl->type);
        struct sub_request request = {
            .fn = decl->fn != NULL ? decl->fn
                  : own != NULL    ? own->fn
                                   : NULL,
            .on_error = decl->on_error,
            .options = decl->sub_options,
            .module = m,
            .of_module = true,
        };
        status = chan_subscribe(a, id, &request, NULL);
    }
    if (status == GMK_OK && decl->id != NULL)
        *decl->id = id;
    if (status != GMK_OK)
        log_line(GMK_LOG_ERROR, "boot", "%s: module \"%s\", channel \"%s\": %s",
                 gmk_error_name(status), module->name, decl->name, gmk_strerror(status));
    return status;
}

static int boot_channels(struct agent *a) {
    struct module_set *set = &a->eng->modules;
    for (uint32_t m = 0; m < set->count; m++)
        for (uint32_t c = 0; c < set->entries[m].module->n_channels; c++) {
            int status = boot_channel(a, (uint16_t)m, &set->entries[m].module->channels[c]);
            if (status != GMK_OK)
                return status;
        }
    return GMK_OK;
}

/* What the inits left in ctx->state is what their handlers will see. */
static void boot_states(struct engine *eng) {
    uint32_t n = atomic_load_explicit(&eng->n_types, memory_order_relaxed);
    for (uint32_t i = 1; i < n; i++)
        if (eng->types[i].module < eng->modules.count)
            eng->types[i].state = eng->modules.entries[eng->types[i].module].state;
}

static int boot_lifecycle(struct agent *a) {
    struct engine *eng = a->eng;
    int status = boot_system_channels(a);
    if (status == GMK_OK)
        status = module_start_early(&eng->modules, &a->base);
    if (status == GMK_OK)
        status = boot_channels(a);
    if (status == GMK_OK)
        status = module_start(&eng->modules, &a->base);
    boot_states(eng);
    if (status == GMK_OK && !eng->cfg.deterministic)
        status = worker_start_all(eng);
    if (status == GMK_OK && !eng->cfg.deterministic)
        status = watch_start(eng);
    if (status == GMK_OK) /* from here on it may be halted */
        atomic_store_explicit(&eng->state, ENGINE_RUNNING, memory_order_release);
    return status;
}

/* ---- The way down ---------------------------------------------------------------------------- */

/* Lets work end. Deterministic: runs it. */
static int drain(struct agent *a, uint64_t timeout_ns) {
    struct engine *eng = a->eng;
    if (atomic_load_explicit(&eng->state, memory_order_relaxed) == ENGINE_BOOTING)
        return GMK_ETIMEOUT; /* boot failed: nobody is to run what the inits sent */
    if (!eng->cfg.deterministic)
        return counts_wait_quiet(a, timeout_ns);
    uint64_t now = hal_now_ns();
    uint64_t until = timeout_ns < TIMER_NEVER - now ? now + timeout_ns : TIMER_NEVER;
    uint32_t steps = 0;
    if (atomic_exchange_explicit(&eng->lane_busy, 1, memory_order_acquire) != 0)
        return GMK_EBUSY; /* another thread drains */
    int status = GMK_OK;
    while (lane_step(eng->agents[0]))
        if ((++steps & 255u) == 0 && until != TIMER_NEVER && hal_now_ns() >= until) {
            status = GMK_ETIMEOUT;
            break;
        }
    group_flush(eng->agents[0]);
    atomic_store_explicit(&eng->lane_busy, 0, memory_order_release);
    return status;
}

/* Ends whatever is left in the queues. Workers have stopped. */
static void drop_rest(struct engine *eng) {
    struct agent *worker = eng->agents[0];
    gmk_task_t task;
    if (counts_quiet(eng))
        return;
    atomic_store_explicit(&eng->dropping, 1, memory_order_release);
    /* Bounded: every step ends a task or a token, and nothing new comes. */
    while (timer_take(worker, &task) || gather(worker, &task))
        run_task(worker, &task);
    while (lane_step(worker))
        continue;
    group_flush(worker);
}

static void free_engine(struct engine *eng) {
    hal_pages_free(eng->pages, eng->pages_size);
}

/* From any state of boot on: stops what runs, in reverse. */
static void shut_down(struct agent *a) {
    K_ASSERT(a != NULL, "whoever shuts down has entered");
    struct engine *eng = a->eng;
    if (eng->cfg.dump_on_request)
        (void)hal_on_dump_request(NULL, NULL);
    module_stop(&eng->modules, &a->base);
    (void)drain(a, eng->cfg.halt_timeout_ns); /* what the finis sent */
    watch_stop(eng);
    worker_stop_all(eng);
    drop_rest(eng);
    module_stop_early(&eng->modules, &a->base);
    atomic_store_explicit(&eng->state, ENGINE_STOPPED, memory_order_release);
}

/* ---- Boot ---------------------------------------------------------------------------------------- */

static int boot_memory(struct engine **out, gmk_kernel_t *kernel, gmk_boot_cfg_t *cfg) {
    int status = layout_fit(cfg);
    if (status != GMK_OK)
        return status;
    size_t size = (cfg->arena_size + ARENA_PAGE - 1) & ~(ARENA_PAGE - 1);
    cfg->arena_size = size;
    void *pages = hal_pages_alloc(size);
    if (pages == NULL) {
        log_line(GMK_LOG_ERROR, "boot", "GMK_ESYS: the platform has no %zu bytes for the arena",
                 size);
        return GMK_ESYS;
    }
    status = layout_build(out, pages, cfg);
    if (status != GMK_OK) {
        log_line(GMK_LOG_ERROR, "boot", "%s: the arena could not be built", gmk_error_name(status));
        hal_pages_free(pages, size);
        return status;
    }
    (*out)->kernel = kernel;
    for (uint32_t i = 0; i < (*out)->n_agents; i++)
        (*out)->agents[i]->base.kernel = kernel;
    return GMK_OK;
}

/* The booting thread becomes a client that passes the gate, for the lifecycle calls. */
static int boot_enter(struct engine *eng, struct agent **out) {
    running_lock();
    bool added = running_add(eng);
    *out = added ? agent_take_client(eng) : NULL;
    running_unlock();
    if (!added) {
        log_line(GMK_LOG_ERROR, "boot",
                 "GMK_EBUSY: this handle has a running engine: halt it first");
        return GMK_EBUSY;
    }
    K_ASSERT(*out != NULL, "a new engine has a free client");
    __atomic_store_n(&eng->kernel->boot_id, eng->boot_id, __ATOMIC_RELEASE);
    __atomic_store_n(&eng->kernel->engine, eng, __ATOMIC_RELEASE);
    return agent_bind(*out) ? GMK_OK : GMK_ELIMIT;
}

static void leave_running(struct engine *eng) {
    struct engine *removed;
    running_lock();
    (void)running_remove(eng->kernel, &removed);
    running_unlock();
    agent_shut_gate(eng);
}

static void forget(struct engine *eng, struct agent *a) {
    gmk_kernel_t *kernel = eng->kernel;
    agent_unbind(a);
    __atomic_store_n(&kernel->engine, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&kernel->boot_id, 0, __ATOMIC_RELEASE);
    free_engine(eng);
}

int gmk_boot(gmk_kernel_t *kernel, const gmk_boot_cfg_t *cfg, gmk_module_t *const *mods,
             uint32_t n_mods) {
    gmk_boot_cfg_t full = cfg != NULL ? *cfg : (gmk_boot_cfg_t){0};
    struct engine *eng;
    struct agent *a = NULL;
    if (kernel == NULL || (n_mods != 0 && mods == NULL))
        return GMK_EINVAL;
    if (full.log_level != GMK_LOG_DEFAULT)
        gmk_log_level((enum gmk_log_level)full.log_level);
    log_set_namer(module_of_ctx);
    int status = boot_memory(&eng, kernel, &full);
    if (status != GMK_OK)
        return status;
    status = module_collect(&eng->modules, mods, n_mods, !full.no_auto_modules);
    if (status == GMK_OK)
        status = module_check(&eng->modules);
    eng->modules.gone = module_is_gone;
    eng->modules.gone_arg = eng;
    if (status == GMK_OK)
        status = boot_types(eng); /* before other threads can find the engine and submit */
    if (status == GMK_OK)
        status = boot_enter(eng, &a);
    if (status == GMK_EBUSY || (status != GMK_OK && eng->boot_id == 0)) {
        free_engine(eng);
        return status;
    }
    if (status == GMK_OK)
        status = boot_lifecycle(a);
    if (status != GMK_OK) {
        leave_running(eng);
        shut_down(a);
        forget(eng, a);
        return status;
    }
    if (full.dump_on_request)
        (void)hal_on_dump_request(dump_on_request, eng);
    agent_become_client(a);
    return GMK_OK;
}

size_t gmk_boot_arena_min(const gmk_boot_cfg_t *cfg) {
    gmk_boot_cfg_t least = cfg != NULL ? *cfg : (gmk_boot_cfg_t){0};
    layout_defaults(&least, LAYOUT_HALVINGS);
    least.arena_size = ARENA_PAGE; /* what it was does not matter */
    return layout_check(&least) == GMK_OK ? layout_arena_min(&least) : 0;
}

/* ---- Halt and drain ------------------------------------------------------------------------------- */

int gmk_drain(gmk_kernel_t *kernel, uint64_t timeout_ns) {
    int status;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    bool booting = atomic_load_explicit(&a->eng->state, memory_order_relaxed) == ENGINE_BOOTING;
    status = booting || agent_is_busy(a) ? GMK_EPERM : drain(a, timeout_ns);
    agent_leave(a);
    return status;
}

/* Finds the engine behind a handle and becomes its only visitor. NULL: not running (yet), or
 * the caller is one of its handlers. */
static struct agent *halt_enter(gmk_kernel_t *kernel, int *why) {
    struct agent *a = agent_enter(kernel, why);
    if (a == NULL && *why == GMK_ELIMIT)
        *why = GMK_EBUSY;
    if (a == NULL)
        return NULL;
    if (agent_is_busy(a)) {
        agent_leave(a);
        *why = GMK_EPERM;
        return NULL;
    }
    uint32_t running = ENGINE_RUNNING;
    bool first = atomic_compare_exchange_strong_explicit(
        &a->eng->state, &running, ENGINE_HALTING, memory_order_seq_cst, memory_order_relaxed);
    if (first)
        agent_become_resident(a);
    else
        agent_leave(a);
    *why = GMK_EHALTED;
    return first ? a : NULL;
}

int gmk_halt(gmk_kernel_t *kernel) {
    int status;
    struct agent *a = halt_enter(kernel, &status);
    if (a == NULL)
        return status;
    struct engine *eng = a->eng;
    wake_everyone(eng); /* clients that wait inside leave: the gate is about to shut */
    leave_running(eng);
    chan_end_pulled(a);
    timer_drop_waiting(a);
    bool in_time = drain(a, eng->cfg.halt_timeout_ns) == GMK_OK;
    if (!in_time) /* from here on what is gathered ends as a dead letter, without running */
        atomic_store_explicit(&eng->dropping, 1, memory_order_release);
    shut_down(a);
    if (!in_time) {
        gmk_counts_t sum;
        counts_sum(eng, 0, &sum);
        log_line(GMK_LOG_WARN, "halt",
                 "time ran out after %llu ms: the rest was dead-lettered, %llu tasks in all",
                 (unsigned long long)(eng->cfg.halt_timeout_ns / 1000000u),
                 (unsigned long long)sum.dropped);
    }
    forget(eng, a);
    return in_time ? GMK_OK : GMK_EDRAIN;
}
