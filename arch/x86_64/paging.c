/* Paging: walks and changes four-level page tables.
 *
 * A virtual address is four indexes of 9 bits, from level 3 (512 GiB per entry) down to level 0
 * (4 KiB), and an offset. An entry is empty, or names the next table, or is a leaf: always at
 * level 0, at levels 1 and 2 when its size bit is set. Intel SDM 3A 4.5.
 *
 * Invariants: a leaf is never writable and executable, unless a unit asked for both; entries of
 * upper levels allow everything, so the leaf alone decides; tables are never freed while the root
 * lives, so a walk needs no lock (kdb, fault reports), only changes do. Making tables takes the lock of
 * the space; a leaf of a unit's mapping is its memory object's (kernel/mem/memory.h).
 *
 * The hardware sets "accessed" and "dirty" in leaves at any time, so a leaf that is present is
 * changed by atomic exchanges only. Nothing here touches a TLB. */
#include "arch/arch.h"
#include "arch/x86_64/recursive.h"
#include "ggmk/error.h"
#include "kernel/mem/layout.h"

#include <stdatomic.h>

#define PTE_PRESENT    (UINT64_C(1) << 0)
#define PTE_WRITE      (UINT64_C(1) << 1)
#define PTE_USER       (UINT64_C(1) << 2)
#define PTE_PWT        (UINT64_C(1) << 3) /* alone: write-combining, as arch_page_cpu_init() set up */
#define PTE_PCD        (UINT64_C(1) << 4) /* with PWT: uncached */
#define PTE_ACCESSED   (UINT64_C(1) << 5)
#define PTE_DIRTY      (UINT64_C(1) << 6)
#define PTE_LARGE      (UINT64_C(1) << 7) /* levels 1 and 2 */
#define PTE_GLOBAL     (UINT64_C(1) << 8)
#define PTE_MARK       (UINT64_C(3) << 9) /* ours, in an entry that is not present: enum page_mark */
#define PTE_MARK_SHIFT 9
#define PTE_NX         (UINT64_C(1) << 63)
#define PTE_ADDRESS    UINT64_C(0x000ffffffffff000)

#define TOP 3u

typedef _Atomic uint64_t pte_t;

static uintptr_t window = LAYOUT_DIRECT;

void arch_page_window(uintptr_t offset) {
    window = offset;
}

static pte_t *table_at(paddr_t pa) {
    return (pte_t *)(window + pa);
}

static uint64_t size_of(unsigned level) {
    return (uint64_t)PAGE_SIZE << (9 * level);
}

static size_t index_of(vaddr_t va, unsigned level) {
    return (va >> (PAGE_SHIFT + 9 * level)) & 511;
}

static uint64_t load(const pte_t *entry) {
    return atomic_load_explicit(entry, memory_order_acquire);
}

static bool canonical(vaddr_t va) {
    return (vaddr_t)((intptr_t)(va << 16) >> 16) == va;
}

static bool is_leaf(uint64_t entry, unsigned level) {
    return level == 0 || (level < TOP && (entry & PTE_LARGE) != 0);
}

/* The bits of `from` that are 1 << a, moved to 1 << b. */
#define MOVE(from, a, b) (((uint64_t)(from) >> (a)&1) << (b))
_Static_assert(PAGE_WRITE == 1u << 0 && PAGE_EXEC == 1u << 1 && PAGE_USER == 1u << 2 &&
                   PAGE_GLOBAL == 1u << 3 && PAGE_DEVICE == 1u << 4 && PAGE_COMBINE == 1u << 5,
               "flags_of() and prot_of() move single bits");

static uint64_t flags_of(unsigned prot) {
    return PTE_PRESENT | MOVE(prot, 0, 1) | MOVE(~prot, 1, 63) | (prot & PAGE_USER) |
           MOVE(prot, 3, 8) | MOVE(prot, 4, 4) | MOVE(prot | prot >> 1, 4, 3);
}

static unsigned prot_of(uint64_t entry) {
    bool combine = (entry & (PTE_PCD | PTE_PWT)) == PTE_PWT;
    return (unsigned)(MOVE(entry, 1, 0) | MOVE(~entry, 63, 1) | (entry & PTE_USER) |
                      MOVE(entry, 8, 3) | MOVE(entry, 4, 4) | (combine ? PAGE_COMBINE : 0));
}

static bool prot_valid(unsigned prot) {
    bool wx = (prot & (PAGE_WRITE | PAGE_EXEC)) == (PAGE_WRITE | PAGE_EXEC);
    return (!wx || (prot & (PAGE_WX | PAGE_USER)) == (PAGE_WX | PAGE_USER)) &&
           (prot & (PAGE_DEVICE | PAGE_COMBINE)) != (PAGE_DEVICE | PAGE_COMBINE);
}

