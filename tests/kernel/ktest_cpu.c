/* Test of cpu: every CPU's block, tables, protections, and registers across exceptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"

#define MSR_EFER 0xc0000080u
#define EFER_NXE 0x800u
#define CR0_WP   0x10000u

extern char boot_stack_guard[];

/* What each CPU saw of itself; compared on the thread that tests. */
static struct seen {
    struct cpu *self;
    uint64_t cr0, cr4, efer;
    uint16_t task, code;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdt, idt;
} seen[CPUS_MAX];

static void look(void *arg) {
    (void)arg;
    struct cpu *cpu = cpu_this();
    struct seen *s = &seen[cpu->index];
    s->self = cpu->self;
    s->cr0 = cr0_read();
    s->cr4 = cr4_read();
    s->efer = msr_read(MSR_EFER);
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(s->gdt), "=m"(s->idt));
    __asm__ volatile("str %0; mov %%cs, %1" : "=r"(s->task), "=r"(s->code));
}

static int look_everywhere(void **state) {
    (void)state;
    memset(seen, 0, sizeof seen);
    bool irq = arch_irq_disable();
    look(NULL);
    arch_irq_restore(irq);
    ipi_call_others(look, NULL);
    return 0;
}

static void every_cpu_finds_its_own_block(void **state) {
    (void)state;
    for (unsigned i = 0; i < cpu_count; i++) {
        assert_ptr_equal(seen[i].self, cpus[i]);
        assert_int_equal(cpus[i]->index, i);
    }
}

static void every_cpu_has_the_protections_on(void **state) {
    (void)state;
    for (unsigned i = 0; i < cpu_count; i++) {
        assert_true(seen[i].cr0 & CR0_WP);
        assert_true(seen[i].efer & EFER_NXE);
        assert_int_equal(seen[i].cr4, features_cr4(&cpu_features));
    }
}

static void tables_are_each_cpus_own_but_for_the_vectors(void **state) {
    (void)state;
    for (unsigned i = 0; i < cpu_count; i++) {
        assert_int_equal(seen[i].code, SELECTOR_KERNEL_CODE);
        assert_int_equal(seen[i].task, SELECTOR_TSS);
        assert_int_equal(seen[i].idt.base, seen[0].idt.base);
        assert_int_equal(seen[i].idt.limit, 256 * 16 - 1);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(seen[i].gdt.base, seen[j].gdt.base);
    }
}

/* The task state's address is spread over its descriptor (Intel SDM 3A, figure 7-4). */
static const uint64_t *interrupt_stacks(unsigned cpu) {
    const uint64_t *entry = (const uint64_t *)(seen[cpu].gdt.base + SELECTOR_TSS);
    uint64_t tss = (entry[0] >> 16 & 0xffffff) | (entry[0] >> 56 & 0xff) << 24 | entry[1] << 32;
    return (const uint64_t *)(tss + 36);
}

static void the_word_above_each_interrupt_stack_names_the_cpu(void **state) {
    (void)state;
    for (unsigned i = 0; i < cpu_count; i++) {
        for (unsigned stack = 0; stack < IST_STACKS; stack++) {
            uint64_t top;
            memcpy(&top, &interrupt_stacks(i)[stack], sizeof top);
            assert_int_equal(top % 16, 0);
            assert_ptr_equal(*(struct cpu **)top, cpus[i]);
        }
    }
}

static void the_boot_stack_has_a_guard(void **state) {
    (void)state;
    assert_true(vm_is_guard((vaddr_t)boot_stack_guard));
    assert_false(vm_is_guard((vaddr_t)boot_stack_guard + PAGE_SIZE));
}

/* Fills the registers that C code may lose, does `action` on rdi, and tells whether all of them
 * and the carry flag are as they were. */
