/* Test of IPIs: calls reach every other CPU once, also when all call at once,
 * and a resched ends another CPU's sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define CALLS   120u /* of all CPUs together in a storm: more CPUs than the host has wait long */
#define WAKES   100u
#define WAIT_NS 1000000000ull

static _Atomic uint32_t calls[CPUS_MAX], with_irq_on;

static void count_call(void *arg) {
    (void)arg;
    if (arch_irq_enabled())
        atomic_fetch_add(&with_irq_on, 1);
    atomic_fetch_add(&calls[cpu_this()->index], 1);
}

static int calls_fresh(void **state) {
    (void)state;
    for (unsigned i = 0; i < CPUS_MAX; i++)
        atomic_store(&calls[i], 0);
    atomic_store(&with_irq_on, 0);
    return 0;
}

static void call_once(void *arg) {
    (void)arg;
    ipi_call_others(count_call, NULL);
}

static void a_call_has_run_once_on_every_other_cpu_when_it_returns(void **state) {
    (void)state;
    unsigned caller = cpu_count - 1;
    struct thread *thread =
        thread_start("caller", 0, THREAD_PRIORITY_NORMAL, (int)caller, call_once, NULL);
    assert_non_null(thread);
    thread_join(thread);
    for (unsigned i = 0; i < CPUS_MAX; i++)
        assert_int_equal(atomic_load(&calls[i]), i < cpu_count && i != caller ? 1 : 0);
    assert_int_equal(atomic_load(&with_irq_on), 0);
}

static void storm(void *arg) {
    vaddr_t page = (vaddr_t)arg;
    for (unsigned i = 0; i < CALLS / cpu_count; i++) {
        bool irq = i % 2 == 0 || arch_irq_disable(); /* every second one with IF off */
        ipi_call_others(count_call, NULL);
        if (i % 2 != 0)
            arch_irq_restore(irq);
        if (page != 0 && i % 4 == 0)
            shootdown(&page, 1);
    }
}

static void all_call_at_once(void *arg) {
    struct thread *threads[CPUS_MAX];
    for (unsigned i = 0; i < cpu_count; i++) {
        threads[i] = thread_start("storm", 0, THREAD_PRIORITY_NORMAL, (int)i, storm, arg);
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < cpu_count; i++)
        thread_join(threads[i]);
    for (unsigned i = 0; i < cpu_count; i++)
        assert_int_equal(atomic_load(&calls[i]), (cpu_count - 1) * (CALLS / cpu_count));
    assert_int_equal(atomic_load(&with_irq_on), 0);
}

static void calls_of_all_cpus_at_once_all_get_through(void **state) {
    (void)state;
    all_call_at_once(NULL);
}

static void calls_and_shootdowns_do_not_wait_for_each_other(void **state) {
    (void)state;
    static char page[2];
    all_call_at_once(page);
}

static void a_resched_ends_another_cpus_sleep(void **state) {
    (void)state;
    if (cpu_count < 2)
        skip();
    volatile uint64_t *count = &cpus[1]->ipi_count[ARCH_IPI_RESCHED];
    for (unsigned i = 0; i < WAKES; i++) {
        uint64_t before = *count, end = time_now_ns() + WAIT_NS;
        arch_ipi_send(1, ARCH_IPI_RESCHED);
        while (*count == before && time_now_ns() < end)
            arch_relax();
        assert_true(*count > before);
    }
}

static void a_cpu_can_interrupt_itself(void **state) {
    (void)state;
    bool irq = arch_irq_disable();
    struct cpu *cpu = cpu_this();
    volatile uint64_t *count = &cpu->ipi_count[ARCH_IPI_RESCHED];
    uint64_t before = *count, end = time_now_ns() + WAIT_NS;
    arch_ipi_send(cpu->index, ARCH_IPI_RESCHED);
    bool not_yet = *count == before;
    arch_irq_restore(irq);
    while (*count == before && time_now_ns() < end)
        arch_relax();
    assert_true(not_yet);
    assert_true(*count > before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_has_run_once_on_every_other_cpu_when_it_returns, calls_fresh),
        cmocka_unit_test_setup(calls_of_all_cpus_at_once_all_get_through, calls_fresh),
        cmocka_unit_test_setup(calls_and_shootdowns_do_not_wait_for_each_other, calls_fresh),
        cmocka_unit_test(a_resched_ends_another_cpus_sleep),
        cmocka_unit_test(a_cpu_can_interrupt_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
