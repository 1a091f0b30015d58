/* Loader: the parts of the BIOS loader's second stage, and what each promises.
 *
 * One CPU, one flow, 32-bit code; the BIOS is called through bios_call(). What cannot go on calls
 * die(), which says why on the screen and on COM1 and stops; so no function here returns an error
 * that somebody could forget. Everything static lies below 64 KiB (stage2.lds asserts it), so the
 * BIOS can write to it with segment 0. */
#pragma once

#include "boot/bios/bios_boot.h"
#include "boot/bios/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- stage2.S ------------------------------------------------------------------------ */

struct bios_regs {      /* in the order in which pushal leaves them */
    uint16_t flags, es; /* flags: only what the BIOS returned */
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
};
#define BIOS_CARRY 1u

void bios_call(unsigned vector, struct bios_regs *regs);
bool cpuid_exists(void);
_Noreturn void enter_kernel(uint32_t entry_low, uint32_t entry_high);

/* From stage2.S, with the BIOS's number of the boot disk. */
_Noreturn void loader_main(uint32_t drive);

/* ---- machine.c: console, CPU, A20, memory map ------------------------------------------- */

void console_init(void);
/* Texts and numbers: say("sector %u, status %x\n", ...) knows %u, %x (32 bits) and %s. */
void say(const char *format, ...);
_Noreturn void die(const char *format, ...);

void cpu_check(void); /* dies on a CPU without long mode */
void a20_open(void);  /* dies if it stays closed */

/* The BIOS's memory map, into boot->ranges. Dies if there is none. */
void memory_read(struct bios_boot *boot);
/* `size` bytes at the top of free memory below 4 GiB, page-aligned, taken for good. Dies if there
 * is no such place; `what` names it. */
uint8_t *memory_take(const struct bios_boot *boot, uint32_t size, const char *what);
/* Is [base, base + size) free RAM above 1 MiB and not taken? */
bool memory_is_free(const struct bios_boot *boot, uint64_t base, uint64_t size);

/* ---- disk.c ------------------------------------------------------------------------------- */

/* The header sector's contents, as scripts/mkdisk writes them. */
struct disk_file {
    uint32_t lba, size, crc; /* size in bytes; crc: CRC-32 of them (IEEE 802.3, as in zlib) */
};
struct disk_header {
    char magic[8]; /* "GGMKDISK" */
    uint32_t crc;  /* of the whole header with this field 0 */
    uint32_t version;
    struct disk_file kernel, initrd;      /* initrd: size 0 where there is none */
    uint32_t screen_width, screen_height; /* wanted; 0: text mode */
    uint8_t room[HEADER_CMDLINE - 48];
    char cmdline[HEADER_SECTORS * SECTOR_SIZE - HEADER_CMDLINE];
};
_Static_assert(sizeof(struct disk_header) == HEADER_SECTORS * SECTOR_SIZE, "whole sectors");
_Static_assert(sizeof(((struct disk_header *)0)->cmdline) == BIOS_CMDLINE_MAX, "it is passed on");

void disk_open(uint32_t drive);
const struct disk_header *disk_header_read(void); /* dies if it is damaged */
/* Reads a file of the image into memory and checks it. */
uint8_t *disk_load(const struct bios_boot *boot, const struct disk_file *file, const char *name);

/* ---- screen.c, kernel.c --------------------------------------------------------------------- */

/* Sets the mode that comes nearest to the wish and describes it. The last call that may say
 * something on a screen is before it. */
void screen_set(struct bios_boot *boot, uint32_t width, uint32_t height);

/* Puts the segments of the ELF file in their places; returns the address of its "GGMK" entry. */
uint64_t kernel_place(const struct bios_boot *boot, const uint8_t *file, uint32_t size);
