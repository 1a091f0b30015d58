/* Sandbox calls: what tasks, channels, groups, services and metrics are in a sandbox.
 *
 * Each function checks what the engine would check of its arguments, so that a handler
 * under test gets the codes it would get, and then only writes down what was asked for. */
#include <string.h>

#include "engine/module.h"
#include "engine/sandbox.h"

/* ---- Channels -------------------------------------------------------------------------------- */

static struct sandbox_chan *chan_get(struct sandbox *box, uint32_t chan) {
    return chan > 0 && chan <= box->n_chans ? &box->chans[chan - 1] : NULL;
}

int sandbox_chan_find(struct sandbox *box, const char *name, uint32_t *out_chan) {
    if (out_chan == NULL)
        return GMK_EINVAL;
    for (uint32_t i = 0; name != NULL && i < box->n_chans; i++) {
        if (strcmp(box->chans[i].name, name) == 0) {
            *out_chan = i + 1;
            return GMK_OK;
        }
    }
    return GMK_ENOENT;
}

int sandbox_chan_open(struct sandbox *box, const char *name, uint32_t type, uint32_t *out_chan) {
    uint32_t known = 0;
    if (!module_name_fits(name) || type == 0 || type >= GMK_TYPES_MAX || out_chan == NULL)
        return GMK_EINVAL;
    if (sandbox_chan_find(box, name, &known) == GMK_OK)
        return GMK_EEXIST;
    if (box->n_chans == GMK_SANDBOX_CHANNELS_MAX)
        return GMK_ELIMIT;
    struct sandbox_chan *chan = &box->chans[box->n_chans++];
    memcpy(chan->name, name, strlen(name) + 1);
    chan->type = type;
    *out_chan = box->n_chans;
    return GMK_OK;
}

int sandbox_chan_sub(struct sandbox *box, uint32_t chan, uint32_t *out_sub) {
    struct sandbox_chan *found = chan_get(box, chan);
    if (found == NULL)
        return GMK_ENOENT;
    if (found->closed)
        return GMK_ECLOSED;
    if (found->subs == GMK_SUBS_MAX)
        return GMK_ELIMIT;
    found->subs++;
    if (out_sub != NULL)
        *out_sub = found->subs;
    return GMK_OK;
}

int sandbox_chan_ack(struct sandbox *box, uint32_t chan, uint32_t sub) {
    const struct sandbox_chan *found = chan_get(box, chan);
    return found != NULL && sub > 0 && sub <= found->subs ? GMK_OK : GMK_ENOENT;
}

int sandbox_chan_unsub(struct sandbox *box, uint32_t chan, uint32_t sub) {
    return sandbox_chan_ack(box, chan, sub);
}

int sandbox_chan_close(struct sandbox *box, uint32_t chan) {
    struct sandbox_chan *found = chan_get(box, chan);
    if (found == NULL)
        return GMK_ENOENT;
    if (found->closed)
        return GMK_ECLOSED;
    found->closed = true;
    return GMK_OK;
}

/* ---- Emits ------------------------------------------------------------------------------------ */

static int emit_check(struct sandbox *box, uint32_t channel, const gmk_task_t *task) {
    if (task == NULL)
        return GMK_EINVAL;
    if (task->type == 0 || task->type >= GMK_TYPES_MAX)
        return GMK_ETYPE;
    if (channel == 0)
        return GMK_OK;
    const struct sandbox_chan *chan = chan_get(box, channel);
    if (chan == NULL)
        return GMK_ENOENT;
    if (chan->closed)
        return GMK_ECLOSED;
    return chan->type == 0 || chan->type == task->type ? GMK_OK : GMK_ETYPE;
}

int sandbox_emit(struct sandbox *box, uint32_t channel, const gmk_task_t *task, uint64_t at_ns) {
    if (sandbox_fails(&box->fail_emit))
        return box->fail_emit.status;
    int status = emit_check(box, channel, task);
    if (status != GMK_OK)
        return status;
    if (box->n_emits == GMK_SANDBOX_EMITS_MAX)
        return GMK_EAGAIN;
    box->emits[box->n_emits++] =
        (gmk_sandbox_emit_t){.task = *task, .channel = channel, .at_ns = at_ns};
    sandbox_hand_on(box, task->payload);
    return GMK_OK;
}

