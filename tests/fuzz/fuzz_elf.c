/* Fuzz of ELF: any bytes. No byte outside is read, and what a segment claims of the file is in it. */
#include "lib/elf.h"
#include "tests/lib/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void check(const struct elf *elf, const struct elf_segment *s) {
    fuzz_must(s->offset <= elf->size && s->file_size <= elf->size - s->offset, "outside the file");
    for (uint64_t i = 0; i < s->file_size; i += 64) {
        sink = elf->bytes[s->offset + i];
    }
    if (s->type == ELF_LOAD) {
        fuzz_must(s->file_size <= s->mem_size, "more in the file than in memory");
        fuzz_must(s->vaddr + s->mem_size >= s->vaddr, "the virtual range wraps");
        fuzz_must(s->paddr + s->mem_size >= s->paddr, "the physical range wraps");
        fuzz_must(s->align == 0 || (s->vaddr - s->offset) % s->align == 0, "alignment");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = fuzz_copy(data, size);
    struct elf elf;
    bool opened = elf_open(&elf, copy, size);
    fuzz_must(opened == (elf.error == NULL), "an error without a reason");
    for (unsigned i = 0; opened && i < elf.segment_count; i++) {
        struct elf_segment segment;
        if (elf_segment(&elf, i, &segment)) {
            check(&elf, &segment);
        } else {
            fuzz_must(elf.error != NULL, "a segment is refused without a reason");
        }
    }
    free(copy);
    return 0;
}
