/* Module set: the modules of one engine, checked, put in order, started and stopped.
 *
 * A boot takes modules from two places, the array it is given and the program's section
 * "gmk_modules", and must refuse every set that could not work before it runs a line of
 * any of them. After that it has one more promise to keep: if the N-th init fails,
 * exactly the ones before it are shut down, in reverse.
 *
 * The idea: one table of fixed size. module_collect() fills it, module_check() judges it
 * and sorts it so that an index is a module's place in the boot order, and the lifecycle
 * walks it forwards and backwards by two flags per module.
 *
 *   collected --module_check()--> ordered --module_start_early()--> early up
 *      early up --module_start()--> up --module_stop()--> early up --module_stop_early()--> ordered
 *
 * Invariants after module_check() said GMK_OK:
 *   - every name is there, short enough and unique; every type has one owner;
 *   - a module stands behind everything it depends on, else in the order given;
 *   - all declarations of one channel agree.
 *
 * Who may call: the booting or halting thread, one at a time. Every loop is bounded by
 * the limits in ggmk/base.h and by the counts in the modules; nothing recurses.
 * Not here: threads, queues, opening channels. This part knows no other of the engine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ggmk/chan.h"
#include "ggmk/module.h"

/* Objects with a "gmk_modules" section of their own: the program and its libraries. */
#define MODULE_SECTIONS_MAX 32u

/* Declarations of one module: every channel of an engine, in both directions. */
#define MODULE_DECLS_MAX (2u * GMK_CHANNELS_MAX)

#define MODULE_NONE UINT16_MAX /* not a module's index */

struct module_entry {
    gmk_module_t *module;
    void *state;       /* ctx->state between calls */
    uint16_t given;    /* its place in the order given */
    uint8_t privilege; /* enum gmk_privilege */
    bool early_up;     /* early_init succeeded or there is none; early_fini has not run */
    bool up;           /* the same for init and fini */
};

/* One channel name that modules declare. */
struct module_chan {
    const gmk_chan_decl_t *decl; /* the first in boot order: its options count */
    uint16_t module;             /* who declared it first */
    uint16_t inputs;             /* GMK_IN declarations so far */
    uint16_t input_module;       /* who declared the last of them */
};

struct module_set {
    uint32_t count;
    struct module_entry entries[GMK_MODULES_MAX]; /* in boot order once checked */

    /* Told when a module is gone (its fini has run, or its init failed), so that what it
     * left behind can be taken back. May be NULL; set by the engine before a start. */
    void (*gone)(void *arg, uint16_t module);
    void *gone_arg;

    /* What module_check() learns. Bit d of needs[g]: the module given at place g depends
     * on the one given at place d. */
    uint64_t needs[GMK_MODULES_MAX][(GMK_MODULES_MAX + 63u) / 64u];
    uint16_t type_owner[GMK_TYPES_MAX]; /* index, MODULE_NONE: no handler for this type */
    struct module_chan chans[GMK_CHANNELS_MAX];
    uint32_t n_chans;
    uint32_t n_opened; /* of them, those that the engine has to open for modules */
};

/* Fills the set with `mods` and, with `use_sections`, with what GMK_MODULE registered; a
 * module found in both counts once. EINVAL (NULL entry), EEXIST (twice in `mods`),
 * ELIMIT. `set` needs no preparation. */
int module_collect(struct module_set *set, gmk_module_t *const *mods, uint32_t n_mods,
                   bool use_sections);

/* Checks everything and sorts the set into boot order. The log says in one line what was
 * wrong. EINVAL, EEXIST, EDEPEND, EPERM, ECYCLE, ETYPE, ELIMIT. */
int module_check(struct module_set *set);

/* Runs early_init (init) of every module in boot order. `ctx` is prepared by the caller;
 * module and state are set here for each call and are as before on return. When one
 * fails, those that had succeeded get their early_fini (fini) in reverse: EINIT. */
int module_start_early(struct module_set *set, gmk_ctx_t *ctx);
int module_start(struct module_set *set, gmk_ctx_t *ctx);

/* Runs fini (early_fini) of every module that is up, in reverse. A second call finds
 * nothing to do. */
void module_stop(struct module_set *set, gmk_ctx_t *ctx);
void module_stop_early(struct module_set *set, gmk_ctx_t *ctx);

/* The module's own handler for a type, or NULL. */
const gmk_handler_reg_t *module_handler(const gmk_module_t *module, uint32_t type);

/* A name that fits: not NULL, not empty, shorter than GMK_NAME_MAX. */
bool module_name_fits(const char *name);

/* One of the two channels that the engine opens itself and that carry every type. */
bool module_chan_is_engines(const char *name);

/* ---- Between the module_*.c files ------------------------------------------------ */

/* Logs why a set is refused and returns `status`. */
int module_refuse(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int module_collect_sections(struct module_set *set);
int module_add(struct module_set *set, gmk_module_t *module, bool known_is_fine);
int module_order(struct module_set *set);
int module_chan_check_alone(const gmk_module_t *module);
int module_chan_check_all(struct module_set *set);
