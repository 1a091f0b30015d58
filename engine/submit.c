/* Submit: how tasks get in, from outside and from handlers. See ggmk/kernel.h, ggmk/run.h. */
#include <string.h>

#include "engine/agent.h"
#include "engine/enqueue.h"
#include "engine/gather.h"
#include "engine/group.h"
#include "engine/run.h"
#include "engine/sandbox.h"
#include "engine/tenant.h"
#include "ggmk/run.h"

/* May this task come in? Nothing is changed. */
static inline int check(struct agent *a, const gmk_task_t *task, uint32_t index) {
    struct type_info *type = &a->eng->types[index];
    if (GMK_UNLIKELY(index == 0 || type->fn == NULL))
        return GMK_ETYPE;
    if (GMK_UNLIKELY(task->tenant >= a->eng->cfg.n_tenants))
        return GMK_ETENANT;
    if (GMK_UNLIKELY((task->flags & ~GMK_TASK_USER_FLAGS) != 0 ||
                     (task->flags & GMK_TASK_PRIO_MASK) > GMK_PRIORITIES ||
                     (task->len != 0 && task->payload == NULL)))
        return GMK_EINVAL;
    if (GMK_UNLIKELY(atomic_load_explicit(&type->poisoned, memory_order_relaxed)))
        return GMK_EPOISONED;
    return GMK_OK;
}

/* The task as it travels: the caller's fields, the rest zero, in `group`. Reads field by
 * field and writes word by word: the caller has just written these very fields, the ring is
 * about to read these very words, and a load that is wider than the store it needs would wait
 * until that has left the store buffer (see ring_copy.h). Little-endian layout. */
static inline void copy_in(gmk_task_t *copy, const gmk_task_t *task, uint32_t group) {
    const uint64_t words[] = {
        (uint64_t)task->type << 32,
        (uint64_t)task->flags | (uint64_t)task->tenant << 32,
        0,
        (uint64_t)(uintptr_t)task->payload,
        (uint64_t)task->len | (uint64_t)group << 32,
        task->meta0,
        task->meta1,
        task->flags & GMK_TASK_DEADLINE ? task->when_ns : 0,
    };
    GMK_STATIC_ASSERT(sizeof(words) == sizeof(*copy), "every word of a task is written");
    GMK_STATIC_ASSERT(offsetof(gmk_task_t, tenant) == 12, "tenant is byte 4 of word 1");
    GMK_STATIC_ASSERT(offsetof(gmk_task_t, group) == 36, "group is the upper half of word 4");
    ring_copy_words(copy, words, sizeof(words));
}

/* The group that a new task joins: its own, or that of the handler that emits it, which
 * keeps it alive. */
static inline int join_group(struct agent *a, const gmk_task_t *task, uint32_t *out) {
    uint32_t inherited = a->ctx->task != NULL ? a->ctx->task->group : 0;
    uint32_t group = task->group != 0 ? task->group : inherited;
    *out = group;
    if (GMK_LIKELY(group == 0))
        return GMK_OK;
    if (group != inherited && group_find(a->eng, group) == NULL)
        return GMK_EINVAL;
    if (GMK_UNLIKELY(group_is_canceled(a->eng, group)))
        return GMK_ECANCELED;
    return GMK_OK;
}

/* Checks and admits; *copy is the task as it travels. GMK_OK: it is counted everywhere and
 * must be queued or taken back with retract(). */
static inline int admit(struct agent *a, const gmk_task_t *task, enum count_kind kind,
                        gmk_task_t *copy) {
    uint32_t index = engine_type_index(a->eng, task->type);
    int status = check(a, task, index);
    if (GMK_UNLIKELY(status != GMK_OK))
        return status;
    uint32_t group;
    status = join_group(a, task, &group);
    if (GMK_UNLIKELY(status != GMK_OK))
        return status;
    if (GMK_UNLIKELY(!tenant_enter(a->eng, task->tenant)))
        return GMK_ELIMIT;
    copy_in(copy, task, group);
    if (group != 0)
        group_spawn(a, group);
    agent_stamp(a, copy);
    agent_count_type(a, index, copy, kind, 1);
    return GMK_OK;
}

static void retract(struct agent *a, const gmk_task_t *task, enum count_kind kind) {
    agent_count(a, task, kind, (uint64_t)-1);
    tenant_leave(a->eng, task->tenant);
    if (task->group != 0)
        group_end(a, task->group);
}

static int refuse(struct agent *a, int status) {
    agent_sched(a, SCHED_REFUSED, 1);
    return status;
}

static int put(struct agent *a, const gmk_task_t *task, enum count_kind kind) {
    gmk_task_t copy;
    int status = admit(a, task, kind, &copy);
    if (GMK_UNLIKELY(status != GMK_OK))
        return refuse(a, status);
    trace_event(&a->trace, kind == COUNT_EMITTED ? TRACE_EMIT : TRACE_SUBMIT, copy.type);
    status = enqueue(a, &copy, ENQUEUE_NEW);
    if (GMK_UNLIKELY(status != GMK_OK)) {
        retract(a, &copy, kind);
        return refuse(a, status);
    }
    return GMK_OK;
}

