/* Bios: translates what our own loader hands over (boot/bios/bios_boot.h) into boot_info.
 *
 * The loader is ours, yet its words are checked like anybody's: it passes on what a BIOS said, and
 * a kernel may meet a loader of another version. */
#include "boot/bios.h"
#include "boot/bios/bios_boot.h"
#include "boot/roads.h"

static void read_ranges(struct boot_info *info, const struct bios_boot *boot) {
    uint32_t count = boot->range_count;
    if (count > BIOS_RANGES_MAX) {
        road_complain(info,
                      "bios: the memory map is longer than its table: only its start was read");
        count = BIOS_RANGES_MAX;
    }
    info->dropped_ranges += boot->ranges_dropped;
    for (uint32_t i = 0; i < count; i++) {
        const struct bios_range *range = &boot->ranges[i];
        if ((range->attributes & 1) != 0)
            boot_add_range(info, range->base, range->size, road_range_kind(range->type));
    }
}

void bios_read(struct boot_info *info, const void *structure, uint64_t limit) {
    const struct bios_boot *boot = structure;
    if (limit < sizeof(*boot) || boot->magic != BIOS_BOOT_MAGIC || boot->size != sizeof(*boot)) {
        road_complain(info, "bios: the loader and the kernel are not of the same version");
        return;
    }
    road_copy_text(info->loader, sizeof(info->loader), "gmk bios loader", BOOT_NAME_MAX);
    boot_set_cmdline(info, boot->cmdline, sizeof(boot->cmdline));
    read_ranges(info, boot);
    boot_add_range(info, boot->kept_base, boot->kept_size, BOOT_LOADER);
    if (boot->initrd_size != 0)
        boot_add_module(info, boot->initrd_base, boot->initrd_size, "initrd", BOOT_NAME_MAX);
    if (boot->screen.kind != BOOT_FB_NONE)
        road_set_screen(info, &boot->screen);
}

void road_bios(uint64_t structure) {
    boot_info.road = "bios";
    const void *at = boot_reach(&boot_info, structure, sizeof(struct bios_boot));
    bios_read(&boot_info, at, at != NULL ? sizeof(struct bios_boot) : 0);
}
