/* ELF: header and segments, from bytes that nobody vouches for. */
#include "lib/elf.h"

#include "lib/bytes.h"

#include <string.h>

#define HEADER_SIZE 64u

/* What is wrong with the header; it is read as far as it goes. */
static const char *read_header(struct elf *elf) {
    const uint8_t *header = elf->bytes;
    if (elf->size < HEADER_SIZE)
        return "shorter than an ELF header";
    if (memcmp(header, "\177ELF", 4) != 0)
        return "no ELF magic number";
    /* Class 64 bits, little-endian, version 1, and the same version again as a word. */
    if (memcmp(header + 4, "\2\1\1", 3) != 0 || bytes_le32(header + 20) != 1)
        return "not a 64-bit little-endian ELF file of version 1";
    elf->type = bytes_le16(header + 16);
    elf->machine = bytes_le16(header + 18);
    elf->entry = bytes_le64(header + 24);
    elf->segments_at = bytes_le64(header + 32);
    elf->segment_count = bytes_le16(header + 56);
    if (bytes_le16(header + 52) != HEADER_SIZE)
        return "a header of unknown size";
    if (elf->segment_count != 0 && bytes_le16(header + 54) != ELF_SEGMENT_SIZE)
        return "segment headers of unknown size";
    if (elf->segments_at > elf->size ||
        (uint64_t)elf->segment_count * ELF_SEGMENT_SIZE > elf->size - elf->segments_at)
        return "the table of segments reaches past the end";
    return NULL;
}

bool elf_open(struct elf *elf, const void *bytes, size_t size) {
    *elf = (struct elf){.bytes = bytes, .size = size};
    elf->error = read_header(elf);
    return elf->error == NULL;
}

static const char *check_segment(const struct elf *elf, const struct elf_segment *segment) {
    if (segment->offset > elf->size || segment->file_size > elf->size - segment->offset)
        return "a segment reaches past the end of the file";
    if (segment->type != ELF_LOAD)
        return NULL;
    if (segment->file_size > segment->mem_size)
        return "a segment has more bytes in the file than in memory";
    if (segment->mem_size > UINT64_MAX - segment->vaddr ||
        segment->mem_size > UINT64_MAX - segment->paddr)
        return "a segment wraps around the end of memory";
    uint64_t mask = segment->align == 0 ? 0 : segment->align - 1;
    if ((segment->align & mask) != 0)
        return "the alignment of a segment is no power of two";
    if (((segment->vaddr - segment->offset) & mask) != 0)
        return "address and file offset of a segment do not agree on its alignment";
    return NULL;
}

bool elf_segment_raw(const struct elf *elf, unsigned i, struct elf_segment *segment) {
    if (i >= elf->segment_count)
        return false;
    const uint8_t *at = elf->bytes + elf->segments_at + (size_t)i * ELF_SEGMENT_SIZE;
    *segment = (struct elf_segment){
        .type = bytes_le32(at),
        .flags = bytes_le32(at + 4),
        .offset = bytes_le64(at + 8),
        .vaddr = bytes_le64(at + 16),
        .paddr = bytes_le64(at + 24),
        .file_size = bytes_le64(at + 32),
        .mem_size = bytes_le64(at + 40),
        .align = bytes_le64(at + 48),
    };
    return true;
}

bool elf_segment(struct elf *elf, unsigned i, struct elf_segment *segment) {
    elf->error = elf_segment_raw(elf, i, segment) ? check_segment(elf, segment) : "no such segment";
    return elf->error == NULL;
}
