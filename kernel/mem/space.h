/* Space: the user half of an address space, and what each part of it is.
 *
 * An ordered array of mappings (at most SPACE_MAPPINGS_MAX), found by binary search; a mapping is a
 * range of a memory object with rights. Page tables are filled by faults; of wired and physical
 * objects they are also filled ahead, in steps, by map and protect.
 *
 *    mappings[]  -> | code  r-x | data rw- |      | heap rw-      |        sorted by start
 *                        |          |                  |
 *    struct mapping ---> memory     memory             memory              (memory.h)
 *
 * Locks, in this order: space.lock (LOCK_SPACE) guards the array, what mappings cover, and the making of
 * tables; the object's lock (LOCK_MEMORY) guards the leaves of its mappings, so who has only the object
 * may take pages away from spaces that he does not know (memory.h). What a mapping covers (start, end,
 * offset, prot) changes under both, so either is enough to read it.
 *
 * TLB. A CPU uses the space that its cpu->space names. It stores that before it loads the root, and a
 * full barrier lies between; who changes an entry looks at every cpu->space after a full barrier. So a
 * CPU that is not seen using the space will see the change (Dekker). With tagged entries (PCID)
 * `flushes` counts changes, and a CPU that comes back to a space flushes if it has missed one.
 *
 * Frames of page tables are charged to the unit's factory. A table that has become empty stays until the
 * space ends: the budget bounds them, and nobody who walks needs a lock. */
#pragma once

#include "kernel/core/lock.h"
#include "kernel/mem/memory.h"

#define SPACE_MAPPINGS_MAX 510u
#define SPACE_FEW          16u /* mappings of a space that has no frame for their array */
#define SPACE_CUT          2u  /* more, for a moment, while a piece is cut out of one */
#define SPACE_STEP_PAGES   16u /* leaves and holes that one step of unmap or protect looks at */
#define SPACE_STEP_WIRED   12u /* pages of a wired mapping that one step enters */
#define SPACE_STEP_FRAMES  32u /* of its own that one step of the end frees */
/* Mappings end here; above are the message buffers (UNIT_MSG_BASE). */
#define SPACE_MAP_END      UINT64_C(0x7ffffff00000)
#define SPACE_KERNEL_PAGES 32u /* pages above that, of the kernel's */

/* Beside GMK_MAP_PRIVATE: which ends of a mapping have an unmapped page beyond. */
#define MAPPING_GUARD_BEFORE 0x100u
#define MAPPING_GUARD_AFTER  0x200u

struct mapping {
    struct memory *memory; /* constant, as are space and prot_max */
    struct space *space;
    uint64_t start, end;                             /* addresses, whole pages */
    uint64_t offset;                                 /* of `start` in the object */
    uint8_t prot;                                    /* GMK_PROT_.., and GMK_MAP_WX */
    uint8_t prot_max;                                /* what protect may give at most */
    uint16_t flags;                                  /* MAPPING_GUARD_.., GMK_MAP_PRIVATE */
    struct mapping *next_of_object, *prev_of_object; /* guarded by the object's lock */
};

struct space {
    struct spinlock lock; /* LOCK_SPACE */
    paddr_t root;         /* constant while its unit lives; 0: none */
    uint16_t tag;         /* PCID: constant for this memory, so that `flushes` tells lives apart */
    bool left;            /* its end has asked all CPUs to leave it */
    _Atomic uint64_t flushes; /* never goes back */
    /* Guarded by lock. */
    struct mapping **mappings; /* sorted by start: few, or a frame */
    unsigned count;
    void *frames;            /* tables and all others of its own, by struct frame.object */
    struct factory *factory; /* constant */
    uint64_t base;           /* where it looks for room: random */
    bool dying;
    struct mapping *few[SPACE_FEW + SPACE_CUT];
};

/* GMK_EBUDGET, GMK_ENOMEM. `random`: where its mappings will be. */
int space_init(struct space *space, struct factory *factory, uint64_t random);
/* The address, or GMK_EINVAL (alignment, ranges, bits, W and X), GMK_ERIGHTS (prot_max), GMK_ERANGE
 * (past the object's end), GMK_EEXIST, GMK_ENOMEM (no such gap), GMK_ELIMIT (mappings of the space or of
 * the object), GMK_EBUDGET, GMK_EHANDLE (the object ended), GMK_ESTATE (dying; object not ready).
 * `prot`: GMK_PROT_.. and GMK_MAP_..; an address that is not FIXED is a wish. IF off. */