int sandbox_emit_n(struct sandbox *box, uint32_t channel, const gmk_task_t *tasks, uint32_t count) {
    if (tasks == NULL && count > 0)
        return GMK_EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        int status = sandbox_emit(box, channel, &tasks[i], 0);
        if (status != GMK_OK)
            return i == 0 ? status : (int)i;
    }
    return (int)count;
}

void sandbox_yield(gmk_ctx_t *ctx, uint64_t at_ns) {
    ctx->outcome = 1;
    ctx->resume_ns = at_ns;
}

/* ---- Groups ------------------------------------------------------------------------------------ */

static struct sandbox_group *group_get(struct sandbox *box, uint32_t handle) {
    for (uint32_t i = 0; handle != 0 && i < GMK_SANDBOX_GROUPS_MAX; i++) {
        if (box->groups[i].handle == handle)
            return &box->groups[i];
    }
    return NULL;
}

int sandbox_group_open(struct sandbox *box, uint32_t *out_group) {
    if (out_group == NULL)
        return GMK_EINVAL;
    for (uint32_t i = 0; i < GMK_SANDBOX_GROUPS_MAX; i++) {
        if (box->groups[i].handle != 0)
            continue;
        box->groups[i] = (struct sandbox_group){.handle = ++box->last_group};
        *out_group = box->last_group;
        return GMK_OK;
    }
    return GMK_ELIMIT;
}

int sandbox_group_wait(struct sandbox *box, uint32_t group) {
    struct sandbox_group *found = group_get(box, group);
    if (found == NULL || (box->ctx.task != NULL && box->ctx.task->group == group))
        return GMK_EINVAL;
    box->waits++;
    int status = found->canceled ? GMK_ECANCELED : GMK_OK;
    *found = (struct sandbox_group){0};
    return status;
}

int sandbox_group_cancel(struct sandbox *box, uint32_t group) {
    struct sandbox_group *found = group_get(box, group);
    if (found == NULL)
        return GMK_EINVAL;
    found->canceled = true;
    return GMK_OK;
}

int sandbox_group_drop(struct sandbox *box, uint32_t group) {
    struct sandbox_group *found = group_get(box, group);
    if (found == NULL)
        return GMK_EINVAL;
    *found = (struct sandbox_group){0};
    return GMK_OK;
}

bool sandbox_canceled(const struct sandbox *box) {
    if (box->canceled || box->ctx.task == NULL || box->ctx.task->group == 0)
        return box->canceled;
    for (uint32_t i = 0; i < GMK_SANDBOX_GROUPS_MAX; i++) {
        if (box->groups[i].handle == box->ctx.task->group)
            return box->groups[i].canceled;
    }
    return false;
}

/* ---- Services, metrics -------------------------------------------------------------------------- */

int sandbox_service_publish(struct sandbox *box, const char *name, uint32_t version,
                            const void *interface, enum gmk_privilege level) {
    return service_publish(&box->services, box->ctx.module, name, version, interface, level);
}

const void *sandbox_service_get(struct sandbox *box, const char *name, uint32_t version, int *why) {
    return service_get(&box->services, GMK_KERNEL, name, version, why);
}

int sandbox_service_withdraw(struct sandbox *box, const char *name) {
    return service_withdraw(&box->services, box->ctx.module, name);
}

int sandbox_metric_register(struct sandbox *box, const char *name, uint32_t *out_id) {
    if (!module_name_fits(name) || out_id == NULL)
        return GMK_EINVAL;
    for (uint32_t i = 0; i < box->n_metrics; i++) {
        if (strcmp(box->metrics[i].name, name) == 0)
            return GMK_EEXIST;
    }
    if (box->n_metrics == GMK_METRICS_MAX)
        return GMK_ELIMIT;
    memcpy(box->metrics[box->n_metrics].name, name, strlen(name) + 1);
    *out_id = box->n_metrics++;
    return GMK_OK;
}

void sandbox_metric_inc(struct sandbox *box, uint32_t metric, uint64_t delta) {
    if (metric < box->n_metrics)
        box->metrics[metric].value += delta;
}

/* ---- Identity and time --------------------------------------------------------------------------- */

uint64_t sandbox_now(const struct sandbox *box) {
    return box->now_ns;
}

uint64_t sandbox_random(struct sandbox *box) {
    return rand_next(&box->random);
}

uint32_t sandbox_self_tenant(const struct sandbox *box) {
    return box->ctx.task != NULL ? box->ctx.task->tenant : 0;
}
