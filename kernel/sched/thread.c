/* Thread: making, ending and joining threads.
 *
 * The table holds every thread that is alive; its lock is a leaf, held for a bounded look. A
 * thread that has ended cannot free the stack it stands on: the thread that runs next on its CPU
 * sets `exited` (switched() in sched.c), and only then does thread_join() free it.
 *
 * Not here: cancelling a thread from outside. A thread ends when its function returns. */
#include "kernel/sched/thread.h"

#include "kernel/core/lock.h"
#include "kernel/core/panic.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/runq.h"
#include "kernel/sched/user.h"

#include <string.h>

static struct spinlock table_lock = SPINLOCK_INIT(LOCK_LEAF);
/* Guarded by table_lock. */
static struct thread *table[THREADS_KERNEL_MAX];
static uint32_t last_id;

/* ---- The table ------------------------------------------------------------------------ */

static bool table_add(struct thread *t) {
    bool added = false;
    bool irq = spin_lock(&table_lock);
    for (unsigned i = 0; i < THREADS_KERNEL_MAX && !added; i++)
        if (table[i] == NULL) {
            table[i] = t;
            t->id = ++last_id;
            added = true;
        }
    spin_unlock(&table_lock, irq);
    return added;
}

static void table_remove(const struct thread *t) {
    bool irq = spin_lock(&table_lock);
    for (unsigned i = 0; i < THREADS_KERNEL_MAX; i++)
        if (table[i] == t)
            table[i] = NULL;
    spin_unlock(&table_lock, irq);
}

uint32_t thread_next_id(void) {
    bool irq = spin_lock(&table_lock);
    uint32_t id = ++last_id;
    spin_unlock(&table_lock, irq);
    return id;
}

uint64_t thread_run_ns(const struct thread *t) {
    return slice_ns(t->run_cycles);
}

void thread_each(void (*fn)(void *arg, const struct thread *thread), void *arg) {
    for (unsigned i = 0; i < THREADS_KERNEL_MAX; i++) {
        struct thread copy;
        bool irq = spin_lock(&table_lock);
        bool there = table[i] != NULL;
        if (there)
            copy = *table[i];
        spin_unlock(&table_lock, irq);
        if (there)
            fn(arg, &copy);
    }
    for (unsigned i = 0; i < THREADS_MAX; i++)
        if (thread_users[i] != NULL && !thread_users[i]->gone) {
            struct thread copy = *thread_users[i];
            fn(arg, &copy);
        }
}

/* ---- Making ------------------------------------------------------------------------------ */

/* A thread in the table, without a stack. NULL: no memory, or THREADS_MAX are alive. */
static struct thread *thread_new(const char *name, unsigned priority, uint32_t cpu) {
    struct thread *t = kzalloc(sizeof(*t));
    if (t == NULL)
        return NULL;
    size_t length = strlen(name);
    length = length < THREAD_NAME_MAX ? length : THREAD_NAME_MAX - 1;
    memcpy(t->name, name, length); /* kzalloc() left the terminator */
    t->priority = t->base = t->assigned = t->floor = (uint8_t)priority;
    t->slice = slice_cycles(THREAD_SLICE_NS);
    t->affinity = UINT64_MAX;
    t->cpu = cpu;
    if (table_add(t))
        return t;
    kfree(t);
    return NULL;
}

static void thread_free(struct thread *t) {
    table_remove(t);
    if (t->stack != NULL)
        vm_stack_free(t->stack, t->stack_size);
    kfree(t);
}

static bool give_stack(struct thread *t, size_t size, void (*start)(void *arg), void *arg) {
    size = size > THREAD_STACK_SIZE ? size : THREAD_STACK_SIZE;
    t->stack_size = (size + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
    t->stack = vm_stack_alloc(t->stack_size);
    if (t->stack == NULL)
        return false;
    arch_context_init(&t->context, (char *)t->stack + t->stack_size, start, arg);
    return true;
}

/* Where a new thread begins: IF off, the run queue locked by the thread before. */
static void thread_main(void *arg) {
    struct thread *t = arg;
    sched_begin();
    t->entry(t->arg);
    thread_exit();
}

struct thread *thread_start(const char *name, size_t stack_size, unsigned priority, int cpu,
                            void (*entry)(void *arg), void *arg) {
    K_ASSERT(priority < THREAD_PRIORITIES, "a thread's priority is below 256");
    bool pinned = cpu >= 0;
    /* Acquire pairs with the release when the CPU came up: its run queue is there. */
    if (pinned && ((unsigned)cpu >= cpu_count || cpus[cpu] == NULL ||
                   !atomic_load_explicit(&cpus[cpu]->online, memory_order_acquire)))
        return NULL;
    bool irq = arch_irq_disable();
    uint32_t here = cpu_this()->index;
    arch_irq_restore(irq);
    struct thread *t = thread_new(name, priority, pinned ? (uint32_t)cpu : here);
    if (t == NULL)
        return NULL;
    if (pinned)
        t->affinity = 1ull << cpu;
    t->entry = entry;
    t->arg = arg;
    if (stack_size > SIZE_MAX / 2 || !give_stack(t, stack_size, thread_main, t)) {
        thread_free(t);
        return NULL;
    }
    sched_ready(t);
    return t;
}

/* ---- The first threads ---------------------------------------------------------------------- */

static void number_name(struct thread *t, uint32_t number) {
    size_t at = strlen(t->name);
    t->name[at++] = '/';
    if (number >= 10)
        t->name[at++] = (char)('0' + number / 10);
    t->name[at] = (char)('0' + number % 10);
}

struct thread *thread_adopt(const char *name, struct cpu *cpu) {
    bool boots = cpu->index == 0;
    struct thread *t =
        thread_new(name, boots ? THREAD_PRIORITY_WORKER : THREAD_PRIORITY_IDLE, cpu->index);
    if (t == NULL)
        return NULL;
    if (!boots)
        number_name(t, cpu->index);
    t->state = THREAD_RUNNING;
    t->affinity = 1ull << cpu->index;
    return t;
}

struct thread *thread_idle(struct cpu *cpu, void (*entry)(void *arg)) {
    struct thread *t = thread_new("idle", THREAD_PRIORITY_IDLE, cpu->index);
    if (t == NULL)
        return NULL;
    number_name(t, cpu->index);
    t->affinity = 1ull << cpu->index;
    t->entry = entry;
    t->arg = cpu;
    return give_stack(t, 0, thread_main, t) ? t : NULL;
}

/* ---- Ending -------------------------------------------------------------------------------------- */

struct thread *thread_current(void) {
    bool irq = arch_irq_disable();
    struct thread *t = cpu_this()->current;
    arch_irq_restore(irq);
    return t;
}

_Noreturn void thread_exit(void) {
    bool irq = arch_irq_disable();
    struct thread *t = cpu_this()->current;
    void *local = cpu_this()->local;
    cpu_this()->local = NULL;
    arch_irq_restore(irq);
    if (local != NULL && t->local_exit != NULL)
        t->local_exit(local);
    sched_end();
}

void thread_join(struct thread *t) {
    K_ASSERT(t != thread_current(), "a thread cannot wait for its own end");
    /* Acquire pairs with the release in switched(): the stack is not in use any more. */
    while (atomic_load_explicit(&t->exited, memory_order_acquire) == 0)
        (void)wait_block(&t->exited, 0, UINT64_MAX);
    thread_free(t);
}
