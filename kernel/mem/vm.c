/* VM: the kernel's own mappings: devices, stacks between guard pages, wired memory, and the heap's
 * large blocks, which are paged in on first touch.
 *
 * Addresses come in areas, kept in one list sorted by address; a new one goes into the first gap of
 * its range that is large enough. An area stays in the list until every CPU has forgotten its
 * pages, so that no address is used again too early.
 *
 * Lazy memory. Its pages start out marked and without a frame, but a frame is set aside for each
 * (frame_promise()): so asking for memory can fail, touching it cannot. A stray address has no mark
 * and stays a fault. One unmapped page follows each lazy area, where writing past the end shows.
 *
 * LOCK_VM guards the list and the tables of both ranges. It is never held during a shootdown or
 * while much is zeroed; ranges are worked on in pieces. Guards and lazy pages are marked in the
 * tables themselves, so vm_is_guard() needs no lock. Bound: VM_AREAS_MAX areas. */
#include "kernel/mem/vm.h"

#include "ggmk/error.h"
#include "ggmk/log.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/layout.h"

#define VM_AREAS_MAX 4096u

struct vm_area {
    struct vm_area *next;
    vaddr_t start, end;
};

static struct kslab_cache area_cache = {
    .name = "vm area", .object_size = sizeof(struct vm_area), .lock = SPINLOCK_INIT(LOCK_SLAB)};
static struct spinlock vm_lock = SPINLOCK_INIT(LOCK_VM);
/* Guarded by vm_lock. */
static struct vm_area *areas;
static unsigned area_count;
static uint64_t lazy_faults;

static paddr_t kernel_root; /* constant after vm_init() */

void vm_init(paddr_t root) {
    kernel_root = root;
}

paddr_t vm_kernel_root(void) {
    return kernel_root;
}

paddr_t vm_table_alloc(void) {
    return frame_alloc(FRAME_TABLE);
}

static bool in_heap(vaddr_t va) {
    return va - LAYOUT_HEAP < LAYOUT_HEAP_SIZE;
}

/* ---- Areas ------------------------------------------------------------------------------- */

_Static_assert(LAYOUT_HEAP_SIZE == LAYOUT_MAP_SIZE, /* NOLINT(misc-redundant-expression) */
               "area_take() knows one size");

/* `size` bytes of the range at `base`, `phase` modulo `align`; 0: no room. */
static vaddr_t area_take(vaddr_t base, uint64_t size, uint64_t align, uint64_t phase) {
    struct vm_area *area = size <= LAYOUT_MAP_SIZE ? kslab_take(&area_cache) : NULL;
    if (area == NULL)
        return 0;
    bool irq = spin_lock(&vm_lock);
    struct vm_area **link = &areas;
    vaddr_t at = base + phase;
    for (; *link != NULL && ((*link)->start < at || (*link)->start - at < size);
         link = &(*link)->next) {
        vaddr_t behind = (((*link)->end - phase + align - 1) & ~(align - 1)) + phase;
        at = behind > at ? behind : at;
    }
    bool fits = area_count < VM_AREAS_MAX && at - base <= LAYOUT_MAP_SIZE - size;
    if (fits) {
        *area = (struct vm_area){.next = *link, .start = at, .end = at + size};
        *link = area;
        area_count++;
    }
    spin_unlock(&vm_lock, irq);
    if (!fits)
        kslab_give(&area_cache, area);
    return fits ? at : 0;
}

/* The link to the area that starts there. Panics when there is none. */
static struct vm_area **area_at(vaddr_t start) {
    struct vm_area **link = &areas;
    while (*link != NULL && (*link)->start != start)
        link = &(*link)->next;
    K_ASSERT(*link != NULL, "what is freed was allocated, and not freed before");
    return link;
}

static void area_give(vaddr_t start, uint64_t size) {
    bool irq = spin_lock(&vm_lock);
    struct vm_area **link = area_at(start), *area = *link;
    K_ASSERT(area->end - start == size, "it is freed in the size in which it was allocated");
    *link = area->next;
    area_count--;
    spin_unlock(&vm_lock, irq);
    kslab_give(&area_cache, area);
}

/* ---- Pages --------------------------------------------------------------------------------- */

/* By 2 MiB where it fits; but tables are never freed, so one of small pages may be in the way. On
 * failure some is mapped: the caller unmaps its whole range. */
static bool map(vaddr_t va, paddr_t pa, uint64_t size, unsigned prot) {
    for (uint64_t done = 0; done < size;) {
        unsigned level = ((va | pa) + done) % PAGE_SIZE_2M == 0 && size - done >= PAGE_SIZE_2M;
        prot |= PAGE_GLOBAL;
        bool irq = spin_lock(&vm_lock);
        int error = arch_page_map(kernel_root, va + done, pa + done, level, prot, vm_table_alloc);
        if (error == GMK_EEXIST && level == 1) {
            level = 0;
            error = arch_page_map(kernel_root, va + done, pa + done, 0, prot, vm_table_alloc);
        }
        spin_unlock(&vm_lock, irq);
        if (error != GMK_OK)
            return false;
        done += (uint64_t)PAGE_SIZE << (9 * level);
    }
    return true;
}

