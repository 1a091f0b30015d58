/* Memory clone: an object that begins with the pages of another, copied when one of them writes.
 *
 * Sharing a page: one sharer more (struct frame.refs), the frame in both trees, and no mapping of the
 * source may write to it without a fault. A clone is made in steps of MEMORY_CLONE_STEP pages or
 * fewer: the more mappings can write, the more work a page is. What the source's threads write
 * meanwhile to pages that are not shared yet is seen in the clone: who wants a moment in time stops
 * them.
 *
 * Two objects' locks are never held at once: until it is ready nobody can map the clone, so a step that has
 * marked it `busy` has its tree for itself, and works under the source's lock alone. */
#include "ggmk/log.h"
#include "kernel/cap/factory.h"
#include "kernel/mem/frame_span.h"
#include "kernel/mem/memory.h"
#include "kernel/mem/space.h"

/* Entries that follow one another in memory from this page's on. */
static uint64_t run_of(const struct memory *memory, uint64_t page) {
    return memory->depth == 0 ? MEMORY_FEW - page : 512 - page % 512;
}

static int share(paddr_t frame, struct memory *clone, paddr_t *entry) {
    int error = factory_take_frames(clone->object.factory, 1);
    if (error != GMK_OK)
        return error;
    /* Relaxed: who has the source's lock has seen all that its frame's last writer did. */
    atomic_fetch_add_explicit(&frame_at(frame >> PAGE_SHIFT)->refs, 1, memory_order_relaxed);
    *entry = frame;
    clone->resident++;
    return GMK_OK;
}

/* Shares up to `most` pages whose entries lie together in both trees: how many in *done. */
static int share_run(const struct memory *source, uint64_t from, struct memory *clone, uint64_t to,
                     uint64_t most, uint64_t *done) {
    uint64_t span, run = run_of(source, from), other = run_of(clone, to);
    run = run < other ? run : other;
    run = run < most ? run : most;
    const paddr_t *slot = memory_slot(source, from, &span);
    if (slot == NULL) { /* and so have all in the same node */
        *done += run;
        return GMK_OK;
    }
    int error = GMK_OK;
    paddr_t *entry = memory_slot_make(clone, to, &error);
    for (uint64_t i = 0; i < run && error == GMK_OK; i++) {
        if (slot[i] != 0)
            error = share(slot[i], clone, &entry[i]);
        *done += error == GMK_OK;
    }
    return error;
}

/* Source locked, clone busy: how many pages, or the error of the first. */
static int64_t share_some(struct memory *source, uint64_t from, struct memory *clone) {
    uint64_t left = clone->pages - clone->ready;
    uint64_t most = MEMORY_CLONE_STEP / (1 + source->writers), done = 0;
    most = most == 0 ? 1 : most < left ? most : left;
    if (left > source->pages || from > source->pages - left)
        return GMK_ERANGE;
    int error = GMK_OK;
    while (done < most && error == GMK_OK)
        error = share_run(source, from + done, clone, clone->ready + done, most - done, &done);
    mapping_protect_pages(source, from, from + done);
    return done != 0 ? (int64_t)done : error;
}

/* Marks the clone as worked on: GMK_OK, or why not. */
static int begin(struct memory *clone, uint32_t serial) {
    if (!object_enter(&clone->object, serial))
        return GMK_EHANDLE;
    int status = GMK_OK;
    if (clone->busy)
        status = GMK_EBUSY;
    else if (clone->kind != GMK_MEMORY_ANON || clone->ready == clone->pages)
        status = GMK_ESTATE;
    else
        clone->busy = true;
    object_leave(&clone->object);
    return status;
}

static void finish(struct memory *clone, uint64_t shared) {
    spin_enter(&clone->object.lock);
    clone->ready += shared;
    clone->busy = false;
    bool last = clone->ended;
    spin_leave(&clone->object.lock);
    if (last)
        memory_release(clone);
}

int64_t memory_clone_step(struct memory *source, uint32_t source_serial, uint64_t offset,
                          struct memory *clone, uint32_t clone_serial) {
    int status = begin(clone, clone_serial);
    if (status != GMK_OK)
        return status;
    uint64_t ready = clone->ready;
    int64_t result = GMK_EHANDLE;
    if (object_enter(&source->object, source_serial)) {
        result = GMK_EINVAL;
        if (source->kind == GMK_MEMORY_ANON && source->ready == source->pages &&
            offset % PAGE_SIZE == 0)
            result = share_some(source, offset / PAGE_SIZE + ready, clone);
        object_leave(&source->object);
    }
    finish(clone, result > 0 ? (uint64_t)result : 0);
    return result > 0 ? (int64_t)(ready + (uint64_t)result) * PAGE_SIZE : result;
}
