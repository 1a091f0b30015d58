/* Kernel: boot, submit, drain and halt one engine; attach foreign threads to it. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/module.h"
#include "ggmk/task.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One engine. The caller owns this memory and keeps it until gmk_halt() has returned;
 * the fields belong to the engine. Several engines may live in one process. A handle
 * must be zeroed before its first use with anything but gmk_boot(). */
typedef struct gmk_kernel {
    void *engine;     /* NULL when not running */
    uint64_t boot_id; /* differs for every boot of the process; 0 when not running */
} gmk_kernel_t;

/* What a boot may decide. Zero in a field means the default named behind it. */
typedef struct gmk_boot_cfg {
    size_t arena_size;  /* bytes; 64 MiB. gmk_boot_arena_min() says the least for a cfg */
    uint32_t n_workers; /* hal CPU count, at most GMK_WORKERS_MAX */
    uint32_t n_tenants; /* 1; at most GMK_TENANTS_MAX */

    uint32_t max_clients; /* 16; foreign threads inside at the same time, at most GMK_CLIENTS_MAX */
    uint32_t
        max_types; /* 128; different types, the engine's own not counted; at most GMK_TYPES_MAX */
    uint32_t max_groups;       /* 1024; task groups alive at the same time, at most 65535 */
    uint32_t max_timers;       /* 8192; tasks waiting for their time */
    uint32_t ready_slots;      /* 8192; slots of each of the 4 ready rings, power of two */
    uint32_t local_slots;      /* 256; slots of each local queue, power of two */
    uint32_t channel_slots;    /* 1024; default slots of a channel, power of two */
    uint32_t max_yields;       /* 10000; a task that gives way more often, not counting
                               gmk_yield_at() with a time, is dead-lettered
                               and its type poisoned */
    uint32_t max_retries;      /* 8; at most 15 */
    uint64_t retry_base_ns;    /* 1 ms; doubled at each retry */
    uint64_t retry_max_ns;     /* 1 s */
    uint32_t poison_failures;  /* 100; so many failures of one type ... */
    uint64_t poison_window_ns; /* 1 s; ... within this time poison it; UINT64_MAX: never */
    uint64_t halt_timeout_ns;  /* 10 s; how long gmk_halt() lets work drain */
    uint64_t hang_ns;          /* 1 s; a handler running longer is reported; UINT64_MAX: never */
    uint64_t tenant_limit;     /* 0 = none: default limit of queued tasks per tenant */

    bool deterministic;   /* run everything in the ordered lane, in gmk_drain() and gmk_halt() */
    uint64_t seed;        /* feeds gmk_random() in deterministic mode */
    bool no_auto_modules; /* ignore modules registered with GMK_MODULE */
    bool dump_on_request; /* SIGQUIT prints gmk_dump() (hosted) */
    bool pin_workers;     /* worker i runs on the i-th allowed CPU */
    uint8_t trace_level;  /* enum gmk_trace_level; 0 = off */
    uint8_t log_level;    /* enum gmk_log_level, process-wide; 0 leaves it as it is */
    uint8_t stamp_shift;  /* every 2^n-th task is timed for the histograms; 0 = 8 */
} gmk_boot_cfg_t;

/* Boots an engine: checks everything, runs early init and init of every module in the order
 * of their dependencies, then starts the workers. `mods` may be NULL when n_mods is 0;
 * the modules and what they point to must live until halt. cfg may be NULL.
 * Returns GMK_OK, or an error and leaves nothing behind (the log says which module,
 * field or name was wrong): EINVAL, ENOMEM (arena too small), EEXIST (duplicate type,
 * module or channel), ECYCLE, EDEPEND, ETYPE, EPERM, EINIT, ESYS, EBUSY (already running).
 * Thread context; not from a handler. */
GMK_API int gmk_boot(gmk_kernel_t *kernel, const gmk_boot_cfg_t *cfg, gmk_module_t *const *mods,
                     uint32_t n_mods);

/* Least arena_size that boots with this cfg (may be NULL) and no modules. */
GMK_API size_t gmk_boot_arena_min(const gmk_boot_cfg_t *cfg);

/* Hands a task to the engine. The task is copied. On GMK_OK the engine owns one
 * reference of the payload; on an error nothing was taken. Errors: EINVAL (flags,
 * group), ETYPE, ETENANT, ELIMIT, EPOISONED, EHALTED, EAGAIN (full: back off),
 * ECANCELED. Any thread, also handlers. Never blocks. */
GMK_API int gmk_submit(gmk_kernel_t *kernel, const gmk_task_t *task);

/* The same for `count` tasks with one wake-up. Returns how many were taken, in order
 * from the first; an error code only when the first one was refused. */
GMK_API int gmk_submit_n(gmk_kernel_t *kernel, const gmk_task_t *tasks, uint32_t count);

/* Queues the task at engine time `at_ns` (gmk_now()), exactly ordered among timed tasks.
 * Further errors: ELIMIT when max_timers wait already. */
GMK_API int gmk_submit_at(gmk_kernel_t *kernel, const gmk_task_t *task, uint64_t at_ns);

/* Blocks until nothing is queued, running or timed, or `timeout_ns` passed (ETIMEOUT).
 * In deterministic mode this call runs the work. Not from a handler or an init (EPERM). */
GMK_API int gmk_drain(gmk_kernel_t *kernel, uint64_t timeout_ns);

/* Stops: refuses new work from outside, lets queued work finish within halt_timeout_ns
 * (timed tasks that are not due are dead-lettered with GMK_DROP_HALT), runs fini of the
 * modules in reverse order, joins the workers, frees everything. Returns GMK_OK, EDRAIN
 * (something was dead-lettered because time ran out: the log counts it) or EHALTED (not
 * running). Safe against threads that submit meanwhile: they get EHALTED. Not from a
 * handler or an export's callback (EPERM) nor an init (EHALTED). EBUSY: every client place
 * is taken by other threads. A handler that never returns keeps halt waiting: the watchdog
 * names it. */
GMK_API int gmk_halt(gmk_kernel_t *kernel);

/* The calling thread's own context, to use the functions that take a gmk_ctx_t outside
 * of handlers. Constant for the thread until it detaches or the engine halts. NULL when
 * the engine is not running or max_clients threads are attached. gmk_submit() attaches
 * by itself; a thread that ends is detached. Inside a handler: the handler's context. */
GMK_API gmk_ctx_t *gmk_attach(gmk_kernel_t *kernel);
GMK_API void gmk_detach(gmk_kernel_t *kernel);

/* Lifts the poison from a type. ENOENT: no such type; EPERM: a USER module asks. */
GMK_API int gmk_type_reset(gmk_kernel_t *kernel, uint32_t type);

/* Sets a tenant's limit of tasks inside the engine (queued or running) and bytes of
 * blocks held; 0 = none. ETENANT; EPERM (a USER module); ENOTSUP: an engine with one tenant
 * that was booted without tenant_limit does not count. */
GMK_API int gmk_tenant_limit(gmk_kernel_t *kernel, uint8_t tenant, uint64_t tasks, uint64_t bytes);

#ifdef __cplusplus
}
#endif
