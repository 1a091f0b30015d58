/* Agent: how a thread finds its place in an engine, and the gate that halt closes.
 *
 * A thread that is no worker becomes a client: it takes one of max_clients agents, and
 * keeps it until it detaches, ends, or the engine halts. Its thread record remembers up to
 * AGENT_ENGINES_MAX engines at once.
 *
 * The gate. A client may be in the middle of a call when another thread halts the engine
 * and frees its memory. So every call from outside writes the engine's boot id into its
 * record (`inside`), then looks whether its entry still stands, and clears `inside` when it
 * is done. Halt first strikes the engine's entries from all records, then waits until no
 * record says `inside`. Between write and look there must be a full barrier on both sides
 * (Dekker). Halt pays for both with hal_barrier_all(), so callers need only keep the
 * compiler in order, or a fence where the platform has no such barrier.
 *
 * Thread records, and the contexts that attached threads hold, are static memory: a call
 * after halt reads a struck entry and gets EHALTED; it touches nothing that was freed. */
#pragma once

#include "engine/engine.h"

#define AGENT_ENGINES_MAX 4u
/* Threads of the process that use any engine at a time. A build whose platform has fewer threads
 * says so: a record is 384 bytes of static memory. */
#ifndef AGENT_THREADS_MAX
#define AGENT_THREADS_MAX 512u
#endif

/* A thread's place in one engine. */
struct thread_entry {
    /* 0: empty or struck. Written by the thread under the running lock, struck by halt. */
    _Atomic uint64_t boot_id;
    struct agent *agent; /* valid inside the gate, or while resident */
    bool resident;       /* passes the gate: agent_bind() */
    gmk_ctx_t ctx;       /* what gmk_attach() gives to a client */
};

struct thread_record {
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t inside; /* boot id of the engine being called */
    _Atomic uint32_t used;
    uint32_t nest; /* calls inside calls: an export's callback may submit */
    struct thread_entry at[AGENT_ENGINES_MAX];
};

/* Enters a running engine as the calling thread's agent. NULL: *why is EHALTED, ELIMIT (no
 * client or record left) or EINVAL. Else agent_leave(a) exactly once. A worker's thread
 * gets its worker. */
struct agent *agent_enter(gmk_kernel_t *kernel, int *why);

/* The same for calls that bring a context, which must be the calling thread's own. */
struct agent *agent_enter_ctx(gmk_ctx_t *ctx, int *why);

void agent_leave(struct agent *a);

/* Is the calling thread, inside agent_enter(), in the middle of a handler or an export of this
 * engine? Then it must not wait for the engine to come to rest. */
bool agent_is_busy(const struct agent *a);

/* The calling thread's own context for gmk_attach(); inside agent_enter(). NULL: the engine
 * has begun to halt. */
gmk_ctx_t *agent_context(struct agent *a);

/* Makes the calling thread, for good or until agent_unbind(), the given agent: a worker, or
 * the client of the thread that boots or halts. Such an agent passes the gate. False: no
 * thread record or entry left. */
bool agent_bind(struct agent *a);
void agent_unbind(struct agent *a);

/* The calling thread's client begins / ceases to pass the gate, which it is inside of /
 * outside of: the thread that halts, the thread that has booted. */
void agent_become_resident(struct agent *a);
void agent_become_client(struct agent *a);

/* A free client, or NULL. Under the running lock, or while nobody else can see the engine. */
struct agent *agent_take_client(struct engine *eng);

/* Halt, after the engine left the running list: strikes it from all records but those of
 * resident agents, and waits until nobody is inside. */
void agent_shut_gate(struct engine *eng);

/* Detaches the calling thread from an engine. */
void agent_detach(gmk_kernel_t *kernel);
