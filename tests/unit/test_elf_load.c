/* Test of ELF load and ELF stack: a program is planned right and lands where it should; anything that
 * is not a static x86_64 program is refused with its reason. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/elf_load.h"
#include "lib/elf_stack.h"

#define LOW  UINT64_C(0x10000)
#define HIGH UINT64_C(0x400000000000)

/* A movable program as `ld -static-pie` lays it out: headers, code, data with two relocations. */
struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[6];
    _Alignas(4096) uint8_t code[0x100];
    _Alignas(4096) Elf64_Dyn dynamic[4];
    Elf64_Rela relocations[2];
    uint64_t data[4];
};
enum { HEADERS, CODE, DATA, DYNAMIC, TLS, STACK };

#define DATA_VADDR     0x3000u
#define DATA_AT(field) (DATA_VADDR + offsetof(struct file, field) - offsetof(struct file, dynamic))
#define DATA_SIZE      (sizeof(struct file) - offsetof(struct file, dynamic))

static struct file file;
static uint8_t *copy;
static struct elf_plan plan;

static void set_segments(void) {
    file.segments[HEADERS] =
        (Elf64_Phdr){.p_type = PT_LOAD,
                     .p_flags = PF_R,
                     .p_filesz = offsetof(struct file, segments) + sizeof file.segments,
                     .p_memsz = 0x400,
                     .p_align = 0x1000};
    file.segments[CODE] = (Elf64_Phdr){.p_type = PT_LOAD,
                                       .p_flags = PF_R | PF_X,
                                       .p_offset = offsetof(struct file, code),
                                       .p_vaddr = 0x1000,
                                       .p_filesz = sizeof file.code,
                                       .p_memsz = sizeof file.code,
                                       .p_align = 0x1000};
    file.segments[DATA] = (Elf64_Phdr){.p_type = PT_LOAD,
                                       .p_flags = PF_R | PF_W,
                                       .p_offset = offsetof(struct file, dynamic),
                                       .p_vaddr = DATA_VADDR,
                                       .p_filesz = DATA_SIZE,
                                       .p_memsz = 0x2800,
                                       .p_align = 0x1000};
    file.segments[DYNAMIC] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                                          .p_flags = PF_R | PF_W,
                                          .p_offset = offsetof(struct file, dynamic),
                                          .p_vaddr = DATA_VADDR,
                                          .p_filesz = sizeof file.dynamic,
                                          .p_memsz = sizeof file.dynamic};
    file.segments[TLS] = (Elf64_Phdr){.p_type = PT_TLS,
                                      .p_flags = PF_R,
                                      .p_offset = offsetof(struct file, data),
                                      .p_vaddr = DATA_AT(data),
                                      .p_filesz = 8,
                                      .p_memsz = 24,
                                      .p_align = 8};
    file.segments[STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
}

static void set_data(void) {
    file.dynamic[0] = (Elf64_Dyn){DT_RELA, {DATA_AT(relocations)}};
    file.dynamic[1] = (Elf64_Dyn){DT_RELASZ, {sizeof file.relocations}};
    file.dynamic[2] = (Elf64_Dyn){DT_RELAENT, {sizeof(Elf64_Rela)}};
    file.relocations[0] =
        (Elf64_Rela){DATA_AT(data[1]), ELF64_R_INFO(0, R_X86_64_RELATIVE), 0x1010};
    file.relocations[1] =
        (Elf64_Rela){DATA_AT(data[3]), ELF64_R_INFO(0, R_X86_64_RELATIVE), 0x3000};
    file.data[0] = 0x1111;
    file.data[2] = 0x3333;
    memset(file.code, 0xcc, sizeof file.code);
}

static int start(void **state) {
    (void)state;
    memset(&file, 0, sizeof file);
    file.header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = 0x1010,
        .e_phoff = offsetof(struct file, segments),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 6,
    };
    set_segments();
    set_data();
    return 0;
}

