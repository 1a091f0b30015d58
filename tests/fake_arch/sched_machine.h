/* Sched machine: the kernel's scheduler, waits and timers on the machine of make-believe, with what
 * their tests share: building one, taking it down, and looking whether it is at rest. */
#pragma once

#include "tests/fake_arch/machine.h"
#include "tests/fake_arch/user_machine.h"

#include "kernel/sched/boundary.c"
#include "kernel/sched/budget.c"
#include "kernel/sched/control.c"
#include "kernel/sched/place.c"
#include "kernel/sched/sched.c"
#include "kernel/sched/slice.c"
#include "kernel/sched/thread.c"
#include "kernel/sched/turn.c"
#include "kernel/sched/user.c"
#include "kernel/sched/wait.c"
#include "kernel/time/timer.c"

#define SEEDS 300u

/* What threads of a test write down: how often, and in which order. */
static unsigned ran;
static unsigned order[64];
static unsigned order_count;

/* ---- Building and taking down ------------------------------------------------------------ */

static void tear_down_machine(void) {
    for (unsigned i = 0; i < THREADS_KERNEL_MAX; i++)
        if (table[i] != NULL) {
            free(table[i]->stack);
            free(table[i]);
        }
    for (unsigned i = 0; i < MACHINE_CPUS; i++) {
        free(runqs[i]);
        free(queues[i].heap);
    }
    memset(table, 0, sizeof(table));
    memset(runqs, 0, sizeof(runqs));
    memset(queues, 0, sizeof(queues));
    for (unsigned i = 0; i < WAIT_BUCKETS; i++)
        assert_null(buckets[i].head);
    atomic_store(&sched_idle_cpus, 0);
    for (unsigned i = 1; i < pool.made; i++) {
        free(thread_users[i]->stack);
        free(thread_users[i]->fpu_memory);
        free(machine_users[i].stacks);
        free(thread_users[i]);
        thread_users[i] = NULL;
        machine_users[i].stacks = NULL;
    }
    pool.free = NULL;
    pool.made = 1;
    memset(bands, 0, sizeof(bands));
    machine_box.head = NULL;
    machine_unit_init();
}

static void build(unsigned count, uint64_t seed) {
    tear_down_machine();
    memset(order, 0, sizeof(order));
    order_count = ran = 0;
    machine_start(count, seed);
}

/* Threads in the table that have not ended, but for the idle ones. */
static inline unsigned alive(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < THREADS_KERNEL_MAX; i++)
        n += table[i] != NULL && table[i]->state != THREAD_EXITED &&
             strncmp(table[i]->name, "idle", 4) != 0;
    return n;
}

static inline struct thread *spawn(unsigned priority, int cpu, void (*entry)(void *), void *arg) {
    struct thread *t = thread_start("test", 0, priority, cpu, entry, arg);
    assert_non_null(t);
    return t;
}

static void work(unsigned steps) {
    for (unsigned i = 0; i < steps; i++)
        machine_step();
}

/* Nobody waits for a CPU that runs something less urgent, and idle CPUs leave no work lying. */
static inline void check_at_rest(void) {
    for (unsigned i = 0; i < cpu_count; i++) {
        assert_int_equal(runq_top(runqs[i]), IDLE_PRIORITY);
        assert_ptr_equal(machine.at[i].cpu.current, machine.at[i].cpu.idle);
        assert_true(machine.at[i].idles);
        assert_int_equal(queues[i].count, 0);
        assert_int_equal(machine.at[i].deadline_ns, UINT64_MAX);
        assert_int_equal(machine.at[i].cpu.locks_held, 0);
    }
}
