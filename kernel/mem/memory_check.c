/* Memory check: proves what objects and spaces promise, also while others use them; for tests.
 *
 * memory_check(): the frames that the tree holds are as many as `resident`, are FRAME_USER and shared
 * by somebody; the list of mappings agrees with its counts, and each lies within the object.
 * space_check(): mappings are sorted, apart, within the user's part; each leaf of the tables belongs to a
 * mapping, shows the frame of its object's page, and allows no more than the mapping; what others share
 * cannot be written. They panic where that is not so. */
#include "kernel/mem/space.h"

#include "ggmk/error.h"
#include "ggmk/log.h"
#include "kernel/mem/frame_span.h"

static uint32_t sharers(paddr_t frame) {
    return atomic_load_explicit(&frame_at(frame >> PAGE_SHIFT)->refs, memory_order_relaxed);
}

static void check_pages(const struct memory *memory) {
    uint64_t resident = 0, span;
    for (uint64_t page = 0; page < memory->pages; page = (page | (span - 1)) + 1) {
        const paddr_t *slot = memory_slot(memory, page, &span);
        if (slot == NULL || *slot == 0)
            continue;
        K_ASSERT(frame_at(*slot >> PAGE_SHIFT)->owner == FRAME_USER, "a page is a unit's frame");
        K_ASSERT(sharers(*slot) != 0, "a page has a sharer");
        resident++;
    }
    K_ASSERT(resident == memory->resident, "an object counts its pages");
}

void memory_check(struct memory *memory) {
    uint32_t count = 0, writers = 0;
    const struct mapping *before = NULL;
    spin_enter(&memory->object.lock);
    if (memory->physical == 0)
        check_pages(memory);
    for (const struct mapping *m = memory->mappings; m != NULL; m = m->next_of_object) {
        K_ASSERT(m->memory == memory, "a mapping is in the list of its object");
        K_ASSERT(m->prev_of_object == before, "the list goes both ways");
        K_ASSERT(m->offset + (m->end - m->start) <= memory->pages * PAGE_SIZE,
                 "a mapping lies within its object");
        before = m;
        count++;
        writers += (m->prot & GMK_PROT_WRITE) != 0;
    }
    K_ASSERT(count == memory->mapping_count, "an object counts its mappings");
    K_ASSERT(writers == memory->writers, "an object counts those that write");
    K_ASSERT(memory->ready <= memory->pages, "no more is ready than there is");
    spin_leave(&memory->object.lock);
}

/* A leaf at `va` of a mapping; the object's lock is held, under which no other CPU changes it. */
static void check_leaf(const struct mapping *m, uint64_t va) {
    struct page_info info;
    if (arch_page_query(m->space->root, va, &info) != GMK_OK)
        return; /* taken away since it was found: by a copy elsewhere */
    uint64_t page = (va - m->start + m->offset) / PAGE_SIZE, span;
    paddr_t frame = m->memory->physical + page * PAGE_SIZE;
    if (m->memory->physical == 0) {
        const paddr_t *slot = memory_slot(m->memory, page, &span);
        frame = slot != NULL ? *slot : 0;
        K_ASSERT((info.prot & PAGE_WRITE) == 0 || sharers(frame) == 1,
                 "what is shared cannot be written");
    }
    K_ASSERT(info.pa == frame, "a leaf shows its object's page");
    K_ASSERT((info.prot & ~mapping_prot(m, true)) == 0, "a leaf allows what its mapping does");
    K_ASSERT((m->prot & GMK_PROT_READ) != 0, "a mapping without rights shows nothing");
}

static void check_address(const struct space *space, uint64_t va) {
    unsigned i = space_find(space, va);
    K_ASSERT(i < space->count && space->mappings[i]->start <= va, "a leaf belongs to a mapping");
    struct memory *memory = space->mappings[i]->memory;
    spin_enter(&memory->object.lock);
    check_leaf(space->mappings[i], va);
    spin_leave(&memory->object.lock);
}

void space_check(struct space *space) {
    uint64_t last = GMK_USER_MIN;
    spin_enter(&space->lock);
    for (unsigned i = 0; i < space->count; i++) {
        const struct mapping *m = space->mappings[i];
        K_ASSERT(m->space == space, "a mapping is in its space");
        K_ASSERT(m->start >= last && m->end > m->start, "mappings are sorted and apart");
        K_ASSERT((m->start | m->end | m->offset) % PAGE_SIZE == 0, "mappings are whole pages");
        K_ASSERT((m->prot & ~(m->prot_max | GMK_MAP_WX)) == 0, "no more than it was made with");
        last = m->end;
    }
    K_ASSERT(last <= SPACE_MAP_END, "mappings end below the message buffers");
    for (uint64_t va = space->root == 0 ? 0 : arch_page_next(space->root, PAGE_SIZE);
         va != 0 && va < SPACE_MAP_END; va = arch_page_next(space->root, va + PAGE_SIZE))
        check_address(space, va);
    spin_leave(&space->lock);
}
