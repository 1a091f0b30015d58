/* MP: starts the CPUs that ACPI names, one after the other, and leaves them waiting.
 *
 * Intel SDM 3A 9.4.4.1: INIT, then twice SIPI with the page of the code. */
#include "boot/limine/testload/testload.h"
#include "lib/acpi.h"

#include <string.h>

#define APIC          0xfee00000u
#define ICR_LOW       0x300u
#define ICR_HIGH      0x310u
#define ICR_INIT      0x4500u
#define ICR_SIPI      0x4600u
#define READY_POLLS   20000000u
#define INIT_DELAY_US 10000u

static struct acpi_info acpi;

static const void *identity(void *arg, uint64_t pa, size_t size) {
    (void)arg;
    return pa + size <= 1ull << 32 ? (const void *)pa : NULL;
}

static void note(void *arg, const char signature[4], uint32_t length, const char *wrong) {
    (void)arg, (void)signature, (void)length, (void)wrong;
}

static void apic_write(uint32_t reg, uint32_t value) {
    *(volatile uint32_t *)(uintptr_t)(APIC + reg) = value;
}

static void send(uint32_t apic_id, uint32_t command) {
    apic_write(ICR_HIGH, apic_id << 24);
    apic_write(ICR_LOW, command);
}

/* A read of the unused port 0x80 takes about a microsecond. */
static void delay_us(unsigned us) {
    for (unsigned i = 0; i < us; i++)
        __asm__ volatile("inb $0x80, %%al" ::: "al");
}

static void start_cpu(struct limine_cpu *cpu) {
    ap_info = (uint64_t)cpu + HHDM;
    ap_stack = (uint64_t)keep(STACK_SIZE) + STACK_SIZE;
    send(cpu->apic_id, ICR_INIT);
    delay_us(INIT_DELAY_US);
    volatile uint64_t *ready = &cpu->reserved;
    for (unsigned tries = 0; tries < 2 && *ready == 0; tries++) {
        send(cpu->apic_id, ICR_SIPI | TRAMPOLINE >> 12);
        for (unsigned i = 0; i < READY_POLLS && *ready == 0; i++)
            __asm__ volatile("pause");
    }
    if (*ready == 0)
        die("a CPU did not start");
}

struct limine_mp *mp_answer(uint64_t rsdp) {
    struct acpi_reader reader = {.map = identity, .note = note};
    if (!acpi_read(&reader, rsdp, &acpi))
        die("no ACPI tables: how many CPUs are there?");
    memcpy((void *)TRAMPOLINE, trampoline, (size_t)trampoline_end - (size_t)trampoline);
    struct limine_mp *answer = keep(sizeof(*answer));
    struct limine_cpu **list = keep(ACPI_CPUS_MAX * sizeof(*list));
    answer->boot_apic_id = *(volatile uint32_t *)(uintptr_t)(APIC + 0x20) >> 24;
    answer->cpus = (void *)((uint64_t)list + HHDM);
    for (uint32_t i = 0; i < acpi.cpu_count; i++) {
        if (!acpi.cpus[i].enabled)
            continue;
        struct limine_cpu *cpu = keep(sizeof(*cpu));
        cpu->processor_id = acpi.cpus[i].uid;
        cpu->apic_id = acpi.cpus[i].apic_id;
        if (cpu->apic_id != answer->boot_apic_id)
            start_cpu(cpu);
        list[answer->count++] = (void *)((uint64_t)cpu + HHDM);
    }
    return answer;
}