static int stop(void **state) {
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

/* Plans an exact copy on the heap, so that a sanitizer sees a byte too many. */
static bool plan_copy(void) {
    free(copy);
    copy = malloc(sizeof file);
    memcpy(copy, &file, sizeof file);
    return elf_plan(&plan, copy, sizeof file, LOW, HIGH);
}

/* The refusal must be this one. */
static void refused(const char *error) {
    assert_false(plan_copy());
    assert_non_null(plan.error);
    assert_string_equal(plan.error, error);
}

static bool write_image(void *arg, uint64_t offset, const void *bytes, size_t size) {
    assert_true(offset + size <= plan.high - plan.low);
    memcpy((uint8_t *)arg + offset, bytes, size);
    return true;
}

static void parts_have_their_pages_and_rights(void **state) {
    (void)state;
    assert_true(plan_copy());
    assert_null(plan.error);
    assert_true(plan.movable);
    assert_int_equal(plan.entry, 0x1010);
    assert_int_equal(plan.low, 0);
    assert_int_equal(plan.high, 0x6000);
    assert_int_equal(plan.table, offsetof(struct file, segments));
    assert_int_equal(plan.part_count, 3);
    assert_int_equal(plan.parts[0].rights, ELF_READ);
    assert_int_equal(plan.parts[1].rights, ELF_READ | ELF_EXEC);
    assert_int_equal(plan.parts[1].start, 0x1000);
    assert_int_equal(plan.parts[1].end, 0x2000);
    assert_int_equal(plan.parts[2].rights, ELF_READ | ELF_WRITE);
    assert_int_equal(plan.parts[2].start, 0x3000);
    assert_int_equal(plan.parts[2].end, 0x6000);
    assert_int_equal(plan.relocation_count, 2);
}

static void bytes_and_relocations_land_where_they_should(void **state) {
    (void)state;
    assert_true(plan_copy());
    uint8_t *image = calloc(1, plan.high - plan.low);
    assert_true(elf_place(&plan, 0x700000, write_image, image));
    assert_int_equal(image[0x1000], 0xcc);
    assert_int_equal(image[0x10ff], 0xcc);
    assert_int_equal(image[0x1100], 0);
    const uint64_t *data = (const uint64_t *)(const void *)(image + DATA_AT(data));
    assert_int_equal(data[0], 0x1111);
    assert_int_equal(data[1], 0x701010);
    assert_int_equal(data[2], 0x3333);
    assert_int_equal(data[3], 0x703000);
    assert_int_equal(image[0x5000], 0);
    free(image);
}

static bool write_nothing(void *arg, uint64_t offset, const void *bytes, size_t size) {
    (void)offset;
    (void)bytes;
    (void)size;
    return (*(int *)arg)-- > 0;
}

static void every_refused_write_ends_the_placing(void **state) {
    (void)state;
    assert_true(plan_copy());
    for (int left = 0; left < 5; left++) {
        int count = left;
        assert_false(elf_place(&plan, 0, write_nothing, &count));
        assert_int_equal(count, -1);
    }
    int enough = 5;
    assert_true(elf_place(&plan, 0, write_nothing, &enough));
}

static void a_distance_keeps_the_program_inside(void **state) {
    (void)state;
    assert_true(plan_copy());
    for (uint64_t random = 0; random < 1000; random++) {
        uint64_t distance = elf_distance(&plan, random * UINT64_C(0x9e3779b97f4a7c15), LOW, HIGH);
        assert_int_equal(distance % 4096, 0);
        assert_true(plan.low + distance >= LOW);
        assert_true(plan.high + distance <= HIGH);
    }
    assert_int_equal(elf_distance(&plan, UINT64_MAX, LOW, LOW + 0x6000 + 4096) / 4096, 16);
}

static void a_fixed_program_stays_where_it_was_linked(void **state) {
    (void)state;
    file.header.e_type = ET_EXEC;
    file.header.e_phnum = 3;
    file.header.e_entry = 0x41010;
    for (int i = 0; i < 3; i++)
        file.segments[i].p_vaddr += 0x40000;
    assert_true(plan_copy());
    assert_false(plan.movable);
    assert_int_equal(plan.low, 0x40000);
    assert_int_equal(elf_distance(&plan, 12345, LOW, HIGH), 0);
    file.segments[HEADERS].p_vaddr = 0xf000;
    refused("its addresses are not a program's");
}

static void fixed_addresses_above_the_limit_are_refused(void **state) {
    (void)state;
    file.header.e_type = ET_EXEC;
    file.header.e_phnum = 3;
    for (int i = 0; i < 3; i++)
        file.segments[i].p_vaddr += HIGH - 0x3000;
    file.header.e_entry += HIGH - 0x3000;
    refused("its addresses are not a program's");
}

static void headers_of_others_are_refused(void **state) {
    (void)state;
    file.header.e_machine = EM_AARCH64;
    refused("for another processor");
    file.header.e_machine = EM_X86_64;
    file.header.e_flags = 1;
    refused("for another processor");
    file.header.e_flags = 0;
    file.header.e_type = ET_REL;
    refused("not a program");
    file.header.e_type = ET_DYN;
    file.header.e_ident[EI_OSABI] = ELFOSABI_SOLARIS;
    refused("for another operating system");
    file.header.e_ident[EI_OSABI] = ELFOSABI_GNU;
    assert_true(plan_copy());
    file.header.e_ident[EI_ABIVERSION] = 1;
    refused("for another operating system");
    file.header.e_ident[EI_ABIVERSION] = 0;
    file.header.e_ident[EI_CLASS] = ELFCLASS32;
    refused("not a 64-bit little-endian ELF file of version 1");
}

static void dynamic_programs_are_refused(void **state) {
    (void)state;
    file.segments[STACK].p_type = PT_INTERP;
    refused("it needs an interpreter: not a static program");
    file.segments[STACK].p_type = PT_GNU_STACK;
    static const uint64_t tags[] = {DT_NEEDED, DT_PLTRELSZ, DT_REL, DT_TEXTREL, 36 /* DT_RELR */};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        file.dynamic[3] = (Elf64_Dyn){(Elf64_Sxword)tags[i], {8}};
        refused("it needs a dynamic linker: not a static program");
    }
    file.dynamic[3] = (Elf64_Dyn){0};
    file.header.e_type = ET_EXEC;
    for (int i = 0; i < 5; i++)
        file.segments[i].p_vaddr += 0x40000;
    file.header.e_entry += 0x40000;
    refused("a dynamic table at fixed addresses");
}

