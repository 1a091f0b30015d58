/* Test of memory in the guest: the kernel's own tables keep W^X, CPUs forget what was unmapped, first
 * touches are paged in, memory runs out and comes back, and all CPUs allocate at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "kernel/core/acpi.h"
#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "lib/rand.h"

#define LEAVES_MAX 2000000u /* more are not mapped in any test machine */
#define HELD       24u
#define STEPS      150u

extern char image_start[], text_start[], rodata_start[], data_start[], image_end[];
extern char boot_stack_guard[];

/* ---- The tables --------------------------------------------------------------------------------- */

/* Calls fn for each leaf of the kernel's half, the recursive view left out. */
static void each_leaf(void (*fn)(vaddr_t va, const struct page_info *info)) {
    vaddr_t va = arch_page_next(vm_kernel_root(), LAYOUT_DIRECT);
    unsigned leaves = 0;
    while (va != 0 && leaves++ < LEAVES_MAX) {
        struct page_info info;
        if (va >> 39 == LAYOUT_RECURSIVE >> 39) {
            va = arch_page_next(vm_kernel_root(), LAYOUT_RECURSIVE + (UINT64_C(1) << 39));
            continue;
        }
        assert_int_equal(arch_page_query(vm_kernel_root(), va, &info), GMK_OK);
        fn(va, &info);
        va += (vaddr_t)PAGE_SIZE << (9 * info.level);
        va = va == 0 ? 0 : arch_page_next(vm_kernel_root(), va);
    }
    assert_true(leaves < LEAVES_MAX && leaves > 100);
}

static void check_rights(vaddr_t va, const struct page_info *info) {
    bool write = (info->prot & PAGE_WRITE) != 0, exec = (info->prot & PAGE_EXEC) != 0;
    assert_false(write && exec);
    assert_false((info->prot & PAGE_USER) != 0);
    assert_int_equal(exec, va >= (vaddr_t)text_start && va < (vaddr_t)rodata_start);
    if (va >= LAYOUT_IMAGE)
        assert_int_equal(write, va >= (vaddr_t)data_start);
}

static void no_page_is_writable_and_executable_and_only_code_is_executable(void **state) {
    (void)state;
    each_leaf(check_rights);
}

static void code_and_constants_have_no_writable_second_address(void **state) {
    (void)state;
    for (vaddr_t va = (vaddr_t)text_start; va < (vaddr_t)image_end; va += PAGE_SIZE) {
        struct page_info image, alias;
        if (arch_page_query(vm_kernel_root(), va, &image) != GMK_OK)
            continue; /* the guard */
        assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)arch_phys(image.pa), &alias),
                         GMK_OK);
        assert_int_equal(alias.pa, image.pa);
        assert_int_equal((alias.prot & PAGE_WRITE) != 0, va >= (vaddr_t)data_start);
    }
}

static void nothing_is_mapped_below_the_kernels_half(void **state) {
    (void)state;
    for (vaddr_t va = 0; va < UINT64_C(1) << 47;) {
        struct page_info info;
        assert_int_equal(arch_page_query(vm_kernel_root(), va, &info), GMK_ENOENT);
        vaddr_t hole = (vaddr_t)PAGE_SIZE << (9 * info.level);
        va = (va & ~(hole - 1)) + hole;
    }
}

static void compare_views(vaddr_t va) {
    struct page_info walk = {0}, view = {0};
    int status = arch_page_query(vm_kernel_root(), va, &walk);
    assert_int_equal(arch_page_query_view(va, &view), status);
    assert_int_equal(view.level, walk.level);
    assert_int_equal(view.pa, walk.pa);
    assert_int_equal(view.prot, walk.prot);
}

static void compare_around(vaddr_t va, const struct page_info *info) {
    compare_views(va + 0x123);
    compare_views(va + ((vaddr_t)PAGE_SIZE << (9 * info->level)));
}

static void the_recursive_view_agrees_with_the_walk(void **state) {
    (void)state;
    each_leaf(compare_around);
    struct rand_state random = rand_seed(5);
    for (unsigned i = 0; i < 10000; i++) {
        vaddr_t va = rand_next(&random) | LAYOUT_DIRECT;
        if (va >> 39 != LAYOUT_RECURSIVE >> 39)
            compare_views(va);
    }
}

static void the_boot_stack_and_new_stacks_have_guards(void **state) {
    (void)state;
    struct page_info info;
    char *stack = vm_stack_alloc(8192);
    assert_non_null(stack);
    assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)boot_stack_guard, &info),
                     GMK_ENOENT);
    assert_true(vm_is_guard((vaddr_t)boot_stack_guard));
    assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)stack - 1, &info), GMK_ENOENT);
    assert_int_equal(arch_page_query(vm_kernel_root(), (vaddr_t)stack + 8192, &info), GMK_ENOENT);
    assert_true(vm_is_guard((vaddr_t)stack - 1) && vm_is_guard((vaddr_t)stack + 8192));
    memset(stack, 1, 8192);
    vm_stack_free(stack, 8192);
    assert_false(vm_is_guard((vaddr_t)stack - 1));
}

