/* Space map: puts a range of an object where there is room for it.
 *
 * Addresses that the space chooses lie upwards from its base, which is random (33 bits of pages), in
 * the first gap that is large enough: so neighbours share page tables, for which the unit pays. Guards
 * are room that nobody else gets.
 *
 * Everything is checked, and all that can fail is at hand, before anything changes. */
#include <string.h>

#include "ggmk/log.h"
#include "kernel/cap/unit.h"
#include "kernel/mem/space.h"

_Static_assert(SPACE_MAP_END == UNIT_MSG_BASE, "message buffers are above what units map");
_Static_assert(SPACE_KERNEL_PAGES == UNIT_MSG_PAGES, "all message buffers are pages of the kernel");

#define RIGHTS (GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC)
#define BITS   (RIGHTS | GMK_MAP_WX | GMK_MAP_FIXED | GMK_MAP_PRIVATE | GMK_MAP_GUARD)

static uint64_t low_of(const struct mapping *m) {
    return m->start - ((m->flags & MAPPING_GUARD_BEFORE) != 0 ? PAGE_SIZE : 0);
}

static uint64_t high_of(const struct mapping *m) {
    return m->end + ((m->flags & MAPPING_GUARD_AFTER) != 0 ? PAGE_SIZE : 0);
}

/* The first `size` free bytes in [low, high); 0: none. Bound: SPACE_MAPPINGS_MAX. */
static uint64_t gap(const struct space *space, uint64_t low, uint64_t high, uint64_t size) {
    unsigned i = space_find(space, low);
    if (i > 0 && high_of(space->mappings[i - 1]) > low)
        low = high_of(space->mappings[i - 1]);
    for (; i < space->count && low <= high; i++) {
        uint64_t top = low_of(space->mappings[i]);
        if (top > low && top - low >= size)
            break;
        low = high_of(space->mappings[i]);
    }
    return low <= high && high - low >= size ? low : 0;
}

/* A place for `size` bytes with `guard` bytes on either side: *address becomes it. */
static int choose(const struct space *space, uint64_t *address, uint64_t size, uint64_t guard,
                  bool fixed) {
    uint64_t whole = size + 2 * guard, low = *address - guard;
    bool inside = *address >= GMK_USER_MIN + guard && *address % PAGE_SIZE == 0 &&
                  whole <= SPACE_MAP_END && low <= SPACE_MAP_END - whole;
    if (fixed && !inside)
        return GMK_EINVAL;
    uint64_t at = inside ? gap(space, low, low + whole, whole) : 0;
    if (at == 0 && fixed)
        return GMK_EEXIST;
    if (at == 0)
        at = gap(space, space->base, SPACE_MAP_END, whole);
    if (at == 0)
        at = gap(space, GMK_USER_MIN, space->base, whole);
    *address = at + guard;
    return at != 0 ? GMK_OK : GMK_ENOMEM;
}

static int check(uint64_t offset, uint64_t size, unsigned prot, unsigned prot_max) {
    unsigned wx = GMK_PROT_WRITE | GMK_PROT_EXEC;
    if (size == 0 || (size | offset) % PAGE_SIZE != 0 || size > MEMORY_SIZE_MAX ||
        offset > MEMORY_SIZE_MAX - size || (prot & ~BITS) != 0)
        return GMK_EINVAL;
    if ((prot & wx) != 0 && (prot & GMK_PROT_READ) == 0) /* the hardware knows no such page */
        return GMK_EINVAL;
    if ((prot & wx) == wx && (prot & GMK_MAP_WX) == 0)
        return GMK_EINVAL;
    return (prot & RIGHTS & ~prot_max) == 0 ? GMK_OK : GMK_ERIGHTS;
}

/* Space locked, the mapping has its place: enters it into both lists, and fills what is wired. */
static int attach(struct space *space, struct mapping *mapping, uint32_t serial) {
    struct memory *memory = mapping->memory;
    uint64_t size = mapping->end - mapping->start;
    if (!object_enter(&memory->object, serial))
        return GMK_EHANDLE;
    int status = GMK_OK;
    if (memory->ready != memory->pages)
        status = GMK_ESTATE;
    else if (size > memory->pages * PAGE_SIZE || mapping->offset > memory->pages * PAGE_SIZE - size)
        status = GMK_ERANGE;
    else if (!mapping_room(memory, (mapping->prot & GMK_PROT_WRITE) != 0, 1))
        status = GMK_ELIMIT;
    if (status == GMK_OK) {
        mapping_link_locked(mapping);
        space_insert(space, mapping);
        if (mapping_is_wired(mapping) && (mapping->prot & RIGHTS) != 0)
            mapping_wire(mapping, mapping->start, mapping->end);
    }
    object_leave(&memory->object);
    return status;
}

int64_t space_map(struct space *space, struct memory *memory, uint32_t serial, uint64_t address,
                  uint64_t offset, uint64_t size, unsigned prot, unsigned prot_max) {
    int status = check(offset, size, prot, prot_max);
    struct mapping *mapping = status == GMK_OK ? mapping_new() : NULL;
    if (mapping == NULL)
        return status != GMK_OK ? status : GMK_ENOMEM;
    bool guard = (prot & GMK_MAP_GUARD) != 0;
    spin_enter(&space->lock);
    status = space->dying ? GMK_ESTATE : space_room(space, 1);
    if (status == GMK_OK)
        status = choose(space, &address, size, guard ? PAGE_SIZE : 0, (prot & GMK_MAP_FIXED) != 0);
    if (status == GMK_OK) {
        *mapping = (struct mapping){.memory = memory,
                                    .space = space,
                                    .start = address,
                                    .end = address + size,
                                    .offset = offset,
                                    .prot = (uint8_t)(prot & (RIGHTS | GMK_MAP_WX)),
                                    .prot_max = (uint8_t)prot_max,
                                    .flags = (uint16_t)(prot & GMK_MAP_PRIVATE)};
        if (guard)
            mapping->flags |= MAPPING_GUARD_BEFORE | MAPPING_GUARD_AFTER;
        status = attach(space, mapping, serial);
    }
    spin_leave(&space->lock);
    if (status == GMK_OK)
        return (int64_t)address;
    mapping_free(mapping);
    return status;
}
