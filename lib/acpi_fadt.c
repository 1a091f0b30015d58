/* ACPI: FADT and DSDT, how to switch the machine off; MCFG, where PCI Express is configured. */
#include "lib/acpi_internal.h"

#include <string.h>

#define MCFG_ENTRIES_AT 44u
#define MCFG_ENTRY_SIZE 16u
#define AML_NAME        0x08u /* NameOp, ACPI 6.5, 20.2.5.1 */
#define AML_BYTE        0x0au /* BytePrefix, 20.2.3 */

enum fadt_field { /* offsets, ACPI 6.5, 5.2.9 */
                  FADT_DSDT = 40,
                  FADT_PM1A_CONTROL = 64,
                  FADT_PM1B_CONTROL = 68,
                  FADT_PM_TIMER = 76,
                  FADT_FLAGS = 112,
                  FADT_SIZE_1 = 116, /* ACPI 1.0 ends here; what is missing counts as 0 */
                  FADT_RESET = 116,
                  FADT_RESET_VALUE = 128,
                  FADT_X_DSDT = 140,
                  FADT_X_PM1A_CONTROL = 172,
                  FADT_X_PM1B_CONTROL = 184,
                  FADT_X_PM_TIMER = 208,
                  FADT_SLEEP_CONTROL = 244,
};
enum fadt_flag { FLAG_TIMER_32 = 1u << 8, FLAG_RESET = 1u << 10, FLAG_REDUCED = 1u << 20 };

/* A number of the table; 0 where the table ends before it. */
static uint64_t field(const struct acpi_table *table, uint32_t at, uint32_t width) {
    if (at + width > table->size)
        return 0;
    const uint8_t *bytes = table->bytes + at;
    return width == 8 ? bytes_le64(bytes) : width == 4 ? bytes_le32(bytes) : bytes[0];
}

/* A "generic address": space, width, offset, access size, address (5.2.3.2). */
static struct acpi_register register_at(const struct acpi_table *table, uint32_t at) {
    return (struct acpi_register){.space = (uint8_t)field(table, at, 1),
                                  .address = field(table, at + 4, 8)};
}

/* An I/O port that stands in two places: the extended one counts where it is used. */
static uint32_t port(const struct acpi_table *table, uint32_t at, uint32_t extended_at) {
    struct acpi_register extended = register_at(table, extended_at);
    bool use = extended.space == ACPI_IO && extended.address != 0;
    uint64_t number = use ? extended.address : field(table, at, 4);
    return number <= UINT16_MAX ? (uint32_t)number : 0;
}

const char *acpi_read_fadt(const struct acpi_table *table, struct acpi_info *info) {
    if (table->size < FADT_SIZE_1)
        return "it is too short";
    uint64_t flags = field(table, FADT_FLAGS, 4), dsdt = field(table, FADT_X_DSDT, 8);
    info->has_fadt = true;
    info->dsdt = dsdt != 0 ? dsdt : field(table, FADT_DSDT, 4);
    info->hardware_reduced = (flags & FLAG_REDUCED) != 0;
    if (info->hardware_reduced) {
        info->sleep_control = register_at(table, FADT_SLEEP_CONTROL);
    } else { /* 4.1: without that flag only, these mean something */
        info->pm1a_control = port(table, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
        info->pm1b_control = port(table, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
        info->pm_timer = port(table, FADT_PM_TIMER, FADT_X_PM_TIMER);
        info->pm_timer_32 = (flags & FLAG_TIMER_32) != 0;
    }
    struct acpi_register reset = register_at(table, FADT_RESET);
    info->has_reset = (flags & FLAG_RESET) != 0 && reset.address != 0;
    info->reset_space = reset.space;
    info->reset_address = reset.address;
    info->reset_value = (uint8_t)field(table, FADT_RESET_VALUE, 1);
    return NULL;
}

/* A small constant of AML: ZeroOp, OneOp, or BytePrefix and a byte (20.2.3). */
static bool read_constant(const struct acpi_table *table, uint32_t *at, uint8_t *value) {
    if (*at >= table->size)
        return false;
    *value = table->bytes[(*at)++];
    if (*value == AML_BYTE && *at < table->size) {
        *value = table->bytes[(*at)++];
        return true;
    }
    return *value <= 1;
}

/* Is this NameOp, "\_S5_" or "_S5_", PackageOp? The offset behind it, or 0. */
static uint32_t match_s5(const struct acpi_table *table, uint32_t at) {
    static const char plain[] = "\x08_S5_\x12", rooted[] = "\x08\\_S5_\x12";
    uint32_t left = table->size - at;
    if (table->bytes[at] != AML_NAME)
        return 0;
    if (left >= 6 && memcmp(table->bytes + at, plain, 6) == 0)
        return at + 6;
    return left >= 7 && memcmp(table->bytes + at, rooted, 7) == 0 ? at + 7 : 0;
}

/* The DSDT is a program, and nothing here runs it. But what turns the machine off is a constant,
 * a package named _S5_, which is found by its bytes: name, package, length of 1 to 4 bytes (the
 * upper two bits of the first one tell how many follow), number of elements, elements. */
const char *acpi_read_dsdt(const struct acpi_table *table, struct acpi_info *info) {
    for (uint32_t i = ACPI_HEADER_SIZE; i < table->size && !info->has_s5; i++) {
        uint32_t at = match_s5(table, i);
        if (at == 0 || at >= table->size)
            continue;
        at += 2u + (table->bytes[at] >> 6);
        info->has_s5 =
            read_constant(table, &at, &info->s5_a) && read_constant(table, &at, &info->s5_b);
    }
    return NULL;
}

const char *acpi_read_mcfg(const struct acpi_table *table, struct acpi_info *info) {
    const char *wrong = NULL;
    for (uint32_t at = MCFG_ENTRIES_AT; at + MCFG_ENTRY_SIZE <= table->size;
         at += MCFG_ENTRY_SIZE) {
        const uint8_t *entry = table->bytes + at;
        if (entry[10] > entry[11]) {
            wrong = "a range of buses ends before it begins";
        } else if (info->mcfg_count == ACPI_MCFG_MAX) {
            wrong = "it has more ranges of buses than are kept";
        } else {
            uint32_t i = info->mcfg_count++;
            info->mcfg[i].base = bytes_le64(entry);
            info->mcfg[i].segment = bytes_le16(entry + 8);
            info->mcfg[i].bus_first = entry[10];
            info->mcfg[i].bus_last = entry[11];
        }
    }
    return wrong;
}
