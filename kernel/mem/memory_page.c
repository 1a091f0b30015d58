/* Memory pages: from a page's number to its frame, made and copied on the way.
 *
 * Problem: objects of one page and of 2^27 pages, mostly empty, with exact charges, and frames that
 * several objects share until one of them writes.
 * Idea: a radix tree whose nodes are frames of 512 entries, walked from the root, at most three levels.
 *
 * Sharing. refs == 1 cannot become more while we hold the lock of the object that has the frame: only
 * a clone of this very object raises it. More than 1 may become 1 at any time; then a copy is made
 * that was not needed. The copier takes the old frame out of every mapping of its object and waits for
 * all TLBs before it drops its share: who finds itself the last may write in place, and nobody can
 * see that through an old translation.
 *
 * Invariants: each page with a frame is charged once to the object, and so is each node; a frame in an
 * entry is FRAME_USER with refs >= 1. Caller holds the object's lock; nothing here waits. */
#include "ggmk/log.h"
#include "kernel/cap/factory.h"
#include "kernel/mem/frame_span.h"
#include "kernel/mem/memory.h"
#include "kernel/mem/space.h"

#define ENTRY_BITS 9u
#define ENTRY_MASK 511u

static paddr_t *node_at(paddr_t node) {
    return arch_phys(node);
}

paddr_t memory_frame_take(struct factory *factory, unsigned owner, int *error) {
    *error = factory_take_frames(factory, 1);
    if (*error != GMK_OK)
        return 0;
    paddr_t frame = frame_alloc((enum frame_owner)owner);
    if (frame == 0) {
        factory_give_frames(factory, 1);
        *error = GMK_ENOMEM;
        return 0;
    }
    arch_page_clear(arch_phys(frame));
    return frame;
}

void memory_frame_drop(paddr_t frame) {
    struct frame *descriptor = frame_at(frame >> PAGE_SHIFT);
    /* Release: our reading and writing of the frame is over; acquire pairs with the release of the
     * others, before it becomes somebody else's. */
    uint32_t before = atomic_fetch_sub_explicit(&descriptor->refs, 1, memory_order_acq_rel);
    K_ASSERT(before != 0, "a frame has a sharer for each entry that names it");
    if (before == 1)
        frame_free(frame);
}

paddr_t *memory_slot(const struct memory *memory, uint64_t page, uint64_t *span) {
    unsigned level = memory->depth;
    const paddr_t *slot = level == 0 ? &memory->few[page] : &memory->few[0];
    while (level > 0) {
        *span = UINT64_C(1) << (ENTRY_BITS * level);
        if (*slot == 0)
            return NULL;
        level--;
        slot = &node_at(*slot)[page >> (ENTRY_BITS * level) & ENTRY_MASK];
    }
    *span = 1;
    return (paddr_t *)slot;
}

paddr_t *memory_slot_make(struct memory *memory, uint64_t page, int *error) {
    unsigned level = memory->depth;
    paddr_t *slot = level == 0 ? &memory->few[page] : &memory->few[0];
    while (level > 0) {
        if (*slot == 0) {
            *slot = memory_frame_take(memory->object.factory, FRAME_MEMORY_TREE, error);
            if (*slot == 0)
                return NULL;
        }
        level--;
        slot = &node_at(*slot)[page >> (ENTRY_BITS * level) & ENTRY_MASK];
    }
    return slot;
}

/* The first touch of a page: zeroes. Reading makes a frame too: one fault instead of two, and no
 * page that all units share. */
static int fill(struct memory *memory, uint64_t page, paddr_t *frame) {
    int error = GMK_OK;
    paddr_t *slot = memory_slot_make(memory, page, &error);
    if (slot == NULL)
        return error;
    *frame = memory_frame_take(memory->object.factory, FRAME_USER, &error);
    if (*frame == 0)
        return error;
    *slot = *frame;
    memory->resident++;
    return GMK_OK;
}

/* Our own copy of a shared page. The charge stays: each sharer has paid. */
static int copy(struct memory *memory, uint64_t page, paddr_t *slot, paddr_t *frame) {
    paddr_t shared = *slot;
    *frame = frame_alloc(FRAME_USER);
    if (*frame == 0)
        return GMK_ENOMEM;
    arch_page_copy(arch_phys(*frame), arch_phys(shared));
    *slot = *frame;
    mapping_revoke_page(memory, page);
    memory_frame_drop(shared);
    return GMK_OK;
}

int memory_page_locked(struct memory *memory, uint64_t page, bool write, paddr_t *frame,
                       bool *writable) {
    K_ASSERT(page < memory->pages, "a mapping lies within its object");
    *writable = true;
    if (memory->physical != 0) {
        *frame = memory->physical + page * PAGE_SIZE;
        return GMK_OK;
    }
    uint64_t span;
    paddr_t *slot = memory_slot(memory, page, &span);
    if (slot == NULL || *slot == 0)
        return fill(memory, page, frame);
    *frame = *slot;
    /* Acquire: pairs with the release in memory_frame_drop(): who shared it has done with it. */
    if (atomic_load_explicit(&frame_at(*frame >> PAGE_SHIFT)->refs, memory_order_acquire) == 1)
        return GMK_OK;
    if (write)
        return copy(memory, page, slot, frame);
    *writable = false;
    return GMK_OK;
}
