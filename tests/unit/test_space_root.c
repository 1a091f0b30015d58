/* Test of space: a new root shows the kernel's half, what comes later too, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arch/x86_64/paging.c"
#undef TOP
/* The machine's, not those of the test process: nothing is read there. */
#undef LAYOUT_HEAP
#undef LAYOUT_MAP
#undef LAYOUT_FRAMES
#define LAYOUT_HEAP   0xffffc00000000000ull
#define LAYOUT_MAP    0xffffd00000000000ull
#define LAYOUT_FRAMES 0xffffe00000000000ull
#include "arch/x86_64/space.c"

#define TABLES 64u

struct cpu_features cpu_features;
static struct cpu this_cpu;
static char *memory;
static unsigned taken, limit;

struct cpu *arch_cpu(void) {
    return &this_cpu;
}
void panic(const char *fmt, ...) {
    fail_msg("panic: %s", fmt);
    abort();
}

static paddr_t take(void) {
    if (taken == limit)
        return 0;
    paddr_t table = (paddr_t)memory + ++taken * (paddr_t)PAGE_SIZE;
    memset((void *)table, 0xcc, PAGE_SIZE);
    return table;
}

paddr_t vm_kernel_root(void) {
    return (paddr_t)memory;
}

paddr_t vm_table_alloc(void) {
    return take();
}

static int fresh(void **state) {
    (void)state;
    if (memory == NULL)
        memory = aligned_alloc(PAGE_SIZE, TABLES * (size_t)PAGE_SIZE);
    arch_page_window(0);
    memset(memory, 0, PAGE_SIZE);
    taken = 0;
    limit = TABLES - 1;
    const vaddr_t ranges[] = {0xffff800000000000, LAYOUT_MAP, LAYOUT_IMAGE};
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        assert_int_equal(arch_page_map((paddr_t)memory, ranges[i], 0x5000, 0, PAGE_WRITE, take),
                         GMK_OK);
    arch_space_init(); /* what is not mapped yet */
    return 0;
}

static void the_kernels_half_is_shared_and_the_other_empty(void **state) {
    (void)state;
    struct page_info info;
    paddr_t root = arch_space_new(take);
    assert_true(root != 0);
    assert_int_equal(arch_page_query(root, LAYOUT_MAP, &info), GMK_OK);
    assert_int_equal(info.pa, 0x5000);
    assert_int_equal(arch_page_map((paddr_t)memory, LAYOUT_HEAP + PAGE_SIZE, 0x6000, 0, 0, take),
                     GMK_OK);
    assert_int_equal(arch_page_query(root, LAYOUT_HEAP + PAGE_SIZE, &info), GMK_OK);
    const uint64_t *table = (const uint64_t *)root;
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(table[i], 0);
    assert_int_equal(table[510] & 0x000ffffffffff000, root);
}

static void without_a_frame_there_is_no_root(void **state) {
    (void)state;
    limit = taken;
    assert_int_equal(arch_space_new(take), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_kernels_half_is_shared_and_the_other_empty, fresh),
        cmocka_unit_test_setup(without_a_frame_there_is_no_root, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
