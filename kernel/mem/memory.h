/* Memory object: pages that address spaces map.
 *
 * Pages are found in a radix tree of frames, nine bits to a level, as deep as the size needs; a small
 * object has its entries in place. An entry is 0 (no page yet) or a frame. Objects share frames, copy on
 * write: a frame counts the objects that share it (struct frame.refs). A clone shares every page of
 * its source; whoever writes first gets a copy, unless it is the last that shares.
 *
 * One rule makes this simple. *A leaf of a page table belongs to the object that its mapping shows, and
 * is changed only under that object's lock; what TLBs remember of it is gone before the lock is
 * released.* So whoever holds the lock knows what all spaces see of the object, and may reach into their
 * tables without their locks: a clone write-protects, a copy takes the old frame away, wherever it is
 * mapped. What a mapping covers changes only under both locks (space.h).
 *
 * Frames of pages and of the tree are charged to the object's factory. Of a shared frame every
 * object that shares it pays the whole, so that a copy never fails for the budget.
 *
 * Anonymous, wired and contiguous objects have pages; physical ones are a range of a device. Wired and
 * contiguous objects, and clones, are made in steps, and can be mapped once they are ready. */
#pragma once

#include "kernel/cap/object.h"

#define MEMORY_SIZE_MAX     (1ull << 39) /* three levels of 512 */
#define MEMORY_WIRED_MAX    1024u        /* pages of a wired object */
#define MEMORY_CONTIG_MAX   256u         /* pages of a contiguous one: found and taken in one go */
#define MEMORY_CLONE_STEP   16u          /* pages shared in one step of a clone */
#define MEMORY_CLEAR_STEP   4u           /* pages cleared in one step of making */
#define MEMORY_FREE_STEP    16u          /* pages freed in one step */
#define MEMORY_FEW          8u           /* pages of an object that has no tree */
#define MEMORY_MAPPINGS_MAX 1024u        /* of one object */
#define MEMORY_SHARED_MAX   64u          /* of one object, once one of them is writable */

struct mapping;

struct memory {
    struct object object; /* lock: LOCK_MEMORY */
    /* Constant for its life. */
    uint8_t kind;     /* enum gmk_memory_kind */
    uint8_t depth;    /* levels of the tree; 0: few[] has the entries */
    uint64_t pages;   /* size */
    paddr_t physical; /* CONTIG, PHYS */
    /* Guarded by object.lock. */
    paddr_t few[MEMORY_FEW];  /* entries; of a tree: few[0] is the root, 0 before the first page */
    uint64_t ready;           /* pages made so far; can be mapped once that is all of them */
    uint64_t resident;        /* pages with a frame */
    struct mapping *mappings; /* by next_of_object, prev_of_object */
    uint32_t mapping_count;
    uint32_t writers; /* of these with PROT_WRITE */
    bool busy;        /* a step of cloning works on it without its lock; only while not ready */
    bool ended;       /* its capability is gone: freed with the last mapping */
    /* Its end's alone. */
    uint64_t cursor; /* pages below have been freed */
    struct memory *next_dying;
};

/* GMK_EINVAL (kind, size 0, not whole pages, too large), GMK_ERANGE (MEMORY_WIRED_MAX,
 * MEMORY_CONTIG_MAX), GMK_EBUDGET, GMK_ENOMEM, GMK_ELIMIT. IF off. Anonymous ones are ready at once. */
int memory_create(struct factory *factory, unsigned kind, uint64_t size, struct memory **out);
/* A device's range, mapped uncached. GMK_EINVAL also where there is RAM. */
int memory_physical(struct factory *factory, paddr_t base, uint64_t size, struct memory **out);
/* An empty clone of `size` bytes, to be filled by steps. */
int memory_clone(struct factory *factory, uint64_t size, struct memory **out);
/* One step of making a wired or contiguous object: bytes ready. GMK_EHANDLE, GMK_ESTATE (ready, or
 * a clone), GMK_EBUDGET, GMK_ENOMEM. */
int64_t memory_make_step(struct memory *memory, uint32_t serial);
/* One step of a clone: shares further pages of `source`, which is ANON, from offset + what is ready on.
 * Bytes ready, GMK_EHANDLE, GMK_EINVAL (kind), GMK_ERANGE (past the source's end), GMK_ESTATE (ready),
 * GMK_EBUSY (another thread does a step), GMK_EBUDGET, GMK_ENOMEM. */
int64_t memory_clone_step(struct memory *source, uint32_t source_serial, uint64_t offset,
                          struct memory *clone, uint32_t clone_serial);
/* object_ends[]: the object goes with its last mapping. */
void memory_end(struct memory *memory, uint32_t serial);
/* Copies bytes into a memory object, making pages: for the loader of init. */
int memory_write(struct memory *memory, uint64_t offset, const void *bytes, size_t size);
void memory_info(struct memory *memory, gmk_memory_info_t *info);

/* One step of freeing the pages of objects that have ended; true: none are left. Reaper's task. */
bool memory_reap_step(void);
/* Asks for such steps (unit.h). IF off, locks up to LOCK_MEMORY may be held. */
void reaper_wake(void);

/* ---- Between the files of kernel/mem ----------------------------------------------------------- */

/* The frame of a page < pages, made if it is absent (zeroed), copied if `write` and it is shared; then
 * no mapping shows the old one any more. *writable: may be mapped so. GMK_EBUDGET, GMK_ENOMEM. Locked. */
int memory_page_locked(struct memory *memory, uint64_t page, bool write, paddr_t *frame,
                       bool *writable);
/* The entry of a page; NULL: no node there, then *span tells how many pages have none. Locked. */
paddr_t *memory_slot(const struct memory *memory, uint64_t page, uint64_t *span);
/* The entry of a page, nodes made on the way. NULL and *error. */
paddr_t *memory_slot_make(struct memory *memory, uint64_t page, int *error);
/* One sharer less; the last one frees the frame. */
void memory_frame_drop(paddr_t frame);
/* A zeroed frame for `factory`, charged. 0 and *error: GMK_EBUDGET, GMK_ENOMEM. */
paddr_t memory_frame_take(struct factory *factory, unsigned owner, int *error);
/* Frees the object, which has ended, has no mapping and is not busy: at once when it is small, else by
 * the reaper. No lock of an object held. */
void memory_release(struct memory *memory);
/* Panics where an invariant does not hold. Slow. */
void memory_check(struct memory *memory);
