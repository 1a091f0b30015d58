/* Interrupt capability: an interrupt of a device becomes a signal, for a driver in a unit.
 *
 * Problem: a driver runs when the scheduler lets it, and may be slow or broken; meanwhile its device
 * must not keep the CPU in interrupts, and no interrupt may be lost.
 * Idea: after a signal no further one is given until irq_ack.
 *   - Level: the line is masked with the signal. The ack unmasks it, and it comes again if the device
 *     still wants something.
 *   - Edge: an edge that comes to a masked line is lost, so it stays open. The next edge is
 *     remembered, and then the line is masked: more of them would say nothing new. The ack
 *     unmasks it and signals what was remembered.
 * So a device costs at most two interrupts per ack. A driver may get a signal for nothing, when an edge
 * came while it saw to the one before; it never gets one too few.
 *
 *        ack: unmask               interrupt: signal
 *     QUIET <=== begin    QUIET -----------------------> BUSY --edge: mask--> MISSED
 *                           ^------------ack--------------|                     |
 *                                                BUSY <-----ack: unmask, signal-|
 *
 * The handler may have begun when the object ends: it takes the lock, looks whether the object still
 * owns the line, and does nothing if not; at worst a new owner of the same memory gets one signal
 * for nothing.
 *
 * Locks: LOCK_OBJECT; the interrupt table's and the controller's inside, and LOCK_NOTIFY. */
#include "ggmk/error.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/irq/irq.h"

#define IRQCAPS_MAX IRQ_DEVICES_MAX
#define ISA_MAX     16u

enum { FLAG_LEVEL = 1, FLAG_LOW = 2, FLAG_ISA = 4, FLAGS_ALL = 7 }; /* of irq_create */

enum irqcap_state {
    NEW,    /* masked since it was made */
    QUIET,  /* open: the next interrupt is signalled */
    BUSY,   /* signalled, not acknowledged; level: masked */
    MISSED, /* edge: one more came; masked */
};

struct irqcap {
    struct object object;     /* lock: LOCK_OBJECT */
    struct irq_action action; /* constant for this memory */
    struct notify_ref ref;    /* constant for its life */
    /* Guarded by object.lock. */
    unsigned gsi;
    bool level;
    bool owns; /* the line is its own */
    uint8_t state;
};

static struct object_pool pool =
    OBJECT_POOL(GMK_CAP_IRQ, LOCK_OBJECT, sizeof(struct irqcap), IRQCAPS_MAX);

/* In the interrupt. */
static void came(void *arg) {
    struct irqcap *c = arg;
    spin_enter(&c->object.lock);
    if (c->owns && c->state == QUIET) {
        c->state = BUSY;
        if (c->level)
            arch_irq_mask(c->gsi);
        notify_signal(&c->ref); /* under the lock: none comes after the end */
    } else if (c->owns) {
        arch_irq_mask(c->gsi);
        if (c->state == BUSY && !c->level)
            c->state = MISSED;
    }
    spin_leave(&c->object.lock);
}

struct object *irqcap_new(struct factory *factory, const struct notify_ref *ref, unsigned number,
                          unsigned flags, int *error) {
    bool level = (flags & FLAG_LEVEL) != 0, low = (flags & FLAG_LOW) != 0;
    *error = GMK_EINVAL;
    /* Does it make sense? What an ISA interrupt is like, the machine's tables say. */
    if ((flags & ~(unsigned)FLAGS_ALL) != 0 ||
        ((flags & FLAG_ISA) != 0 && (number >= ISA_MAX || level || low)))
        return NULL;
    if ((flags & FLAG_ISA) != 0)
        number = arch_irq_isa_to_gsi(number, &level, &low);
    struct irqcap *c = (struct irqcap *)object_new(&pool, factory, error);
    if (c == NULL)
        return NULL;
    c->action = (struct irq_action){came, c};
    c->ref = *ref;
    c->gsi = number;
    c->level = level;
    c->state = NEW;
    c->owns = true;
    *error = irq_lend(number, level, low, &c->action);
    if (*error == GMK_OK)
        return &c->object;
    spin_enter(&c->object.lock);
    c->owns = false;
    object_end_locked(&c->object);
    spin_leave(&c->object.lock);
    object_free(&pool, &c->object);
    return NULL;
}

int irqcap_ack(struct object *object, uint32_t serial) {
    struct irqcap *c = (struct irqcap *)object;
    if (!object_enter(object, serial))
        return GMK_EHANDLE;
    bool again = c->state == MISSED;
    if (c->state != QUIET)
        arch_irq_unmask(c->gsi);
    c->state = again ? BUSY : QUIET;
    if (again)
        notify_signal(&c->ref);
    object_leave(object);
    return GMK_OK;
}

void irqcap_end(struct object *object, uint32_t serial) {
    struct irqcap *c = (struct irqcap *)object;
    if (!object_enter(object, serial))
        return;
    irq_take_back(c->gsi, &c->action);
    c->owns = false;
    object_end_locked(object);
    object_leave(object);
    object_free(&pool, object);
}
