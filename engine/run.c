/* Run: dispatch and settlement of tasks. See run.h. */
#include "engine/run.h"

#include "engine/chan.h"
#include "engine/counts.h"
#include "engine/enqueue.h"
#include "engine/fault.h"
#include "engine/group.h"
#include "engine/lane.h"
#include "engine/memory.h"
#include "engine/tenant.h"
#include "engine/token.h"

/* ---- The handler ----------------------------------------------------------------- */

static enum run_outcome outcome_of(const gmk_ctx_t *ctx, int status) {
    if (ctx->outcome != 0 || status == GMK_YIELDED)
        return RUN_AGAIN;
    if (status == GMK_OK)
        return RUN_COMPLETED;
    return status == GMK_RETRY ? RUN_RETRY : RUN_FAILED;
}

/* The handler with the clock around it: one task in 2^stamp_shift. */
static int run_stamped(struct agent *a, gmk_task_t *task, gmk_handler_fn fn, gmk_ctx_t *ctx) {
    uint64_t start = hal_now_ns();
    hist_record(a->queue_time, start > task->when_ns ? start - task->when_ns : 0);
    int status = fn(ctx);
    hist_record(a->handler_time, hal_now_ns() - start);
    task->flags &= (uint16_t)~GMK_TASK_STAMPED; /* the next round is not a first one */
    task->when_ns = 0;
    return status;
}

/* The body of run_handler(), also inside run_task(), where a call would be felt. */
static inline __attribute__((always_inline)) enum run_outcome
handle(struct agent *a, gmk_task_t *task, const struct run_target *target, uint64_t lost,
       int *status) {
    gmk_ctx_t ctx = {
        .task = task,
        .kernel = a->base.kernel,
        .state = target->state,
        .lost = lost,
        .agent = a,
        .module = target->module,
    };
    gmk_ctx_t *outer = a->ctx; /* a handler below us on this stack may be waiting */
    uint32_t outer_running = atomic_load_explicit(&a->running, memory_order_relaxed);
    bool noted = lane_is_noted(a->eng, task);

    a->ctx = &ctx;
    a->depth++;
    count_add(&a->beat, 1);
    atomic_store_explicit(&a->running, task->type, memory_order_relaxed);
    if (noted)
        lane_note_begin(a, task);
    uint64_t begin = trace_task_begin(&a->trace, target->module);
    if (GMK_UNLIKELY(task->flags & GMK_TASK_STAMPED))
        *status = run_stamped(a, task, target->fn, &ctx);
    else
        *status = target->fn(&ctx);
    trace_task_end(&a->trace, begin, target->trace_name);
    if (noted)
        lane_note_end(a, *status);

    a->resume_ns = ctx.resume_ns;
    atomic_store_explicit(&a->running, outer_running, memory_order_relaxed);
    a->ctx = outer;
    if (--a->depth == 0)
        bump_reset(a->bump);
    return outcome_of(&ctx, *status);
}

enum run_outcome run_handler(struct agent *a, gmk_task_t *task, const struct run_target *target,
                             uint64_t lost, int *status) {
    return handle(a, task, target, lost, status);
}

/* ---- Before ------------------------------------------------------------------------ */

enum gmk_drop_reason run_obstacle(struct agent *a, const gmk_task_t *task) {
    struct engine *eng = a->eng;
    if (GMK_UNLIKELY(atomic_load_explicit(&eng->dropping, memory_order_relaxed)))
        return GMK_DROP_HALT;
    if (task->group != 0 && group_is_canceled(eng, task->group))
        return GMK_DROP_CANCELED;
    if ((task->flags & GMK_TASK_DEADLINE) && engine_now(eng) > task->when_ns)
        return GMK_DROP_DEADLINE;
    return GMK_DROP_NONE;
}

void run_task(struct agent *a, gmk_task_t *task) {
    struct engine *eng = a->eng;
    group_turn_to(a, task->group);
    if (task->flags & GMK_TASK_TOKEN) {
        token_run(a, task);
        return;
    }
    struct type_info *type = &eng->types[engine_type_index(eng, task->type)];
    struct run_target target = {type->fn, type->state, type->module, type->trace_name};
    if (GMK_UNLIKELY(task->sub != 0))
        chan_target(eng, task, &target);

    enum gmk_drop_reason obstacle = GMK_DROP_NONE;
    if (GMK_UNLIKELY(task->group != 0 || (task->flags & GMK_TASK_DEADLINE)) ||
        GMK_UNLIKELY(atomic_load_explicit(&eng->dropping, memory_order_relaxed)))
        obstacle = run_obstacle(a, task);
    if (GMK_UNLIKELY(atomic_load_explicit(&type->poisoned, memory_order_relaxed)) &&
        !chan_is_systems(task)) /* letters of a poisoned type arrive */
        obstacle = GMK_DROP_POISONED;
    if (GMK_UNLIKELY(target.fn == NULL))
        obstacle = GMK_DROP_TYPE;
    if (GMK_UNLIKELY(obstacle != GMK_DROP_NONE)) {
        task_dropped(a, task, obstacle);
        return;
    }

    int status;
    enum run_outcome outcome = handle(a, task, &target, 0, &status);
    if (GMK_LIKELY(outcome == RUN_COMPLETED)) {
        task_completed(a, task);
    } else if (outcome == RUN_FAILED) {
        if (task->sub != 0 && chan_on_error(a, task))
            task_completed(a, task);
        else
            task_failed(a, task, status);
    } else {
        uint64_t due;
        enum gmk_drop_reason reason = run_prepare_again(a, task, outcome, &due);
        if (reason != GMK_DROP_NONE)
            task_dropped(a, task, reason);
        else
            run_queue_again(a, task, due);
    }
}

