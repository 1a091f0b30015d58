/* Capability table: its beginning and end with its unit, and its invariants.
 *
 * The memory of a table is type-stable, as its unit's is: others look at the epochs of its slots
 * when it has long been another unit's. So a new life changes nothing but what says "free". */
#include "kernel/cap/cap.h"

#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"

void cap_table_init(struct unit *unit) {
    spin_enter(&unit->caps_lock);
    for (unsigned i = 0; i < CAP_BITS; i++)
        unit->caps_free[i] = UINT64_MAX;
    unit->caps_free[0] &= ~UINT64_C(1);
    unit->caps_last = 0;
    unit->caps_sweep = 0;
    unit->caps_closed = false;
    spin_leave(&unit->caps_lock);
}

/* The first slot at or after `from` that is not free; GMK_CAPS_MAX: there is none. */
static unsigned next_used(const struct unit *unit, unsigned from) {
    for (unsigned word = from / 64; word < CAP_BITS; word++) {
        uint64_t used = ~unit->caps_free[word];
        if (word == 0)
            used &= ~UINT64_C(1); /* slot 0 is never used */
        if (word == from / 64)
            used &= UINT64_MAX << from % 64;
        if (used != 0)
            return word * 64 + (unsigned)__builtin_ctzll(used);
    }
    return GMK_CAPS_MAX;
}

/* A slot that is taken and not filled yet is left to who took it: the table is closed (cap.c). */
bool cap_drop_some(struct unit *unit, unsigned *slot, unsigned count) {
    for (; count > 0; count--) {
        unsigned used = next_used(unit, *slot);
        if (used == GMK_CAPS_MAX)
            return true;
        uint64_t head = atomic_load_explicit(&unit->caps[used].head, memory_order_relaxed);
        (void)cap_drop(unit,
                       GMK_HANDLE(used, head >> 32)); /* or it was revoked, and is empty now */
        *slot = used + 1;
        if (*slot == GMK_CAPS_MAX)
            return true;
    }
    return false;
}

unsigned cap_count(struct unit *unit) {
    unsigned count = 0;
    for (unsigned i = 0; i < CAP_BITS; i++)
        count += (unsigned)__builtin_popcountll(~unit->caps_free[i]);
    return count - 1; /* slot 0 */
}

static void check_slot(struct unit *unit, unsigned slot) {
    const struct cap *cap = &unit->caps[slot];
    uint64_t head = atomic_load_explicit(&cap->head, memory_order_relaxed);
    bool empty = (uint8_t)head == GMK_CAP_NONE;
    bool free = (unit->caps_free[slot / 64] >> slot % 64 & 1) != 0;
    K_ASSERT(empty == (free || slot == 0), "the bitmap names the empty slots");
    K_ASSERT(head >> 32 <= CAP_GENERATION_MASK, "a generation has 23 bits");
    if (empty)
        return;
    K_ASSERT((uint8_t)head < GMK_CAP_TYPES, "a capability has a type");
    K_ASSERT((head >> 8 & 255) <= GMK_RIGHTS_ALL, "there are five rights");
    K_ASSERT((head >> 16 & 255) <= GMK_CAP_DEPTH_MAX, "derivation has a depth");
    K_ASSERT(head >> 32 != 0, "a generation is never 0");
    K_ASSERT((head >> 16 & 255) == 0 || units[cap->parent_unit] != NULL,
             "a derived capability has a parent");
}

void cap_check_table(struct unit *unit) {
    for (unsigned i = 0; i < GMK_CAPS_MAX; i++)
        check_slot(unit, i);
}
