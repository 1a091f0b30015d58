/* Sys: one stub for each system call of ggmk/abi.h, in the order of its list.
 *
 * The list there says which capability and rights each call needs, and what it returns: a result
 * >= 0, or a negative code of ggmk/error.h (gmk_strerror() has its sentence). Messages by ports have
 * stubs of their own in ipc.h, since they keep words in registers.
 *
 * Stubs are inline: a `mov` for each argument, and the instruction. */
#pragma once

#include "user/lib/syscall.h"

#include <stdatomic.h>

/* ---- Threads of control ---- */

SYSCALL_STUB sys_nop(void) {
    return syscall0(SYSCALL_NUMBER(GMK_SYS_NOP));
}
SYSCALL_STUB sys_yield(void) {
    return syscall0(SYSCALL_NUMBER(GMK_SYS_YIELD));
}
SYSCALL_STUB sys_time(void) {
    return syscall0(SYSCALL_NUMBER(GMK_SYS_TIME));
}
SYSCALL_STUB sys_tls(uint64_t fs_base) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_TLS), fs_base);
}
SYSCALL_STUB sys_word_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_WORD_WAIT), (uintptr_t)word, expected, timeout_ns);
}
SYSCALL_STUB sys_word_wake(const _Atomic uint32_t *word, uint32_t count) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_WORD_WAKE), (uintptr_t)word, count);
}

/* ---- Capabilities ---- */

SYSCALL_STUB sys_cap_check(gmk_handle_t handle) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_CAP_CHECK), handle);
}
SYSCALL_STUB sys_cap_grant(gmk_handle_t unit, gmk_handle_t handle, unsigned rights,
                           uint64_t badge) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_CAP_GRANT), unit, handle, rights, badge);
}
SYSCALL_STUB sys_cap_derive(gmk_handle_t handle, unsigned rights, uint64_t badge) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_CAP_DERIVE), handle, rights, badge);
}
SYSCALL_STUB sys_cap_revoke(gmk_handle_t handle) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_CAP_REVOKE), handle);
}
SYSCALL_STUB sys_cap_drop(gmk_handle_t handle) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_CAP_DROP), handle);
}
SYSCALL_STUB sys_cap_info(gmk_handle_t handle, gmk_cap_info_t *info) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_CAP_INFO), handle, (uintptr_t)info);
}
SYSCALL_STUB sys_cap_move(gmk_handle_t unit, gmk_handle_t handle) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_CAP_MOVE), unit, handle);
}

/* ---- Units ---- */

SYSCALL_STUB sys_unit_create(gmk_handle_t factory, const gmk_unit_args_t *args) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_UNIT_CREATE), factory, (uintptr_t)args);
}
SYSCALL_STUB sys_unit_ports(gmk_handle_t unit, gmk_handle_t fault_port,
                            gmk_handle_t personality_port) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_UNIT_PORTS), unit, fault_port, personality_port);
}
SYSCALL_STUB sys_unit_watch(gmk_handle_t unit, gmk_handle_t notify, uint64_t bits) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_UNIT_WATCH), unit, notify, bits);
}
SYSCALL_STUB sys_unit_kill(gmk_handle_t unit, int64_t status) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_UNIT_KILL), unit, (uint64_t)status);
}
SYSCALL_STUB sys_unit_info(gmk_handle_t unit, gmk_unit_info_t *info) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_UNIT_INFO), unit, (uintptr_t)info);
}

/* ---- Threads ---- */

SYSCALL_STUB sys_thread_create(gmk_handle_t unit, const gmk_thread_args_t *args) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_CREATE), unit, (uintptr_t)args);
}
SYSCALL_STUB sys_thread_start(gmk_handle_t thread) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_THREAD_START), thread);
}
SYSCALL_STUB sys_thread_suspend(gmk_handle_t thread) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_THREAD_SUSPEND), thread);
}
SYSCALL_STUB sys_thread_resume(gmk_handle_t thread) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_THREAD_RESUME), thread);
}
SYSCALL_STUB sys_thread_kill(gmk_handle_t thread, int64_t status) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_KILL), thread, (uint64_t)status);
}
SYSCALL_STUB sys_thread_regs_get(gmk_handle_t thread, gmk_regs_t *regs) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_REGS_GET), thread, (uintptr_t)regs);
}
SYSCALL_STUB sys_thread_regs_set(gmk_handle_t thread, const gmk_regs_t *regs) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_REGS_SET), thread, (uintptr_t)regs);
}
SYSCALL_STUB sys_thread_sched(gmk_handle_t thread, const gmk_sched_args_t *args) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_SCHED), thread, (uintptr_t)args);
}
SYSCALL_STUB sys_thread_info(gmk_handle_t thread, gmk_thread_info_t *info) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_THREAD_INFO), thread, (uintptr_t)info);
}
SYSCALL_STUB sys_thread_watch(gmk_handle_t thread, gmk_handle_t notify, uint64_t bits) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_THREAD_WATCH), thread, notify, bits);
}

