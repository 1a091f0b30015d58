/* Space: its life, its array of mappings, and page faults.
 *
 * A fault finds the mapping (binary search), the page's frame (a walk of the object's tree) and enters it
 * (a walk of the page tables), under the locks of space and object: a bounded path whatever the
 * program has mapped. Two CPUs that fault on one page come one after the other; the second finds the
 * page entered, and forgets what its TLB has of it.
 *
 * The end. Nothing runs in the space, but CPUs may still have it loaded, since a switch to a thread of
 * the kernel changes no root. They are asked to leave it; then nobody can see through its tables, and
 * mappings and tables are taken apart some at a time, without a look at single pages. */
#include "kernel/mem/space.h"

#include <string.h>

#include "ggmk/log.h"
#include "kernel/cap/factory.h"
#include "kernel/mem/frame_span.h"
#include "kernel/mem/layout.h"

#define BASE_LOW  UINT64_C(0x200000000000) /* addresses are chosen from a base on: */
#define BASE_MASK UINT64_C(0x1ffffffff000) /* 33 bits of pages */

/* ---- Frames of the space ------------------------------------------------------------------------ */

/* For whom page tables are made on each CPU just now. Its CPU's alone, IF off. */
static struct maker {
    struct space *space;
    int error;
} makers[CPUS_MAX];

void space_pays(struct space *space) {
    makers[cpu_this()->index].space = space;
}

/* All frames of a space are in one list, by their descriptors: nobody has to look for them in the end. */
paddr_t space_table(void) {
    struct maker *maker = &makers[cpu_this()->index];
    struct space *space = maker->space;
    maker->error = factory_take_frames(space->factory, 1);
    if (maker->error != GMK_OK)
        return 0;
    paddr_t table = frame_alloc(FRAME_USER_TABLE);
    if (table == 0) {
        factory_give_frames(space->factory, 1);
        maker->error = GMK_ENOMEM;
        return 0;
    }
    frame_at(table >> PAGE_SHIFT)->object = space->frames;
    space->frames = arch_phys(table);
    return table;
}

int space_table_error(void) {
    return makers[cpu_this()->index].error;
}

/* True: none is left. */
static bool free_frames(struct space *space) {
    unsigned count = 0;
    while (space->frames != NULL && count < SPACE_STEP_FRAMES) {
        paddr_t frame = layout_direct_to_phys(space->frames);
        space->frames = frame_at(frame >> PAGE_SHIFT)->object;
        frame_free(frame);
        count++;
    }
    factory_give_frames(space->factory, count);
    return space->frames == NULL;
}

static _Atomic uint16_t tags_given;

int space_init(struct space *space, struct factory *factory, uint64_t random) {
    if (space->lock.class != LOCK_SPACE) { /* this memory's first life */
        spin_init(&space->lock, LOCK_SPACE);
        unsigned tag = atomic_fetch_add_explicit(&tags_given, 1, memory_order_relaxed) + 1u;
        space->tag = tag < arch_space_tags() ? (uint16_t)tag : 0;
    }
    space->factory = factory;
    space->mappings = space->few;
    space->count = 0;
    space->base = BASE_LOW + (random & BASE_MASK);
    space->dying = space->left = false;
    space->frames = NULL;
    /* Alone: what CPUs remember under the tag is of a former life. */
    atomic_fetch_add_explicit(&space->flushes, 1, memory_order_seq_cst);
    space_pays(space);
    space->root = arch_space_new(space_table);
    if (space->root != 0)
        return GMK_OK;
    free_frames(space);
    return space_table_error();
}

/* ---- The array ------------------------------------------------------------------------------------ */

