/* Sys, units: handlers of the UNIT_ calls. */
#include "kernel/sys/sys_handlers.h"

#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"

struct notify_ref sys_notify_ref(const struct cap_view *view, uint64_t bits) {
    return (struct notify_ref){
        .notify = (struct notify *)view->object, .serial = view->serial, .bits = bits};
}

int64_t sys_unit_create(struct sys_call *call) {
    gmk_unit_args_t args;
    struct unit *unit;
    if (unit_prepare())
        return SYS_AGAIN;
    int status = sys_copy_in(&args, call->a[1], sizeof args);
    if (status == GMK_OK)
        status = unit_create((struct factory *)call->cap[0].object, &args, call->unit->priority_max,
                             &unit);
    return status == GMK_OK ? sys_give(call, &unit->object) : status;
}

/* A port that faults or foreign calls may be sent to; handle 0: none. */
static int port_of(const struct sys_call *call, uint64_t handle, struct port_ref *ref) {
    *ref = (struct port_ref){0};
    if ((uint32_t)handle == 0)
        return GMK_OK;
    struct cap_view view;
    int status = cap_get(call->unit, call->unit->caps, (uint32_t)handle, GMK_CAP_PORT,
                         GMK_RIGHT_WRITE, &view);
    if (status == GMK_OK)
        *ref = (struct port_ref){
            .port = (struct port *)view.object, .serial = view.serial, .badge = view.badge};
    return status;
}

int64_t sys_unit_ports(struct sys_call *call) {
    struct port_ref fault, personality;
    int status = port_of(call, call->a[1], &fault);
    if (status == GMK_OK)
        status = port_of(call, call->a[2], &personality);
    const struct cap_view *unit = &call->cap[0];
    return status == GMK_OK
               ? unit_ports((struct unit *)unit->object, unit->serial, &fault, &personality)
               : status;
}

int64_t sys_unit_watch(struct sys_call *call) {
    const struct notify_ref watcher = sys_notify_ref(&call->cap[1], call->a[2]);
    const struct cap_view *unit = &call->cap[0];
    return unit_watch((struct unit *)unit->object, unit->serial, &watcher);
}

int64_t sys_unit_kill(struct sys_call *call) {
    unit_kill((struct unit *)call->cap[0].object, (int64_t)call->a[1]);
    return GMK_OK;
}

int64_t sys_unit_info(struct sys_call *call) {
    gmk_unit_info_t info;
    const struct cap_view *unit = &call->cap[0];
    int status = unit_info((struct unit *)unit->object, unit->serial, &info);
    return status == GMK_OK ? sys_copy_out(call->a[1], &info, sizeof info) : status;
}
