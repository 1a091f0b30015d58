/* Capability: tables, derivation, and taking back. See cap.h for the idea.
 *
 * A slot's life: empty -> filled (a new generation) -> empty. Before a slot changes hands its epoch
 * changes, if anything was derived from it; so whoever walks up and finds the epoch that it
 * remembers has read the very capability that it was derived from.
 *
 *   emptying   epoch + 1 (release), head NONE, [then fields may be written]
 *   filling    release fence, fields, head (release)
 *   cap_get    head (acquire), fields, acquire fence, head again
 *   walking    fields of the parent, acquire fence, its epoch
 *
 * `checked` is written under the table's lock only: with it a new capability in the slot could be
 * taken for the one that was examined.
 *
 * Free slots are a bitmap, taken in turn: a slot comes again after all other free ones, so a
 * generation (23 bits) comes again after 8 million lives of the slot, each one turn long. When none is
 * free, capabilities that were revoked but not looked at since are emptied. */
#include "kernel/cap/cap.h"

#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"

#include <string.h>

/* Levels that one search for revoked capabilities may walk: bounds its time. Only a table full of
 * valid and deep capabilities needs more; the next search goes on where this one stopped. */
#define CAP_SWEEP_LEVELS 256u

_Atomic uint64_t cap_revocations = 1;
_Atomic uint64_t cap_changes = 1;

static unsigned head_type(uint64_t head) {
    return (uint8_t)head;
}
static unsigned head_rights(uint64_t head) {
    return (uint8_t)(head >> 8);
}
static unsigned head_depth(uint64_t head) {
    return (uint8_t)(head >> 16);
}

static uint64_t head_of(const struct cap *cap) {
    return atomic_load_explicit(&cap->head, memory_order_relaxed);
}

/* ---- Validity ---------------------------------------------------------------------------- */

/* Is every epoch on the way up the one that was remembered? At most `depth` levels. */
static bool chain_holds(const struct cap *cap, unsigned depth) {
    unsigned unit = atomic_load_explicit(&cap->parent_unit, memory_order_relaxed);
    unsigned slot = atomic_load_explicit(&cap->parent_slot, memory_order_relaxed);
    uint64_t epoch = atomic_load_explicit(&cap->parent_epoch, memory_order_relaxed);
    for (; depth > 0; depth--) {
        const struct cap *parent = &units[unit]->caps[slot];
        unit = atomic_load_explicit(&parent->parent_unit, memory_order_relaxed);
        slot = atomic_load_explicit(&parent->parent_slot, memory_order_relaxed);
        uint64_t next = atomic_load_explicit(&parent->parent_epoch, memory_order_relaxed);
        /* The fields before the epoch. Pairs with the release in revoke_locked(). */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&parent->epoch, memory_order_relaxed) != epoch)
            return false;
        epoch = next;
    }
    return true;
}

/* What was derived from the slot is invalid from here on. */
static void revoke_locked(struct cap *cap) {
    if (!cap->derived)
        return;
    cap->derived = false;
    /* Release pairs with the fence in chain_holds(): what comes into the slot comes after. */
    (void)atomic_fetch_add_explicit(&cap->epoch, 1, memory_order_release);
    /* Pairs with the acquire in cap_get(): who sees the count sees the epoch. */
    (void)atomic_fetch_add_explicit(&cap_revocations, 1, memory_order_seq_cst);
    (void)atomic_fetch_add_explicit(&cap_changes, 1, memory_order_seq_cst);
}

static void empty_locked(struct unit *unit, struct cap *cap) {
    unsigned slot = (unsigned)(cap - unit->caps);
    revoke_locked(cap);
    uint64_t generation = head_of(cap) >> 32;
    atomic_store_explicit(&cap->head, CAP_HEAD(GMK_CAP_NONE, 0, 0, generation),
                          memory_order_release);
    unit->caps_free[slot / 64] |= UINT64_C(1) << slot % 64;
    /* Pairs with the acquires of those who keep what they saw: the slot is empty already. */
    (void)atomic_fetch_add_explicit(&cap_changes, 1, memory_order_seq_cst);
}

