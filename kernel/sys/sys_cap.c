/* Sys, capabilities and factories: handlers of the CAP_ and FACTORY_ calls.
 *
 * CAP_ calls take a handle of any type, so they look it up themselves. */
#include "kernel/sys/sys_handlers.h"

int64_t sys_give(struct sys_call *call, struct object *object) {
    uint32_t serial = object->serial;
    int64_t handle = cap_insert(call->unit, object, GMK_RIGHTS_ALL, 0);
    if (handle < 0)
        object_destroy(object, serial);
    return handle;
}

static int look(struct sys_call *call, struct cap_view *view) {
    return cap_get(call->unit, call->unit->caps, (uint32_t)call->a[0], GMK_CAP_NONE, 0, view);
}

int64_t sys_cap_check(struct sys_call *call) {
    struct cap_view view;
    int status = look(call, &view);
    return status == GMK_OK ? view.type | view.rights << 8 : status;
}

int64_t sys_cap_info(struct sys_call *call) {
    struct cap_view view;
    int status = look(call, &view);
    if (status != GMK_OK)
        return status;
    const gmk_cap_info_t info = {
        .type = view.type,
        .rights = view.rights,
        .depth = view.depth,
        .slot = view.slot,
        .badge = view.badge,
        .object = object_number(view.object, view.serial),
    };
    return sys_copy_out(call->a[1], &info, sizeof info);
}

/* More than there are: refused as no subset, not cut to one. */
static unsigned rights_of(uint64_t argument) {
    return argument <= GMK_RIGHTS_ALL ? (unsigned)argument : UINT32_MAX;
}

int64_t sys_cap_derive(struct sys_call *call) {
    return cap_derive(call->unit, (uint32_t)call->a[0], call->unit, rights_of(call->a[1]),
                      call->a[2]);
}

int64_t sys_cap_grant(struct sys_call *call) {
    return cap_derive(call->unit, (uint32_t)call->a[1], (struct unit *)call->cap[0].object,
                      rights_of(call->a[2]), call->a[3]);
}

int64_t sys_cap_move(struct sys_call *call) {
    return cap_move(call->unit, (uint32_t)call->a[1], (struct unit *)call->cap[0].object);
}

int64_t sys_cap_revoke(struct sys_call *call) {
    return cap_revoke(call->unit, (uint32_t)call->a[0]);
}

int64_t sys_cap_drop(struct sys_call *call) {
    return cap_drop(call->unit, (uint32_t)call->a[0]);
}

int64_t sys_factory_split(struct sys_call *call) {
    int status;
    struct factory *child =
        factory_split((struct factory *)call->cap[0].object, call->a[1], call->a[2], &status);
    return child != NULL ? sys_give(call, &child->object) : status;
}
