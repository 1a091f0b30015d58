/* Bios boot: what our own loader (boot/bios) hands to the kernel (boot/bios.c).
 *
 * The loader is 32-bit code and the kernel 64-bit, so the fields have sizes that are the same in
 * both, wide ones first. Magic and size tell a kernel that meets an older loader. */
#pragma once

#include "boot/boot_info.h"

#define BIOS_BOOT_MAGIC  0x746f6f626b6d67ull /* "gmkboot" */
#define BIOS_RANGES_MAX  128u
#define BIOS_CMDLINE_MAX 3584u /* bytes, terminator included */

/* As INT 15h E820 delivers it (ACPI 6.5, 15.1). */
struct bios_range {
    uint64_t base, size;
    uint32_t type;
    uint32_t attributes; /* bit 0 clear: to be ignored; 1 where the BIOS delivers none */
};

struct bios_boot {
    uint64_t magic;
    uint64_t kept_base, kept_size;     /* this structure and the loader's page tables */
    uint64_t initrd_base, initrd_size; /* size 0: none */
    struct boot_framebuffer screen;    /* BOOT_FB_NONE where there is none */
    uint32_t size;                     /* of this structure */
    uint32_t drive;                    /* the BIOS's number of the boot disk */
    uint32_t range_count, ranges_dropped;
    struct bios_range ranges[BIOS_RANGES_MAX];
    char cmdline[BIOS_CMDLINE_MAX];
};

_Static_assert(sizeof(struct bios_range) == 24, "as the BIOS writes it");
_Static_assert(sizeof(struct boot_framebuffer) == 32, "the same in 32-bit and 64-bit code");
_Static_assert(sizeof(struct bios_boot) ==
                   88 + sizeof(struct bios_range) * BIOS_RANGES_MAX + BIOS_CMDLINE_MAX,
               "no hidden padding");
