/* Object: pools of type-stable memory, lives and holds.
 *
 * A pool grows by a frame (by a run of frames for large objects) and never shrinks: the memory of
 * an object is only ever an object of its pool again. Its own part of an object, struct object, is
 * set here; the rest belongs to the type.
 *
 * Holds. `holds` counts the calls that use the object without its lock; OBJECT_OVER in it says that
 * the life is over. Exactly one compare-and-swap turns "over, and nobody holds it" into nothing:
 * that one gives the memory back. A hold of memory whose life has ended is seen by its serial and undone; it may come at
 * any time, also in the next life, so a new life leaves the count as it is.
 *
 * Locks: a pool's lock is held for a few instructions, without another one. Frames are taken outside. */
#include "kernel/cap/object.h"

#include "kernel/cap/factory.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"

#define OBJECT_ALIGN 64u

static uint32_t pool_stride(const struct object_pool *pool) {
    return (pool->size + OBJECT_ALIGN - 1) & ~(OBJECT_ALIGN - 1);
}

/* ---- Pools ------------------------------------------------------------------------------ */

static void object_first(struct object_pool *pool, struct object *object) {
    spin_init(&object->lock, (enum lock_class)pool->lock_class);
    object->type = pool->type;
    object->pool = pool;
}

/* New memory: one object for the caller, the others for the pool. NULL: no frame. */
static struct object *pool_grow(struct object_pool *pool) {
    size_t stride = pool_stride(pool), frames = (stride + PAGE_SIZE - 1) / PAGE_SIZE;
    paddr_t at = frames == 1 ? frame_alloc(FRAME_OBJECT)
                             : frame_alloc_run(frames, PAGE_SIZE, 0, FRAME_OBJECT);
    if (at == 0)
        return NULL;
    char *memory = arch_phys(at);
    for (size_t i = 0; i < frames; i++)
        arch_page_clear(memory + i * PAGE_SIZE);
    size_t count = frames * PAGE_SIZE / stride;
    for (size_t i = 0; i < count; i++)
        object_first(pool, (struct object *)(memory + i * stride));
    bool irq = spin_lock(&pool->lock);
    pool->made += (uint32_t)count;
    for (size_t i = count - 1; i > 0; i--) {
        struct object *object = (struct object *)(memory + i * stride);
        object->next_free = pool->free;
        pool->free = object;
    }
    spin_unlock(&pool->lock, irq);
    return (struct object *)memory;
}

/* Counts a new life, and takes memory for it if there is some. False: too many alive. */
static bool pool_take(struct object_pool *pool, struct object **object, uint32_t *serial) {
    bool irq = spin_lock(&pool->lock);
    bool room = pool->used < pool->limit;
    if (room) {
        pool->used++;
        *object = pool->free;
        if (*object != NULL)
            pool->free = (*object)->next_free;
        if (++pool->last_serial == 0)
            pool->last_serial = 1;
        *serial = pool->last_serial;
    }
    spin_unlock(&pool->lock, irq);
    return room;
}

static void pool_uncount(struct object_pool *pool) {
    bool irq = spin_lock(&pool->lock);
    pool->used--;
    spin_unlock(&pool->lock, irq);
}

static void pool_give(struct object_pool *pool, struct object *object) {
    bool irq = spin_lock(&pool->lock);
    K_ASSERT(pool->used > 0, "more objects come back to a pool than were taken");
    pool->used--;
    object->next_free = pool->free;
    pool->free = object;
    spin_unlock(&pool->lock, irq);
}

/* ---- Lives ------------------------------------------------------------------------------- */

struct object *object_new(struct object_pool *pool, struct factory *factory, int *error) {
    struct object *object = NULL;
    uint32_t serial;
    *error = factory_take_object(factory);
    if (*error != GMK_OK)
        return NULL;
    *error = GMK_ELIMIT;
    if (!pool_take(pool, &object, &serial))
        goto fail;
    if (object == NULL)
        object = pool_grow(pool);
    if (object == NULL) {
        pool_uncount(pool);
        *error = GMK_ENOMEM;
        goto fail;
    }
    object->factory = factory;
    bool irq = spin_lock(&object->lock); /* somebody may compare the serial just now */
    object->serial = serial;
    spin_unlock(&object->lock, irq);
    *error = GMK_OK;
    return object;
fail:
    factory_give_object(factory);
    return NULL;
}

void object_end_locked(struct object *object) {
    object->serial = 0;
}

/* Over, and nobody holds it: whoever makes that nothing gives the memory back. */
static void give_if_over(struct object *object) {
    uint32_t over = OBJECT_OVER;
    /* Acquire and release: what holders did comes before the next life. */
    if (atomic_compare_exchange_strong_explicit(&object->holds, &over, 0, memory_order_acq_rel,
                                                memory_order_relaxed))
        pool_give(object->pool, object);
}

void object_put(struct object *object) {
    K_ASSERT(object->serial == 0, "an object that goes back to its pool has ended");
    K_ASSERT(object->factory == NULL, "its charge was given back");
    uint32_t holds = atomic_fetch_or_explicit(&object->holds, OBJECT_OVER, memory_order_seq_cst);
    K_ASSERT((holds & OBJECT_OVER) == 0, "an object ends once");
    give_if_over(object);
}

void object_free(struct object_pool *pool, struct object *object) {
    K_ASSERT(object->pool == pool, "an object goes back to its own pool");
    struct factory *factory = object->factory;
    object->factory = NULL;
    object_put(object);
    factory_give_object(factory);
}

/* ---- Holds --------------------------------------------------------------------------------- */

bool object_hold(struct object *object, uint32_t serial) {
    /* Sequentially consistent, as object_end_locked() and object_put() are by lock and exchange:
     * either they see the hold, or it sees the new serial. */
    (void)atomic_fetch_add_explicit(&object->holds, 1, memory_order_seq_cst);
    if (GMK_LIKELY(__atomic_load_n(&object->serial, __ATOMIC_ACQUIRE) == serial))
        return true;
    object_release(object);
    return false;
}

void object_release(struct object *object) {
    uint32_t before = atomic_fetch_sub_explicit(&object->holds, 1, memory_order_acq_rel);
    K_ASSERT((before & ~OBJECT_OVER) != 0, "a hold is given back once");
    if (GMK_UNLIKELY(before == (OBJECT_OVER | 1)))
        give_if_over(object);
}
