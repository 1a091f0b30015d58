/* Trap: what the kernel does about exceptions of its own code. It repairs one kind, a first touch
 * of the demand-paged heap; every other is a bug here or in hardware, and is told as plainly as
 * possible. */
#include "arch/arch.h"
#include "kernel/core/cpu.h"
#include "kernel/core/panic.h"
#include "kernel/mem/vm.h"

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

void trap_handle(unsigned vector, struct arch_frame *frame) {
    struct arch_trap trap;
    (void)vector;
    arch_trap_decode(frame, &trap);
    switch (trap.kind) {
    case ARCH_TRAP_FAULT:
        if (vm_fault(trap.address, trap.write, trap.present, trap.exec))
            return;
        report_fault(frame, &trap);
    case ARCH_TRAP_URGENT:
        panic_stop_here(); /* does not return when another CPU's panic sent it */
        panic_frame(frame, "%s: nobody here asked for it", trap.name);
    case ARCH_TRAP_DOUBLE:
        panic_frame(frame, "%s%s", trap.name,
                    stack_overflowed(&trap) ? ": the stack has overflowed" : "");
    case ARCH_TRAP_OTHER:
        panic_frame(frame, "%s", trap.name);
    }
}
