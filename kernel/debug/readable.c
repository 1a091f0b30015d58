/* Readable: asks the page tables before a report follows a pointer that may be wrong.
 *
 * Reports read what a bug has left behind, so no pointer is believed. Before the kernel has page
 * tables of its own, only its image is known to be mapped. */
#include "kernel/debug/readable.h"

#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"

extern const char image_start[], image_end[]; /* arch/.../kernel.lds */

static const char *unreadable(vaddr_t page) {
    if (page < LAYOUT_DIRECT)
        return "not in the kernel's half";
    if (vm_kernel_root() == 0)
        return page >= (vaddr_t)image_start && page < (vaddr_t)image_end
                   ? NULL
                   : "not in the image, and there are no page tables yet";
    struct page_info info;
    if (arch_page_query(vm_kernel_root(), page, &info) != 0)
        return "not mapped";
    return info.prot & PAGE_DEVICE ? "device memory: reading it may act on the device" : NULL;
}

bool debug_readable(vaddr_t at, size_t size, const char **why) {
    const char *reason = at + size - 1u < at ? "beyond the end of the address space" : NULL;
    vaddr_t page = at & ~(vaddr_t)(PAGE_SIZE - 1u);
    size_t pages = (at - page + size + PAGE_SIZE - 1u) / PAGE_SIZE;
    for (size_t i = 0; reason == NULL && i < pages; i++)
        reason = unreadable(page + i * PAGE_SIZE);
    if (why != NULL)
        *why = reason;
    return reason == NULL;
}
