/* TLB: what this CPU offers for paging, the root that it uses, and what it remembers of it.
 *
 * Apart from paging.c because these instructions are the machine's: the tables' logic is tested
 * on the host, this is not. Intel SDM 3A 4.10.4 (flushing), 12.12 (memory types). */
#include "arch/arch.h"

#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"

#define CR3_ADDRESS UINT64_C(0x000ffffffffff000)
#define CR4_PGE     (UINT64_C(1) << 7)
#define MSR_PAT     0x277u
/* The types by PCD and PWT: write-back, write-combining, uncached unless an MTRR combines,
 * uncached; and the same again for entries with the PAT bit, which paging.c never sets. */
#define PAT_TYPES UINT64_C(0x0007010600070106)

unsigned arch_page_level_max(void) {
    return cpu_features.page_1g ? 2 : 1;
}

uint64_t arch_page_phys_max(void) {
    uint32_t out[4];
    cpuid(0x80000000u, 0, out);
    if (out[0] < 0x80000008u)
        return UINT64_C(1) << 36; /* Intel SDM 3A 4.1.4 */
    cpuid(0x80000008u, 0, out);
    return UINT64_C(1) << (out[0] & 0xffu);
}

void arch_page_cpu_init(void) {
    if (!cpu_features.pat)
        return; /* PWT alone then means write-through, which is safe for framebuffers */
    msr_write(MSR_PAT, PAT_TYPES);
    arch_tlb_flush_all();
}

paddr_t arch_page_root(void) {
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3 & CR3_ADDRESS;
}

void arch_page_switch(paddr_t root) {
    __asm__ volatile("mov %0, %%cr3" ::"r"(root) : "memory");
}

void arch_tlb_flush_page(vaddr_t va) {
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* A change of CR4.PGE drops everything, global translations too. */
void arch_tlb_flush_all(void) {
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4 ^ CR4_PGE) : "memory");
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
}
