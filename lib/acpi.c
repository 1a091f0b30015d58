/* ACPI: from the root pointer to the root table to every table, each checked before it is read.
 *
 * Tables refer to each other (SRAT to the CPUs of the MADT, SLIT to the domains of the SRAT) but
 * come in any order. So a first walk checks all of them and remembers where the known ones are;
 * then those are read in the order that they need. */
#include "lib/acpi_internal.h"

#include <string.h>

#define RSDP_SIZE_1    20u /* of ACPI 1.0, and the part that the first checksum covers */
#define RSDP_SIZE_2    36u /* from ACPI 2.0 on */
#define RSDP_SIZE_MAX  4096u
#define DEFAULT_LAPIC  0xfee00000u /* Intel SDM 3A 11.4.1 */
#define DEFAULT_IOAPIC 0xfec00000u /* 82093AA data sheet, 3.0 */

static const char unnamed[4] = {'?', '?', '?', '?'};

static const struct {
    char signature[5];
    const char *(*read)(const struct acpi_table *table, struct acpi_info *info);
} known[] = {{"APIC", acpi_read_madt},
             {"SRAT", acpi_read_srat},
             {"SLIT", acpi_read_slit},
             {"FACP", acpi_read_fadt},
             {"MCFG", acpi_read_mcfg}};
#define KNOWN (sizeof known / sizeof known[0])

/* The root table: RSDT with addresses of 4 bytes, XSDT with addresses of 8. */
struct root {
    uint64_t pa;
    uint32_t width, count;
};

/* Bytes of a table add up to 0, its checksum included (ACPI 6.5, 5.2.5.3 and 5.2.6). */
static bool sum_is_zero(const uint8_t *bytes, size_t size) {
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return (uint8_t)sum == 0;
}

static bool is_rsdp(const uint8_t *bytes) {
    return memcmp(bytes, "RSD PTR ", 8) == 0 && sum_is_zero(bytes, RSDP_SIZE_1);
}

size_t acpi_find_rsdp(const void *bytes, size_t size) {
    for (size_t at = 0; at + RSDP_SIZE_1 <= size; at += 16)
        if (is_rsdp((const uint8_t *)bytes + at))
            return at;
    return SIZE_MAX;
}

void acpi_defaults(struct acpi_info *info) {
    *info = (struct acpi_info){.lapic_base = DEFAULT_LAPIC, .has_pic = true};
    info->cpu_count = info->ioapic_count = info->node_count = 1;
    info->cpus[0] = (struct acpi_cpu){.enabled = true, .nmi_lint = ACPI_NO_NMI};
    info->ioapics[0].base = DEFAULT_IOAPIC;
    for (unsigned i = 0; i < ACPI_NODES_MAX; i++) {
        memset(info->distance[i], ACPI_REMOTE, sizeof info->distance[i]);
        info->distance[i][i] = ACPI_LOCAL;
    }
}

/* Maps and checks the table at `pa`; notes it when it is bad. */
static bool open_table(const struct acpi_reader *reader, uint64_t pa, struct acpi_table *table) {
    const uint8_t *header = pa == 0 ? NULL : reader->map(reader->arg, pa, ACPI_HEADER_SIZE);
    if (header == NULL) {
        reader->note(reader->arg, unnamed, 0, "its address is not memory");
        return false;
    }
    char signature[4];
    memcpy(signature, header, sizeof signature);
    table->size = bytes_le32(header + 4);
    const char *wrong = NULL;
    if (table->size < ACPI_HEADER_SIZE)
        wrong = "it is shorter than a header";
    else if (table->size > ACPI_TABLE_SIZE)
        wrong = "it is impossibly long";
    else if ((table->bytes = reader->map(reader->arg, pa, table->size)) == NULL)
        wrong = "it reaches beyond memory";
    else if (!sum_is_zero(table->bytes, table->size))
        wrong = "its checksum is wrong";
    if (wrong != NULL)
        reader->note(reader->arg, signature, table->size, wrong);
    return wrong == NULL;
}

static bool open_root(const struct acpi_reader *reader, uint64_t pa, const char *signature,
                      struct root *root) {
    struct acpi_table table;
    if (!open_table(reader, pa, &table))
        return false;
    bool named = memcmp(table.bytes, signature, 4) == 0;
    root->pa = pa;
    root->width = signature[0] == 'X' ? 8 : 4;
    root->count = (table.size - ACPI_HEADER_SIZE) / root->width;
    const char *wrong = NULL;
    if (!named) {
        wrong = "it stands where a root table should be";
    } else if (root->count > ACPI_TABLES_MAX) {
        wrong = "it names more tables than are read";
        root->count = ACPI_TABLES_MAX;
    }
    reader->note(reader->arg, named ? signature : unnamed, table.size, wrong);
    return named;
}

