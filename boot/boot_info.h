/* Boot info: what every boot road tells the kernel, in one structure.
 *
 * Problem: PVH, Multiboot2, Limine and our own loader each describe the machine in their own
 * words. Idea: each road has one function that translates; the kernel reads only this.
 *
 * A road runs on the first CPU with interrupts off, on the boot stack, before any memory
 * manager exists. It writes the one static structure `boot_info` and nothing else. What it
 * read is untrusted: lengths are checked against the limits here, and what did not fit is
 * counted in `dropped_...`, so that the kernel can report it once it has a log.
 *
 * All addresses are physical. Text is copied in; modules stay where the loader put them and
 * their frames are not free memory as long as the kernel may read them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BOOT_RANGES_MAX  256u  /* entries of the memory map as delivered, before sorting */
#define BOOT_MODULES_MAX 8u    /* files that came along; [0] is the initrd unless named otherwise */
#define BOOT_CMDLINE_MAX 2048u /* bytes of command line kept, terminator included */
#define BOOT_NAME_MAX    64u   /* bytes of a module's name kept, terminator included */
#define BOOT_CPUS_MAX    64u   /* CPUs that a road may bring up itself (Limine) */
#define BOOT_TEXT_MAX    (1u << 20)   /* bytes of a text that are looked through for its end */
#define BOOT_TABLE_MAX   1024u        /* entries of a loader's table that are looked at */
#define BOOT_REACH       (1ull << 32) /* physical memory below this is reachable early */

/* What a range of physical memory is. The values order by strength: where ranges overlap, the
 * higher one wins, so that doubtful memory is never handed out. */
enum boot_range_kind {
    BOOT_RAM = 1,          /* free for the kernel */
    BOOT_LOADER = 2,       /* the boot loader's data: RAM once the road's data was copied */
    BOOT_ACPI_RECLAIM = 3, /* ACPI tables: read-only RAM, kept */
    BOOT_ACPI_NVS = 4,     /* the firmware's: never touched */
    BOOT_RESERVED = 5,     /* devices, firmware, unknown types */
    BOOT_BAD = 6,          /* defective RAM */
};

struct boot_range {
    uint64_t base;
    uint64_t size; /* bytes; a road may deliver 0, overlaps and any order: lib/memmap.h copes */
    uint32_t kind; /* enum boot_range_kind */
};

struct boot_module {
    uint64_t base;
    uint64_t size;
    char name[BOOT_NAME_MAX]; /* the loader's name or command line for it; may be "" */
};

enum boot_framebuffer_kind {
    BOOT_FB_NONE = 0,
    BOOT_FB_TEXT = 1, /* VGA text at `base`, width and height in characters */
    BOOT_FB_RGB = 2,  /* linear, pixels of `bits_per_pixel` */
};

struct boot_framebuffer {
    uint64_t base;
    uint32_t kind;  /* enum boot_framebuffer_kind */
    uint32_t pitch; /* bytes from one line to the next */
    uint32_t width, height;
    uint8_t bits_per_pixel; /* 16, 24 or 32 for RGB */
    uint8_t red_shift, red_bits, green_shift, green_bits, blue_shift, blue_bits;
};

/* A CPU that waits for an address to jump to, as Limine leaves them (goto_address). The arch's
 * SMP code uses these instead of INIT-SIPI when cpu_count is not 0. */
struct boot_cpu {
    uint32_t apic_id;
    uint64_t goto_address; /* virtual, in the loader's mapping: the word to write */
    uint64_t argument;     /* virtual: the word that the CPU passes on; 0 where there is none */
};

struct boot_info {
    const char *road; /* "pvh", "multiboot2", "limine", "bios": static text */

    /* The memory that holds the kernel's image: [kernel_base, kernel_base + kernel_size). A road
     * that loads it where it is linked leaves 0, and kernel_main() fills it in. */
    uint64_t kernel_base;
    uint64_t kernel_size;

    /* Physical memory below 4 GiB (Limine: all that is in its map) can be reached at
     * `early_offset + physical` until the kernel has page tables of its own. */
    uint64_t early_offset;

    struct boot_range ranges[BOOT_RANGES_MAX];
    uint32_t range_count;
    uint32_t dropped_ranges; /* more than BOOT_RANGES_MAX came */

    struct boot_module modules[BOOT_MODULES_MAX];
    uint32_t module_count;
    uint32_t dropped_modules;

    struct boot_framebuffer framebuffer;
    uint64_t rsdp; /* physical address of the ACPI root pointer; 0: look for it in the BIOS area */

    char cmdline[BOOT_CMDLINE_MAX]; /* always terminated */
    uint64_t cmdline_length;        /* as delivered; >= BOOT_CMDLINE_MAX means that it was cut */

    struct boot_cpu cpus[BOOT_CPUS_MAX];
    uint32_t cpu_count; /* 0: the kernel starts CPUs itself */

    char loader[BOOT_NAME_MAX]; /* what the loader calls itself; may be "" */
    const char *complaint; /* static text: what the road found wrong and went on with; or NULL */
};

extern struct boot_info boot_info;

/* Where a road reads `size` bytes at `pa`; NULL if that is not reachable yet (or pa is 0). */
const void *boot_reach(const struct boot_info *info, uint64_t pa, uint64_t size);

/* Adds a range or a module, or counts it as dropped. For the roads. */
void boot_add_range(struct boot_info *info, uint64_t base, uint64_t size, uint32_t kind);
void boot_add_module(struct boot_info *info, uint64_t base, uint64_t size, const char *name,
                     uint64_t name_limit);

/* Copies a command line of at most `limit` bytes (it may lack a terminator): all of its length
 * is counted, the part that fits is kept. */
void boot_set_cmdline(struct boot_info *info, const char *text, uint64_t limit);

/* The roads' readers. Each checks all that it reads; the callers are entry code and tests. */
void pvh_read(struct boot_info *info, uint64_t start_info);
