/* Factory: budgets of frames and objects, split and given back.
 *
 * What is free is two counters; taking is a compare-and-swap that refuses what is not there, giving an
 * addition. An ended factory waits until both counters are full again: then everything that was
 * charged to it is gone, and what it held goes to its parent. That may complete the end of the
 * parent, so it is a loop along at most FACTORY_DEPTH_MAX of them.
 *
 * Nobody misses the moment: who gives adds first and then looks at `ended`; the end sets `ended` first
 * and then looks at the counters. Both are sequentially consistent, so one of them sees the other.
 * Looking at memory that is another factory by then is harmless: it is type-stable, and settle() asks
 * everything again under the lock.
 *
 * Not here: CPU time; that is the scheduler's. */
#include "kernel/cap/factory.h"

#include "kernel/core/panic.h"
#include "kernel/mem/frame.h"

static struct object_pool factory_pool =
    OBJECT_POOL(GMK_CAP_FACTORY, LOCK_OBJECT, sizeof(struct factory), FACTORIES_MAX);

/* ---- Taking ------------------------------------------------------------------------------ */

static int take(_Atomic uint64_t *counter, uint64_t count) {
    uint64_t left = atomic_load_explicit(counter, memory_order_relaxed);
    do { /* repeats only when another CPU has changed it */
        if (left < count)
            return GMK_EBUDGET;
    } while (!atomic_compare_exchange_weak_explicit(counter, &left, left - count,
                                                    memory_order_relaxed, memory_order_relaxed));
    return GMK_OK;
}

int factory_take_frames(struct factory *factory, uint64_t count) {
    return factory == NULL ? GMK_OK : take(&factory->frames_free, count);
}

int factory_take_object(struct factory *factory) {
    return factory == NULL ? GMK_OK : take(&factory->objects_free, 1);
}

/* ---- Giving back --------------------------------------------------------------------------- */

/* Empties both counters if both are full. */
static bool take_all(struct factory *factory) {
    uint64_t frames = factory->frames_max, objects = factory->objects_max;
    if (!atomic_compare_exchange_strong(&factory->frames_free, &frames, 0))
        return false;
    if (atomic_compare_exchange_strong(&factory->objects_free, &objects, 0))
        return true;
    atomic_fetch_add(&factory->frames_free, factory->frames_max);
    return false;
}

/* One ended factory to which everything has come back goes. True: its parent has ended too, and
 * may be complete now. */
static bool settle_one(struct factory *factory, struct factory **parent) {
    bool irq = spin_lock(&factory->object.lock);
    bool complete = atomic_load(&factory->ended) && take_all(factory);
    uint64_t frames = factory->frames_max, objects = factory->objects_max;
    *parent = factory->parent;
    if (complete) { /* from here on it is nobody's */
        atomic_store(&factory->ended, false);
        factory->object.factory = NULL;
    }
    spin_unlock(&factory->object.lock, irq);
    if (!complete)
        return false;
    object_put(&factory->object);
    if (*parent == NULL)
        return false;
    atomic_fetch_add(&(*parent)->frames_free, frames);
    atomic_fetch_add(&(*parent)->objects_free, objects + 1); /* and itself */
    return atomic_load(&(*parent)->ended);
}

static void settle(struct factory *factory) {
    struct factory *parent;
    for (unsigned i = 0; i <= FACTORY_DEPTH_MAX && settle_one(factory, &parent); i++)
        factory = parent;
}

static void give(struct factory *factory, _Atomic uint64_t *counter, uint64_t count) {
    (void)atomic_fetch_add(counter, count);
    if (GMK_UNLIKELY(atomic_load(&factory->ended)))
        settle(factory);
}

void factory_give_frames(struct factory *factory, uint64_t count) {
    if (factory != NULL)
        give(factory, &factory->frames_free, count);
}

void factory_give_object(struct factory *factory) {
    if (factory != NULL)
        give(factory, &factory->objects_free, 1);
}

/* ---- Making and ending --------------------------------------------------------------------- */

static struct factory *factory_new(struct factory *parent, uint64_t frames, uint64_t objects,
                                   int *error) {
    struct factory *factory = (struct factory *)object_new(&factory_pool, parent, error);
    if (factory == NULL)
        return NULL;
    factory->parent = parent;
    factory->depth = parent == NULL ? 0 : parent->depth + 1;
    factory->frames_max = frames;
    factory->objects_max = objects;
    atomic_store(&factory->ended, false);
    atomic_store(&factory->frames_free, frames);
    atomic_store(&factory->objects_free, objects);
    return factory;
}

struct factory *factory_split(struct factory *parent, uint64_t frames, uint64_t objects,
                              int *error) {
    *error = GMK_ELIMIT;
    if (parent->depth >= FACTORY_DEPTH_MAX)
        return NULL;
    *error = take(&parent->frames_free, frames);
    if (*error != GMK_OK)
        return NULL;
    *error = take(&parent->objects_free, objects);
    if (*error == GMK_OK) {
        struct factory *child = factory_new(parent, frames, objects, error);
        if (child != NULL)
            return child;
        give(parent, &parent->objects_free, objects);
    }
    give(parent, &parent->frames_free, frames);
    return NULL;
}

void factory_end(struct factory *factory, uint32_t serial) {
    if (!object_enter(&factory->object, serial))
        return;
    object_end_locked(&factory->object);
    atomic_store(&factory->ended, true);
    object_leave(&factory->object);
    settle(factory);
}

struct factory *factory_root(uint64_t reserve) {
    struct frame_stats stats;
    frame_stats(&stats);
    uint64_t frames = stats.free > reserve ? stats.free - reserve : 0;
    int error;
    return factory_new(NULL, frames, FACTORY_ROOT_OBJECTS, &error);
}
