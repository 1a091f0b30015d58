/* Memory at boot: from the firmware's map to the kernel's own page tables and a frame allocator.
 *
 * Order matters here, because each step stands on the one before:
 *   1. The map is cleaned; the kernel's image and the modules are claimed. Two pools are set aside:
 *      for page tables in the largest range of RAM below 4 GiB, which the road's early mapping
 *      reaches, and for descriptors in the largest range of all.
 *   2. The tables are built: direct map, image, recursive slot. Then the switch.
 *   3. Now all RAM can be reached. Each run of it becomes spans of frames. Descriptors exist only
 *      for them, so a hole in the map costs nothing. What the pools did not need is free memory.
 *
 * Only the boot CPU runs, IF off. What the map says is not trusted: overlaps, wraps and odd ends
 * are memmap's work; RAM out of reach or in too many pieces is reported and left alone. Without
 * usable RAM the kernel says so and stops. */
#include "kernel/mem/mem.h"

#include "boot/boot_info.h"
#include "ggmk/error.h"
#include "ggmk/log.h"
#include "kernel/core/acpi.h"
#include "kernel/core/config.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/frame_boot.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"
#include "lib/memmap.h"

#include <string.h>

#define LOW_END    (UINT64_C(1) << 20) /* old devices and start-up code want memory below */
#define EARLY_END  (UINT64_C(1) << 32) /* what every road maps early */
#define POOL_LEAST (UINT64_C(1) << 19)

/* Kinds of ranges beyond enum boot_range_kind. */
enum { MEM_IMAGE = 16, MEM_MODULE };

/* Where the linker put things: whole pages each. */
extern char image_start[], text_start[], rodata_start[], rodata_end[], data_start[], image_end[];

static struct memmap memory;

/* Memory for one purpose: [base, at) is used. */
struct pool {
    paddr_t base, at, end;
};
static struct pool tables, meta;

/* ---- The map ------------------------------------------------------------------------------ */

static void claim_range(uint64_t base, uint64_t size, uint32_t kind, const char *what) {
    if (size == 0 || size > LAYOUT_PHYS_MAX || base > LAYOUT_PHYS_MAX - size) {
        klog_warn("mem", "%s at 0x%llx, %llu bytes: not a place in memory", what,
                  (unsigned long long)base, (unsigned long long)size);
        return;
    }
    memmap_claim(&memory, page_down(base), page_up(base + size) - page_down(base), kind);
}

/* RAM that this CPU or the layout cannot address is taken out. */
static void cut_map(void) {
    uint64_t top = arch_page_phys_max() < LAYOUT_PHYS_MAX ? arch_page_phys_max() : LAYOUT_PHYS_MAX;
    for (uint32_t i = 0; i < memory.count; i++) {
        if (memory.at[i].kind == BOOT_RAM && memory.at[i].end > top)
            klog_warn("mem", "RAM up to 0x%llx: what lies above 0x%llx is left alone",
                      (unsigned long long)memory.at[i].end, (unsigned long long)top);
    }
    memmap_claim(&memory, top, UINT64_MAX - top, BOOT_RESERVED);
}

static void clean_map(const struct boot_info *info) {
    for (uint32_t i = 0; i < info->range_count; i++)
        memmap_add(&memory, info->ranges[i].base, info->ranges[i].size, info->ranges[i].kind);
    for (uint32_t i = 0; i < info->module_count; i++)
        claim_range(info->modules[i].base, info->modules[i].size, MEM_MODULE, "a module");
    cut_map();
    claim_range(info->kernel_base, (uint64_t)(image_end - image_start), MEM_IMAGE, "the kernel");
    claim_range(0, PAGE_SIZE, BOOT_RESERVED, "page 0"); /* so that 0 can mean "no frame" */
    memmap_finish(&memory);
    if (memory.overlaps > 0) /* loaders lay their own ranges over RAM: no fault of anybody's */
        klog_debug("mem", "the memory map has %u overlaps", memory.overlaps);
    if (memory.wrapped + memory.dropped > 0)
        klog_warn("mem", "the memory map has %u ranges past the end, %u too many", memory.wrapped,
                  memory.dropped);
}

/* RAM that has or may get a descriptor. */
static bool is_ram(uint32_t kind) {
    return kind == BOOT_RAM || kind == BOOT_LOADER || kind == MEM_IMAGE || kind == MEM_MODULE;
}

