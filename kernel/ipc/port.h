/* Port: synchronous calls between threads, with the caller's priority.
 *
 * A port has two queues, of which at most one holds threads: callers, by effective priority and then
 * first come; receivers, last come first (its cache is warm). When a call meets a waiting receiver the
 * message goes from registers to registers, and the CPU goes from caller to receiver without the
 * scheduler (the fast path); the reply comes back the same way.
 *
 * Reply tokens. A call that was received is known by the caller's number in the table of threads and
 * the count of its calls: 12 + 19 bits. A reply under it is accepted from any thread of the unit
 * that received the call, while the caller still waits for just that reply. So tokens need no table,
 * work once, and are worth nothing to any other unit.
 *
 * Priority inheritance. While S works for callers, its effective priority is the most urgent of its
 * own, of those whose tokens it holds (its donors), and of the first caller waiting at the port from
 * which it received last (port.server == S). A change goes on along the chain: S may itself wait
 * for T's reply. inherit_update(T) computes T's priority anew from what is there; whoever changes
 * something calls it for the next in the chain, IPC_CHAIN_MAX times at most, one lock at a time. Since
 * everyone who changes a priority passes on after the change, the last one to pass sees it all
 * (tests/model/ipc_inherit.pml). When the chain is longer, it is not passed on further, and counted.
 *
 * Locks: port lock (LOCK_PORT), then a run queue's. donors, served and effective priorities of a thread
 * are guarded by the run-queue lock of its CPU. Membership in donors changes only with the lock of
 * the port held, too, that the donor called.
 *
 * A thread holds at most IPC_TOKENS_MAX tokens; recv then says GMK_ELIMIT. A thread that dies fails
 * those whose tokens it holds (GMK_EPEER). A port that dies fails those who wait in its queues
 * (GMK_EHANDLE); calls in progress can still be answered: they need only its lock, and memory of a port
 * is a port's for ever. */
#pragma once

#include "kernel/cap/unit.h"
#include "kernel/ipc/block.h"

#define IPC_TOKENS_MAX   64u
#define IPC_CHAIN_MAX    32u
#define IPC_REFUSED_MAX  8u    /* senders whose capabilities one receive refuses; then GMK_EAGAIN */
#define PORT_CALLERS_MAX 1024u /* = user threads: the queue never overflows */
#define PORT_END_STEP    16u   /* waiters that one step of a port's end lets go */

/* thread.block.call: the token of its next or present call, shifted left by one, as the argument `rax`
 * holds it: the bit below is its own. */
#define TOKEN_KERNEL 1u         /* the kernel made the call: no reply but by the slow path */
#define TOKEN_NEXT   (1u << 13) /* counts the calls; wraps */

struct port {
    struct object object; /* lock: LOCK_PORT */
    /* Guarded by object.lock. */
    struct thread *receivers; /* stack, by block.next; block.prev of all but the first */
    struct thread *callers;   /* circular, most urgent first, by block.next/prev */
    struct thread *server;    /* received last, and has not come back to receive elsewhere */
    uint32_t waiting;         /* callers */
    _Atomic uint8_t top; /* key of the first caller + 1; 0: none. The server's priority reads it */
    struct notify_ref bound;
    struct port *next_dying;
};

struct object *port_new(struct factory *factory, int *error);
void port_end(struct port *port, uint32_t serial);
int port_bind(struct port *port, uint32_t serial, const struct notify_ref *bound);
/* A bounded step of the end of ports with many waiters; true: nothing is left. By the reaper. */
bool port_reap_step(void);

/* System calls, straight from the entry code: arguments as abi.h says, `rax` whole. IF off. They
 * return the caller's rax, or switch and never return. */
uint64_t ipc_call(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                  uint64_t w3, uint64_t rax);
uint64_t ipc_send(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                  uint64_t w3, uint64_t rax);
uint64_t ipc_recv(uint64_t port, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                  uint64_t w3, uint64_t rax);
uint64_t ipc_reply(uint64_t tag, uint64_t unused, uint64_t w0, uint64_t w1, uint64_t w2,
                   uint64_t w3, uint64_t rax);
uint64_t ipc_reply_recv(uint64_t port_tag, uint64_t timeout, uint64_t w0, uint64_t w1, uint64_t w2,
                        uint64_t w3, uint64_t rax);
uint64_t ipc_accept(uint64_t token, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                    uint64_t rax);

/* The kernel calls `ref` for the current thread, whose user frame is a full one (a fault, a foreign
 * call): it waits in BLOCK_KERNEL, and kernel/sys/fault.c says what its reply means. words[0..3] go by
 * register, words[4..23] are `regs`. Returns only an error: GMK_EHANDLE when the port is gone. */
int ipc_call_kernel(const struct port_ref *ref, uint32_t tag, const uint64_t words[4],
                    const gmk_regs_t *regs, uint64_t badge);

/* Priority inheritance, in inherit.c. No lock held. */
void inherit_update(struct thread *thread);
/* The effective priority that the thread should have. Its run queue is locked. */
unsigned inherit_effective(const struct thread *thread);
/* The thread ends: leaves its wait and its port, fails its callers. No lock held. */
void ipc_thread_end(struct thread *thread);
