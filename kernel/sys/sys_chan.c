/* Sys, channels: making, finding, closing and binding ends; registries of names. */
#include "kernel/sys/sys_handlers.h"

#include "kernel/ipc/channel.h"

#include <string.h>

/* A name of the caller's, with an end. */
static int copy_name(char name[GMK_NAME_MAX], uint64_t user, uint64_t bytes) {
    if (bytes >= GMK_NAME_MAX)
        return GMK_EINVAL;
    int status = sys_copy_in(name, user, bytes);
    name[bytes] = '\0';
    return status != GMK_OK || memchr(name, '\0', bytes) == NULL ? status : GMK_EINVAL;
}

/* The first capability of a new end, with these rights. */
static int64_t give_end(struct sys_call *call, struct object *end, unsigned rights) {
    uint32_t serial = end->serial;
    int64_t handle = cap_insert(call->unit, end, rights, 0);
    if (handle < 0)
        object_destroy(end, serial);
    return handle;
}

int64_t sys_chan_create(struct sys_call *call) {
    gmk_chan_args_t args;
    int status = sys_copy_in(&args, call->a[2], sizeof args);
    if (status != GMK_OK)
        return status;
    struct object *end = channel_create(call->cap[0].object, call->cap[0].serial,
                                        (struct factory *)call->cap[1].object, &args, &status);
    return end != NULL
               ? give_end(call, end,
                          GMK_RIGHT_READ | GMK_RIGHT_WRITE | GMK_RIGHT_GRANT | GMK_RIGHT_MANAGE)
               : status;
}

int64_t sys_chan_open(struct sys_call *call) {
    const uint64_t some = GMK_RIGHT_READ | GMK_RIGHT_WRITE | GMK_RIGHT_GRANT | GMK_RIGHT_MANAGE;
    char name[GMK_NAME_MAX];
    uint64_t rights = call->a[4];
    int status = copy_name(name, call->a[2], call->a[3]);
    if (status != GMK_OK)
        return status;
    if ((rights & ~some) != 0 || (rights & (GMK_RIGHT_READ | GMK_RIGHT_WRITE)) == 0)
        return GMK_EINVAL;
    if ((rights & GMK_RIGHT_MANAGE & ~(uint64_t)call->cap[0].rights) != 0)
        return GMK_ERIGHTS; /* who may not rule the names may not close what others made */
    struct object *end =
        channel_open(call->cap[0].object, call->cap[0].serial,
                     (struct factory *)call->cap[1].object, name, (unsigned)rights, &status);
    return end != NULL ? give_end(call, end, (unsigned)rights) : status;
}

int64_t sys_chan_close(struct sys_call *call) {
    return channel_close(call->cap[0].object, call->cap[0].serial);
}

int64_t sys_chan_bind(struct sys_call *call) {
    const struct notify_ref bound = sys_notify_ref(&call->cap[1], call->a[2]);
    return channel_bind(call->cap[0].object, call->cap[0].serial, &bound);
}

int64_t sys_registry_create(struct sys_call *call) {
    char prefix[GMK_NAME_MAX];
    int status = copy_name(prefix, call->a[2], call->a[3]);
    if (status != GMK_OK)
        return status;
    struct object *registry = registry_new(call->cap[0].object, call->cap[0].serial,
                                           (struct factory *)call->cap[1].object, prefix, &status);
    return registry != NULL ? sys_give(call, registry) : status;
}
