/* ACPI: what the readers of single tables share. For lib/acpi*.c only. */
#pragma once

#include "lib/acpi.h"
#include "lib/bytes.h"

#define ACPI_HEADER_SIZE 36u

/* A mapped table whose length and checksum are right; size >= ACPI_HEADER_SIZE. */
struct acpi_table {
    const uint8_t *bytes;
    uint32_t size;
};

/* One entry of a list inside a table: a byte of type, a byte of length, and so on. */
struct acpi_entry {
    const uint8_t *bytes;
    uint8_t type, size; /* size >= 2, all of it inside the table */
};

/* Cuts out the entry at *offset and moves *offset behind it. False at the end, or when the list is
 * damaged: then *wrong says it. */
bool acpi_next_entry(const struct acpi_table *table, uint32_t *offset, struct acpi_entry *entry,
                     const char **wrong);

/* Each reads one table into *info and returns NULL, or what was wrong with it. */
const char *acpi_read_madt(const struct acpi_table *table, struct acpi_info *info);
const char *acpi_read_srat(const struct acpi_table *table, struct acpi_info *info); /* after MADT */
const char *acpi_read_slit(const struct acpi_table *table, struct acpi_info *info); /* after SRAT */
const char *acpi_read_fadt(const struct acpi_table *table, struct acpi_info *info);
const char *acpi_read_dsdt(const struct acpi_table *table, struct acpi_info *info);
const char *acpi_read_mcfg(const struct acpi_table *table, struct acpi_info *info);
