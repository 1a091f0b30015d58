/* Spinlock: tickets, the owner, and in DEV the order of classes and the longest hold. */
#include "kernel/core/lock.h"

#include "kernel/core/cpu.h"
#include "kernel/core/panic.h"
#include "kernel/mem/vm.h"

#if defined(GMK_PROFILE_DEV)
#define LOCK_DEV true
#else
#define LOCK_DEV false
#endif

static const char *const class_names[LOCK_CLASSES] = {
#define LOCK_CLASS_NAME(name, guards) #name,
    LOCK_CLASS_LIST(LOCK_CLASS_NAME)
#undef LOCK_CLASS_NAME
};

_Static_assert(LOCK_CLASSES <= 32, "struct cpu keeps the classes held in 32 bits");

static _Atomic uint64_t longest_hold[LOCK_CLASSES]; /* cycles */

void spin_init(struct spinlock *lock, enum lock_class class) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t) class);
}

/* DEV: does the order allow this CPU to take it? */
static void check_order(const struct cpu *cpu, const struct spinlock *lock) {
    uint32_t held = cpu->locks_held;
    if (held >> lock->class == 0)
        return;
    unsigned last = 31u - (unsigned)__builtin_clz(held);
    panic("lock order: %s wanted while %s is held", class_names[lock->class], class_names[last]);
}

static void taken(struct cpu *cpu, struct spinlock *lock) {
    /* Alone: read for its own sake, by spin_is_mine() and a CPU that would wait for itself. */
    atomic_store_explicit(&lock->owner, cpu->index + 1, memory_order_relaxed);
    if (LOCK_DEV) {
        cpu->locks_held |= 1u << lock->class;
        lock->since = arch_cycles();
    }
}

/* The holder may be waiting for this CPU to forget a page, and IF is off: so do it here. Flushing does
 * no harm at any point. */
static void wait_politely(struct cpu *cpu) {
    if (atomic_load_explicit(&cpu->online, memory_order_relaxed)) /* its index is its own */
        shootdown_isr();
    arch_relax();
}

bool spin_lock(struct spinlock *lock) {
    bool irq = arch_irq_disable();
    struct cpu *cpu = cpu_this();
    if (spin_is_mine(lock))
        panic("lock %s: this CPU holds it already", class_names[lock->class]);
    if (LOCK_DEV)
        check_order(cpu, lock);
    uint16_t ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);
    /* Acquire pairs with the release in spin_unlock(). Bound: the CPUs before us in the line. */
    while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
        wait_politely(cpu);
    taken(cpu, lock);
    return irq;
}

bool spin_try_lock(struct spinlock *lock, bool *irq) {
    bool was_on = arch_irq_disable();
    uint16_t ticket = atomic_load_explicit(&lock->next, memory_order_relaxed);
    uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_acquire);
    /* Acquire: as in spin_lock(). Nobody holds it if the next ticket is the one served. */
    if (ticket != serving ||
        !atomic_compare_exchange_strong_explicit(&lock->next, &ticket, (uint16_t)(ticket + 1),
                                                 memory_order_acquire, memory_order_relaxed)) {
        arch_irq_restore(was_on);
        return false;
    }
    taken(cpu_this(), lock);
    *irq = was_on;
    return true;
}

/* DEV: two CPUs may lose one of two maxima at the same moment; it is a figure, not a proof. */
static void note_hold(struct cpu *cpu, const struct spinlock *lock) {
    uint64_t held = arch_cycles() - lock->since;
    cpu->locks_held &= ~(1u << lock->class);
    if (held > atomic_load_explicit(&longest_hold[lock->class], memory_order_relaxed))
        atomic_store_explicit(&longest_hold[lock->class], held, memory_order_relaxed);
}

void spin_unlock(struct spinlock *lock, bool irq) {
    if (!spin_is_mine(lock))
        panic("lock %s: this CPU does not hold it", class_names[lock->class]);
    if (LOCK_DEV)
        note_hold(cpu_this(), lock);
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_relaxed);
    /* Release pairs with the acquires in spin_lock() and spin_try_lock(). */
    atomic_store_explicit(&lock->serving, (uint16_t)(serving + 1), memory_order_release);
    arch_irq_restore(irq);
}

bool spin_is_mine(const struct spinlock *lock) {
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == cpu_this()->index + 1;
}

const char *lock_class_name(enum lock_class class) {
    return class_names[class];
}

uint64_t lock_longest_hold(enum lock_class class) {
    return atomic_load_explicit(&longest_hold[class], memory_order_relaxed);
}

void spin_enter_slow(struct spinlock *lock, uint16_t ticket) {
    struct cpu *cpu = cpu_this();
    if (spin_is_mine(lock))
        panic("lock %s: this CPU holds it already", class_names[lock->class]);
    while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
        wait_politely(cpu);
}
