/* ELF load: checks a program from end to end before anything is written. */
#include "lib/elf_load.h"

#include "lib/bytes.h"

#include <string.h>

#define PAGE            UINT64_C(4096)
#define MACHINE_X86_64  62u
#define TYPE_FIXED      2u
#define TYPE_MOVABLE    3u
#define DYNAMIC_SIZE    16u
#define RELOCATION_SIZE 24u
#define SEGMENTS_MAX    64u

/* Tags of the dynamic table, gABI chapter 5. */
enum {
    TAG_END = 0,
    TAG_NEEDED = 1,
    TAG_PLT_SIZE = 2,
    TAG_RELA = 7,
    TAG_RELA_SIZE = 8,
    TAG_RELA_ENTRY = 9,
    TAG_REL = 17,
    TAG_TEXTREL = 22,
    TAG_RELR = 36,
};
/* System V ABI x86-64, table 4.10. */
enum { RELOCATION_NONE = 0, RELOCATION_RELATIVE = 8 };

static const char *check_header(const struct elf *elf) {
    /* System V or GNU, and no version or flags, which x86_64 has none of. */
    if ((elf->bytes[7] != 0 && elf->bytes[7] != 3) || elf->bytes[8] != 0)
        return "for another operating system";
    if (elf->machine != MACHINE_X86_64 || bytes_le32(elf->bytes + 48) != 0)
        return "for another processor";
    if (elf->type != TYPE_FIXED && elf->type != TYPE_MOVABLE)
        return "not a program";
    if (elf->segment_count > SEGMENTS_MAX)
        return "too many segments";
    return NULL;
}

static const char *add_part(struct elf_plan *plan, const struct elf_segment *segment) {
    if (segment->mem_size == 0)
        return NULL;
    if (plan->part_count == ELF_PARTS_MAX)
        return "too many segments to load";
    if ((segment->flags & ELF_WRITE) != 0 && (segment->flags & ELF_EXEC) != 0)
        return "a segment is both writable and executable";
    if (segment->vaddr + segment->mem_size > UINT64_MAX - PAGE)
        return "a segment wraps around the end of memory";
    struct elf_part part = {
        .start = segment->vaddr & ~(PAGE - 1),
        .end = (segment->vaddr + segment->mem_size + PAGE - 1) & ~(PAGE - 1),
        .vaddr = segment->vaddr,
        .file_size = segment->file_size,
        .offset = segment->offset,
        .rights = (segment->flags & (ELF_WRITE | ELF_EXEC)) | ELF_READ,
    };
    if (plan->part_count == 0)
        plan->low = part.start;
    else if (part.start < plan->high)
        return "segments overlap, share a page or are not in order";
    plan->high = part.end;
    if (plan->high - plan->low > ELF_SPAN_MAX)
        return "the segments are too far from each other";
    plan->parts[plan->part_count++] = part;
    return NULL;
}

static const char *check_tls(const struct elf_segment *segment) {
    if (segment->mem_size > ELF_TLS_SIZE_MAX || segment->file_size > segment->mem_size)
        return "its thread-local data is too large";
    if (segment->align > ELF_TLS_ALIGN_MAX || (segment->align & (segment->align - 1)) != 0)
        return "the alignment of its thread-local data is too large or no power of two";
    return NULL;
}

/* The part that holds [vaddr, vaddr + size), in the bytes of the file if `in_file`; NULL. */
static const struct elf_part *find_part(const struct elf_plan *plan, uint64_t vaddr, uint64_t size,
                                        bool in_file) {
    for (unsigned i = 0; i < plan->part_count; i++) {
        const struct elf_part *part = &plan->parts[i];
        uint64_t end = in_file ? part->vaddr + part->file_size : part->end;
        uint64_t start = in_file ? part->vaddr : part->start;
        if (vaddr >= start && vaddr <= end && size <= end - vaddr)
            return part;
    }
    return NULL;
}

static const uint8_t *in_file(const struct elf_plan *plan, uint64_t vaddr, uint64_t size) {
    const struct elf_part *part = find_part(plan, vaddr, size, true);
    return part != NULL ? plan->elf.bytes + part->offset + (vaddr - part->vaddr) : NULL;
}

/* Every relocation must be relative, and change data that the program may write. */
static const char *check_relocations(const struct elf_plan *plan) {
    for (uint64_t i = 0; i < plan->relocation_count; i++) { /* bounded by the file's size */
        const uint8_t *at = plan->relocations + i * RELOCATION_SIZE;
        uint64_t kind = bytes_le64(at + 8);
        if (kind == RELOCATION_NONE)
            continue;
        if (kind != RELOCATION_RELATIVE)
            return "a relocation is not relative: not a static program";
        const struct elf_part *part = find_part(plan, bytes_le64(at), 8, false);
        if (part == NULL || (part->rights & ELF_WRITE) == 0)
            return "a relocation is outside of the program's writable data";
    }
    return NULL;
}

