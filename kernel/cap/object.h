/* Object: what a capability names, and why a pointer to one may be followed without a count.
 *
 * Problem: a system call looks an object up and uses it while another CPU may end it. Counting
 * references costs two locked instructions on every call.
 * Idea: memory of objects is type-stable: a port's memory is only ever a port's again (pools, never
 * given back to the frames). So a stale pointer still leads to a lock that works. Each life of an
 * object has a *serial*; a capability remembers it. Whoever has the lock compares, and a different
 * serial means: gone (GMK_EHANDLE). Ending an object takes its lock and changes the serial first.
 *
 * So that a call which works on an object for longer than a lock is held need not ask again and
 * again, sys_checked() *holds* what a0 and a1 name: an object that ends meanwhile is seen as ended
 * (another serial), but its memory is not given to a new life before the hold is over. The short paths
 * (calls of ports, notifications) hold nothing and compare the serial.
 *
 * An object lives as long as its first capability (cap.h). Its cost is charged to a factory. */
#pragma once

#include "ggmk/abi.h"
#include "kernel/core/lock.h"

struct factory;

struct object_pool;

struct object {
    struct spinlock lock;     /* class by type; guards the object's own fields */
    uint8_t type;             /* enum gmk_cap_type; constant for this memory */
    uint32_t serial;          /* of this life; changed under the lock. 0 is nobody's */
    _Atomic uint32_t holds;   /* calls that use it just now; OBJECT_OVER */
    struct factory *factory;  /* pays for it; NULL: the kernel */
    struct object_pool *pool; /* constant for this memory; NULL: not from a pool */
    struct object *next_free;
};
#define OBJECT_OVER 0x80000000u /* in holds: the memory goes to the pool with the last hold */

/* Takes the lock if the object still lives its life `serial`. IF off. */
static inline bool object_enter(struct object *object, uint32_t serial) {
    spin_enter(&object->lock);
    if (GMK_LIKELY(object->serial == serial))
        return true;
    spin_leave(&object->lock);
    return false;
}
static inline void object_leave(struct object *object) {
    spin_leave(&object->lock);
}

/* Keeps the memory of an object that lives its life `serial` from being used again. False: it does
 * not, nothing is held. Threads have a pool of their own and cannot be held. Any context. */
bool object_hold(struct object *object, uint32_t serial);
void object_release(struct object *object);

/* A pool of objects of one type and size; struct object is their first member. Objects keep whatever their life left in them, but for the
 * header, which object_new() sets: the lock stays as it was initialised when the memory was new. */
struct object_pool {
    uint8_t type, lock_class;
    uint32_t size;        /* bytes of an object */
    uint32_t limit;       /* objects ever alive at once */
    struct spinlock lock; /* LOCK_POOL */
    struct object *free;
    uint32_t used, made, last_serial;
};
#define OBJECT_POOL(cap_type, class, bytes, most)                                    \
    {                                                                                \
        .type = (cap_type), .lock_class = (class), .size = (bytes), .limit = (most), \
        .lock = SPINLOCK_INIT(LOCK_POOL)                                             \
    }

/* A new life, charged one object to `factory` (NULL: free). Zeroed when its memory is new. NULL and
 * *error: GMK_EBUDGET, GMK_ENOMEM, GMK_ELIMIT (the pool's). Any context but interrupts. */
struct object *object_new(struct object_pool *pool, struct factory *factory, int *error);
/* The life is over: its serial has been changed by object_end_locked(). Gives back the charge. No lock
 * of LOCK_OBJECT or later is held. */
void object_free(struct object_pool *pool, struct object *object);
/* The same without the charge: object.factory is NULL. For factory.c. */
void object_put(struct object *object);
/* Ends the life: under the lock, the serial becomes one that no capability has. */
void object_end_locked(struct object *object);

/* Calls the type's end: what happens when the first capability goes. Chooses by object->type:
 * unit_end, thread_end, port_end .. each says what becomes of those who wait. No lock held. */
void object_destroy(struct object *object, uint32_t serial);
typedef void (*object_end_fn)(struct object *object, uint32_t serial);
extern const object_end_fn object_ends[GMK_CAP_TYPES]; /* ends.c; NULL: never ends */
/* A number for CAP_INFO: the same for the same life of an object, and telling nothing else. */
uint64_t object_number(const struct object *object, uint32_t serial);
