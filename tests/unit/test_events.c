/* Events: timer, interrupt and I/O-port capabilities, with changes between an interrupt and its handler. */
#include "tests/fake_arch/event_machine.h"

#include "kernel/irq/irq.h"

/* ---- Timers, interrupt lines and ports of make-believe ---------------------------------------- */

#define LINES 24u
#define HEAP  600u

static struct timer *pending[HEAP];
static unsigned pending_count;
static struct {
    const struct irq_action *action;
    bool masked, kernels;
} lines[LINES];
static uint32_t ports[65536 + 4];
static struct {
    struct notify *notify;
    uint64_t bits;
    unsigned count;
} told; /* by notify_signal() */

void notify_signal(const struct notify_ref *ref) {
    if (ref->notify == NULL)
        return;
    told.notify = ref->notify;
    told.bits = ref->bits;
    told.count++;
}

bool timer_start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer)) {
    assert_int_equal(timer->slot, 0);
    if (pending_count == HEAP)
        return false;
    timer->at_ns = at_ns;
    timer->fn = fn;
    timer->slot = 1;
    timer->cpu = machine.cpu.index;
    pending[pending_count++] = timer;
    return true;
}

static void take_out(unsigned i) {
    pending[i]->slot = 0;
    pending[i] = pending[--pending_count];
}

bool timer_cancel(struct timer *timer) {
    for (unsigned i = 0; i < pending_count; i++)
        if (pending[i] == timer) {
            take_out(i);
            return true;
        }
    return false;
}

/* The interrupt begins: takes a timer that is due out of the heap of this CPU. */
static struct timer *fire(void) {
    for (unsigned i = 0; i < pending_count; i++)
        if (pending[i]->at_ns <= machine.now_ns) {
            struct timer *timer = pending[i];
            machine.cpu.index = timer->cpu;
            take_out(i);
            return timer;
        }
    return NULL;
}

static void pass(uint64_t ns) {
    machine.now_ns += ns;
    struct timer *timer;
    while ((timer = fire()) != NULL)
        timer->fn(timer);
}

int irq_lend(unsigned gsi, bool level, bool active_low, const struct irq_action *action) {
    (void)level, (void)active_low;
    if (gsi >= LINES)
        return GMK_EINVAL;
    if (lines[gsi].kernels)
        return GMK_EBUSY;
    if (lines[gsi].action != NULL)
        return GMK_EEXIST;
    lines[gsi].action = action;
    lines[gsi].masked = true;
    return GMK_OK;
}
void irq_take_back(unsigned gsi, const struct irq_action *action) {
    assert_ptr_equal(lines[gsi].action, action);
    lines[gsi].action = NULL;
    lines[gsi].masked = true;
}
void arch_irq_mask(unsigned gsi) {
    lines[gsi].masked = true;
}
void arch_irq_unmask(unsigned gsi) {
    lines[gsi].masked = false;
}
unsigned arch_irq_isa_to_gsi(unsigned isa, bool *level, bool *active_low) {
    *level = isa == 9;
    *active_low = false;
    return isa == 0 ? 2 : isa;
}
uint32_t arch_io_in(uint16_t port, unsigned bytes) {
    uint32_t value;
    memcpy(&value, (const uint8_t *)ports + port, sizeof(value));
    return bytes == 4 ? value : value & ((1u << bytes * 8u) - 1u);
}
void arch_io_out(uint16_t port, unsigned bytes, uint32_t value) {
    memcpy((uint8_t *)ports + port, &value, bytes);
}
bool arch_io_reserved(unsigned first, unsigned count) {
    return first < 0x22 && first + count > 0x20;
}

/* Each file has a pool of its own. */
#define pool timer_pool
#include "kernel/ipc/event.c"
#undef pool
#define pool irq_pool
#include "kernel/ipc/irqcap.c"
#undef pool
#define pool port_pool
#include "kernel/ipc/ioport.c"
#undef pool

static struct notify the_notify;
static const struct notify_ref ref = {&the_notify, 1, 0x30};

static int set_up(void **state) {
    (void)state;
    machine_start(11);
    machine.cpu.index = 0;
    memset(lines, 0, sizeof(lines));
    memset(ports, 0, sizeof(ports));
    memset(&told, 0, sizeof(told));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    assert_int_equal(machine.objects, 0);
    assert_int_equal(pending_count, 0);
    for (unsigned i = 0; i < CPUS_MAX; i++)
        assert_int_equal(armed[i], 0);
    return 0;
}

/* ---- Timers -------------------------------------------------------------------------------------- */

static struct object *a_timer(void) {
    int error = GMK_OK;
    struct object *object = timercap_new(NULL, &ref, &error);
    assert_non_null(object);
    return object;
}