static bool set_mark(vaddr_t va, enum page_mark mark) {
    bool irq = spin_lock(&vm_lock);
    int error = arch_page_set_mark(kernel_root, va, mark, vm_table_alloc);
    spin_unlock(&vm_lock, irq);
    return error == GMK_OK;
}

#define UNMAP_BATCH 80u /* pages under one lock and one shootdown: asking all CPUs is what costs */

/* Takes away what is mapped or promised in [va, end) and waits until all CPUs know; frames are
 * freed if they are memory of ours. */
static void unmap(vaddr_t va, vaddr_t end, bool free_frames) {
    vaddr_t pages[UNMAP_BATCH] = {0};
    paddr_t frames[UNMAP_BATCH];
    uint8_t levels[UNMAP_BATCH];
    while (va < end) {
        unsigned count = 0, holes = 0;
        bool irq = spin_lock(&vm_lock);
        while (va < end && count + holes < UNMAP_BATCH) {
            unsigned level = 0;
            if (arch_page_unmap(kernel_root, va, &frames[count], &level) == GMK_OK) {
                levels[count] = (uint8_t)level;
                pages[count++] = va;
            } else {
                level = 0;
                holes++;
                if (arch_page_mark(kernel_root, va) == PAGE_MARK_LAZY)
                    arch_page_set_mark(kernel_root, va, PAGE_MARK_NONE, vm_table_alloc);
            }
            va += (vaddr_t)PAGE_SIZE << (9 * level);
        }
        spin_unlock(&vm_lock, irq);
        shootdown(pages, count);
        for (unsigned i = 0; i < count && free_frames; i++)
            frame_free_run(frames[i], (size_t)1 << (9 * levels[i]));
        if (in_heap(va - 1))
            frame_promise_drop(holes);
    }
}

/* Fills [va, end) with memory, zeroed but for stacks, which are written before they are read. False: none
 * left, some is mapped. */
static bool fill(vaddr_t va, vaddr_t end, enum frame_owner owner) {
    uint64_t size;
    for (; va < end; va += size) {
        bool large = va % PAGE_SIZE_2M == 0 && end - va >= PAGE_SIZE_2M;
        paddr_t pa = large ? frame_alloc_run(512, PAGE_SIZE_2M, 0, owner) : 0;
        size = pa != 0 ? PAGE_SIZE_2M : PAGE_SIZE;
        if (pa == 0 && (pa = frame_alloc(owner)) == 0)
            return false;
        for (uint64_t done = 0; done < size && owner != FRAME_STACK; done += PAGE_SIZE)
            arch_page_clear(arch_phys(pa + done));
        if (map(va, pa, size, PAGE_WRITE))
            continue;
        for (uint64_t done = 0; done < size; done += PAGE_SIZE) {
            struct page_info info; /* what did get mapped is freed with the range */
            if (arch_page_query(kernel_root, va + done, &info) != GMK_OK)
                frame_free(pa + done);
        }
        return false;
    }
    return true;
}

/* ---- Devices and wired memory ---------------------------------------------------------------- */

void *vm_map_phys(paddr_t pa, size_t size, unsigned prot) {
    paddr_t first = page_down(pa);
    uint64_t top = arch_page_phys_max() < LAYOUT_PHYS_MAX ? arch_page_phys_max() : LAYOUT_PHYS_MAX;
    if (size == 0 || size > LAYOUT_MAP_SIZE || pa > top - size)
        return NULL;
    uint64_t bytes = page_up(pa - first + size);
    uint64_t align = bytes >= PAGE_SIZE_2M ? PAGE_SIZE_2M : PAGE_SIZE;
    vaddr_t start = area_take(LAYOUT_MAP, bytes, align, first & (align - 1));
    if (start == 0)
        return NULL;
    if (map(start, first, bytes, prot))
        return (void *)(start + (pa - first));
    vm_unmap_phys((void *)start, bytes);
    return NULL;
}

void vm_unmap_phys(void *at, size_t size) {
    vaddr_t start = page_down((vaddr_t)at), end = page_up((vaddr_t)at + size);
    unmap(start, end, false);
    area_give(start, end - start);
}

void *vm_alloc(size_t size, unsigned owner) {
    if (size == 0 || size > LAYOUT_MAP_SIZE)
        return NULL;
    uint64_t bytes = page_up(size), align = bytes >= PAGE_SIZE_2M ? PAGE_SIZE_2M : PAGE_SIZE;
    vaddr_t start = area_take(LAYOUT_MAP, bytes, align, 0);
    if (start == 0 || fill(start, start + bytes, owner))
        return (void *)start;
    vm_free((void *)start, size);
    return NULL;
}

