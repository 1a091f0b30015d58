/* Handlers: the calls that go through sys_checked(), and the short ones of sys_system.c. */
#pragma once

#include "kernel/sys/sys.h"

/* X(NAME of GMK_SYSCALL_LIST, handler) */
#define SYS_CHECKED_LIST(X)                 \
    X(EXIT, sys_exit)                       \
    X(DEBUG_PRINT, sys_debug_print)         \
    X(CAP_CHECK, sys_cap_check)             \
    X(CAP_GRANT, sys_cap_grant)             \
    X(CAP_DERIVE, sys_cap_derive)           \
    X(CAP_REVOKE, sys_cap_revoke)           \
    X(CAP_DROP, sys_cap_drop)               \
    X(CAP_INFO, sys_cap_info)               \
    X(CAP_MOVE, sys_cap_move)               \
    X(UNIT_CREATE, sys_unit_create)         \
    X(UNIT_PORTS, sys_unit_ports)           \
    X(UNIT_WATCH, sys_unit_watch)           \
    X(UNIT_KILL, sys_unit_kill)             \
    X(UNIT_INFO, sys_unit_info)             \
    X(THREAD_CREATE, sys_thread_create)     \
    X(THREAD_START, sys_thread_start)       \
    X(THREAD_SUSPEND, sys_thread_suspend)   \
    X(THREAD_RESUME, sys_thread_resume)     \
    X(THREAD_KILL, sys_thread_kill)         \
    X(THREAD_REGS_GET, sys_thread_regs_get) \
    X(THREAD_REGS_SET, sys_thread_regs_set) \
    X(THREAD_SCHED, sys_thread_sched)       \
    X(THREAD_INFO, sys_thread_info)         \
    X(THREAD_WATCH, sys_thread_watch)       \
    X(PORT_CREATE, sys_port_create)         \
    X(PORT_BIND, sys_port_bind)             \
    X(NOTIFY_CREATE, sys_notify_create)     \
    X(TIMER_CREATE, sys_timer_create)       \
    X(TIMER_SET, sys_timer_set)             \
    X(IRQ_CREATE, sys_irq_create)           \
    X(IRQ_ACK, sys_irq_ack)                 \
    X(IOPORT_CREATE, sys_ioport_create)     \
    X(IOPORT_IN, sys_ioport_in)             \
    X(IOPORT_OUT, sys_ioport_out)           \
    X(MEMORY_CREATE, sys_memory_create)     \
    X(MEMORY_CLONE, sys_memory_clone)       \
    X(MEMORY_MAP, sys_memory_map)           \
    X(MEMORY_UNMAP, sys_memory_unmap)       \
    X(MEMORY_PROTECT, sys_memory_protect)   \
    X(MEMORY_INFO, sys_memory_info)         \
    X(MEMORY_PHYSICAL, sys_memory_physical) \
    X(CHAN_CREATE, sys_chan_create)         \
    X(CHAN_OPEN, sys_chan_open)             \
    X(CHAN_CLOSE, sys_chan_close)           \
    X(CHAN_BIND, sys_chan_bind)             \
    X(REGISTRY_CREATE, sys_registry_create) \
    X(FACTORY_SPLIT, sys_factory_split)     \
    X(SYSTEM_INFO, sys_system_info)         \
    X(SYSTEM_POWER, sys_system_power)       \
    X(SYSTEM_RANDOM, sys_system_random)

/* X(NAME, entry): called by the entry code itself; they check their capabilities by cap_get(). */
#define SYS_ENTRY_LIST(X)                         \
    X(NOP, sys_entry_nop)                         \
    X(YIELD, sched_sys_yield)                     \
    X(TIME, sys_entry_time)                       \
    X(TLS, sys_entry_tls)                         \
    X(WORD_WAIT, word_sys_wait)                   \
    X(WORD_WAKE, word_sys_wake)                   \
    X(IPC_SEND, ipc_send)                         \
    X(IPC_RECV, ipc_recv)                         \
    X(IPC_CALL, ipc_call)                         \
    X(IPC_REPLY, ipc_reply)                       \
    X(IPC_REPLY_RECV, ipc_reply_recv)             \
    X(IPC_ACCEPT, ipc_accept)                     \
    X(NOTIFY_SIGNAL, notify_sys_signal)           \
    X(NOTIFY_WAIT, notify_sys_wait)               \
    X(NOTIFY_SIGNAL_WAIT, notify_sys_signal_wait) \
    X(CHAN_SEND, channel_sys_send)                \
    X(CHAN_RECV, channel_sys_recv)

#define SYS_HANDLER_DECLARE(name, handler) int64_t handler(struct sys_call *call);
SYS_CHECKED_LIST(SYS_HANDLER_DECLARE)
#undef SYS_HANDLER_DECLARE

uint64_t sys_entry_nop(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                       uint64_t rax);
uint64_t sys_entry_time(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                        uint64_t a5, uint64_t rax);
uint64_t sys_entry_tls(uint64_t base, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t rax);

/* A handle that a handler takes itself, with the rights that it asks for: a reference to the
 * object. 0 gives none. GMK_EHANDLE, GMK_ECAPTYPE, GMK_ERIGHTS. */
struct notify_ref sys_notify_ref(const struct cap_view *view, uint64_t bits);
/* The first capability of a new object goes to the caller: its handle. When there is no room for it, the
 * object ends again. */
int64_t sys_give(struct sys_call *call, struct object *object);
