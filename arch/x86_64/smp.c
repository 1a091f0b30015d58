/* SMP: brings up the other CPUs.
 *
 * Problem: each CPU wants a stack and a block of its own before it can run C, it may come late or
 * never, and waiting for one after the other would take most of the boot. Idea: a slot per CPU
 * holds what it needs; all are woken at once (INIT, SIPI: Intel SDM 3A 8.4), each finds its slot by
 * its APIC id and takes it.
 *
 *             prepare()          smp_enter            smp_main()          admit()
 *      FREE ------------> WAITS ------------> TAKEN -------------> READY ----------> GO
 *                           |  give_up()
 *                           +------------> FREE, keeping the memory for the next
 *
 * - WAITS: the CPU may take the slot at any time; TAKEN: it runs on the slot's stack, for ever;
 *   READY: it answers, and waits for its index; GO: index and cpus[] are final.
 * - A CPU that comes after it was given up finds no slot and halts; an INIT has also stopped it.
 * - One that took its slot and then died is left alone with its memory.
 *
 * Indexes are given in ACPI's order to those that came, so cpus[] has no holes. */
#include "arch/x86_64/smp.h"

#include <stdatomic.h>
#include <string.h>

#include "arch/arch.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/tsc.h"
#include "boot/boot_info.h"
#include "ggmk/error.h"
#include "kernel/core/acpi.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/mem/mem.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/time/patience.h"

#define INIT_WAIT_NS 10000000u /* a real CPU's reset may take that long; a virtual one takes none */
#define SIPI_WAIT_NS 200000u   /* until a second one, for CPUs that missed the first */
#define NAP_NS       50000u    /* between two looks at what others have done */
#define STACK_SIZE   ((size_t)THREAD_STACK_SIZE)

enum { SLOT_FREE, SLOT_WAITS, SLOT_TAKEN, SLOT_READY, SLOT_GO };

/* trampoline.S knows it. */
struct smp_slot {
    uint32_t apic_id;
    _Atomic uint32_t state;
    char *stack_top;
    struct cpu *cpu;
};
_Static_assert(offsetof(struct smp_slot, state) == 4, "SLOT_STATE");
_Static_assert(offsetof(struct smp_slot, stack_top) == 8, "SLOT_STACK");
_Static_assert(offsetof(struct smp_slot, cpu) == 16, "SLOT_CPU");
_Static_assert(sizeof(struct smp_slot) == 24, "SLOT_SIZE");

extern const char smp_trampoline[];
extern const uint32_t smp_trampoline_size, smp_trampoline_root;
extern void smp_enter_limine(void);

struct smp_slot smp_slots[CPUS_MAX - 1];
uint32_t smp_slot_count;
_Atomic uint32_t smp_halted; /* CPUs that found no slot */
uint64_t smp_root;           /* the kernel's page tables, for smp_enter_limine */

_Noreturn void smp_main(struct smp_slot *slot);