/* What the direct map shows: the firmware's tables too. */
static bool is_direct(uint32_t kind) {
    return is_ram(kind) || kind == BOOT_ACPI_RECLAIM || kind == BOOT_ACPI_NVS;
}

/* The next run of neighbouring ranges that are `wanted`, from entry *i on. False: no more. */
static bool next_run(uint32_t *i, bool (*wanted)(uint32_t kind), uint64_t *base, uint64_t *end) {
    while (*i < memory.count && !wanted(memory.at[*i].kind))
        ++*i;
    if (*i == memory.count)
        return false;
    *base = memory.at[*i].base;
    do
        *end = memory.at[(*i)++].end;
    while (*i < memory.count && memory.at[*i].base == *end && wanted(memory.at[*i].kind));
    return true;
}

/* ---- Pools ---------------------------------------------------------------------------------- */

static struct pool largest_below(uint64_t limit) {
    struct pool pool = {0};
    for (uint32_t i = 0; i < memory.count; i++) {
        uint64_t base = memory.at[i].base;
        uint64_t end = memory.at[i].end < limit ? memory.at[i].end : limit;
        if (memory.at[i].kind == BOOT_RAM && base < end && end - base > pool.end - pool.base)
            pool = (struct pool){base, base, end};
    }
    return pool;
}

/* The lower half of the range is for tables, and the upper one for descriptors, when it is the
 * same. */
static void choose_pools(void) {
    tables = largest_below(EARLY_END);
    uint64_t half = page_down((tables.end - tables.base) / 2);
    if (half < POOL_LEAST)
        panic("no memory: the largest free range below 4 GiB has %llu KiB",
              (unsigned long long)(tables.end - tables.base) / 1024);
    tables.end = tables.base + half;
    meta = largest_below(UINT64_MAX);
    if (meta.base == tables.base)
        meta.base = meta.at = tables.end;
}

static paddr_t pool_take(struct pool *pool, uint64_t bytes) {
    if (bytes > pool->end - pool->at)
        return 0;
    pool->at += bytes;
    return pool->at - bytes;
}

static paddr_t boot_table(void) {
    return pool_take(&tables, PAGE_SIZE);
}

/* ---- The kernel's tables ------------------------------------------------------------------------ */

/* Maps by the largest pages that fit, up to `level_max`. False: the pool is used up. */
static bool map_range(paddr_t root, vaddr_t va, paddr_t pa, uint64_t size, unsigned prot,
                      unsigned level_max) {
    while (size > 0) {
        unsigned level = level_max;
        while (level > 0 && (((va | pa) & (((uint64_t)PAGE_SIZE << 9 * level) - 1)) != 0 ||
                             size < (uint64_t)PAGE_SIZE << 9 * level))
            level--;
        int error = arch_page_map(root, va, pa, level, prot | PAGE_GLOBAL, boot_table);
        K_ASSERT(error == GMK_OK || error == GMK_ENOMEM, "nothing is mapped twice at boot");
        if (error != GMK_OK)
            return false;
        uint64_t step = (uint64_t)PAGE_SIZE << 9 * level;
        va += step;
        pa += step;
        size -= step;
    }
    return true;
}

static void map_direct(paddr_t root) {
    unsigned level_max = kernel_config.huge_pages ? arch_page_level_max() : 1;
    uint64_t base, end, done = 0;
    for (uint32_t i = 0; next_run(&i, is_direct, &base, &end);) {
        base = page_down(base) > done ? page_down(base) : done; /* two runs may share a page */
        done = page_up(end);
        if (base < done &&
            !map_range(root, LAYOUT_DIRECT + base, base, done - base, PAGE_WRITE, level_max))
            panic("no memory for page tables: RAM at 0x%llx-0x%llx needs too many",
                  (unsigned long long)base, (unsigned long long)end);
    }
}

/* Code and constants lose their writable second address in the direct map. */
static void protect_alias(paddr_t root, paddr_t base, uint64_t size) {
    for (vaddr_t va = LAYOUT_DIRECT + base; va < LAYOUT_DIRECT + base + size; va += PAGE_SIZE) {
        struct page_info info;
        while (arch_page_query(root, va, &info) == GMK_OK && info.level > 0) /* twice at most */
            if (arch_page_split(root, va, boot_table) != GMK_OK)
                panic("no memory for page tables");
        arch_page_protect(root, va, PAGE_GLOBAL);
    }
}

