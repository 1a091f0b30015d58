/* Module: handlers, channels, services and a lifecycle; the unit of composition. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/task.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gmk_kernel;

/* What a handler, an init or an attached thread holds while it is inside the engine.
 * Valid during the call only (attached threads: until detach); never shared. */
typedef struct gmk_ctx {
    gmk_task_t *task;          /* the task being handled; NULL outside of handlers. A handler
                                  may change meta0, meta1: a yield or retry keeps the change */
    struct gmk_kernel *kernel; /* the engine it runs in */
    void *state;               /* the module's own pointer: set in init, seen in its handlers */
    uint64_t lost;             /* messages this subscription lost just before this one */
    struct agent *agent;       /* (engine) the worker or client behind this context */
    struct sandbox *sandbox;   /* (engine) recorder, in unit tests of handlers */
    uint16_t module;           /* (engine) module whose code runs */
    uint8_t outcome;           /* (engine) what gmk_yield() and its like asked for */
    uint64_t resume_ns;        /* (engine) when, for gmk_yield_at() */
} gmk_ctx_t;

/* A handler runs one task to completion. Returns GMK_OK; GMK_RETRY (again later, with
 * exponential backoff, up to the limit); or a negative code: the task failed and goes to
 * sys.error. It must not block: wait with gmk_group_wait() or gmk_chan_send(), or yield. */
typedef int (*gmk_handler_fn)(gmk_ctx_t *ctx);

typedef struct gmk_handler_reg {
    uint32_t type;     /* 1 .. GMK_TYPES_MAX-1; unique in the engine */
    gmk_handler_fn fn; /* not NULL */
    const char *name;  /* for traces, metrics and reports; NULL = the module's name */
} gmk_handler_reg_t;

/* Privilege of a module: what it may touch. USER: tasks, channels, services, memory.
 * DRIVER: also system channels' subscriptions, tenant limits and type reset. KERNEL:
 * everything, early init included. A module may depend only on equal or more privileged
 * ones, and a service may be looked up only by modules of at least its `level`. */
enum gmk_privilege {
    GMK_USER = 0,
    GMK_DRIVER = 1,
    GMK_KERNEL = 2,
};

enum gmk_chan_dir { GMK_IN = 1, GMK_OUT = 2 };

/* A channel as a module declares it. The first declaration in boot order opens it with
 * its options; all declarations of one name must agree on `type` (ETYPE at boot). */
typedef struct gmk_chan_decl {
    const char *name;        /* "namespace.noun" */
    uint32_t type;           /* message type; the same id in every declaration */
    uint8_t dir;             /* enum gmk_chan_dir: GMK_IN subscribes `fn` */
    uint8_t options;         /* GMK_CHAN_... of the channel */
    uint8_t sub_options;     /* GMK_SUB_..., for GMK_IN */
    uint32_t slots;          /* 0 = cfg.channel_slots */
    gmk_handler_fn fn;       /* GMK_IN: the handler; NULL = the module's handler for `type` */
    gmk_handler_fn on_error; /* GMK_IN: gets failed messages before sys.error; may be NULL */
    uint32_t *id;            /* receives the channel id at boot; may be NULL */
} gmk_chan_decl_t;

typedef struct gmk_module {
    const char *name; /* unique; not NULL */
    uint32_t version; /* GMK_VERSION(...) */
    const gmk_handler_reg_t *handlers;
    uint32_t n_handlers;
    const gmk_chan_decl_t *channels;
    uint32_t n_channels;
    const char *const *depends; /* names of modules that must be up before this one */
    uint32_t n_depends;
    enum gmk_privilege privilege;

    /* Lifecycle, each may be NULL, each on the booting thread with a context of its own:
     * early_init  (GMK_KERNEL only) before the declared channels are open;
     * init        channels are open; set ctx->state here. What an init submits or sends waits
     *             until every init has run: workers start last, so no handler ever meets a
     *             module that is not up. Hence an init must not wait for a task;
     * fini        in reverse order, workers still run; ordinary work has drained.
     * A failing init (not GMK_OK) makes boot return EINIT after fini of exactly the
     * modules whose init had succeeded (and early_fini of whose early_init had). */
    int (*early_init)(gmk_ctx_t *ctx);
    int (*init)(gmk_ctx_t *ctx);
    void (*fini)(gmk_ctx_t *ctx);
    void (*early_fini)(gmk_ctx_t *ctx);
} gmk_module_t;

/* Self-registration: GMK_MODULE(my_module) after the definition of `gmk_module_t
 * my_module` places a pointer in the section "gmk_modules"; gmk_boot() finds it. The
 * constructor tells the library where this program's section lies, which also works when
 * the library is shared. */
extern gmk_module_t *__start_gmk_modules[] __attribute__((weak, visibility("hidden")));
extern gmk_module_t *__stop_gmk_modules[] __attribute__((weak, visibility("hidden")));
GMK_API void gmk_modules_section(gmk_module_t *const *first, gmk_module_t *const *end);

/* Takes it back when the program or library that holds the section goes (dlclose). */
GMK_API void gmk_modules_section_gone(gmk_module_t *const *first, gmk_module_t *const *end);

#define GMK_MODULE(module)                                                     \
    static gmk_module_t *const gmk_module_entry_##module                       \
        __attribute__((section("gmk_modules"), used)) = &(module);             \
    __attribute__((constructor)) static void gmk_module_found_##module(void) { \
        gmk_modules_section((gmk_module_t *const *)__start_gmk_modules,        \
                            (gmk_module_t *const *)__stop_gmk_modules);        \
    }                                                                          \
    __attribute__((destructor)) static void gmk_module_gone_##module(void) {   \
        gmk_modules_section_gone((gmk_module_t *const *)__start_gmk_modules,   \
                                 (gmk_module_t *const *)__stop_gmk_modules);   \
    }

/* ---- Services: typed interfaces that modules publish --------------------------- */

/* Publishes `interface` (a structure of functions, owned by the publisher, alive until it
 * withdraws or halts) under `name`. `level`: who may look it up. EEXIST, ELIMIT, EINVAL. */
GMK_API int gmk_service_publish(gmk_ctx_t *ctx, const char *name, uint32_t version,
                                const void *interface, enum gmk_privilege level);

/* The interface, if it is there in the same major version and at least this minor and
 * patch, and the caller's privilege suffices; else NULL, and *why (may be NULL) is
 * ENOENT, EVERSION or EPERM. */
GMK_API const void *gmk_service_get(gmk_ctx_t *ctx, const char *name, uint32_t version, int *why);

/* Takes back what this module published. ENOENT, EPERM (another module's). */
GMK_API int gmk_service_withdraw(gmk_ctx_t *ctx, const char *name);

/* Typed form: GMK_SERVICE_GET(ctx, struct clock_ops, "clock", GMK_VERSION(1,0,0)) */
#define GMK_SERVICE_GET(ctx, type, name, version) \
    ((const type *)gmk_service_get((ctx), (name), (version), NULL))

#ifdef __cplusplus
}
#endif
