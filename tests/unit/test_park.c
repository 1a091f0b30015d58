/* Test of park: claims, wake-ups, system calls that are not made, and adaptive spinning.
 *
 * Where a test needs a waiter that sleeps, a helper thread sleeps, and the test waits until
 * the slot's word says so. Nothing here depends on how long something takes, but for the spin
 * tests, which use limits far apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/park.h"

#define SLOTS 8u
#define MS    UINT64_C(1000000)

static struct park park;
static struct park_slot slots[PARK_SLOTS_MAX];

static int fresh_park(void **state) {
    (void)state;
    park_init(&park, slots, SLOTS, false);
    return 0;
}

static int quiet_park(void **state) {
    (void)state;
    assert_true(park_check(&park));
    assert_int_equal(atomic_load(&park.parked), 0);
    assert_int_equal(atomic_load(&park.waking), 0);
    return 0;
}

/* A thread that parks once. */
struct sleeper {
    struct hal_thread thread;
    uint32_t slot;
    uint64_t timeout_ns;
    bool claimed;
};

static void sleep_once(void *arg) {
    struct sleeper *s = arg;
    park_prepare(&park, s->slot);
    s->claimed = park_commit(&park, s->slot, s->timeout_ns);
}

static void start_sleeper(struct sleeper *s, uint32_t slot, uint64_t timeout_ns) {
    *s = (struct sleeper){.slot = slot, .timeout_ns = timeout_ns};
    assert_int_equal(hal_thread_start(&s->thread, "sleeper", 0, -1, sleep_once, s), 0);
}

static void until_asleep(uint32_t slot) {
    while (atomic_load(&slots[slot].word) != PARK_SLEEPING) {
        hal_yield_cpu();
    }
}

static void notify_with_nobody_parked_does_nothing(void **state) {
    (void)state;
    assert_int_equal(park_notify(&park, 1), 0);
    assert_int_equal(park_notify_fenced(&park, 9), 0);
    assert_int_equal(park_notify_chained(&park), 0);
    assert_int_equal(park_notify_all(&park), 0);
    assert_false(park_notify_slot(&park, 3));
    assert_int_equal(atomic_load(&park.wake_calls), 0);
}

static void cancel_without_a_notify_reports_no_claim(void **state) {
    (void)state;
    park_prepare(&park, 2);
    assert_int_equal(atomic_load(&park.parked), 1u << 2);
    assert_false(park_is_notified(&park, 2));
    assert_false(park_cancel(&park, 2));
}

static void cancel_after_a_notify_reports_the_claim(void **state) {
    (void)state;
    park_prepare(&park, 2);
    assert_int_equal(park_notify(&park, 1), 1);
    assert_true(park_is_notified(&park, 2));
    assert_int_equal(atomic_load(&park.waking), 1);
    assert_true(park_cancel(&park, 2));
}

static void a_notify_between_prepare_and_commit_is_not_lost_and_costs_no_system_call(void **state) {
    (void)state;
    park_prepare(&park, 0);
    assert_int_equal(park_notify(&park, 1), 1);
    assert_true(park_commit(&park, 0, HAL_FOREVER)); /* would hang if it slept */
    assert_int_equal(atomic_load(&park.wake_calls), 0);
    assert_int_equal(atomic_load(&slots[0].sleeps), 0);
}

static void a_sleeper_is_woken_by_one_system_call(void **state) {
    (void)state;
    struct sleeper s;
    start_sleeper(&s, 5, HAL_FOREVER);
    until_asleep(5);
    assert_int_equal(park_notify(&park, 1), 1);
    assert_int_equal(park_notify(&park, 1), 0); /* it is claimed already */
    hal_thread_join(&s.thread);
    assert_true(s.claimed);
    assert_int_equal(atomic_load(&park.wake_calls), 1);
    assert_int_equal(atomic_load(&slots[5].sleeps), 1);
}

static void a_time_limit_ends_the_sleep_without_a_claim(void **state) {
    (void)state;
    uint64_t start = hal_now_ns();
    park_prepare(&park, 1);
    assert_false(park_commit(&park, 1, 2 * MS));
    assert_true(hal_now_ns() - start >= 2 * MS);
    park_prepare(&park, 1);
    assert_false(park_commit(&park, 1, 0));
    park_prepare(&park, 1);
    assert_int_equal(park_notify_slot(&park, 1), 1);
    assert_true(park_commit(&park, 1, HAL_FOREVER - 1)); /* now + limit does not wrap */
}