static void map_image(paddr_t root, paddr_t base) {
    const struct {
        const char *start, *end;
        unsigned prot;
    } parts[] = {
        {text_start, rodata_start, PAGE_EXEC},
        {rodata_start, data_start, 0},
        {data_start, image_end, PAGE_WRITE},
    };
    for (unsigned i = 0; i < 3; i++) {
        paddr_t pa = base + (uint64_t)(parts[i].start - image_start);
        uint64_t size = (uint64_t)(parts[i].end - parts[i].start);
        if (!map_range(root, (vaddr_t)parts[i].start, pa, size, parts[i].prot, 0))
            panic("no memory for page tables");
        if ((parts[i].prot & PAGE_WRITE) == 0)
            protect_alias(root, pa, size);
    }
}

static void make_tables(const struct boot_info *info) {
    arch_page_window(info->early_offset);
    arch_page_cpu_init();
    paddr_t root = boot_table();
    memset((void *)(info->early_offset + root), 0, PAGE_SIZE);
    map_direct(root);
    map_image(root, info->kernel_base);
    arch_page_make_recursive(root);
    arch_page_switch(root);
    arch_tlb_flush_all(); /* early translations may be global */
    arch_page_window(LAYOUT_DIRECT);
    vm_init(root);
}

/* ---- Spans -------------------------------------------------------------------------------- */

struct piece { /* becomes a span */
    paddr_t base, end;
    void *bitmap;
};

/* Gives a piece its descriptors and its bitmap. False: no memory for them. */
static bool back_piece(struct piece *piece) {
    uint64_t first = piece->base >> PAGE_SHIFT, last = piece->end >> PAGE_SHIFT;
    vaddr_t va = LAYOUT_FRAMES + first * sizeof(struct frame);
    vaddr_t end = LAYOUT_FRAMES + last * sizeof(struct frame);
    uint64_t bitmap = page_up(frame_span_bytes(last - first));
    if (page_up(end) - page_down(va) + bitmap > meta.end - meta.at)
        return false;
    for (vaddr_t at = page_down(va); at < end; at += PAGE_SIZE) {
        struct page_info info; /* the piece below may share the first page */
        if (arch_page_query(vm_kernel_root(), at, &info) != GMK_OK &&
            !map_range(vm_kernel_root(), at, pool_take(&meta, PAGE_SIZE), PAGE_SIZE, PAGE_WRITE, 0))
            panic("no memory for page tables");
    }
    memset((void *)va, 0, end - va);
    piece->bitmap = arch_phys(pool_take(&meta, bitmap));
    return true;
}

static void own(const struct piece *piece, paddr_t from, paddr_t to, enum frame_owner owner) {
    from = from > piece->base ? from : piece->base;
    to = to < piece->end ? to : piece->end;
    if (from < to)
        frame_boot_owner(from, to, owner);
}

/* Says whose the frames are that are not free, and hands the rest to the allocator. */
static void open_piece(const struct piece *piece) {
    for (uint32_t i = 0; i < memory.count; i++) {
        uint32_t kind = memory.at[i].kind;
        if (is_ram(kind) && kind != BOOT_RAM)
            own(piece, page_down(memory.at[i].base), page_up(memory.at[i].end),
                kind == MEM_IMAGE    ? FRAME_IMAGE
                : kind == MEM_MODULE ? FRAME_MODULE
                                     : FRAME_RESERVED);
    }
    own(piece, tables.base, tables.at, FRAME_TABLE);
    own(piece, meta.base, meta.at, FRAME_META);
    frame_span_add(piece->base >> PAGE_SHIFT, (piece->end - piece->base) >> PAGE_SHIFT,
                   piece->bitmap);
}

/* Cuts a run where memory of another use begins, so that each span is of one use. */
static paddr_t cut_of(paddr_t base, paddr_t end) {
    if (base < LOW_END && end > LOW_END)
        return LOW_END;
    return base < EARLY_END && end > EARLY_END ? EARLY_END : end;
}

