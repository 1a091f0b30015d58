/* Trap: what an exception's frame says, in the generic kernel's words. */
#include "arch/arch.h"
#include "arch/x86_64/frame.h"
#include "arch/x86_64/io.h"
#include "ggmk/abi.h"
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
    trap->kind = (frame->error & 8u) == 0 ? ARCH_TRAP_FAULT : ARCH_TRAP_OTHER;
    trap->present = (frame->error & 1u) != 0;
    trap->write = (frame->error & 2u) != 0;
    trap->user = (frame->error & 4u) != 0;
    trap->exec = (frame->error & 16u) != 0;
}

void arch_trap_decode(const struct arch_frame *frame, struct arch_trap *trap) {
    *trap = (struct arch_trap){.kind = ARCH_TRAP_OTHER, .stack = frame->rsp, .address = cr2_read()};
    if (frame->vector == PAGE_FAULT)
        decode_fault(frame, trap);
    else if (frame->vector == DOUBLE_FAULT)
        trap->kind = ARCH_TRAP_DOUBLE;
    else if (frame->vector == NMI)
        trap->kind = ARCH_TRAP_URGENT;
}

/* The error code that names a selector: Intel SDM 3A 6.13. */
static void name_selector(const struct arch_frame *frame, char *out, size_t size) {
    static const char *const tables[4] = {"GDT", "IDT", "LDT", "IDT"};
    if (frame->error == 0)
        format_string(out, size, "%s, no selector", names[frame->vector]);
    else
        format_string(out, size, "%s, selector 0x%x of the %s", names[frame->vector],
                      (unsigned)frame->error & 0xfff8u, tables[frame->error >> 1 & 3u]);
}

void arch_trap_name(const struct arch_frame *frame, char *out, size_t size) {
    const char *name = frame->vector < 32 ? names[frame->vector] : NULL;
    if (frame->vector >= INVALID_TSS && frame->vector <= GENERAL_PROTECTION)
        name_selector(frame, out, size);
    else
        format_string(out, size, "%s", name != NULL ? name : "unknown exception");
}

/* By vector; 0: no fault of user code, whatever it does. */
static const uint8_t fault_kinds[32] = {
    [0] = GMK_FAULT_DIVIDE,      [1] = GMK_FAULT_DEBUG,       [3] = GMK_FAULT_DEBUG,
    [4] = GMK_FAULT_PROTECTION,  [5] = GMK_FAULT_PROTECTION,  [6] = GMK_FAULT_INSTRUCTION,
    [7] = GMK_FAULT_FPU,         [10] = GMK_FAULT_PROTECTION, [11] = GMK_FAULT_PROTECTION,
    [12] = GMK_FAULT_PROTECTION, [13] = GMK_FAULT_PROTECTION, [16] = GMK_FAULT_MATH,
    [17] = GMK_FAULT_ALIGN,      [19] = GMK_FAULT_MATH,       [21] = GMK_FAULT_PROTECTION,
};

unsigned arch_fault_kind(const struct arch_frame *frame, const struct arch_trap *trap) {
    if (frame->vector != PAGE_FAULT)
        return frame->vector < 32 ? fault_kinds[frame->vector] : 0;
    if (trap->kind != ARCH_TRAP_FAULT)
        return 0;    /* the page tables are damaged */
    if (!trap->user) /* the CPU itself accessed something for an instruction that it then refused */
        return GMK_FAULT_PROTECTION;
    return trap->exec ? GMK_FAULT_EXEC : trap->write ? GMK_FAULT_WRITE : GMK_FAULT_READ;
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
