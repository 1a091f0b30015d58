/* Sandbox: runs one handler without an engine and records what it did, for unit tests of
 * modules. Everything a handler may call with its ctx works against the recorder.
 *
 *     gmk_sandbox_t *box = gmk_sandbox_init(malloc(gmk_sandbox_size()), gmk_sandbox_size());
 *     gmk_sandbox_run(box, my_handler, &(gmk_task_t){.type = 1, .meta0 = 42}, NULL);
 *     assert(gmk_sandbox_emit_count(box) == 1 && gmk_sandbox_faults(box) == 0);
 *
 * Nothing runs by itself: to let the next handler see an emitted task, run it with the
 * task recorded. One thread per sandbox. */
#pragma once

#include "ggmk/base.h"
#include "ggmk/error.h"
#include "ggmk/module.h"
#include "ggmk/task.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GMK_SANDBOX_EMITS_MAX    256u /* recorded; a further emit gets EAGAIN */
#define GMK_SANDBOX_BLOCKS_MAX   256u /* blocks, the freed ones that are still watched included */
#define GMK_SANDBOX_CHANNELS_MAX 64u  /* the two of the system included */
#define GMK_SANDBOX_GROUPS_MAX   64u  /* open at the same time */
#define GMK_SANDBOX_MEMORY       ((size_t)256 * 1024) /* bytes for blocks and gmk_bump() */

/* One recorded emit, in the order made. */
typedef struct gmk_sandbox_emit {
    gmk_task_t task;  /* as passed; payload as passed */
    uint32_t channel; /* 0: gmk_emit(); else the channel of gmk_chan_emit() / _send() */
    uint64_t at_ns;   /* 0: at once */
} gmk_sandbox_emit_t;

typedef struct sandbox gmk_sandbox_t;

/* Bytes of a sandbox; the caller provides them (8-aligned) and owns them. What is given
 * beyond gmk_sandbox_size() is more memory for blocks. NULL when too small or misaligned. */
GMK_API size_t gmk_sandbox_size(void);
GMK_API gmk_sandbox_t *gmk_sandbox_init(void *memory, size_t size);

/* Runs `fn` once with a copy of `task` and `state`. Returns what the handler returned, or
 * GMK_YIELDED when it gave way. Emits accumulate over several runs.
 * A payload that is a block of this sandbox is treated as the engine would: the run takes
 * one reference (a recorded emit's, or the one the test got by allocating it) and drops it
 * afterwards, unless the handler gave way or asked for a retry: then it is kept for the
 * next run. `task` may be NULL: for an init, which sees ctx->task NULL. */
GMK_API int gmk_sandbox_run(gmk_sandbox_t *box, gmk_handler_fn fn, const gmk_task_t *task,
                            void *state);

/* The context handlers run with, to call functions directly: an init, a fini, or
 * gmk_alloc() for the payload of a task to run. Its `state` is what the last run left. */
GMK_API gmk_ctx_t *gmk_sandbox_ctx(gmk_sandbox_t *box);

/* The task as the last run left it, its yields and retries counted: what the engine would
 * run again after a yield. gmk_sandbox_resume_ns(): not before this time (gmk_yield_at()). */
GMK_API const gmk_task_t *gmk_sandbox_task(const gmk_sandbox_t *box);
GMK_API uint64_t gmk_sandbox_resume_ns(const gmk_sandbox_t *box);

/* What was recorded. NULL beyond the count. */
GMK_API uint32_t gmk_sandbox_emit_count(const gmk_sandbox_t *box);
GMK_API const gmk_sandbox_emit_t *gmk_sandbox_emit_at(const gmk_sandbox_t *box, uint32_t index);

/* Blocks allocated in the sandbox that still hold a reference: 0 when nothing leaks.
 * Payloads of recorded emits count as handed on, not as leaks. */
GMK_API uint32_t gmk_sandbox_live_blocks(const gmk_sandbox_t *box);

/* Mistakes with memory so far: written beyond a block or into a freed one, freed twice, a
 * payload emitted without a reference to give away. gmk_sandbox_fault() is the first of
 * them as a sentence, NULL when there is none. New blocks are filled with 0xcd, freed ones
 * with 0xdd, so reading too early or too late shows in what the handler computes. */
GMK_API uint32_t gmk_sandbox_faults(gmk_sandbox_t *box);
GMK_API const char *gmk_sandbox_fault(gmk_sandbox_t *box);

/* Task groups: how many are open, and how often the handler waited (a wait returns at
 * once, as if the group's tasks had ended). set_canceled: what gmk_canceled() says. */
GMK_API uint32_t gmk_sandbox_open_groups(const gmk_sandbox_t *box);
GMK_API uint32_t gmk_sandbox_group_waits(const gmk_sandbox_t *box);
GMK_API void gmk_sandbox_set_canceled(gmk_sandbox_t *box, bool canceled);

/* Value of a metric the handler registered; 0 when there is none of this name. */
GMK_API uint64_t gmk_sandbox_metric(const gmk_sandbox_t *box, const char *name);

/* Knobs: names a channel (gmk_chan_find() finds it as returned id; 0 when the table is full,
 * the name does not fit, or it has another type), publishes a fake service (as
 * gmk_service_publish()), makes the N-th allocation (gmk_bump() included) or emit from now
 * fail (0 = none), sets the clock of gmk_now(). */
GMK_API uint32_t gmk_sandbox_channel(gmk_sandbox_t *box, const char *name, uint32_t type);
GMK_API int gmk_sandbox_service(gmk_sandbox_t *box, const char *name, uint32_t version,
                                const void *interface);
GMK_API void gmk_sandbox_fail_alloc(gmk_sandbox_t *box, uint32_t nth);
GMK_API void gmk_sandbox_fail_emit(gmk_sandbox_t *box, uint32_t nth, int status);
GMK_API void gmk_sandbox_set_now(gmk_sandbox_t *box, uint64_t now_ns);

/* Forgets emits, groups and faults and frees every block; channels, services, metrics and
 * knobs stay. */
GMK_API void gmk_sandbox_reset(gmk_sandbox_t *box);

#ifdef __cplusplus
}
#endif
