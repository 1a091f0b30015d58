/* Channel ends: making, finding, closing and ending them. See channel.h.
 *
 * An end that may receive has a subscription of its own, made when it is
 * opened; the end that came with the making of the channel gets one when it
 * first receives or binds, so that a channel for one subscriber can be made by
 * its sender.
 *
 * Memory. Payloads lie in the engine's arena. A channel sets aside the bytes
 * that it may hold for as long as the engine has it open (conduits[]), and its
 * maker's factory is charged as many frames, and those of the log, until the
 * maker's end goes.
 *
 * Death. The end of an end ends its subscription (the engine's workers drop
 * what was waiting), and those who wait in it get GMK_EHANDLE; that of the
 * maker's end closes the channel: then every sender and, once what was sent is
 * received, every receiver gets GMK_ECLOSED. */
#include "kernel/ipc/channel_end.h"

#include "engine/chan.h"
#include "kernel/core/engine_call.h"
#include "kernel/core/kernel.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"

#include <string.h>

struct conduit conduits[GMK_CHANNELS_MAX];
static struct spinlock conduit_lock = SPINLOCK_INIT(LOCK_OBJECT);

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_CHANNEL, LOCK_CHANNEL, sizeof(struct chan_end), CHANNELS_MAX);

/* ---- Called by the engine, in any context --------------------------------------------------- */

static void on_message(gmk_waker_t *waker) {
    struct chan_end *end =
        (struct chan_end *)(void *)((char *)waker - offsetof(struct chan_end, waker));
    chan_queue_ring(&end->receivers, end);
}

static void on_room(gmk_waker_t *waker) {
    struct conduit *conduit =
        (struct conduit *)(void *)((char *)waker - offsetof(struct conduit, room));
    chan_queue_ring(&conduit->senders, NULL);
}

/* ---- Memory set aside ----------------------------------------------------------------------- */

/* Payload bytes that the arena has for channels of units: three quarters, for
 * blocks also rest in caches and belong to modules. */
static uint64_t quota(const struct engine *eng) {
    return (uint64_t)eng->arena.blocks.n_chunks * BLOCK_CHUNK_SIZE / 4 * 3;
}

static uint64_t set_aside_locked(struct engine *eng) {
    uint64_t sum = 0;
    for (uint32_t i = 1; i < GMK_CHANNELS_MAX; i++)
        if (conduits[i].shape != 0 && chan_shape(eng, i) == conduits[i].shape)
            sum += conduits[i].bytes;
    return sum;
}

/* Opens the channel if its bytes can be set aside. Under conduit_lock. */
static int open_channel(struct agent *a, const gmk_chan_args_t *args, uint32_t slots,
                        uint64_t bytes, uint32_t *id, uint64_t *shape) {
    if (set_aside_locked(a->eng) + bytes > quota(a->eng))
        return GMK_ENOMEM;
    int status =
        chan_open(a, args->name, args->type, args->options | GMK_CHAN_LOOSE, slots, bytes, id);
    if (status == GMK_OK) {
        *shape = chan_shape(a->eng, *id);
        conduits[*id].shape = *shape;
        conduits[*id].bytes = bytes;
    }
    return status;
}

void channels_forget(void) {
    for (uint32_t i = 0; i < GMK_CHANNELS_MAX; i++)
        conduits[i].shape = 0;
}

/* ---- Beginning ------------------------------------------------------------------------------ */

/* Senders by this channel that find it full are told of room from now on. */
static void listen(struct agent *a, uint32_t id) {
    struct conduit *conduit = &conduits[id];
    if (__atomic_load_n(&conduit->room.wake, __ATOMIC_ACQUIRE) == NULL) {
        /* Two CPUs may do this at once, and write the same. */
        chan_queue_init(&conduit->senders);
        __atomic_store_n(&conduit->room.wake, on_room, __ATOMIC_RELEASE);
    }
    (void)chan_on_room(a, id, &conduit->room);
}

