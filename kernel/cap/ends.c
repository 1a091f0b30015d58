/* Ends: what happens to an object when its first capability goes, by type. */
#include "kernel/cap/object.h"

#include "kernel/cap/factory.h"
#include "kernel/cap/unit.h"
#include "kernel/ipc/channel.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"
#include "kernel/mem/memory.h"
#include "kernel/sched/thread.h"

static void end_unit(struct object *object, uint32_t serial) {
    unit_end((struct unit *)object, serial);
}
static void end_thread(struct object *object, uint32_t serial) {
    char *at = (char *)object - offsetof(struct thread, object);
    thread_user_end((struct thread *)(void *)at, serial);
}
static void end_port(struct object *object, uint32_t serial) {
    port_end((struct port *)object, serial);
}
static void end_notify(struct object *object, uint32_t serial) {
    notify_end((struct notify *)object, serial);
}
static void end_memory(struct object *object, uint32_t serial) {
    memory_end((struct memory *)object, serial);
}
static void end_factory(struct object *object, uint32_t serial) {
    factory_end((struct factory *)object, serial);
}

/* The machine (SYSTEM) has no end. */
const object_end_fn object_ends[GMK_CAP_TYPES] = {
    [GMK_CAP_UNIT] = end_unit,         [GMK_CAP_THREAD] = end_thread,
    [GMK_CAP_PORT] = end_port,         [GMK_CAP_CHANNEL] = channel_end,
    [GMK_CAP_NOTIFY] = end_notify,     [GMK_CAP_TIMER] = timercap_end,
    [GMK_CAP_IRQ] = irqcap_end,        [GMK_CAP_IOPORT] = ioport_end,
    [GMK_CAP_MEMORY] = end_memory,     [GMK_CAP_FACTORY] = end_factory,
    [GMK_CAP_REGISTRY] = registry_end,
};

void object_destroy(struct object *object, uint32_t serial) {
    object_end_fn end = object_ends[object->type];
    if (end != NULL)
        end(object, serial);
}

/* Mixed so that neither addresses nor counts can be read from it. */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t object_number(const struct object *object, uint32_t serial) {
    static _Atomic uint64_t secret; /* 0: not chosen yet */
    uint64_t key = atomic_load_explicit(&secret, memory_order_relaxed), none = 0;
    if (key == 0) {
        key = arch_random() | 1;
        if (!atomic_compare_exchange_strong_explicit(&secret, &none, key, memory_order_relaxed,
                                                     memory_order_relaxed))
            key = none; /* another CPU's choice */
    }
    return mix(mix((uint64_t)(uintptr_t)object ^ key) ^ serial ^ key >> 32);
}
