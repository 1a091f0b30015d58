/* I/O APIC: routes the machine's interrupt lines ("global system interrupts") to CPUs.
 *
 * A machine may have several, each with some lines that are numbered through (ACPI 6.5, 5.2.12.3).
 * The old ISA numbers are lines of the same number, edge-triggered and active high, unless ACPI
 * says otherwise. Registers are reached through an index and a data register: 82093AA data
 * sheet, 3.0.
 *
 * Lock: one for all of them, LOCK_LEAF: index and data belong together. */
#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "ggmk/error.h"
#include "kernel/core/acpi.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/log.h"
#include "kernel/mem/vm.h"

enum { INDEX = 0x00 / 4, DATA = 0x10 / 4 };    /* the window, in words */
enum { REG_VERSION = 0x01, REG_TABLE = 0x10 }; /* what the index selects */
#define WINDOW_SIZE 0x20u

struct ioapic {
    volatile uint32_t *window;
    unsigned first, count; /* its lines */
};

static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static unsigned ioapic_count;
static struct spinlock lock = SPINLOCK_INIT(LOCK_LEAF);

static uint32_t get(const struct ioapic *io, unsigned reg) {
    io->window[INDEX] = reg;
    return io->window[DATA];
}

static void set(const struct ioapic *io, unsigned reg, uint32_t value) {
    io->window[INDEX] = reg;
    io->window[DATA] = value;
}

/* Masked while it changes: first the low half, which has the mask, with it set. */
static void set_entry(const struct ioapic *io, unsigned line, uint64_t entry) {
    set(io, REG_TABLE + 2 * line, IOAPIC_MASKED);
    set(io, REG_TABLE + 2 * line + 1, (uint32_t)(entry >> 32));
    set(io, REG_TABLE + 2 * line, (uint32_t)entry);
}

/* The one with this line; NULL where there is none. */
static const struct ioapic *find(unsigned gsi, unsigned *line) {
    for (unsigned i = 0; i < ioapic_count; i++) {
        *line = gsi - ioapics[i].first;
        if (*line < ioapics[i].count)
            return &ioapics[i];
    }
    return NULL;
}

void ioapic_init(void) {
    for (unsigned i = 0; i < acpi.ioapic_count; i++) {
        struct ioapic *io = &ioapics[ioapic_count];
        io->window = vm_map_phys(acpi.ioapics[i].base, WINDOW_SIZE, PAGE_WRITE | PAGE_DEVICE);
        uint32_t version = io->window != NULL ? get(io, REG_VERSION) : UINT32_MAX;
        if (version == UINT32_MAX) {
            klog_warn("irq", "no I/O APIC at %llx", (unsigned long long)acpi.ioapics[i].base);
            continue;
        }
        io->first = acpi.ioapics[i].gsi_base;
        io->count = (version >> 16 & 0xffu) + 1u;
        for (unsigned line = 0; line < io->count; line++)
            set_entry(io, line, IOAPIC_MASKED);
        ioapic_count++;
        klog_debug("irq", "I/O APIC at %llx: interrupts %u-%u",
                   (unsigned long long)acpi.ioapics[i].base, io->first, io->first + io->count - 1);
    }
}

int arch_irq_route(unsigned gsi, unsigned vector, unsigned cpu, bool level, bool active_low) {
    unsigned line;
    const struct ioapic *io = find(gsi, &line);
    /* Is there such a line, such a CPU, and can an entry name it? */
    if (io == NULL || cpu >= CPUS_MAX || cpus[cpu] == NULL ||
        cpus[cpu]->apic_id >= APIC_ID_BROADCAST)
        return GMK_EINVAL;
    uint64_t entry = ioapic_entry(vector, cpus[cpu]->apic_id, level, active_low);
    bool irq = spin_lock(&lock);
    set_entry(io, line, entry | IOAPIC_MASKED);
    spin_unlock(&lock, irq);
    return GMK_OK;
}

static void set_mask(unsigned gsi, bool masked) {
    unsigned line;
    const struct ioapic *io = find(gsi, &line);
    if (io == NULL)
        return;
    bool irq = spin_lock(&lock);
    uint32_t low = get(io, REG_TABLE + 2 * line) & ~IOAPIC_MASKED;
    set(io, REG_TABLE + 2 * line, low | (masked ? IOAPIC_MASKED : 0u));
    spin_unlock(&lock, irq);
}

void arch_irq_mask(unsigned gsi) {
    set_mask(gsi, true);
}

void arch_irq_unmask(unsigned gsi) {
    set_mask(gsi, false);
}

unsigned arch_irq_isa_to_gsi(unsigned isa, bool *level, bool *active_low) {
    *level = false;
    *active_low = false;
    for (unsigned i = 0; i < acpi.override_count; i++) {
        if (acpi.overrides[i].isa == isa) {
            *level = acpi.overrides[i].level;
            *active_low = acpi.overrides[i].active_low;
            return acpi.overrides[i].gsi;
        }
    }
    return isa;
}
