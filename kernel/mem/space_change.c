/* Space change: takes away and narrows what is mapped, step by step.
 *
 * A step goes through at most SPACE_STEP_PAGES leaves and holes (a hole may be 512 GiB) and returns how
 * far it came; what it has done is complete: leaves, the TLBs of all CPUs, and the array agree when
 * it returns. So a call can be repeated from there, stopped, or raced by others.
 *
 * The range of a mapping that is changed is cut out as a mapping of its own, and after a protect joined
 * to its neighbours where they have become alike: steps over one large mapping leave two behind,
 * not a hundred. */
#include "ggmk/log.h"
#include "kernel/mem/space.h"
#include "kernel/mem/vm.h"

#define RIGHTS (GMK_PROT_READ | GMK_PROT_WRITE | GMK_PROT_EXEC)

/* ---- Cutting and joining: both locks held --------------------------------------------------------- */

/* A mapping like `m`, of [start, end), beside it; linked and inserted. There is room. */
static int add_piece(struct mapping *m, uint64_t start, uint64_t end, unsigned flags) {
    struct mapping *piece = mapping_new();
    if (piece == NULL)
        return GMK_ENOMEM;
    *piece = *m;
    piece->start = start;
    piece->end = end;
    piece->offset = m->offset + (start - m->start);
    piece->flags = (uint16_t)flags;
    mapping_link_locked(piece);
    space_insert(m->space, piece);
    return GMK_OK;
}

/* Cuts what lies above `at` off into a mapping of its own. */
static int split(struct mapping *m, uint64_t at) {
    if (at <= m->start || at >= m->end)
        return GMK_OK;
    uint64_t end = m->end;
    m->end = at; /* so that the new one finds its place */
    int status = add_piece(m, at, end, m->flags & ~MAPPING_GUARD_BEFORE);
    if (status == GMK_OK)
        m->flags &= (uint16_t)~MAPPING_GUARD_AFTER;
    else
        m->end = end;
    return status;
}

/* May [a, b) be cut out of it, now or as far as the visits go? `stays`: it remains, as a mapping of its own.
 * For a moment there may be two more than in the end: space_room() keeps places for them. */
static int may_cut(struct mapping *m, uint64_t a, uint64_t b, unsigned visits, bool stays) {
    bool low = a > m->start, high = b < m->end || (b - a) / PAGE_SIZE > visits;
    unsigned more = stays ? (unsigned)low + (unsigned)high : low && high;
    if (more == 0)
        return GMK_OK;
    if (!mapping_room(m->memory, (m->prot & GMK_PROT_WRITE) != 0, more))
        return GMK_ELIMIT;
    return space_room(m->space, more);
}

static bool alike(const struct mapping *low, const struct mapping *high) {
    return low->memory == high->memory && low->end == high->start &&
           low->offset + (low->end - low->start) == high->offset && low->prot == high->prot &&
           low->prot_max == high->prot_max;
}

/* Joins the mapping at `index` with the one above it, if they are alike. */
static void join(struct space *space, unsigned index) {
    if (index + 1 >= space->count)
        return;
    struct mapping *low = space->mappings[index], *high = space->mappings[index + 1];
    if (!alike(low, high))
        return;
    low->end = high->end;
    low->flags |= high->flags & MAPPING_GUARD_AFTER;
    mapping_unlink_locked(high); /* never the last: `low` is there */
    space_remove(space, index + 1);
    mapping_free(high);
}

/* ---- Leaves ------------------------------------------------------------------------------------------ */

/* What `prot` lacks goes from the leaves in [va, end), in TLBs too: where it stopped. */
static uint64_t narrow(struct space *space, uint64_t va, uint64_t end, unsigned prot,
                       unsigned *visits) {
    struct page_batch batch = {.visits = *visits, .count = 0};
    unsigned keep = (prot & RIGHTS) == 0 ? PAGE_GONE : 0;
    if (keep == 0)
        keep = ((prot & GMK_PROT_WRITE) != 0 ? PAGE_WRITE : 0u) |
               ((prot & GMK_PROT_EXEC) != 0 ? PAGE_EXEC : 0u);
    uint64_t stop = arch_page_narrow(space->root, va, end, keep, &batch);
    space_shootdown(space, batch.pages, batch.count);
    *visits = batch.visits;
    return stop;
}

/* ---- Unmapping ----------------------------------------------------------------------------------------- */