static struct chan_end *end_new(struct factory *factory, int *error) {
    struct chan_end *end = (struct chan_end *)object_new(&pool, factory, error);
    if (end == NULL)
        return NULL;
    K_ASSERT(end->receivers.first == NULL, "nobody waits in an object of no life");
    if (end->waker.wake == NULL) { /* its memory is new */
        chan_queue_init(&end->receivers);
        end->waker.wake = on_message;
    }
    end->bound = (struct notify_ref){.notify = NULL};
    end->sub = NULL;
    end->creator = end->drained = end->holds = false;
    end->frames = 0;
    return end;
}

static void end_names(const struct agent *a, struct chan_end *end, uint32_t id, uint64_t shape) {
    end->base = a->eng->channels[id].base;
    atomic_store_explicit(&end->chan, &a->eng->channels[id], memory_order_relaxed);
    atomic_store_explicit(&end->id, id, memory_order_relaxed);
    atomic_store_explicit(&end->shape, shape, memory_order_relaxed);
}

/* An end that never became one. */
static struct object *end_undo(struct chan_end *end, int *error, int status) {
    bool irq = spin_lock(&end->object.lock);
    struct factory *factory = end->object.factory;
    object_end_locked(&end->object);
    spin_unlock(&end->object.lock, irq);
    factory_give_frames(factory, end->frames);
    object_free(&pool, &end->object);
    *error = status;
    return NULL;
}

int channel_subscribe_locked(struct agent *a, struct chan_end *end) {
    struct sub_request request = {.waker = &end->waker, .shape = end->shape, .module = MODULE_NONE};
    if (end->sub != NULL)
        return GMK_OK;
    if (end->drained)
        return GMK_ECLOSED;
    if (shape_options(end->shape) & GMK_CHAN_REPLAY)
        return GMK_ENOTSUP; /* it could not acknowledge */
    int status = chan_subscribe(a, end->id, &request, &end->sub_index);
    if (status == GMK_OK)
        end->sub = sub_at(end->chan, end->sub_index);
    return status == GMK_ENOENT ? GMK_ECLOSED : status;
}

static int check_args(const struct object *registry, const gmk_chan_args_t *args) {
    const char *stop = memchr(args->name, '\0', sizeof args->name);
    if (stop == NULL || args->reserved != 0 || args->type >= GMK_TYPES_MAX)
        return GMK_EINVAL;
    if (args->options & GMK_CHAN_REPLAY)
        return GMK_ENOTSUP;
    if ((args->options & ~(GMK_CHAN_FANOUT | GMK_CHAN_LOSSY)) != 0 ||
        args->slots > CHANNEL_SLOTS_MAX || (args->slots & (args->slots - 1)) != 0 ||
        (args->slots != 0 && args->slots < CHAN_SLOTS_MIN) || args->bytes > CHANNEL_BYTES_MAX)
        return GMK_EINVAL;
    return registry_check(registry, args->name, (size_t)(stop - args->name));
}

struct object *channel_create(struct object *registry, uint32_t serial, struct factory *factory,
                              const gmk_chan_args_t *args, int *error) {
    (void)serial; /* held by the caller, as the factory is */
    *error = check_args(registry, args);
    struct chan_end *end = *error == GMK_OK ? end_new(factory, error) : NULL;
    if (end == NULL)
        return NULL;
    uint32_t slots = args->slots != 0 ? args->slots : CHANNEL_SLOTS, id = 0;
    uint64_t bytes = args->bytes != 0 ? args->bytes : (uint64_t)slots * CHANNEL_SLOT_BYTES;
    uint64_t frames = page_up(bytes + slots * sizeof(union chan_cell)) / PAGE_SIZE, shape = 0;
    int status = factory_take_frames(factory, frames);
    if (status != GMK_OK)
        return end_undo(end, error, status);
    end->frames = frames;
    const struct cpu *cpu = cpu_this();
    spin_enter(&conduit_lock);
    struct agent *a = engine_enter(cpu);
    status = a != NULL ? open_channel(a, args, slots, bytes, &id, &shape) : GMK_EHALTED;
    if (status == GMK_OK) {
        listen(a, id);
        end_names(a, end, id, shape);
    }
    if (a != NULL)
        engine_leave(cpu);
    spin_leave(&conduit_lock);
    if (status != GMK_OK)
        return end_undo(end, error, status);
    end->creator = true;
    return &end->object;
}

