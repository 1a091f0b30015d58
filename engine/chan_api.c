/* Channel API: the public functions of ggmk/chan.h, through the gate or to the sandbox. */
#include "engine/agent.h"
#include "engine/chan.h"
#include "engine/sandbox.h"
#include "ggmk/chan.h"

/* Every function has the same frame: sandbox, gate, work, gate. */
#define CHAN_CALL(ctx, sandboxed, call)                     \
    do {                                                    \
        int status_;                                        \
        if (GMK_UNLIKELY((ctx) == NULL))                    \
            return GMK_EINVAL;                              \
        if (GMK_UNLIKELY((ctx)->sandbox != NULL))           \
            return (sandboxed);                             \
        struct agent *a = agent_enter_ctx((ctx), &status_); \
        if (GMK_UNLIKELY(a == NULL))                        \
            return status_;                                 \
        status_ = (call);                                   \
        agent_leave(a);                                     \
        return status_;                                     \
    } while (0)

/* Only the engine itself names its channels; modules with privilege may listen. */
static bool may_open(const char *name) {
    return name == NULL || name[0] != 's' || name[1] != 'y' || name[2] != 's' || name[3] != '.';
}

static bool is_system(uint32_t chan) {
    return chan == GMK_CHAN_SYS_DROPPED || chan == GMK_CHAN_SYS_ERROR;
}

/* The system's channels are for modules with privilege, to listen and to send. */
static bool may_use(const struct agent *a, const gmk_ctx_t *ctx, uint32_t chan) {
    return !is_system(chan) || engine_privilege(a->eng, ctx->module) >= GMK_DRIVER;
}

int gmk_chan_open(gmk_ctx_t *ctx, const char *name, uint32_t type, uint32_t options, uint32_t slots,
                  uint32_t *out_chan) {
    CHAN_CALL(ctx, sandbox_chan_open(ctx->sandbox, name, type, out_chan),
              may_open(name) ? chan_open(a, name, type, options, slots, 0, out_chan) : GMK_EPERM);
}

int gmk_chan_open_bounded(gmk_ctx_t *ctx, const char *name, uint32_t type, uint32_t options,
                          uint32_t slots, uint64_t bytes, uint32_t *out_chan) {
    CHAN_CALL(ctx, sandbox_chan_open(ctx->sandbox, name, type, out_chan),
              may_open(name) ? chan_open(a, name, type, options, slots, bytes, out_chan)
                             : GMK_EPERM);
}

int gmk_chan_find(gmk_ctx_t *ctx, const char *name, uint32_t *out_chan) {
    CHAN_CALL(ctx, sandbox_chan_find(ctx->sandbox, name, out_chan),
              chan_find(a->eng, name, out_chan, NULL));
}

int gmk_chan_sub(gmk_ctx_t *ctx, uint32_t chan, gmk_handler_fn fn, gmk_handler_fn on_error,
                 void *state, uint32_t options, uint32_t *out_sub) {
    struct sub_request request = {.fn = fn,
                                  .on_error = on_error,
                                  .user = state,
                                  .options = options,
                                  .module = ctx != NULL ? ctx->module : 0};
    CHAN_CALL(ctx, sandbox_chan_sub(ctx->sandbox, chan, out_sub),
              may_use(a, ctx, chan) ? chan_subscribe(a, chan, &request, out_sub) : GMK_EPERM);
}

int gmk_chan_unsub(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub) {
    CHAN_CALL(ctx, sandbox_chan_unsub(ctx->sandbox, chan, sub), chan_unsubscribe(a, chan, sub));
}

int gmk_chan_close(gmk_ctx_t *ctx, uint32_t chan) {
    CHAN_CALL(ctx, sandbox_chan_close(ctx->sandbox, chan),
              is_system(chan) ? GMK_EPERM : chan_close(a, chan, 0));
}

