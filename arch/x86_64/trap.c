/* Trap: what an exception's frame says, in the generic kernel's words. */
#include "arch/arch.h"
#include "arch/x86_64/frame.h"
#include "arch/x86_64/io.h"
#include "lib/format.h"

/* Intel SDM 3A, table 6-1. */
static const char *const names[32] = {
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound exceeded",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection",
    "page fault",
    "reserved exception",
    "floating-point error",
    "misaligned access",
    "machine check",
    "vector floating-point error",
    "virtualization exception",
    "control protection exception",
    [28] = "hypervisor injection",
    "VMM communication",
    "security exception",
};

enum { NMI = 2, DOUBLE_FAULT = 8, INVALID_TSS = 10, GENERAL_PROTECTION = 13, PAGE_FAULT = 14 };

uintptr_t arch_frame_pc(const struct arch_frame *frame) {
    return frame->rip;
}

/* The error code of a page fault: Intel SDM 3A 4.7. */
static void decode_fault(const struct arch_frame *frame, struct arch_trap *trap) {
    trap->kind = ARCH_TRAP_FAULT;
    trap->present = (frame->error & 1u) != 0;
    trap->write = (frame->error & 2u) != 0;
    trap->user = (frame->error & 4u) != 0;
    trap->exec = (frame->error & 16u) != 0;
}

/* The error code that names a selector: Intel SDM 3A 6.13. */
static void decode_selector(const struct arch_frame *frame, struct arch_trap *trap,
                            const char *name) {
    static const char *const tables[4] = {"GDT", "IDT", "LDT", "IDT"};
    if (frame->error == 0)
        format_string(trap->name, sizeof trap->name, "%s, no selector", name);
    else
        format_string(trap->name, sizeof trap->name, "%s, selector 0x%x of the %s", name,
                      (unsigned)frame->error & 0xfff8u, tables[frame->error >> 1 & 3u]);
}

void arch_trap_decode(const struct arch_frame *frame, struct arch_trap *trap) {
    const char *name = frame->vector < 32 ? names[frame->vector] : NULL;
    *trap = (struct arch_trap){.kind = ARCH_TRAP_OTHER, .stack = frame->rsp, .address = cr2_read()};
    format_string(trap->name, sizeof trap->name, "%s", name != NULL ? name : "unknown exception");
    if (frame->vector == PAGE_FAULT)
        decode_fault(frame, trap);
    else if (frame->vector == DOUBLE_FAULT)
        trap->kind = ARCH_TRAP_DOUBLE;
    else if (frame->vector == NMI)
        trap->kind = ARCH_TRAP_URGENT;
    else if (frame->vector >= INVALID_TSS && frame->vector <= GENERAL_PROTECTION)
        decode_selector(frame, trap, name);
}

void arch_frame_print(const struct arch_frame *f, void (*print)(const char *fmt, ...)) {
    print("rip %016lx  cs %lx  rflags %lx  vector %lu  error %lx\n", f->rip, f->cs, f->rflags,
          f->vector, f->error);
    print("rsp %016lx  ss %lx  cr2 %016lx  cr3 %lx\n", f->rsp, f->ss, cr2_read(), cr3_read());
    print("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    print("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
    print("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
    print("r13 %016lx  r14 %016lx  r15 %016lx  cr0 %lx  cr4 %lx\n", f->r13, f->r14, f->r15,
          cr0_read(), cr4_read());
}
