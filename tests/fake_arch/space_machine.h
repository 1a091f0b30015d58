/* Space machine: CPUs with TLBs in one process, for tests of units' memory against the real sources.
 *
 * RAM is ordinary memory, page tables are the real ones (paging.c), and a program's access is a
 * function: it looks into the TLB of its CPU, else walks the tables and remembers, else faults. What a
 * TLB remembers it uses, so a flush that was forgotten shows as old memory, as on hardware. Without
 * tags a load of a root empties the TLB; with them it keeps what other spaces left there.
 *
 * CPUs are either the test's own to choose, one after the other (machine_be()), and an interrupt is taken
 * where the asker waits; or each is a thread, and takes its interrupts between two accesses.
 *
 * Panics and failed assertions end in cmocka, in threads in abort(). Included by one test program,
 * together with the kernel's sources that it needs. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/x86_64/page_next.c"
#include "arch/x86_64/paging.c"
#include "kernel/cap/factory.c"
#include "kernel/cap/object.c"
#include "kernel/core/lock.c"
#include "kernel/mem/frame.c"
#include "kernel/mem/frame_boot.c"
#include "kernel/mem/mapping.c"
#include "kernel/mem/memory.c"
#include "kernel/mem/memory_check.c"
#include "kernel/mem/memory_clone.c"
#include "kernel/mem/memory_page.c"
#include "kernel/mem/shootdown.c"
#include "kernel/core/log.h"
#include "kernel/mem/slab.c"
#include "kernel/mem/space.c"
#include "lib/rand.h"

#define MACHINE_CPUS   4u
#define MACHINE_BASE   UINT64_C(0x1000000) /* of RAM */
#define MACHINE_RAM    (UINT64_C(48) << 20)
#define MACHINE_TLB    512u
#define MACHINE_DEVICE (UINT64_C(1) << 31) /* a range without RAM */

struct machine_entry {
    const struct space *space;
    uint64_t va;
    paddr_t pa;
    unsigned prot;
};
static struct machine_cpu {
    struct cpu cpu;
    bool irq_on;
    _Atomic bool pending;
    struct machine_entry tlb[MACHINE_TLB];
    uint64_t seen[MACHINE_CPUS * 4]; /* by tag: struct space.flushes at the last load, plus 1 */
} machine[MACHINE_CPUS];
static _Thread_local struct machine_cpu *me = &machine[0];
static bool machine_threads, machine_tags;

struct cpu *cpus[CPUS_MAX];
unsigned cpu_count = MACHINE_CPUS;
const object_end_fn object_ends[GMK_CAP_TYPES];

/* ---- A CPU -------------------------------------------------------------------------------------- */

struct cpu *arch_cpu(void) {
    return &me->cpu;
}
static inline void machine_interrupts(void) {
    if (!atomic_exchange(&me->pending, false))
        return;
    bool on = me->irq_on;
    me->irq_on = false;
    shootdown_isr();
    me->irq_on = on;
}
bool arch_irq_disable(void) {
    bool on = me->irq_on;
    me->irq_on = false;
    return on;
}
void arch_irq_restore(bool on) {
    me->irq_on = on;
    if (on)
        machine_interrupts();
}
bool arch_irq_enabled(void) {
    return me->irq_on;
}
void arch_relax(void) {
    struct machine_cpu *mine = me;
    for (unsigned i = 0; i < MACHINE_CPUS && !machine_threads; i++) {
        me = &machine[i];
        if (me != mine)
            machine_interrupts();
    }
    me = mine;
    if (machine_threads)
        sched_yield();
}
uint64_t arch_cycles(void) {
    return 0;
}
uint64_t arch_time_ns(void) {
    return 0;
}
void arch_ipi_send(unsigned cpu, enum arch_ipi ipi) {
    K_ASSERT(ipi == ARCH_IPI_SHOOTDOWN, "memory asks for nothing else");
    atomic_store(&machine[cpu].pending, true);
}

