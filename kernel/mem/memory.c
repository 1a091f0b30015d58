/* Memory object: making, filling by steps, and the end.
 *
 * An object ends when its capability goes, and is freed when nothing maps it any more. Freeing a large
 * one takes long, so it is cut: the object waits in a list, and the reaper's task frees some pages
 * at a time. What it holds is charged to its factory until then.
 *
 * Invariant: of an object that has ended exactly one call frees it: the one that found, under its lock, no
 * mapping and no step of cloning left. memory_check() proves what memory_page.c promises, at rest. */
#include "kernel/mem/memory.h"

#include <string.h>

#include "ggmk/log.h"
#include "kernel/cap/factory.h"
#include "kernel/mem/frame_span.h"
#include "kernel/mem/mem.h"
#include "kernel/mem/space.h"

#define MEMORIES_MAX 65536u
#define DMA_LIMIT    (UINT64_C(1) << 32) /* what devices with 32 address lines reach; preferred */

static struct object_pool memory_pool =
    OBJECT_POOL(GMK_CAP_MEMORY, LOCK_MEMORY, sizeof(struct memory), MEMORIES_MAX);

static struct spinlock dying_lock = SPINLOCK_INIT(LOCK_LEAF);
static struct memory *dying_memories; /* by next_dying; guarded by dying_lock */

/* ---- Making --------------------------------------------------------------------------------- */

static unsigned depth_of(uint64_t pages) {
    unsigned depth = pages <= MEMORY_FEW ? 0 : 1;
    while (depth != 0 && pages > UINT64_C(1) << (9 * depth))
        depth++;
    return depth;
}

static int make(struct factory *factory, unsigned kind, uint64_t size, struct memory **out) {
    int error;
    if (size == 0 || size % PAGE_SIZE != 0 || size > MEMORY_SIZE_MAX)
        return GMK_EINVAL;
    struct memory *memory = (struct memory *)object_new(&memory_pool, factory, &error);
    if (memory == NULL)
        return error;
    /* The header is alive: stale capabilities lock it, to find another serial. */
    memset((char *)memory + sizeof memory->object, 0, sizeof *memory - sizeof memory->object);
    memory->kind = (uint8_t)kind;
    memory->pages = size / PAGE_SIZE;
    memory->depth = (uint8_t)depth_of(memory->pages);
    *out = memory;
    return GMK_OK;
}

/* The capability that was never made: nobody has seen the object. */
static void forget(struct memory *memory) {
    memory_end(memory, memory->object.serial);
}

/* The run of a contiguous object. */
static int take_run(struct memory *memory) {
    struct factory *factory = memory->object.factory;
    int error = factory_take_frames(factory, memory->pages);
    if (error != GMK_OK)
        return error;
    memory->physical = frame_alloc_run(memory->pages, PAGE_SIZE, DMA_LIMIT, FRAME_USER);
    if (memory->physical == 0)
        memory->physical = frame_alloc_run(memory->pages, PAGE_SIZE, 0, FRAME_USER);
    if (memory->physical != 0) {
        memory->resident = memory->pages;
        return GMK_OK;
    }
    factory_give_frames(factory, memory->pages);
    return GMK_ENOMEM;
}

int memory_create(struct factory *factory, unsigned kind, uint64_t size, struct memory **out) {
    if (kind != GMK_MEMORY_ANON && kind != GMK_MEMORY_WIRED && kind != GMK_MEMORY_CONTIG)
        return GMK_EINVAL;
    uint64_t most = kind == GMK_MEMORY_WIRED    ? MEMORY_WIRED_MAX
                    : kind == GMK_MEMORY_CONTIG ? MEMORY_CONTIG_MAX
                                                : MEMORY_SIZE_MAX / PAGE_SIZE;
    if (kind != GMK_MEMORY_ANON && size / PAGE_SIZE > most)
        return GMK_ERANGE;
    int error = make(factory, kind, size, out);
    if (error != GMK_OK)
        return error;
    if (kind == GMK_MEMORY_ANON)
        (*out)->ready = (*out)->pages;
    if (kind == GMK_MEMORY_CONTIG && (error = take_run(*out)) != GMK_OK)
        forget(*out);
    return error;
}

int memory_physical(struct factory *factory, paddr_t base, uint64_t size, struct memory **out) {
    uint64_t top = arch_page_phys_max();
    if (base == 0 || base % PAGE_SIZE != 0 || size > top || base > top - size)
        return GMK_EINVAL;
    if (mem_is_ram(base, size))
        return GMK_EINVAL;
    int error = make(factory, GMK_MEMORY_PHYS, size, out);
    if (error == GMK_OK) {
        (*out)->physical = base;
        (*out)->ready = (*out)->pages;
    }
    return error;
}

int memory_clone(struct factory *factory, uint64_t size, struct memory **out) {
    return make(factory, GMK_MEMORY_ANON, size, out);
}

/* ---- Steps of wired and contiguous objects ----------------------------------------------------- */

static int make_page(struct memory *memory) {
    paddr_t frame;
    bool writable;
    int error = memory_page_locked(memory, memory->ready, true, &frame, &writable);
    if (error == GMK_OK && memory->kind == GMK_MEMORY_CONTIG)
        arch_page_clear(arch_phys(frame));
    return error;
}