static uint32_t state_of(const struct smp_slot *slot) {
    /* Acquire pairs with the releases in smp_main() and admit(). */
    return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static void set_state(struct smp_slot *slot, uint32_t state) {
    atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* ---- On the CPU that starts ------------------------------------------------------------------- */

/* From trampoline.S, on the slot's stack, IF off. */
void smp_main(struct smp_slot *slot) {
    struct cpu *cpu = slot->cpu;
    arch_cpu_init(cpu);
    arch_features_init();
    apic_cpu_init();
    if (apic_id() != cpu->apic_id) {
        klog_error("smp", "CPUID says APIC %u, the APIC says %u", cpu->apic_id, apic_id());
        arch_halt_forever();
    }
    set_state(slot, SLOT_READY);
    while (state_of(slot) != SLOT_GO) /* it has nothing else to do, however long */
        arch_idle();                  /* admit() sends an interrupt */
    tsc_answer();
    kernel_cpu_main(cpu);
}

/* ---- Preparing --------------------------------------------------------------------------------- */

/* A slot with its memory. NULL: no memory, or CPUS_MAX. */
static struct smp_slot *prepare(uint32_t apic_id, uint32_t node) {
    struct smp_slot *slot = smp_slots;
    while (slot < &smp_slots[smp_slot_count] && state_of(slot) != SLOT_FREE)
        slot++;
    if (slot == &smp_slots[CPUS_MAX - 1])
        return NULL;
    if (slot->cpu == NULL) {
        unsigned index = (unsigned)(slot - smp_slots) + 1; /* for the time being */
        char *stack = vm_stack_alloc(STACK_SIZE);
        slot->cpu = stack != NULL ? cpu_new(index, apic_id, node) : NULL;
        if (slot->cpu == NULL) {
            if (stack != NULL)
                vm_stack_free(stack, STACK_SIZE);
            return NULL;
        }
        cpus[index] = NULL; /* until it is there */
        slot->stack_top = stack + STACK_SIZE;
    }
    slot->cpu->apic_id = apic_id;
    slot->cpu->node = node;
    slot->apic_id = apic_id;
    set_state(slot, SLOT_WAITS);
    if (slot == &smp_slots[smp_slot_count])
        smp_slot_count++;
    return slot;
}

/* Copies the trampoline into low memory; its page, or 0. */
static paddr_t prepare_trampoline(void) {
    static paddr_t page;
    if (page == 0)
        page = mem_low_page();
    if (page == 0 || smp_root > UINT32_MAX || !mem_identity_map(page, PAGE_SIZE)) {
        klog_error("smp", "no low memory for the other CPUs' first instructions");
        return 0;
    }
    char *at = arch_phys(page);
    uint32_t root = (uint32_t)smp_root;
    memcpy(at, smp_trampoline, smp_trampoline_size);
    memcpy(at + smp_trampoline_root, &root, sizeof root);
    return page;
}

/* ---- Waking ------------------------------------------------------------------------------------- */

static void nothing(struct timer *timer) {
    (void)timer;
}

/* Sleeps rather than spins: the CPUs that start may be threads of a host that has no core to spare.
 * Returns false when patience has come to its end, which on such a host takes longer. */
static bool nap(struct patience *patience) {
    if (patience_ends(patience))
        return false;
    struct timer alarm = {0};
    bool irq = arch_irq_disable();
    bool set = timer_start(&alarm, patience->last_ns + NAP_NS, nothing);
    K_ASSERT(set, "the timers of a CPU that boots are not used up");
    arch_idle();
    arch_irq_restore(irq);
    (void)timer_stop(&alarm);
    return true;
}

/* Waits until all slots are at least in `state`, or the time is up. */
static void wait_for(uint32_t state, uint64_t ns) {
    struct patience patience = patience_of(ns);
    for (uint32_t i = 0; i < smp_slot_count; i++)
        while (state_of(&smp_slots[i]) != SLOT_FREE && state_of(&smp_slots[i]) < state)
            if (!nap(&patience))
                return;
}

static void send_to_waiting(uint32_t command) {
    for (uint32_t i = 0; i < smp_slot_count; i++)
        if (state_of(&smp_slots[i]) == SLOT_WAITS)
            apic_send(smp_slots[i].apic_id, command);
}

/* CPUs that have come to smp_enter. */
static uint32_t gone(void) {
    uint32_t count = atomic_load_explicit(&smp_halted, memory_order_relaxed);
    for (uint32_t i = 0; i < smp_slot_count; i++)
        count += state_of(&smp_slots[i]) >= SLOT_TAKEN;
    return count;
}

/* CPUs that the loader left waiting for an address ("MP Feature" of the Limine protocol). All of
 * them, also beyond the limit: they wait in memory of the loader's, which is given back later.
 * Those without a slot halt in smp_enter. */
static void wake_by_loader(void) {
    struct patience patience = patience_of(SMP_TIMEOUT_NS);
    for (uint32_t i = 0; i < boot_info.cpu_count; i++) {
        paddr_t at = boot_info.cpus[i].goto_address - boot_info.early_offset;
        _Atomic uint64_t *word = arch_phys(at);
        atomic_store_explicit(word, (uint64_t)(uintptr_t)smp_enter_limine, memory_order_release);
    }
    while (gone() < boot_info.cpu_count && nap(&patience))
        ;
    boot_info.cpu_count = 0; /* from now on they are like any other */
    wait_for(SLOT_READY, SMP_TIMEOUT_NS);
}

/* CPUs that wait for a start-up IPI. */
static void wake_by_sipi(void) {
    paddr_t page = prepare_trampoline();
    if (page == 0)
        return;
    uint32_t startup = APIC_ICR_STARTUP | APIC_ICR_ASSERT | (uint32_t)(page >> PAGE_SHIFT);
    send_to_waiting(APIC_ICR_INIT | APIC_ICR_ASSERT);
    if (!cpu_features.hypervisor)
        wait_for(SLOT_TAKEN, INIT_WAIT_NS);
    send_to_waiting(startup);
    wait_for(SLOT_TAKEN, SIPI_WAIT_NS);
    send_to_waiting(startup);
    wait_for(SLOT_READY, SMP_TIMEOUT_NS);
    send_to_waiting(APIC_ICR_INIT | APIC_ICR_ASSERT); /* who has not come shall not come later */
    mem_identity_unmap(page, PAGE_SIZE);
}

/* ---- Admitting ---------------------------------------------------------------------------------- */

static void give_up(struct smp_slot *slot) {
    uint32_t waits = SLOT_WAITS;
    bool started = !atomic_compare_exchange_strong_explicit(
        &slot->state, &waits, SLOT_FREE, memory_order_acq_rel, memory_order_acquire);
    klog_error("smp", "CPU %u (APIC %u) did not come: %s within %llu ms", slot->cpu->index,
               slot->apic_id, started ? "it started, but was not ready" : "no sign of life",
               SMP_TIMEOUT_NS / 1000000u);
}

/* Gives it the next index and lets it go. Its TSC is compared on the way. */
static void admit(struct smp_slot *slot) {
    struct cpu *cpu = slot->cpu;
    cpu->index = cpu_count;
    cpus[cpu_count++] = cpu;
    bool irq = arch_irq_disable();
    set_state(slot, SLOT_GO);
    arch_ipi_send(cpu->index, ARCH_IPI_CALL);
    tsc_ask(cpu->index);
    arch_irq_restore(irq);
}

static void wait_online(const struct cpu *cpu) {
    struct patience patience = patience_of(SMP_TIMEOUT_NS);
    /* Acquire pairs with the release in kernel_cpu_main(). */
    while (!atomic_load_explicit(&cpu->online, memory_order_acquire)) {
        if (!nap(&patience)) {
            klog_error("smp", "CPU %u (APIC %u) came, but is not online", cpu->index, cpu->apic_id);
            return;
        }
    }
}

/* Wakes all that WAIT and sees them online. */
static void start_waiting(void) {
    unsigned before = cpu_count;
    smp_root = vm_kernel_root();
    if (boot_info.cpu_count != 0)
        wake_by_loader();
    else
        wake_by_sipi();
    for (uint32_t i = 0; i < smp_slot_count; i++) {
        uint32_t state = state_of(&smp_slots[i]);
        if (state == SLOT_READY)
            admit(&smp_slots[i]);
        else if (state == SLOT_WAITS || state == SLOT_TAKEN)
            give_up(&smp_slots[i]);
    }
    for (unsigned i = before; i < cpu_count; i++)
        wait_online(cpus[i]);
}

int smp_start_one(uint32_t apic_id) {
    for (unsigned i = 0; i < cpu_count; i++)
        if (cpus[i]->apic_id == apic_id)
            return GMK_EEXIST;
    unsigned before = cpu_count;
    if (prepare(apic_id, 0) == NULL)
        return cpu_count == CPUS_MAX ? GMK_ELIMIT : GMK_ENOMEM;
    start_waiting();
    return cpu_count > before ? GMK_OK : GMK_ETIMEOUT;
}

void arch_smp_start(unsigned limit) {
    unsigned wanted = 1, left_out = acpi.cpus_dropped;
    for (uint32_t i = 0; i < acpi.cpu_count; i++) {
        const struct acpi_cpu *cpu = &acpi.cpus[i];
        if (!cpu->enabled || cpu->apic_id == cpus[0]->apic_id)
            continue;
        if (wanted < limit && apic_reaches(cpu->apic_id) &&
            prepare(cpu->apic_id, cpu->node) != NULL)
            wanted++;
        else
            left_out++;
    }
    if (left_out != 0)
        klog(limit < CPUS_MAX ? GMK_LOG_INFO : GMK_LOG_WARN, "smp",
             "%u CPUs are left alone: the limit is %u", left_out, limit);
    if (wanted > 1 || boot_info.cpu_count != 0)
        start_waiting();
    tsc_check_drift();
}
