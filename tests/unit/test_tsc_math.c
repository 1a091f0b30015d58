/* Test of TSC math and calibration: exact conversions, and rates measured with
 * clocks that the test makes: slow to read, coarse, wrapping, disturbed, dead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/calibrate.c"
#include "arch/x86_64/tsc_math.h"
#include "lib/rand.h"

/* ---- Math
 * --------------------------------------------------------------------------------
 */

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

static void one_tick_per_ns_is_exact_for_ever(void **state) {
    (void)state;
    uint64_t mul = tsc_mul_ns(1000000000);
    for (unsigned bit = 0; bit < 64; bit++)
        assert_int_equal(tsc_scale(1ull << bit, mul, TSC_NS_SHIFT), 1ull << bit);
    assert_int_equal(tsc_scale(UINT64_MAX, mul, TSC_NS_SHIFT), UINT64_MAX);
}

/* 100 days at usual rates: off by the 2 ppb that mul is rounded by, and not
 * more. */
static void time_does_not_drift_from_its_rate(void **state) {
    (void)state;
    static const uint64_t rates[] = {TSC_HZ_MIN, 24000000,   1000000000, 2100000000,
                                     2599999999, 3999999999, TSC_HZ_MAX};
    const uint64_t seconds = 100 * 86400;
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint64_t ns = tsc_scale(rates[i] * seconds, tsc_mul_ns(rates[i]), TSC_NS_SHIFT);
        assert_true(distance(ns, seconds * NS_PER_SECOND) <= seconds * 3);
    }
}

static void time_never_goes_back(void **state) {
    (void)state;
    uint64_t mul = tsc_mul_ns(2599999999), last = 0;
    for (uint64_t ticks = 1ull << 52; ticks < (1ull << 52) + 100000; ticks++) {
        uint64_t ns = tsc_scale(ticks, mul, TSC_NS_SHIFT);
        assert_true(ns >= last);
        last = ns;
    }
}

/* A deadline in ticks is not before the deadline in ns. */
static void the_way_back_is_never_too_early(void **state) {
    (void)state;
    static const uint64_t rates[] = {TSC_HZ_MIN, 999999937, 1000000000, 3333333333, TSC_HZ_MAX};
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++)
        for (uint64_t ns = 0; ns < 1ull << 50; ns = ns * 5 / 3 + 1) {
            uint64_t ticks = tsc_scale(ns, tsc_mul_ticks(rates[i]), TSC_TICKS_SHIFT) + 1;
            uint64_t exact = (uint64_t)((tsc_wide_t)ns * rates[i] / NS_PER_SECOND);
            assert_true(ticks > exact);
            assert_true(ticks - exact <= 2 + exact / 100000);
        }
}

static void what_does_not_fit_is_all_ones(void **state) {
    (void)state;
    assert_int_equal(tsc_scale(UINT64_MAX, UINT64_MAX, TSC_NS_SHIFT), UINT64_MAX);
    assert_int_equal(tsc_scale(UINT64_MAX, tsc_mul_ticks(4000000000), TSC_TICKS_SHIFT), UINT64_MAX);
}

static void ppm_has_a_sign(void **state) {
    (void)state;
    assert_int_equal(tsc_ppm(1001000, 1000000), 1000);
    assert_int_equal(tsc_ppm(999000, 1000000), -1000);
    assert_int_equal(tsc_ppm(2600000000, 2600000000), 0);
}

/* ---- A machine: virtual time in picoseconds
 * ----------------------------------------------- */

#define PS_PER_SECOND 1000000000000ull

static struct machine {
    uint64_t now_ps;
    uint64_t cycles_hz;
    uint32_t reference_hz;
    uint64_t read_ps;    /* what a read of the reference takes */
    uint32_t jitter_ps;  /* up to this more */
    uint64_t stop_ps;    /* a hypervisor takes the CPU away for this long.. */
    unsigned stop_every; /* ..once in so many reads; 0: never */
    unsigned reads;
    bool dead;
} m;
static struct rand_state dice;

static uint64_t at_rate(uint64_t hz) {
    return (uint64_t)((tsc_wide_t)m.now_ps * hz / PS_PER_SECOND);
}

static uint64_t read_cycles(void) {
    m.now_ps += 5000;
    return 77777777 + at_rate(m.cycles_hz);
}

static uint32_t read_reference(void) {
    m.now_ps += m.read_ps / 2;
    uint32_t count = 12345u + (m.dead ? 0u : (uint32_t)at_rate(m.reference_hz));
    m.now_ps += m.read_ps - m.read_ps / 2;
    if (m.jitter_ps != 0)
        m.now_ps += rand_below(&dice, m.jitter_ps);
    if (m.stop_every != 0 && ++m.reads % m.stop_every == 0)
        m.now_ps += m.stop_ps;
    return count;
}

static const struct reference pit = {"pit", 1193182, 0xffff, read_reference};
static const struct reference pm = {"pm", 3579545, 0xffffff, read_reference};
static const struct reference apic = {"apic", 1000000000, UINT32_MAX, read_reference};

static int quiet_machine(void **state) {
    (void)state;
    m = (struct machine){.cycles_hz = 2600000000, .read_ps = 1000000};
    dice = rand_seed(7);
    return 0;
}

/* The bound that calibrate() states holds, give or take rounding. */
static void assert_honest(const struct calibration *c) {
    int64_t ppm = tsc_ppm(c->hz, m.cycles_hz);
    int64_t bound = (int64_t)c->error_ppm + 1;
    assert_true(ppm <= bound && ppm >= -bound);
}