/* Looks for the table of relocations in the dynamic table. */
static const char *read_dynamic(struct elf_plan *plan, const struct elf_segment *segment) {
    uint64_t rela = 0, size = 0, entry = RELOCATION_SIZE;
    const uint8_t *at = plan->elf.bytes + segment->offset;
    for (uint64_t left = segment->file_size; left >= DYNAMIC_SIZE;
         left -= DYNAMIC_SIZE, at += DYNAMIC_SIZE) {
        uint64_t value = bytes_le64(at + 8);
        switch (bytes_le64(at)) {
        case TAG_END:
            left = DYNAMIC_SIZE; /* the last one */
            break;
        case TAG_RELA:
            rela = value;
            break;
        case TAG_RELA_SIZE:
            size = value;
            break;
        case TAG_RELA_ENTRY:
            entry = value;
            break;
        case TAG_NEEDED:
        case TAG_PLT_SIZE:
        case TAG_REL:
        case TAG_TEXTREL:
        case TAG_RELR:
            return "it needs a dynamic linker: not a static program";
        default:
            break;
        }
    }
    if (size == 0)
        return NULL;
    if (entry != RELOCATION_SIZE || size % RELOCATION_SIZE != 0)
        return "relocations of unknown size";
    plan->relocations = in_file(plan, rela, size);
    plan->relocation_count = size / RELOCATION_SIZE;
    return plan->relocations != NULL ? check_relocations(plan)
                                     : "the table of relocations is outside of the program";
}

/* Segments of which there is one: looked at once the parts are known. */
static const char *read_special(struct elf_plan *plan, const struct elf_segment *segment) {
    switch (segment->type) {
    case ELF_INTERP:
        return "it needs an interpreter: not a static program";
    case ELF_DYNAMIC:
        return plan->movable ? read_dynamic(plan, segment) : "a dynamic table at fixed addresses";
    case ELF_TLS:
        if (find_part(plan, segment->vaddr, segment->file_size, true) == NULL)
            return "its thread-local data is outside of the program";
        return check_tls(segment);
    case ELF_GNU_STACK:
        return (segment->flags & ELF_EXEC) != 0 ? "it wants an executable stack" : NULL;
    default:
        return NULL;
    }
}

static const char *read_segments(struct elf_plan *plan) {
    struct elf_segment segment;
    const char *error = NULL;
    for (unsigned i = 0; i < plan->elf.segment_count && error == NULL; i++) {
        if (!elf_segment(&plan->elf, i, &segment))
            error = plan->elf.error;
        else if (segment.type == ELF_LOAD)
            error = add_part(plan, &segment);
    }
    for (unsigned i = 0; i < plan->elf.segment_count && error == NULL; i++) {
        (void)elf_segment_raw(&plan->elf, i, &segment);
        error = read_special(plan, &segment);
    }
    return error;
}

static const char *check_whole(struct elf_plan *plan, uint64_t lowest, uint64_t highest) {
    if (plan->part_count == 0)
        return "nothing to load";
    if (!plan->movable && (plan->low < lowest || plan->high > highest))
        return "its addresses are not a program's";
    const struct elf_part *part = find_part(plan, plan->entry, 1, true);
    if (part == NULL || (part->rights & ELF_EXEC) == 0)
        return "its first instruction is outside of its code";
    for (unsigned i = 0; i < plan->part_count; i++) {
        part = &plan->parts[i];
        if (plan->elf.segments_at - part->offset < part->file_size)
            plan->table = plan->elf.segments_at - part->offset + part->vaddr;
    }
    return NULL;
}

bool elf_plan(struct elf_plan *plan, const void *bytes, size_t size, uint64_t lowest,
              uint64_t highest) {
    *plan = (struct elf_plan){0};
    const char *error = NULL;
    if (!elf_open(&plan->elf, bytes, size))
        error = plan->elf.error;
    if (error == NULL)
        error = check_header(&plan->elf);
    if (error == NULL) {
        plan->movable = plan->elf.type == TYPE_MOVABLE;
        plan->entry = plan->elf.entry;
        error = read_segments(plan);
    }
    if (error == NULL)
        error = check_whole(plan, lowest, highest);
    plan->error = error;
    return error == NULL;
}

uint64_t elf_distance(const struct elf_plan *plan, uint64_t random, uint64_t lowest,
                      uint64_t highest) {
    if (!plan->movable)
        return 0;
    uint64_t places = (highest - lowest - (plan->high - plan->low)) / PAGE;
    return lowest + random % places * PAGE - plan->low;
}

bool elf_place(const struct elf_plan *plan, uint64_t distance, elf_write_fn write, void *arg) {
    for (unsigned i = 0; i < plan->part_count; i++) {
        const struct elf_part *part = &plan->parts[i];
        if (part->file_size > 0 &&
            !write(arg, part->vaddr - plan->low, plan->elf.bytes + part->offset, part->file_size))
            return false;
    }
    for (uint64_t i = 0; i < plan->relocation_count; i++) {
        const uint8_t *at = plan->relocations + i * RELOCATION_SIZE;
        uint64_t value = bytes_le64(at + 16) + distance;
        if (bytes_le64(at + 8) == RELOCATION_RELATIVE &&
            !write(arg, bytes_le64(at) - plan->low, &value, sizeof value))
            return false;
    }
    return true;
}