static void an_early_return_of_the_platform_does_not_end_the_sleep(void **state) {
    (void)state;
    struct sleeper s;
    start_sleeper(&s, 0, HAL_FOREVER);
    until_asleep(0);
    for (int i = 0; i < 100; i++) {
        hal_wake(&slots[0].word, 1);
        hal_yield_cpu();
    }
    assert_int_equal(atomic_load(&park.parked), 1);
    assert_int_equal(atomic_load(&slots[0].sleeps), 1);
    assert_int_equal(park_notify(&park, 1), 1);
    hal_thread_join(&s.thread);
}

/* A claimer that was held up between clearing the bit and writing the word. */
static void a_late_claimer_only_ends_the_next_round_early(void **state) {
    (void)state;
    park_prepare(&park, 4);
    atomic_store(&slots[4].word, PARK_NOTIFIED); /* it belongs to the round before */
    assert_false(park_commit(&park, 4, HAL_FOREVER));
}

static void the_waiter_that_parked_last_is_woken_first_then_the_lowest(void **state) {
    (void)state;
    static const uint32_t parked[] = {6, 1, 4};
    static const uint32_t expected[] = {4, 1, 6};
    for (size_t i = 0; i < 3; i++) {
        park_prepare(&park, parked[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(park_notify(&park, 1), 1);
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(park_is_notified(&park, expected[j]), j <= i);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(park_cancel(&park, parked[i]));
    }
}

static void each_notify_claims_another_waiter_up_to_the_count(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        park_prepare(&park, i);
    }
    assert_int_equal(park_notify(&park, 0), 0);
    assert_int_equal(park_notify(&park, 2), 2);
    assert_int_equal(park_notify(&park, 1), 1);
    assert_int_equal(park_notify(&park, 100), 2);
    assert_int_equal(atomic_load(&park.waking), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(park_cancel(&park, i));
    }
}

static void a_chained_notify_waits_for_the_waiter_on_its_way(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        park_prepare(&park, i);
    }
    assert_int_equal(park_notify_chained(&park), 1);
    assert_int_equal(park_notify_chained(&park), 0);
    assert_true(park_cancel(&park, 2)); /* it has arrived: the next may go */
    assert_int_equal(park_notify_chained(&park), 1);
    assert_true(park_cancel(&park, 0));
    assert_false(park_cancel(&park, 1));
}

static void a_named_waiter_is_woken_and_nobody_else(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        park_prepare(&park, i);
    }
    assert_true(park_notify_slot(&park, 1));
    assert_false(park_notify_slot(&park, 1));
    assert_false(park_cancel(&park, 0));
    assert_true(park_cancel(&park, 1));
    assert_false(park_cancel(&park, 2));
}

static void all_64_slots_park_and_are_woken_together(void **state) {
    (void)state;
    park_init(&park, slots, PARK_SLOTS_MAX, true);
    for (uint32_t i = 0; i < PARK_SLOTS_MAX; i++) {
        park_prepare(&park, i);
    }
    assert_true(park_check(&park));
    assert_int_equal(park_notify_all(&park), PARK_SLOTS_MAX);
    for (uint32_t i = 0; i < PARK_SLOTS_MAX; i++) {
        assert_true(park_commit(&park, i, HAL_FOREVER));
    }
}

static void an_idle_waiter_is_never_woken(void **state) {
    (void)state;
    struct sleeper s;
    start_sleeper(&s, 3, HAL_FOREVER);
    until_asleep(3);
    _Atomic uint32_t never = 0;
    hal_wait(&never, 0, 100 * MS);
    assert_int_equal(atomic_load(&slots[3].sleeps), 1);
    assert_int_equal(atomic_load(&park.wake_calls), 0);
    assert_int_equal(park_notify_all(&park), 1);
    hal_thread_join(&s.thread);
}

static void the_check_sees_a_bit_without_a_slot(void **state) {
    (void)state;
    atomic_store(&park.parked, UINT64_C(1) << SLOTS);
    assert_false(park_check(&park));
    atomic_store(&park.parked, 0);
}

/* ---- Spinning ------------------------------------------------------------------- */

static void pass(uint64_t ns) {
    uint64_t start = hal_now_ns();
    while (hal_now_ns() - start < ns) {
        hal_relax();
    }
}

/* One idle stretch of `ns`. Returns whether the spinner was willing to spin at all. */
static bool stretch(struct park_spin *spin, uint64_t ns) {
    park_spin_start(spin);
    bool willing = park_spin_step(spin);
    spin->crowded = false; /* what else runs on this machine is not the subject */
    pass(ns);
    park_spin_end(spin);
    return willing;
}

