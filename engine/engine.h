/* Engine: the structures everything in this folder works on, and who may write what.
 *
 * One engine has workers (a thread or CPU each, running tasks), clients (foreign threads
 * that submit, send and allocate) and shared queues. Workers and clients are both agents:
 * whatever is counted, cached or traced is per agent, written by its one thread with plain
 * stores and summed by whoever reads. The shared part is small and grouped by who writes.
 *
 * A task's way:   submit, emit, channel token, yield, retry, timer
 *                        \____ enqueue() ____/                    (enqueue.c, the only way in)
 *                  local queue | ready ring | overflow bucket | ordered lane
 *                        \____ gather() _____/                    (gather.c, the only way out)
 *                          run_task() -> one of completed, failed, dropped, again (run.c)
 *
 * Lock order, outermost first: boot list, channel registry, timers, groups, trace. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/block.h"
#include "engine/bump.h"
#include "engine/carve.h"
#include "engine/hist.h"
#include "engine/localq.h"
#include "engine/log.h"
#include "engine/module.h"
#include "engine/park.h"
#include "engine/ring_mpmc.h"
#include "engine/service.h"
#include "engine/timer.h"
#include "engine/trace.h"
#include "ggmk/ggmk.h"
#include "hal/hal.h"

/* Stack of a worker: room for GMK_HELP_DEPTH_MAX nested handlers, 600 bytes of the engine's for each
 * and what they need themselves. Where stacks are not paged in on demand a build may say less. */
#ifndef ENGINE_STACK_BYTES
#define ENGINE_STACK_BYTES (1u << 20)
#endif
#define AGENTS_MAX (GMK_WORKERS_MAX + GMK_CLIENTS_MAX)

/* ---- Counting --------------------------------------------------------------- */

enum count_kind {
    COUNT_SUBMITTED,
    COUNT_EMITTED,
    COUNT_COMPLETED,
    COUNT_FAILED,
    COUNT_DROPPED,
    COUNT_YIELDS,
    COUNT_RETRIES,
    COUNT_KINDS = 8 /* one cache line */
};

/* One type's or tenant's counts as one agent saw them. */
struct count_line {
    alignas(GMK_CACHE_LINE) _Atomic uint64_t n[COUNT_KINDS];
};

enum sched_kind {
    SCHED_GATHERED,
    SCHED_LOCAL,
    SCHED_STOLEN,
    SCHED_OVERFLOW,
    SCHED_PARKS,
    SCHED_REFUSED,
    SCHED_TIMERS,
    SCHED_BAD_FREES,
    SCHED_KINDS
};

/* Adds to a counter that only the calling thread writes. */
static inline void count_add(_Atomic uint64_t *counter, uint64_t n) {
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    /* Release pairs with the acquire in counts_sum(): who sees an end sees its beginning. */
    atomic_store_explicit(counter, now + n, memory_order_release);
}

/* ---- Types ------------------------------------------------------------------ */

/* A task type: one that has a handler, or one that channels carry. */
struct type_info {
    /* Set when the slot is taken (boot, or chan_open under the registry lock). */
    gmk_handler_fn fn; /* NULL: only channels carry it */
    const char *name;
    void *state; /* its module's, as init left it */
    uint32_t type;
    uint16_t module;
    uint16_t trace_name;
    /* Fault state, touched by failures only. */
    _Atomic uint32_t poisoned;
    _Atomic uint32_t failures;     /* in the window */
    _Atomic uint64_t window_start; /* engine time */
};

/* ---- Groups ------------------------------------------------------------------ */

/* pending counts the open handle, every task and child group, and credits that agents hold
 * to spawn without touching this line (group.h). Zero: finished. */
struct group {
    alignas(GMK_CACHE_LINE) _Atomic uint64_t pending;
    _Atomic uint32_t handle; /* generation << 16 | index; 0 = free */
    _Atomic uint32_t canceled;
    uint32_t parent; /* handle; constant while open */
    uint32_t depth;
    uint32_t generation; /* guarded by engine.group_lock while free */
    uint32_t next_free;  /* guarded by engine.group_lock */
};

/* ---- Agents ------------------------------------------------------------------- */

struct engine;

