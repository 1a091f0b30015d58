/* Machine: off and on again, by each way that PCs know, the best first.
 *
 * Registers in memory are mapped once at boot, because a panic must not map anything. Where no way
 * works, the machine stays halted and says so. */
#include "arch/arch.h"
#include "arch/x86_64/io.h"
#include "kernel/core/acpi.h"
#include "kernel/core/config.h"
#include "kernel/core/log.h"
#include "kernel/mem/vm.h"

#define EXIT_DEVICE   0xf4u  /* isa-debug-exit: a write of v ends QEMU with 2 v + 1 */
#define QEMU_PM1A     0x604u /* where q35 and pc have it, when no FADT says so */
#define SETTLE_READS  10000u /* a chip set acts within microseconds, a port access takes about one */
#define PM1_SLEEP     0x2000u /* PM1_CNT.SLP_EN, ACPI 6.5 4.8.3.2; the type is in bits 10 to 12 */
#define REDUCED_SLEEP 0x20u   /* SLEEP_CONTROL_REG.SLP_EN, 4.8.3.7; the type is in bits 2 to 4 */

/* Set once at boot: registers that lie in memory; NULL for the others. */
static volatile uint8_t *reset_register, *sleep_register;

static volatile uint8_t *map_register(uint8_t space, uint64_t address) {
    if (space != ACPI_MEMORY || address == 0)
        return NULL;
    return vm_map_phys(address, 1, PAGE_WRITE | PAGE_DEVICE);
}

void arch_machine_init(void) {
    if (acpi.has_reset)
        reset_register = map_register(acpi.reset_space, acpi.reset_address);
    if (acpi.hardware_reduced)
        sleep_register = map_register(acpi.sleep_control.space, acpi.sleep_control.address);
}

static void reset_by_acpi(void) {
    if (reset_register != NULL)
        *reset_register = acpi.reset_value;
    else if (acpi.has_reset && acpi.reset_space == ACPI_IO)
        out8((uint16_t)acpi.reset_address, acpi.reset_value);
}

/* The machine's own sleep type for S5 comes from its tables; 0 is what emulators use. */
static void sleep_by_acpi(void) {
    unsigned a = acpi.has_s5 ? acpi.s5_a & 7u : 0, b = acpi.has_s5 ? acpi.s5_b & 7u : 0;
    if (acpi.pm1a_control != 0)
        out16((uint16_t)acpi.pm1a_control, (uint16_t)(PM1_SLEEP | a << 10));
    if (acpi.pm1b_control != 0)
        out16((uint16_t)acpi.pm1b_control, (uint16_t)(PM1_SLEEP | b << 10));
    uint8_t reduced = (uint8_t)(REDUCED_SLEEP | a << 2);
    if (sleep_register != NULL)
        *sleep_register = reduced;
    else if (acpi.hardware_reduced && acpi.sleep_control.space == ACPI_IO)
        out8((uint16_t)acpi.sleep_control.address, reduced);
}

static void settle(void) {
    for (unsigned i = 0; i < SETTLE_READS; i++)
        (void)in8(0x80);
}

_Noreturn void arch_reboot(void) {
    arch_irq_disable();
    reset_by_acpi();
    settle();
    out8(0xcf9, 0x02); /* the PCI chip sets' reset: first the kind, then the edge */
    out8(0xcf9, 0x06);
    settle();
    out8(0x64, 0xfe); /* the keyboard controller pulses the reset line */
    settle();
    /* A fault without a table of vectors shuts the CPU down, and the board resets. */
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; ud2" ::"m"(none));
    arch_halt_forever();
}

_Noreturn void arch_poweroff(int status) {
    arch_irq_disable();
    if (kernel_config.exit_device)
        out8(EXIT_DEVICE, status == 0 ? 0x10 : 0x11);
    sleep_by_acpi();
    if (!acpi.has_fadt)
        out16(QEMU_PM1A, PM1_SLEEP);
    settle();
    klog_info("machine", "it can be switched off now");
    arch_halt_forever();
}
