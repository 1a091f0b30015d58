/* IPI: one CPU interrupts another. */
#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/vectors.h"
#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"

void arch_ipi_send(unsigned cpu, enum arch_ipi ipi) {
    apic_send(cpus[cpu]->apic_id, ipi == ARCH_IPI_STOP ? APIC_ICR_NMI : VECTOR_IPI + ipi);
}

/* One by one: the shorthand "all but me" would also reach CPUs that are not ours. */
void arch_ipi_send_others(enum arch_ipi ipi) {
    const struct cpu *me = arch_cpu();
    for (unsigned i = 0; i < cpu_count; i++) {
        /* Acquire pairs with the release in kernel_cpu_main(): the CPU can take interrupts. */
        if (cpus[i] != NULL && cpus[i] != me &&
            atomic_load_explicit(&cpus[i]->online, memory_order_acquire))
            arch_ipi_send(i, ipi);
    }
}

static void on_ipi(void *arg) {
    ipi_received((enum arch_ipi)(uintptr_t)arg);
}

void ipi_init(void) {
    for (unsigned ipi = 0; ipi < ARCH_IPI_STOP; ipi++)
        irq_claim(VECTOR_IPI + ipi, on_ipi, (void *)(uintptr_t)ipi);
}
