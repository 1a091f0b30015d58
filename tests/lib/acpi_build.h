/* ACPI builder: makes tables as firmware would, so that tests can have any machine.
 *
 * A small physical memory holds them. The reader over it hands out exact copies on the heap and
 * frees the last one with every call, so that a sanitizer sees a byte too many, and a byte read
 * too late. */
#pragma once

#include "lib/acpi.h"

#define ACPI_BUILD_SIZE   65536u
#define ACPI_BUILD_TABLES 64u
#define ACPI_BUILD_NOTES  512u

struct acpi_note {
    char signature[5];
    uint32_t length;
    const char *wrong;
};

struct acpi_build {
    uint64_t base; /* physical address of bytes[0] */
    uint8_t bytes[ACPI_BUILD_SIZE];
    size_t used, table; /* the table being built starts at `table` */
    uint64_t tables[ACPI_BUILD_TABLES];
    unsigned table_count;
    uint64_t dsdt; /* what FADTs made from here on say */

    struct acpi_note notes[ACPI_BUILD_NOTES];
    unsigned note_count;
    void *mapped;
    size_t map_max; /* the largest piece that was asked for */
    struct acpi_reader reader;
};

void acpi_build_init(struct acpi_build *b, uint64_t base);
void acpi_build_fini(struct acpi_build *b);

/* A table: begin, then numbers and entries, then end, which fills in length and checksum and
 * returns its address. `listed`: the root names it. */
void acpi_build_begin(struct acpi_build *b, const char *signature, uint8_t revision);
void acpi_build_put(struct acpi_build *b, uint64_t value, unsigned width);
void acpi_build_zeros(struct acpi_build *b, size_t count);
uint64_t acpi_build_end(struct acpi_build *b, bool listed);

/* Root table and RSDP for what was built: revision 0 means RSDT, 2 means XSDT (and an RSDT that
 * names nothing). The RSDP's address. */
uint64_t acpi_build_root(struct acpi_build *b, uint8_t revision);

/* Bytes at an address, and the checksum of the table there made right after a change. */
uint8_t *acpi_build_at(struct acpi_build *b, uint64_t pa);
void acpi_build_seal(struct acpi_build *b, uint64_t table);

/* Contents of the usual tables. */
void acpi_build_madt(struct acpi_build *b);
void acpi_build_cpu(struct acpi_build *b, uint8_t uid, uint8_t apic_id, uint32_t flags);
void acpi_build_x2apic(struct acpi_build *b, uint32_t uid, uint32_t apic_id, uint32_t flags);
void acpi_build_ioapic(struct acpi_build *b, uint8_t id, uint32_t base, uint32_t gsi_base);
void acpi_build_override(struct acpi_build *b, uint8_t isa, uint32_t gsi, uint16_t flags);
void acpi_build_nmi(struct acpi_build *b, uint8_t uid, uint8_t lint);
void acpi_build_srat(struct acpi_build *b, uint8_t revision);
void acpi_build_srat_cpu(struct acpi_build *b, uint32_t domain, uint8_t apic_id, uint32_t flags);
void acpi_build_srat_x2apic(struct acpi_build *b, uint32_t domain, uint32_t apic_id);
void acpi_build_srat_memory(struct acpi_build *b, uint32_t domain, uint64_t base, uint64_t size,
                            uint32_t flags);
void acpi_build_slit(struct acpi_build *b, uint64_t count, const uint8_t *matrix);
/* A FADT of `size` bytes, all zero but what is named. Changes go in with acpi_build_at(). */
void acpi_build_fadt(struct acpi_build *b, size_t size);
void acpi_build_mcfg(struct acpi_build *b, uint64_t base, uint16_t segment, uint8_t first,
                     uint8_t last);

/* A machine as QEMU makes it: 2 nodes, 4 CPUs, everything in order. The RSDP's address. */
uint64_t acpi_build_machine(struct acpi_build *b, uint8_t revision);

/* What was said about a table; NULL: nothing wrong. Fails the program if it was not noted. */
const char *acpi_build_wrong(const struct acpi_build *b, const char *signature);
