/* Capability: the only way to name anything from user space.
 *
 * A unit has a fixed table of GMK_CAPS_MAX slots. A handle is a slot and the slot's generation, so
 * a handle of what was dropped is refused although the slot may be in use again.
 *
 * Derivation is a tree over slots: a derived capability remembers its parent's slot and the *epoch*
 * of that slot. Revoking (and dropping, moving away, the end of the unit) changes the slot's epoch,
 * and everything below is invalid at once, in constant time; who looks at such a capability next
 * finds out by walking up at most GMK_CAP_DEPTH_MAX epochs, and empties the slot. So that lookups
 * need not walk, `cap_revocations` counts revocations of the whole system; a capability that was
 * found valid remembers the count, and is valid while it has not changed.
 *
 * Units' tables are type-stable, like all objects: an epoch can be read after its unit has ended.
 *
 * An object lives as long as its first capability, depth 0 (object.h); CAP_MOVE hands that on, and
 * takes back what was derived from it, as drop does. Slot 0 of a table names nothing: it is the
 * parent, at depth 0, of what the kernel itself put there (cap_insert_at()).
 *
 * Readers (cap_get) take no lock: they read the head, the rest, and the head again; the generation in
 * it changes with every change of the slot. Writers hold the unit's caps lock (LOCK_CAPS, one table
 * at a time). No function here allocates. IF off. */
#pragma once

#include "kernel/cap/object.h"

#include <stdatomic.h>

struct unit;

/* head: type 8 | rights 8 | depth 8 | - 8 | generation 23 (never 0), 9 zero bits */
#define CAP_HEAD(type, rights, depth, generation)                           \
    ((uint64_t)(type) | (uint64_t)(rights) << 8 | (uint64_t)(depth) << 16 | \
     (uint64_t)(generation) << 32)
#define CAP_GENERATION_MASK 0x7fffffu

/* One cache line: a lookup touches no other. Readers of the fields between the heads may see them
 * torn, but never use what they saw then; so these are relaxed. */
struct cap {
    _Alignas(64) _Atomic uint64_t head; /* type NONE: empty, but the generation stays */
    struct object *_Atomic object;
    _Atomic uint64_t badge;
    _Atomic uint32_t serial;      /* of the object's life */
    _Atomic uint16_t parent_unit; /* depth > 0: the parent's unit in units[], and its slot there */
    _Atomic uint8_t parent_slot;
    bool derived; /* something may be derived from it at this epoch. Guarded by the table's lock */
    _Atomic uint64_t parent_epoch;
    _Atomic uint64_t epoch;   /* of this slot: what is derived from it remembers it */
    _Atomic uint64_t checked; /* cap_revocations when it was last found valid */
};
_Static_assert(sizeof(struct cap) == 64, "a cache line");

#define CAP_TABLE_PAGES (GMK_CAPS_MAX * sizeof(struct cap) / PAGE_SIZE)
#define CAP_BITS        (GMK_CAPS_MAX / 64)

extern _Atomic uint64_t cap_revocations;
/* Counts whatever can make a capability invalid: revocations, and slots that became empty. Who reads
 * it (acquire) before cap_get(), and finds it the same later, may use what cap_get() said. */
extern _Atomic uint64_t cap_changes;

/* A capability as a reader saw it. */
struct cap_view {
    struct object *object;
    uint64_t badge;
    uint32_t serial;
    uint8_t type, rights, depth, slot;
};

/* Walks up; empties the slot when it is invalid. False: invalid. For cap_get(). Takes LOCK_CAPS. */
bool cap_still_valid(struct unit *unit, struct cap *cap, uint64_t head);

/* The one place where handles, types and rights are checked. No lock of LOCK_CAPS or later is held.
 * GMK_OK; GMK_EHANDLE, then GMK_ECAPTYPE, then GMK_ERIGHTS. `type` GMK_CAP_NONE: any. */
static inline int cap_get(struct unit *unit, struct cap *table, uint32_t handle, unsigned type,
                          unsigned rights, struct cap_view *view) {
    struct cap *cap = &table[GMK_HANDLE_SLOT(handle)];
    uint64_t head = atomic_load_explicit(&cap->head, memory_order_acquire);
    view->object = atomic_load_explicit(&cap->object, memory_order_relaxed);
    view->badge = atomic_load_explicit(&cap->badge, memory_order_relaxed);
    view->serial = atomic_load_explicit(&cap->serial, memory_order_relaxed);
    if (GMK_UNLIKELY((head >> 32) != handle >> 8 || (uint8_t)head == GMK_CAP_NONE))
        return GMK_EHANDLE;
    if (GMK_UNLIKELY(atomic_load_explicit(&cap->checked, memory_order_relaxed) !=
                     atomic_load_explicit(&cap_revocations, memory_order_acquire)) &&
        !cap_still_valid(unit, cap, head))
        return GMK_EHANDLE;
    atomic_thread_fence(memory_order_acquire);
    if (GMK_UNLIKELY(atomic_load_explicit(&cap->head, memory_order_relaxed) != head))
        return GMK_EHANDLE; /* it changed just now */
    view->type = (uint8_t)head;
    view->rights = (uint8_t)(head >> 8);
    view->depth = (uint8_t)(head >> 16);
    view->slot = (uint8_t)GMK_HANDLE_SLOT(handle);
    if (GMK_UNLIKELY(type != GMK_CAP_NONE && view->type != type))
        return GMK_ECAPTYPE;
    return (view->rights & rights) == rights ? GMK_OK : GMK_ERIGHTS;
}

/* Puts the first capability of an object into a free slot: handle > 0, or GMK_ELIMIT (table full), or
 * GMK_ESTATE (the unit is dying). */
int64_t cap_insert(struct unit *unit, struct object *object, unsigned rights, uint64_t badge);
/* Into a given slot with generation 1, of a unit that has not started. The kernel keeps the object:
 * dropping the capability does not end it. */
void cap_insert_at(struct unit *unit, unsigned slot, struct object *object, unsigned rights,
                   uint64_t badge);
/* Derives from `from`'s handle into `to` (which may be the same unit): the new handle. GMK_EHANDLE;
 * GMK_ERIGHTS: not a subset, or into another unit without GRANT; GMK_EINVAL: a badge can be set once,
 * on one that has none (0 leaves it as it is); GMK_ELIMIT: too deep, or no room; GMK_ESTATE: `to` is
 * dying. */
int64_t cap_derive(struct unit *from, uint32_t handle, struct unit *to, unsigned rights,
                   uint64_t badge);
int cap_revoke(struct unit *unit, uint32_t handle);
/* Revokes, empties; at depth 0 object_destroy()s. Called with no lock held. */
int cap_drop(struct unit *unit, uint32_t handle);
/* Errors as cap_derive(). When `to` dies in the middle, that is as if it had died a little later. */
int64_t cap_move(struct unit *from, uint32_t handle, struct unit *to);

/* The table of a unit: empty and open for a new life; its memory is new for the first one. */
void cap_table_init(struct unit *unit);
/* From now on nothing comes in: GMK_ESTATE. */
void cap_table_close(struct unit *unit);
/* Drops up to `count` capabilities from *slot on; true when the table is empty. For the end of a
 * unit: the table is closed. */
bool cap_drop_some(struct unit *unit, unsigned *slot, unsigned count);
unsigned cap_count(struct unit *unit);
/* Panics where an invariant does not hold. At rest. */
void cap_check_table(struct unit *unit);
