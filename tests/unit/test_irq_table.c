/* Test of the interrupt table: who gets which vector, what dispatch does around
 * a handler, and what happens to interrupts that nobody expects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/irq/irq.c"

/* ---- A machine of make-believe: one CPU, lines 0 .. LINES-1, vectors from
 * 0x30 --------------- */

#define LINES        100u
#define FIRST_VECTOR 0x30u

static struct cpu the_cpu;
struct cpu *cpus[CPUS_MAX] = {&the_cpu};
unsigned cpu_count = 1;

static struct {
    bool irq_on;
    unsigned vector[LINES]; /* 0: not routed */
    bool masked[LINES];
    unsigned ended, calls, warnings;
} machine;

struct cpu *arch_cpu(void) {
    return &the_cpu;
}
bool arch_irq_disable(void) {
    bool on = machine.irq_on;
    machine.irq_on = false;
    return on;
}
void arch_irq_restore(bool on) {
    machine.irq_on = machine.irq_on || on;
}
bool spin_lock(struct spinlock *lock) {
    assert_int_equal(lock->owner, 0);
    lock->owner = 1;
    return arch_irq_disable();
}
void spin_unlock(struct spinlock *lock, bool irq) {
    assert_int_equal(lock->owner, 1);
    lock->owner = 0;
    arch_irq_restore(irq);
}
unsigned arch_irq_vector(unsigned device) {
    return FIRST_VECTOR + device;
}
int arch_irq_route(unsigned gsi, unsigned vector, unsigned cpu, bool level, bool active_low) {
    (void)level, (void)active_low;
    assert_int_equal(cpu, 0);
    if (gsi >= LINES)
        return GMK_EINVAL;
    machine.vector[gsi] = vector;
    machine.masked[gsi] = true;
    return GMK_OK;
}
void arch_irq_mask(unsigned gsi) {
    machine.masked[gsi] = true;
}
void arch_irq_unmask(unsigned gsi) {
    machine.masked[gsi] = false;
}
void arch_irq_end(unsigned vector) {
    assert_true(the_cpu.in_irq);
    machine.ended = vector;
}
void ipi_call_others(void (*fn)(void *arg), void *arg) {
    (void)fn, (void)arg;
    assert_int_equal(table_lock.owner, 0);
    machine.calls++;
}
void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    (void)level, (void)module, (void)fmt;
    machine.warnings++;
}
void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    (void)expr, (void)file, (void)line, (void)message;
    abort();
}

static void line_rises(unsigned gsi) {
    if (machine.vector[gsi] != 0 && !machine.masked[gsi])
        irq_dispatch(machine.vector[gsi], NULL);
}

/* ---- Promises
 * --------------------------------------------------------------------------------
 */

static unsigned ran[LINES];

static void run(void *arg) {
    ++*(unsigned *)arg;
}

static int fresh(void **state) {
    (void)state;
    memset(&machine, 0, sizeof(machine));
    memset(&the_cpu, 0, sizeof(the_cpu));
    memset(handlers, 0, sizeof(handlers));
    memset(slots, 0, sizeof(slots));
    memset(reported, 0, sizeof(reported));
    memset(ran, 0, sizeof(ran));
    atomic_store(&unexpected, 0);
    machine.irq_on = true;
    return 0;
}

static int attach(unsigned gsi) {
    return irq_attach(gsi, false, false, run, &ran[gsi % LINES], "line");
}

static void each_line_reaches_its_own_handler(void **state) {
    (void)state;
    for (unsigned gsi = 0; gsi < IRQ_DEVICES_MAX; gsi++)
        assert_int_equal(attach(gsi), GMK_OK);
    for (unsigned gsi = 0; gsi < IRQ_DEVICES_MAX; gsi++)
        for (unsigned times = 0; times <= gsi; times++)
            line_rises(gsi);
    for (unsigned gsi = 0; gsi < IRQ_DEVICES_MAX; gsi++) {
        struct irq_info info;
        assert_int_equal(ran[gsi], gsi + 1);
        assert_true(irq_info(gsi, &info));
        assert_int_equal(info.gsi, gsi);
        assert_int_equal(info.vector, machine.vector[gsi]);
        assert_int_equal(info.count, gsi + 1);
    }
    assert_int_equal(irq_unexpected(), 0);
}

static void the_table_has_an_end_and_places_come_free(void **state) {
    (void)state;
    for (unsigned gsi = 0; gsi < IRQ_DEVICES_MAX; gsi++)
        assert_int_equal(attach(gsi), GMK_OK);
    assert_int_equal(attach(IRQ_DEVICES_MAX), GMK_ELIMIT);
    assert_int_equal(attach(5), GMK_EEXIST);
    assert_int_equal(irq_detach(IRQ_DEVICES_MAX), GMK_ENOENT);
    assert_int_equal(irq_detach(7), GMK_OK);
    assert_int_equal(attach(IRQ_DEVICES_MAX), GMK_OK);
    line_rises(IRQ_DEVICES_MAX);
    line_rises(7);
    assert_int_equal(ran[IRQ_DEVICES_MAX], 1);
    assert_int_equal(ran[7], 0);
    struct irq_info info;
    assert_true(irq_info(IRQ_DEVICES_MAX - 1, &info));
    assert_false(irq_info(IRQ_DEVICES_MAX, &info));
}