/* The reference stepped to `count` within the interval that the moment gives. */
static void a_moment_lies_where_it_says(void **state) {
    (void)state;
    m.reference_hz = pm.hz;
    for (unsigned i = 0; i < 1000; i++) {
        struct moment at;
        m.read_ps = 20000 + i * 2000; /* from many reads per tick to several ticks per read */
        m.jitter_ps = i % 2 == 0 ? 0 : 500000;
        assert_true(calibrate_moment(&pm, read_cycles, &at));
        uint64_t ticks = at.count - 12345;
        uint64_t truth = 77777777 + ticks * m.cycles_hz / pm.hz;
        assert_true(distance(at.cycles, truth) <= at.unsure / 2 + 5);
    }
}

static void a_quiet_machine_is_measured_in_one_window(void **state) {
    (void)state;
    const struct reference *refs[] = {&pit, &pm, &apic};
    for (unsigned i = 0; i < 3; i++) {
        struct calibration c;
        uint64_t before = m.now_ps;
        m.reference_hz = refs[i]->hz;
        assert_true(calibrate(refs[i], read_cycles, &c));
        assert_true(c.error_ppm <= CALIBRATE_GOOD_PPM);
        assert_honest(&c);
        assert_true(m.now_ps - before < PS_PER_SECOND / CALIBRATE_WINDOW_HZ * 2);
    }
}

/* An emulator that counts instructions: a tick per ns, reads take some tens. */
static void an_emulated_nanosecond_tick_is_found_to_a_thousandth(void **state) {
    (void)state;
    m.cycles_hz = 1000000000;
    m.read_ps = 12000;
    const struct reference *refs[] = {&pit, &pm, &apic};
    for (unsigned i = 0; i < 3; i++) {
        struct calibration c;
        m.reference_hz = refs[i]->hz;
        assert_true(calibrate(refs[i], read_cycles, &c));
        assert_true(tsc_ppm(c.hz, m.cycles_hz) < 1000 && tsc_ppm(c.hz, m.cycles_hz) > -1000);
        assert_honest(&c);
    }
}

static void a_noisy_machine_gets_an_honest_bound(void **state) {
    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        struct calibration c;
        m.reference_hz = pit.hz;
        m.jitter_ps = 20000000;
        m.now_ps += 777777777;
        dice = rand_seed(seed);
        assert_true(calibrate(&pit, read_cycles, &c));
        assert_honest(&c);
    }
}

/* Stops longer than the PIT takes to wrap: counted as if they had not been,
 * time would be a tenth of what it is. */
static void a_window_in_which_we_were_stopped_does_not_count(void **state) {
    (void)state;
    for (unsigned every = 1500; every < 12000; every += 7) {
        struct calibration c;
        m.reference_hz = pit.hz;
        m.stop_ps = 60000000000;
        m.stop_every = every;
        if (calibrate(&pit, read_cycles, &c))
            assert_honest(&c);
        else
            assert_true(every < 4000 + 100); /* no window without a stop */
    }
}

static void a_stop_does_not_matter_to_a_clock_that_goes_on(void **state) {
    (void)state;
    struct calibration c;
    m.reference_hz = pm.hz;
    m.stop_ps = 20000000000;
    m.stop_every = 1000;
    uint64_t before = m.now_ps;
    assert_true(calibrate(&pm, read_cycles, &c));
    assert_honest(&c);
    assert_true(m.now_ps - before < 50000000000);
}

static void a_clock_that_does_not_move_is_refused(void **state) {
    (void)state;
    struct calibration c;
    m.dead = true;
    m.read_ps = 10;
    assert_false(calibrate(&pit, read_cycles, &c));
}

static void moments_across_a_wrap_of_the_reference_belong_together(void **state) {
    (void)state;
    struct moment from = {1000, 10, 0xfffff0}, to = {1000 + 2600000, 10, 0xfffff0};
    to.count = (from.count + pm.hz / 1000) & pm.mask;
    struct calibration c;
    assert_true(calibrate_between(&pm, &from, &to, &c));
    assert_true(tsc_ppm(c.hz, 2600000000) < 300 && tsc_ppm(c.hz, 2600000000) > -300);
    to.count = from.count;
    assert_false(calibrate_between(&pm, &from, &to, &c));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_tick_per_ns_is_exact_for_ever),
        cmocka_unit_test(time_does_not_drift_from_its_rate),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(the_way_back_is_never_too_early),
        cmocka_unit_test(what_does_not_fit_is_all_ones),
        cmocka_unit_test(ppm_has_a_sign),
        cmocka_unit_test_setup(a_moment_lies_where_it_says, quiet_machine),
        cmocka_unit_test_setup(a_quiet_machine_is_measured_in_one_window, quiet_machine),
        cmocka_unit_test_setup(an_emulated_nanosecond_tick_is_found_to_a_thousandth, quiet_machine),
        cmocka_unit_test_setup(a_noisy_machine_gets_an_honest_bound, quiet_machine),
        cmocka_unit_test_setup(a_window_in_which_we_were_stopped_does_not_count, quiet_machine),
        cmocka_unit_test_setup(a_stop_does_not_matter_to_a_clock_that_goes_on, quiet_machine),
        cmocka_unit_test_setup(a_clock_that_does_not_move_is_refused, quiet_machine),
        cmocka_unit_test(moments_across_a_wrap_of_the_reference_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