struct agent {
    gmk_ctx_t base; /* context of lifecycle calls; attached threads have one of their own */
    gmk_ctx_t *ctx; /* the innermost handler's on this stack, else &base */
    struct engine *eng;
    struct count_line *types;   /* [max_types] */
    struct count_line *tenants; /* [n_tenants]; NULL with a single tenant: then types tell */
    struct localq *local;       /* workers only */
    uint32_t index;             /* workers first, then clients */
    bool is_worker;
    bool resident; /* passes the gate: a worker, or the thread that boots or halts */

    /* Group credits (group.c). */
    struct group *credit_group;
    uint64_t credits;

    /* Scheduling state of a worker (gather.c, worker.c). */
    uint32_t quantum;    /* local tasks until the shared queues get a look */
    uint32_t turn;       /* step in the weight table */
    uint32_t age;        /* gathers since the lowest priority went first */
    uint32_t newest_run; /* newest-first tasks in a row */
    uint32_t victim;     /* where the next steal starts */
    uint32_t depth;      /* handlers on this stack */
    uint32_t held;       /* of them, handlers of ordered subscriptions */
    uint64_t resume_ns;  /* when the task that just yielded wants to go on; 0 = at once */
    bool woken;          /* came from idling: the next task found may be one of many */
    bool overflow_turn;  /* the overflow bucket goes first every second time */
    bool timer_turn;     /* and so do due timers, before the shared ring */
    struct park_spin spin;

    uint32_t stamp_count; /* every 2^shift-th task is stamped */
    uint64_t random;

    struct block_cache *blocks;
    struct bump *bump;       /* workers only */
    struct hist *queue_time; /* written by this agent only */
    struct hist *handler_time;
    struct trace_ring trace;
    _Atomic uint64_t sched[SCHED_KINDS];
    _Atomic uint64_t user[GMK_METRICS_MAX];

    /* Written by the agent, read by the watchdog and dumps. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t beat; /* handlers begun */
    _Atomic uint32_t running;   /* type being handled, 0 = none, UINT32_MAX = a channel's token */
    _Atomic uint32_t asleep;    /* 1: parked */
    _Atomic uint32_t wait_word; /* futex of a client that waits (wake.c) */
    _Atomic uint32_t used;      /* clients: taken by a thread; workers: always 1 */
    struct hal_thread thread;
};

/* ---- The engine ------------------------------------------------------------------ */

enum engine_state { ENGINE_BOOTING, ENGINE_RUNNING, ENGINE_HALTING, ENGINE_STOPPED };

struct channel;
struct chan_sub;
struct lane;

struct engine {
    /* Constant after boot. */
    gmk_kernel_t *kernel;
    uint64_t boot_id;
    gmk_boot_cfg_t cfg; /* with every default filled in */
    void *pages;        /* the arena's memory */
    size_t pages_size;
    struct arena arena;
    struct ring_mpmc *ready[GMK_PRIORITIES];
    struct ring_mpmc *overflow;
    struct agent **agents; /* n_workers workers, then max_clients clients */
    uint32_t n_workers;
    uint32_t n_agents;
    uint32_t n_started; /* worker threads that run */
    uint32_t stamp_mask;
    uint32_t local_reserve; /* slots of a local queue kept for tasks that come again */
    uint64_t overflow_half; /* from so many tasks in the overflow bucket on: nothing new */
    uint32_t spinners_max;
    uint32_t gather_share; /* tasks a worker takes from the shared ring at once */
    bool count_inflight;   /* tenant limits are watched */
    bool plain;            /* they are not, and the engine is not deterministic */
    _Atomic uint16_t type_index[GMK_TYPES_MAX]; /* 0 = unknown; channels add types at run time */
    struct type_info *types;                    /* [max_types]; [0] is the engine's tokens */
    struct module_set modules;
    struct service_table services;

    /* Read by everyone, written seldom. */
    alignas(GMK_FALSE_SHARING) _Atomic uint32_t state; /* enum engine_state */
    _Atomic uint32_t n_types;
    _Atomic uint32_t stop;     /* workers leave their loop */
    _Atomic uint32_t dropping; /* halt ran out of time: tasks end without running */
    _Atomic uint32_t n_metrics;

    /* Written by whoever pushes or pops what is not normal local work. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t special; /* tasks in ready[0,1,3], overflow, late */
    _Atomic(struct chan_sub *) late; /* those with tokens that no queue took (enqueue.c) */