static void a_timer_signals_once(void **state) {
    (void)state;
    struct object *t = a_timer();
    assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 500, 0), GMK_OK);
    pass(499);
    assert_int_equal(told.count, 0);
    pass(1);
    assert_int_equal(told.count, 1);
    assert_ptr_equal(told.notify, &the_notify);
    assert_true(told.bits == 0x30);
    pass(1000000);
    assert_int_equal(told.count, 1);
    assert_int_equal(timercap_set(t, t->serial, 1, 0), GMK_OK); /* the past: at once */
    pass(0);
    assert_int_equal(told.count, 2);
    timercap_end(t, t->serial);
}

static void periods_do_not_drift_however_late_the_interrupt_comes(void **state) {
    (void)state;
    struct object *t = a_timer();
    uint64_t start = machine.now_ns + 777, period = GMK_TIMER_PERIOD_MIN_NS;
    assert_int_equal(timercap_set(t, t->serial, start, period), GMK_OK);
    machine.now_ns = start;
    for (unsigned i = 1; i <= 10000; i++) {
        pass(0);
        assert_int_equal(told.count, i);
        assert_int_equal(pending_count, 1);
        assert_true(pending[0]->at_ns == start + i * period);
        machine.now_ns = start + i * period + machine_random(period / 2); /* late */
    }
    /* Very late: one signal for all that passed, and on at a whole period. */
    machine.now_ns = start + 20000 * period + 1;
    pass(0);
    assert_int_equal(told.count, 10001);
    assert_true(pending[0]->at_ns == start + 20001 * period);
    timercap_end(t, t->serial);
}

static void setting_anew_and_stopping_replace_what_was_set(void **state) {
    (void)state;
    struct object *t = a_timer();
    assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 500, 200000), GMK_OK);
    assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 900, 0), GMK_OK);
    pass(600);
    assert_int_equal(told.count, 0);
    pass(300);
    assert_int_equal(told.count, 1);
    assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 500, 200000), GMK_OK);
    assert_int_equal(timercap_set(t, t->serial, 0, 0), GMK_OK);
    pass(10000000);
    assert_int_equal(told.count, 1);
    timercap_end(t, t->serial);
}

/* The interrupt has taken the timer out on CPU 0; before it gets further, CPU 1 does something. */
static void what_is_set_while_it_fires_counts(void **state) {
    (void)state;
    struct object *t = a_timer();
    for (unsigned i = 0; i < 5; i++) {
        told.count = 0;
        machine.cpu.index = 0;
        assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 10, 0), GMK_OK);
        machine.now_ns += 10;
        struct timer *timer = fire();
        assert_non_null(timer);
        machine.cpu.index = 1;
        uint64_t at[] = {0, machine.now_ns + 1000, machine.now_ns - 1, machine.now_ns + 1000,
                         machine.now_ns - 1};
        assert_int_equal(timercap_set(t, t->serial, at[i], i >= 3 ? 100000 : 0), GMK_OK);
        machine.cpu.index = 0;
        timer->fn(timer);
        bool due = at[i] != 0 && at[i] < machine.now_ns;
        assert_int_equal(told.count, due); /* due anew: it may as well be this one */
        pass(0);
        assert_int_equal(told.count, due); /* but only one */
        pass(1000);
        assert_int_equal(told.count, i == 0 ? 0 : 1);
        assert_int_equal(timercap_set(t, t->serial, 0, 0), GMK_OK);
    }
    timercap_end(t, t->serial);
}

static void an_end_while_it_fires_is_an_end(void **state) {
    (void)state;
    struct object *t = a_timer();
    assert_int_equal(timercap_set(t, t->serial, machine.now_ns + 10, 100000), GMK_OK);
    machine.now_ns += 10;
    struct timer *timer = fire();
    uint32_t serial = t->serial;
    timercap_end(t, serial);
    struct object *again = a_timer(); /* in the same memory */
    assert_ptr_equal(again, t);
    timer->fn(timer);
    assert_int_equal(told.count, 0);
    assert_int_equal(timercap_set(t, serial, 1, 0), GMK_EHANDLE);
    timercap_end(t, serial); /* not its life */
    assert_int_equal(timercap_set(again, again->serial, 0, 0), GMK_OK);
    timercap_end(again, again->serial);
}

