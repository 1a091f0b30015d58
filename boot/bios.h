/* Bios: the road of our own loader for BIOS machines, as the kernel sees it. */
#pragma once

#include "boot/boot_info.h"

/* Translates the `struct bios_boot` at `structure`, of which `limit` bytes can be read. */
void bios_read(struct boot_info *info, const void *structure, uint64_t limit);

/* From entry_bios.S: the structure's physical address. */
void road_bios(uint64_t structure);