unsigned space_find(const struct space *space, uint64_t address) {
    unsigned low = 0, high = space->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (space->mappings[middle]->end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int space_room(struct space *space, unsigned more) {
    if (space->count + more > SPACE_MAPPINGS_MAX)
        return GMK_ELIMIT;
    if (space->mappings != space->few || space->count + more <= SPACE_FEW)
        return GMK_OK;
    space_pays(space);
    paddr_t frame = space_table();
    if (frame == 0)
        return space_table_error();
    struct mapping **mappings = arch_phys(frame);
    memcpy(mappings, space->few, sizeof space->few);
    space->mappings = mappings;
    return GMK_OK;
}
_Static_assert((SPACE_MAPPINGS_MAX + SPACE_CUT) * sizeof(struct mapping *) <= PAGE_SIZE,
               "the array is a frame");

void space_insert(struct space *space, struct mapping *mapping) {
    unsigned most = space->mappings == space->few ? SPACE_FEW : SPACE_MAPPINGS_MAX;
    K_ASSERT(space->count < most + SPACE_CUT, "who enters a mapping has seen to room for it");
    unsigned at = space_find(space, mapping->start);
    struct mapping **place = &space->mappings[at];
    memmove(place + 1, place, (space->count - at) * sizeof(struct mapping *));
    *place = mapping;
    space->count++;
}

void space_remove(struct space *space, unsigned index) {
    struct mapping **place = &space->mappings[index];
    space->count--;
    memmove(place, place + 1, (space->count - index) * sizeof(struct mapping *));
}

bool space_mapping(struct space *space, unsigned i, struct mapping *copy) {
    spin_enter(&space->lock);
    bool found = i < space->count;
    if (found)
        *copy = *space->mappings[i];
    spin_leave(&space->lock);
    return found;
}

/* ---- Faults ----------------------------------------------------------------------------------------- */

/* Space locked: the mapping allows it. */
static int resolve(struct mapping *mapping, uint64_t va, bool write) {
    struct memory *memory = mapping->memory;
    paddr_t frame;
    bool writable;
    uint64_t page = (va - mapping->start + mapping->offset) / PAGE_SIZE;
    spin_enter(&memory->object.lock);
    int status = memory_page_locked(memory, page, write, &frame, &writable);
    if (GMK_LIKELY(status == GMK_OK))
        status = mapping_enter(mapping, va, frame, writable);
    spin_leave(&memory->object.lock);
    return status;
}

int space_fault(struct space *space, uint64_t address, bool write, bool exec) {
    unsigned need = write ? GMK_PROT_WRITE : exec ? GMK_PROT_EXEC : GMK_PROT_READ;
    int status = GMK_EFAULT;
    spin_enter(&space->lock);
    unsigned i = space_find(space, address);
    if (i < space->count && space->mappings[i]->start <= address &&
        (space->mappings[i]->prot & need) != 0)
        status = resolve(space->mappings[i], page_down(address), write);
    spin_leave(&space->lock);
    return status;
}

/* ---- The kernel's pages -------------------------------------------------------------------------------- */

/* The mark makes the tables: afterwards nothing can fail but the page's own frame. */
static int add_kernel_page(struct space *space, uint64_t address, paddr_t *frame) {
    space_pays(space);
    int status = arch_page_set_mark(space->root, address, PAGE_MARK_LAZY, space_table);
    if (status == GMK_OK) {
        *frame = space_table();
        status = *frame != 0 ? GMK_OK : GMK_ENOMEM;
    }
    if (status == GMK_ENOMEM)
        return space_table_error();
    if (status != GMK_OK)
        return status;
    arch_page_clear(arch_phys(*frame));
    status = arch_page_map(space->root, address, *frame, 0, PAGE_USER | PAGE_WRITE, space_table);
    K_ASSERT(status == GMK_OK, "a page whose tables are there can be entered");
    return GMK_OK;
}

int space_page_add(struct space *space, uint64_t address, paddr_t *frame) {
    if (address % PAGE_SIZE != 0 || address < SPACE_MAP_END ||
        address - SPACE_MAP_END >= SPACE_KERNEL_PAGES * PAGE_SIZE)
        return GMK_EINVAL;
    spin_enter(&space->lock);
    int status = space->dying ? GMK_ESTATE : add_kernel_page(space, address, frame);
    spin_leave(&space->lock);
    return status;
}

/* ---- The end --------------------------------------------------------------------------------------------- */

static void end_mapping(struct space *space) {
    struct mapping *mapping = space->mappings[space->count - 1];
    struct memory *memory = mapping->memory;
    spin_enter(&memory->object.lock);
    bool last = mapping_unlink_locked(mapping);
    spin_leave(&memory->object.lock);
    space_remove(space, space->count - 1);
    mapping_free(mapping);
    if (last)
        memory_release(memory);
}

/* Nobody else uses what is dying, but the monitor may look. True: no mapping is left. */
static bool end_mappings(struct space *space) {
    spin_enter(&space->lock);
    space->dying = true;
    if (space->count != 0) /* one: releasing its object may take as long as a step shall */
        end_mapping(space);
    bool done = space->count == 0;
    spin_leave(&space->lock);
    return done;
}

bool space_end_step(struct space *space) {
    if (space->root == 0)
        return true;
    if (!space->left) {
        space_leave(space);
        space->left = true;
    }
    if (!end_mappings(space))
        return false;
    if (!free_frames(space))
        return false;
    space->mappings = space->few;
    space->root = 0;
    return true;
}
