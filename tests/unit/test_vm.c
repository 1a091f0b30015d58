/* Test of vm: stacks lie between guards, mapped memory is what was asked for, addresses are not used
 * again before everybody forgot them, the N-th failure leaks nothing. On the paged machine. */
#include "tests/fake_arch/paged.h"

#include "arch/x86_64/paging.c"
#include "arch/x86_64/page_next.c"
#include "ggmk/error.h"
#include "kernel/core/lock.c"
#include "kernel/mem/frame.c"
#include "kernel/mem/frame_boot.c"
#include "kernel/mem/heap.c"
#include "kernel/mem/shootdown.c"
#include "kernel/mem/slab.c"
#include "kernel/mem/vm.c"
#include "tests/fake_arch/paged_kernel.h"

uint64_t arch_page_phys_max(void) {
    return LAYOUT_PHYS_MAX;
}

#define RAM   ((uint64_t)16 << 20)
#define HELD  60u
#define STEPS 3000u

static void fresh(void) {
    paged_kernel(RAM);
}

static struct frame_stats stats_now(void) {
    struct frame_stats stats;
    frame_check();
    kslab_check(&area_cache);
    frame_stats(&stats);
    return stats;
}

/* Free frames, counting those that have become page tables, which stay. */
static uint64_t free_or_table(void) {
    struct frame_stats stats = stats_now();
    return stats.free + stats.by_owner[FRAME_TABLE];
}

static void a_stack_lies_between_two_guards(void **state) {
    (void)state;
    fresh();
    uint64_t before = free_or_table();
    size_t size = 16384;
    char *stack = vm_stack_alloc(size), *second = vm_stack_alloc(size);
    memset(stack, 1, size);
    memset(second, 2, size);
    assert_int_equal(stack[0], 1);
    assert_int_equal(stats_now().by_owner[FRAME_STACK], 8);
    assert_true(vm_is_guard((vaddr_t)stack - 1));
    assert_true(vm_is_guard((vaddr_t)stack + size));
    assert_false(vm_is_guard((vaddr_t)stack));
    assert_false(vm_is_guard((vaddr_t)stack + size - 1));
    assert_false(vm_is_guard(0));
    assert_true(paged_faults(stack - 1));
    assert_true(paged_faults(stack + size));
    vm_stack_free(stack, size);
    assert_true(paged_faults(stack));
    assert_false(vm_is_guard((vaddr_t)stack - 1));
    assert_int_equal(second[0], 2);
    assert_ptr_equal(vm_stack_alloc(size), stack); /* first fit */
    vm_stack_free(stack, size);
    vm_stack_free(second, size);
    assert_int_equal(free_or_table(), before);
    assert_null(vm_stack_alloc(0));
    expect_assert_failure((void)vm_stack_alloc(100));
}

static void memory_is_zeroed_and_large_pieces_lie_on_2_mib(void **state) {
    (void)state;
    fresh();
    uint64_t before = free_or_table();
    for (unsigned round = 0; round < 3; round++) {
        size_t size = ((size_t)4 << 20) + 5 * PAGE_SIZE;
        char *small = vm_alloc(5000, FRAME_ENGINE), *large = vm_alloc(size, FRAME_ENGINE);
        assert_int_equal((vaddr_t)large % PAGE_SIZE_2M, 0);
        struct page_info info;
        assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)large, &info), GMK_OK);
        assert_int_equal(info.level, 1);
        assert_int_equal(info.prot, PAGE_WRITE | PAGE_GLOBAL);
        for (size_t i = 0; i < size; i += 61)
            assert_int_equal(large[i], 0);
        memset(large, 0xff, size);
        memset(small, 0xff, 5000);
        vm_free(small, 5000);
        vm_free(large, size);
        assert_int_equal(free_or_table(), before);
    }
    assert_null(vm_alloc(0, FRAME_ENGINE));
    assert_null(vm_alloc(LAYOUT_MAP_SIZE + 1, FRAME_ENGINE));
    vm_free(NULL, 0);
}

static void physical_memory_shows_at_the_address_that_is_returned(void **state) {
    (void)state;
    fresh();
    uint64_t before = free_or_table();
    paddr_t run = frame_alloc_run(512, PAGE_SIZE_2M, 0, FRAME_OTHER);
    static const size_t offsets[] = {0, 5, 0x1ff, 0x1ffff8};
    static const size_t sizes[] = {8, 4096, 5000, 2 << 20};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 4; n++) {
            paddr_t pa = run + offsets[i];
            volatile char *at = vm_map_phys(pa, sizes[n], PAGE_WRITE | PAGE_DEVICE);
            struct page_info info;
            assert_non_null((void *)at);
            assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)at, &info), GMK_OK);
            assert_int_equal(info.pa, pa);
            assert_int_equal(info.prot, PAGE_WRITE | PAGE_DEVICE | PAGE_GLOBAL);
            *at = (char)(i * 4 + n);
            assert_int_equal(*(char *)arch_phys(pa), (char)(i * 4 + n));
            vm_unmap_phys((void *)(uintptr_t)at, sizes[n]);
            assert_true(paged_faults(at));
        }
    }
    frame_free_run(run, 512);
    assert_int_equal(free_or_table(), before);
    assert_null(vm_map_phys(0x1000, 0, 0));
    assert_null(vm_map_phys(LAYOUT_PHYS_MAX - 100, 200, 0));
    assert_null(vm_map_phys(UINT64_MAX - 100, 200, 0));
    assert_null(vm_map_phys(0x1000, 100, PAGE_WRITE | PAGE_EXEC));
    assert_int_equal(free_or_table(), before);
}