static void timers_are_limited_on_each_cpu(void **state) {
    (void)state;
    static struct object *many[TIMERCAPS_PER_CPU + 1];
    for (unsigned i = 0; i <= TIMERCAPS_PER_CPU; i++) {
        many[i] = a_timer();
        assert_int_equal(timercap_set(many[i], many[i]->serial, machine.now_ns + 100 + i, 0),
                         i < TIMERCAPS_PER_CPU ? GMK_OK : GMK_ELIMIT);
    }
    machine.cpu.index = 1;
    struct object *last = many[TIMERCAPS_PER_CPU];
    assert_int_equal(timercap_set(last, last->serial, machine.now_ns + 100, 0), GMK_OK);
    machine.cpu.index = 0;
    assert_int_equal(timercap_set(last, last->serial, machine.now_ns + 100, 0), GMK_ELIMIT);
    pass(100); /* the refused set has stopped it; one other fires and leaves its place */
    assert_int_equal(told.count, 1);
    assert_int_equal(timercap_set(last, last->serial, machine.now_ns + 100, 0), GMK_OK);
    for (unsigned i = 0; i <= TIMERCAPS_PER_CPU; i++)
        timercap_end(many[i], many[i]->serial);
}

static void periods_that_would_leave_no_time_are_refused(void **state) {
    (void)state;
    struct object *t = a_timer();
    const uint64_t bad[] = {1, GMK_TIMER_PERIOD_MIN_NS - 1, 1ull << 63, UINT64_MAX};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(timercap_set(t, t->serial, 5, bad[i]), GMK_EINVAL);
    assert_int_equal(pending_count, 0);
    assert_int_equal(timercap_set(t, t->serial, UINT64_MAX, INT64_MAX), GMK_OK);
    timercap_end(t, t->serial);
}

/* ---- Interrupts -------------------------------------------------------------------------------------- */

static void interrupt(unsigned gsi) {
    if (!lines[gsi].masked)
        lines[gsi].action->fn(lines[gsi].action->arg);
}

static struct object *an_irq(unsigned number, unsigned flags, int *error) {
    return irqcap_new(NULL, &ref, number, flags, error);
}

static void a_level_interrupt_is_masked_until_its_ack(void **state) {
    (void)state;
    int error = GMK_OK;
    struct object *irq = an_irq(9, FLAG_ISA, &error);
    assert_non_null(irq);
    interrupt(9);
    assert_int_equal(told.count, 0); /* masked since it was made */
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    for (unsigned i = 1; i < 5; i++) {
        interrupt(9);
        assert_int_equal(told.count, i);
        assert_true(lines[9].masked);
        interrupt(9);
        lines[9].action->fn(lines[9].action->arg); /* one that was on its way */
        assert_int_equal(told.count, i);
        assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
        assert_int_equal(told.count, i); /* the line itself says whether there is more */
        assert_false(lines[9].masked);
        assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK); /* once more does no harm */
        assert_int_equal(told.count, i);
    }
    irqcap_end(irq, irq->serial);
    assert_null(lines[9].action);
    assert_true(lines[9].masked);
}

static void an_edge_that_comes_before_the_ack_is_not_lost(void **state) {
    (void)state;
    int error = GMK_OK;
    struct object *irq = an_irq(7, 0, &error);
    assert_non_null(irq);
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    interrupt(7);
    assert_int_equal(told.count, 1);
    assert_false(lines[7].masked); /* else the next edge would be lost */
    interrupt(7);
    assert_int_equal(told.count, 1);
    assert_true(lines[7].masked); /* but no more than one */
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    assert_int_equal(told.count, 2);
    assert_false(lines[7].masked);
    interrupt(7); /* still before the ack of the second */
    assert_int_equal(told.count, 2);
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    assert_int_equal(told.count, 3);
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    assert_int_equal(told.count, 3);
    interrupt(7);
    assert_int_equal(told.count, 4);
    irqcap_end(irq, irq->serial);
}

static void a_handler_that_has_begun_finds_no_owner_any_more(void **state) {
    (void)state;
    int error = GMK_OK;
    struct object *irq = an_irq(7, 0, &error);
    assert_int_equal(irqcap_ack(irq, irq->serial), GMK_OK);
    const struct irq_action *action = lines[7].action;
    uint32_t serial = irq->serial;
    irqcap_end(irq, serial);
    action->fn(action->arg);
    assert_int_equal(told.count, 0);
    assert_int_equal(irqcap_ack(irq, serial), GMK_EHANDLE);
    irqcap_end(irq, serial);
    struct object *again = an_irq(8, FLAG_LEVEL, &error); /* the memory lives again */
    assert_ptr_equal(again, irq);
    action->fn(action->arg); /* masked since it was made: not a signal */
    assert_int_equal(told.count, 0);
    irqcap_end(again, again->serial);
}

