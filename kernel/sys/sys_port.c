/* Sys, ports: making one, and telling a notification that messages wait. */
#include "kernel/sys/sys_handlers.h"

#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"

int64_t sys_port_create(struct sys_call *call) {
    int status;
    struct object *port = port_new((struct factory *)call->cap[0].object, &status);
    return port != NULL ? sys_give(call, port) : status;
}

int64_t sys_port_bind(struct sys_call *call) {
    const struct notify_ref bound = sys_notify_ref(&call->cap[1], call->a[2]);
    const struct cap_view *port = &call->cap[0];
    return port_bind((struct port *)port->object, port->serial, &bound);
}