/* A table is complete (all zero) before an entry leads to it: walkers hold no lock. */
static uint64_t add_table(pte_t *entry, vaddr_t va, page_table_alloc_fn alloc) {
    paddr_t table = alloc();
    if (table == 0)
        return 0;
    arch_page_clear((void *)table_at(table));
    uint64_t value = table | PTE_PRESENT | PTE_WRITE | ((intptr_t)va < 0 ? 0 : PTE_USER);
    /* Release: pairs with the acquire in load(). */
    atomic_store_explicit(entry, value, memory_order_release);
    return value;
}

/* The entry of `va` at level 0, if all tables on the way are there: the usual case, by itself. */
static pte_t *entry_quick(paddr_t root, vaddr_t va) {
    uint64_t table = root;
    for (unsigned n = TOP; n > 0; n--) { /* unrolled */
        table = load(&table_at(table & PTE_ADDRESS)[index_of(va, n)]);
        if ((table & (PTE_PRESENT | PTE_LARGE)) != PTE_PRESENT)
            return NULL;
    }
    return &table_at(table & PTE_ADDRESS)[index_of(va, 0)];
}

/* The entry of `va` at `level`, tables made on the way. NULL and *error: no table left, or a
 * larger leaf is in the way. */
static pte_t *entry_make(paddr_t root, vaddr_t va, unsigned level, page_table_alloc_fn alloc,
                         int *error) {
    pte_t *entry = &table_at(root)[index_of(va, TOP)];
    for (unsigned n = TOP; n > level; n--) {
        uint64_t value = load(entry);
        *error = GMK_EEXIST;
        if ((value & PTE_PRESENT) != 0 && is_leaf(value, n))
            return NULL;
        *error = GMK_ENOMEM;
        if ((value & PTE_PRESENT) == 0 && (value = add_table(entry, va, alloc)) == 0)
            return NULL;
        entry = &table_at(value & PTE_ADDRESS)[index_of(va, n - 1)];
    }
    return entry;
}

/* Where the walk for `va` ends: a leaf, or an entry that is not present; and its level. */
static pte_t *walk(paddr_t root, vaddr_t va, unsigned *level) {
    pte_t *entry = &table_at(root)[index_of(va, TOP)];
    unsigned n = TOP;
    for (; n > 0; n--) {
        uint64_t value = load(entry);
        if ((value & PTE_PRESENT) == 0 || is_leaf(value, n))
            break;
        entry = &table_at(value & PTE_ADDRESS)[index_of(va, n - 1)];
    }
    *level = n;
    return entry;
}

static pte_t *leaf_of(paddr_t root, vaddr_t va, unsigned *level) {
    if (!canonical(va))
        return NULL;
    pte_t *entry = walk(root, va, level);
    return (load(entry) & PTE_PRESENT) != 0 ? entry : NULL;
}

int arch_page_map(paddr_t root, vaddr_t va, paddr_t pa, unsigned level, unsigned prot,
                  page_table_alloc_fn alloc) {
    if (level >= PAGE_LEVELS || !canonical(va) || !prot_valid(prot))
        return GMK_EINVAL;
    if (((va | pa) & (size_of(level) - 1)) != 0 || (pa & ~PTE_ADDRESS) != 0)
        return GMK_EINVAL;
    int error;
    pte_t *entry = level == 0 ? entry_quick(root, va) : NULL;
    if (entry == NULL && (entry = entry_make(root, va, level, alloc, &error)) == NULL)
        return error;
    if ((load(entry) & ~((uint64_t)PAGE_MARK_LAZY << PTE_MARK_SHIFT)) != 0)
        return GMK_EEXIST;
    uint64_t value = pa | flags_of(prot) | (level > 0 ? PTE_LARGE : 0);
    atomic_store_explicit(entry, value, memory_order_release);
    return GMK_OK;
}

int arch_page_unmap(paddr_t root, vaddr_t va, paddr_t *pa, unsigned *level) {
    pte_t *entry = leaf_of(root, va, level);
    if (entry == NULL)
        return GMK_ENOENT;
    uint64_t old = atomic_exchange_explicit(entry, 0, memory_order_acq_rel);
    *pa = old & PTE_ADDRESS & ~(size_of(*level) - 1);
    return GMK_OK;
}

int arch_page_protect(paddr_t root, vaddr_t va, unsigned prot) {
    unsigned level;
    if (!prot_valid(prot))
        return GMK_EINVAL;
    pte_t *entry = leaf_of(root, va, &level);
    if (entry == NULL)
        return GMK_ENOENT;
    uint64_t kept = PTE_ADDRESS | PTE_ACCESSED | PTE_DIRTY | (level > 0 ? PTE_LARGE : 0);
    uint64_t old = load(entry);
    /* At most three turns: only the hardware interferes, by setting two bits once each. */
    while (!atomic_compare_exchange_strong_explicit(entry, &old, (old & kept) | flags_of(prot),
                                                    memory_order_acq_rel, memory_order_acquire)) {}
    return GMK_OK;
}