/* ---- Ports: their calls are in ipc.h ---- */

SYSCALL_STUB sys_port_create(gmk_handle_t factory) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_PORT_CREATE), factory);
}
SYSCALL_STUB sys_port_bind(gmk_handle_t port, gmk_handle_t notify, uint64_t bits) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_PORT_BIND), port, notify, bits);
}

/* ---- Notifications and what signals them ---- */

SYSCALL_STUB sys_notify_create(gmk_handle_t factory) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_NOTIFY_CREATE), factory);
}
SYSCALL_STUB sys_notify_signal(gmk_handle_t notify, uint64_t bits) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_NOTIFY_SIGNAL), notify, bits);
}
SYSCALL_STUB sys_timer_create(gmk_handle_t factory, gmk_handle_t notify, uint64_t bits) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_TIMER_CREATE), factory, notify, bits);
}
SYSCALL_STUB sys_timer_set(gmk_handle_t timer, uint64_t at_ns, uint64_t period_ns) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_TIMER_SET), timer, at_ns, period_ns);
}
SYSCALL_STUB sys_irq_create(gmk_handle_t system, gmk_handle_t notify, uint64_t bits,
                            unsigned number, unsigned flags) {
    return syscall5(SYSCALL_NUMBER(GMK_SYS_IRQ_CREATE), system, notify, bits, number, flags);
}
SYSCALL_STUB sys_irq_ack(gmk_handle_t irq) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_IRQ_ACK), irq);
}
SYSCALL_STUB sys_ioport_create(gmk_handle_t system, unsigned first, unsigned count) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_IOPORT_CREATE), system, first, count);
}
SYSCALL_STUB sys_ioport_in(gmk_handle_t range, unsigned port, unsigned bytes) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_IOPORT_IN), range, port, bytes);
}
SYSCALL_STUB sys_ioport_out(gmk_handle_t range, unsigned port, unsigned bytes, uint32_t value) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_IOPORT_OUT), range, port, bytes, value);
}

/* ---- Memory. map, unmap, protect and clone may do only the first part: memory.h has them whole ---- */

SYSCALL_STUB sys_memory_create(gmk_handle_t factory, unsigned kind, uint64_t size) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_MEMORY_CREATE), factory, kind, size, 0);
}
/* One step of making a wired or contiguous object; `begun`, 0: a new one. Returns it; *done tells how much
 * of `size` is there. Until all is, it cannot be mapped. memory_wired() does all steps. */
SYSCALL_STUB sys_memory_make(gmk_handle_t factory, unsigned kind, uint64_t size, gmk_handle_t begun,
                             uint64_t *done) {
    uint64_t rax = SYSCALL_NUMBER(GMK_SYS_MEMORY_CREATE), rdi = factory, rsi = kind;
    register uint64_t r10 __asm__("r10") = begun;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(size), "+r"(r10)
                     :
                     : "r8", "r9", "rcx", "r11", "cc", "memory");
    *done = rdi;
    return (int64_t)rax;
}
/* One step: shares a part of the range with `clone`, 0: with a new object. Returns the clone; *done tells
 * how much of `size` is shared so far. Until all is, the clone cannot be mapped. */
SYSCALL_STUB sys_memory_clone(gmk_handle_t memory, gmk_handle_t factory, uint64_t offset,
                              uint64_t size, gmk_handle_t clone, uint64_t *done) {
    uint64_t rax = SYSCALL_NUMBER(GMK_SYS_MEMORY_CLONE), rdi = memory, rsi = factory;
    register uint64_t r10 __asm__("r10") = size;
    register uint64_t r8 __asm__("r8") = clone;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(offset), "+r"(r10), "+r"(r8)
                     :
                     : "r9", "rcx", "r11", "cc", "memory");
    *done = rdi;
    return (int64_t)rax;
}
SYSCALL_STUB sys_memory_map(gmk_handle_t unit, gmk_handle_t memory, uint64_t address,
                            uint64_t offset, uint64_t size, unsigned prot) {
    return syscall6(SYSCALL_NUMBER(GMK_SYS_MEMORY_MAP), unit, memory, address, offset, size, prot);
}
SYSCALL_STUB sys_memory_unmap(gmk_handle_t unit, uint64_t address, uint64_t size) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_MEMORY_UNMAP), unit, address, size);
}
SYSCALL_STUB sys_memory_protect(gmk_handle_t unit, uint64_t address, uint64_t size, unsigned prot) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_MEMORY_PROTECT), unit, address, size, prot);
}
SYSCALL_STUB sys_memory_info(gmk_handle_t memory, gmk_memory_info_t *info) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_MEMORY_INFO), memory, (uintptr_t)info);
}
SYSCALL_STUB sys_memory_physical(gmk_handle_t system, gmk_handle_t factory, uint64_t address,
                                 uint64_t size) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_MEMORY_PHYSICAL), system, factory, address, size);
}