/* ---- Again ------------------------------------------------------------------------- */

static uint64_t retry_delay(const struct engine *eng, unsigned retries) {
    uint64_t delay = eng->cfg.retry_base_ns;
    for (unsigned i = 0; i < retries && delay < eng->cfg.retry_max_ns; i++) /* at most 15 */
        delay *= 2;
    return delay < eng->cfg.retry_max_ns ? delay : eng->cfg.retry_max_ns;
}

enum gmk_drop_reason run_prepare_again(struct agent *a, gmk_task_t *task, enum run_outcome outcome,
                                       uint64_t *due_ns) {
    struct engine *eng = a->eng;
    *due_ns = 0;
    if (outcome == RUN_AGAIN) {
        agent_count(a, task, COUNT_YIELDS, 1);
        trace_event(&a->trace, TRACE_YIELD, task->type);
        *due_ns = a->resume_ns;
        if (*due_ns != 0) {
            /* It waits for its time, so it cannot spin and is not counted up. But it has run,
             * which halt must know (timer_drop_waiting()). */
            task->yield_count = task->yield_count != 0 ? task->yield_count : 1;
            return GMK_DROP_NONE;
        }
        if (task->yield_count >= eng->cfg.max_yields) {
            if (!chan_is_systems(task))
                fault_poison(a, task->type, "it gave way too often");
            return GMK_DROP_YIELDS;
        }
        task->yield_count++;
        return GMK_DROP_NONE;
    }
    unsigned retries = gmk_task_retries(task);
    agent_count(a, task, COUNT_RETRIES, 1);
    trace_event(&a->trace, TRACE_RETRY, task->type);
    if (retries >= eng->cfg.max_retries)
        return GMK_DROP_RETRIES;
    *due_ns = engine_now(eng) + retry_delay(eng, retries);
    task->flags = (uint16_t)((task->flags & ~(15u << GMK_TASK_RETRY_SHIFT)) |
                             (retries + 1) << GMK_TASK_RETRY_SHIFT);
    return GMK_DROP_NONE;
}

void run_queue_again(struct agent *a, const gmk_task_t *task, uint64_t due_ns) {
    /* A full timed queue costs the delay, not the task. */
    if (due_ns != 0 && timer_push(a, task, due_ns))
        return;
    int status = enqueue(a, task, ENQUEUE_AGAIN);
    K_ASSERT(status == GMK_OK, "what was inside always finds room");
}

/* ---- The three ends ------------------------------------------------------------------ */

void payload_release(struct agent *a, void *payload) {
    if (payload != NULL && block_owns(&a->eng->arena.blocks, payload))
        memory_free(a, payload);
}

/* Common to all ends. The count comes after the tenant's and the channel's, so that these
 * are exact whenever the engine is quiet. */
static inline void task_ended(struct agent *a, const gmk_task_t *task, enum count_kind kind) {
    tenant_leave(a->eng, task->tenant);
    if (task->sub != 0)
        chan_delivery_ended(a, task, kind == COUNT_COMPLETED);
    agent_count(a, task, kind, 1);
    if (task->group != 0)
        group_end(a, task->group);
    if (GMK_UNLIKELY(!a->is_worker))
        counts_nudge_quiet(a->eng);
}

void task_completed(struct agent *a, gmk_task_t *task) {
    if (task->payload != NULL)
        payload_release(a, task->payload);
    task_ended(a, task, COUNT_COMPLETED);
}

void task_pulled(struct agent *a, gmk_task_t *task) {
    if (GMK_UNLIKELY(task->flags & GMK_TASK_STAMPED)) {
        uint64_t now = hal_now_ns();
        hist_record(a->queue_time, now > task->when_ns ? now - task->when_ns : 0);
        task->flags &= (uint16_t)~GMK_TASK_STAMPED;
        task->when_ns = 0;
    }
    task_ended(a, task, COUNT_COMPLETED);
}

/* Sends an ended task to a system channel; its payload goes along or is released. */
static void send_to_system(struct agent *a, gmk_task_t *task, uint32_t chan,
                           enum gmk_drop_reason reason) {
    gmk_task_t letter = *task;
    letter.flags =
        (uint16_t)((letter.flags & GMK_TASK_PRIO_MASK) | (unsigned)reason << GMK_TASK_REASON_SHIFT);
    letter.group = 0;
    letter.when_ns = task->channel | task->seq << 16; /* gmk_task_origin() */
    if (task->channel == GMK_CHAN_SYS_DROPPED || task->channel == GMK_CHAN_SYS_ERROR ||
        chan_send_letter(a, chan, &letter) != GMK_OK)
        payload_release(a, task->payload);
}

void task_failed(struct agent *a, gmk_task_t *task, int status) {
    trace_event(&a->trace, TRACE_FAIL, task->type);
    if (!chan_is_systems(task)) /* a letter's listener failed, not the type */
        fault_note(a, task->type, status);
    send_to_system(a, task, GMK_CHAN_SYS_ERROR, GMK_DROP_FAILED);
    task_ended(a, task, COUNT_FAILED);
}

void task_dropped(struct agent *a, gmk_task_t *task, enum gmk_drop_reason reason) {
    trace_event(&a->trace, TRACE_DROP, reason);
    send_to_system(a, task, GMK_CHAN_SYS_DROPPED, reason);
    task_ended(a, task, COUNT_DROPPED);
}