/* False: the capability was revoked, and the slot is empty now. */
static bool refresh_locked(struct unit *unit, struct cap *cap) {
    uint64_t now = atomic_load_explicit(&cap_revocations, memory_order_acquire);
    if (atomic_load_explicit(&cap->checked, memory_order_relaxed) == now)
        return true;
    if (!chain_holds(cap, head_depth(head_of(cap)))) {
        empty_locked(unit, cap);
        return false;
    }
    atomic_store_explicit(&cap->checked, now, memory_order_relaxed);
    return true;
}

bool cap_still_valid(struct unit *unit, struct cap *cap, uint64_t head) {
    spin_enter(&unit->caps_lock);
    bool valid = head_of(cap) == head && refresh_locked(unit, cap);
    spin_leave(&unit->caps_lock);
    return valid;
}

/* The valid capability of a handle; NULL. */
static struct cap *find_locked(struct unit *unit, uint32_t handle) {
    struct cap *cap = &unit->caps[GMK_HANDLE_SLOT(handle)];
    uint64_t head = head_of(cap);
    if (head >> 32 != handle >> 8 || head_type(head) == GMK_CAP_NONE)
        return NULL;
    return refresh_locked(unit, cap) ? cap : NULL;
}

/* ---- Free slots ----------------------------------------------------------------------------- */