int64_t memory_make_step(struct memory *memory, uint32_t serial) {
    if (!object_enter(&memory->object, serial))
        return GMK_EHANDLE;
    int64_t result = GMK_OK;
    if (memory->ready == memory->pages || memory->kind == GMK_MEMORY_ANON)
        result = GMK_ESTATE;
    for (unsigned n = 0; n < MEMORY_CLEAR_STEP && result == GMK_OK; n++) {
        if (memory->ready == memory->pages)
            break;
        result = make_page(memory);
        memory->ready += result == GMK_OK;
    }
    if (result == GMK_OK)
        result = (int64_t)(memory->ready * PAGE_SIZE);
    object_leave(&memory->object);
    return result;
}

/* ---- Looking and writing -------------------------------------------------------------------------- */

int memory_write(struct memory *memory, uint64_t offset, const void *bytes, size_t size) {
    uint64_t end = memory->pages * PAGE_SIZE;
    if (size > end || offset > end - size)
        return GMK_ERANGE;
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done, inside = at % PAGE_SIZE;
        size_t part = PAGE_SIZE - inside < size - done ? PAGE_SIZE - inside : size - done;
        paddr_t frame;
        bool writable;
        spin_enter(&memory->object.lock);
        int error = memory_page_locked(memory, at / PAGE_SIZE, true, &frame, &writable);
        if (error == GMK_OK)
            memcpy((char *)arch_phys(frame) + inside, (const char *)bytes + done, part);
        spin_leave(&memory->object.lock);
        if (error != GMK_OK)
            return error;
        done += part;
    }
    return GMK_OK;
}

void memory_info(struct memory *memory, gmk_memory_info_t *info) {
    spin_enter(&memory->object.lock);
    bool ready = memory->ready == memory->pages; /* before that a device could read others' bytes */
    *info = (gmk_memory_info_t){.size = memory->pages * PAGE_SIZE,
                                .resident = memory->resident * PAGE_SIZE,
                                .physical = ready ? memory->physical : 0,
                                .kind = memory->kind,
                                .mappings = memory->mapping_count};
    spin_leave(&memory->object.lock);
}

/* ---- The end ---------------------------------------------------------------------------------------- */

/* The node of `level` that covers the page before the cursor is not needed any more. */
static void free_node(struct memory *memory, unsigned level) {
    paddr_t *slot = &memory->few[0];
    for (unsigned n = memory->depth; n > level && *slot != 0; n--)
        slot = &((paddr_t *)arch_phys(*slot))[(memory->cursor - 1) >> (9 * (n - 1)) & 511];
    if (*slot == 0)
        return;
    frame_free(*slot);
    factory_give_frames(memory->object.factory, 1);
    *slot = 0;
}

/* Frees the page at the cursor, and moves on past what has no page. */
static void free_page(struct memory *memory) {
    uint64_t span = 1;
    if (memory->kind == GMK_MEMORY_CONTIG) {
        frame_free(memory->physical + memory->cursor * PAGE_SIZE);
        factory_give_frames(memory->object.factory, 1);
    } else {
        paddr_t *slot = memory_slot(memory, memory->cursor, &span);
        if (slot != NULL && *slot != 0) {
            memory_frame_drop(*slot);
            factory_give_frames(memory->object.factory, 1);
            *slot = 0;
        }
    }
    memory->cursor = (memory->cursor | (span - 1)) + 1;
    for (unsigned level = 1; level <= memory->depth; level++)
        if (memory->cursor >= memory->pages || memory->cursor % (UINT64_C(1) << (9 * level)) == 0)
            free_node(memory, level);
}

/* At most `steps` pages. True: the object is gone. */
static bool free_some(struct memory *memory, unsigned steps) {
    if (memory->kind == GMK_MEMORY_PHYS || (memory->resident == 0 && memory->few[0] == 0))
        memory->cursor = memory->pages; /* it has nothing */
    for (; memory->cursor < memory->pages; steps--) {
        if (steps == 0)
            return false;
        free_page(memory);
    }
    object_free(&memory_pool, &memory->object);
    return true;
}

static void put_dying(struct memory *memory) {
    spin_enter(&dying_lock);
    memory->next_dying = dying_memories;
    dying_memories = memory;
    spin_leave(&dying_lock);
}

void memory_release(struct memory *memory) {
    K_ASSERT(memory->ended && memory->mapping_count == 0,
             "an object is freed once nothing needs it");
    if (free_some(memory, MEMORY_FREE_STEP))
        return;
    put_dying(memory);
    reaper_wake();
}

bool memory_reap_step(void) {
    spin_enter(&dying_lock);
    struct memory *memory = dying_memories;
    if (memory != NULL)
        dying_memories = memory->next_dying;
    spin_leave(&dying_lock);
    if (memory == NULL)
        return true;
    if (!free_some(memory, MEMORY_FREE_STEP))
        put_dying(memory);
    return false;
}

void memory_end(struct memory *memory, uint32_t serial) {
    if (!object_enter(&memory->object, serial))
        return;
    object_end_locked(&memory->object);
    memory->ended = true;
    bool last = memory->mapping_count == 0 && !memory->busy;
    object_leave(&memory->object);
    if (last)
        memory_release(memory);
}
