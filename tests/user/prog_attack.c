/* Attacker: does one forbidden thing, named by its argument; what comes of it is watched from outside
 * (attack_faults.c). Coming back from the attack at all is status 77: the machine let it pass. */
#include "user/lib/start.h"
#include "user/lib/text.h"

#include <string.h>

#define PASSED 77

static uint64_t target; /* second argument: an address */

static void read_target(void) {
    (void)*(volatile char *)target; // NOLINT(performance-no-int-to-ptr)
}
static void write_target(void) {
    *(volatile char *)target = 1; // NOLINT(performance-no-int-to-ptr)
}
static void run_target(void) {
    ((void (*)(void))target)(); // NOLINT(performance-no-int-to-ptr)
}
static void write_code(void) {
    *(volatile char *)(uintptr_t)write_code = 1; // NOLINT(performance-no-int-to-ptr)
}
static void run_data(void) {
    static char code[1] = {(char)0xc3};
    ((void (*)(void))(uintptr_t)code)();
}
static void run_stack(void) {
    volatile char code[16] = {(char)0xc3};
    ((void (*)(void))(uintptr_t)code)();
}

/* One instruction each. What follows a refused one never runs. */
#define INSTRUCTION(name, text, ...)                           \
    static void name(void) {                                   \
        __asm__ volatile(text ::__VA_ARGS__ : "memory", "cc"); \
    }
INSTRUCTION(do_cli, "cli")
INSTRUCTION(do_sti, "sti")
INSTRUCTION(do_hlt, "hlt")
INSTRUCTION(do_in, "inb $0x60, %%al", "a"(0))
INSTRUCTION(do_out, "outb %%al, $0xf4", "a"(0x10))
INSTRUCTION(do_cr0, "mov %%cr0, %0", "r"(0ull))
INSTRUCTION(do_cr3, "mov %0, %%cr3", "r"(0ull))
INSTRUCTION(do_cr4, "mov %0, %%cr4", "r"(0ull))
INSTRUCTION(do_dr7, "mov %0, %%dr7", "r"(0x400ull))
INSTRUCTION(do_rdmsr, "rdmsr", "c"(0xc0000082), "a"(0), "d"(0))
INSTRUCTION(do_wrmsr, "wrmsr", "c"(0xc0000082), "a"(0), "d"(0))
INSTRUCTION(do_invlpg, "invlpg (%0)", "r"(0ull))
INSTRUCTION(do_clts, "clts")
INSTRUCTION(do_swapgs, "swapgs")
INSTRUCTION(do_wbinvd, "wbinvd")
INSTRUCTION(do_lgdt, "lgdt (%%rsp)", "a"(0))
INSTRUCTION(do_lidt, "lidt (%%rsp)", "a"(0))
INSTRUCTION(do_ltr, "ltr %w0", "r"(0x28))
INSTRUCTION(do_wrgsbase, "wrgsbase %0", "r"(0ull))
INSTRUCTION(do_wrfsbase, "wrfsbase %0", "r"(0ull))
INSTRUCTION(do_sysret, "sysretq", "c"(0ull))
INSTRUCTION(do_int_page_fault, "int $14", "a"(0))
INSTRUCTION(do_int_timer, "int $0xf8", "a"(0))
INSTRUCTION(do_int_double_fault, "int $8", "a"(0))
INSTRUCTION(do_int_nmi, "int $2", "a"(0))
INSTRUCTION(do_int_128, "int $0x80", "a"(0))
INSTRUCTION(do_int3, "int3", "a"(0))
INSTRUCTION(do_ud2, "ud2", "a"(0))
INSTRUCTION(do_divide, "xor %%ecx, %%ecx; div %%ecx", "a"(1), "d"(0), "c"(0))
INSTRUCTION(do_fpu, "fld1", "a"(0))
INSTRUCTION(do_sse, "movaps %%xmm0, %%xmm1", "a"(0))
INSTRUCTION(do_selector, "mov %w0, %%ss", "r"(0x10))
INSTRUCTION(do_far_return, "pushq $0x08; pushq $0; lretq", "a"(0))
INSTRUCTION(do_iret, "pushq $0x10; pushq %%rsp; pushfq; pushq $0x08; pushq $0; iretq", "a"(0))
INSTRUCTION(do_jump_hole, "movabs $0x800000000000, %%rax; jmp *%%rax", "a"(0))
INSTRUCTION(do_push_hole, "movabs $0x800000000008, %%rsp; push %%rax", "a"(0))
INSTRUCTION(do_step, "pushfq; orq $0x100, (%%rsp); popfq; nop; nop", "a"(0))

/* A system call with an impossible stack: the kernel does not use it, so it comes back; then the first
 * use of the stack faults. */
static void do_syscall_hole(void) {
    __asm__ volatile(
        "movabs $0x800000000008, %%rsp; mov %0, %%eax; syscall; push %%rax" ::"i"(GMK_SYS_BASE)
        : "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r8", "r9", "r10", "memory");
}

struct attack {
    const char *name;
    void (*run)(void);
};
#define ATTACK(name) \
    { #name, do_##name }
static const struct attack attacks[] = {
    {"read", read_target},
    {"write", write_target},
    {"run", run_target},
    {"write_code", write_code},
    {"run_data", run_data},
    {"run_stack", run_stack},
    ATTACK(cli),
    ATTACK(sti),
    ATTACK(hlt),
    ATTACK(in),
    ATTACK(out),
    ATTACK(cr0),
    ATTACK(cr3),
    ATTACK(cr4),
    ATTACK(dr7),
    ATTACK(rdmsr),
    ATTACK(wrmsr),
    ATTACK(invlpg),
    ATTACK(clts),
    ATTACK(swapgs),
    ATTACK(wbinvd),
    ATTACK(lgdt),
    ATTACK(lidt),
    ATTACK(ltr),
    ATTACK(wrgsbase),
    ATTACK(wrfsbase),
    ATTACK(sysret),
    ATTACK(int_page_fault),
    ATTACK(int_timer),
    ATTACK(int_double_fault),
    ATTACK(int_nmi),
    ATTACK(int_128),
    ATTACK(int3),
    ATTACK(ud2),
    ATTACK(divide),
    ATTACK(fpu),
    ATTACK(sse),
    ATTACK(selector),
    ATTACK(far_return),
    ATTACK(iret),
    ATTACK(jump_hole),
    ATTACK(push_hole),
    ATTACK(step),
    ATTACK(syscall_hole),
};

int main(int argc, char **argv) {
    if (argc > 2 && !text_number(argv[2], &target))
        return 1;
    for (size_t i = 0; argc > 1 && i < sizeof attacks / sizeof attacks[0]; i++)
        if (strcmp(attacks[i].name, argv[1]) == 0) {
            attacks[i].run();
            return PASSED;
        }
    return 1;
}
