/* Kernel: places the kernel's segments and finds its entry. */
#include "boot/bios/loader.h"
#include "lib/bytes.h"
#include "lib/elf.h"

#include <string.h>

#define IMAGE_BASE 0xffffffff80000000ull /* where the loader's tables map the first 1 GiB */
#define IMAGE_END  (1ull << 30)
#define ELF_NOTE   4u
#define NOTES_MAX  64u

static void place(const struct bios_boot *boot, const struct elf_segment *segment,
                  const uint8_t *file) {
    if (segment->vaddr - segment->paddr != IMAGE_BASE ||
        segment->paddr + segment->mem_size > IMAGE_END)
        die("the kernel is linked where this loader cannot put it");
    if (!memory_is_free(boot, segment->paddr, segment->mem_size))
        die("not enough memory: the kernel needs %x bytes at %x", (uint32_t)segment->mem_size,
            (uint32_t)segment->paddr);
    uint8_t *to = (uint8_t *)(uintptr_t)segment->paddr;
    memcpy(to, file + segment->offset, (size_t)segment->file_size);
    memset(to + segment->file_size, 0, (size_t)(segment->mem_size - segment->file_size));
}

/* The entry is the value of a note named "GGMK" of type 1 (arch/x86_64/entry_bios.S). */
static uint64_t find_entry(const struct elf_segment *segment, const uint8_t *file) {
    const uint8_t *at = file + segment->offset;
    uint64_t left = segment->file_size;
    for (unsigned i = 0; i < NOTES_MAX && left >= 12; i++) {
        uint64_t name = (bytes_le32(at) + 3ull) & ~3ull;
        uint64_t value = (bytes_le32(at + 4) + 3ull) & ~3ull;
        if (12 + name + value > left)
            break;
        if (name == 8 && value == 8 && bytes_le32(at + 8) == 1 && memcmp(at + 12, "GGMK", 5) == 0)
            return bytes_le64(at + 20);
        at += 12 + name + value;
        left -= 12 + name + value;
    }
    return 0;
}

uint64_t kernel_place(const struct bios_boot *boot, const uint8_t *file, uint32_t size) {
    struct elf elf;
    struct elf_segment segment;
    uint64_t entry = 0;
    if (!elf_open(&elf, file, size))
        die("the kernel is no usable ELF file: %s", elf.error);
    for (unsigned i = 0; i < elf.segment_count; i++) {
        if (!elf_segment(&elf, i, &segment))
            die("the kernel is no usable ELF file: %s", elf.error);
        if (segment.type == ELF_LOAD)
            place(boot, &segment, file);
        else if (segment.type == ELF_NOTE && entry == 0)
            entry = find_entry(&segment, file);
    }
    if (entry == 0)
        die("the kernel has no entry for this loader");
    return entry;
}