/* Reads the root pointer; *xsdt is 0 in that of ACPI 1.0, or when its second half is damaged. */
static bool read_rsdp(const struct acpi_reader *reader, uint64_t pa, uint64_t *rsdt,
                      uint64_t *xsdt) {
    const uint8_t *bytes = pa == 0 ? NULL : reader->map(reader->arg, pa, RSDP_SIZE_1);
    const char *wrong = NULL;
    uint32_t size = RSDP_SIZE_1;
    bool usable = bytes != NULL && is_rsdp(bytes);
    *rsdt = *xsdt = 0;
    if (!usable)
        wrong = "there is no root pointer at its address";
    else
        *rsdt = bytes_le32(bytes + 16);
    if (usable && bytes[15] >= 2) {
        wrong = "its second half is damaged";
        bytes = reader->map(reader->arg, pa, RSDP_SIZE_2);
        size = bytes == NULL ? 0 : bytes_le32(bytes + 20);
        if (size >= RSDP_SIZE_2 && size <= RSDP_SIZE_MAX &&
            (bytes = reader->map(reader->arg, pa, size)) != NULL && sum_is_zero(bytes, size)) {
            *xsdt = bytes_le64(bytes + 24);
            wrong = NULL;
        }
    }
    reader->note(reader->arg, "RSDP", size, wrong);
    return usable;
}

/* Checks every table that the root names and remembers the known ones. */
static void check_tables(const struct acpi_reader *reader, const struct root *root,
                         uint64_t found[KNOWN]) {
    for (uint32_t i = 0; i < root->count; i++) { /* at most ACPI_TABLES_MAX */
        uint64_t at = root->pa + ACPI_HEADER_SIZE + (uint64_t)i * root->width;
        const uint8_t *entry = reader->map(reader->arg, at, root->width);
        uint64_t pa = entry == NULL ? 0 : root->width == 8 ? bytes_le64(entry) : bytes_le32(entry);
        struct acpi_table table;
        if (!open_table(reader, pa, &table))
            continue;
        unsigned k = 0;
        while (k < KNOWN && memcmp(table.bytes, known[k].signature, 4) != 0)
            k++;
        if (k < KNOWN && found[k] == 0) {
            found[k] = pa; /* noted when it is read */
        } else {
            reader->note(reader->arg, (const char *)table.bytes, table.size,
                         k < KNOWN ? "it is the second one of its name: not read" : NULL);
        }
    }
}

static void read_table(const struct acpi_reader *reader, uint64_t pa, struct acpi_info *info,
                       const char *(*read)(const struct acpi_table *, struct acpi_info *)) {
    struct acpi_table table;
    if (pa != 0 && open_table(reader, pa, &table)) {
        const char *wrong = read(&table, info);
        reader->note(reader->arg, (const char *)table.bytes, table.size, wrong);
    }
}

bool acpi_read(const struct acpi_reader *reader, uint64_t rsdp, struct acpi_info *info) {
    uint64_t rsdt, xsdt, found[KNOWN] = {0};
    struct root root;
    acpi_defaults(info);
    if (!read_rsdp(reader, rsdp, &rsdt, &xsdt))
        return false;
    if ((xsdt == 0 || !open_root(reader, xsdt, "XSDT", &root)) &&
        !open_root(reader, rsdt, "RSDT", &root))
        return false;
    check_tables(reader, &root, found);
    for (unsigned k = 0; k < KNOWN; k++)
        read_table(reader, found[k], info, known[k].read);
    read_table(reader, info->dsdt, info, acpi_read_dsdt);
    return true;
}

bool acpi_next_entry(const struct acpi_table *table, uint32_t *offset, struct acpi_entry *entry,
                     const char **wrong) {
    if (*offset >= table->size)
        return false;
    uint32_t left = table->size - *offset;
    entry->bytes = table->bytes + *offset;
    entry->type = entry->bytes[0];
    entry->size = left < 2 ? 0 : entry->bytes[1];
    if (entry->size < 2 || entry->size > left) {
        *wrong = "an entry has an impossible length: the rest is not read";
        return false;
    }
    *offset += entry->size;
    return true;
}
