/* CPU: descriptor tables, vectors, and the stacks on which the worst is reported.
 *
 * 64-bit mode hardly uses segments: the tables hold what privilege changes and interrupts look up.
 * The vectors are one table for all CPUs; the task state with its stacks is each CPU's own.
 * Formats: Intel SDM 3A 3.4.5, 6.14, 7.7. */
#include "arch/x86_64/cpu.h"

#include "arch/arch.h"
#include "arch/x86_64/io.h"

#include "ggmk/error.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/vm.h"

#define VECTORS            256u
#define GATE_INTERRUPT     0x8eu /* present, IF off on entry */
#define GATE_USER          0x60u /* user code may call it; without, its `int n` is a #GP */
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

struct gate {
    uint16_t offset0, selector;
    uint8_t ist, type;
    uint16_t offset1;
    uint32_t offset2, reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern const char trap_stubs[][16]; /* trap_entry.S */

static struct gate idt[VECTORS];
static struct arch_cpu_data boot_data;
/* The boot CPU's, since it needs them before there is memory to allocate. */
static _Alignas(16) char boot_stacks[IST_STACKS][IST_STACK_SIZE];

static void set_gate(unsigned vector, unsigned ist) {
    uint64_t stub = (uint64_t)trap_stubs[vector];
    idt[vector] = (struct gate){
        .offset0 = (uint16_t)stub,
        .selector = SELECTOR_KERNEL_CODE,
        .ist = (uint8_t)ist,
        .type = GATE_INTERRUPT,
        .offset1 = (uint16_t)(stub >> 16),
        .offset2 = (uint32_t)(stub >> 32),
    };
}

static void fill_idt(void) {
    for (unsigned vector = 0; vector < VECTORS; vector++)
        set_gate(vector, 0);
    set_gate(2, IST_NMI + 1);
    set_gate(8, IST_DOUBLE_FAULT + 1);
    set_gate(18, IST_MACHINE_CHECK + 1);
    set_gate(1, IST_DEBUG + 1);
    idt[3].type |= GATE_USER; /* int3: what debuggers put into code */
}

/* The word above each stack names the CPU (trap_entry.S, trap_paranoid). */
static uint64_t stack_top(char *stack, struct cpu *cpu) {
    uint64_t *top = (uint64_t *)(void *)(stack + IST_STACK_SIZE - 16);
    *top = (uint64_t)cpu;
    return (uint64_t)top;
}

static void fill_tables(struct arch_cpu_data *data) {
    uint64_t tss = (uint64_t)&data->tss, limit = sizeof data->tss - 1;
    data->gdt[SELECTOR_KERNEL_CODE / 8] = 0x00af9b000000ffffull;
    data->gdt[SELECTOR_KERNEL_DATA / 8] = 0x00cf93000000ffffull;
    data->gdt[SELECTOR_USER_DATA / 8] = 0x00cff3000000ffffull;
    data->gdt[SELECTOR_USER_CODE / 8] = 0x00affb000000ffffull;
    data->gdt[SELECTOR_TSS / 8] =
        limit | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
    data->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
    data->tss.io_map = sizeof data->tss; /* none */
}

static void give_stacks(struct cpu *cpu, struct arch_cpu_data *data, char *stacks[IST_STACKS]) {
    for (unsigned i = 0; i < IST_STACKS; i++)
        data->tss.ist[i] = stack_top(stacks[i], cpu);
    fill_tables(data);
    cpu->arch = data;
}

int arch_cpu_prepare(struct cpu *cpu) {
    _Static_assert(sizeof(struct arch_cpu_data) <= PAGE_SIZE, "one frame");
    paddr_t frame = frame_alloc_zeroed(FRAME_OTHER);
    if (frame == 0)
        return GMK_ENOMEM;
    char *stacks[IST_STACKS];
    for (unsigned i = 0; i < IST_STACKS; i++) {
        stacks[i] = vm_stack_alloc(IST_STACK_SIZE);
        if (stacks[i] != NULL)
            continue;
        while (i-- > 0)
            vm_stack_free(stacks[i], IST_STACK_SIZE);
        frame_free(frame);
        return GMK_ENOMEM;
    }
    give_stacks(cpu, arch_phys(frame), stacks);
    return GMK_OK;
}

static void load_tables(struct arch_cpu_data *data) {
    struct table_pointer gdtr = {sizeof data->gdt - 1, (uint64_t)data->gdt};
    struct table_pointer idtr = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %q2\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1: mov %3, %%ds\n\t"
                     "mov %3, %%es\n\t"
                     "mov %3, %%ss\n\t"
                     "lidt %1\n\t"
                     "ltr %w4"
                     :
                     : "m"(gdtr), "m"(idtr), "r"((uint64_t)SELECTOR_KERNEL_CODE),
                       "r"((uint32_t)SELECTOR_KERNEL_DATA), "r"((uint16_t)SELECTOR_TSS)
                     : "rax", "memory");
}

void arch_cpu_init(struct cpu *cpu) {
    if (cpu->index == 0) {
        char *stacks[IST_STACKS] = {boot_stacks[0], boot_stacks[1], boot_stacks[2], boot_stacks[3]};
        give_stacks(cpu, &boot_data, stacks);
        fill_idt();
    }
    /* Loading a null selector clears the base on some CPUs, so the base comes after it. */
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
    msr_write(MSR_GS_BASE, (uint64_t)cpu);
    msr_write(MSR_KERNEL_GS_BASE, 0);
    load_tables(cpu->arch);
}
