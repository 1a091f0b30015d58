/* Page walk: finds what is mapped without asking for every page. */
#include "arch/arch.h"

#define ENTRY_PRESENT 1ull /* Intel SDM 3A 4.5, table 4-15 and on */
#define ENTRY_LARGE   (1ull << 7)
#define ENTRY_FRAME   0x000ffffffffff000ull
#define LEVEL_TOP     3u
#define HOLE_START    0x0000800000000000ull /* addresses between are not canonical: SDM 1 3.3.7.1 */
#define HOLE_END      0xffff800000000000ull

vaddr_t arch_page_next(paddr_t root, vaddr_t va) {
    paddr_t table = root;
    unsigned level = LEVEL_TOP;
    /* Each turn goes one level down, or past one entry; va becomes 0 behind the last. */
    while (va != 0) {
        unsigned shift = PAGE_SHIFT + 9u * level;
        uint64_t entry = ((const uint64_t *)arch_phys(table))[va >> shift & 511u];
        if ((entry & ENTRY_PRESENT) == 0) {
            va = ((va >> shift) + 1u) << shift;
            if (va == HOLE_START)
                va = HOLE_END;
            table = root;
            level = LEVEL_TOP;
        } else if (level == 0 || (level < LEVEL_TOP && (entry & ENTRY_LARGE) != 0)) {
            return va;
        } else {
            table = entry & ENTRY_FRAME;
            level--;
        }
    }
    return 0;
}