/* ---- Ends ----------------------------------------------------------------------------------------- */

static inline void machine_fail(const char *text, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    if (machine_threads)
        abort();
    mock_assert(0, text, file, line);
    abort();
}
void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    (void)expr;
    machine_fail(message, file, line);
    abort();
}
void panic(const char *fmt, ...) {
    machine_fail(fmt, "panic", 0);
    abort();
}
void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    (void)level, (void)module, (void)fmt;
}

/* ---- Roots and TLBs -------------------------------------------------------------------------------- */

static bool machine_reaps;

void reaper_wake(void) {
    machine_reaps = true;
}
paddr_t vm_kernel_root(void) {
    return PAGE_SIZE;
}
uint64_t arch_page_phys_max(void) {
    return UINT64_C(1) << 40;
}
bool mem_is_ram(paddr_t base, uint64_t size) {
    return base < MACHINE_BASE + MACHINE_RAM && base + size > MACHINE_BASE;
}
unsigned arch_space_tags(void) {
    return machine_tags ? MACHINE_CPUS * 4 : 1;
}
paddr_t arch_space_new(page_table_alloc_fn alloc) {
    paddr_t root = alloc();
    if (root != 0)
        memset(arch_phys(root), 0, PAGE_SIZE);
    return root;
}

/* Forgets what the TLB has of a space (NULL: of all), at an address (0: at all). */
static inline void machine_forget(const struct space *space, uint64_t va) {
    for (unsigned i = 0; i < MACHINE_TLB; i++)
        if ((space == NULL || me->tlb[i].space == space) && (va == 0 || me->tlb[i].va == va))
            me->tlb[i].space = NULL;
}
void arch_tlb_flush_page(vaddr_t va) {
    machine_forget(atomic_load(&me->cpu.space), page_down(va));
}
void arch_tlb_flush_all(void) {
    machine_forget(NULL, 0);
}
void arch_space_load(paddr_t root, uint16_t tag, bool keep) {
    (void)root, (void)tag;
    if (!machine_tags)
        machine_forget(NULL, 0);
    else if (!keep)
        machine_forget(atomic_load(&me->cpu.space), 0);
}

/* What arch_user_switch() does; NULL: the kernel's root. */
static inline void machine_enter(struct space *space) {
    (void)atomic_exchange(&me->cpu.space, space);
    if (space == NULL) {
        arch_space_load(vm_kernel_root(), 0, true);
        return;
    }
    uint64_t *seen = &me->seen[space->tag];
    uint64_t flushes = atomic_load(&space->flushes) + 1;
    arch_space_load(space->root, space->tag, *seen == flushes);
    *seen = flushes;
}

static inline void machine_be(unsigned cpu) {
    me = &machine[cpu];
}

/* ---- Accesses --------------------------------------------------------------------------------------- */

static inline struct machine_entry *machine_slot(const struct space *space, uint64_t va) {
    return &me->tlb[(va / PAGE_SIZE * 7 + (uintptr_t)space / 64) % MACHINE_TLB];
}

/* Walks the tables as hardware does. */
static inline bool machine_walk(struct space *space, uint64_t va, unsigned need,
                                struct machine_entry *entry) {
    struct page_info info;
    if (arch_page_query(space->root, va, &info) != GMK_OK || (info.prot & need) != need)
        return false;
    *entry = (struct machine_entry){
        .space = space, .va = page_down(va), .pa = page_down(info.pa), .prot = info.prot};
    return true;
}

