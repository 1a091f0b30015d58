/* Start: what the boot CPU's stack needs, and all stacks in HARDENED builds. */
#include "arch/arch.h"
#include "ggmk/error.h"
#include "kernel/core/panic.h"
#include "kernel/mem/layout.h"
#include "kernel/mem/vm.h"

_Static_assert(ARCH_DIRECT_MAP == LAYOUT_DIRECT, "arch_phys() is the direct map");

extern char boot_stack_guard[]; /* entry.S */

static paddr_t no_table(void) {
    return 0; /* the page was mapped, so its tables are there */
}

void arch_boot_stack_guard(void) {
    paddr_t root = vm_kernel_root(), pa;
    vaddr_t guard = (vaddr_t)boot_stack_guard;
    unsigned level = 0;
    int status = arch_page_unmap(root, guard, &pa, &level);
    K_ASSERT(status == GMK_OK && level == 0, "the image's data is mapped by 4 KiB pages");
    status = arch_page_set_mark(root, guard, PAGE_MARK_GUARD, no_table);
    K_ASSERT(status == GMK_OK, "a page without a mapping takes a mark");
    arch_tlb_flush_page(guard);
}

/* HARDENED: functions with arrays keep this value next to their return address and compare it at
 * their end. Set by entry.S before the first line of C. */
uintptr_t __stack_chk_guard;

_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void) {
    panic("a function wrote past the end of an array on its stack");
}