int gmk_chan_emit(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task) {
    int status;
    if (GMK_UNLIKELY(ctx == NULL || task == NULL))
        return GMK_EINVAL;
    if (GMK_UNLIKELY(ctx->sandbox != NULL))
        return chan != 0 ? sandbox_emit(ctx->sandbox, chan, task, 0) : GMK_ENOENT;
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (GMK_UNLIKELY(a == NULL))
        return status;
    status = may_use(a, ctx, chan) ? chan_emit_n(a, chan, task, 1) : GMK_EPERM;
    agent_leave(a);
    return status > 0 ? GMK_OK : status;
}

int gmk_chan_emit_n(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *tasks, uint32_t count) {
    if (count > INT32_MAX || (count != 0 && tasks == NULL))
        return GMK_EINVAL;
    CHAN_CALL(ctx, chan != 0 ? sandbox_emit_n(ctx->sandbox, chan, tasks, count) : GMK_ENOENT,
              may_use(a, ctx, chan) ? chan_emit_n(a, chan, tasks, count) : GMK_EPERM);
}

int gmk_chan_send(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task, uint64_t timeout_ns) {
    if (task == NULL)
        return GMK_EINVAL;
    CHAN_CALL(ctx, chan != 0 ? sandbox_emit(ctx->sandbox, chan, task, 0) : GMK_ENOENT,
              may_use(a, ctx, chan) ? chan_send(a, chan, task, timeout_ns) : GMK_EPERM);
}

/* ---- Without a handler; the sandbox runs handlers only ------------------------------------ */

int gmk_chan_sub_pull(gmk_ctx_t *ctx, uint32_t chan, gmk_waker_t *waker, uint32_t *out_sub) {
    struct sub_request request = {.waker = waker, .module = ctx != NULL ? ctx->module : 0};
    CHAN_CALL(ctx, GMK_ENOTSUP,
              may_use(a, ctx, chan) ? chan_subscribe(a, chan, &request, out_sub) : GMK_EPERM);
}

int gmk_chan_pull(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint32_t len_max, gmk_task_t *out) {
    uint64_t lost = 0;
    int status;
    if (GMK_UNLIKELY(ctx == NULL || out == NULL))
        return GMK_EINVAL;
    if (GMK_UNLIKELY(ctx->sandbox != NULL))
        return GMK_ENOTSUP;
    struct agent *a = agent_enter_ctx(ctx, &status);
    if (GMK_UNLIKELY(a == NULL))
        return status;
    status = chan_pull(a, chan, sub, len_max, out, &lost);
    ctx->lost = lost;
    agent_leave(a);
    return status;
}

int gmk_chan_on_room(gmk_ctx_t *ctx, uint32_t chan, gmk_waker_t *room) {
    CHAN_CALL(ctx, GMK_ENOTSUP, may_use(a, ctx, chan) ? chan_on_room(a, chan, room) : GMK_EPERM);
}

int gmk_chan_want_room(gmk_ctx_t *ctx, uint32_t chan, const gmk_task_t *task) {
    if (task == NULL)
        return GMK_EINVAL;
    CHAN_CALL(ctx, GMK_ENOTSUP, chan_want_room(a, chan, chan_shape(a->eng, chan), task));
}

/* ---- Replay and statistics ------------------------------------------------------------------ */

int gmk_chan_ack(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint64_t seq) {
    CHAN_CALL(ctx, sandbox_chan_ack(ctx->sandbox, chan, sub), chan_ack(a, chan, sub, seq));
}

int gmk_chan_replay(gmk_ctx_t *ctx, uint32_t chan, uint32_t sub, uint64_t seq) {
    CHAN_CALL(ctx, GMK_ENOTSUP, chan_replay(a, chan, sub, seq));
}

int gmk_chan_stats(gmk_ctx_t *ctx, uint32_t chan, gmk_chan_stats_t *out) {
    CHAN_CALL(ctx, GMK_ENOTSUP, chan_stats(a->eng, chan, out));
}
