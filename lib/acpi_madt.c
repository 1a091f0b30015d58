/* ACPI: the MADT, which lists CPUs and interrupt controllers. ACPI 6.5, 5.2.12. */
#include "lib/acpi_internal.h"

#define ENTRIES_AT   44u
#define FLAG_PCAT    (1u << 0) /* 5.2.12, multiple APIC flags: there are two 8259 as well */
#define CPU_ENABLED  (1u << 0) /* 5.2.12.2, local APIC flags */
#define CPU_ONLINE   (1u << 1) /* it may be enabled later */
#define ALL_CPUS_OLD 0xffu     /* in place of a UID or APIC ID of 8 bits */
#define ALL_CPUS     0xffffffffu

enum madt_type {
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
    MADT_LAPIC_ADDRESS = 5,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
};

static const uint8_t least_size[] = {
    [MADT_LAPIC] = 8,          [MADT_IOAPIC] = 12, [MADT_OVERRIDE] = 10,  [MADT_LAPIC_NMI] = 6,
    [MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16, [MADT_X2APIC_NMI] = 12};

static const char *add_cpu(struct acpi_info *info, uint32_t uid, uint32_t apic_id, uint32_t flags) {
    if ((flags & (CPU_ENABLED | CPU_ONLINE)) == 0)
        return NULL; /* an empty socket */
    for (uint32_t i = 0; i < info->cpu_count; i++)
        if (info->cpus[i].apic_id == apic_id)
            return "it names a CPU twice";
    if (info->cpu_count == ACPI_CPUS_MAX) {
        info->cpus_dropped++;
        return "it names more CPUs than are kept";
    }
    info->cpus[info->cpu_count++] = (struct acpi_cpu){.uid = uid,
                                                      .apic_id = apic_id,
                                                      .enabled = (flags & CPU_ENABLED) != 0,
                                                      .nmi_lint = ACPI_NO_NMI};
    return NULL;
}

static const char *add_ioapic(struct acpi_info *info, const uint8_t *entry) {
    if (info->ioapic_count == ACPI_IOAPICS_MAX)
        return "it names more I/O APICs than are kept";
    uint32_t i = info->ioapic_count++;
    info->ioapics[i].id = entry[2];
    info->ioapics[i].base = bytes_le32(entry + 4);
    info->ioapics[i].gsi_base = bytes_le32(entry + 8);
    return NULL;
}

/* 5.2.12.5. What "conforms to the bus" is for ISA: active high, by edge. */
static const char *add_override(struct acpi_info *info, const uint8_t *entry) {
    if (info->override_count == ACPI_OVERRIDES_MAX)
        return "it has more interrupt overrides than are kept";
    uint32_t i = info->override_count++;
    uint16_t flags = bytes_le16(entry + 8);
    info->overrides[i].isa = entry[3];
    info->overrides[i].gsi = bytes_le32(entry + 4);
    info->overrides[i].active_low = (flags & 3u) == 3u;
    info->overrides[i].level = (flags >> 2 & 3u) == 3u;
    return NULL;
}

static void set_nmi(struct acpi_info *info, bool all, uint32_t uid, uint8_t lint) {
    for (uint32_t i = 0; i < info->cpu_count; i++)
        if (all || info->cpus[i].uid == uid)
            info->cpus[i].nmi_lint = lint <= 1 ? lint : ACPI_NO_NMI;
}

/* First everything that stands for itself. */
static const char *read_entry(struct acpi_info *info, const struct acpi_entry *entry) {
    const uint8_t *at = entry->bytes;
    switch (entry->type) {
    case MADT_LAPIC:
        return at[3] == ALL_CPUS_OLD ? NULL : add_cpu(info, at[2], at[3], bytes_le32(at + 4));
    case MADT_X2APIC:
        return add_cpu(info, bytes_le32(at + 12), bytes_le32(at + 4), bytes_le32(at + 8));
    case MADT_IOAPIC:
        return add_ioapic(info, at);
    case MADT_OVERRIDE:
        return add_override(info, at);
    case MADT_LAPIC_ADDRESS:
        info->lapic_base = bytes_le64(at + 4);
        return NULL;
    default:
        return NULL;
    }
}

/* Then what says something about CPUs, wherever those stand. */
static void read_nmi(struct acpi_info *info, const struct acpi_entry *entry) {
    const uint8_t *at = entry->bytes;
    if (entry->type == MADT_LAPIC_NMI) {
        set_nmi(info, at[2] == ALL_CPUS_OLD, at[2], at[5]);
    } else if (entry->type == MADT_X2APIC_NMI) {
        uint32_t uid = bytes_le32(at + 4);
        set_nmi(info, uid == ALL_CPUS, uid, at[8]);
    }
}

static bool too_short(const struct acpi_entry *entry) {
    return entry->type < sizeof least_size && entry->size < least_size[entry->type];
}

const char *acpi_read_madt(const struct acpi_table *table, struct acpi_info *info) {
    if (table->size < ENTRIES_AT)
        return "it is too short";
    struct acpi_cpu boot_cpu = info->cpus[0];
    const char *wrong = NULL, *end = NULL;
    struct acpi_entry entry;
    uint32_t lapic = bytes_le32(table->bytes + 36);
    info->lapic_base = lapic != 0 ? lapic : info->lapic_base;
    info->has_pic = (bytes_le32(table->bytes + 40) & FLAG_PCAT) != 0;
    info->cpu_count = info->ioapic_count = 0;
    for (uint32_t at = ENTRIES_AT; acpi_next_entry(table, &at, &entry, &end);) {
        const char *why = too_short(&entry) ? "an entry is too short" : read_entry(info, &entry);
        wrong = wrong != NULL ? wrong : why;
    }
    for (uint32_t at = ENTRIES_AT; acpi_next_entry(table, &at, &entry, &end);)
        if (!too_short(&entry))
            read_nmi(info, &entry);
    if (info->cpu_count == 0) {
        info->cpus[info->cpu_count++] = boot_cpu;
        wrong = "it names no CPU";
    }
    return wrong != NULL ? wrong : end;
}
