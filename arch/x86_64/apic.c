/* Local APIC: each CPU's own interrupt controller, as memory (xAPIC) or as registers (x2APIC).
 *
 * The two differ in how a register is reached, in the width of the CPU's name, and in the
 * interrupt command register, which x2APIC takes in one piece. Everything else is shared.
 *
 * x2APIC is used where the CPU has it and the command line does not forbid it; and where firmware
 * has switched it on, since the way back leads through switching the APIC off. That half has run in
 * QEMU 10 (TCG) and on no hardware yet.
 *
 * Any context. IF off between the halves of a command, so that no interrupt handler sends one
 * in the middle. */
#include "arch/x86_64/apic.h"

#include "arch/arch.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/vectors.h"
#include "kernel/core/acpi.h"
#include "kernel/core/config.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/vm.h"

#define MSR_APIC_BASE  0x1bu
#define BASE_X2APIC    (1u << 10)
#define BASE_ENABLE    (1u << 11)
#define BASE_ADDRESS   0xffffffffff000ull
#define SEND_POLLS_MAX 100000u /* until an earlier command counts as stuck; usually 0 or 1 */

static bool x2apic;
static volatile uint32_t *registers; /* xAPIC */

/* ---- Registers ------------------------------------------------------------------------------- */

uint32_t apic_read(enum apic_register reg) {
    return x2apic ? (uint32_t)msr_read(apic_msr(reg)) : registers[reg / 4u];
}

void apic_write(enum apic_register reg, uint32_t value) {
    if (x2apic)
        msr_write(apic_msr(reg), value);
    else
        registers[reg / 4u] = value;
}

uint32_t apic_id(void) {
    uint32_t id = apic_read(APIC_ID);
    return x2apic ? id : id >> 24;
}

bool apic_reaches(uint32_t id) {
    return x2apic || id < APIC_ID_BROADCAST;
}

unsigned arch_irq_vector(unsigned device) {
    return VECTOR_DEVICES + device;
}

void arch_irq_end(unsigned vector) {
    if (vector >= VECTOR_DEVICES && vector != VECTOR_SPURIOUS)
        apic_write(APIC_EOI, 0);
}

/* The send accepted before must have left the APIC: a write over it is lost (SDM 3A 11.6.1). */
static void wait_sent(void) {
    for (uint32_t i = 0; (apic_read(APIC_ICR) & APIC_ICR_PENDING) != 0; i++) {
        if (i == SEND_POLLS_MAX)
            panic("apic: CPU %u cannot send: a command is stuck", arch_cpu()->index);
        arch_relax();
    }
}

void apic_send(uint32_t id, uint32_t command) {
    uint64_t icr = apic_icr(id, command, x2apic);
    if (x2apic) {
        /* Unlike a store to the xAPIC, the write does not wait for earlier stores (SDM 3A 11.12.3). */
        __asm__ volatile("mfence; lfence" ::: "memory");
        msr_write(apic_msr(APIC_ICR), icr);
        return;
    }
    bool irq = arch_irq_disable();
    wait_sent();
    apic_write(APIC_ICR_HIGH, (uint32_t)(icr >> 32));
    apic_write(APIC_ICR, (uint32_t)icr); /* this half sends */
    arch_irq_restore(irq);
}

/* ---- Start ------------------------------------------------------------------------------------ */

static void on_error(void *arg) {
    (void)arg;
    apic_write(APIC_ERRORS, 0); /* latches what came since the last write (SDM 3A 11.5.3) */
    klog_warn("apic", "CPU %u: error status %x", arch_cpu()->index, apic_read(APIC_ERRORS));
}

static void on_spurious(void *arg) {
    (void)arg; /* an interrupt was taken back at the last moment: nothing to do */
}

static void choose_mode(void) {
    uint64_t base = msr_read(MSR_APIC_BASE);
    x2apic = (base & BASE_X2APIC) != 0 || (cpu_features.x2apic && kernel_config.x2apic);
    if (!x2apic)
        registers = vm_map_phys(base & BASE_ADDRESS, PAGE_SIZE, PAGE_WRITE | PAGE_DEVICE);
    if (!x2apic && registers == NULL)
        panic("apic: no room to map it");
}

/* What ACPI knows of this CPU; NULL: nothing. */
static const struct acpi_cpu *described(void) {
    for (uint32_t i = 0; i < acpi.cpu_count; i++)
        if (acpi.cpus[i].apic_id == apic_id())
            return &acpi.cpus[i];
    return NULL;
}

void apic_cpu_init(void) {
    uint64_t base = msr_read(MSR_APIC_BASE) | BASE_ENABLE;
    msr_write(MSR_APIC_BASE, base); /* from off to x2APIC leads through xAPIC (SDM 3A 11.12.5) */
    if (x2apic)
        msr_write(MSR_APIC_BASE, base | BASE_X2APIC);
    apic_write(APIC_SPURIOUS, APIC_SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    /* An input carries NMIs where ACPI says so. Input 0 is the PICs' line otherwise. */
    const struct acpi_cpu *me = described();
    unsigned nmi = me != NULL ? me->nmi_lint : ACPI_NO_NMI;
    apic_write(APIC_LVT_LINT0, nmi == 0 ? APIC_LVT_NMI : APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT1, nmi == 1 ? APIC_LVT_NMI : APIC_LVT_MASKED);
    apic_write(APIC_LVT_ERROR, VECTOR_ERROR);
    apic_write(APIC_ERRORS, 0);
}

void arch_irq_init(void) {
    /* First the PICs, while input 0 still carries their line: a request that is pending when the
     * input is masked stays with the CPU, and QEMU then delivers vector -1. */
    pic_disable();
    choose_mode();
    apic_cpu_init();
    struct cpu *cpu = arch_cpu();
    cpu->apic_id = apic_id();
    const struct acpi_cpu *me = described();
    cpu->node = me != NULL ? me->node : 0;
    if (me == NULL)
        klog_warn("irq", "ACPI does not know APIC %u, which booted", cpu->apic_id);
    irq_claim(VECTOR_ERROR, on_error, NULL);
    irq_claim(VECTOR_SPURIOUS, on_spurious, NULL);
    ioapic_init();
    ipi_init();
    apic_timer_begin();
    klog_info("irq", "%s, CPU 0 is APIC %u", x2apic ? "x2APIC" : "xAPIC", cpu->apic_id);
}
