/* Mapping: where an object is seen, and its leaves in the page tables.
 *
 * The leaves of a mapping are the object's: they change only under its lock, and no TLB holds an old one
 * when that is released (memory.h). So these functions reach into any space that shows the object.
 *
 * Bounds: MEMORY_MAPPINGS_MAX per object. Copying a page goes through all of them, and cloning through
 * those that can write: an object that anybody can write to has at most MEMORY_SHARED_MAX. */
#include "ggmk/log.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/space.h"
#include "kernel/mem/vm.h"

static struct kslab_cache mapping_cache = {
    .name = "mapping", .object_size = sizeof(struct mapping), .lock = SPINLOCK_INIT(LOCK_SLAB)};

struct mapping *mapping_new(void) {
    return kslab_take(&mapping_cache);
}

void mapping_free(struct mapping *mapping) {
    kslab_give(&mapping_cache, mapping);
}

/* ---- The object's list -------------------------------------------------------------------------- */

static bool writes(const struct mapping *mapping) {
    return (mapping->prot & GMK_PROT_WRITE) != 0;
}

bool mapping_room(const struct memory *memory, bool can_write, unsigned more) {
    unsigned most = can_write || memory->writers != 0 ? MEMORY_SHARED_MAX : MEMORY_MAPPINGS_MAX;
    return memory->mapping_count + more <= most;
}

void mapping_link_locked(struct mapping *mapping) {
    struct memory *memory = mapping->memory;
    mapping->prev_of_object = NULL;
    mapping->next_of_object = memory->mappings;
    if (memory->mappings != NULL)
        memory->mappings->prev_of_object = mapping;
    memory->mappings = mapping;
    memory->mapping_count++;
    memory->writers += writes(mapping);
}

bool mapping_unlink_locked(struct mapping *mapping) {
    struct memory *memory = mapping->memory;
    if (mapping->prev_of_object != NULL)
        mapping->prev_of_object->next_of_object = mapping->next_of_object;
    else
        memory->mappings = mapping->next_of_object;
    if (mapping->next_of_object != NULL)
        mapping->next_of_object->prev_of_object = mapping->prev_of_object;
    memory->mapping_count--;
    memory->writers -= writes(mapping);
    return memory->ended && memory->mapping_count == 0;
}

/* ---- Leaves ----------------------------------------------------------------------------------------- */

bool mapping_is_wired(const struct mapping *mapping) {
    return mapping->memory->kind != GMK_MEMORY_ANON;
}

unsigned mapping_prot(const struct mapping *mapping, bool writable) {
    unsigned prot = PAGE_USER;
    if (writes(mapping) && writable)
        prot |= PAGE_WRITE;
    if ((mapping->prot & GMK_PROT_EXEC) != 0)
        prot |= PAGE_EXEC;
    if ((mapping->prot & GMK_MAP_WX) != 0)
        prot |= PAGE_WX;
    if (mapping->memory->kind == GMK_MEMORY_PHYS)
        prot |= PAGE_DEVICE;
    return prot;
}

int mapping_enter(struct mapping *mapping, uint64_t va, paddr_t frame, bool writable) {
    struct space *space = mapping->space;
    unsigned prot = mapping_prot(mapping, writable);
    space_pays(space);
    int status = arch_page_map(space->root, va, frame, 0, prot, space_table);
    if (GMK_LIKELY(status == GMK_OK))
        return GMK_OK;
    if (status == GMK_ENOMEM)
        return space_table_error();
    /* It is there: this CPU remembers less than the tables allow, or they shall allow more. Other
     * CPUs that remember less will fault, and come here too. */
    K_ASSERT(status == GMK_EEXIST, "a page of a mapping can be entered");
    arch_page_protect(space->root, va, prot);
    arch_tlb_flush_page(va);
    return GMK_OK;
}

void mapping_wire(struct mapping *mapping, uint64_t va, uint64_t end) {
    int status = GMK_OK;
    for (unsigned i = 0; i < SPACE_STEP_WIRED && va < end && status == GMK_OK; i++) {
        paddr_t frame;
        bool writable;
        uint64_t page = (va - mapping->start + mapping->offset) / PAGE_SIZE;
        status = memory_page_locked(mapping->memory, page, false, &frame, &writable);
        if (status == GMK_OK)
            status = mapping_enter(mapping, va, frame, writable);
        va += PAGE_SIZE;
    }
}

/* ---- Through all mappings of an object ------------------------------------------------------------- */

void mapping_revoke_page(struct memory *memory, uint64_t page) {
    uint64_t offset = page * PAGE_SIZE;
    for (struct mapping *m = memory->mappings; m != NULL; m = m->next_of_object) {
        paddr_t frame;
        unsigned level;
        vaddr_t va = m->start + (offset - m->offset);
        if (offset - m->offset >= m->end - m->start) /* below it wraps, and is too much as well */
            continue;
        if (arch_page_unmap(m->space->root, va, &frame, &level) == GMK_OK)
            space_shootdown(m->space, &va, 1);
    }
}

void mapping_protect_pages(struct memory *memory, uint64_t first, uint64_t end) {
    unsigned left = memory->writers;
    for (struct mapping *m = memory->mappings; m != NULL && left != 0; m = m->next_of_object) {
        if (!writes(m))
            continue;
        left--;
        uint64_t low = first * PAGE_SIZE, high = end * PAGE_SIZE;
        uint64_t bottom = m->offset, top = m->offset + (m->end - m->start);
        low = low > bottom ? low : bottom;
        high = high < top ? high : top;
        struct page_batch batch = {.visits = MEMORY_CLONE_STEP, .count = 0};
        if (low < high)
            arch_page_narrow(m->space->root, m->start + (low - m->offset),
                             m->start + (high - m->offset), PAGE_EXEC, &batch);
        space_shootdown(m->space, batch.pages, batch.count);
    }
}