static void what_is_refused_takes_no_place(void **state) {
    (void)state;
    struct irq_info info;
    assert_int_equal(attach(LINES), GMK_EINVAL);
    assert_int_equal(irq_attach(1, false, false, NULL, NULL, "x"), GMK_EINVAL);
    assert_int_equal(irq_attach(1, false, false, run, ran, NULL), GMK_EINVAL);
    assert_false(irq_info(0, &info));
    assert_true(machine.irq_on);
}

/* The other CPUs have answered before the place may be taken again. */
static void detaching_masks_waits_and_counts_what_still_comes(void **state) {
    (void)state;
    assert_int_equal(attach(3), GMK_OK);
    assert_int_equal(irq_detach(3), GMK_OK);
    assert_true(machine.masked[3]);
    assert_int_equal(machine.calls, 1);
    irq_dispatch(machine.vector[3], NULL); /* it was on its way */
    assert_int_equal(ran[3], 0);
    assert_int_equal(irq_unexpected(), 1);
    assert_int_equal(irq_detach(3), GMK_ENOENT);
}

static void what_nobody_expects_is_ended_counted_and_told_once_per_vector(void **state) {
    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned vector = 0x20; vector < IRQ_VECTORS; vector++) {
            irq_dispatch(vector, NULL);
            assert_int_equal(machine.ended, vector);
        }
    assert_int_equal(irq_unexpected(), 3 * (IRQ_VECTORS - 0x20));
    assert_int_equal(machine.warnings, IRQ_VECTORS - 0x20);
}

/* For capabilities: nobody waits for a handler, and what is there belongs to one side. */
static void a_lent_interrupt_stays_masked_and_comes_back_without_waiting(void **state) {
    (void)state;
    static const struct irq_action lent = {run, &ran[3]}, other = {run, &ran[4]};
    assert_int_equal(irq_lend(3, false, false, &lent), GMK_OK);
    assert_true(machine.masked[3]);
    arch_irq_unmask(3);
    line_rises(3);
    assert_int_equal(ran[3], 1);
    assert_int_equal(irq_lend(3, false, false, &other), GMK_EEXIST);
    assert_int_equal(attach(3), GMK_EEXIST);
    assert_int_equal(irq_detach(3), GMK_ENOENT);
    irq_take_back(3, &lent);
    assert_true(machine.masked[3]);
    assert_int_equal(machine.calls, 0);
    irq_dispatch(machine.vector[3], NULL); /* it was on its way */
    assert_int_equal(irq_unexpected(), 1);
    assert_int_equal(irq_lend(4, false, false, &other), GMK_OK);
    assert_int_equal(machine.vector[4], machine.vector[3]); /* the place came free */
    line_rises(4);
    assert_int_equal(ran[4], 0);
    irq_take_back(4, &other);
}

static void the_kernels_own_interrupts_are_not_lent(void **state) {
    (void)state;
    static const struct irq_action lent = {run, ran};
    assert_int_equal(attach(5), GMK_OK);
    assert_int_equal(irq_lend(5, false, false, &lent), GMK_EBUSY);
    assert_int_equal(irq_lend(LINES, false, false, &lent), GMK_EINVAL);
    assert_int_equal(irq_detach(5), GMK_OK);
    assert_int_equal(irq_lend(5, false, false, &lent), GMK_OK);
    irq_take_back(5, &lent);
}

static int in_thread, in_interrupt, in_interrupt_later;

static void look(void *arg) {
    (void)arg;
    assert_true(the_cpu.in_irq);
    assert_int_equal(machine.ended, 0); /* the controller is told afterwards */
    in_interrupt++;
    if (in_interrupt == 1) {
        assert_null(the_cpu.local);
        the_cpu.local = &in_interrupt_later;
    } else {
        assert_ptr_equal(the_cpu.local, &in_interrupt_later);
    }
}

static void interrupts_have_a_thread_word_of_their_own_that_lasts(void **state) {
    (void)state;
    in_interrupt = 0;
    irq_claim(0xf8, look, NULL);
    the_cpu.local = &in_thread;
    for (unsigned i = 1; i <= 2; i++) {
        machine.ended = 0;
        irq_dispatch(0xf8, NULL);
        assert_int_equal(in_interrupt, i);
        assert_ptr_equal(the_cpu.local, &in_thread);
        assert_false(the_cpu.in_irq);
        assert_int_equal(the_cpu.irq_count, i);
        assert_int_equal(machine.ended, 0xf8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_line_reaches_its_own_handler, fresh),
        cmocka_unit_test_setup(the_table_has_an_end_and_places_come_free, fresh),
        cmocka_unit_test_setup(what_is_refused_takes_no_place, fresh),
        cmocka_unit_test_setup(detaching_masks_waits_and_counts_what_still_comes, fresh),
        cmocka_unit_test_setup(a_lent_interrupt_stays_masked_and_comes_back_without_waiting, fresh),
        cmocka_unit_test_setup(the_kernels_own_interrupts_are_not_lent, fresh),
        cmocka_unit_test_setup(what_nobody_expects_is_ended_counted_and_told_once_per_vector,
                               fresh),
        cmocka_unit_test_setup(interrupts_have_a_thread_word_of_their_own_that_lasts, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
