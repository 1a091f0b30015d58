/* ACPI: SRAT and SLIT, which CPU and which memory belong together and how far nodes are apart.
 *
 * Firmware numbers proximity domains as it likes; the kernel numbers nodes from 0 in the order
 * in which the SRAT names them. ACPI 6.5, 5.2.16 and 5.2.17. */
#include "lib/acpi_internal.h"

#define SRAT_ENTRIES_AT 48u
#define SLIT_MATRIX_AT  44u
#define ENABLED         (1u << 0) /* in the flags of every kind of entry */

enum srat_type { SRAT_LAPIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };

static const uint8_t least_size[] = {[SRAT_LAPIC] = 16, [SRAT_MEMORY] = 40, [SRAT_X2APIC] = 24};

/* The node of a proximity domain, a new one if need be. */
static uint32_t node_of(struct acpi_info *info, uint32_t domain, const char **wrong) {
    for (uint32_t i = 0; i < info->node_count; i++)
        if (info->node_domain[i] == domain)
            return i;
    if (info->node_count == ACPI_NODES_MAX) {
        *wrong = "it names more nodes than are kept: further ones join the first";
        return 0;
    }
    info->node_domain[info->node_count] = domain;
    return info->node_count++;
}

static void set_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t domain, const char **wrong) {
    for (uint32_t i = 0; i < info->cpu_count; i++)
        if (info->cpus[i].apic_id == apic_id)
            info->cpus[i].node = node_of(info, domain, wrong);
}

static void add_memory(struct acpi_info *info, const uint8_t *entry, const char **wrong) {
    uint64_t base = bytes_le64(entry + 8), size = bytes_le64(entry + 16);
    if (size == 0)
        return;
    if (size > UINT64_MAX - base) {
        *wrong = "a range of memory wraps around";
    } else if (info->memory_count == ACPI_MEMORY_MAX) {
        *wrong = "it names more ranges of memory than are kept";
    } else {
        uint32_t i = info->memory_count++;
        info->memory[i].base = base;
        info->memory[i].size = size;
        info->memory[i].node = node_of(info, bytes_le32(entry + 2), wrong);
    }
}

static void read_entry(struct acpi_info *info, const struct acpi_entry *entry, bool long_domains,
                       const char **wrong) {
    const uint8_t *at = entry->bytes;
    if (entry->type >= sizeof least_size)
        return;
    if (entry->size < least_size[entry->type]) {
        *wrong = "an entry is too short";
    } else if (entry->type == SRAT_MEMORY && (bytes_le32(at + 28) & ENABLED) != 0) {
        add_memory(info, at, wrong);
    } else if (entry->type == SRAT_X2APIC && (bytes_le32(at + 12) & ENABLED) != 0) {
        set_cpu(info, bytes_le32(at + 8), bytes_le32(at + 4), wrong);
    } else if (entry->type == SRAT_LAPIC && (bytes_le32(at + 4) & ENABLED) != 0) {
        /* 5.2.16.1: bits 8 to 31 of the domain stand elsewhere, and nowhere before revision 2. */
        uint32_t high = long_domains ? bytes_le32(at + 8) & 0xffffff00u : 0;
        set_cpu(info, at[3], high | at[2], wrong);
    }
}

const char *acpi_read_srat(const struct acpi_table *table, struct acpi_info *info) {
    if (table->size < SRAT_ENTRIES_AT)
        return "it is too short";
    const char *wrong = NULL, *end = NULL;
    bool long_domains = table->bytes[8] >= 2;
    struct acpi_entry entry;
    info->node_count = 0;
    for (uint32_t at = SRAT_ENTRIES_AT; acpi_next_entry(table, &at, &entry, &end);)
        read_entry(info, &entry, long_domains, &wrong);
    if (info->node_count == 0)
        info->node_count = 1;
    return end != NULL ? end : wrong;
}

/* All or nothing: one wrong distance makes the others doubtful. */
const char *acpi_read_slit(const struct acpi_table *table, struct acpi_info *info) {
    uint64_t count = table->size < SLIT_MATRIX_AT ? 0 : bytes_le64(table->bytes + 36);
    if (count == 0 || count > table->size || count * count > table->size - SLIT_MATRIX_AT)
        return "its matrix does not fit into it: usual distances are taken";
    const uint8_t *matrix = table->bytes + SLIT_MATRIX_AT;
    for (uint64_t i = 0; i < count * count; i++) { /* at most ACPI_TABLE_SIZE */
        bool local = i / count == i % count;
        if (local ? matrix[i] != ACPI_LOCAL : matrix[i] < ACPI_LOCAL)
            return "a distance in it is impossible: usual distances are taken";
    }
    for (uint32_t i = 0; i < info->node_count; i++) {
        for (uint32_t k = 0; k < info->node_count; k++) {
            uint64_t from = info->node_domain[i], to = info->node_domain[k];
            if (from < count && to < count)
                info->distance[i][k] = matrix[from * count + to];
        }
    }
    return NULL;
}
