/* Test of the kernel heap: blocks keep what was written to them, damage is caught, first touches
 * cost one page each, the N-th failure leaks nothing. On the paged machine of tests/fake_arch. */
#include "tests/fake_arch/paged.h"

#include "arch/x86_64/paging.c"
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

#define RAM   ((uint64_t)8 << 20)
#define HELD  300u
#define STEPS 20000u

/* Called by each test itself: cmocka takes the signals over between a setup and its test. */
static void fresh(void) {
    paged_kernel(RAM);
    kheap_init();
}

static uint64_t free_now(void) {
    struct frame_stats stats;
    kheap_check();
    frame_check();
    frame_stats(&stats);
    return stats.free;
}

/* All that is free can be had by anybody. */
static void check_no_promise(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    assert_int_equal(atomic_load(&frame_unclaimed) + (int64_t)boot_cache.count,
                     (int64_t)stats.free);
}

static struct kheap_stats heap_now(void) {
    struct kheap_stats stats;
    kheap_stats(&stats);
    return stats;
}

/* ---- Slabs ------------------------------------------------------------------------------------ */

static void small_blocks_are_aligned_sized_and_leave_nothing_behind(void **state) {
    (void)state;
    fresh();
    uint64_t before = free_now();
    assert_null(kmalloc(0));
    kfree(NULL);
    for (size_t size = 1; size <= 2048; size += 1 + size / 16) {
        void *blocks[64];
        for (unsigned i = 0; i < 64; i++) {
            blocks[i] = kmalloc(size);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            assert_true(kmalloc_size(blocks[i]) >= size);
            memset(blocks[i], (int)i, kmalloc_size(blocks[i]));
        }
        kheap_check();
        for (unsigned i = 0; i < 64; i++) {
            const uint8_t *bytes = blocks[i];
            for (size_t n = 0; n < size; n++)
                assert_int_equal(bytes[n], i);
            kfree(blocks[i]);
        }
    }
    assert_int_equal(heap_now().slab_used, 0);
    assert_int_equal(heap_now().slab_bytes, 0);
    assert_int_equal(free_now() + 4, before + 4);
}

static void zeroed_blocks_are_zero_also_when_recycled(void **state) {
    (void)state;
    fresh();
    static const size_t sizes[] = {24, 2000, 5000, 100000};
    for (unsigned s = 0; s < 4; s++) {
        for (unsigned round = 0; round < 3; round++) {
            char *block = kzalloc(sizes[s]);
            for (size_t i = 0; i < sizes[s]; i++)
                assert_int_equal(block[i], 0);
            memset(block, 0xff, sizes[s]);
            kfree(block);
        }
    }
}

static void a_block_that_is_none_is_refused(void **state) {
    (void)state;
    fresh();
    char *small = kmalloc(100);
    expect_assert_failure(kfree(small + 1));
    expect_assert_failure(kfree(small + 128)); /* never handed out */
    struct kslab_cache other;
    kslab_init(&other, "other", 128);
    expect_assert_failure(kslab_give(&other, small));
    paddr_t frame = frame_alloc(FRAME_OTHER);
    expect_assert_failure(kfree(arch_phys(frame)));
    expect_assert_failure(kslab_init(&other, "bad", 12));
    expect_assert_failure(kslab_init(&other, "bad", 8192));
}

#ifdef GMK_PROFILE_DEV
static void damage_to_small_blocks_is_found(void **state) {
    (void)state;
    fresh();
    char *block = kmalloc(40), *second = kmalloc(40);
    memset(block, 1, kmalloc_size(block) + 1);
    expect_assert_failure(kfree(block));
    kfree(second);
    expect_assert_failure(kfree(second));
    second[20] = 1;
    expect_assert_failure((void)kmalloc(40));
}
#endif

static void wild_and_stale_large_blocks_are_refused(void **state) {
    (void)state;
    fresh();
    char *block = kmalloc(5000);
    assert_int_equal(kmalloc_size(block), 8192);
    assert_true(paged_faults(block + 8192)); /* a write past the end */
    expect_assert_failure(kfree(block + 4096));
    fresh(); /* after a panic nothing goes on */
    block = kmalloc(5000);
    kfree(block);
    expect_assert_failure(kfree(block));
}

/* ---- Demand paging -------------------------------------------------------------------------------- */

static void a_large_block_costs_what_is_touched(void **state) {
    (void)state;
    fresh();
    uint64_t before = free_now();
    struct kheap_stats base = heap_now();
    volatile char *block = kmalloc((size_t)4 << 20);
    assert_non_null(block);
    struct kheap_stats made = heap_now();
    assert_int_equal(made.resident_pages, base.resident_pages);
    assert_int_equal(made.faults, base.faults);
    for (unsigned i = 1; i <= 10; i++) {
        block[(size_t)i * 100000] = (char)i;
        assert_int_equal(heap_now().faults - made.faults, i);
        assert_int_equal(heap_now().resident_pages - made.resident_pages, i);
    }
    for (unsigned i = 1; i <= 10; i++)
        assert_int_equal(block[(size_t)i * 100000], i);
    kfree((void *)block);
    assert_int_equal(heap_now().resident_pages, base.resident_pages);
    assert_true(before - free_now() <= 5); /* page tables stay */
    check_no_promise();
    assert_true(paged_faults(block + 100000));
}