/* ---- Channels ---- */

SYSCALL_STUB sys_chan_create(gmk_handle_t registry, gmk_handle_t factory,
                             const gmk_chan_args_t *args) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_CHAN_CREATE), registry, factory, (uintptr_t)args);
}
SYSCALL_STUB sys_chan_open(gmk_handle_t registry, gmk_handle_t factory, const char *name,
                           size_t bytes, unsigned rights) {
    return syscall5(SYSCALL_NUMBER(GMK_SYS_CHAN_OPEN), registry, factory, (uintptr_t)name, bytes,
                    rights);
}
SYSCALL_STUB sys_chan_send(gmk_handle_t channel, const gmk_chan_msg_t *msg, uint64_t timeout_ns) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_CHAN_SEND), channel, (uintptr_t)msg, timeout_ns);
}
SYSCALL_STUB sys_chan_recv(gmk_handle_t channel, gmk_chan_msg_t *msg, uint64_t timeout_ns) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_CHAN_RECV), channel, (uintptr_t)msg, timeout_ns);
}
SYSCALL_STUB sys_chan_close(gmk_handle_t channel) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_CHAN_CLOSE), channel);
}
SYSCALL_STUB sys_chan_bind(gmk_handle_t channel, gmk_handle_t notify, uint64_t bits) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_CHAN_BIND), channel, notify, bits);
}
SYSCALL_STUB sys_registry_create(gmk_handle_t registry, gmk_handle_t factory, const char *prefix,
                                 size_t bytes) {
    return syscall4(SYSCALL_NUMBER(GMK_SYS_REGISTRY_CREATE), registry, factory, (uintptr_t)prefix,
                    bytes);
}

/* ---- The machine ---- */

SYSCALL_STUB sys_factory_split(gmk_handle_t factory, uint64_t frames, uint64_t objects) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_FACTORY_SPLIT), factory, frames, objects);
}
SYSCALL_STUB sys_system_info(gmk_handle_t system, gmk_system_info_t *info) {
    return syscall2(SYSCALL_NUMBER(GMK_SYS_SYSTEM_INFO), system, (uintptr_t)info);
}
SYSCALL_STUB sys_system_random(gmk_handle_t system) {
    return syscall1(SYSCALL_NUMBER(GMK_SYS_SYSTEM_RANDOM), system);
}
SYSCALL_STUB sys_debug_print(gmk_handle_t system, const char *text, size_t bytes) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_DEBUG_PRINT), system, (uintptr_t)text, bytes);
}

/* ---- Calls that return two results, or do not return ---- */

/* Bits of `mask` that were set, in *bits, and GMK_OK; or an error. */
SYSCALL_STUB sys_notify_wait(gmk_handle_t notify, uint64_t mask, uint64_t timeout_ns,
                             uint64_t *bits) {
    uint64_t rax = SYSCALL_NUMBER(GMK_SYS_NOTIFY_WAIT), rdi = notify;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(rdi), "+S"(mask), "+d"(timeout_ns)
                     :
                     : "r10", "r8", "r9", "rcx", "r11", "cc", "memory");
    *bits = rdi;
    return (int64_t)rax;
}

/* Signals one, then waits on the other. */
SYSCALL_STUB sys_notify_signal_wait(gmk_handle_t signal, gmk_handle_t wait, uint64_t set,
                                    uint64_t mask, uint64_t timeout_ns, uint64_t *bits) {
    uint64_t rax = SYSCALL_NUMBER(GMK_SYS_NOTIFY_SIGNAL_WAIT), rdi = signal, rsi = wait;
    register uint64_t r10 __asm__("r10") = mask;
    register uint64_t r8 __asm__("r8") = timeout_ns;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(set), "+r"(r10), "+r"(r8)
                     :
                     : "r9", "rcx", "r11", "cc", "memory");
    *bits = rdi;
    return (int64_t)rax;
}

/* Ends the calling thread; with `whole`, its unit. */
static inline _Noreturn void sys_exit(int64_t status, bool whole) {
    (void)syscall2(SYSCALL_NUMBER(GMK_SYS_EXIT), (uint64_t)status, whole);
    __builtin_unreachable();
}

/* Turns the machine off, or on again. Returns only an error. */
SYSCALL_STUB sys_system_power(gmk_handle_t system, bool restart, int status) {
    return syscall3(SYSCALL_NUMBER(GMK_SYS_SYSTEM_POWER), system, restart, (uint64_t)status);
}
