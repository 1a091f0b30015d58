/* ACPI: reads the static tables that describe CPUs, memory nodes, interrupt controllers.
 *
 * Pure readers over bytes that the caller has mapped: no state, no allocation, no address is
 * followed except through the caller's `map`. Every length is checked against what is there and
 * every checksum is verified; a bad table is refused with a reason and the others are still
 * read. Where an entry inside a table is damaged, what came before it counts.
 *
 * ACPI 6.5: 5.2.5 (RSDP), 5.2.6 (header), 5.2.7/8 (RSDT, XSDT), 5.2.9 (FADT), 5.2.12 (MADT),
 * 5.2.16 (SRAT), 5.2.17 (SLIT), 7.4.2 (S5 in the DSDT); PCI Firmware 3.3, 4.1.2 (MCFG). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_CPUS_MAX      64u
#define ACPI_IOAPICS_MAX   8u
#define ACPI_OVERRIDES_MAX 16u
#define ACPI_NODES_MAX     8u
#define ACPI_MEMORY_MAX    32u
#define ACPI_MCFG_MAX      8u
#define ACPI_TABLES_MAX    256u       /* tables that a root may name; more are left alone */
#define ACPI_TABLE_SIZE    (1u << 20) /* bytes; a table that claims more is refused */

#define ACPI_NO_NMI 0xffu
#define ACPI_LOCAL  10u /* SLIT: distance of a node to itself */
#define ACPI_REMOTE 20u /* and to another one, unless a SLIT says otherwise */

struct acpi_cpu {
    uint32_t uid, apic_id;
    bool enabled;     /* false: not there yet, may be plugged in later */
    uint8_t nmi_lint; /* local interrupt input (0 or 1) that carries NMIs, or ACPI_NO_NMI */
    uint32_t node;    /* index into nodes; 0 unless SRAT says otherwise */
};

/* A register: a place in an address space (ACPI 6.5, 5.2.3.2). Not there: address 0. */
enum acpi_space { ACPI_MEMORY = 0, ACPI_IO = 1, ACPI_PCI = 2 };
struct acpi_register {
    uint8_t space; /* enum acpi_space */
    uint64_t address;
};

struct acpi_info {
    /* MADT */
    uint64_t lapic_base;
    bool has_pic; /* PC-AT compatible: mask the 8259 */
    struct acpi_cpu cpus[ACPI_CPUS_MAX];
    uint32_t cpu_count, cpus_dropped;
    struct {
        uint32_t id, gsi_base;
        uint64_t base;
    } ioapics[ACPI_IOAPICS_MAX];
    uint32_t ioapic_count;
    struct {
        uint8_t isa;
        bool active_low, level;
        uint32_t gsi;
    } overrides[ACPI_OVERRIDES_MAX];
    uint32_t override_count;
    /* SRAT, SLIT */
    uint32_t node_domain[ACPI_NODES_MAX]; /* proximity domain of each node */
    uint32_t node_count;                  /* at least 1; further domains join node 0 */
    struct {
        uint64_t base, size;
        uint32_t node;
    } memory[ACPI_MEMORY_MAX];
    uint32_t memory_count;
    uint8_t distance[ACPI_NODES_MAX][ACPI_NODES_MAX]; /* 10 = local; filled without a SLIT too */
    /* FADT */
    bool has_fadt;
    bool hardware_reduced;               /* no PM1 registers: sleep_control instead */
    uint32_t pm1a_control, pm1b_control; /* I/O ports; 0: none */
    uint32_t pm_timer;                   /* I/O port; 0: none */
    bool pm_timer_32;                    /* it counts 32 bits, not 24 */
    bool has_reset;
    uint8_t reset_space, reset_value;
    uint64_t reset_address;
    struct acpi_register sleep_control; /* hardware-reduced machines turn off here */
    uint64_t dsdt;                      /* physical address; 0: none */
    /* DSDT: what to write to turn the machine off */
    bool has_s5;
    uint8_t s5_a, s5_b; /* SLP_TYP values for pm1a (or sleep_control) and pm1b */
    /* MCFG */
    struct {
        uint64_t base;
        uint16_t segment;
        uint8_t bus_first, bus_last;
    } mcfg[ACPI_MCFG_MAX];
    uint32_t mcfg_count;
};

/* How the reader sees physical memory: `size` bytes at `pa`, readable until the next call; NULL
 * if that cannot be (then the table is refused). */
struct acpi_reader {
    const void *(*map)(void *arg, uint64_t pa, size_t size);
    /* Told of every table: its signature, its length, and NULL or what is wrong with it. */
    void (*note)(void *arg, const char signature[4], uint32_t length, const char *wrong);
    void *arg;
};

/* Reads everything reachable from the RSDP at `rsdp`. *info is filled with defaults first (one
 * CPU, one I/O APIC at the usual address, one node). False when there is no usable root table. */
bool acpi_read(const struct acpi_reader *reader, uint64_t rsdp, struct acpi_info *info);
/* The defaults alone, for a machine without ACPI. */
void acpi_defaults(struct acpi_info *info);

/* Looks for a valid RSDP in `size` bytes (16-byte steps); its offset, or SIZE_MAX. */
size_t acpi_find_rsdp(const void *bytes, size_t size);
