/* Main: the second stage of the BIOS loader, from the boot record to the kernel.
 *
 * The order: first what can be wrong with the machine, then with the image; the screen's mode last,
 * so that every message is seen. */
#include "boot/bios/loader.h"

#include <string.h>

#define TABLE_ENTRIES 512u
#define PRESENT_WRITE 3u
#define LARGE         0x80u
#define LARGE_SIZE    0x200000ull

_Static_assert(BIOS_BOOT_AT + sizeof(struct bios_boot) <= KEPT_END, "room for the structure");

/* The first 4 GiB at their own addresses by pages of 2 MiB, and the first 1 GiB of them again
 * at 0xffffffff80000000, where the kernel is linked: slot 511, then slot 510. */
static void tables_make(void) {
    uint64_t *pml4 = (uint64_t *)TABLES_AT;
    uint64_t *low = pml4 + TABLE_ENTRIES, *high = low + TABLE_ENTRIES,
             *pages = high + TABLE_ENTRIES;
    memset(pml4, 0, 3 * TABLE_ENTRIES * sizeof(*pml4));
    pml4[0] = (uintptr_t)low | PRESENT_WRITE;
    pml4[511] = (uintptr_t)high | PRESENT_WRITE;
    for (unsigned i = 0; i < 4; i++)
        low[i] = (uintptr_t)(pages + i * TABLE_ENTRIES) | PRESENT_WRITE;
    high[510] = low[0];
    for (unsigned i = 0; i < 4 * TABLE_ENTRIES; i++)
        pages[i] = i * LARGE_SIZE | LARGE | PRESENT_WRITE;
}

void loader_main(uint32_t drive) {
    struct bios_boot *boot = (struct bios_boot *)BIOS_BOOT_AT;
    memset(boot, 0, sizeof(*boot));
    boot->magic = BIOS_BOOT_MAGIC;
    boot->size = sizeof(*boot);
    boot->drive = drive;
    boot->kept_base = TABLES_AT;
    boot->kept_size = KEPT_END - TABLES_AT;

    console_init();
    cpu_check();
    a20_open();
    memory_read(boot);
    disk_open(drive);
    const struct disk_header *header = disk_header_read();
    uint8_t *kernel = disk_load(boot, &header->kernel, "kernel");
    if (header->initrd.size != 0) {
        boot->initrd_base = (uintptr_t)disk_load(boot, &header->initrd, "initrd");
        boot->initrd_size = header->initrd.size;
    }
    uint64_t entry = kernel_place(boot, kernel, header->kernel.size);
    memcpy(boot->cmdline, header->cmdline, sizeof(boot->cmdline));
    say("GGMK loader: disk %x, kernel %u bytes, initrd %u bytes\n", drive, header->kernel.size,
        header->initrd.size);
    screen_set(boot, header->screen_width, header->screen_height);
    tables_make();
    enter_kernel((uint32_t)entry, (uint32_t)(entry >> 32));
}
