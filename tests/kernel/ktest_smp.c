/* Test of SMP: every CPU is there under its own name, and one that is not there
 * is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/smp.h"
#include "ggmk/error.h"
#include "kernel/core/acpi.h"
#include "kernel/core/config.h"
#include "kernel/core/cpu.h"
#include "kernel/core/log.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define NO_SUCH_APIC 200u

static void every_cpu_that_acpi_names_is_online(void **state) {
    (void)state;
    unsigned named = 0;
    for (uint32_t i = 0; i < acpi.cpu_count; i++)
        named += acpi.cpus[i].enabled;
    assert_int_equal(cpu_count, named < kernel_config.cpus_max ? named : kernel_config.cpus_max);
    for (unsigned i = 0; i < cpu_count; i++) {
        assert_non_null(cpus[i]);
        assert_true(atomic_load(&cpus[i]->online));
        assert_int_equal(cpus[i]->index, i);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(cpus[i]->apic_id, cpus[j]->apic_id);
    }
    for (unsigned i = cpu_count; i < CPUS_MAX; i++)
        assert_null(cpus[i]);
}

static _Atomic uint32_t right;

static void check_cpu(void *arg) {
    struct cpu *cpu = cpu_this(); /* pinned */
    if (cpu == arg && cpu->self == cpu && apic_id() == cpu->apic_id)
        atomic_fetch_add(&right, 1);
}

static void code_runs_on_each_of_them(void **state) {
    (void)state;
    atomic_store(&right, 0);
    for (unsigned i = 0; i < cpu_count; i++) {
        struct thread *thread =
            thread_start("where", 0, THREAD_PRIORITY_NORMAL, (int)i, check_cpu, cpus[i]);
        assert_non_null(thread);
        thread_join(thread);
    }
    assert_int_equal(atomic_load(&right), cpu_count);
}

static bool log_has(const char *text) {
    static char tail[2048];
    size_t length = klog_tail(tail, sizeof tail), wanted = strlen(text);
    for (size_t i = 0; i + wanted <= length; i++)
        if (memcmp(tail + i, text, wanted) == 0)
            return true;
    return false;
}

static void a_cpu_that_does_not_come_is_named_after_its_time(void **state) {
    (void)state;
    unsigned before = cpu_count;
    uint64_t start = time_now_ns();
    assert_int_equal(smp_start_one(NO_SUCH_APIC), GMK_ETIMEOUT);
    assert_true(time_now_ns() - start >= SMP_TIMEOUT_NS);
    assert_true(time_now_ns() - start < 100 * SMP_TIMEOUT_NS); /* a busy host makes it longer */
    assert_int_equal(cpu_count, before);
    assert_true(log_has("(APIC 200) did not come"));
    every_cpu_that_acpi_names_is_online(state);
}

static void a_cpu_that_runs_is_not_started_again(void **state) {
    (void)state;
    for (unsigned i = 0; i < cpu_count; i++)
        assert_int_equal(smp_start_one(cpus[i]->apic_id), GMK_EEXIST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cpu_that_acpi_names_is_online),
        cmocka_unit_test(code_runs_on_each_of_them),
        cmocka_unit_test(a_cpu_that_does_not_come_is_named_after_its_time),
        cmocka_unit_test(a_cpu_that_runs_is_not_started_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
