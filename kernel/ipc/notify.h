/* Notification: a word of bits that threads wait for; and what signals it besides threads: timers,
 * interrupts, the ends of threads and units, readiness of ports and channels.
 *
 * A signal sets bits. The first waiter whose mask meets them takes those and goes on; what nobody waits
 * for stays. A waiter of higher priority than the signaller is switched to directly. Signalling is
 * allowed in interrupt context (notify_signal()). */
#pragma once

#include "kernel/cap/unit.h"
#include "kernel/ipc/block.h"

#define NOTIFIES_MAX       4096u
#define NOTIFY_WAITERS_MAX 32u /* of one: so that a signal takes bounded time; then GMK_ELIMIT */

struct notify {
    struct object object; /* lock: LOCK_NOTIFY */
    /* Guarded by object.lock. */
    uint64_t bits;
    struct thread
        *waiters; /* circular, first come first, by block.next/prev; masks in block.badge */
};

struct object *notify_new(struct factory *factory, int *error);
void notify_end(struct notify *notify, uint32_t serial); /* who waits gets GMK_EHANDLE */

/* Any context with IF off, interrupts too; holds no lock of LOCK_NOTIFY or later. Makes waiters ready
 * by sched_ready(); never switches. A reference whose notification is gone does nothing. */
void notify_signal(const struct notify_ref *ref);

/* System calls, straight from the entry code. */
uint64_t notify_sys_signal(uint64_t handle, uint64_t bits, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t rax);
uint64_t notify_sys_wait(uint64_t handle, uint64_t mask, uint64_t timeout, uint64_t a3, uint64_t a4,
                         uint64_t a5, uint64_t rax);
uint64_t notify_sys_signal_wait(uint64_t signal, uint64_t wait, uint64_t bits, uint64_t mask,
                                uint64_t timeout, uint64_t a5, uint64_t rax);

/* Timer capabilities, interrupt capabilities, I/O ports: objects in event.c, irqcap.c, ioport.c. */
struct object *timercap_new(struct factory *factory, const struct notify_ref *ref, int *error);
void timercap_end(struct object *object, uint32_t serial);
int timercap_set(struct object *object, uint32_t serial, uint64_t at_ns, uint64_t period_ns);
struct object *irqcap_new(struct factory *factory, const struct notify_ref *ref, unsigned number,
                          unsigned flags, int *error);
void irqcap_end(struct object *object, uint32_t serial);
int irqcap_ack(struct object *object, uint32_t serial);
struct object *ioport_new(struct factory *factory, unsigned first, unsigned count, int *error);
void ioport_end(struct object *object, uint32_t serial);
int64_t ioport_access(struct object *object, uint32_t serial, unsigned port, unsigned bytes,
                      bool write, uint32_t value);

/* Words of memory: wait and wake, keyed by address space and address. word.c. */
uint64_t word_sys_wait(uint64_t address, uint64_t expected, uint64_t timeout, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t rax);
uint64_t word_sys_wake(uint64_t address, uint64_t count, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t rax);
