/* Boot info: the one structure that all roads fill, and the three ways to put something in. */
#include "boot/roads.h"

struct boot_info boot_info;

const void *boot_reach(const struct boot_info *info, uint64_t pa, uint64_t size) {
    if (pa == 0 || pa >= BOOT_REACH || size > BOOT_REACH - pa)
        return NULL;
    return (const void *)(uintptr_t)(info->early_offset + pa);
}

void boot_add_range(struct boot_info *info, uint64_t base, uint64_t size, uint32_t kind) {
    if (size == 0)
        return;
    if (info->range_count == BOOT_RANGES_MAX) {
        info->dropped_ranges++;
        return;
    }
    info->ranges[info->range_count++] = (struct boot_range){base, size, kind};
}

void boot_add_module(struct boot_info *info, uint64_t base, uint64_t size, const char *name,
                     uint64_t name_limit) {
    if (info->module_count == BOOT_MODULES_MAX) {
        info->dropped_modules++;
        return;
    }
    struct boot_module *module = &info->modules[info->module_count++];
    module->base = base;
    module->size = size;
    road_copy_text(module->name, BOOT_NAME_MAX, name, name != NULL ? name_limit : 0);
}

void boot_set_cmdline(struct boot_info *info, const char *text, uint64_t limit) {
    uint64_t length = 0;
    while (text != NULL && length < limit && text[length] != '\0')
        length++;
    info->cmdline_length = length;
    road_copy_text(info->cmdline, BOOT_CMDLINE_MAX, text, length);
}
