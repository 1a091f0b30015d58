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
 * Whoever waits for any spinlock with IF off serves too (lock.c), so an asker may hold locks.
 *
 * Spaces of units. Only CPUs that use the space are asked: those whose cpu->space names it, seen after
 * the change by a full barrier (space.h says why that is enough). A CPU that has changed over since it
 * was asked has nothing to forget: without tags its TLB is empty, with tags `flushes` tells it later.
 *
 * Bounds: SHOOTDOWN_PAGES_MAX flushes per request, SHOOTDOWN_TIMEOUT_NS of the asker's own time per
 * answer (kernel/time/patience.h). */
#include "ggmk/log.h"
#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/space.h"
#include "kernel/mem/vm.h"
#include "kernel/time/patience.h"

_Static_assert(CPUS_MAX <= 64, "one bit of a word for each CPU");

static struct spinlock ask_lock = SPINLOCK_INIT(LOCK_SHOOTDOWN);
/* What is asked for. A whole-TLB flush has more pages than SHOOTDOWN_PAGES_MAX. */
struct request {
    struct space *space; /* NULL: the kernel's half */
    bool leave;          /* the CPU shall not use the space any more */
    unsigned count;
    const vaddr_t *pages; /* the asker's */
};
static struct request request;   /* written by the holder of `ask_lock` while `waiting` is 0 */
static _Atomic uint64_t waiting; /* CPUs that have not answered */

static _Atomic uint64_t requests, pages_flushed, full_flushes, ipis;

static void tally(_Atomic uint64_t *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static bool uses(const struct cpu *cpu, const struct space *space) {
    return atomic_load_explicit(&cpu->space, memory_order_seq_cst) == space;
}

/* Does on this CPU what a request says. */
static void flush(const struct request *r) {
    struct cpu *cpu = cpu_this();
    if (r->space != NULL && !uses(cpu, r->space))
        return;
    if (r->leave) {
        atomic_store_explicit(&cpu->space, NULL, memory_order_relaxed);
        arch_space_load(vm_kernel_root(), 0, false);
    } else if (r->count <= SHOOTDOWN_PAGES_MAX) {
        for (unsigned i = 0; i < r->count; i++)
            arch_tlb_flush_page(r->pages[i]);
    } else if (r->space != NULL) {
        arch_space_load(r->space->root, r->space->tag, false);
    } else {
        arch_tlb_flush_all();
    }
}

/* Answers the request that exists, if it waits for this CPU. IF off. */
static void serve(void) {
    uint64_t mine = UINT64_C(1) << cpu_this()->index;
    /* Acquire: pairs with the release in ask(): the request was written before the bits. */
    if ((atomic_load_explicit(&waiting, memory_order_acquire) & mine) == 0)
        return;
    flush(&request);
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

/* Other CPUs that must do what the request says. */
static uint64_t concerned(const struct request *r) {
    uint64_t others = 0;
    for (unsigned i = 0; i < cpu_count; i++) {
        struct cpu *cpu = cpus[i];
        if (cpu != NULL && cpu != cpu_this() && (r->space == NULL || uses(cpu, r->space)) &&
            atomic_load(&cpu->online) && !atomic_load(&cpu->stopped))
            others |= UINT64_C(1) << i;
    }
    return others;
}

/* IF off, `ask_lock` held. */
static void ask(const struct request *r, uint64_t others) {
    request = *r;
    /* Release: pairs with the acquire in serve(). */
    atomic_store_explicit(&waiting, others, memory_order_release);
    for (uint64_t rest = others; rest != 0; rest &= rest - 1)
        arch_ipi_send((unsigned)__builtin_ctzll(rest), ARCH_IPI_SHOOTDOWN);
    tally(&ipis, (uint64_t)__builtin_popcountll(others));
    wait_for_all();
}

/* IF off. */
static void run(const struct request *r) {
    flush(r);
    uint64_t others = concerned(r);
    if (r->space != NULL && others == 0)
        return;
    bool irq;
    struct patience patience = patience_of(CPUS_MAX * SHOOTDOWN_TIMEOUT_NS);
    while (!spin_try_lock(&ask_lock, &irq)) {
        serve();
        if (patience_ends(&patience))
            panic("shootdown: the right to ask does not come free");
        arch_relax();
    }
    if (others != 0)
        ask(r, others);
    spin_unlock(&ask_lock, irq);
    tally(&requests, 1);
    tally(r->count > SHOOTDOWN_PAGES_MAX ? &full_flushes : &pages_flushed,
          r->count > SHOOTDOWN_PAGES_MAX ? 1 : r->count);
}

void shootdown(const vaddr_t *pages, unsigned count) {
    if (count == 0)
        return;
    bool irq = arch_irq_disable();
    run(&(struct request){.count = count, .pages = pages});
    arch_irq_restore(irq);
}

void space_shootdown(struct space *space, const vaddr_t *pages, unsigned count) {
    if (count == 0)
        return;
    /* Full barrier, between the change of the tables and the look at who uses them: see the top. */
    atomic_fetch_add_explicit(&space->flushes, 1, memory_order_seq_cst);
    run(&(struct request){.space = space, .count = count, .pages = pages});
}

void space_leave(struct space *space) {
    run(&(struct request){.space = space, .leave = true});
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
