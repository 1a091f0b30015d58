/* Fuzz of ELF load: whatever the bytes are, a plan that is accepted can be placed: no byte outside of the
 * file is read, none outside of the image is written, and its parts keep their promises. */
#include "lib/elf_load.h"
#include "tests/lib/fuzz_input.h"

#define LOW       UINT64_C(0x10000)
#define HIGH      UINT64_C(0x400000000000)
#define IMAGE_MAX UINT64_C(0x100000) /* larger images are checked, but not built */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct image {
    const struct elf_plan *plan;
    uint8_t *bytes;
    size_t writes;
};

static bool write_image(void *arg, uint64_t offset, const void *bytes, size_t size) {
    struct image *image = arg;
    uint64_t span = image->plan->high - image->plan->low;
    fuzz_must(offset <= span && size <= span - offset, "a write outside of the image");
    if (image->bytes != NULL)
        memcpy(image->bytes + offset, bytes, size);
    image->writes++;
    return true;
}

static void check_parts(const struct elf_plan *plan) {
    uint64_t last = plan->low;
    bool entry = false;
    for (unsigned i = 0; i < plan->part_count; i++) {
        const struct elf_part *part = &plan->parts[i];
        fuzz_must(part->start % 4096 == 0 && part->end % 4096 == 0, "no whole pages");
        fuzz_must(part->start >= last && part->end > part->start, "parts out of order");
        fuzz_must(part->vaddr >= part->start && part->file_size <= part->end - part->vaddr,
                  "bytes outside of the part");
        fuzz_must((part->rights & ELF_READ) != 0, "not readable");
        fuzz_must((part->rights & (ELF_WRITE | ELF_EXEC)) != (ELF_WRITE | ELF_EXEC),
                  "writable code");
        entry |= (part->rights & ELF_EXEC) != 0 && plan->entry >= part->vaddr &&
                 plan->entry - part->vaddr < part->file_size;
        last = part->end;
    }
    fuzz_must(last == plan->high && plan->high - plan->low <= ELF_SPAN_MAX, "the span");
    fuzz_must(entry, "the first instruction is in no code");
    fuzz_must(plan->movable || (plan->low >= LOW && plan->high <= HIGH), "a fixed place");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = fuzz_copy(data, size);
    struct elf_plan plan;
    bool good = elf_plan(&plan, copy, size, LOW, HIGH);
    fuzz_must(good == (plan.error == NULL), "an error without a reason");
    if (good) {
        check_parts(&plan);
        uint64_t span = plan.high - plan.low;
        uint64_t distance = elf_distance(&plan, size * UINT64_C(0x9e3779b97f4a7c15), LOW, HIGH);
        fuzz_must(plan.low + distance >= LOW && plan.high + distance <= HIGH, "placed outside");
        struct image image = {.plan = &plan, .bytes = span <= IMAGE_MAX ? calloc(1, span) : NULL};
        fuzz_must(elf_place(&plan, distance, write_image, &image), "a write was refused");
        free(image.bytes);
    }
    free(copy);
    return 0;
}