    /* Written by workers that go idle or come back. */
    alignas(GMK_FALSE_SHARING) _Atomic uint32_t spinners;
    _Atomic uint32_t timekeeper;      /* worker index + 1 that sleeps until the next timer */
    _Atomic uint64_t waiting_workers; /* bit per worker that waits for a condition */
    _Atomic uint64_t waiting_clients; /* bit per client, likewise */
    _Atomic uint32_t quiet_waiters;   /* threads in gmk_drain() and the halting one */

    alignas(GMK_FALSE_SHARING) struct park park;
    struct park_slot *park_slots;

    struct timer_queue timers;
    struct lane *lane;
    _Atomic uint64_t lane_now;  /* the deterministic clock */
    _Atomic uint32_t lane_busy; /* a thread runs the lane in gmk_drain() */
    struct channel *channels;   /* [GMK_CHANNELS_MAX]; [0] unused */
    struct hal_short channel_lock;
    struct chan_sub *subs; /* [subs_max], guarded by channel_lock as to who uses which */
    uint32_t subs_max;     /* bounds the tokens that the overflow bucket must hold */

    struct group *groups; /* [max_groups + 1]; [0] unused */
    struct hal_short group_lock;
    uint32_t group_free; /* head of the free list, guarded by group_lock */

    _Atomic uint64_t *inflight;   /* [n_tenants] tasks inside, when count_inflight */
    _Atomic uint64_t *bytes;      /* [n_tenants] block bytes held, when count_inflight */
    _Atomic uint64_t *task_limit; /* [n_tenants] 0 = none */
    _Atomic uint64_t *byte_limit;

    struct trace_config trace;
    struct hal_lock export_lock;
    struct trace_exporter exporter; /* guarded by export_lock */
    struct hal_lock metric_lock;
    struct hist_view view; /* sums of histograms, guarded by metric_lock */
    char metric_name[GMK_METRICS_MAX][GMK_NAME_MAX];
    const char *metric_help[GMK_METRICS_MAX];

    struct hal_thread watchdog;
    _Atomic uint32_t watchdog_word; /* futex: asleep, awake, stop (watch.c) */
    _Atomic uint64_t hangs;         /* reports so far */
    bool watchdog_started;
    struct trace_ring watch_trace; /* written by the watchdog */
    struct engine *next;           /* list of running engines, guarded by the boot list's lock */
};

/* Privilege of the code that runs as `module`. None: an attached thread, which is the program
 * itself and may do what the kernel's modules may. */
static inline enum gmk_privilege engine_privilege(const struct engine *eng, uint16_t module) {
    return module < eng->modules.count ? (enum gmk_privilege)eng->modules.entries[module].privilege
                                       : GMK_KERNEL;
}

/* Index of a type in engine.types, 0 when it is unknown. */
static inline uint32_t engine_type_index(struct engine *eng, uint32_t type) {
    /* Acquire pairs with type_add(): the slot is filled before its index shows. */
    return type < GMK_TYPES_MAX ? atomic_load_explicit(&eng->type_index[type], memory_order_acquire)
                                : 0;
}

/* Counts one event of a task for its type (by index) and tenant. */
static inline void agent_count_type(struct agent *a, uint32_t type_index, const gmk_task_t *task,
                                    enum count_kind kind, uint64_t n) {
    if (GMK_UNLIKELY(a->tenants != NULL))
        count_add(&a->tenants[task->tenant].n[kind], n);
    /* Last: whether the engine is quiet is judged by types. */
    count_add(&a->types[type_index].n[kind], n);
}

static inline void agent_count(struct agent *a, const gmk_task_t *task, enum count_kind kind,
                               uint64_t n) {
    agent_count_type(a, engine_type_index(a->eng, task->type), task, kind, n);
}

/* Engine time. In deterministic mode it is the lane's, and moves by ticks (lane.h). */
static inline uint64_t engine_now(const struct engine *eng) {
    return GMK_UNLIKELY(eng->cfg.deterministic)
               ? atomic_load_explicit(&eng->lane_now, memory_order_relaxed)
               : hal_now_ns();
}

static inline void agent_sched(struct agent *a, enum sched_kind kind, uint64_t n) {
    count_add(&a->sched[kind], n);
}

/* Notes the time in every 2^stamp_shift-th task that enters, for the histograms. */
static inline void agent_stamp(struct agent *a, gmk_task_t *task) {
    if (GMK_LIKELY((++a->stamp_count & a->eng->stamp_mask) != 0) ||
        (task->flags & GMK_TASK_DEADLINE))
        return;
    task->flags |= GMK_TASK_STAMPED;
    task->when_ns = hal_now_ns();
}