/* Where this CPU's program finds the byte at `va` of the space that it uses; NULL and *status. */
static inline uint8_t *machine_at(uint64_t va, bool write, bool exec, int *status) {
    struct space *space = atomic_load(&me->cpu.space);
    unsigned need = PAGE_USER | (write ? PAGE_WRITE : 0u) | (exec ? PAGE_EXEC : 0u);
    for (unsigned turn = 0; turn < 64; turn++) {
        struct machine_entry *entry = machine_slot(space, va);
        bool known = entry->space == space && entry->va == page_down(va);
        if ((known && (entry->prot & need) == need) ||
            (!known && machine_walk(space, va, need, entry)))
            return (uint8_t *)arch_phys(entry->pa) + va % PAGE_SIZE;
        bool irq = arch_irq_disable();
        *status = space_fault(space, va, write, exec);
        arch_irq_restore(irq);
        if (*status != GMK_OK)
            return NULL;
    }
    machine_fail("a fault that was resolved comes again and again", __FILE__, __LINE__);
    return NULL;
}

/* ---- Building ------------------------------------------------------------------------------------------ */

static struct factory *machine_factory;

static inline void machine_frames(void) {
    static uint64_t bitmap[MACHINE_RAM / PAGE_SIZE / 32];
    static uint64_t cache_memory[MACHINE_CPUS][128];
    uint64_t first = MACHINE_BASE >> PAGE_SHIFT, count = MACHINE_RAM >> PAGE_SHIFT;
    vaddr_t descriptors = page_down((vaddr_t)frame_at(first));
    memset(frame_spans, 0, sizeof frame_spans);
    memset(frame_nodes, 0, sizeof frame_nodes);
    memset(&boot_cache, 0, sizeof boot_cache);
    memset(shared_owned, 0, sizeof shared_owned);
    memset(cache_memory, 0, sizeof cache_memory);
    frame_span_count = 0;
    frame_unclaimed = 0;
    fail_in = 0;
    void *ram = mmap((void *)MACHINE_BASE, MACHINE_RAM, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(ram, (void *)MACHINE_BASE);
    memset(ram, 0xcc, MACHINE_RAM);
    assert_ptr_not_equal(
        mmap((void *)descriptors, page_up(count * sizeof(struct frame)) + PAGE_SIZE,
             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        MAP_FAILED);
    frame_span_add(first, count, bitmap);
    assert_true(sizeof cache_memory[0] >= frame_cache_bytes());
    for (unsigned i = 1; i < MACHINE_CPUS; i++) {
        caches[i] = NULL;
        frame_cache_init(i, cache_memory[i]);
    }
}

static inline void machine_pool(struct object_pool *pool) {
    pool->free = NULL;
    pool->used = pool->made = 0;
    pool->lock = (struct spinlock)SPINLOCK_INIT(LOCK_POOL);
}

/* RAM full of rubbish, CPUs that use no space, a factory of all frames. */
static inline void machine_start(bool tags) {
    memset(machine, 0, sizeof machine);
    machine_tags = tags;
    machine_threads = machine_reaps = false;
    for (unsigned i = 0; i < MACHINE_CPUS; i++) {
        machine[i].cpu = (struct cpu){.self = &machine[i].cpu, .index = i};
        cpus[i] = &machine[i].cpu;
        atomic_store(&machine[i].cpu.online, true);
    }
    me = &machine[0];
    machine_frames();
    machine_pool(&memory_pool);
    machine_pool(&factory_pool);
    mapping_cache = (struct kslab_cache){
        .name = "mapping", .object_size = sizeof(struct mapping), .lock = SPINLOCK_INIT(LOCK_SLAB)};
    ask_lock = (struct spinlock)SPINLOCK_INIT(LOCK_SHOOTDOWN);
    dying_memories = NULL;
    waiting = 0;
    tags_given = 0;
    machine_factory = factory_root(0);
    assert_non_null(machine_factory);
}

/* All frames that units have, as the accounts say. */
static inline uint64_t machine_user_frames(void) {
    struct frame_stats stats;
    frame_check();
    frame_stats(&stats);
    return stats.by_owner[FRAME_USER] + stats.by_owner[FRAME_MEMORY_TREE] +
           stats.by_owner[FRAME_USER_TABLE];
}

static inline void machine_reap(void) {
    while (!memory_reap_step()) {}
}

static inline uint64_t machine_seed(void) {
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (unsigned)getpid();
    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}