static void a_stray_address_in_the_heap_is_not_resolved(void **state) {
    (void)state;
    fresh();
    char *freed = kmalloc(100000);
    char *other = vm_alloc(100000, FRAME_OTHER);
    assert_in_range((vaddr_t)other, LAYOUT_MAP, LAYOUT_MAP + LAYOUT_MAP_SIZE - 1);
    kfree(freed); /* never touched */
    assert_true(paged_faults(freed));
    assert_true(paged_faults(freed + 50000));
    char *block = kmalloc(100000);
    assert_false(paged_faults(block + 50000));
    assert_true(paged_faults(block + 200000));
    assert_true(paged_faults((char *)LAYOUT_HEAP + LAYOUT_HEAP_SIZE - 1));
    assert_false(vm_fault((vaddr_t)block, true, true, false)); /* a write to a read-only page */
    assert_false(vm_fault((vaddr_t)block + 60000, false, false, true));
    assert_false(vm_fault(LAYOUT_MAP, true, false, false));
}

static void what_was_promised_can_be_touched_when_memory_is_gone(void **state) {
    (void)state;
    fresh();
    static paddr_t taken[RAM / PAGE_SIZE];
    size_t size = (size_t)1 << 20, count = 0;
    volatile char *block = kmalloc(size);
    assert_null(kmalloc((size_t)8 << 20));
    while ((taken[count] = frame_alloc(FRAME_OTHER)) != 0)
        count++;
    assert_null(kmalloc(100000));
    for (size_t i = 0; i < size; i += PAGE_SIZE)
        block[i] = 1;
    while (count-- != 0)
        frame_free(taken[count]);
    kfree((void *)block);
    assert_non_null(kmalloc(100000));
}

/* ---- Random steps ----------------------------------------------------------------------------------- */

struct held {
    uint8_t *block;
    size_t size;
    uint8_t fill;
};

static void drop(struct held *held) {
    for (size_t i = 0; i < held->size; i += 97)
        assert_int_equal(held->block[i], held->fill);
    assert_int_equal(held->block[held->size - 1], held->fill);
    kfree(held->block);
    held->block = NULL;
}

static void random_blocks_keep_their_bytes_and_leave_nothing_behind(void **state) {
    (void)state;
    fresh();
    static struct held held[HELD];
    struct rand_state random = rand_seed(paged_seed());
    uint64_t tables = 0, before = free_now();
    for (unsigned step = 0; step < STEPS; step++) {
        struct held *one = &held[rand_below(&random, HELD)];
        if (one->block != NULL) {
            drop(one);
        } else {
            unsigned kind = rand_below(&random, 20);
            one->size = 1 + rand_below(&random, kind == 0 ? 300000 : kind < 8 ? 20000 : 3000);
            one->fill = (uint8_t)rand_next(&random);
            one->block = kmalloc(one->size);
            if (one->block != NULL)
                memset(one->block, one->fill, one->size);
        }
        if (step % 500 == 0)
            free_now();
    }
    for (unsigned i = 0; i < HELD; i++) {
        if (held[i].block != NULL)
            drop(&held[i]);
    }
    struct frame_stats stats;
    frame_stats(&stats);
    tables = stats.by_owner[FRAME_TABLE];
    assert_int_equal(heap_now().large_blocks, 0);
    assert_int_equal(heap_now().large_used, 0);
    assert_int_equal(heap_now().resident_pages, 0);
    assert_int_equal(stats.by_owner[FRAME_SLAB], 0);
    assert_true(before - free_now() <= tables);
    assert_null(areas);
    check_no_promise();
}

/* ---- The N-th failure --------------------------------------------------------------------------------- */

static void the_nth_missing_frame_fails_cleanly(void **state) {
    (void)state;
    fresh();
    static const size_t sizes[] = {100, 2000, 5000, 70000, 3000000};
    for (unsigned s = 0; s < 10; s++) {
        bool done = false;
        for (uint32_t n = 1; !done; n++) {
            assert_true(n < 20);
            fresh();
            struct kheap_stats base = heap_now();
            struct frame_stats before, after;
            void *neighbour = s < 5 ? kmalloc(5000) : NULL;
            frame_stats(&before);
            frame_fail_after(n);
            void *block = kmalloc(sizes[s % 5]);
            frame_fail_after(0);
            done = block != NULL && n > 1;
            kfree(block);
            frame_stats(&after);
            uint64_t tables = after.by_owner[FRAME_TABLE] - before.by_owner[FRAME_TABLE];
            assert_int_equal(before.free - tables, after.free);
            kfree(neighbour);
            free_now();
            assert_int_equal(heap_now().resident_pages, base.resident_pages);
            assert_null(areas);
            check_no_promise();
            if (n == 1 && s % 5 >= 2)
                assert_null(block); /* the promise was refused */
        }
    }
}

static void the_nth_kmalloc_fails_once(void **state) {
    (void)state;
    fresh();
    for (uint32_t n = 1; n < 5; n++) {
        kheap_fail_after(n);
        for (uint32_t i = 1; i < 8; i++) {
            void *block = kmalloc(i * 1000);
            assert_int_equal(block == NULL, i == n);
            kfree(block);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_blocks_are_aligned_sized_and_leave_nothing_behind),
        cmocka_unit_test(zeroed_blocks_are_zero_also_when_recycled),
        cmocka_unit_test(a_block_that_is_none_is_refused),
#ifdef GMK_PROFILE_DEV
        cmocka_unit_test(damage_to_small_blocks_is_found),
#endif
        cmocka_unit_test(wild_and_stale_large_blocks_are_refused),
        cmocka_unit_test(a_large_block_costs_what_is_touched),
        cmocka_unit_test(a_stray_address_in_the_heap_is_not_resolved),
        cmocka_unit_test(what_was_promised_can_be_touched_when_memory_is_gone),
        cmocka_unit_test(random_blocks_keep_their_bytes_and_leave_nothing_behind),
        cmocka_unit_test(the_nth_missing_frame_fails_cleanly),
        cmocka_unit_test(the_nth_kmalloc_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