void vm_free(void *at, size_t size) {
    if (at == NULL)
        return;
    unmap((vaddr_t)at, (vaddr_t)at + page_up(size), true);
    area_give((vaddr_t)at, page_up(size));
}

/* ---- Stacks ------------------------------------------------------------------------------------ */

/* The area is the stack and a guard page on either side. */
void *vm_stack_alloc(size_t size) {
    K_ASSERT(size % PAGE_SIZE == 0, "a stack has whole pages");
    vaddr_t low = size == 0 ? 0 : area_take(LAYOUT_MAP, size + (size_t)2 * PAGE_SIZE, PAGE_SIZE, 0);
    if (low == 0)
        return NULL;
    vaddr_t stack = low + PAGE_SIZE, high = stack + size;
    bool low_set = set_mark(low, PAGE_MARK_GUARD);
    bool high_set = low_set && set_mark(high, PAGE_MARK_GUARD);
    if (high_set && fill(stack, high, FRAME_STACK))
        return (void *)stack;
    if (low_set)
        set_mark(low, PAGE_MARK_NONE);
    if (high_set)
        set_mark(high, PAGE_MARK_NONE);
    unmap(stack, high, true);
    area_give(low, size + (size_t)2 * PAGE_SIZE);
    return NULL;
}

void vm_stack_free(void *stack, size_t size) {
    vaddr_t low = (vaddr_t)stack - PAGE_SIZE, high = (vaddr_t)stack + size;
    K_ASSERT(vm_is_guard(low) && vm_is_guard(high), "a stack lies between its guard pages");
    set_mark(low, PAGE_MARK_NONE); /* cannot fail: the tables are there */
    set_mark(high, PAGE_MARK_NONE);
    unmap((vaddr_t)stack, high, true);
    area_give(low, size + (size_t)2 * PAGE_SIZE);
}

bool vm_is_guard(vaddr_t address) {
    return kernel_root != 0 && arch_page_mark(kernel_root, address) == PAGE_MARK_GUARD;
}

/* ---- Lazy memory ---------------------------------------------------------------------------------- */

void *vm_lazy_alloc(size_t size) {
    uint64_t bytes = page_up(size);
    vaddr_t start = 0;
    if (!frame_promise(bytes / PAGE_SIZE))
        return NULL;
    start = area_take(LAYOUT_HEAP, bytes + PAGE_SIZE, PAGE_SIZE, 0);
    if (start == 0) {
        frame_promise_drop(bytes / PAGE_SIZE);
        return NULL;
    }
    for (vaddr_t at = start; at < start + bytes; at += PAGE_SIZE) {
        if (!set_mark(at, PAGE_MARK_LAZY)) {
            vm_lazy_free((void *)start);
            return NULL;
        }
    }
    return (void *)start;
}

size_t vm_lazy_size(const void *at) {
    bool irq = spin_lock(&vm_lock);
    const struct vm_area *area = *area_at((vaddr_t)at);
    size_t size = area->end - area->start - PAGE_SIZE;
    spin_unlock(&vm_lock, irq);
    return size;
}

void vm_lazy_free(void *at) {
    size_t size = vm_lazy_size(at);
    unmap((vaddr_t)at, (vaddr_t)at + size, true);
    area_give((vaddr_t)at, size + PAGE_SIZE);
}

bool vm_fault(vaddr_t address, bool write, bool present, bool exec) {
    (void)write; /* both are welcome */
    struct page_info info;
    if (present || exec || !in_heap(address))
        return false;
    bool irq = spin_lock(&vm_lock);
    bool resolved = arch_page_query(kernel_root, address, &info) == GMK_OK; /* another CPU did it */
    if (!resolved && arch_page_mark(kernel_root, address) == PAGE_MARK_LAZY) {
        paddr_t frame = frame_alloc_promised(FRAME_HEAP);
        arch_page_clear(arch_phys(frame));
        resolved = arch_page_map(kernel_root, page_down(address), frame, 0,
                                 PAGE_WRITE | PAGE_GLOBAL, vm_table_alloc) == GMK_OK;
        K_ASSERT(resolved, "a lazy page can be mapped: its table is there");
        lazy_faults++;
    }
    spin_unlock(&vm_lock, irq);
    return resolved;
}

void vm_lazy_stats(uint64_t *used, uint64_t *blocks, uint64_t *faults) {
    *used = *blocks = 0;
    bool irq = spin_lock(&vm_lock);
    for (const struct vm_area *area = areas; area != NULL && in_heap(area->start);
         area = area->next) {
        *used += area->end - area->start - PAGE_SIZE;
        ++*blocks;
    }
    *faults = lazy_faults;
    spin_unlock(&vm_lock, irq);
}
