/* Test of hal/kernel: what hal/hal.h promises and no other kernel test has looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hal/hal.h"
#include "hal/kernel/dump.h"
#include "kernel/core/cpu.h"

#define MIB ((size_t)1 << 20)

static void the_clocks_run_and_agree(void **state) {
    (void)state;
    uint64_t cycles = hal_cycles(), ns = hal_now_ns(); /* so that the counter has the longer way */
    while (hal_now_ns() - ns < 5000000)
        hal_relax();
    uint64_t passed = (hal_cycles() - cycles) * 1000000 / hal_cycles_khz();
    assert_true(passed >= 4990000); /* both are calibrated to within 0.2 % of each other */
    assert_int_not_equal(hal_cycles_khz(), 0);
}

static void pages_are_zeroed_aligned_and_given_back(void **state) {
    (void)state;
    static const size_t sizes[] = {4096, 12288, 2 * MIB, 2 * MIB + 4096};
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 4; i++) {
            uint64_t *pages = hal_pages_alloc(sizes[i]);
            assert_non_null(pages);
            assert_int_equal((uintptr_t)pages % (sizes[i] >= 2 * MIB ? 2 * MIB : 4096), 0);
            for (size_t w = 0; w < sizes[i] / 8; w++) {
                if (pages[w] != 0)
                    fail();
                pages[w] = ~0ull;
            }
            hal_pages_free(pages, sizes[i]);
        }
    assert_null(hal_pages_alloc(0));
    assert_null(hal_pages_alloc(100));
    hal_pages_free(NULL, 4096);
}

static void set_flag(void *arg) {
    atomic_store((_Atomic uint32_t *)arg, hal_cpu_current() + 1);
}

static void a_thread_starts_on_its_cpu_or_says_why_not(void **state) {
    (void)state;
    struct hal_thread thread = {{7, 7}};
    _Atomic uint32_t flag = 0;
    assert_int_equal(hal_cpu_count(), cpu_count);
    assert_true(hal_cpu_current() < hal_cpu_count());
    int refused = hal_thread_start(&thread, "no", 0, (int)hal_cpu_count(), set_flag, &flag);
    assert_true(refused < 0);
    assert_true(hal_thread_start(&thread, "no", SIZE_MAX / 4, -1, set_flag, &flag) < 0);
    assert_int_equal(thread.opaque[0], 7);
    for (unsigned cpu = 0; cpu < hal_cpu_count(); cpu++) {
        assert_int_equal(hal_thread_start(&thread, NULL, 1, (int)cpu, set_flag, &flag), 0);
        hal_thread_join(&thread);
        assert_int_equal(atomic_load(&flag), cpu + 1);
    }
}

static void the_barrier_says_what_it_is(void **state) {
    (void)state;
    assert_true(hal_barrier_all() == hal_barrier_is_asymmetric());
}

static void count_dump(void *arg) {
    ++*(unsigned *)arg;
}

static void a_dump_request_calls_the_last_function_until_it_is_taken_back(void **state) {
    (void)state;
    unsigned first = 0, second = 0;
    assert_true(hal_on_dump_request(count_dump, &first));
    assert_true(hal_dump_request_fire());
    assert_true(hal_on_dump_request(count_dump, &second));
    assert_true(hal_dump_request_fire());
    assert_true(hal_on_dump_request(NULL, NULL));
    assert_false(hal_dump_request_fire());
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clocks_run_and_agree),
        cmocka_unit_test(pages_are_zeroed_aligned_and_given_back),
        cmocka_unit_test(a_thread_starts_on_its_cpu_or_says_why_not),
        cmocka_unit_test(the_barrier_says_what_it_is),
        cmocka_unit_test(a_dump_request_calls_the_last_function_until_it_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