#define REGISTERS_SURVIVE(action, at)                                                          \
    __extension__({                                                                            \
        uint64_t wrong;                                                                        \
        __asm__ volatile("push %%rbp\n\t"                                                      \
                         "mov $0x1001, %%rax; mov $0x1002, %%rbx; mov $0x1003, %%rcx\n\t"      \
                         "mov $0x1004, %%rdx; mov $0x1005, %%rsi; mov $0x1006, %%rbp\n\t"      \
                         "mov $0x1008, %%r8; mov $0x1009, %%r9; mov $0x100a, %%r10\n\t"        \
                         "mov $0x100b, %%r11; mov $0x100c, %%r12; mov $0x100d, %%r13\n\t"      \
                         "mov $0x100e, %%r14; mov %%rsp, %%r15\n\t"                            \
                         "stc\n\t" action "\n\t"                                               \
                         "sbb $0x1000, %%rax; xor $0x1002, %%rbx; xor $0x1003, %%rcx\n\t"      \
                         "xor $0x1004, %%rdx; xor $0x1005, %%rsi; xor $0x1006, %%rbp\n\t"      \
                         "xor $0x1008, %%r8; xor $0x1009, %%r9; xor $0x100a, %%r10\n\t"        \
                         "xor $0x100b, %%r11; xor $0x100c, %%r12; xor $0x100d, %%r13\n\t"      \
                         "xor $0x100e, %%r14; xor %%rsp, %%r15\n\t"                            \
                         "or %%rbx, %%rax; or %%rcx, %%rax; or %%rdx, %%rax\n\t"               \
                         "or %%rsi, %%rax; or %%rbp, %%rax; or %%r8, %%rax\n\t"                \
                         "or %%r9, %%rax; or %%r10, %%rax; or %%r11, %%rax\n\t"                \
                         "or %%r12, %%rax; or %%r13, %%rax; or %%r14, %%rax\n\t"               \
                         "or %%r15, %%rax; pop %%rbp"                                          \
                         : "=&a"(wrong), "+D"(at)                                              \
                         :                                                                     \
                         : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", \
                           "r14", "r15", "memory", "cc");                                      \
        wrong == 0;                                                                            \
    })

static void a_repaired_page_fault_changes_no_register(void **state) {
    (void)state;
    size_t size = 64 * PAGE_SIZE;
    char *block = kmalloc(size);
    assert_non_null(block);
    struct kheap_stats before, after;
    kheap_stats(&before);
    for (size_t at = PAGE_SIZE; at < size - PAGE_SIZE; at += PAGE_SIZE) {
        char *byte = block + at;
        assert_true(REGISTERS_SURVIVE("movb $7, (%%rdi)", byte));
        assert_int_equal(block[at], 7);
    }
    kheap_stats(&after);
    assert_true(after.faults > before.faults);
    kfree(block);
}

static uint64_t interrupts(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        sum += cpus[i]->irq_count;
    return sum;
}

static void interrupts_change_no_register(void **state) {
    (void)state;
    uint64_t before = interrupts();
    for (unsigned round = 0; round < 200; round++) {
        bool irq = arch_irq_disable();
        arch_timer_set(arch_time_ns() + round * 100); /* in the middle of the loop below */
        arch_irq_restore(irq);
        char *count = NULL;
        assert_true(REGISTERS_SURVIVE("1: inc %%rdi; cmp $100000, %%rdi; jb 1b; stc", count));
    }
    assert_true(interrupts() >= before + 10);
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup(name, look_everywhere)
    const struct CMUnitTest tests[] = {
        PROMISE(every_cpu_finds_its_own_block),
        PROMISE(every_cpu_has_the_protections_on),
        PROMISE(tables_are_each_cpus_own_but_for_the_vectors),
        PROMISE(the_word_above_each_interrupt_stack_names_the_cpu),
        PROMISE(the_boot_stack_has_a_guard),
        PROMISE(a_repaired_page_fault_changes_no_register),
        PROMISE(interrupts_change_no_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