int64_t space_map(struct space *space, struct memory *memory, uint32_t serial, uint64_t address,
                  uint64_t offset, uint64_t size, unsigned prot, unsigned prot_max);
/* One step: bytes done from `address` on. What is not mapped counts as done. Partial mappings are split
 * (GMK_ELIMIT). protect: GMK_ERIGHTS beyond what a mapping was made with. */
int64_t space_unmap_step(struct space *space, uint64_t address, uint64_t size);
int64_t space_protect_step(struct space *space, uint64_t address, uint64_t size, unsigned prot);
/* A page fault of a thread of this space, or of the kernel copying for it. GMK_OK: try again.
 * GMK_EFAULT: not allowed; GMK_EBUDGET, GMK_ENOMEM. IF off, no lock of LOCK_SPACE or later held. */
int space_fault(struct space *space, uint64_t address, bool write, bool exec);
/* A zeroed frame of the kernel's (charged to the unit) at `address`, one of SPACE_KERNEL_PAGES from
 * SPACE_MAP_END on: readable and writable for the unit, never faults, goes with the space. GMK_EINVAL,
 * GMK_EBUDGET, GMK_ENOMEM, GMK_EEXIST, GMK_ESTATE. */
int space_page_add(struct space *space, uint64_t address, paddr_t *frame);
/* One step of undoing everything; true: done, the root is gone. No thread runs in it any more. IF off,
 * no lock held. */
bool space_end_step(struct space *space);
/* For the monitor: the i-th mapping as a copy. */
bool space_mapping(struct space *space, unsigned i, struct mapping *copy);

/* ---- TLBs of spaces: shootdown.c --------------------------------------------------------------- */

/* Every CPU that uses the space forgets these pages before it returns; more than SHOOTDOWN_PAGES_MAX:
 * all of them. Locks up to LOCK_MEMORY may be held: who waits for a lock answers. IF off. */
void space_shootdown(struct space *space, const vaddr_t *pages, unsigned count);
/* Every CPU that still has the space loaded, in which nothing runs any more, takes the kernel's root. */
void space_leave(struct space *space);

/* ---- Between the files of kernel/mem ----------------------------------------------------------- */

/* What the leaves of a mapping may allow at most. */
unsigned mapping_prot(const struct mapping *mapping, bool writable);
/* Enters a page of it, whose frame is known. Both locks held. GMK_OK, GMK_EBUDGET, GMK_ENOMEM. */
int mapping_enter(struct mapping *mapping, uint64_t va, paddr_t frame, bool writable);
/* Enters pages of [va, end) of a wired mapping, the first SPACE_STEP_WIRED: ahead of their first touch,
 * which will tell if there is no frame for a table. Both locks held. */
void mapping_wire(struct mapping *mapping, uint64_t va, uint64_t end);
bool mapping_is_wired(const struct mapping *mapping);
/* The object's list, under its lock. unlink: true if the object must be released, once its lock is. */
void mapping_link_locked(struct mapping *mapping);
bool mapping_unlink_locked(struct mapping *mapping);
/* May the object have `more` mappings, one of which can write? */
bool mapping_room(const struct memory *memory, bool writes, unsigned more);
/* A page of the object got another frame: nothing shows the old one any more. Object's lock held. */
void mapping_revoke_page(struct memory *memory, uint64_t page);
/* Nothing can write to pages [first, end) of the object without a fault. Object's lock held. */
void mapping_protect_pages(struct memory *memory, uint64_t first, uint64_t end);
/* Descriptors of mappings: kernel memory, bounded by SPACE_MAPPINGS_MAX per unit. */
struct mapping *mapping_new(void);
void mapping_free(struct mapping *mapping);

/* Index of the first mapping that ends above `address`; space->count: none. Locked. */
unsigned space_find(const struct space *space, uint64_t address);
/* The array, locked. room: GMK_ELIMIT, GMK_EBUDGET, GMK_ENOMEM. insert: there is room. */
int space_room(struct space *space, unsigned more);
void space_insert(struct space *space, struct mapping *mapping);
void space_remove(struct space *space, unsigned index);
/* space_table() gives frames of this space, charged, until the next call on this CPU. */
void space_pays(struct space *space);
paddr_t space_table(void);
int space_table_error(void); /* why it gave 0 */
/* Panics where an invariant does not hold. Slow. */
void space_check(struct space *space);
