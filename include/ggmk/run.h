/* Run: what a handler does with tasks: emit, yield, group and wait, memory, identity. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/module.h"
#include "ggmk/task.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Tasks -------------------------------------------------------------------- */

/* Queues a task from inside a handler; it inherits the handler's group when it names
 * none. Ownership and errors as gmk_submit(). Worker contexts put normal-priority tasks
 * into their own queue, from which idle workers steal. */
GMK_API int gmk_emit(gmk_ctx_t *ctx, const gmk_task_t *task);

/* The same at engine time `at_ns`. With GMK_TASK_DEADLINE in flags, task->when_ns is the
 * latest start; a later one is dead-lettered with GMK_DROP_DEADLINE. */
GMK_API int gmk_emit_at(gmk_ctx_t *ctx, const gmk_task_t *task, uint64_t at_ns);

/* Queues a task like gmk_emit(), but runs it at once, on this stack, when this worker's own
 * queue is full or GMK_SPAWN_DEPTH handlers are on the stack already (never more than
 * GMK_HELP_DEPTH_MAX; tasks of priority 0 go first). For divide and conquer: a tree of any
 * width is spawned in bounded memory, without ever being told "full", and parents that wait
 * for their children nest no deeper than the tree. Where it cannot run here, it is
 * gmk_emit(). */
#define GMK_SPAWN_DEPTH 16u
GMK_API int gmk_spawn(gmk_ctx_t *ctx, const gmk_task_t *task);

/* Gives way: the handler returns after this, whatever it returns, and its task is queued
 * again behind what waits. The payload is kept. Beyond cfg.max_yields the task is
 * dead-lettered and its type poisoned. gmk_yield_at(): not before engine time `at_ns`; such
 * a yield does not count against the limit, since it cannot spin. */
GMK_API void gmk_yield(gmk_ctx_t *ctx);
GMK_API void gmk_yield_at(gmk_ctx_t *ctx, uint64_t at_ns);

/* ---- Groups ------------------------------------------------------------------- */

/* A group counts tasks that belong together. `parent` (0 = the current task's group, or
 * none outside of handlers) makes it part of a tree that is cancelled as one. The handle
 * is released by gmk_group_wait() or gmk_group_drop(). ELIMIT: max_groups alive.
 * Groups nest at most GMK_GROUP_DEPTH_MAX deep (EDEPTH). */
#define GMK_GROUP_DEPTH_MAX 32u
GMK_API int gmk_group_open(gmk_ctx_t *ctx, uint32_t parent, uint32_t *out_group);

/* Waits until every task of the group has ended, then releases the handle. A handler
 * runs other tasks meanwhile (nested at most GMK_HELP_DEPTH_MAX deep: EDEPTH, and the
 * handle stays); an attached thread sleeps. Returns GMK_OK or ECANCELED. A task must not
 * wait for a group it belongs to (EINVAL). EHALTED: the engine
 * stopped first; ETIMEOUT: deterministic mode, and nothing is left that could end it. */
#define GMK_HELP_DEPTH_MAX 64u
GMK_API int gmk_group_wait(gmk_ctx_t *ctx, uint32_t group);

/* Marks the group and all groups below it: their tasks that have not started are
 * dead-lettered with GMK_DROP_CANCELED; running ones can ask gmk_canceled(). */
GMK_API int gmk_group_cancel(gmk_ctx_t *ctx, uint32_t group);
GMK_API bool gmk_canceled(const gmk_ctx_t *ctx);

/* Releases the handle without waiting; the group itself lives until its tasks end. EINVAL:
 * dropped already, or somebody waits for it. */
GMK_API int gmk_group_drop(gmk_ctx_t *ctx, uint32_t group);

/* ---- Memory ------------------------------------------------------------------- */

/* A block of at least `size` bytes (1 byte .. 128 KiB, in the DEV profile 8 bytes less) on a
 * cache line, one reference, charged to the current task's tenant. NULL when there is none. */
GMK_API void *gmk_alloc(gmk_ctx_t *ctx, size_t size);

/* Drops one reference of a block; the last one frees it. NULL is ignored. A pointer that
 * is not a live block is reported in the log and counted, not followed. */
GMK_API void gmk_free(gmk_ctx_t *ctx, void *block);

/* Adds a reference to a block: for every further task that will carry it, or to keep it
 * beyond the handler. EINVAL: not a live block. */
GMK_API int gmk_retain(gmk_ctx_t *ctx, void *block);

/* The current task's payload: keep it beyond the handler / let it go early. */
GMK_API void gmk_payload_retain(gmk_ctx_t *ctx);
GMK_API void gmk_payload_release(gmk_ctx_t *ctx);

/* Scratch memory of this worker, gone at its next gmk_bump_reset(): the engine resets it
 * when the worker has no handler on its stack. NULL when the part is used up or `size`
 * overflows. gmk_bump_reset() by hand drops all of it at once. */
GMK_API void *gmk_bump(gmk_ctx_t *ctx, size_t size);
GMK_API void gmk_bump_reset(gmk_ctx_t *ctx);

/* ---- Identity and time ---------------------------------------------------------- */

/* The worker that runs this handler (UINT32_MAX: an attached thread), and the tenant of
 * its task (0 outside of handlers). */
GMK_API uint32_t gmk_self_worker(const gmk_ctx_t *ctx);
GMK_API uint32_t gmk_self_tenant(const gmk_ctx_t *ctx);

/* Engine time: nanoseconds, monotonic; in deterministic mode it moves by ticks. */
GMK_API uint64_t gmk_now(const gmk_ctx_t *ctx);

/* Pseudo-random; in deterministic mode a function of cfg.seed and the task alone. */
GMK_API uint64_t gmk_random(gmk_ctx_t *ctx);

/* Ordered-lane ticks run so far, and the running hash over everything the lane did. */
GMK_API uint64_t gmk_tick(const gmk_ctx_t *ctx);
GMK_API uint64_t gmk_trace_hash(const gmk_ctx_t *ctx);

#ifdef __cplusplus
}
#endif
