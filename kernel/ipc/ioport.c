/* I/O ports: a range of them as an object, for drivers in units.
 *
 * x86 has a second address space of 65,536 ports. Mapping them into a unit (IOPL, the permission
 * bitmap) would cost every switch; a system call per access costs less than the access itself does on
 * real hardware (about a microsecond on the ISA side).
 *
 * Ports that the running kernel uses itself are refused when the range is made: who could write to
 * the interrupt controller or to the kernel's debug line could stop or impersonate it. Ranges may overlap:
 * who holds the system capability decides.
 *
 * Lock: LOCK_OBJECT, held during the access: so no access comes after the end of the range. */
#include "ggmk/error.h"
#include "kernel/ipc/notify.h"

#define IOPORTS_MAX 256u /* ranges */
#define PORTS       65536u

struct ioport {
    struct object object;  /* lock: LOCK_OBJECT */
    uint32_t first, count; /* constant for its life */
};

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_IOPORT, LOCK_OBJECT, sizeof(struct ioport), IOPORTS_MAX);

struct object *ioport_new(struct factory *factory, unsigned first, unsigned count, int *error) {
    *error = GMK_EINVAL;
    if (count == 0 || first >= PORTS || count > PORTS - first)
        return NULL;
    *error = GMK_EBUSY;
    if (arch_io_reserved(first, count))
        return NULL;
    struct ioport *p = (struct ioport *)object_new(&pool, factory, error);
    if (p == NULL)
        return NULL;
    p->first = first;
    p->count = count;
    return &p->object;
}

void ioport_end(struct object *object, uint32_t serial) {
    if (!object_enter(object, serial))
        return;
    object_end_locked(object);
    object_leave(object);
    object_free(&pool, object);
}

int64_t ioport_access(struct object *object, uint32_t serial, unsigned port, unsigned bytes,
                      bool write, uint32_t value) {
    const struct ioport *p = (const struct ioport *)object;
    if ((bytes != 1 && bytes != 2 && bytes != 4) || (write && (uint64_t)value >> bytes * 8u != 0))
        return GMK_EINVAL;
    if (!object_enter(object, serial))
        return GMK_EHANDLE;
    int64_t result = GMK_ERANGE;
    if (port >= p->first && port - p->first < p->count && p->count - (port - p->first) >= bytes) {
        result = GMK_OK;
        if (write)
            arch_io_out((uint16_t)port, bytes, value);
        else
            result = arch_io_in((uint16_t)port, bytes);
    }
    object_leave(object);
    return result;
}