static void entries_behind_the_end_of_the_dynamic_table_do_not_count(void **state) {
    (void)state;
    file.dynamic[2] = (Elf64_Dyn){0};
    file.dynamic[3] = (Elf64_Dyn){DT_NEEDED, {1}};
    assert_true(plan_copy());
    assert_int_equal(plan.relocation_count, 2);
}

static void code_that_can_be_written_is_refused(void **state) {
    (void)state;
    file.segments[CODE].p_flags |= PF_W;
    refused("a segment is both writable and executable");
    file.segments[CODE].p_flags = PF_R | PF_X;
    file.segments[STACK].p_flags |= PF_X;
    refused("it wants an executable stack");
}

static void segments_that_meet_are_refused(void **state) {
    (void)state;
    file.segments[DATA].p_vaddr = 0x1000;
    refused("segments overlap, share a page or are not in order");
    file.segments[DATA].p_vaddr = 0x3000;
    file.segments[HEADERS].p_memsz = 0x1001;
    refused("segments overlap, share a page or are not in order");
}

static void a_program_that_is_too_wide_is_refused(void **state) {
    (void)state;
    file.segments[DATA].p_memsz = ELF_SPAN_MAX;
    refused("the segments are too far from each other");
    file.segments[DATA].p_memsz = UINT64_MAX - DATA_VADDR;
    refused("a segment wraps around the end of memory");
}

static void a_first_instruction_outside_of_code_is_refused(void **state) {
    (void)state;
    static const uint64_t entries[] = {0, 0x3000, 0x1101, 0x100000, UINT64_MAX};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        file.header.e_entry = entries[i];
        refused("its first instruction is outside of its code");
    }
}

static void a_program_without_segments_is_refused(void **state) {
    (void)state;
    file.header.e_phnum = 0;
    refused("nothing to load");
    file.header.e_phnum = 6;
    file.segments[HEADERS].p_filesz = file.segments[HEADERS].p_memsz = 0;
    assert_true(plan_copy());
    assert_int_equal(plan.part_count, 2);
    assert_int_equal(plan.table, 0);
}

static void relocations_outside_of_data_are_refused(void **state) {
    (void)state;
    static const uint64_t places[] = {0x1000, 0x0, 0x2ff9, 0x5ff9, 0x6000, UINT64_MAX - 3};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        file.relocations[1].r_offset = places[i];
        refused("a relocation is outside of the program's writable data");
    }
    file.relocations[1].r_offset = 0x5ff8;
    assert_true(plan_copy());
}

static void other_relocations_are_refused(void **state) {
    (void)state;
    file.relocations[0].r_info = ELF64_R_INFO(0, R_X86_64_GLOB_DAT);
    refused("a relocation is not relative: not a static program");
    file.relocations[0].r_info = ELF64_R_INFO(1, R_X86_64_RELATIVE);
    refused("a relocation is not relative: not a static program");
    file.relocations[0].r_info = ELF64_R_INFO(0, R_X86_64_NONE);
    assert_true(plan_copy());
    file.dynamic[2].d_un.d_val = 16;
    refused("relocations of unknown size");
    file.dynamic[2].d_un.d_val = 24;
    file.dynamic[1].d_un.d_val = 40;
    refused("relocations of unknown size");
    file.dynamic[1].d_un.d_val = 24000;
    refused("the table of relocations is outside of the program");
}

static void thread_local_data_is_bounded(void **state) {
    (void)state;
    file.segments[TLS].p_memsz = ELF_TLS_SIZE_MAX + 1;
    refused("its thread-local data is too large");
    file.segments[TLS].p_memsz = 4;
    refused("its thread-local data is too large");
    file.segments[TLS].p_memsz = 24;
    file.segments[TLS].p_align = 128;
    refused("the alignment of its thread-local data is too large or no power of two");
    file.segments[TLS].p_align = 24;
    refused("the alignment of its thread-local data is too large or no power of two");
    file.segments[TLS].p_align = 8;
    file.segments[TLS].p_vaddr = 0x2000;
    refused("its thread-local data is outside of the program");
}

