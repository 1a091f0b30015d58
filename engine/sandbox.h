/* Sandbox: the recorder behind ggmk/sandbox.h, and what the public functions call on it.
 *
 * A handler only ever touches the engine through its context. So a context whose `sandbox`
 * is set is all it takes: each public function asks for it first and calls its namesake
 * here, and no engine, thread or arena is needed to test a handler.
 *
 * Functions that need no namesake answer by themselves in a sandbox: gmk_self_worker() 0,
 * gmk_tick() and gmk_trace_hash() 0, gmk_trace_event() nothing, gmk_chan_replay() and
 * gmk_chan_stats() ENOTSUP.
 *
 * Invariants between runs:
 *   - the box and all memory it gives out lie in what gmk_sandbox_init() was given;
 *   - for every block: handed <= refs, and refs == 0 means freed and poisoned;
 *   - box->ctx.task is NULL and no block is `running`.
 *
 * One thread per box. Not here: running what was emitted; a test does that. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/service.h"
#include "ggmk/chan.h"
#include "ggmk/kernel.h"
#include "ggmk/metrics.h"
#include "ggmk/sandbox.h"
#include "lib/rand.h"

#define SANDBOX_GUARD     16u          /* bytes before and behind each block */
#define SANDBOX_BLOCK_MAX (128u << 10) /* the engine's largest block */

/* One block in the pool: guard, `size` bytes for the handler, guard up to `room`. */
struct sandbox_block {
    uint32_t offset; /* of the front guard */
    uint32_t room;   /* bytes from the front guard to the end of the back guard */
    uint32_t size;   /* what was asked for */
    uint32_t refs;   /* 0: freed */
    uint32_t handed; /* references that travel with recorded emits */
    uint32_t freed;  /* when it was freed: the oldest is reused first */
};

struct sandbox_chan {
    char name[GMK_NAME_MAX];
    uint32_t type; /* 0: every type */
    uint32_t subs; /* subscriptions made */
    bool closed;
};

struct sandbox_group {
    uint32_t handle; /* 0: free */
    bool canceled;
};

struct sandbox_metric {
    char name[GMK_NAME_MAX];
    uint64_t value;
};

/* A countdown: the call that brings it to 0 fails. */
struct sandbox_failure {
    uint32_t left; /* 0: none is planned */
    int status;
};

struct sandbox {
    gmk_ctx_t ctx;
    gmk_kernel_t kernel; /* a halted one: what needs an engine says EHALTED */
    gmk_task_t task;     /* the run's copy */
    uint64_t resume_ns;
    uint64_t now_ns;
    struct rand_state random;

    struct sandbox_failure fail_alloc;
    struct sandbox_failure fail_emit;
    uint32_t faults;
    const char *first_fault;

    gmk_sandbox_emit_t emits[GMK_SANDBOX_EMITS_MAX];
    uint32_t n_emits;

    struct sandbox_block blocks[GMK_SANDBOX_BLOCKS_MAX];
    uint32_t n_blocks;
    uint32_t n_freed;              /* blocks freed so far */
    struct sandbox_block *running; /* payload of the task that runs; NULL: none or foreign */
    unsigned char *pool;           /* 16-aligned; blocks grow from the front, bump from the end */
    size_t pool_size;              /* a multiple of 16 */
    size_t pool_used;
    size_t bump_used;

    struct sandbox_chan chans[GMK_SANDBOX_CHANNELS_MAX]; /* id - 1 is the index */
    uint32_t n_chans;
    struct sandbox_group groups[GMK_SANDBOX_GROUPS_MAX];
    uint32_t last_group; /* handle given out last */
    uint32_t waits;
    bool canceled;
    struct sandbox_metric metrics[GMK_METRICS_MAX];
    uint32_t n_metrics;
    struct service_table services;
};

/* ---- Tasks and channels: sandbox_calls.c ------------------------------------------- */

int sandbox_emit(struct sandbox *box, uint32_t channel, const gmk_task_t *task, uint64_t at_ns);
int sandbox_emit_n(struct sandbox *box, uint32_t channel, const gmk_task_t *tasks, uint32_t count);
void sandbox_yield(gmk_ctx_t *ctx, uint64_t at_ns);

int sandbox_chan_open(struct sandbox *box, const char *name, uint32_t type, uint32_t *out_chan);
int sandbox_chan_find(struct sandbox *box, const char *name, uint32_t *out_chan);
int sandbox_chan_sub(struct sandbox *box, uint32_t chan, uint32_t *out_sub);
int sandbox_chan_unsub(struct sandbox *box, uint32_t chan, uint32_t sub);
int sandbox_chan_ack(struct sandbox *box, uint32_t chan, uint32_t sub);
int sandbox_chan_close(struct sandbox *box, uint32_t chan);

/* ---- Groups, services, metrics, time: sandbox_calls.c -------------------------------- */

int sandbox_group_open(struct sandbox *box, uint32_t *out_group);
int sandbox_group_wait(struct sandbox *box, uint32_t group);
int sandbox_group_cancel(struct sandbox *box, uint32_t group);
int sandbox_group_drop(struct sandbox *box, uint32_t group);
bool sandbox_canceled(const struct sandbox *box);

int sandbox_service_publish(struct sandbox *box, const char *name, uint32_t version,
                            const void *interface, enum gmk_privilege level);
const void *sandbox_service_get(struct sandbox *box, const char *name, uint32_t version, int *why);
int sandbox_service_withdraw(struct sandbox *box, const char *name);

int sandbox_metric_register(struct sandbox *box, const char *name, uint32_t *out_id);
void sandbox_metric_inc(struct sandbox *box, uint32_t metric, uint64_t delta);

uint64_t sandbox_now(const struct sandbox *box);
uint64_t sandbox_random(struct sandbox *box);
uint32_t sandbox_self_tenant(const struct sandbox *box);

/* ---- Memory: sandbox_memory.c --------------------------------------------------------- */

void *sandbox_alloc(struct sandbox *box, size_t size);
void sandbox_free(struct sandbox *box, void *address);
int sandbox_retain(struct sandbox *box, void *address);
void sandbox_payload_retain(gmk_ctx_t *ctx);
void sandbox_payload_release(gmk_ctx_t *ctx);
void *sandbox_bump(struct sandbox *box, size_t size);
void sandbox_bump_reset(struct sandbox *box);

/* ---- Between the sandbox*.c files ------------------------------------------------------ */

/* Counts a mistake of the handler and logs it. */
void sandbox_fault(struct sandbox *box, const char *sentence);

/* One more call: is this the one that was to fail? */
bool sandbox_fails(struct sandbox_failure *failure);

/* A payload goes with a recorded emit, or with a run and back. */
void sandbox_hand_on(struct sandbox *box, const void *payload);
void sandbox_run_takes(struct sandbox *box, const void *payload);
void sandbox_run_ends(struct sandbox *box, bool again);

/* Looks at every guard and every freed block. */
void sandbox_check(struct sandbox *box);
void sandbox_forget_blocks(struct sandbox *box);
