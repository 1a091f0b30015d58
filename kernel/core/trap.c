/* Trap: what becomes of exceptions.
 *
 * Of user code: a page fault is resolved by its address space or, as every other, goes to the unit's fault
 * port (kernel/sys/fault.c). Of the kernel: two kinds are repaired, a first touch of the demand-paged
 * heap and a copy from or to user memory; every other is a bug here or in hardware, and is told as
 * plainly as possible. */
#include "arch/arch.h"
#include "ggmk/error.h"
#include "kernel/core/cpu.h"
#include "kernel/core/panic.h"
#include "kernel/mem/space.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/sys/sys.h"

/* A few pushes past the guard page's edge still name the guard page. */
#define STACK_NEAR 64u

static bool stack_overflowed(const struct arch_trap *trap) {
    return vm_is_guard(trap->address) || vm_is_guard(trap->stack) ||
           vm_is_guard(trap->stack - STACK_NEAR);
}

static const char *fault_place(const struct arch_trap *trap) {
    if (trap->address < PAGE_SIZE)
        return ": a NULL pointer";
    if (vm_is_guard(trap->address))
        return ": the guard page of a stack, which has overflowed";
    return "";
}

_Noreturn static void report_fault(const struct arch_frame *frame, const struct arch_trap *trap) {
    panic_frame(frame, "page fault: %s %s%p, %s%s",
                trap->exec    ? "executing"
                : trap->write ? "writing"
                              : "reading",
                trap->user ? "from user mode " : "", (void *)trap->address,
                trap->present ? "which its page does not allow" : "which is not mapped",
                fault_place(trap));
}

/* The space of the current thread gets what it lacks; GMK_OK: try again. */
static int resolve(const struct arch_trap *trap) {
    struct space *space = cpu_this()->current->space;
    return space != NULL ? space_fault(space, trap->address, trap->write, trap->exec) : GMK_EFAULT;
}

/* True: user code goes on, or its thread is marked to end. */
static bool handle_user(struct arch_frame *frame, struct arch_trap *trap) {
    trap->status = GMK_EFAULT;
    if (trap->kind == ARCH_TRAP_FAULT && trap->user && (trap->status = resolve(trap)) == GMK_OK)
        return true;
    if (arch_fault_kind(frame, trap) == 0)
        return false;
    fault_user(frame, trap);
    return true;
}

/* True: the kernel's code goes on. A copy's page is had first; the copy fails when it cannot be. */
static bool handle_kernel(struct arch_frame *frame, const struct arch_trap *trap) {
    if (arch_copy_active(frame))
        return (trap->kind == ARCH_TRAP_FAULT && resolve(trap) == GMK_OK) || arch_copy_fixup(frame);
    return trap->kind == ARCH_TRAP_FAULT &&
           vm_fault(trap->address, trap->write, trap->present, trap->exec);
}

void trap_handle(unsigned vector, struct arch_frame *frame) {
    struct arch_trap trap;
    char name[ARCH_TRAP_NAME_MAX];
    (void)vector;
    arch_trap_decode(frame, &trap);
    if (arch_frame_is_user(frame) ? handle_user(frame, &trap) : handle_kernel(frame, &trap))
        return;
    arch_trap_name(frame, name, sizeof name);
    switch (trap.kind) {
    case ARCH_TRAP_FAULT:
        report_fault(frame, &trap);
    case ARCH_TRAP_URGENT:
        panic_stop_here(); /* does not return when another CPU's panic sent it */
        panic_frame(frame, "%s: nobody here asked for it", name);
    case ARCH_TRAP_DOUBLE:
        panic_frame(frame, "%s%s", name,
                    stack_overflowed(&trap) ? ": the stack has overflowed" : "");
    case ARCH_TRAP_OTHER:
        panic_frame(frame, "%s", name);
    }
}
