/* ELF load: what a loader has to do to bring a static program into memory.
 *
 * Pure: reads the file's bytes and decides; memory is the caller's, who passes a function that writes
 * into it. Used by the kernel for init, and by init for all other programs.
 *
 *     elf_plan()   checks everything, and lists parts: runs of pages with one set of rights
 *     elf_place()  writes the parts' bytes and the relocations, for the place the caller has chosen
 *
 * A program is an x86_64 file for fixed addresses, or a movable one whose only relocations are relative
 * (`-static-pie`): add the distance from where it was linked. No part is both writable and
 * executable. What the file does not fill is zero, as the caller's memory is from the start. */
#pragma once

#include "lib/elf.h"

#define ELF_PARTS_MAX     16u
#define ELF_SPAN_MAX      (UINT64_C(1) << 32) /* from the first page to the last */
#define ELF_TLS_SIZE_MAX  65536u
#define ELF_TLS_ALIGN_MAX 64u

struct elf_part {
    uint64_t start, end;       /* addresses as linked, whole pages */
    uint64_t vaddr, file_size; /* what the file fills, */
    uint64_t offset;           /* and where in the file that lies */
    unsigned rights;           /* enum elf_segment_flag; READ is always in it */
};

struct elf_plan {
    struct elf elf;
    bool movable;               /* else it must lie at its addresses as linked */
    uint64_t low, high;         /* of all parts, as linked */
    uint64_t entry, table;      /* as linked; table: of segments, 0: it is in no part */
    const uint8_t *relocations; /* in the file */
    uint64_t relocation_count;
    unsigned part_count;
    struct elf_part parts[ELF_PARTS_MAX]; /* by address; none overlap */
    const char *error;                    /* what was refused; NULL: a plan */
};

/* `lowest`, `highest`: where fixed parts may be. False with plan->error. */
bool elf_plan(struct elf_plan *plan, const void *bytes, size_t size, uint64_t lowest,
              uint64_t highest);

/* A distance for elf_place() that puts a movable program anywhere in [lowest, highest), which must be
 * larger than ELF_SPAN_MAX: which page, the random number says. 0 for a fixed one. */
uint64_t elf_distance(const struct elf_plan *plan, uint64_t random, uint64_t lowest,
                      uint64_t highest);

/* Takes `size` bytes for the place `offset` bytes above plan->low. False: it could not. */
typedef bool (*elf_write_fn)(void *arg, uint64_t offset, const void *bytes, size_t size);
/* `distance`: from the addresses as linked to where the program will lie; 0 for a fixed one. False: a
 * write was refused. */
bool elf_place(const struct elf_plan *plan, uint64_t distance, elf_write_fn write, void *arg);