static void long_stretches_end_the_spinning_soon(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, PARK_SPIN_MAX_NS);
    unsigned spun = 0;
    for (int i = 0; i < 20; i++) {
        spun += stretch(&spin, 2 * MS);
    }
    assert_in_range(spun, 1, PARK_SPIN_CREDIT_MAX / PARK_SPIN_MISS_COST);
    assert_int_equal(spin.credit, 0);
}

static void short_stretches_bring_the_spinning_back(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, PARK_SPIN_MAX_NS);
    for (int i = 0; i < 10; i++) {
        stretch(&spin, 2 * MS);
    }
    bool willing = false;
    for (int i = 0; i < 1000 && !willing; i++) {
        willing = stretch(&spin, 1000);
    }
    assert_true(willing);
}

static void a_spin_ends_at_its_limit(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, UINT64_MAX);
    park_spin_start(&spin);
    uint64_t start = hal_now_ns();
    while (park_spin_step(&spin)) {
        assert_true(hal_now_ns() - start < 10000 * MS);
    }
    assert_true(spin.stop - spin.start <= spin.max);
    assert_true(spin.max <= PARK_SPIN_MAX_NS * hal_cycles_khz() / 1000000u);
}

static void a_spinner_of_limit_zero_never_spins(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, 0);
    assert_false(stretch(&spin, 0));
    assert_false(stretch(&spin, 0));
}

static void the_limit_follows_what_the_short_stretches_lasted(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, PARK_SPIN_MAX_NS);
    uint64_t before = spin.longest;
    for (int i = 0; i < 100; i++) {
        stretch(&spin, 100);
    }
    assert_true(spin.longest < before / 2);
}

static void crowd(struct park_spin *spin) {
    park_spin_start(spin);
    spin->crowded = true;
    assert_false(park_spin_step(spin));
    park_spin_end(spin);
}

static unsigned stretches_until_willing(struct park_spin *spin) {
    unsigned count = 0;
    while (!stretch(spin, 0)) {
        count++;
        assert_true(count < 100000);
    }
    return count;
}

static void crowded_cpus_end_the_spinning_for_longer_each_time(void **state) {
    (void)state;
    struct park_spin spin;
    park_spin_init(&spin, PARK_SPIN_MAX_NS);
    crowd(&spin);
    assert_true(stretches_until_willing(&spin) > PARK_SPIN_CROWD_MIN);
    for (int i = 0; i < 20; i++) {
        crowd(&spin);
    }
    assert_int_equal(spin.credit, -PARK_SPIN_CROWD_MAX);
    assert_true(stretches_until_willing(&spin) > PARK_SPIN_CROWD_MAX);
    for (int i = 0; i < 2 * PARK_SPIN_CALM; i++) {
        stretch(&spin, 0);
    }
    crowd(&spin); /* long after the others: the first of its kind again */
    assert_int_equal(spin.credit, -PARK_SPIN_CROWD_MIN);
}

#define PARK_TEST(name) cmocka_unit_test_setup_teardown(name, fresh_park, quiet_park)

int main(void) {
    const struct CMUnitTest tests[] = {
        PARK_TEST(notify_with_nobody_parked_does_nothing),
        PARK_TEST(cancel_without_a_notify_reports_no_claim),
        PARK_TEST(cancel_after_a_notify_reports_the_claim),
        PARK_TEST(a_notify_between_prepare_and_commit_is_not_lost_and_costs_no_system_call),
        PARK_TEST(a_sleeper_is_woken_by_one_system_call),
        PARK_TEST(a_time_limit_ends_the_sleep_without_a_claim),
        PARK_TEST(an_early_return_of_the_platform_does_not_end_the_sleep),
        PARK_TEST(a_late_claimer_only_ends_the_next_round_early),
        PARK_TEST(the_waiter_that_parked_last_is_woken_first_then_the_lowest),
        PARK_TEST(each_notify_claims_another_waiter_up_to_the_count),
        PARK_TEST(a_chained_notify_waits_for_the_waiter_on_its_way),
        PARK_TEST(a_named_waiter_is_woken_and_nobody_else),
        PARK_TEST(all_64_slots_park_and_are_woken_together),
        PARK_TEST(an_idle_waiter_is_never_woken),
        PARK_TEST(the_check_sees_a_bit_without_a_slot),
        cmocka_unit_test(long_stretches_end_the_spinning_soon),
        cmocka_unit_test(short_stretches_bring_the_spinning_back),
        cmocka_unit_test(a_spin_ends_at_its_limit),
        cmocka_unit_test(a_spinner_of_limit_zero_never_spins),
        cmocka_unit_test(the_limit_follows_what_the_short_stretches_lasted),
        cmocka_unit_test(crowded_cpus_end_the_spinning_for_longer_each_time),
    };
    return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