static void a_large_page_fits_where_small_ones_were(void **state) {
    (void)state;
    fresh();
    char *small = vm_alloc(PAGE_SIZE, FRAME_OTHER); /* leaves a table behind */
    vm_free(small, PAGE_SIZE);
    char *large = vm_alloc((size_t)PAGE_SIZE_2M, FRAME_OTHER);
    assert_ptr_equal(large, small);
    memset(large, 1, (size_t)PAGE_SIZE_2M);
    vm_free(large, (size_t)PAGE_SIZE_2M);
    assert_true(paged_faults(large));
    frame_check();
}

static void what_was_not_allocated_is_not_freed(void **state) {
    (void)state;
    fresh();
    char *stack = vm_stack_alloc(8192);
    expect_assert_failure(vm_stack_free(stack, 4096));
    fresh();
    expect_assert_failure(vm_free((void *)LAYOUT_MAP, 4096));
    fresh();
    char *memory = vm_alloc(8192, FRAME_OTHER);
    expect_assert_failure(vm_free(memory, 4096));
}

static void too_many_areas_are_refused_and_freed_ones_count_no_more(void **state) {
    (void)state;
    fresh();
    static void *at[VM_AREAS_MAX];
    for (unsigned i = 0; i < VM_AREAS_MAX; i++)
        assert_non_null(at[i] = vm_map_phys(PAGED_RAM_BASE, 1, 0));
    assert_null(vm_map_phys(PAGED_RAM_BASE, 1, 0));
    vm_unmap_phys(at[7], 1);
    assert_ptr_equal(vm_map_phys(PAGED_RAM_BASE, 1, 0), at[7]);
}

/* ---- Random steps ------------------------------------------------------------------------------ */

struct held {
    uint8_t *at;
    size_t size;
    bool stack;
    uint8_t fill;
};

static void random_ranges_never_overlap_and_leave_nothing_behind(void **state) {
    (void)state;
    fresh();
    static struct held held[HELD];
    struct rand_state random = rand_seed(paged_seed());
    uint64_t before = free_or_table();
    for (unsigned step = 0; step < STEPS + HELD; step++) {
        struct held *one = &held[step < STEPS ? rand_below(&random, HELD) : step - STEPS];
        if (one->at != NULL) {
            for (size_t i = 0; i < one->size; i += PAGE_SIZE)
                assert_int_equal(one->at[i], one->fill);
            assert_int_equal(one->at[one->size - 1], one->fill);
            (one->stack ? vm_stack_free : vm_free)(one->at, one->size);
            one->at = NULL;
        } else if (step < STEPS) {
            one->size = (1 + rand_below(&random, rand_below(&random, 30) == 0 ? 700 : 12)) * 4096u;
            one->stack = rand_below(&random, 2) == 0;
            one->fill = (uint8_t)rand_next(&random);
            one->at = one->stack ? vm_stack_alloc(one->size) : vm_alloc(one->size, FRAME_OTHER);
            if (one->at != NULL)
                memset(one->at, one->fill, one->size);
        }
    }
    assert_int_equal(free_or_table(), before);
    assert_null(areas);
}

/* ---- The N-th failure ---------------------------------------------------------------------------- */

static void *make_stack(void) {
    return vm_stack_alloc(40960);
}
static void free_stack(void *at) {
    vm_stack_free(at, 40960);
}
static void *make_memory(void) {
    return vm_alloc((size_t)PAGE_SIZE_2M + 20000, FRAME_ENGINE);
}
static void free_memory(void *at) {
    vm_free(at, (size_t)PAGE_SIZE_2M + 20000);
}
static void *make_map(void) {
    return vm_map_phys(0x3ff000, 3 << 20, 0); /* over the edges of tables */
}
static void free_map(void *at) {
    vm_unmap_phys(at, 3 << 20);
}

static void the_nth_missing_frame_leaks_nothing(void **state) {
    (void)state;
    static const struct {
        void *(*make)(void);
        void (*free)(void *at);
    } kinds[] = {{make_stack, free_stack}, {make_memory, free_memory}, {make_map, free_map}};
    for (unsigned k = 0; k < 3; k++) {
        unsigned failures = 0;
        bool left = false;
        for (uint32_t n = 1; !left; n++) {
            fresh();
            uint64_t before = free_or_table();
            frame_fail_after(n);
            void *at = kinds[k].make();
            left = atomic_load(&fail_in) != 0; /* fewer than n were asked for */
            frame_fail_after(0);
            failures += at == NULL;
            if (at != NULL)
                kinds[k].free(at);
            assert_int_equal(free_or_table(), before);
            assert_null(areas);
            assert_int_equal(arch_page_next(vm_kernel_root(), LAYOUT_MAP), 0);
        }
        assert_true(failures >= 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_lies_between_two_guards),
        cmocka_unit_test(memory_is_zeroed_and_large_pieces_lie_on_2_mib),
        cmocka_unit_test(physical_memory_shows_at_the_address_that_is_returned),
        cmocka_unit_test(a_large_page_fits_where_small_ones_were),
        cmocka_unit_test(what_was_not_allocated_is_not_freed),
        cmocka_unit_test(too_many_areas_are_refused_and_freed_ones_count_no_more),
        cmocka_unit_test(random_ranges_never_overlap_and_leave_nothing_behind),
        cmocka_unit_test(the_nth_missing_frame_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
