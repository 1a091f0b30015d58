/* Monitor, memory: who has the frames, which node they are on, what is mapped, what it holds. */
#include "ggmk/error.h"
#include "kernel/core/acpi.h"
#include "kernel/debug/kdb.h"
#include "kernel/debug/readable.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"

#define PEEK_USUAL 8u           /* words shown unless told otherwise */
#define PEEK_MAX   512u         /* words */
#define SLOT_SIZE  (1ull << 39) /* of a top-level entry */

static unsigned long long kib(uint64_t frames) {
    return frames * (PAGE_SIZE / 1024u);
}

static void cmd_mem(const struct kdb_call *call) {
    (void)call;
    static const char *const owners[FRAME_OWNERS] = {
        "free",  "reserved", "kernel image", "page tables",  "heap",
        "slabs", "stacks",   "engine",       "modules",      "frame descriptors",
        "other", "objects",  "units' pages", "units' trees", "units' page tables"};
    struct frame_stats frames;
    frame_stats(&frames);
    kdb_print("%llu KiB of RAM, %llu KiB free\n", kib(frames.total), kib(frames.free));
    for (unsigned i = 0; i < FRAME_OWNERS; i++)
        if (i != FRAME_FREE && frames.by_owner[i] != 0)
            kdb_print("  %10llu KiB %s\n", kib(frames.by_owner[i]), owners[i]);
    struct kheap_stats heap;
    kheap_stats(&heap);
    kdb_print("slabs: %llu objects in %llu bytes\n", (unsigned long long)heap.slab_used,
              (unsigned long long)heap.slab_bytes);
    kdb_print("heap: %llu bytes in %llu blocks, %llu pages touched, %llu faults\n",
              (unsigned long long)heap.large_used, (unsigned long long)heap.large_blocks,
              (unsigned long long)heap.resident_pages, (unsigned long long)heap.faults);
    struct shootdown_stats shot;
    shootdown_stats(&shot);
    kdb_print("TLB shootdowns: %llu requests, %llu pages, %llu full flushes, %llu IPIs\n",
              (unsigned long long)shot.requests, (unsigned long long)shot.pages,
              (unsigned long long)shot.full_flushes, (unsigned long long)shot.ipis);
}

static void cmd_numa(const struct kdb_call *call) {
    (void)call;
    for (uint32_t i = 0; i < acpi.node_count; i++) {
        uint64_t total, left;
        frame_node_stats(i, &total, &left);
        kdb_print("node %u: %llu KiB, %llu KiB free, distances", i, kib(total), kib(left));
        for (uint32_t j = 0; j < acpi.node_count; j++)
            kdb_print(" %u", acpi.distance[i][j]);
        kdb_print("\n");
    }
}

/* ---- Mappings ----------------------------------------------------------------------------- */

struct range {
    vaddr_t first, end;
    unsigned prot, level;
};

static const char *place_of(vaddr_t va) {
    return va >= LAYOUT_IMAGE       ? "image"
           : va >= LAYOUT_RECURSIVE ? "page tables"
           : va >= LAYOUT_FRAMES    ? "frame descriptors"
           : va >= LAYOUT_MAP       ? "mappings"
           : va >= LAYOUT_HEAP      ? "heap"
                                    : "direct map";
}

static void print_range(const struct range *r) {
    static const char *const sizes[PAGE_LEVELS] = {"4K", "2M", "1G"};
    if (r->first == r->end)
        return;
    kdb_print("%016zx-%016zx %10llu KiB r%c%c%c%c %s %s\n", (size_t)r->first, (size_t)r->end - 1u,
              (unsigned long long)(r->end - r->first) / 1024u, r->prot & PAGE_WRITE ? 'w' : '-',
              r->prot & PAGE_EXEC ? 'x' : '-', r->prot & PAGE_USER ? 'u' : '-',
              r->prot & PAGE_DEVICE    ? 'd'
              : r->prot & PAGE_COMBINE ? 'c'
                                       : '-',
              sizes[r->level], place_of(r->first));
}

/* Joins neighbours with the same rights and page size. Bounded by what is mapped, and by ctrl-C. */
static void cmd_vmmap(const struct kdb_call *call) {
    (void)call;
    paddr_t root = vm_kernel_root();
    struct range r = {0};
    vaddr_t va = arch_page_next(root, LAYOUT_DIRECT);
    while (va != 0 && !kdb_interrupted()) {
        struct page_info info;
        if (va >= LAYOUT_RECURSIVE && va < LAYOUT_RECURSIVE + SLOT_SIZE) {
            va = arch_page_next(root, LAYOUT_RECURSIVE + SLOT_SIZE); /* the tables themselves */
            continue;
        }
        if (arch_page_query(root, va, &info) != GMK_OK)
            break; /* it has just gone */
        if (va != r.end || info.prot != r.prot || info.level != r.level) {
            print_range(&r);
            r = (struct range){va, va, info.prot, info.level};
        }
        r.end = va + ((vaddr_t)PAGE_SIZE << (9u * info.level));
        va = r.end == 0 ? 0 : arch_page_next(root, r.end);
    }
    print_range(&r);
    kdb_print("w: writable, x: executable, u: user, d: uncached, c: write-combining\n");
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static void cmd_peek(const struct kdb_call *call) {
    uint64_t at, count = PEEK_USUAL;
    if (!kdb_arg(call, 0, 16, UINT64_MAX, &at) ||
        (call->argc > 1 && !kdb_arg(call, 1, 10, PEEK_MAX, &count)))
        return;
    at &= ~7ull; /* words lie at their own size */
    for (uint64_t i = 0; i < count; i++, at += 8u) {
        const char *why;
        if (!debug_readable(at, 8u, &why)) {
            kdb_print("%s%016llx: %s\n", i % 4u != 0 ? "\n" : "", (unsigned long long)at, why);
            return;
        }
        if (i % 4u == 0)
            kdb_print("%016llx:", (unsigned long long)at);
        kdb_print(" %016llx%s", (unsigned long long)*(const volatile uint64_t *)at,
                  i % 4u == 3u || i + 1u == count ? "\n" : "");
    }
}

const struct kdb_command kdb_memory_commands[] = {
    {"mem", "", "who has the memory", 0, 0, false, cmd_mem},
    {"numa", "", "memory nodes and their distances", 0, 0, true, cmd_numa},
    {"vmmap", "", "what is mapped in the kernel's half", 0, 0, true, cmd_vmmap},
    {"peek", "ADDRESS [WORDS]", "memory as 64-bit words", 1, 2, true, cmd_peek},
    {0},
};
