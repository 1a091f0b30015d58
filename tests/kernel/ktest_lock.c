/* Test of lock: exclusion between CPUs, who owns it, interrupts, the longest hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/sched/thread.h"

#define CROWD_NS 100000000u /* how long the CPUs compete */

static struct spinlock lock;
static uint64_t counter, shadow; /* guarded by lock */

static int lock_fresh(void **state) {
    (void)state;
    spin_init(&lock, LOCK_LEAF);
    counter = shadow = 0;
    return 0;
}

static void taking_turns_interrupts_off_and_giving_back_restores(void **state) {
    (void)state;
    assert_true(arch_irq_enabled());
    bool irq = spin_lock(&lock);
    assert_true(irq);
    assert_false(arch_irq_enabled());
    spin_unlock(&lock, irq);
    assert_true(arch_irq_enabled());

    bool outer = arch_irq_disable();
    irq = spin_lock(&lock);
    assert_false(irq);
    spin_unlock(&lock, irq);
    assert_false(arch_irq_enabled());
    arch_irq_restore(outer);
}

static void the_holder_knows_it(void **state) {
    (void)state;
    bool outer = arch_irq_disable();
    assert_false(spin_is_mine(&lock));
    bool irq = spin_lock(&lock);
    assert_true(spin_is_mine(&lock));
    spin_unlock(&lock, irq);
    assert_false(spin_is_mine(&lock));
    arch_irq_restore(outer);
}

static void trying_takes_a_free_lock_only(void **state) {
    (void)state;
    bool irq = false, again = false;
    assert_true(spin_try_lock(&lock, &irq));
    assert_true(irq);
    assert_false(spin_try_lock(&lock, &again));
    assert_false(arch_irq_enabled());
    spin_unlock(&lock, irq);
    assert_true(arch_irq_enabled());
    assert_true(spin_try_lock(&lock, &irq));
    spin_unlock(&lock, irq);
}

/* Tickets are 16 bits wide. */
static void it_works_past_the_end_of_the_ticket_numbers(void **state) {
    (void)state;
    for (unsigned i = 0; i < 65540; i++) {
        bool irq = spin_lock(&lock);
        assert_true(spin_is_mine(&lock));
        spin_unlock(&lock, irq);
    }
    assert_int_equal(atomic_load(&lock.next), 4);
}

static _Atomic uint32_t arrived;
static _Atomic uint64_t rounds;

/* All CPUs begin at the same moment, and stay long enough inside to meet there. */
static void count_up(void *arg) {
    (void)arg;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < cpu_count)
        arch_relax();
    uint64_t end = arch_time_ns() + CROWD_NS;
    while (arch_time_ns() < end) {
        bool irq = spin_lock(&lock);
        uint64_t seen = counter;
        for (unsigned j = 0; j < 50; j++)
            arch_relax();
        counter = seen + 1;
        shadow += 2;
        spin_unlock(&lock, irq);
        atomic_fetch_add(&rounds, 1);
    }
}

static void cpus_exclude_each_other(void **state) {
    (void)state;
    struct thread *threads[CPUS_MAX];
    atomic_store(&arrived, 0);
    atomic_store(&rounds, 0);
    for (unsigned i = 0; i < cpu_count; i++) {
        threads[i] = thread_start("locker", THREAD_STACK_SIZE, THREAD_PRIORITY_NORMAL, (int)i,
                                  count_up, NULL);
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < cpu_count; i++)
        thread_join(threads[i]);
    assert_int_equal(counter, atomic_load(&rounds));
    assert_true(counter >= cpu_count);
    assert_int_equal(shadow, 2 * counter);
}

static void every_class_has_a_name(void **state) {
    (void)state;
    for (unsigned class = 0; class < LOCK_CLASSES; class ++)
        assert_memory_equal(lock_class_name((enum lock_class) class), "LOCK_", 5);
    assert_string_equal(lock_class_name(LOCK_LEAF), "LOCK_LEAF");
}

static void the_longest_hold_of_a_class_is_kept(void **state) {
    (void)state;
#ifndef GMK_PROFILE_DEV
    skip();
#endif
    bool irq = spin_lock(&lock);
    uint64_t start = arch_cycles(), longest = lock_longest_hold(LOCK_LEAF);
    while (arch_cycles() - start <= longest + 1000)
        arch_relax();
    spin_unlock(&lock, irq);
    assert_true(lock_longest_hold(LOCK_LEAF) > longest + 1000);
}

int main(void) {
#define PROMISE(name) cmocka_unit_test_setup(name, lock_fresh)
    const struct CMUnitTest tests[] = {
        PROMISE(taking_turns_interrupts_off_and_giving_back_restores),
        PROMISE(the_holder_knows_it),
        PROMISE(trying_takes_a_free_lock_only),
        PROMISE(it_works_past_the_end_of_the_ticket_numbers),
        PROMISE(cpus_exclude_each_other),
        PROMISE(every_class_has_a_name),
        PROMISE(the_longest_hold_of_a_class_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