struct object *channel_open(struct object *registry, uint32_t serial, struct factory *factory,
                            const char *name, unsigned rights, int *error) {
    (void)serial;
    *error = registry_check(registry, name, strlen(name));
    struct chan_end *end = *error == GMK_OK ? end_new(factory, error) : NULL;
    if (end == NULL)
        return NULL;
    const struct cpu *cpu = cpu_this();
    struct agent *a = engine_enter(cpu);
    if (a == NULL)
        return end_undo(end, error, GMK_EHALTED);
    uint32_t id;
    uint64_t shape;
    int status = chan_find(a->eng, name, &id, &shape);
    if (status == GMK_OK) {
        listen(a, id);
        end_names(a, end, id, shape);
        if (rights & GMK_RIGHT_READ)
            status = channel_subscribe_locked(a, end); /* nobody else knows it yet */
    }
    engine_leave(cpu);
    return status == GMK_OK ? &end->object : end_undo(end, error, status);
}

/* ---- Ending --------------------------------------------------------------------------------- */

/* What the engine still has of an end that is over. */
static void end_engine(struct chan_end *end) {
    const struct cpu *cpu = cpu_this();
    struct agent *a = engine_enter(cpu);
    if (a == NULL)
        return; /* it is gone with everything */
    if (end->holds)
        payload_release(a, end->held.payload);
    if (end->sub != NULL)
        (void)chan_unsubscribe(a, end->id, end->sub_index);
    if (end->creator)
        (void)chan_close(a, end->id, end->shape);
    engine_leave(cpu);
}

void channel_end(struct object *object, uint32_t serial) {
    struct chan_end *end = (struct chan_end *)object;
    if (!object_enter(object, serial))
        return;
    object_end_locked(object);
    end_engine(end);
    spin_enter(&end->receivers.lock);
    end->bound.notify = NULL;
    spin_leave(&end->receivers.lock);
    object_leave(object);
    chan_queue_end(&end->receivers, GMK_EHANDLE);
    on_room(&conduits[end->id].room); /* who sends by this end finds out */
    factory_give_frames(object->factory, end->frames);
    object_free(&pool, object);
}

int channel_close(struct object *object, uint32_t serial) {
    struct chan_end *end = (struct chan_end *)object;
    if (!object_enter(object, serial))
        return GMK_EHANDLE;
    const struct cpu *cpu = cpu_this();
    struct agent *a = engine_enter(cpu);
    int status = GMK_EHALTED;
    if (a != NULL) {
        status = chan_close(a, end->id, end->shape);
        engine_leave(cpu);
    }
    object_leave(object);
    return status == GMK_ENOENT ? GMK_ECLOSED : status;
}

int channel_bind(struct object *object, uint32_t serial, const struct notify_ref *ref) {
    struct chan_end *end = (struct chan_end *)object;
    if (!object_enter(object, serial))
        return GMK_EHANDLE;
    const struct cpu *cpu = cpu_this();
    struct agent *a = engine_enter(cpu);
    int status = a != NULL ? channel_subscribe_locked(a, end) : GMK_EHALTED;
    if (a != NULL)
        engine_leave(cpu);
    if (status == GMK_OK) {
        spin_enter(&end->receivers.lock);
        end->bound = *ref;
        spin_leave(&end->receivers.lock);
        /* Whether something waits already, nobody was called for; better once for
     * nothing. */
        notify_signal(ref);
    }
    object_leave(object);
    return status;
}
