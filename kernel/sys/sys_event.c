/* System calls, events: notifications, timers, interrupts and I/O ports are made, set and used.
 *
 * Arguments are whole registers here: what is narrower inside is checked before it is narrowed. A new
 * object that finds no slot in the caller's table is ended again. */
#include "ggmk/error.h"
#include "kernel/ipc/notify.h"
#include "kernel/sys/sys_handlers.h"

/* The handle of a new object with all rights, or the error; NULL: the error alone. */
static int64_t give(const struct sys_call *call, struct object *object, int error) {
    if (object == NULL)
        return error;
    int64_t handle = cap_insert(call->unit, object, GMK_RIGHTS_ALL, 0);
    if (handle < 0)
        object_destroy(object, object->serial);
    return handle;
}

static struct factory *factory_of(const struct cap_view *cap) {
    return (struct factory *)cap->object;
}

/* What a1 and a2 say: a notification, and its bits. */
static struct notify_ref ref_of(const struct sys_call *call) {
    return (struct notify_ref){(struct notify *)call->cap[1].object, call->cap[1].serial,
                               call->a[2]};
}

int64_t sys_notify_create(struct sys_call *call) {
    int error = GMK_OK;
    struct object *object = notify_new(factory_of(&call->cap[0]), &error);
    return give(call, object, error);
}

int64_t sys_timer_create(struct sys_call *call) {
    struct notify_ref ref = ref_of(call);
    int error = GMK_OK;
    if (ref.bits == 0)
        return GMK_EINVAL;
    struct object *object = timercap_new(factory_of(&call->cap[0]), &ref, &error);
    return give(call, object, error);
}

int64_t sys_timer_set(struct sys_call *call) {
    return timercap_set(call->cap[0].object, call->cap[0].serial, call->a[1], call->a[2]);
}

int64_t sys_irq_create(struct sys_call *call) {
    struct notify_ref ref = ref_of(call);
    int error = GMK_OK;
    if (ref.bits == 0 || call->a[3] > UINT32_MAX || call->a[4] > UINT32_MAX)
        return GMK_EINVAL;
    struct object *object =
        irqcap_new(call->unit->factory, &ref, (unsigned)call->a[3], (unsigned)call->a[4], &error);
    return give(call, object, error);
}

int64_t sys_irq_ack(struct sys_call *call) {
    return irqcap_ack(call->cap[0].object, call->cap[0].serial);
}

int64_t sys_ioport_create(struct sys_call *call) {
    int error = GMK_OK;
    if (call->a[1] > UINT32_MAX || call->a[2] > UINT32_MAX)
        return GMK_EINVAL;
    struct object *object =
        ioport_new(call->unit->factory, (unsigned)call->a[1], (unsigned)call->a[2], &error);
    return give(call, object, error);
}

static int64_t port_access(struct sys_call *call, bool write) {
    uint64_t value = write ? call->a[3] : 0;
    if (call->a[1] > UINT32_MAX)
        return GMK_ERANGE;
    if (call->a[2] > UINT32_MAX || value > UINT32_MAX)
        return GMK_EINVAL;
    return ioport_access(call->cap[0].object, call->cap[0].serial, (unsigned)call->a[1],
                         (unsigned)call->a[2], write, (uint32_t)value);
}

int64_t sys_ioport_in(struct sys_call *call) {
    return port_access(call, false);
}

int64_t sys_ioport_out(struct sys_call *call) {
    return port_access(call, true);
}
