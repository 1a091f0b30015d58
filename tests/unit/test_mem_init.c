/* Test of memory at boot: whatever the firmware's map says, what is handed out is RAM that nobody else
 * uses, the tables keep W^X, and a map without RAM ends in a message. On the paged machine. */
#include "tests/fake_arch/paged.h"

#include "arch/x86_64/page_next.c"
#include "arch/x86_64/paging.c"
#include "kernel/core/lock.c"
#include "kernel/mem/frame.c"
#include "kernel/mem/frame_boot.c"
#include "kernel/mem/heap.c"
#include "kernel/mem/mem.c"
#include "kernel/mem/shootdown.c"
#include "kernel/mem/slab.c"
#include "kernel/mem/vm.c"
#include "tests/fake_arch/paged_kernel.h"

#define MIB         ((uint64_t)1 << 20)
#define RAM         (64 * MIB)
#define RAM_END     (PAGED_RAM_BASE + RAM)
#define FRAMES      (RAM_END / PAGE_SIZE)
#define KERNEL_BASE (2 * MIB)
#define SEEDS       60u

/* The image as the linker would lay it out: 3 pages of code, 2 of constants, 5 of data. */
__asm__(".data\n.balign 4096\n"
        ".globl image_start, text_start, rodata_start, rodata_end, data_start, image_end\n"
        "image_start: text_start: .skip 3 * 4096\n"
        "rodata_start: .skip 2 * 4096\nrodata_end: data_start: .skip 5 * 4096\nimage_end:\n"
        ".previous\n");

struct acpi_info acpi;
kernel_config_t kernel_config;
static uint64_t phys_max;

unsigned arch_page_level_max(void) {
    return 2;
}
uint64_t arch_page_phys_max(void) {
    return phys_max;
}
void arch_page_cpu_init(void) {}
void arch_page_switch(paddr_t root) {
    (void)root;
}

static struct boot_info info;

static void fresh(void) {
    paged_kernel(RAM);
    frame_span_count = 0; /* mem_init() makes its own */
    frame_unclaimed = 0;
    memset(shared_owned, 0, sizeof shared_owned);
    paged_forget(LAYOUT_FRAMES, LAYOUT_HEAP - LAYOUT_FRAMES);
    vm_init(0);
    memset(&memory, 0, sizeof memory);
    memset(&tables, 0, sizeof tables);
    memset(&meta, 0, sizeof meta);
    memset(&acpi, 0, sizeof acpi);
    memset(&info, 0, sizeof info);
    kernel_config.huge_pages = true;
    phys_max = UINT64_C(1) << 40;
    info.kernel_base = KERNEL_BASE;
    info.kernel_size = (uint64_t)(image_end - image_start);
}

static void add(uint64_t base, uint64_t end, uint32_t kind) {
    info.ranges[info.range_count++] = (struct boot_range){base, end - base, kind};
}

/* ---- What has to hold after every start ------------------------------------------------------- */

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t page) {
    uint64_t end = a_size > UINT64_MAX - a ? UINT64_MAX : a + a_size;
    return a_size != 0 && a < page + PAGE_SIZE && end > page;
}

/* The slow truth: is each byte of the page RAM by some range, and no part of it anything else? */
static bool is_free_ram(uint64_t page) {
    uint64_t at = page;
    bool other = page == 0 || overlaps(info.kernel_base, info.kernel_size, page);
    for (uint32_t i = 0; i < info.module_count; i++)
        other |= overlaps(info.modules[i].base, info.modules[i].size, page);
    for (uint32_t i = 0; i < info.range_count; i++) {
        if (info.ranges[i].kind != BOOT_RAM)
            other |= overlaps(info.ranges[i].base, info.ranges[i].size, page);
    }
    for (uint32_t turn = 0; turn < info.range_count && at < page + PAGE_SIZE; turn++) {
        for (uint32_t i = 0; i < info.range_count; i++) {
            const struct boot_range *range = &info.ranges[i];
            uint64_t end =
                range->size > UINT64_MAX - range->base ? UINT64_MAX : range->base + range->size;
            if (range->kind == BOOT_RAM && range->base <= at && end > at)
                at = end;
        }
    }
    return !other && at >= page + PAGE_SIZE;
}

static void check_tables(void) {
    struct page_info page;
    for (vaddr_t va = arch_page_next(vm_kernel_root(), PAGE_SIZE);
         va != 0 && va < LAYOUT_DIRECT + (UINT64_C(1) << 47);
         va = arch_page_next(vm_kernel_root(), va + ((vaddr_t)PAGE_SIZE << (9 * page.level)))) {
        assert_int_equal(arch_page_query(vm_kernel_root(), va, &page), GMK_OK);
        bool write = (page.prot & PAGE_WRITE) != 0, exec = (page.prot & PAGE_EXEC) != 0;
        assert_false(write && exec);
        assert_int_equal(exec, va >= (vaddr_t)text_start && va < (vaddr_t)rodata_start);
        bool alias = va >= KERNEL_BASE && va < KERNEL_BASE + 5 * PAGE_SIZE;
        bool constant = va >= (vaddr_t)rodata_start && va < (vaddr_t)data_start;
        assert_int_equal(write, !alias && !constant && !exec);
    }
}

