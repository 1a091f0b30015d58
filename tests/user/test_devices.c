/* Test of interrupt and I/O-port capabilities: a driver in a unit, for the two clocks that every PC has. */
#include "tests/user/lib/utest.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

#define MS UINT64_C(1000000)

/* 8254 data sheet: channel 0's counter, and the control word. */
enum { PIT = 0x40, PIT_CONTROL = 3, PIT_RATE = 0x34, PIT_STOP = 0x30 };
#define PIT_1000_HZ 1193u
/* MC146818A data sheet: index and data; register B enables, C tells and acknowledges. */
enum { RTC = 0x70, RTC_A = 0x0a, RTC_B = 0x0b, RTC_C = 0x0c, RTC_PERIODIC = 0x40 };
enum { ISA_PIT = 0, ISA_RTC = 8, FLAG_LEVEL = 1, FLAG_LOW = 2, FLAG_ISA = 4 };

static gmk_handle_t machine, n;

static int64_t pit_start(gmk_handle_t ports, unsigned count) {
    (void)sys_ioport_out(ports, PIT + PIT_CONTROL, 1, PIT_RATE);
    (void)sys_ioport_out(ports, PIT, 1, count & 0xffu);
    return sys_ioport_out(ports, PIT, 1, count >> 8);
}

static void a_drivers_interrupts_come_one_for_each_ack(void) {
    gmk_handle_t ports, irq;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(ports, sys_ioport_create(machine, PIT, 4));
    EXPECT_GOOD(irq, sys_irq_create(machine, n, 8, ISA_PIT, FLAG_ISA));
    EXPECT_EQ(pit_start(ports, PIT_1000_HZ), GMK_OK);
    EXPECT_EQ(sys_notify_wait(n, 8, 5 * MS, &bits), GMK_ETIMEOUT); /* masked until its first ack */
    EXPECT_EQ(sys_irq_ack(irq), GMK_OK);
    for (unsigned i = 0; i < 20; i++) {
        EXPECT_EQ(sys_notify_wait(n, 8, 1000 * MS, &bits), GMK_OK);
        EXPECT_EQ(bits, 8);
        EXPECT_EQ(sys_notify_wait(n, 8, 4 * MS, &bits), GMK_ETIMEOUT); /* none without an ack */
        EXPECT_EQ(sys_irq_ack(irq), GMK_OK);
    }
    EXPECT_EQ(sys_cap_drop(irq), GMK_OK); /* while it goes on */
    (void)sys_notify_wait(n, 8, 0, &bits);
    EXPECT_EQ(sys_notify_wait(n, 8, 5 * MS, &bits), GMK_ETIMEOUT);
    EXPECT_EQ(sys_irq_ack(irq), GMK_EHANDLE);
    EXPECT_EQ(sys_ioport_out(ports, PIT + PIT_CONTROL, 1, PIT_STOP), GMK_OK);
    EXPECT_EQ(sys_cap_drop(ports), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static unsigned rtc_read(gmk_handle_t ports, unsigned index) {
    (void)sys_ioport_out(ports, RTC, 1, index);
    return (unsigned)sys_ioport_in(ports, RTC + 1, 1);
}

static void rtc_write(gmk_handle_t ports, unsigned index, unsigned value) {
    (void)sys_ioport_out(ports, RTC, 1, index);
    (void)sys_ioport_out(ports, RTC + 1, 1, value);
}

/* Under -icount this needs QEMU's -rtc clock=vm: its clock runs by the host's time otherwise.
 *
 * The clock keeps its line up until register C is read: an interrupt that was not handled stays one. */
static void a_device_is_driven_by_ports_and_interrupts_together(void) {
    gmk_handle_t ports, irq;
    uint64_t bits;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(ports, sys_ioport_create(machine, RTC, 2));
    EXPECT_GOOD(irq, sys_irq_create(machine, n, 1, ISA_RTC, FLAG_ISA));
    unsigned before = rtc_read(ports, RTC_B), rate = rtc_read(ports, RTC_A);
    rtc_write(ports, RTC_A, (rate & 0xf0u) | 6u); /* 1,024 Hz */
    rtc_write(ports, RTC_B, before | RTC_PERIODIC);
    (void)rtc_read(ports, RTC_C);
    unsigned ticks = 0, signals = 0; /* a signal may find that there is nothing to do any more */
    for (; ticks < 50; signals++) {
        EXPECT_EQ(sys_irq_ack(irq), GMK_OK);
        EXPECT_EQ(sys_notify_wait(n, 1, 2000 * MS, &bits), GMK_OK);
        ticks += (rtc_read(ports, RTC_C) & RTC_PERIODIC) != 0;
    }
    EXPECT(signals <= 2 * ticks);
    rtc_write(ports, RTC_B, before);
    rtc_write(ports, RTC_A, rate);
    EXPECT_EQ(sys_cap_drop(irq), GMK_OK);
    EXPECT_EQ(sys_cap_drop(ports), GMK_OK);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void an_interrupt_has_one_owner(void) {
    gmk_handle_t irq;
    EXPECT_GOOD(n, sys_notify_create(GMK_SELF_FACTORY));
    EXPECT_GOOD(irq, sys_irq_create(machine, n, 1, ISA_RTC, FLAG_ISA));
    EXPECT_EQ(sys_irq_create(machine, n, 1, ISA_RTC, FLAG_ISA), GMK_EEXIST);
    EXPECT_EQ(sys_cap_drop(irq), GMK_OK);
    EXPECT_GOOD(irq, sys_irq_create(machine, n, 1, ISA_RTC, FLAG_ISA));
    EXPECT_EQ(sys_cap_drop(irq), GMK_OK);
    EXPECT_EQ(sys_irq_create(machine, n, 1, 100000, 0), GMK_EINVAL);
    EXPECT_EQ(sys_irq_create(machine, n, 1, 16, FLAG_ISA), GMK_EINVAL);
    EXPECT_EQ(sys_irq_create(machine, n, 1, 8, FLAG_ISA | FLAG_LEVEL), GMK_EINVAL);
    EXPECT_EQ(sys_irq_create(machine, n, 1, 8, 8), GMK_EINVAL);
    EXPECT_EQ(sys_irq_create(machine, n, 0, 8, FLAG_ISA), GMK_EINVAL);
    EXPECT_EQ(sys_irq_create(handle_find("console"), n, 1, 8, FLAG_ISA), GMK_ERIGHTS);
    EXPECT_EQ(sys_irq_create(GMK_SELF_FACTORY, n, 1, 8, FLAG_ISA), GMK_ECAPTYPE);
    EXPECT_EQ(sys_irq_ack(n), GMK_ECAPTYPE);
    EXPECT_EQ(sys_cap_drop(n), GMK_OK);
}

static void a_range_of_ports_gives_those_and_no_others(void) {
    gmk_handle_t ports, look;
    EXPECT_GOOD(ports, sys_ioport_create(machine, RTC, 2));
    EXPECT(sys_ioport_in(ports, RTC, 1) >= 0);
    EXPECT_EQ(sys_ioport_in(ports, RTC + 2, 1), GMK_ERANGE);
    EXPECT_EQ(sys_ioport_in(ports, RTC - 1, 1), GMK_ERANGE);
    EXPECT_EQ(sys_ioport_in(ports, RTC + 1, 2), GMK_ERANGE);
    EXPECT_EQ(sys_ioport_in(ports, RTC, 4), GMK_ERANGE);
    EXPECT_EQ(sys_ioport_in(ports, RTC, 3), GMK_EINVAL);
    EXPECT_EQ(sys_ioport_in(ports, RTC, 0), GMK_EINVAL);
    EXPECT_EQ(sys_ioport_in(ports, 0x10000u + RTC, 1), GMK_ERANGE);
    EXPECT_EQ(sys_ioport_out(ports, RTC, 1, 0x100), GMK_EINVAL);
    EXPECT_EQ(syscall3(SYSCALL_NUMBER(GMK_SYS_IOPORT_IN), ports, UINT64_C(1) << 32 | RTC, 1),
              GMK_ERANGE);
    EXPECT_EQ(syscall3(SYSCALL_NUMBER(GMK_SYS_IOPORT_IN), ports, RTC, UINT64_C(1) << 32 | 1),
              GMK_EINVAL);
    EXPECT_GOOD(look, sys_cap_derive(ports, GMK_RIGHT_READ, 0));
    EXPECT(sys_ioport_in(look, RTC, 1) >= 0);
    EXPECT_EQ(sys_ioport_out(look, RTC, 1, 0), GMK_ERIGHTS);
    EXPECT_EQ(sys_cap_drop(ports), GMK_OK);
    EXPECT_EQ(sys_ioport_in(look, RTC, 1), GMK_EHANDLE);
}

static void the_kernels_own_ports_are_refused(void) {
    static const struct {
        unsigned first, count;
        int64_t status;
    } bad[] = {{0x20, 1, GMK_EBUSY},    {0x21, 1, GMK_EBUSY},        {0xa0, 2, GMK_EBUSY},
               {0x3f8, 8, GMK_EBUSY},   {0x3ff, 1, GMK_EBUSY},       {0, 65536, GMK_EBUSY},
               {0x10, 0x11, GMK_EBUSY}, {0x70, 0, GMK_EINVAL},       {65536, 1, GMK_EINVAL},
               {65535, 2, GMK_EINVAL},  {1, 0xffffffffu, GMK_EINVAL}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT_EQ(sys_ioport_create(machine, bad[i].first, bad[i].count), bad[i].status);
    EXPECT_EQ(sys_ioport_create(handle_find("console"), 0x70, 2), GMK_ERIGHTS);
    EXPECT_EQ(syscall3(SYSCALL_NUMBER(GMK_SYS_IOPORT_CREATE), machine, UINT64_C(1) << 32 | 0x70, 2),
              GMK_EINVAL);
}

static const struct utest tests[] = {
    UTEST(a_drivers_interrupts_come_one_for_each_ack),
    UTEST(a_device_is_driven_by_ports_and_interrupts_together),
    UTEST(an_interrupt_has_one_owner),
    UTEST(a_range_of_ports_gives_those_and_no_others),
    UTEST(the_kernels_own_ports_are_refused),
};

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    machine = handle_find("system");
    return UTEST_RUN(tests);
}
