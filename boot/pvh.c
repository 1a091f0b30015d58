/* PVH: reads what a virtual machine monitor tells a kernel that it starts directly.
 *
 * QEMU's -kernel, Firecracker, Cloud Hypervisor and Xen start an ELF image that has a PVH note
 * in 32-bit mode, with the address of one structure in ebx. Version 0 lacks the memory map, and
 * then there is no memory to use: the kernel says so. The layout is Xen's
 * public/arch-x86/hvm/start_info.h. All addresses in it are below 4 GiB or not reachable here. */
#include "boot/roads.h"

#define PVH_MAGIC 0x336ec578u

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp;
    /* Version 1 and later. */
    uint64_t memory_map;
    uint32_t memory_map_count, reserved;
} __attribute__((packed));

struct pvh_module {
    uint64_t base, size, cmdline, reserved;
} __attribute__((packed));

struct pvh_range {
    uint64_t base, size;
    uint32_t type, reserved;
} __attribute__((packed));

void road_pvh(uint64_t start_info); /* entry.S */

static uint32_t at_most(struct boot_info *info, uint32_t count) {
    if (count <= BOOT_TABLE_MAX)
        return count;
    road_complain(info, "pvh: a table has too many entries, the rest was not read");
    return BOOT_TABLE_MAX;
}

static void read_map(struct boot_info *info, const struct pvh_start_info *start) {
    uint32_t count = at_most(info, start->memory_map_count);
    const struct pvh_range *ranges =
        boot_reach(info, start->memory_map, count * sizeof(struct pvh_range));
    if (ranges == NULL) {
        road_complain(info, "pvh: the memory map is out of reach");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        boot_add_range(info, ranges[i].base, ranges[i].size, road_range_kind(ranges[i].type));
}

/* Bytes from `pa` to the end of what can be read, at most BOOT_TEXT_MAX. */
static uint64_t text_limit(uint64_t pa) {
    return pa < BOOT_REACH - BOOT_TEXT_MAX ? BOOT_TEXT_MAX : BOOT_REACH - pa;
}

static void read_modules(struct boot_info *info, const struct pvh_start_info *start) {
    uint32_t count = at_most(info, start->module_count);
    const struct pvh_module *modules =
        boot_reach(info, start->modules, count * sizeof(struct pvh_module));
    if (modules == NULL) {
        if (count != 0)
            road_complain(info, "pvh: the list of modules is out of reach");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        boot_add_module(info, modules[i].base, modules[i].size,
                        boot_reach(info, modules[i].cmdline, 1), text_limit(modules[i].cmdline));
}

void pvh_read(struct boot_info *info, uint64_t start_info) {
    const struct pvh_start_info *start =
        boot_reach(info, start_info, offsetof(struct pvh_start_info, memory_map));
    if (start == NULL || start->magic != PVH_MAGIC) {
        road_complain(info, "pvh: the start information is missing");
        return;
    }
    boot_set_cmdline(info, boot_reach(info, start->cmdline, 1), text_limit(start->cmdline));
    info->rsdp = start->rsdp;
    read_modules(info, start);
    if (start->version == 0 || boot_reach(info, start_info, sizeof *start) == NULL)
        road_complain(info, "pvh: version 0 has no memory map");
    else
        read_map(info, start);
}

void road_pvh(uint64_t start_info) {
    boot_info.road = "pvh";
    pvh_read(&boot_info, start_info);
}