/* Does the engine halt? Then no time will come but for what is inside already. */
static bool is_halting(const struct engine *eng) {
    return atomic_load_explicit(&eng->state, memory_order_relaxed) >= ENGINE_HALTING;
}

static int put_at(struct agent *a, const gmk_task_t *task, uint64_t at_ns, enum count_kind kind) {
    gmk_task_t copy;
    int status = admit(a, task, kind, &copy);
    if (status != GMK_OK)
        return refuse(a, status);
    copy.flags &= (uint16_t)~GMK_TASK_STAMPED; /* waiting for its time is not queueing */
    if (timer_push(a, &copy, at_ns))
        return GMK_OK;
    retract(a, &copy, kind);
    return refuse(a, is_halting(a->eng) ? GMK_EHALTED : GMK_ELIMIT);
}

static enum count_kind kind_of(const struct agent *a) {
    return a->is_worker && a->depth != 0 ? COUNT_EMITTED : COUNT_SUBMITTED;
}

/* ---- From outside -------------------------------------------------------------------------- */

int gmk_submit(gmk_kernel_t *kernel, const gmk_task_t *task) {
    int status;
    if (GMK_UNLIKELY(task == NULL))
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (GMK_UNLIKELY(a == NULL))
        return status;
    status = put(a, task, kind_of(a));
    agent_leave(a);
    return status;
}

int gmk_submit_at(gmk_kernel_t *kernel, const gmk_task_t *task, uint64_t at_ns) {
    int status;
    if (task == NULL)
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    status = put_at(a, task, at_ns, kind_of(a));
    agent_leave(a);
    return status;
}

#define SUBMIT_CHUNK 24u /* tasks admitted before they are queued: 1.5 KiB of stack */

/* Does it travel exactly as the caller wrote it, and is it just like the first but for its
 * payload and words? */
static inline bool is_plain(const gmk_task_t *task, const gmk_task_t *first) {
    return task->type == first->type && task->flags == first->flags &&
           task->tenant == first->tenant && task->seq == 0 && task->group == 0 &&
           task->when_ns == 0 && (task->channel | task->sub | task->yield_count) == 0 &&
           (task->len == 0 || task->payload != NULL);
}

/* Queues plain tasks straight from the caller's array, checked once and counted once; how
 * many were taken. 0: the first needs the usual way, or there is no room. */
static uint32_t put_plain(struct agent *a, const gmk_task_t *tasks, uint32_t count,
                          enum count_kind kind) {
    struct engine *eng = a->eng;
    uint32_t index = engine_type_index(eng, tasks[0].type);
    uint32_t until_stamp = eng->stamp_mask - (a->stamp_count & eng->stamp_mask);
    uint32_t run = 0;
    if (eng->count_inflight || eng->cfg.deterministic || a->ctx->task != NULL ||
        (tasks[0].flags & (GMK_TASK_DETERMINISTIC | GMK_TASK_DEADLINE)) != 0 ||
        check(a, &tasks[0], index) != GMK_OK)
        return 0;
    count = count < until_stamp ? count : until_stamp;
    while (run < count && is_plain(&tasks[run], &tasks[0]))
        run++;
    agent_count_type(a, index, &tasks[0], kind, run);
    uint32_t taken = enqueue_n(a, tasks, run);
    agent_count_type(a, index, &tasks[0], kind, (uint64_t)taken - run);
    a->stamp_count += taken;
    if (taken != 0)
        trace_event(&a->trace, TRACE_SUBMIT, tasks[0].type);
    return taken;
}

/* Admits and queues one chunk; how many were taken. */
static uint32_t put_chunk(struct agent *a, const gmk_task_t *tasks, uint32_t count, int *why) {
    gmk_task_t copies[SUBMIT_CHUNK];
    enum count_kind kind = kind_of(a);
    uint32_t admitted = 0;
    *why = GMK_OK;
    uint32_t taken = put_plain(a, tasks, count, kind);
    if (taken != 0)
        return taken;
    count = count < SUBMIT_CHUNK ? count : SUBMIT_CHUNK;
    while (admitted < count &&
           (*why = admit(a, &tasks[admitted], kind, &copies[admitted])) == GMK_OK)
        admitted++;
    taken = enqueue_n(a, copies, admitted);
    if (taken < admitted)
        *why = GMK_EAGAIN;
    for (uint32_t i = taken; i < admitted; i++)
        retract(a, &copies[i], kind);
    return taken;
}

int gmk_submit_n(gmk_kernel_t *kernel, const gmk_task_t *tasks, uint32_t count) {
    int status;
    if (count > INT32_MAX || (count != 0 && tasks == NULL))
        return GMK_EINVAL;
    struct agent *a = agent_enter(kernel, &status);
    if (a == NULL)
        return status;
    uint32_t taken = 0;
    status = GMK_OK;
    while (taken < count && status == GMK_OK)
        taken += put_chunk(a, tasks + taken, count - taken, &status);
    if (status != GMK_OK)
        agent_sched(a, SCHED_REFUSED, 1);
    agent_leave(a);
    return taken != 0 || status == GMK_OK ? (int)taken : status;
}

