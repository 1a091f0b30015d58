/* Limine: the requests and responses of the Limine boot protocol that the kernel uses.
 *
 * Written from "The Limine Boot Protocol" (PROTOCOL.md of the Limine project), base revision 3,
 * as Limine v8 speaks it; the chapters are named beside each structure. The executable carries
 * requests, found by their magic numbers; the loader writes the address of a response into
 * each one that it knows. Every pointer of a response is virtual, in the higher half direct map
 * of the loader, unless said otherwise.
 *
 * All requests are in one structure, `limine_requests`, markers first and last, so that their order
 * in memory is that of this file and the loader looks nowhere else. */
#pragma once

#include "boot/boot_info.h"

#define LIMINE_BASE_REVISION 3u

/* "Requests Delimiters", "Base Revisions", "Request": magic numbers. */
#define LIMINE_START \
    { 0xf6b8f4b39de7d1ae, 0xfab91a6940fcb9cf, 0x785c6ed015d3e316, 0x181e920a7852b9d9 }
#define LIMINE_END \
    { 0xadc0e0531bb10d03, 0x9572709f31764c62 }
#define LIMINE_BASE_MAGIC0 0xf9562b2d5c95a6c8u
#define LIMINE_BASE_MAGIC1 0x6a7b384944536bdcu
#define LIMINE_MAGIC0      0xc7b1dd30df4c8b88u
#define LIMINE_MAGIC1      0x0a82e883a194f07bu

/* The features, with the other half of each one's magic: X(name, id2, id3) */
#define LIMINE_FEATURES(X)                                        \
    X(bootloader_info, 0xf55038d8e2a1202f, 0x279426fcf5f59740)    \
    X(hhdm, 0x48dcf1cb8ad2b852, 0x63984e959a98244b)               \
    X(framebuffer, 0x9d5827dcd881dd75, 0xa3148604f6fab11b)        \
    X(memmap, 0x67cf3d9d378a806f, 0xe304acdfc50c3c62)             \
    X(executable_file, 0xad97e90e83f1ed67, 0x31eb5d1c5ff23b69)    \
    X(module, 0x3e7e279702be32af, 0xca1c4f3bd1280cee)             \
    X(rsdp, 0xc5e77b6b397e7b43, 0x27637845accdcf3c)               \
    X(executable_address, 0x71ba76863cc55f63, 0xb2644a48c516a487) \
    X(mp, 0x95a67b819a1b857e, 0xa0b61b723b6a73e0)

/* "Bootloader Info Feature" */
struct limine_bootloader_info {
    uint64_t revision;
    const char *name, *version;
};

/* "HHDM (Higher Half Direct Map) Feature": virtual = physical + offset */
struct limine_hhdm {
    uint64_t revision;
    uint64_t offset;
};

/* "Framebuffer Feature" */
struct limine_screen {
    uint64_t address; /* virtual */
    uint64_t width, height, pitch;
    uint16_t bits_per_pixel;
    uint8_t memory_model; /* 1: RGB */
    uint8_t red_bits, red_shift, green_bits, green_shift, blue_bits, blue_shift;
};
struct limine_framebuffer {
    uint64_t revision;
    uint64_t count;
    struct limine_screen **screens;
};

/* "Memory Map Feature" */
struct limine_range {
    uint64_t base, length;
    uint64_t type; /* 0 usable ... see range_kind() */
};
struct limine_memmap {
    uint64_t revision;
    uint64_t count;
    struct limine_range **entries;
};

/* "File Structure", the part that we read */
struct limine_file {
    uint64_t revision;
    uint64_t address; /* virtual */
    uint64_t size;
    const char *path;
    const char *text; /* the command line that the configuration gives the file */
};
struct limine_executable_file {
    uint64_t revision;
    struct limine_file *file;
};
struct limine_module {
    uint64_t revision;
    uint64_t count;
    struct limine_file **files;
};

/* "RSDP Feature" */
struct limine_rsdp {
    uint64_t revision;
    uint64_t address; /* physical in base revision 3, virtual in all others */
};

/* "Executable Address Feature" */
struct limine_executable_address {
    uint64_t revision;
    uint64_t physical, virtual;
};

/* "MP (Multiprocessor) Feature", x86-64 */
struct limine_cpu {
    uint32_t processor_id; /* ACPI's */
    uint32_t apic_id;
    uint64_t reserved;
    uint64_t goto_address; /* written by us, with release: the CPU jumps there, rdi = this */
    uint64_t argument;     /* ours */
};
struct limine_mp {
    uint64_t revision;
    uint32_t flags;
    uint32_t boot_apic_id;
    uint64_t count;
    struct limine_cpu **cpus;
};

/* "Request". Feature-specific words follow where `flags` is; all are 0 for what we ask. */
#define LIMINE_REQUEST(name, id2, id3)        \
    struct {                                  \
        uint64_t id[4];                       \
        uint64_t revision;                    \
        const struct limine_##name *response; \
        uint64_t flags[2];                    \
    } name;

struct limine_requests {
    uint64_t start[4];
    uint64_t base_revision[3]; /* [2] becomes 0 where the loader speaks the one asked for */
    LIMINE_FEATURES(LIMINE_REQUEST)
    uint64_t end[2];
};

extern struct limine_requests limine_requests;

/* Translates the responses. `image` is where the kernel was linked: the loader must agree.
 * Touches only *info. */
void limine_read(struct boot_info *info, const struct limine_requests *requests, uint64_t image,
                 uint64_t image_size);

/* From entry_limine.S: the first byte of the image and the one behind its last. */
void road_limine(uint64_t image_start, uint64_t image_end);
