/* Interrupts: from a vector to its handler, on the CPU that took it.
 *
 * Problem: any of 256 vectors may come, on any CPU, and what is done before the handler runs is
 * added to every latency. Idea: one table of function and argument by vector, for devices,
 * timers and IPIs alike; dispatch is a load and a call.
 *
 * To the engine interrupt context is a thread of its own: for the time of the handler the CPU's
 * irq_local takes the place of the interrupted thread's hal_local (struct cpu.local).
 *
 * Invariants: `slots` and `handlers` agree (a slot in use has the handler of its vector); a handler
 * never runs after irq_detach() has returned. A vector without a handler is counted, acknowledged
 * and reported once.
 *
 * Lock: LOCK_IRQ_TABLE for changes. Dispatch takes none. */
#include "kernel/irq/irq.h"

#include <stdatomic.h>

#include "ggmk/error.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"

struct handler {
    _Atomic irq_fn fn; /* NULL: nobody expects this vector */
    void *arg;
};

struct slot { /* of a device's interrupt */
    const char *name;
    unsigned gsi;
    _Atomic uint64_t count;                  /* written by the CPU that takes it */
    const struct irq_action *_Atomic action; /* `own`, or that of a capability */
    struct irq_action own;
};

static struct handler handlers[IRQ_VECTORS];

static struct spinlock table_lock = SPINLOCK_INIT(LOCK_IRQ_TABLE);
static struct slot slots[IRQ_DEVICES_MAX]; /* guarded by table_lock; free: no name */

static _Atomic uint64_t unexpected;
static _Atomic uint64_t reported[IRQ_VECTORS / 64]; /* a bit per vector */

/* ---- Dispatch -------------------------------------------------------------------------------- */

static void nobody_expects(unsigned vector) {
    atomic_fetch_add_explicit(&unexpected, 1, memory_order_relaxed);
    uint64_t bit = 1ull << vector % 64;
    if ((atomic_fetch_or_explicit(&reported[vector / 64], bit, memory_order_relaxed) & bit) == 0)
        klog_warn("irq", "vector %x came to CPU %u and has no handler; later ones are only counted",
                  vector, cpu_this()->index);
}

void irq_dispatch(unsigned vector, struct arch_frame *frame) {
    (void)frame;
    struct cpu *cpu = cpu_this();
    struct handler *handler = &handlers[vector % IRQ_VECTORS];

    cpu->in_irq = true;
    cpu->irq_count++;
    void *interrupted = cpu->local;
    cpu->local = cpu->irq_local;
    /* Acquire pairs with the release in install(): arg is there. */
    irq_fn fn = atomic_load_explicit(&handler->fn, memory_order_acquire);
    if (GMK_LIKELY(fn != NULL))
        fn(handler->arg);
    else
        nobody_expects(vector);
    cpu->irq_local = cpu->local;
    cpu->local = interrupted;
    arch_irq_end(vector);
    cpu->in_irq = false;
}

static void install(unsigned vector, irq_fn fn, void *arg) {
    handlers[vector].arg = arg;
    atomic_store_explicit(&handlers[vector].fn, fn, memory_order_release);
}

void irq_claim(unsigned vector, irq_fn fn, void *arg) {
    K_ASSERT(vector < IRQ_VECTORS, "a vector has 8 bits");
    K_ASSERT(atomic_load_explicit(&handlers[vector].fn, memory_order_relaxed) == NULL,
             "a vector is claimed once");
    install(vector, fn, arg);
}

uint64_t irq_unexpected(void) {
    return atomic_load_explicit(&unexpected, memory_order_relaxed);
}

/* ---- Devices ------------------------------------------------------------------------------------ */

static void run_device(void *arg) {
    struct slot *slot = arg;
    uint64_t count = atomic_load_explicit(&slot->count, memory_order_relaxed);
    atomic_store_explicit(&slot->count, count + 1, memory_order_relaxed);
    /* Acquire pairs with the release in begin(): what it points at is there. */
    const struct irq_action *action = atomic_load_explicit(&slot->action, memory_order_acquire);
    action->fn(action->arg);
}