/* One leaf table's part of arch_page_narrow(): `clear` are the bits that go, `set` those that come. */
static vaddr_t narrow_table(pte_t *entry, vaddr_t va, vaddr_t end, uint64_t clear, uint64_t set,
                            struct page_batch *batch) {
    for (; va < end && batch->visits > 0; va += PAGE_SIZE, entry++) {
        batch->visits--;
        uint64_t old = load(entry);
        uint64_t new = (old & ~clear) | set;
        if ((old & PTE_PRESENT) == 0 || old == new)
            continue;
        /* As in arch_page_protect(): at most three turns. */
        while (!atomic_compare_exchange_strong_explicit(entry, &old, new, memory_order_acq_rel,
                                                        memory_order_acquire))
            new = (old & ~clear) | set;
        if (batch->count < PAGE_BATCH_PAGES)
            batch->pages[batch->count] = va;
        batch->count++;
    }
    return va;
}

vaddr_t arch_page_narrow(paddr_t root, vaddr_t va, vaddr_t end, unsigned keep,
                         struct page_batch *batch) {
    uint64_t clear = keep == PAGE_GONE ? UINT64_MAX : (keep & PAGE_WRITE) != 0 ? 0 : PTE_WRITE;
    uint64_t set = keep == PAGE_GONE || (keep & PAGE_EXEC) != 0 ? 0 : PTE_NX;
    while (va < end && batch->visits > 0) {
        unsigned level;
        pte_t *entry = walk(root, va, &level);
        uint64_t size = size_of(level > 0 ? level : 1), next = (va & ~(size - 1)) + size;
        next = next < end ? next : end;
        if (level == 0) {
            va = narrow_table(entry, va, next, clear, set, batch);
        } else { /* a hole: units have no large leaves */
            batch->visits--;
            va = next;
        }
    }
    return va;
}

int arch_page_split(paddr_t root, vaddr_t va, page_table_alloc_fn alloc) {
    unsigned level;
    pte_t *entry = leaf_of(root, va, &level);
    if (entry == NULL)
        return GMK_ENOENT;
    if (level == 0)
        return GMK_EINVAL;
    paddr_t table = alloc();
    if (table == 0)
        return GMK_ENOMEM;
    uint64_t leaf = load(entry);
    if (level == 1)
        leaf &= ~PTE_LARGE; /* the same bit means something else at level 0 */
    for (size_t i = 0; i < 512; i++)
        atomic_store_explicit(&table_at(table)[i], leaf + i * size_of(level - 1),
                              memory_order_relaxed);
    uint64_t value = table | PTE_PRESENT | PTE_WRITE | ((intptr_t)va < 0 ? 0 : PTE_USER);
    /* Release: pairs with the acquire in load(). */
    atomic_store_explicit(entry, value, memory_order_release);
    return GMK_OK;
}

static int describe(uint64_t entry, vaddr_t va, unsigned level, struct page_info *info) {
    info->level = level;
    if ((entry & PTE_PRESENT) == 0)
        return GMK_ENOENT;
    uint64_t inside = size_of(level) - 1;
    info->pa = (entry & PTE_ADDRESS & ~inside) | (va & inside);
    info->prot = prot_of(entry);
    info->accessed = (entry & PTE_ACCESSED) != 0;
    info->dirty = (entry & PTE_DIRTY) != 0;
    return GMK_OK;
}

int arch_page_query(paddr_t root, vaddr_t va, struct page_info *info) {
    unsigned level;
    if (!canonical(va))
        return GMK_ENOENT;
    uint64_t entry = load(walk(root, va, &level));
    return describe(entry, va, level, info);
}

int arch_page_query_view(vaddr_t va, struct page_info *info) {
    if (!canonical(va))
        return GMK_ENOENT;
    uint64_t value = 0;
    unsigned n = TOP;
    for (;; n--) { /* an entry may be read only once the one above it leads there */
        value = load((const pte_t *)recursive_entry(va, n));
        if ((value & PTE_PRESENT) == 0 || is_leaf(value, n))
            break;
    }
    return describe(value, va, n, info);
}

int arch_page_set_mark(paddr_t root, vaddr_t va, enum page_mark mark, page_table_alloc_fn alloc) {
    int error;
    if (!canonical(va))
        return GMK_EINVAL;
    pte_t *entry = entry_make(root, va, 0, alloc, &error);
    if (entry == NULL)
        return error;
    if ((load(entry) & PTE_PRESENT) != 0)
        return GMK_EEXIST;
    atomic_store_explicit(entry, (uint64_t)mark << PTE_MARK_SHIFT, memory_order_release);
    return GMK_OK;
}

enum page_mark arch_page_mark(paddr_t root, vaddr_t va) {
    unsigned level;
    uint64_t entry = canonical(va) ? load(walk(root, va, &level)) : 0;
    return (entry & PTE_PRESENT) != 0 ? PAGE_MARK_NONE
                                      : (enum page_mark)((entry & PTE_MARK) >> PTE_MARK_SHIFT);
}

void arch_page_make_recursive(paddr_t root) {
    pte_t *entry = &table_at(root)[RECURSIVE_SLOT];
    atomic_store_explicit(entry, root | PTE_PRESENT | PTE_WRITE | PTE_NX, memory_order_release);
}
