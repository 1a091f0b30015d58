/* VM: the kernel's own mappings: devices, stacks, ranges paged in on demand. */
#pragma once

#include "arch/arch.h"

/* Maps `size` bytes of physical memory (devices, tables, framebuffers) and returns the address
 * of the byte at `pa`, or NULL (no room or tables). `prot` from enum page_prot. RAM that is in
 * the direct map is better reached through arch_phys(). Thread context or boot. */
void *vm_map_phys(paddr_t pa, size_t size, unsigned prot);
void vm_unmap_phys(void *at, size_t size);

/* A stack of `size` bytes (a multiple of 4096) with an unmapped guard page below and above.
 * Returns its lowest byte, or NULL. */
void *vm_stack_alloc(size_t size);
void vm_stack_free(void *stack, size_t size);
/* Is `address` in a guard page of some stack? For fault reports. Any context. */
bool vm_is_guard(vaddr_t address);

/* `size` bytes of zeroed memory that need not be contiguous physically; NULL when short. Wired. */
void *vm_alloc(size_t size, unsigned owner /* enum frame_owner */);
void vm_free(void *at, size_t size);

/* The same, but a page gets its frame when it is first touched, which cannot fail: the memory is
 * set aside. For the heap's large blocks. */
void *vm_lazy_alloc(size_t size);
void vm_lazy_free(void *at);
size_t vm_lazy_size(const void *at); /* usable bytes. Panics when it was not allocated. */
void vm_lazy_stats(uint64_t *used, uint64_t *blocks, uint64_t *faults);

/* A page fault in kernel mode at `address`: true when it was the heap's to resolve and has been
 * resolved. Called by trap_handle(), IF off. */
bool vm_fault(vaddr_t address, bool write, bool present, bool exec);

/* The kernel's page tables; 0 before mem_init() made them. */
paddr_t vm_kernel_root(void);
/* For mem_init() and the heap: the root, and a frame for a page table. */
void vm_init(paddr_t root);
paddr_t vm_table_alloc(void);

/* ---- TLB shootdown (shootdown.c) ------------------------------------------------------------- */

#define SHOOTDOWN_PAGES_MAX  PAGE_BATCH_PAGES /* more pages flush everything instead */
#define SHOOTDOWN_TIMEOUT_NS 5000000000ull

/* Makes every online CPU forget these pages of the kernel's half before it returns. One request
 * for all of them (batched), acknowledged by each. Bounded by SHOOTDOWN_TIMEOUT_NS (patience.h): a CPU that
 * does not answer is named in a panic. Not in interrupt context. May be called with IF off, but
 * not while holding a lock. A CPU that comes online flushes its whole TLB right after it has set
 * `online`: before that nobody asks it. */
void shootdown(const vaddr_t *pages, unsigned count);
void shootdown_range(vaddr_t first, size_t pages);
void shootdown_isr(void); /* ARCH_IPI_SHOOTDOWN arrived */
struct shootdown_stats {
    uint64_t requests, pages, full_flushes, ipis;
};
void shootdown_stats(struct shootdown_stats *stats);