/* The next free slot after the one taken last; 0: none. Slot 0 is never free. */
static unsigned free_slot_locked(struct unit *unit) {
    unsigned first = (unit->caps_last + 1) % GMK_CAPS_MAX;
    for (unsigned i = 0; i <= CAP_BITS; i++) {
        unsigned word = (first / 64 + i) % CAP_BITS;
        uint64_t bits = unit->caps_free[word];
        if (i == 0)
            bits &= UINT64_MAX << first % 64;
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return 0;
}

/* Looks for revoked capabilities from where the last search stopped. True: it emptied one. */
static bool sweep_locked(struct unit *unit) {
    uint64_t now = atomic_load_explicit(&cap_revocations, memory_order_acquire);
    unsigned levels = 0;
    for (unsigned i = 0; i < GMK_CAPS_MAX && levels < CAP_SWEEP_LEVELS; i++) {
        struct cap *cap = &unit->caps[unit->caps_sweep];
        unit->caps_sweep = (uint8_t)(unit->caps_sweep + 1);
        uint64_t head = head_of(cap);
        if (head_type(head) == GMK_CAP_NONE ||
            atomic_load_explicit(&cap->checked, memory_order_relaxed) == now)
            continue;
        levels += head_depth(head);
        if (!refresh_locked(unit, cap))
            return true;
    }
    return false;
}

/* Takes a slot out of the free ones. GMK_ESTATE, GMK_ELIMIT. */
static int take_slot_locked(struct unit *unit) {
    if (unit->caps_closed)
        return GMK_ESTATE;
    unsigned slot = free_slot_locked(unit);
    if (slot == 0 && sweep_locked(unit))
        slot = free_slot_locked(unit);
    if (slot == 0)
        return GMK_ELIMIT;
    unit->caps_free[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    unit->caps_last = (uint8_t)slot;
    return (int)slot;
}

/* ---- Filling ---------------------------------------------------------------------------------- */

/* A capability on its way into a slot. */
struct content {
    struct object *object;
    uint64_t badge, parent_epoch, checked;
    uint32_t serial;
    uint16_t parent_unit;
    uint8_t type, rights, depth, parent_slot;
};

static uint32_t fill_locked(struct unit *unit, unsigned slot, uint32_t generation,
                            const struct content *c) {
    struct cap *cap = &unit->caps[slot];
    K_ASSERT(head_type(head_of(cap)) == GMK_CAP_NONE, "only an empty slot is filled");
    /* After the head that says NONE. Pairs with the fence in cap_get(). */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&cap->object, c->object, memory_order_relaxed);
    atomic_store_explicit(&cap->badge, c->badge, memory_order_relaxed);
    atomic_store_explicit(&cap->serial, c->serial, memory_order_relaxed);
    atomic_store_explicit(&cap->parent_unit, c->parent_unit, memory_order_relaxed);
    atomic_store_explicit(&cap->parent_slot, c->parent_slot, memory_order_relaxed);
    atomic_store_explicit(&cap->parent_epoch, c->parent_epoch, memory_order_relaxed);
    atomic_store_explicit(&cap->checked, c->checked, memory_order_relaxed);
    /* Release pairs with the acquire in cap_get(). */
    atomic_store_explicit(&cap->head, CAP_HEAD(c->type, c->rights, c->depth, generation),
                          memory_order_release);
    return GMK_HANDLE(slot, generation);
}

static uint32_t fill_next_locked(struct unit *unit, unsigned slot, const struct content *c) {
    uint32_t generation = (uint32_t)(head_of(&unit->caps[slot]) >> 32);
    generation = generation == CAP_GENERATION_MASK ? 1 : generation + 1;
    return fill_locked(unit, slot, generation, c);
}

/* Into any free slot: the handle, GMK_ESTATE, GMK_ELIMIT. */
static int64_t insert(struct unit *unit, const struct content *c) {
    spin_enter(&unit->caps_lock);
    int64_t result = take_slot_locked(unit);
    if (result > 0)
        result = fill_next_locked(unit, (unsigned)result, c);
    spin_leave(&unit->caps_lock);
    return result;
}

static struct content first_content(struct object *object, unsigned rights, uint64_t badge) {
    return (struct content){.object = object,
                            .badge = badge,
                            .checked = atomic_load_explicit(&cap_revocations, memory_order_acquire),
                            .serial = object->serial,
                            .type = object->type,
                            .rights = (uint8_t)rights};
}

int64_t cap_insert(struct unit *unit, struct object *object, unsigned rights, uint64_t badge) {
    const struct content c = first_content(object, rights, badge);
    return insert(unit, &c);
}

void cap_insert_at(struct unit *unit, unsigned slot, struct object *object, unsigned rights,
                   uint64_t badge) {
    K_ASSERT(slot > 0 && slot < GMK_CAPS_MAX, "a slot of the table");
    struct content c = first_content(object, rights, badge);
    c.depth = 1;
    c.parent_unit = unit->index;
    spin_enter(&unit->caps_lock);
    unit->caps[0].derived = true;
    c.parent_epoch = atomic_load_explicit(&unit->caps[0].epoch, memory_order_relaxed);
    unit->caps_free[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    unit->caps_last = (uint8_t)slot;
    (void)fill_locked(unit, slot, 1, &c);
    spin_leave(&unit->caps_lock);
}

/* ---- Deriving and moving ------------------------------------------------------------------------ */

static void read_locked(const struct cap *cap, struct content *c) {
    uint64_t head = head_of(cap);
    *c = (struct content){
        .object = atomic_load_explicit(&cap->object, memory_order_relaxed),
        .badge = atomic_load_explicit(&cap->badge, memory_order_relaxed),
        .serial = atomic_load_explicit(&cap->serial, memory_order_relaxed),
        .parent_unit = atomic_load_explicit(&cap->parent_unit, memory_order_relaxed),
        .parent_slot = atomic_load_explicit(&cap->parent_slot, memory_order_relaxed),
        .parent_epoch = atomic_load_explicit(&cap->parent_epoch, memory_order_relaxed),
        .checked = atomic_load_explicit(&cap->checked, memory_order_relaxed),
        .type = (uint8_t)head_type(head),
        .rights = (uint8_t)head_rights(head),
        .depth = (uint8_t)head_depth(head),
    };
}

/* May it be narrowed so, and leave its table? */
static int may_derive(const struct content *source, unsigned rights, uint64_t badge, bool leaves) {
    if ((rights & ~(unsigned)source->rights) != 0)
        return GMK_ERIGHTS;
    if (leaves && (source->rights & GMK_RIGHT_GRANT) == 0)
        return GMK_ERIGHTS;
    if (badge != 0 && source->badge != 0)
        return GMK_EINVAL;
    return source->depth < GMK_CAP_DEPTH_MAX ? GMK_OK : GMK_ELIMIT;
}

/* What is to be inserted as a child of the handle's capability, which knows now that it has one. */
static int derive_content(struct unit *from, uint32_t handle, bool leaves, unsigned rights,
                          uint64_t badge, struct content *c) {
    int status = GMK_EHANDLE;
    spin_enter(&from->caps_lock);
    struct cap *cap = find_locked(from, handle);
    if (cap != NULL) {
        read_locked(cap, c);
        status = may_derive(c, rights, badge, leaves);
    }
    if (status == GMK_OK) {
        cap->derived = true;
        c->rights = (uint8_t)rights;
        c->badge = badge != 0 ? badge : c->badge;
        c->depth++;
        c->parent_unit = from->index;
        c->parent_slot = (uint8_t)GMK_HANDLE_SLOT(handle);
        c->parent_epoch = atomic_load_explicit(&cap->epoch, memory_order_relaxed);
    }
    spin_leave(&from->caps_lock);
    return status;
}

int64_t cap_derive(struct unit *from, uint32_t handle, struct unit *to, unsigned rights,
                   uint64_t badge) {
    struct content c;
    int status = derive_content(from, handle, to != from, rights, badge, &c);
    if (status != GMK_OK)
        return status;
    /* The source may be revoked from here on. Then its epoch is not the one remembered, and the
     * count not the one in `checked`: the new capability is invalid from its beginning. */
    int64_t made = insert(to, &c);
    if (made <= 0 ||
        GMK_LIKELY(c.checked == atomic_load_explicit(&cap_revocations, memory_order_acquire)))
        return made;
    spin_enter(&to->caps_lock);
    bool valid = find_locked(to, (uint32_t)made) != NULL;
    spin_leave(&to->caps_lock);
    return valid ? made : GMK_EHANDLE;
}

/* Takes the capability out of its slot. */
static int take_out(struct unit *unit, uint32_t handle, unsigned rights, struct content *c) {
    int status = GMK_EHANDLE;
    spin_enter(&unit->caps_lock);
    struct cap *cap = find_locked(unit, handle);
    if (cap != NULL) {
        read_locked(cap, c);
        status = (c->rights & rights) == rights ? GMK_OK : GMK_ERIGHTS;
    }
    if (status == GMK_OK)
        empty_locked(unit, cap);
    spin_leave(&unit->caps_lock);
    return status;
}

/* Fills a slot that was taken, or gives it back (c NULL). The table may have been closed since: then
 * nothing would empty the slot again, and the content is dropped at once. */
static int64_t settle_slot(struct unit *unit, unsigned slot, const struct content *c) {
    spin_enter(&unit->caps_lock);
    bool fills = c != NULL && !unit->caps_closed;
    uint32_t generation = (uint32_t)(head_of(&unit->caps[slot]) >> 32);
    int64_t handle = GMK_HANDLE(slot, generation);
    if (fills)
        handle = fill_next_locked(unit, slot, c);
    else
        unit->caps_free[slot / 64] |= UINT64_C(1) << slot % 64;
    spin_leave(&unit->caps_lock);
    if (!fills && c != NULL && c->depth == 0)
        object_destroy(c->object, c->serial);
    return handle;
}

int64_t cap_move(struct unit *from, uint32_t handle, struct unit *to) {
    const unsigned needed = from == to ? 0 : GMK_RIGHT_GRANT;
    struct cap_view view;
    int status = cap_get(from, from->caps, handle, GMK_CAP_NONE, needed, &view);
    if (status != GMK_OK)
        return status;
    spin_enter(&to->caps_lock);
    int slot = take_slot_locked(to);
    spin_leave(&to->caps_lock);
    if (slot < 0)
        return slot;
    struct content c;
    status = take_out(from, handle, needed, &c);
    int64_t moved = settle_slot(to, (unsigned)slot, status == GMK_OK ? &c : NULL);
    return status == GMK_OK ? moved : status;
}

/* ---- Taking back ----------------------------------------------------------------------------------- */

int cap_revoke(struct unit *unit, uint32_t handle) {
    spin_enter(&unit->caps_lock);
    struct cap *cap = find_locked(unit, handle);
    if (cap != NULL)
        revoke_locked(cap);
    spin_leave(&unit->caps_lock);
    return cap != NULL ? GMK_OK : GMK_EHANDLE;
}

int cap_drop(struct unit *unit, uint32_t handle) {
    struct content c;
    int status = take_out(unit, handle, 0, &c);
    if (status == GMK_OK && c.depth == 0)
        object_destroy(c.object, c.serial);
    return status;
}

void cap_table_close(struct unit *unit) {
    spin_enter(&unit->caps_lock);
    unit->caps_closed = true;
    revoke_locked(&unit->caps[0]); /* what the kernel gave, wherever it was moved to */
    spin_leave(&unit->caps_lock);
}