/* Every frame that is handed out is free RAM, is mapped, and is given once; and little is missing. */
static void check_machine(uint64_t lost_max) {
    static uint8_t given[FRAMES + 1];
    memset(given, 0, sizeof given);
    uint64_t usable = 0, count = 0;
    paddr_t frame;
    frame_check();
    check_tables();
    for (uint64_t n = 0; n < FRAMES; n++)
        usable += is_free_ram(n * PAGE_SIZE);
    while ((frame = frame_alloc(FRAME_OTHER)) != 0) {
        struct page_info page;
        assert_true(frame < RAM_END);
        assert_true(is_free_ram(frame));
        assert_int_equal(given[frame / PAGE_SIZE]++, 0);
        assert_int_equal(arch_page_query(vm_kernel_root(), LAYOUT_DIRECT + frame, &page), GMK_OK);
        assert_int_equal(page.pa, frame);
        memset(arch_phys(frame), 0xee, PAGE_SIZE);
        count++;
    }
    assert_true(count + lost_max >= usable);
    frame_check(); /* no descriptor or bitmap was among the memory that was filled */
    check_tables();
}

static void an_ordinary_map_gives_all_its_memory_but_what_describes_it(void **state) {
    (void)state;
    fresh();
    add(PAGED_RAM_BASE, 0x9fc00, BOOT_RAM);
    add(0x9fc00, 0xa0000, BOOT_RESERVED);
    add(0xf0000, 0x100000, BOOT_RESERVED);
    add(MIB, 60 * MIB, BOOT_RAM);
    add(60 * MIB, RAM_END, BOOT_ACPI_RECLAIM);
    info.module_count = 1;
    info.modules[0] = (struct boot_module){.base = 50 * MIB + 5, .size = 3 * MIB};
    mem_init(&info);
    struct frame_stats stats;
    frame_stats(&stats);
    assert_int_equal(stats.by_owner[FRAME_IMAGE], 10);
    assert_int_equal(stats.by_owner[FRAME_MODULE], 3 * MIB / PAGE_SIZE + 1);
    assert_int_equal(stats.total, (0x9f000 - PAGED_RAM_BASE + 59 * MIB) / PAGE_SIZE);
    assert_int_equal(mem_low_page() / PAGE_SIZE, PAGED_RAM_BASE / PAGE_SIZE);
    check_machine(stats.by_owner[FRAME_META] + stats.by_owner[FRAME_TABLE] + 1);
    assert_true(stats.by_owner[FRAME_META] + stats.by_owner[FRAME_TABLE] < 90);
}

static void a_map_without_ram_is_refused(void **state) {
    (void)state;
    fresh();
    expect_assert_failure(mem_init(&info));
    fresh();
    add(0, UINT64_MAX, BOOT_RESERVED);
    expect_assert_failure(mem_init(&info));
    fresh();
    add(3 * MIB, 3 * MIB + 500000, BOOT_RAM);
    expect_assert_failure(mem_init(&info));
    fresh();
    add(UINT64_C(1) << 33, UINT64_C(1) << 34, BOOT_RAM); /* nothing that can be reached early */
    expect_assert_failure(mem_init(&info));
}

static void ram_beyond_the_cpus_addresses_is_reported_and_left(void **state) {
    (void)state;
    fresh();
    phys_max = RAM_END - 4 * MIB;
    add(MIB, RAM_END, BOOT_RAM);
    add(UINT64_C(1) << 50, UINT64_C(1) << 51, BOOT_RAM);
    mem_init(&info);
    assert_non_null(strstr(paged_log, "lies above"));
    paddr_t frame;
    while ((frame = frame_alloc(FRAME_OTHER)) != 0)
        assert_true(frame < phys_max);
    frame_check();
}

static void too_many_pieces_are_reported_and_left(void **state) {
    (void)state;
    fresh();
    add(MIB, 20 * MIB, BOOT_RAM);
    for (unsigned i = 0; i < FRAME_SPANS_MAX + 10; i++)
        add(21 * MIB + i * 0x40000, 21 * MIB + i * 0x40000 + 0x30000, BOOT_RAM);
    for (unsigned i = 0; i < 20; i++)
        add(50 * MIB + i * 0x4000, 50 * MIB + i * 0x4000 + 0x2000, BOOT_RAM);
    mem_init(&info);
    assert_non_null(strstr(paged_log, "too many pieces"));
    assert_int_equal(frame_span_count, FRAME_SPANS_MAX);
    check_machine(90 * 48);
}

