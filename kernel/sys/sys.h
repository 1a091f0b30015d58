/* Sys: from a system call's number to the code that does it.
 *
 * The entry code calls sys_entries[n] with a0 .. a5 and the whole rax. Short paths (IPC, notifications,
 * words, yield) are such functions themselves. All others share sys_checked(): it looks at the row of
 * GMK_SYSCALL_LIST, checks the capabilities of a0 and a1, and calls the handler with what it found. */
#pragma once

#include "kernel/cap/unit.h"
#include "kernel/sched/thread.h"

struct sys_call {
    struct thread *thread; /* the caller */
    struct unit *unit;
    uint64_t a[6];
    struct cap_view cap[2]; /* of a0 and a1, where the call takes them */
    uint64_t out;           /* goes back in rdi */
};

/* IF off, no lock held. Returns the caller's rax, or SYS_AGAIN: it has done a part that takes long (memory
 * for the next object of a kind), interrupts are let in, and the call, of at most three arguments, is
 * made again. */
typedef int64_t (*sys_fn)(struct sys_call *call);
#define SYS_AGAIN INT64_MIN
typedef uint64_t (*sys_entry_fn)(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                 uint64_t a5, uint64_t rax);

extern const sys_entry_fn sys_entries[GMK_SYSCALLS_MAX]; /* sys_table.c; every entry is valid */
uint64_t sys_checked(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                     uint64_t rax);
const char *sys_name(unsigned number); /* "IPC_CALL"; NULL */
/* The machine, as an object: what SYSTEM capabilities name. It never ends. */
struct object *system_root(void);

/* A rax that is no native call; the frame holds all registers. Writes the result into it, or waits for
 * the personality's reply. Called by the entry code, IF off. */
void sys_foreign(struct arch_frame *frame);

/* An exception of user code that the kernel cannot resolve: to the fault port, or the end of the unit.
 * kernel/sys/fault.c; by trap_handle(), IF off. */
void fault_user(struct arch_frame *frame, const struct arch_trap *trap);
/* The reply to a kernel call came (fault, foreign): acts on the thread's frame. By the IPC path that
 * delivers it, with the port's lock held: short, takes no lock. False: kill the thread. */
bool fault_reply(struct thread *thread, uint32_t tag, const uint64_t words[4],
                 const gmk_msg_t *msg);

/* unit->fault_port or unit->personality_port, as it is now. IF off, no lock of LOCK_UNIT or later held. */
struct port_ref unit_port(struct unit *unit, const struct port_ref *which);

/* Copying structures in and out: one access, GMK_EFAULT. */
int sys_copy_in(void *to, uint64_t user, size_t size);
int sys_copy_out(uint64_t user, const void *from, size_t size);

/* init: makes the first unit from the archive and starts it. False: there is none, told in the log. */
bool init_start(void);
/* A unit is DEAD (by the reaper, task context): says so if it was init, and ends the machine if that is
 * what the command line wants. */
void init_ended(const struct unit *unit);
