/* ELF: reads 64-bit little-endian ELF files: header and segments. Pure, checks everything.
 * System V ABI, gABI chapters 4 and 5. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum elf_segment_type {
    ELF_LOAD = 1,
    ELF_DYNAMIC = 2,
    ELF_INTERP = 3,
    ELF_NOTE = 4,
    ELF_TLS = 7,
    ELF_GNU_STACK = 0x6474e551,
};
enum elf_segment_flag { ELF_EXEC = 1, ELF_WRITE = 2, ELF_READ = 4 };

#define ELF_SEGMENT_SIZE 56u /* of an entry of the table of segments */

struct elf {
    const uint8_t *bytes;
    size_t size;
    uint64_t entry;
    uint16_t type, machine; /* ET_... (2 = fixed addresses, 3 = movable), EM_... (62 = x86_64) */
    uint16_t segment_count;
    uint64_t segments_at;
    const char *error; /* what was refused; NULL when open */
};

struct elf_segment {
    uint32_t type, flags; /* enum elf_segment_type, enum elf_segment_flag */
    uint64_t offset, vaddr, paddr, file_size, mem_size, align;
};

/* Checks magic, class, byte order, version, header sizes and that the table of segments is
 * inside; false with elf->error otherwise. */
bool elf_open(struct elf *elf, const void *bytes, size_t size);
/* The i-th segment. Its part of the file is inside the file; for ELF_LOAD file_size <= mem_size,
 * neither address range wraps around, and the alignment is 0 or a power of two that address and
 * offset agree on. False with elf->error. */
bool elf_segment(struct elf *elf, unsigned i, struct elf_segment *segment);
/* The same as it stands in the table, not checked: for a program that looks at itself, of which only
 * header and table are at hand. False: no such segment. */
bool elf_segment_raw(const struct elf *elf, unsigned i, struct elf_segment *segment);