/* Takes [a, b) of a mapping away, as far as the visits go: where it stopped, or an error. */
static int64_t unmap_part(struct mapping *m, uint64_t a, uint64_t b, unsigned *visits) {
    struct space *space = m->space;
    struct memory *memory = m->memory;
    bool last = false;
    spin_enter(&memory->object.lock);
    int status = may_cut(m, a, b, *visits, false);
    if (status == GMK_OK && (status = split(m, a)) == GMK_OK) {
        m = space->mappings[space_find(space, a)];
        b = narrow(space, a, b, 0, visits);
        status = split(m, b);
        if (status == GMK_OK) {
            last = mapping_unlink_locked(m);
            space_remove(space, space_find(space, a));
            mapping_free(m);
        }
    }
    spin_leave(&memory->object.lock);
    if (last) {
        memory_release(memory);
        *visits = 0; /* that was work enough */
    }
    return status == GMK_OK ? (int64_t)b : status;
}

/* ---- Protecting ---------------------------------------------------------------------------------------- */

static int may_protect(struct mapping *m, uint64_t a, uint64_t b, unsigned prot, unsigned visits) {
    if ((prot & RIGHTS & ~m->prot_max) != 0)
        return GMK_ERIGHTS;
    if ((prot & ~m->prot & GMK_PROT_WRITE) != 0 && !mapping_room(m->memory, true, 2))
        return GMK_ELIMIT;
    return may_cut(m, a, b, visits, true);
}

static void set_prot(struct mapping *m, unsigned prot) {
    m->memory->writers -= (m->prot & GMK_PROT_WRITE) != 0;
    m->memory->writers += (prot & GMK_PROT_WRITE) != 0;
    m->prot = (uint8_t)prot;
}

/* Gives [a, b) of a mapping new rights, as far as the visits go: where it stopped, or an error. */
static int64_t protect_part(struct mapping *m, uint64_t a, uint64_t b, unsigned prot,
                            unsigned *visits) {
    struct space *space = m->space;
    struct memory *memory = m->memory;
    bool wire = mapping_is_wired(m) && (prot & RIGHTS) != 0;
    if (wire && b - a > SPACE_STEP_WIRED * PAGE_SIZE)
        b = a + SPACE_STEP_WIRED * PAGE_SIZE;
    spin_enter(&memory->object.lock);
    int status = may_protect(m, a, b, prot, *visits);
    if (status == GMK_OK && (status = split(m, a)) == GMK_OK) {
        m = space->mappings[space_find(space, a)];
        if ((m->prot & RIGHTS & ~prot) != 0) /* what it gains comes by faults */
            b = narrow(space, a, b, prot, visits);
        status = split(m, b);
        if (status == GMK_OK) {
            set_prot(m, prot);
            if (wire)
                mapping_wire(m, a, b);
            unsigned index = space_find(space, a);
            join(space, index);
            if (index > 0)
                join(space, index - 1);
            *visits = wire ? 0 : *visits;
        }
    }
    spin_leave(&memory->object.lock);
    return status == GMK_OK ? (int64_t)b : status;
}

/* ---- Steps ---------------------------------------------------------------------------------------------- */

#define UNMAP UINT32_MAX /* in the place of prot */

static int64_t change(struct space *space, uint64_t address, uint64_t size, unsigned prot) {
    if (size == 0 || (address | size) % PAGE_SIZE != 0 || size > GMK_USER_MAX ||
        address > GMK_USER_MAX - size)
        return GMK_EINVAL;
    uint64_t at = address, end = address + size;
    int64_t stop = GMK_ESTATE;
    spin_enter(&space->lock);
    for (unsigned visits = space->dying ? 0 : SPACE_STEP_PAGES; at < end && visits > 0;) {
        unsigned i = space_find(space, at);
        struct mapping *m = i < space->count ? space->mappings[i] : NULL;
        if (m == NULL || m->start >= end) {
            at = end;
            break;
        }
        uint64_t a = at > m->start ? at : m->start, b = end < m->end ? end : m->end;
        stop = prot == UNMAP ? unmap_part(m, a, b, &visits) : protect_part(m, a, b, prot, &visits);
        if (stop < 0)
            break;
        at = (uint64_t)stop;
        visits -= visits != 0; /* a mapping costs one even where nothing was entered */
    }
    spin_leave(&space->lock);
    return at > address ? (int64_t)(at - address) : stop;
}

int64_t space_unmap_step(struct space *space, uint64_t address, uint64_t size) {
    return change(space, address, size, UNMAP);
}

int64_t space_protect_step(struct space *space, uint64_t address, uint64_t size, unsigned prot) {
    unsigned wx = GMK_PROT_WRITE | GMK_PROT_EXEC;
    if ((prot & ~(RIGHTS | GMK_MAP_WX)) != 0 || ((prot & wx) == wx && (prot & GMK_MAP_WX) == 0) ||
        ((prot & wx) != 0 && (prot & GMK_PROT_READ) == 0))
        return GMK_EINVAL;
    return change(space, address, size, prot);
}
