/* System calls, memory: objects are made, cloned and mapped.
 *
 * What is long is done in steps. An object that is made in steps (wired, contiguous, a clone) is the
 * caller's from the first step on, so that it can go on with it and drop it; it can be mapped once all of
 * it is there. The row of the call has checked types and rights of a0 and a1, and keeps both objects from
 * being used again meanwhile; what depends on other arguments is checked here. */
#include "kernel/sys/sys_handlers.h"

#include "ggmk/error.h"
#include "kernel/mem/memory.h"

#define RIGHTS (GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC)

static struct memory *memory_of(const struct cap_view *view) {
    return (struct memory *)view->object;
}

static struct space *space_of(const struct cap_view *view) {
    return &((struct unit *)view->object)->space;
}

static struct factory *factory_of(const struct cap_view *view) {
    return (struct factory *)view->object;
}

/* The handle of a new object of which `ready` bytes are there; or the error, and it is gone. */
static int64_t give(struct sys_call *call, struct memory *memory, int64_t ready) {
    int64_t handle = ready;
    if (ready >= 0)
        handle = cap_insert(call->unit, &memory->object, GMK_RIGHTS_ALL, 0);
    if (handle < 0)
        memory_end(memory, memory->object.serial);
    else
        call->out = (uint64_t)ready;
    return handle;
}

/* An object that an earlier step has begun. */
static int find_begun(const struct sys_call *call, uint64_t handle, struct cap_view *view) {
    if (handle > UINT32_MAX)
        return GMK_EHANDLE;
    return cap_get(call->unit, call->unit->caps, (uint32_t)handle, GMK_CAP_MEMORY, GMK_RIGHT_MANAGE,
                   view);
}

/* What a further step of it returns. */
static int64_t went_on(struct sys_call *call, uint64_t handle, int64_t ready) {
    if (ready < 0)
        return ready;
    call->out = (uint64_t)ready;
    return (int64_t)handle;
}

/* factory, kind, size, object to go on with */
int64_t sys_memory_create(struct sys_call *call) {
    struct memory *memory;
    struct cap_view begun;
    if (call->a[3] != 0) {
        int status = find_begun(call, call->a[3], &begun);
        return status != GMK_OK
                   ? status
                   : went_on(call, call->a[3], memory_make_step(memory_of(&begun), begun.serial));
    }
    if (call->a[1] > GMK_MEMORY_CONTIG)
        return GMK_EINVAL;
    unsigned kind = (unsigned)call->a[1];
    int status = memory_create(factory_of(&call->cap[0]), kind, call->a[2], &memory);
    if (status != GMK_OK)
        return status;
    int64_t ready = kind == GMK_MEMORY_ANON ? (int64_t)call->a[2]
                                            : memory_make_step(memory, memory->object.serial);
    return give(call, memory, ready);
}

/* memory, factory, offset, size, clone to go on with */
int64_t sys_memory_clone(struct sys_call *call) {
    struct memory *source = memory_of(&call->cap[0]), *clone;
    uint32_t serial = call->cap[0].serial;
    struct cap_view begun;
    if (call->a[4] != 0) {
        int status = find_begun(call, call->a[4], &begun);
        if (status == GMK_OK && memory_of(&begun)->pages * PAGE_SIZE != call->a[3])
            status = GMK_EINVAL;
        return status != GMK_OK ? status
                                : went_on(call, call->a[4],
                                          memory_clone_step(source, serial, call->a[2],
                                                            memory_of(&begun), begun.serial));
    }
    int status = memory_clone(factory_of(&call->cap[1]), call->a[3], &clone);
    if (status != GMK_OK)
        return status;
    return give(call, clone,
                memory_clone_step(source, serial, call->a[2], clone, clone->object.serial));
}

/* A clone of its own for a private mapping: small, so that its steps may all be done here. */
static int clone_whole(struct sys_call *call, uint64_t offset, uint64_t size,
                       struct memory **clone) {
    if (size > MEMORY_CLONE_STEP * PAGE_SIZE)
        return GMK_ERANGE;
    int status = memory_clone(space_of(&call->cap[0])->factory, size, clone);
    if (status != GMK_OK)
        return status;
    int64_t ready = 0;
    while (ready >= 0 && (uint64_t)ready < size) /* at most a turn per page */
        ready = memory_clone_step(memory_of(&call->cap[1]), call->cap[1].serial, offset, *clone,
                                  (*clone)->object.serial);
    if (ready >= 0)
        return GMK_OK;
    memory_end(*clone, (*clone)->object.serial);
    return (int)ready;
}

static unsigned prot_max_of(unsigned rights) {
    return ((rights & GMK_RIGHT_READ) != 0 ? GMK_PROT_READ : 0) |
           ((rights & GMK_RIGHT_WRITE) != 0 ? GMK_PROT_WRITE : 0) |
           ((rights & GMK_RIGHT_EXECUTE) != 0 ? GMK_PROT_EXEC : 0);
}

/* unit, memory, address or 0, offset, size, prot|flags */
int64_t sys_memory_map(struct sys_call *call) {
    struct space *space = space_of(&call->cap[0]);
    struct memory *memory = memory_of(&call->cap[1]);
    uint32_t serial = call->cap[1].serial;
    uint64_t offset = call->a[3], size = call->a[4];
    unsigned rights = prot_max_of(call->cap[1].rights), prot = (unsigned)call->a[5];
    if (call->a[5] > UINT32_MAX)
        return GMK_EINVAL;
    if (memory->kind == GMK_MEMORY_PHYS)
        rights &= ~(unsigned)GMK_PROT_EXEC; /* nobody runs what a device says */
    if ((prot & GMK_MAP_PRIVATE) == 0)
        return space_map(space, memory, serial, call->a[2], offset, size, prot, rights);
    if ((rights & GMK_PROT_READ) == 0)
        return GMK_ERIGHTS;
    struct memory *clone;
    int status = clone_whole(call, offset, size, &clone);
    if (status != GMK_OK)
        return status;
    int64_t address = space_map(space, clone, clone->object.serial, call->a[2], 0, size, prot,
                                rights | GMK_PROT_WRITE);
    memory_end(clone, clone->object.serial); /* the mapping keeps it */
    return address;
}

/* unit, address, size */
int64_t sys_memory_unmap(struct sys_call *call) {
    return space_unmap_step(space_of(&call->cap[0]), call->a[1], call->a[2]);
}

/* unit, address, size, prot|flags */
int64_t sys_memory_protect(struct sys_call *call) {
    if (call->a[3] > UINT32_MAX)
        return GMK_EINVAL;
    return space_protect_step(space_of(&call->cap[0]), call->a[1], call->a[2],
                              (unsigned)call->a[3]);
}

/* memory, gmk_memory_info_t * */
int64_t sys_memory_info(struct sys_call *call) {
    gmk_memory_info_t info;
    memory_info(memory_of(&call->cap[0]), &info);
    return sys_copy_out(call->a[1], &info, sizeof info);
}

/* system, factory, address, size */
int64_t sys_memory_physical(struct sys_call *call) {
    struct memory *memory;
    int status = memory_physical(factory_of(&call->cap[1]), call->a[2], call->a[3], &memory);
    return status != GMK_OK ? status : give(call, memory, (int64_t)call->a[3]);
}