/* ---- Shootdown ------------------------------------------------------------------------------------ */

static volatile uint32_t *shared_page;
static uint32_t seen[CPUS_MAX];

static void look(void *arg) {
    (void)arg;
    seen[cpu_this()->index] = *shared_page;
}

static void other_cpus_see_a_new_mapping_and_not_the_old_one(void **state) {
    (void)state;
    paddr_t frames[2] = {frame_alloc_zeroed(FRAME_OTHER), frame_alloc_zeroed(FRAME_OTHER)};
    volatile uint32_t *first = NULL;
    for (uint32_t round = 1; round <= 200; round++) {
        paddr_t frame = frames[round % 2];
        *(volatile uint32_t *)arch_phys(frame) = round;
        shared_page = vm_map_phys(frame, PAGE_SIZE, 0);
        assert_non_null((void *)(uintptr_t)shared_page);
        first = first == NULL ? shared_page : first;
        assert_ptr_equal(shared_page, first); /* the same address each time */
        assert_int_equal(*shared_page, round);
        ipi_call_others(look, NULL);
        for (unsigned i = 1; i < cpu_count; i++)
            assert_true(i == cpu_this()->index || seen[i] == round);
        vm_unmap_phys((void *)(uintptr_t)shared_page, PAGE_SIZE);
    }
    frame_free(frames[0]);
    frame_free(frames[1]);
}

/* ---- Demand paging ---------------------------------------------------------------------------------- */

static struct kheap_stats heap_now(void) {
    struct kheap_stats stats;
    kheap_stats(&stats);
    return stats;
}

static void each_first_touch_costs_one_page(void **state) {
    (void)state;
    size_t pages = 40;
    struct kheap_stats base = heap_now();
    char *block = kmalloc((pages + 2) * PAGE_SIZE);
    assert_non_null(block);
    struct kheap_stats made = heap_now();
    volatile char *at = (char *)page_up((vaddr_t)block);
    for (unsigned i = 0; i < pages; i++) {
        at[i * PAGE_SIZE] = (char)i;
        at[i * PAGE_SIZE + 7] = 1; /* no further cost */
    }
    struct kheap_stats touched = heap_now();
    assert_int_equal(touched.faults - made.faults, pages);
    assert_int_equal(touched.resident_pages - made.resident_pages, pages);
    for (unsigned i = 0; i < pages; i++)
        assert_int_equal(at[i * PAGE_SIZE], i);
    kfree(block);
    assert_int_equal(heap_now().resident_pages, base.resident_pages);
    kheap_check();
}

/* ---- All memory ---------------------------------------------------------------------------------------- */

/* Frames linked through their first words. */
static paddr_t take_all(uint64_t *count) {
    paddr_t list = 0, frame;
    *count = 0;
    while ((frame = frame_alloc(FRAME_OTHER)) != 0) {
        *(paddr_t *)arch_phys(frame) = list;
        list = frame;
        ++*count;
    }
    return list;
}

static void nothing(void *arg) {
    (void)arg;
}

static void memory_runs_out_cleanly_and_comes_back(void **state) {
    (void)state;
    struct frame_stats before, empty, after;
    uint64_t count;
    frame_stats(&before);
    paddr_t list = take_all(&count);
    frame_stats(&empty);
    assert_true(count > 1000);
    assert_true(empty.free <= FRAME_CACHE * (uint64_t)(cpu_count - 1));
    assert_int_equal(empty.by_owner[FRAME_OTHER] - before.by_owner[FRAME_OTHER], count);
    assert_null(kmalloc(100000));
    assert_null(vm_stack_alloc(65536));
    assert_null(vm_alloc((size_t)8 << 20, FRAME_ENGINE));
    assert_int_equal(frame_alloc_run(2 * FRAME_CACHE, PAGE_SIZE, 0, FRAME_OTHER), 0);
    struct thread *thread = thread_start("none", 65536, THREAD_PRIORITY_NORMAL, -1, nothing, NULL);
    assert_null(thread);
    while (list != 0) {
        paddr_t next = *(paddr_t *)arch_phys(list);
        frame_free(list);
        list = next;
    }
    frame_stats(&after);
    assert_int_equal(after.free + after.by_owner[FRAME_TABLE],
                     before.free + before.by_owner[FRAME_TABLE]);
    assert_int_equal(after.by_owner[FRAME_OTHER], before.by_owner[FRAME_OTHER]);
    frame_check();
}