static void interrupts_that_are_taken_or_make_no_sense_are_refused(void **state) {
    (void)state;
    int error = GMK_OK;
    lines[4].kernels = true;
    const struct {
        unsigned number, flags;
        int error;
    } bad[] = {{4, 0, GMK_EBUSY},           {4, FLAG_ISA, GMK_EBUSY}, {LINES, 0, GMK_EINVAL},
               {UINT32_MAX, 0, GMK_EINVAL}, {1, 8, GMK_EINVAL},       {16, FLAG_ISA, GMK_EINVAL},
               {1, 5, GMK_EINVAL},          {1, 6, GMK_EINVAL}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(an_irq(bad[i].number, bad[i].flags, &error));
        assert_int_equal(error, bad[i].error);
    }
    struct object *pit = an_irq(0, FLAG_ISA, &error);
    assert_non_null(pit);
    assert_null(an_irq(2, 0, &error)); /* that is where the tables say it is */
    assert_int_equal(error, GMK_EEXIST);
    irqcap_end(pit, pit->serial);
}

/* ---- I/O ports ------------------------------------------------------------------------------------------ */

static void a_range_gives_its_ports_and_no_others(void **state) {
    (void)state;
    int error = GMK_OK;
    struct object *p = ioport_new(NULL, 0x300, 8, &error);
    assert_non_null(p);
    uint32_t s = p->serial;
    assert_int_equal(ioport_access(p, s, 0x304, 4, true, 0x89abcdef), GMK_OK);
    assert_int_equal(ioport_access(p, s, 0x304, 4, false, 0), 0x89abcdef);
    assert_int_equal(ioport_access(p, s, 0x306, 2, false, 0), 0x89ab);
    assert_int_equal(ioport_access(p, s, 0x307, 1, false, 0), 0x89);
    assert_int_equal(ioport_access(p, s, 0x2ff, 1, false, 0), GMK_ERANGE);
    assert_int_equal(ioport_access(p, s, 0x308, 1, true, 0), GMK_ERANGE);
    assert_int_equal(ioport_access(p, s, 0x307, 2, true, 0), GMK_ERANGE);
    assert_int_equal(ioport_access(p, s, 0x305, 4, true, 0), GMK_ERANGE);
    assert_int_equal(ioport_access(p, s, 0x10300, 1, true, 0), GMK_ERANGE);
    assert_int_equal(ioport_access(p, s, UINT32_MAX, 4, true, 0), GMK_ERANGE);
    const unsigned widths[] = {0, 3, 5, 8, UINT32_MAX};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(ioport_access(p, s, 0x300, widths[i], false, 0), GMK_EINVAL);
    assert_int_equal(ioport_access(p, s, 0x300, 1, true, 0x100), GMK_EINVAL);
    assert_int_equal(ioport_access(p, s, 0x300, 2, true, 0x10000), GMK_EINVAL);
    ioport_end(p, s);
    assert_int_equal(ioport_access(p, s, 0x300, 1, false, 0), GMK_EHANDLE);
}

static void ranges_that_cannot_be_or_are_the_kernels_are_refused(void **state) {
    (void)state;
    int error = GMK_OK;
    const struct {
        unsigned first, count;
        int error;
    } bad[] = {{0, 0, GMK_EINVAL},     {65536, 1, GMK_EINVAL},      {65535, 2, GMK_EINVAL},
               {1, 65536, GMK_EINVAL}, {UINT32_MAX, 2, GMK_EINVAL}, {2, UINT32_MAX, GMK_EINVAL},
               {0x21, 1, GMK_EBUSY},   {0x1f, 2, GMK_EBUSY},        {0, 65536, GMK_EBUSY}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(ioport_new(NULL, bad[i].first, bad[i].count, &error));
        assert_int_equal(error, bad[i].error);
    }
    struct object *last = ioport_new(NULL, 65535, 1, &error);
    assert_non_null(last);
    uint32_t serial = last->serial;
    ioport_end(last, serial);
    ioport_end(last, serial); /* once */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_timer_signals_once),
        TEST(periods_do_not_drift_however_late_the_interrupt_comes),
        TEST(setting_anew_and_stopping_replace_what_was_set),
        TEST(what_is_set_while_it_fires_counts),
        TEST(an_end_while_it_fires_is_an_end),
        TEST(timers_are_limited_on_each_cpu),
        TEST(periods_that_would_leave_no_time_are_refused),
        TEST(a_level_interrupt_is_masked_until_its_ack),
        TEST(an_edge_that_comes_before_the_ack_is_not_lost),
        TEST(a_handler_that_has_begun_finds_no_owner_any_more),
        TEST(interrupts_that_are_taken_or_make_no_sense_are_refused),
        TEST(a_range_gives_its_ports_and_no_others),
        TEST(ranges_that_cannot_be_or_are_the_kernels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
