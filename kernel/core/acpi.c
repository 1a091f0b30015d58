/* ACPI: lets the reader see physical memory, and reports what it found.
 *
 * Tables lie where firmware put them: mostly in memory that the direct map shows, else they are
 * mapped for as long as one is read. An address in a damaged table could be a device's, which must
 * not be read; so only what the boot's memory map names is looked at, and the BIOS's own area,
 * which some loaders leave out of it.
 *
 * Boot only; afterwards `acpi` is constant. */
#include "kernel/core/acpi.h"

#include "boot/boot_info.h"
#include "kernel/core/log.h"
#include "kernel/debug/readable.h"
#include "kernel/mem/vm.h"
#include "lib/bytes.h"

#define LOW_END        0x100000u
#define BIOS_AREA      0xe0000u /* ACPI 6.5, 5.2.5.1: where the RSDP is on BIOS machines */
#define BIOS_AREA_SIZE 0x20000u
#define EBDA_POINTER   0x40eu /* its segment, in the BIOS data area */
#define EBDA_SIZE      1024u
#define WARNINGS_MAX   16u

struct acpi_info acpi;

struct view {
    const struct boot_info *boot;
    void *mapped; /* what the last call had to map, or NULL */
    size_t mapped_size;
    uint32_t bad_tables;
};

static bool is_memory(const struct boot_info *boot, uint64_t pa) {
    bool inside = pa < LOW_END;
    for (uint32_t i = 0; i < boot->range_count && !inside; i++)
        inside = pa >= boot->ranges[i].base && pa - boot->ranges[i].base < boot->ranges[i].size;
    return inside;
}

static void unmap(struct view *view) {
    if (view->mapped != NULL) {
        vm_unmap_phys(view->mapped, view->mapped_size);
        view->mapped = NULL;
    }
}

static const void *map(void *arg, uint64_t pa, size_t size) {
    struct view *view = arg;
    unmap(view);
    if (size - 1 > UINT64_MAX - pa || !is_memory(view->boot, pa) ||
        !is_memory(view->boot, pa + size - 1))
        return NULL;
    if (debug_readable((vaddr_t)arch_phys(pa), size, NULL))
        return arch_phys(pa);
    view->mapped = vm_map_phys(pa, size, 0);
    view->mapped_size = size;
    return view->mapped;
}

static void note(void *arg, const char signature[4], uint32_t length, const char *wrong) {
    struct view *view = arg;
    if (wrong == NULL)
        klog_debug("acpi", "%.4s: %u bytes", signature, length);
    else if (++view->bad_tables <= WARNINGS_MAX)
        klog_warn("acpi", "%.4s of %u bytes: %s", signature, length, wrong);
}

/* The physical address of an RSDP in this piece of memory, or 0. */
static uint64_t find_rsdp(struct view *view, uint64_t pa, size_t size) {
    const void *bytes = pa == 0 ? NULL : map(view, pa, size);
    size_t at = bytes == NULL ? SIZE_MAX : acpi_find_rsdp(bytes, size);
    return at == SIZE_MAX ? 0 : pa + at;
}

static uint64_t find_bios_rsdp(struct view *view) {
    const void *pointer = map(view, EBDA_POINTER, sizeof(uint16_t));
    uint64_t ebda = pointer == NULL ? 0 : (uint64_t)bytes_le16(pointer) << 4;
    uint64_t found = find_rsdp(view, ebda, EBDA_SIZE);
    return found != 0 ? found : find_rsdp(view, BIOS_AREA, BIOS_AREA_SIZE);
}

static void report(const struct view *view, bool usable) {
    if (view->bad_tables > WARNINGS_MAX)
        klog_warn("acpi", "%u more complaints", view->bad_tables - WARNINGS_MAX);
    if (!usable) {
        klog_warn("acpi", "no tables: one CPU, interrupt controllers at their usual places");
        return;
    }
    if (acpi.cpus_dropped > 0)
        klog_warn("acpi", "%u CPUs more than the kernel can use", acpi.cpus_dropped);
    klog_info("acpi", "CPUs %u, I/O APICs %u, nodes %u", acpi.cpu_count, acpi.ioapic_count,
              acpi.node_count);
}

void acpi_init(const struct boot_info *info) {
    struct view view = {.boot = info};
    const struct acpi_reader reader = {.map = map, .note = note, .arg = &view};
    bool usable = info->rsdp != 0 && acpi_read(&reader, info->rsdp, &acpi);
    if (!usable) {
        uint64_t rsdp = find_bios_rsdp(&view);
        acpi_defaults(&acpi);
        usable = rsdp != 0 && acpi_read(&reader, rsdp, &acpi);
    }
    unmap(&view);
    report(&view, usable);
}
