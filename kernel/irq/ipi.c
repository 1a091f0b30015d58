/* IPI calls: one function, run by every other CPU.
 *
 * Problem: to change something that all CPUs look at without locks, one must know that each has
 * passed a point. Idea: one request at a time for the whole machine: the owner publishes function
 * and the set of CPUs that shall run it, interrupts them once, and waits until the set is empty.
 * Waiting, for the right to ask and for the answers, goes on with IF off and serves the
 * requests of others meanwhile, so two CPUs that call each other both get through. TLB
 * shootdowns are served too; their waits then always end, so they need not serve calls.
 *
 * Invariants: fn and arg are constant while `pending` is not 0; a bit of `pending` is set by the
 * owner and cleared by that bit's CPU only. Bounded by IPI_TIMEOUT_NS of the asker's own time
 * (kernel/time/patience.h); then the CPU that did not answer is named and the kernel stops, because
 * what the caller wanted cannot be done safely. */
#include <stdatomic.h>

#include "kernel/core/cpu.h"
#include "kernel/core/panic.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/vm.h"
#include "kernel/time/patience.h"

_Static_assert(CPUS_MAX <= 64, "a set of CPUs is one word");

static struct {
    _Atomic uint32_t owner;   /* CPU index + 1; 0: nobody asks */
    _Atomic uint64_t pending; /* CPUs that have not run fn yet */
    void (*fn)(void *arg);
    void *arg;
} call;

void ipi_call_isr(void) {
    uint64_t me = 1ull << cpu_this()->index;
    /* Acquire pairs with the release in ipi_call_others(): fn and arg are there. */
    if ((atomic_load_explicit(&call.pending, memory_order_acquire) & me) == 0)
        return;
    call.fn(call.arg);
    /* Release pairs with the acquire in wait_answers(): what fn did is visible. */
    atomic_fetch_and_explicit(&call.pending, ~me, memory_order_release);
}

static void serve_others(void) {
    ipi_call_isr();
    shootdown_isr();
    arch_relax();
}

static uint64_t online_others(void) {
    uint64_t set = 0;
    for (unsigned i = 0; i < cpu_count; i++) {
        /* Acquire pairs with the release in kernel_cpu_main(): the CPU takes interrupts. */
        if (cpus[i] != NULL && cpus[i] != cpu_this() &&
            atomic_load_explicit(&cpus[i]->online, memory_order_acquire))
            set |= 1ull << i;
    }
    return set;
}

/* Names a CPU of a set that is not empty. */
_Noreturn static void give_up(const char *what, uint64_t set) {
    panic("ipi: CPU %u %s within %llu ms", (unsigned)__builtin_ctzll(set), what,
          IPI_TIMEOUT_NS / 1000000u);
}

static void wait_owner(void) {
    uint32_t nobody = 0;
    struct patience patience = patience_of(IPI_TIMEOUT_NS * CPUS_MAX); /* all may be first */
    /* Acquire pairs with the release below: the last call is over. */
    while (!atomic_compare_exchange_weak_explicit(&call.owner, &nobody, cpu_this()->index + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
        if (patience_ends(&patience) && nobody != 0)
            give_up("did not end its call", 1ull << (nobody - 1));
        nobody = 0;
        serve_others();
    }
}

static void wait_answers(void) {
    struct patience patience = patience_of(IPI_TIMEOUT_NS);
    uint64_t left;
    /* Acquire pairs with the release in ipi_call_isr(). */
    while ((left = atomic_load_explicit(&call.pending, memory_order_acquire)) != 0) {
        if (patience_ends(&patience))
            give_up("did not answer a call", left);
        serve_others();
    }
}

void ipi_call_others(void (*fn)(void *arg), void *arg) {
    bool irq = arch_irq_disable();
    K_ASSERT(cpu_this()->locks_held == 0, "who waits for a lock with IF off does not answer");
    wait_owner();
    call.fn = fn;
    call.arg = arg;
    atomic_store_explicit(&call.pending, online_others(), memory_order_release);
    arch_ipi_send_others(ARCH_IPI_CALL);
    wait_answers();
    atomic_store_explicit(&call.owner, 0, memory_order_release);
    arch_irq_restore(irq);
}

void ipi_received(enum arch_ipi ipi) {
    struct cpu *cpu = cpu_this();
    cpu->ipi_count[ipi]++;
    if (ipi == ARCH_IPI_RESCHED)
        cpu->resched = true;
    else if (ipi == ARCH_IPI_SHOOTDOWN)
        shootdown_isr();
    else
        ipi_call_isr();
}
