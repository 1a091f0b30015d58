/* Shootdown: makes every CPU forget translations that are no longer true.
 *
 * A CPU keeps translations in its TLB; changing a table in memory does not change them. So whoever
 * removes or narrows a mapping asks all CPUs to drop it, and may reuse the memory only when each
 * has said that it did. All share the kernel's half, so idle CPUs are asked as well.
 *
 * One request exists at a time: its pages, and a word with one bit per CPU that still has to
 * answer. The asker holds LOCK_SHOOTDOWN, fills it, sets the bits and sends the interrupts; a CPU
 * flushes and clears its bit.
 *
 * The race to exclude: two CPUs with IF off ask at once. The second cannot take the first one's
 * interrupt while it waits for the lock, so it serves the request in its waiting loop.
 * tests/model/shootdown.pml proves that nobody waits forever and nobody answers before flushing.
 * Whoever waits for any spinlock with IF off serves too (lock.c).
 *
 * Bounds: SHOOTDOWN_PAGES_MAX flushes per request, SHOOTDOWN_TIMEOUT_NS of the asker's own time per
 * answer (kernel/time/patience.h). */
#include "ggmk/log.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/vm.h"
#include "kernel/time/patience.h"

_Static_assert(CPUS_MAX <= 64, "one bit of a word for each CPU");

static struct spinlock ask_lock = SPINLOCK_INIT(LOCK_SHOOTDOWN);
/* The request. Written by the holder of `ask_lock` while `waiting` is 0. */
static vaddr_t request_pages[SHOOTDOWN_PAGES_MAX];
static unsigned request_count;   /* > SHOOTDOWN_PAGES_MAX: everything */
static _Atomic uint64_t waiting; /* CPUs that have not answered */

static _Atomic uint64_t requests, pages_flushed, full_flushes, ipis;

static void tally(_Atomic uint64_t *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static void flush(const vaddr_t *pages, unsigned count) {
    if (count > SHOOTDOWN_PAGES_MAX) {
        arch_tlb_flush_all();
        return;
    }
    for (unsigned i = 0; i < count; i++)
        arch_tlb_flush_page(pages[i]);
}

/* Answers the request that exists, if it waits for this CPU. IF off. */
static void serve(void) {
    uint64_t mine = UINT64_C(1) << cpu_this()->index;
    /* Acquire: pairs with the release in ask(): the request was written before the bits. */
    if ((atomic_load_explicit(&waiting, memory_order_acquire) & mine) == 0)
        return;
    flush(request_pages, request_count);
    /* Release: pairs with the acquire in wait_for_all(): the flush is done. */
    atomic_fetch_and_explicit(&waiting, ~mine, memory_order_release);
}

void shootdown_isr(void) {
    serve();
}

static void wait_for_all(void) {
    struct patience patience = patience_of(SHOOTDOWN_TIMEOUT_NS);
    uint64_t left;
    /* Acquire: pairs with the release in serve(). */
    while ((left = atomic_load_explicit(&waiting, memory_order_acquire)) != 0) {
        if (patience_ends(&patience))
            panic("shootdown: CPU %d does not answer", __builtin_ctzll(left));
        arch_relax();
    }
}

/* IF off, `ask_lock` held. */
static void ask(const vaddr_t *pages, unsigned count) {
    uint64_t others = 0;
    for (unsigned i = 0; i < cpu_count; i++) {
        struct cpu *cpu = cpus[i];
        if (cpu != NULL && cpu != cpu_this() && atomic_load(&cpu->online) &&
            !atomic_load(&cpu->stopped))
            others |= UINT64_C(1) << i;
    }
    if (others == 0)
        return;
    request_count = count;
    for (unsigned i = 0; i < count && count <= SHOOTDOWN_PAGES_MAX; i++)
        request_pages[i] = pages[i];
    /* Release: pairs with the acquire in serve(). */
    atomic_store_explicit(&waiting, others, memory_order_release);
    for (uint64_t rest = others; rest != 0; rest &= rest - 1)
        arch_ipi_send((unsigned)__builtin_ctzll(rest), ARCH_IPI_SHOOTDOWN);
    tally(&ipis, (uint64_t)__builtin_popcountll(others));
    wait_for_all();
}

static void run(const vaddr_t *pages, unsigned count) {
    bool irq = arch_irq_disable(), locked_irq;
    flush(pages, count);
    struct patience patience = patience_of(CPUS_MAX * SHOOTDOWN_TIMEOUT_NS);
    while (!spin_try_lock(&ask_lock, &locked_irq)) {
        serve();
        if (patience_ends(&patience))
            panic("shootdown: the right to ask does not come free");
        arch_relax();
    }
    ask(pages, count);
    spin_unlock(&ask_lock, locked_irq);
    tally(&requests, 1);
    tally(count > SHOOTDOWN_PAGES_MAX ? &full_flushes : &pages_flushed,
          count > SHOOTDOWN_PAGES_MAX ? 1 : count);
    arch_irq_restore(irq);
}

void shootdown(const vaddr_t *pages, unsigned count) {
    if (count != 0)
        run(pages, count);
}

void shootdown_range(vaddr_t first, size_t pages) {
    vaddr_t list[SHOOTDOWN_PAGES_MAX];
    unsigned count = pages > SHOOTDOWN_PAGES_MAX ? SHOOTDOWN_PAGES_MAX + 1 : (unsigned)pages;
    for (unsigned i = 0; i < count && i < SHOOTDOWN_PAGES_MAX; i++)
        list[i] = first + (vaddr_t)i * PAGE_SIZE;
    shootdown(list, count);
}

void shootdown_stats(struct shootdown_stats *stats) {
    stats->requests = atomic_load_explicit(&requests, memory_order_relaxed);
    stats->pages = atomic_load_explicit(&pages_flushed, memory_order_relaxed);
    stats->full_flushes = atomic_load_explicit(&full_flushes, memory_order_relaxed);
    stats->ipis = atomic_load_explicit(&ipis, memory_order_relaxed);
}
