/* Test of ELF: a file is read right, compared with the system's own definitions; damage is refused. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/elf.h"

struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    uint8_t data[256];
};

static struct file file;
static uint8_t *copy;

static int start(void **state) {
    (void)state;
    file = (struct file){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x401000,
                   .e_phoff = offsetof(struct file, segments),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .segments = {{.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_X,
                      .p_offset = 0x40,
                      .p_vaddr = 0x401040,
                      .p_paddr = 0x101040,
                      .p_filesz = 0x80,
                      .p_memsz = 0x900,
                      .p_align = 0x1000},
                     {.p_type = PT_NOTE, .p_flags = PF_R, .p_offset = 0x50, .p_filesz = 0x20}}};
    return 0;
}

static int stop(void **state) {
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

/* Opens an exact copy on the heap, so that a sanitizer sees a byte too many. */
static bool open_copy(struct elf *elf, size_t size) {
    free(copy);
    copy = malloc(size + (size == 0));
    memcpy(copy, &file, size);
    return elf_open(elf, copy, size);
}

static void header_and_segments_are_read_as_the_system_writes_them(void **state) {
    (void)state;
    struct elf elf;
    struct elf_segment segment;
    assert_true(open_copy(&elf, sizeof file));
    assert_null(elf.error);
    assert_int_equal(elf.entry, 0x401000);
    assert_int_equal(elf.type, ET_EXEC);
    assert_int_equal(elf.machine, EM_X86_64);
    assert_int_equal(elf.segment_count, 2);
    assert_true(elf_segment(&elf, 0, &segment));
    assert_int_equal(segment.type, ELF_LOAD);
    assert_int_equal(segment.flags, ELF_READ | ELF_EXEC);
    assert_int_equal(segment.offset, 0x40);
    assert_int_equal(segment.vaddr, 0x401040);
    assert_int_equal(segment.paddr, 0x101040);
    assert_int_equal(segment.file_size, 0x80);
    assert_int_equal(segment.mem_size, 0x900);
    assert_int_equal(segment.align, 0x1000);
    assert_true(elf_segment(&elf, 1, &segment));
    assert_int_equal(segment.type, ELF_NOTE);
    assert_false(elf_segment(&elf, 2, &segment));
    assert_string_equal(elf.error, "no such segment");
}

static void a_cut_file_is_refused(void **state) {
    (void)state;
    struct elf elf;
    for (size_t size = 0; size < offsetof(struct file, data); size++) {
        assert_false(open_copy(&elf, size));
        assert_non_null(elf.error);
    }
    assert_true(open_copy(&elf, offsetof(struct file, data)));
}

static void a_file_without_segments_has_none(void **state) {
    (void)state;
    struct elf elf;
    struct elf_segment segment;
    file.header.e_phnum = 0;
    file.header.e_phentsize = 0;
    file.header.e_phoff = 0;
    assert_true(open_copy(&elf, sizeof(Elf64_Ehdr)));
    assert_false(elf_segment(&elf, 0, &segment));
}

static void every_field_of_the_header_is_checked(void **state) {
    (void)state;
    struct elf elf;
    static const size_t places[] = {0,
                                    1,
                                    2,
                                    3,
                                    EI_CLASS,
                                    EI_DATA,
                                    EI_VERSION,
                                    offsetof(Elf64_Ehdr, e_version),
                                    offsetof(Elf64_Ehdr, e_ehsize),
                                    offsetof(Elf64_Ehdr, e_phentsize)};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        start(NULL);
        ((uint8_t *)&file)[places[i]] ^= 2;
        assert_false(open_copy(&elf, sizeof file));
    }
}

static void the_table_of_segments_is_inside_the_file(void **state) {
    (void)state;
    struct elf elf;
    static const uint64_t offsets[] = {sizeof file - 111, sizeof file, sizeof file + 1, UINT64_MAX,
                                       UINT64_MAX - 111};
    for (unsigned i = 0; i < 5; i++) {
        file.header.e_phoff = offsets[i];
        assert_false(open_copy(&elf, sizeof file));
    }
    file.header.e_phoff = sizeof file - 112; /* ends with the file, and is not aligned */
    assert_true(open_copy(&elf, sizeof file));
    file.header.e_phnum = 0xffff;
    assert_false(open_copy(&elf, sizeof file));
}

static void expect_refused(const char *reason) {
    struct elf elf;
    struct elf_segment segment;
    assert_true(open_copy(&elf, sizeof file));
    assert_false(elf_segment(&elf, 0, &segment));
    assert_string_equal(elf.error, reason);
    start(NULL);
}

static void segments_that_cannot_be_loaded_are_refused(void **state) {
    (void)state;
    Elf64_Phdr *s = &file.segments[0];
    const char *outside = "a segment reaches past the end of the file";
    s->p_offset = sizeof file + 1;
    expect_refused(outside);
    s->p_filesz = sizeof file - 0x40 + 1;
    expect_refused(outside);
    s->p_offset = UINT64_MAX - 0x40;
    expect_refused(outside);
    s->p_filesz = UINT64_MAX;
    expect_refused(outside);
    s->p_type = PT_NOTE;
    s->p_filesz = sizeof file;
    expect_refused(outside);
    s->p_memsz = 0x7f;
    expect_refused("a segment has more bytes in the file than in memory");
    s->p_vaddr = UINT64_MAX - 0x8fe;
    expect_refused("a segment wraps around the end of memory");
    s->p_paddr = UINT64_MAX - 0x8fe;
    expect_refused("a segment wraps around the end of memory");
    s->p_align = 0x1800;
    expect_refused("the alignment of a segment is no power of two");
    s->p_vaddr++;
    expect_refused("address and file offset of a segment do not agree on its alignment");
    s->p_align = 1ull << 63;
    expect_refused("address and file offset of a segment do not agree on its alignment");
}

static void segments_at_the_edges_are_taken(void **state) {
    (void)state;
    struct elf elf;
    struct elf_segment segment;
    Elf64_Phdr *s = &file.segments[0];
    s->p_align = 0;
    s->p_filesz = sizeof file - 0x40;
    s->p_memsz = 0x900;
    s->p_vaddr = s->p_paddr = UINT64_MAX - 0x900;
    assert_true(open_copy(&elf, sizeof file));
    assert_true(elf_segment(&elf, 0, &segment));
    s->p_filesz = s->p_memsz = 0;
    s->p_offset = sizeof file;
    s->p_align = 1;
    assert_true(open_copy(&elf, sizeof file));
    assert_true(elf_segment(&elf, 0, &segment));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(header_and_segments_are_read_as_the_system_writes_them,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_cut_file_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_file_without_segments_has_none, start, stop),
        cmocka_unit_test_setup_teardown(every_field_of_the_header_is_checked, start, stop),
        cmocka_unit_test_setup_teardown(the_table_of_segments_is_inside_the_file, start, stop),
        cmocka_unit_test_setup_teardown(segments_that_cannot_be_loaded_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(segments_at_the_edges_are_taken, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
