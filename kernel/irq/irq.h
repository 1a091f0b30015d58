/* Interrupts: from a vector to a handler, and from a handler to a task.
 *
 * A handler runs with IF off on the interrupted stack, does the least and submits an engine task
 * (irq_submit()); nothing else of the kernel runs in interrupt context. While it runs,
 * hal_local is the CPU's own for interrupts, so to the engine interrupt context is a thread. */
#pragma once

#include "arch/arch.h"
#include "ggmk/task.h"

#define IRQ_VECTORS     256u
#define IRQ_DEVICES_MAX 64u /* global interrupts that can have a handler */

typedef void (*irq_fn)(void *arg); /* IF off */

/* Gives a global interrupt a vector of CPU 0 and a handler, and unmasks it. `name` is kept, not
 * copied. GMK_EEXIST: it has one; GMK_ELIMIT: IRQ_DEVICES_MAX have one; GMK_EINVAL: there is no such
 * interrupt. Boot or thread context. */
int irq_attach(unsigned gsi, bool level, bool active_low, irq_fn fn, void *arg, const char *name);
/* Masks it and takes the handler away; afterwards it does not run any more. GMK_ENOENT. Thread
 * context, holding no lock. */
int irq_detach(unsigned gsi);

/* Gives a handler to a vector that is the architecture's own: its timer, IPIs, errors. Boot; once
 * per vector. */
void irq_claim(unsigned vector, irq_fn fn, void *arg);
/* The architecture's handler of an IPI ends here. */
void ipi_received(enum arch_ipi ipi);

/* Submits a task to the kernel's engine from a handler, as that CPU's client of the engine. IF off;
 * never blocks. As gmk_submit(); further EINVAL for a task of a group and a deterministic one, and
 * EHALTED before the engine has started and once it halts; EAGAIN may come a little before the ring
 * is full. docs/decisions/0010-interrupts-as-clients.md proves it safe. */
int irq_submit(const gmk_task_t *task);

/* Runs fn(arg) on every other online CPU, IF off there, and returns when each has. fn is short and
 * takes no lock: it may run in the middle of anything that waits with IF off. A CPU that does not
 * answer within IPI_TIMEOUT_NS (patience.h) is named in a panic. Any context but NMI, IF on or off, no lock held. */
#define IPI_TIMEOUT_NS 5000000000ull
void ipi_call_others(void (*fn)(void *arg), void *arg);
/* Runs what a caller wants from this CPU, if anything. IF off. */
void ipi_call_isr(void);

/* For interrupt capabilities (kernel/ipc/irqcap.c), which can neither wait nor sleep: gives the
 * interrupt to `action` as irq_attach() does, but leaves it masked, and takes it back without waiting for
 * a handler that has begun on another CPU. So action->fn may still be called, even once after
 * the slot has gone to another action: *action must exist for ever, and fn tolerate it. GMK_EBUSY: the
 * kernel has it itself; the rest as irq_attach(). IF off. */
struct irq_action {
    irq_fn fn;
    void *arg;
};
int irq_lend(unsigned gsi, bool level, bool active_low, const struct irq_action *action);
void irq_take_back(unsigned gsi, const struct irq_action *action);

struct irq_info {
    const char *name;
    unsigned gsi, vector;
    uint64_t count;
};
/* The i-th attached interrupt; false past the last. */
bool irq_info(unsigned i, struct irq_info *info);
uint64_t irq_unexpected(void); /* vectors that came without a handler */