/* ---- The stack ---------------------------------------------------------------------------- */

static const char *const argv[] = {"hello", "one two", NULL};
static const char *const env[] = {"A=1", NULL};
static const struct elf_aux aux[] = {{ELF_AUX_PAGESZ, 4096}, {ELF_AUX_ENTRY, 0x77}, {0, 0}};
static const gmk_named_handle_t handles[] = {{"console", 0x103}, {"port", 0x104}, {"", 0}};
static const struct elf_stack stack = {argv, env, aux, handles, {0x1122, 0x3344}};
#define TOP UINT64_C(0x7f0000010000)

static void the_stack_is_as_the_abi_lays_it_out(void **state) {
    (void)state;
    static _Alignas(16) char image[1024];
    memset(image, 0xee, sizeof image);
    uint64_t sp = elf_stack_build(&stack, TOP, image, sizeof image);
    assert_true(sp != 0 && sp % 16 == 0);
    char *at_sp = image + sizeof image - (TOP - sp);
    const uint64_t *word = (const uint64_t *)(const void *)at_sp;
#define AT(address) (at_sp + ((address)-sp))
    assert_int_equal(word[0], 2);
    assert_string_equal(AT(word[1]), "hello");
    assert_string_equal(AT(word[2]), "one two");
    assert_int_equal(word[3], 0);
    assert_string_equal(AT(word[4]), "A=1");
    assert_int_equal(word[5], 0);
    assert_int_equal(word[6], ELF_AUX_PAGESZ);
    assert_int_equal(word[7], 4096);
    assert_int_equal(word[8], ELF_AUX_ENTRY);
    assert_int_equal(word[9], 0x77);
    assert_int_equal(word[10], ELF_AUX_RANDOM);
    assert_memory_equal(AT(word[11]), stack.random, 16);
    assert_int_equal(word[12], GMK_AT_HANDLES);
    assert_memory_equal(AT(word[13]), handles, sizeof handles);
    assert_int_equal(word[14], ELF_AUX_NULL);
    for (const char *at = image; at < at_sp; at++)
        assert_int_equal((uint8_t)*at, 0xee);
}

static void a_stack_that_does_not_fit_is_refused_at_every_size(void **state) {
    (void)state;
    static _Alignas(16) char image[1024];
    uint64_t needed = TOP - elf_stack_build(&stack, TOP, image, sizeof image);
    for (size_t size = 0; size < needed; size++) {
        uint8_t *exact = malloc(size + 1);
        assert_int_equal(elf_stack_build(&stack, TOP, exact, size), 0);
        free(exact);
    }
    assert_int_equal(elf_stack_build(&stack, TOP, image, needed), TOP - needed);
}

static void a_program_without_words_has_a_stack(void **state) {
    (void)state;
    static _Alignas(16) char image[256];
    static const char *const none[] = {NULL};
    static const struct elf_aux no_aux[] = {{0, 0}};
    const struct elf_stack empty = {none, none, no_aux, NULL, {0, 0}};
    uint64_t sp = elf_stack_build(&empty, TOP, image, sizeof image);
    const uint64_t *word = (const uint64_t *)(const void *)(image + sizeof image - (TOP - sp));
    assert_int_equal(word[0], 0);
    assert_int_equal(word[1], 0);
    assert_int_equal(word[2], 0);
    assert_int_equal(word[3], ELF_AUX_RANDOM);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(parts_have_their_pages_and_rights),
        TEST(bytes_and_relocations_land_where_they_should),
        TEST(every_refused_write_ends_the_placing),
        TEST(a_distance_keeps_the_program_inside),
        TEST(a_fixed_program_stays_where_it_was_linked),
        TEST(fixed_addresses_above_the_limit_are_refused),
        TEST(headers_of_others_are_refused),
        TEST(dynamic_programs_are_refused),
        TEST(entries_behind_the_end_of_the_dynamic_table_do_not_count),
        TEST(code_that_can_be_written_is_refused),
        TEST(segments_that_meet_are_refused),
        TEST(a_program_that_is_too_wide_is_refused),
        TEST(a_first_instruction_outside_of_code_is_refused),
        TEST(a_program_without_segments_is_refused),
        TEST(relocations_outside_of_data_are_refused),
        TEST(other_relocations_are_refused),
        TEST(thread_local_data_is_bounded),
        TEST(the_stack_is_as_the_abi_lays_it_out),
        TEST(a_stack_that_does_not_fit_is_refused_at_every_size),
        TEST(a_program_without_words_has_a_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