static void frames_come_from_the_node_that_was_asked(void **state) {
    (void)state;
    for (unsigned node = 0; node < acpi.node_count; node++) {
        uint64_t total, free;
        frame_node_stats(node, &total, &free);
        paddr_t frame = frame_alloc_on(node, FRAME_OTHER);
        assert_int_equal(frame != 0, free != 0);
        if (frame == 0)
            continue;
        assert_int_equal(frame_of(frame)->node, node);
        bool listed = acpi.memory_count == 0;
        for (unsigned i = 0; i < acpi.memory_count; i++)
            listed |= acpi.memory[i].node == node && frame >= acpi.memory[i].base &&
                      frame - acpi.memory[i].base < acpi.memory[i].size;
        assert_true(listed);
        frame_free(frame);
    }
    bool irq = arch_irq_disable();
    paddr_t near = frame_alloc(FRAME_OTHER);
    uint32_t node = cpu_this()->node;
    arch_irq_restore(irq);
    assert_int_equal(frame_of(near)->node, node);
    frame_free(near);
}

/* ---- All CPUs ------------------------------------------------------------------------------------------- */

static _Atomic uint32_t damaged;

struct held {
    uint8_t *at;
    size_t size;
    unsigned kind; /* 0: kmalloc, 1: stack, 2: vm */
};

static void let_go(struct held *one, uint8_t fill) {
    if (one->at[0] != fill || one->at[one->size - 1] != fill)
        atomic_fetch_add(&damaged, 1);
    if (one->kind == 0)
        kfree(one->at);
    else if (one->kind == 1)
        vm_stack_free(one->at, one->size);
    else
        vm_free(one->at, one->size);
    one->at = NULL;
}

static void allocate_at_random(void *arg) {
    uint8_t fill = (uint8_t)(uintptr_t)arg;
    struct held held[HELD] = {0};
    struct rand_state random = rand_seed(fill);
    for (unsigned step = 0; step < STEPS + HELD; step++) {
        struct held *one = &held[step < STEPS ? rand_below(&random, HELD) : step - STEPS];
        if (one->at != NULL) {
            let_go(one, fill);
        } else if (step < STEPS) {
            unsigned kind = rand_below(&random, 10);
            one->kind = kind < 2 ? kind + 1 : 0;
            one->size = one->kind != 0 ? PAGE_SIZE * (1 + rand_below(&random, 5))
                                       : 1 + rand_below(&random, kind < 5 ? 30000 : 2000);
            one->at = one->kind == 0   ? kmalloc(one->size)
                      : one->kind == 1 ? vm_stack_alloc(one->size)
                                       : vm_alloc(one->size, FRAME_OTHER);
            if (one->at != NULL)
                memset(one->at, fill, one->size);
        }
    }
}

static void all_cpus_allocate_at_once_and_nothing_is_lost(void **state) {
    (void)state;
    struct thread *threads[2 * CPUS_MAX];
    struct kheap_stats base = heap_now();
    for (unsigned i = 0; i < 2 * cpu_count; i++) {
        threads[i] = thread_start("allocate", 0, THREAD_PRIORITY_NORMAL, (int)(i / 2),
                                  allocate_at_random, (void *)(uintptr_t)(i + 1));
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < 2 * cpu_count; i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&damaged), 0);
    assert_int_equal(heap_now().large_blocks, base.large_blocks);
    assert_int_equal(heap_now().resident_pages, base.resident_pages);
    kheap_check();
    frame_check();
}

/* ---- The N-th failure --------------------------------------------------------------------------------------- */

static void a_thread_that_lacks_a_frame_leaves_nothing_behind(void **state) {
    (void)state;
    bool started = false;
    for (uint32_t n = 1; !started; n++) {
        struct frame_stats before, after;
        assert_true(n < 50);
        frame_stats(&before);
        frame_fail_after(n);
        struct thread *thread = thread_start("fail", 0, THREAD_PRIORITY_NORMAL, -1, nothing, NULL);
        frame_fail_after(0);
        started = thread != NULL;
        if (started)
            thread_join(thread);
        frame_stats(&after);
        assert_int_equal(after.free + after.by_owner[FRAME_TABLE],
                         before.free + before.by_owner[FRAME_TABLE]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_page_is_writable_and_executable_and_only_code_is_executable),
        cmocka_unit_test(code_and_constants_have_no_writable_second_address),
        cmocka_unit_test(nothing_is_mapped_below_the_kernels_half),
        cmocka_unit_test(the_recursive_view_agrees_with_the_walk),
        cmocka_unit_test(the_boot_stack_and_new_stacks_have_guards),
        cmocka_unit_test(other_cpus_see_a_new_mapping_and_not_the_old_one),
        cmocka_unit_test(each_first_touch_costs_one_page),
        cmocka_unit_test(memory_runs_out_cleanly_and_comes_back),
        cmocka_unit_test(frames_come_from_the_node_that_was_asked),
        cmocka_unit_test(all_cpus_allocate_at_once_and_nothing_is_lost),
        cmocka_unit_test(a_thread_that_lacks_a_frame_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
