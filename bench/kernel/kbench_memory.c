/* Kernel bench, memory: frames from the CPU's cache and from the bitmap; one page mapped and
 * unmapped; what the kernel holds after boot. */
#include "bench/kernel/kbench.h"

#include "kernel/core/log.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/vm.h"

#define BATCH 32u

static void frames_from_cache(struct kbench *bench) {
    uint64_t start = arch_cycles();
    for (unsigned i = 0; i < BATCH; i++)
        frame_free(frame_alloc(FRAME_OTHER));
    kbench_add(bench, (arch_cycles() - start) / BATCH);
}

static void frames_from_bitmap(struct kbench *bench) {
    uint64_t start = arch_cycles();
    for (unsigned i = 0; i < BATCH; i++)
        frame_free_run(frame_alloc_run(1, PAGE_SIZE, 0, FRAME_OTHER), 1);
    kbench_add(bench, (arch_cycles() - start) / BATCH);
}

static paddr_t page;

static void map_and_unmap(struct kbench *bench) {
    uint64_t start = arch_cycles();
    for (unsigned i = 0; i < BATCH; i++) {
        void *at = vm_map_phys(page, PAGE_SIZE, PAGE_WRITE);
        if (at == NULL)
            return;
        vm_unmap_phys(at, PAGE_SIZE);
    }
    kbench_add(bench, (arch_cycles() - start) / BATCH);
}

static void sample(const char *name, void (*once)(struct kbench *bench)) {
    static struct kbench bench;
    kbench_begin(&bench);
    once(&bench); /* warm: tables and caches are filled */
    kbench_begin(&bench);
    for (unsigned i = 0; i < KBENCH_SAMPLES; i++)
        once(&bench);
    kbench_print(&bench, name);
}

void kbench_memory(void) {
    sample("frame-cache", frames_from_cache);
    sample("frame-bitmap", frames_from_bitmap);
    page = frame_alloc(FRAME_OTHER);
    if (page == 0)
        return;
    sample("map-unmap-4k", map_and_unmap);
    frame_free(page);
}

void kbench_footprint(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    /* What came with the loader (the initrd) is the user's, not the kernel's. */
    uint64_t used =
        stats.total - stats.free - stats.by_owner[FRAME_MODULE] - stats.by_owner[FRAME_RESERVED];
    kbench_line("kernel-memory-kib", used * PAGE_SIZE / 1024, used * PAGE_SIZE / 1024);
}
