/* Pages on Linux: anonymous memory, aligned so that the kernel can use huge pages.
 *
 * An arena of 64 MiB in 4 KiB pages needs 16,384 TLB entries, in 2 MiB pages 32. The kernel
 * can only do that for ranges aligned to 2 MiB, and mmap(2) does not promise alignment: ask
 * for 2 MiB more, keep the aligned middle, give the ends back. */
#define _GNU_SOURCE 1

#include "hal/hal.h"

#include <sys/mman.h>
#include <unistd.h>

#define SIZE_STEP ((size_t)4096) /* the contract's granularity; the machine's may be larger */
#define HUGE_PAGE ((size_t)2 << 20)

static size_t round_up(size_t value, size_t step) {
    return (value + step - 1) & ~(step - 1);
}

static size_t machine_page(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *map_bytes(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static void *map_aligned(size_t size) {
    char *base = map_bytes(size + HUGE_PAGE);
    if (base == NULL) {
        return NULL;
    }
    size_t skip = round_up((uintptr_t)base, HUGE_PAGE) - (uintptr_t)base;
    if (skip > 0) {
        munmap(base, skip);
    }
    if (skip < HUGE_PAGE) {
        munmap(base + skip + size, HUGE_PAGE - skip);
    }
    /* A refusal only costs speed: no huge pages on this machine. */
    (void)madvise(base + skip, size, MADV_HUGEPAGE);
    return base + skip;
}

void *hal_pages_alloc(size_t size) {
    if (size == 0 || size % SIZE_STEP != 0 || size > SIZE_MAX / 2) {
        return NULL;
    }
    size = round_up(size, machine_page());
    return size >= HUGE_PAGE ? map_aligned(size) : map_bytes(size);
}

void hal_pages_free(void *pages, size_t size) {
    if (pages == NULL) {
        return;
    }
    if (munmap(pages, round_up(size, machine_page())) != 0) {
        hal_panic("hal_pages_free: not a range that hal_pages_alloc() gave");
    }
}