/* ---- From handlers --------------------------------------------------------------------------- */

int gmk_emit(gmk_ctx_t *ctx, const gmk_task_t *task) {
    int status;
    if (GMK_UNLIKELY(ctx == NULL || task == NULL))
        return GMK_EINVAL;
    if (GMK_UNLIKELY(ctx->sandbox != NULL))
        return sandbox_emit(ctx->sandbox, 0, task, 0);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (GMK_UNLIKELY(a == NULL))
        return status;
    status = put(a, task, kind_of(a));
    agent_leave(a);
    return status;
}

int gmk_emit_at(gmk_ctx_t *ctx, const gmk_task_t *task, uint64_t at_ns) {
    int status;
    if (ctx == NULL || task == NULL)
        return GMK_EINVAL;
    if (ctx->sandbox != NULL)
        return sandbox_emit(ctx->sandbox, 0, task, at_ns);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    status = put_at(a, task, at_ns, kind_of(a));
    agent_leave(a);
    return status;
}

/* Is anything of priority 0 waiting? Then running a child on this stack would delay it. */
static void run_urgent_first(struct agent *a) {
    gmk_task_t urgent;
    while (atomic_load_explicit(&a->eng->special, memory_order_relaxed) != 0 &&
           a->depth < GMK_HELP_DEPTH_MAX && gather_urgent(a, &urgent))
        run_task(a, &urgent);
}

int gmk_spawn(gmk_ctx_t *ctx, const gmk_task_t *task) {
    int status;
    gmk_task_t copy;
    if (GMK_UNLIKELY(ctx == NULL || task == NULL))
        return GMK_EINVAL;
    if (GMK_UNLIKELY(ctx->sandbox != NULL))
        return sandbox_emit(ctx->sandbox, 0, task, 0);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (GMK_UNLIKELY(a == NULL))
        return status;
    if (!a->is_worker || a->eng->cfg.deterministic || gmk_task_priority(task) != 2 ||
        (task->flags & GMK_TASK_DETERMINISTIC)) {
        status = put(a, task, kind_of(a));
    } else if ((status = admit(a, task, COUNT_EMITTED, &copy)) != GMK_OK) {
        refuse(a, status);
    } else if (a->depth >= GMK_SPAWN_DEPTH || !enqueue_local(a, &copy)) {
        if (a->depth < GMK_HELP_DEPTH_MAX) {
            run_urgent_first(a);
            run_task(a, &copy);
        } else if ((status = enqueue(a, &copy, ENQUEUE_NEW)) != GMK_OK) {
            retract(a, &copy, COUNT_EMITTED);
            refuse(a, status);
        }
    }
    agent_leave(a);
    return status;
}

static void give_way(gmk_ctx_t *ctx, uint64_t at_ns) {
    if (ctx == NULL || ctx->task == NULL)
        return;
    if (ctx->sandbox != NULL) {
        sandbox_yield(ctx, at_ns);
        return;
    }
    ctx->outcome = 1;
    ctx->resume_ns = at_ns;
}

void gmk_yield(gmk_ctx_t *ctx) {
    give_way(ctx, 0);
}

void gmk_yield_at(gmk_ctx_t *ctx, uint64_t at_ns) {
    give_way(ctx, at_ns);
}

/* ---- Groups -------------------------------------------------------------------------------------- */

int gmk_group_open(gmk_ctx_t *ctx, uint32_t parent, uint32_t *out_group) {
    int status;
    if (ctx == NULL || out_group == NULL)
        return GMK_EINVAL;
    if (ctx->sandbox != NULL)
        return sandbox_group_open(ctx->sandbox, out_group);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    if (parent == 0 && ctx->task != NULL)
        parent = ctx->task->group;
    status = group_open(a, parent, out_group);
    agent_leave(a);
    return status;
}

int gmk_group_wait(gmk_ctx_t *ctx, uint32_t group) {
    int status;
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_group_wait(ctx->sandbox, group);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    status = group_wait(a, group);
    agent_leave(a);
    return status;
}

int gmk_group_cancel(gmk_ctx_t *ctx, uint32_t group) {
    int status;
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_group_cancel(ctx->sandbox, group);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    struct group *g = group_find(a->eng, group);
    if (g != NULL)
        group_cancel(a, g);
    agent_leave(a);
    return g != NULL ? GMK_OK : GMK_EINVAL;
}

int gmk_group_drop(gmk_ctx_t *ctx, uint32_t group) {
    int status;
    if (ctx != NULL && ctx->sandbox != NULL)
        return sandbox_group_drop(ctx->sandbox, group);
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (a == NULL)
        return status;
    struct group *g = group_find(a->eng, group);
    status = g != NULL ? group_drop_handle(a, g) : GMK_EINVAL;
    agent_leave(a);
    return status;
}

bool gmk_canceled(const gmk_ctx_t *ctx) {
    if (ctx == NULL || ctx->task == NULL)
        return false;
    if (ctx->sandbox != NULL)
        return sandbox_canceled(ctx->sandbox);
    return ctx->task->group != 0 && group_is_canceled(ctx->agent->eng, ctx->task->group);
}
