/* Space: page-table roots of units, and what the CPU remembers of them.
 *
 * A root's upper half is the kernel's own: the entries of the kernel's root are copied once, which is
 * enough because every range that grows later gets its top-level table at boot (arch_space_init()). Its
 * lower half is the unit's.
 *
 * Tags (PCID, Intel SDM 3A 4.10.1) let a CPU keep what it remembers of a space while it works in
 * others. It may go on using that when no entry of the space was changed since. */
#include "arch/arch.h"
#include "arch/x86_64/arch_user.h"
#include "arch/x86_64/features.h"
#include "ggmk/error.h"
#include "kernel/core/panic.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"

#include <stdatomic.h>

#define ENTRIES       512u
#define USER_ENTRIES  256u
#define ENTRY_PRESENT 1ull
#define ENTRY_LARGE   (1ull << 7)
#define CR3_KEEP      (1ull << 63)

static uint64_t *table_of(paddr_t pa) {
    return arch_phys(pa);
}

static bool leads_on(uint64_t entry) {
    return (entry & ENTRY_PRESENT) != 0 && (entry & ENTRY_LARGE) == 0;
}

/* The ranges of the kernel's half that grow while units run. */
static const vaddr_t growing[] = {LAYOUT_HEAP, LAYOUT_MAP, LAYOUT_FRAMES};
#define GROWING (sizeof growing / sizeof growing[0])
_Static_assert(LAYOUT_HEAP_SIZE <= 1ull << 39 && LAYOUT_MAP_SIZE <= 1ull << 39, "one entry each");

void arch_space_init(void) {
    paddr_t root = vm_kernel_root();
    for (unsigned i = 0; i < GROWING; i++) {
        /* Writes again what is there, for the tables that this makes. */
        int status =
            arch_page_set_mark(root, growing[i], arch_page_mark(root, growing[i]), vm_table_alloc);
        K_ASSERT(status == GMK_OK || status == GMK_EEXIST, "at boot there are frames for tables");
    }
}

/* The lower half zero, the upper one as in `kernel`: the only loop that every new unit pays for. */
static void copy_half(uint64_t *table, const uint64_t *kernel) {
    uint64_t zeros = USER_ENTRIES, copies = ENTRIES - USER_ENTRIES;
    kernel += USER_ENTRIES;
    __asm__ volatile("rep stosq" : "+D"(table), "+c"(zeros) : "a"(0) : "memory");
    __asm__ volatile("rep movsq" : "+D"(table), "+S"(kernel), "+c"(copies)::"memory");
}

paddr_t arch_space_new(page_table_alloc_fn alloc) {
    paddr_t root = alloc();
    if (root == 0)
        return 0;
    const uint64_t *kernel = table_of(vm_kernel_root());
    for (unsigned i = 0; i < GROWING; i++)
        K_ASSERT(leads_on(kernel[growing[i] >> 39 & (ENTRIES - 1)]),
                 "arch_space_init() came before");
    copy_half(table_of(root), kernel);
    arch_page_make_recursive(root);
    return root;
}

unsigned arch_space_tags(void) {
    return cpu_features.pcid ? SPACE_TAGS : 1;
}

void arch_space_load(paddr_t root, uint16_t tag, bool keep) {
    bool tagged = cpu_features.pcid;
    cr3_write(root | (tagged ? tag : 0u) | (tagged && keep ? CR3_KEEP : 0));
}

void arch_space_enter_tagged(struct cpu *cpu, struct space *space) {
    uint64_t *seen = &cpu->arch->flushes_seen[space->tag];
    K_ASSERT(space->tag < SPACE_TAGS, "as many tags as units");
    /* Full barrier, pairs with the one in space_shootdown(): either it sees this CPU in the space, or
     * the count read next is the one after its change. */
    (void)atomic_exchange_explicit(&cpu->space, space, memory_order_seq_cst);
    uint64_t flushes = atomic_load_explicit(&space->flushes, memory_order_seq_cst) + 1;
    arch_space_load(space->root, space->tag, *seen == flushes);
    *seen = flushes;
}
