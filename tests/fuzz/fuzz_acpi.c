/* Fuzz of ACPI: any memory, and any contents of tables whose lengths and checksums are right.
 *
 * The input's first byte chooses. Bit 0 clear: the rest is physical memory, and before it stands
 * where in there the root pointer is. Set: the rest describes tables (which one, how long, contents), which are built into a
 * machine, so that the search gets past the checksums; bit 1 chooses RSDT or XSDT. Whatever comes,
 * no byte outside is read, and what was read keeps to its limits. */
#include "tests/lib/acpi_build.h"
#include "tests/lib/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE 0x10000u

static const char *const signatures[] = {"APIC", "SRAT", "SLIT", "FACP", "MCFG", "DSDT", "SSDT"};
#define SIGNATURES (sizeof signatures / sizeof signatures[0])

static struct acpi_build b;

static uint64_t build(struct fuzz_input *in, uint8_t revision) {
    while (in->left > 0 && b.used < ACPI_BUILD_SIZE / 2 && b.table_count < 32) {
        const char *signature = signatures[fuzz_take(in, 1) % SIGNATURES];
        size_t length = (size_t)fuzz_take(in, 2) % 4096;
        acpi_build_begin(&b, signature, (uint8_t)fuzz_take(in, 1));
        for (size_t i = 0; i < length && in->left > 0; i++) {
            acpi_build_put(&b, fuzz_take(in, 1), 1);
        }
        if (strcmp(signature, "FACP") == 0 && b.used - b.table >= 44) {
            memcpy(b.bytes + b.table + 40, &b.dsdt, 4); /* else hardly any DSDT would be found */
        }
        uint64_t table = acpi_build_end(&b, true);
        b.dsdt = strcmp(signature, "DSDT") == 0 ? table : b.dsdt;
    }
    return acpi_build_root(&b, revision);
}

static void check(const struct acpi_info *info, bool usable) {
    fuzz_must(info->cpu_count >= 1 && info->cpu_count <= ACPI_CPUS_MAX, "number of CPUs");
    fuzz_must(info->ioapic_count <= ACPI_IOAPICS_MAX, "number of I/O APICs");
    fuzz_must(info->override_count <= ACPI_OVERRIDES_MAX, "number of overrides");
    fuzz_must(info->node_count >= 1 && info->node_count <= ACPI_NODES_MAX, "number of nodes");
    fuzz_must(info->memory_count <= ACPI_MEMORY_MAX, "number of memory ranges");
    fuzz_must(info->mcfg_count <= ACPI_MCFG_MAX, "number of bus ranges");
    for (uint32_t i = 0; i < info->cpu_count; i++) {
        fuzz_must(info->cpus[i].node < info->node_count, "node of a CPU");
        fuzz_must(info->cpus[i].nmi_lint <= 1 || info->cpus[i].nmi_lint == ACPI_NO_NMI, "NMI");
        for (uint32_t k = 0; k < i; k++) {
            fuzz_must(info->cpus[i].apic_id != info->cpus[k].apic_id, "a CPU comes twice");
        }
    }
    for (uint32_t i = 0; i < info->memory_count; i++) {
        fuzz_must(info->memory[i].node < info->node_count, "node of memory");
        fuzz_must(info->memory[i].size <= UINT64_MAX - info->memory[i].base, "memory wraps");
    }
    for (uint32_t i = 0; i < info->mcfg_count; i++) {
        fuzz_must(info->mcfg[i].bus_first <= info->mcfg[i].bus_last, "order of buses");
    }
    for (uint32_t i = 0; i < ACPI_NODES_MAX; i++) {
        for (uint32_t k = 0; k < ACPI_NODES_MAX; k++) {
            fuzz_must(info->distance[i][k] >= ACPI_LOCAL, "a distance");
        }
        fuzz_must(info->distance[i][i] == ACPI_LOCAL, "a local distance");
    }
    fuzz_must(info->pm1a_control <= 0xffff && info->pm_timer <= 0xffff, "a port");
    fuzz_must(usable || (info->cpu_count == 1 && !info->has_fadt), "read without a root");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    static struct acpi_info info;
    uint64_t choice = fuzz_take(&in, 1), rsdp = BASE;
    acpi_build_init(&b, BASE);
    if ((choice & 1) != 0) {
        rsdp = build(&in, (choice & 2) != 0 ? 2 : 0);
    } else {
        rsdp = BASE + fuzz_take(&in, 2);
        memcpy(b.bytes, in.at, in.left < ACPI_BUILD_SIZE ? in.left : ACPI_BUILD_SIZE);
    }
    check(&info, acpi_read(&b.reader, rsdp, &info));
    fuzz_must(b.note_count > 0, "nothing was said");
    fuzz_must(b.map_max <= ACPI_TABLE_SIZE, "a huge piece was asked for");
    (void)acpi_find_rsdp(data, size);
    acpi_build_fini(&b);
    return 0;
}