static void the_loaders_memory_comes_back_when_it_is_released(void **state) {
    (void)state;
    fresh();
    add(MIB, 30 * MIB, BOOT_RAM);
    add(30 * MIB, 40 * MIB + 5, BOOT_LOADER);
    mem_init(&info);
    struct frame_stats before, after;
    frame_stats(&before);
    assert_int_equal(before.by_owner[FRAME_RESERVED], 10 * MIB / PAGE_SIZE);
    mem_boot_release(&info);
    frame_stats(&after);
    assert_int_equal(after.free, before.free + 10 * MIB / PAGE_SIZE);
    assert_int_equal(after.by_owner[FRAME_RESERVED], 0);
    frame_check();
}

static void a_nodes_memory_moves_to_it(void **state) {
    (void)state;
    fresh();
    add(MIB, RAM_END, BOOT_RAM);
    mem_init(&info);
    acpi.node_count = 2;
    acpi.memory_count = 2;
    acpi.memory[0].base = 0;
    acpi.memory[0].size = 30 * MIB + 123;
    acpi.memory[1].base = 30 * MIB + 123;
    acpi.memory[1].size = UINT64_MAX - 30 * MIB - 123;
    acpi.memory[1].node = 1;
    for (unsigned i = 0; i < 2; i++)
        for (unsigned n = 0; n < 2; n++)
            acpi.distance[i][n] = i == n ? 10 : 20;
    mem_numa_init();
    frame_check();
    for (uint32_t node = 0; node < 2; node++) {
        paged_cpu.node = node;
        frame_cache_drain();
        paddr_t frame = frame_alloc(FRAME_OTHER);
        assert_int_equal(frame_of(frame)->node, node);
        assert_int_equal(frame >= 30 * MIB, node);
    }
    mem_heap_init();
    mem_cpu_init(&paged_cpu);
    assert_true(mem_identity_map(0x20000, PAGE_SIZE));
    struct page_info page;
    assert_int_equal(arch_page_query(vm_kernel_root(), 0x20123, &page), GMK_OK);
    assert_int_equal(page.prot, PAGE_EXEC);
    mem_identity_unmap(0x20000, PAGE_SIZE);
    assert_int_equal(arch_page_query(vm_kernel_root(), 0x20123, &page), GMK_ENOENT);
}

static uint64_t somewhere(struct rand_state *random) {
    uint64_t at = rand_next(random);
    switch (rand_below(random, 8)) {
    case 0:
        return at;
    case 1:
        return at % MIB;
    default:
        at %= RAM_END;
        return rand_below(random, 3) == 0 ? at : page_down(at);
    }
}

/* RAM and the loader's memory are claimed only where the machine has memory; everything else may
 * be anywhere but on the first 8 MiB, without which nothing starts. */
static void add_random(struct rand_state *random) {
    uint64_t base = somewhere(random), size = rand_next(random) % (8 * MIB);
    uint32_t kind = rand_below(random, 2) == 0 ? (uint32_t)BOOT_RAM : 1 + rand_below(random, 6);
    if (kind <= BOOT_LOADER)
        base = PAGED_RAM_BASE + base % (RAM - 8 * MIB);
    if (kind != BOOT_RAM && base < 8 * MIB)
        base += 8 * MIB;
    if (rand_below(random, 10) == 0)
        size = 0;
    info.ranges[info.range_count++] = (struct boot_range){base, size, kind};
}

static void random_maps_never_hand_out_what_is_not_free(void **state) {
    (void)state;
    uint64_t seed = paged_seed();
    for (uint64_t s = seed; s < seed + SEEDS; s++) {
        struct rand_state random = rand_seed(s);
        fresh();
        for (uint32_t n = rand_below(&random, 30); n != 0; n--)
            add_random(&random);
        add(MIB, 8 * MIB, BOOT_RAM);
        info.module_count = rand_below(&random, 3);
        for (uint32_t i = 0; i < info.module_count; i++) {
            bool absurd = rand_below(&random, 9) == 0;
            info.modules[i].base = absurd ? rand_next(&random) : 20 * MIB + somewhere(&random) / 4;
            info.modules[i].size = rand_below(&random, 1 << 22);
            info.modules[i].base %= absurd ? UINT64_MAX : RAM_END - (1 << 22);
        }
        mem_init(&info);
        check_machine(700);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_map_gives_all_its_memory_but_what_describes_it),
        cmocka_unit_test(a_map_without_ram_is_refused),
        cmocka_unit_test(ram_beyond_the_cpus_addresses_is_reported_and_left),
        cmocka_unit_test(too_many_pieces_are_reported_and_left),
        cmocka_unit_test(the_loaders_memory_comes_back_when_it_is_released),
        cmocka_unit_test(a_nodes_memory_moves_to_it),
        cmocka_unit_test(random_maps_never_hand_out_what_is_not_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