/* All descriptors are backed before the first span opens: until then the pools give. */
static void make_spans(void) {
    struct piece pieces[FRAME_SPANS_MAX];
    unsigned count = 0;
    uint64_t base, end;
    for (uint32_t i = 0; next_run(&i, is_ram, &base, &end);) {
        base = page_up(base);
        end = page_down(end);
        while (base < end) {
            struct piece piece = {.base = base, .end = cut_of(base, end)};
            base = piece.end;
            if (count < FRAME_SPANS_MAX && back_piece(&piece))
                pieces[count++] = piece;
            else
                klog_warn("mem", "RAM at 0x%llx-0x%llx is left alone: %s",
                          (unsigned long long)piece.base, (unsigned long long)piece.end,
                          count == FRAME_SPANS_MAX ? "too many pieces" : "too large to describe");
        }
    }
    for (unsigned i = 0; i < count; i++)
        open_piece(&pieces[i]);
}

void mem_init(struct boot_info *info) {
    clean_map(info);
    choose_pools();
    make_tables(info);
    make_spans();
    struct frame_stats stats;
    frame_stats(&stats);
    klog_info("mem", "%llu MiB of RAM, %llu KiB used by the kernel",
              (unsigned long long)(stats.total >> 8),
              (unsigned long long)(stats.by_owner[FRAME_IMAGE] + stats.by_owner[FRAME_META] +
                                   stats.by_owner[FRAME_TABLE]) *
                  4);
}

bool mem_is_ram(paddr_t base, uint64_t size) {
    for (uint32_t i = 0; i < memory.count; i++)
        if (is_direct(memory.at[i].kind) && memory.at[i].base < base + size &&
            base < memory.at[i].end)
            return true;
    return false;
}

/* ---- Later steps ---------------------------------------------------------------------------- */

void mem_numa_init(void) {
    struct frame_part parts[ACPI_MEMORY_MAX];
    for (uint32_t i = 0; i < acpi.memory_count; i++) {
        parts[i] = (struct frame_part){.base = acpi.memory[i].base,
                                       .end = acpi.memory[i].base + acpi.memory[i].size,
                                       .node = acpi.memory[i].node};
    }
    if (acpi.node_count < 2)
        return;
    if (!frame_numa_split(parts, acpi.memory_count)) {
        klog_warn("mem", "the NUMA nodes have too many pieces: all memory is node 0's");
        return;
    }
    for (unsigned node = 0; node < acpi.node_count; node++) {
        uint64_t total, free;
        frame_numa_order(node, acpi.distance[node], acpi.node_count);
        frame_node_stats(node, &total, &free);
        klog_info("mem", "node %u: %llu MiB", node, (unsigned long long)(total >> 8));
    }
}

void mem_heap_init(void) {
    kheap_init();
}

void mem_cpu_init(struct cpu *cpu) {
    arch_page_cpu_init();
    if (cpu->index == 0)
        return; /* has had its cache from the start */
    void *cache = kzalloc(frame_cache_bytes());
    if (cache != NULL) /* without one this CPU uses the bitmaps */
        frame_cache_init(cpu->index, cache);
}

paddr_t mem_low_page(void) {
    return frame_alloc_run(1, PAGE_SIZE, LOW_END, FRAME_OTHER);
}

bool mem_identity_map(paddr_t pa, size_t size) {
    for (size_t done = 0; done < size; done += PAGE_SIZE) {
        if (arch_page_map(vm_kernel_root(), pa + done, pa + done, 0, PAGE_EXEC, vm_table_alloc) !=
            GMK_OK) {
            mem_identity_unmap(pa, done);
            return false;
        }
    }
    return true;
}

void mem_identity_unmap(paddr_t pa, size_t size) {
    paddr_t frame;
    unsigned level;
    for (size_t done = 0; done < size; done += PAGE_SIZE)
        arch_page_unmap(vm_kernel_root(), pa + done, &frame, &level);
    shootdown_range(pa, size / PAGE_SIZE);
}

void mem_boot_release(struct boot_info *info) {
    (void)info; /* the cleaned map knows better what the loader's ranges really are */
    uint64_t frames = 0;
    for (uint32_t i = 0; i < memory.count; i++) {
        if (memory.at[i].kind == BOOT_LOADER)
            frames += frame_boot_release(page_up(memory.at[i].base), page_down(memory.at[i].end));
    }
    if (frames != 0)
        klog_info("mem", "%llu KiB of the boot loader's memory are free again",
                  (unsigned long long)frames * 4);
}
