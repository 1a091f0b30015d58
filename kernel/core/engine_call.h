/* Engine call: how a system call enters the engine, as this CPU's client.
 *
 * Interrupts and system calls of one CPU never overlap (IF is off in both), so they share the client of
 * docs/decisions/0010-interrupts-as-clients.md. System calls work on the engine's inner functions,
 * which take the agent; so the gate that keeps the engine's memory while they do is here: a CPU
 * says that it is inside, then looks whether the agent is still there. Who halts the engine takes
 * the agents away, interrupts every CPU, which is a barrier on each, and waits until none is
 * inside. Calls with IF off are short, so that wait is too.
 *
 * Between engine_enter() and engine_leave(): IF off, no page fault, nothing that waits. */
#pragma once

#include "ggmk/base.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"

struct agent;

struct irq_client {
    struct spinlock lock;          /* taken only when CPUs share the client */
    struct gmk_ctx *ctx;           /* NULL before the engine is there; constant after */
    void *record;                  /* hal_local of this client; likewise */
    _Atomic(struct agent *) agent; /* NULL: no system call may enter */
    _Atomic uint32_t inside;       /* a system call is */
};

extern struct irq_client irq_clients[];
extern unsigned irq_client_count; /* set before the first client is attached, constant after */

static inline struct irq_client *irq_client_of(const struct cpu *cpu) {
    unsigned i = cpu->index;
    return &irq_clients[GMK_LIKELY(i < irq_client_count) ? i : i % irq_client_count];
}

static inline bool irq_client_is_shared(void) {
    return GMK_UNLIKELY(irq_client_count < cpu_count);
}

/* NULL: the engine does not run (any more); else engine_leave() exactly once, on this CPU. */
static inline struct agent *engine_enter(const struct cpu *cpu) {
    if (GMK_UNLIKELY(irq_client_count == 0))
        return NULL;
    struct irq_client *client = irq_client_of(cpu);
    if (irq_client_is_shared())
        spin_enter(&client->lock);
    atomic_store_explicit(&client->inside, 1, memory_order_relaxed);
    /* Pairs with the interrupts of engine_stop(): it sees us inside, or we see no agent. */
    atomic_signal_fence(memory_order_seq_cst);
    struct agent *agent = atomic_load_explicit(&client->agent, memory_order_acquire);
    if (GMK_LIKELY(agent != NULL))
        return agent;
    atomic_store_explicit(&client->inside, 0, memory_order_release);
    if (irq_client_is_shared())
        spin_leave(&client->lock);
    return NULL;
}

static inline void engine_leave(const struct cpu *cpu) {
    struct irq_client *client = irq_client_of(cpu);
    /* Release pairs with the acquire in engine_stop(). */
    atomic_store_explicit(&client->inside, 0, memory_order_release);
    if (irq_client_is_shared())
        spin_leave(&client->lock);
}