/* The slot of `gsi`, else a free one, else NULL. Under the lock. */
static struct slot *find_slot(unsigned gsi) {
    struct slot *free_slot = NULL;
    for (unsigned i = 0; i < IRQ_DEVICES_MAX; i++) {
        if (slots[i].name == NULL)
            free_slot = free_slot != NULL ? free_slot : &slots[i];
        else if (slots[i].gsi == gsi)
            return &slots[i];
    }
    return free_slot;
}

static unsigned vector_of(const struct slot *slot) {
    return arch_irq_vector((unsigned)(slot - slots));
}

static const struct irq_action *action_of(const struct slot *slot) {
    return atomic_load_explicit(&slot->action, memory_order_relaxed);
}

/* Gives a slot to an action, masked. Under the lock; *out may be set on errors too. */
static int take_slot(unsigned gsi, bool level, bool active_low, const char *name,
                     struct slot **out) {
    struct slot *slot = *out = find_slot(gsi);
    if (slot == NULL)
        return GMK_ELIMIT;
    if (slot->name != NULL)
        return GMK_EEXIST;
    int status = arch_irq_route(gsi, vector_of(slot), 0, level, active_low);
    if (status != GMK_OK)
        return status;
    slot->name = name;
    slot->gsi = gsi;
    atomic_store_explicit(&slot->count, 0, memory_order_relaxed);
    return GMK_OK;
}

static void begin(struct slot *slot, const struct irq_action *action) {
    atomic_store_explicit(&slot->action, action, memory_order_release);
    install(vector_of(slot), run_device, slot);
}

int irq_attach(unsigned gsi, bool level, bool active_low, irq_fn fn, void *arg, const char *name) {
    if (fn == NULL || name == NULL)
        return GMK_EINVAL;
    struct slot *slot;
    bool irq = spin_lock(&table_lock);
    int status = take_slot(gsi, level, active_low, name, &slot);
    if (status == GMK_OK) {
        slot->own = (struct irq_action){fn, arg};
        begin(slot, &slot->own);
        arch_irq_unmask(gsi);
    }
    spin_unlock(&table_lock, irq);
    return status;
}

int irq_lend(unsigned gsi, bool level, bool active_low, const struct irq_action *action) {
    struct slot *slot;
    bool irq = spin_lock(&table_lock);
    int status = take_slot(gsi, level, active_low, "capability", &slot);
    if (status == GMK_OK)
        begin(slot, action);
    else if (status == GMK_EEXIST && action_of(slot) == &slot->own)
        status = GMK_EBUSY;
    spin_unlock(&table_lock, irq);
    return status;
}

void irq_take_back(unsigned gsi, const struct irq_action *action) {
    bool irq = spin_lock(&table_lock);
    struct slot *slot = find_slot(gsi);
    K_ASSERT(slot != NULL && slot->name != NULL && action_of(slot) == action,
             "who gives an interrupt back has it");
    arch_irq_mask(gsi);
    install(vector_of(slot), NULL, slot);
    slot->name = NULL; /* the action stays, for a handler that is on its way to it */
    spin_unlock(&table_lock, irq);
}

static void nothing(void *arg) {
    (void)arg;
}

int irq_detach(unsigned gsi) {
    bool irq = spin_lock(&table_lock);
    struct slot *slot = find_slot(gsi);
    bool found = slot != NULL && slot->name != NULL && action_of(slot) == &slot->own;
    if (found) {
        arch_irq_mask(gsi);
        install(vector_of(slot), NULL, slot);
    }
    spin_unlock(&table_lock, irq);
    if (!found)
        return GMK_ENOENT;
    /* Handlers run with IF off, so a CPU that answers a call has left the handler. */
    ipi_call_others(nothing, NULL);
    irq = spin_lock(&table_lock);
    slot->name = NULL;
    spin_unlock(&table_lock, irq);
    return GMK_OK;
}

bool irq_info(unsigned i, struct irq_info *info) {
    bool irq = spin_lock(&table_lock);
    struct slot *slot = NULL;
    for (unsigned at = 0; at < IRQ_DEVICES_MAX && slot == NULL; at++)
        if (slots[at].name != NULL && i-- == 0)
            slot = &slots[at];
    if (slot != NULL)
        *info = (struct irq_info){slot->name, slot->gsi, vector_of(slot),
                                  atomic_load_explicit(&slot->count, memory_order_relaxed)};
    spin_unlock(&table_lock, irq);
    return slot != NULL;
}
