/* Test of the compile-time strip: this file is compiled with everything above WARN
 * removed, and finds it removed although the run-time level asks for all of it. */
#define GMK_TRACE_STRIP_LEVEL 2 /* GMK_TRACE_WARN */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/trace_fixture.h"

/* Stands in for the library's function, so that no engine is needed. */
static unsigned user_events;
static unsigned arguments_evaluated;

static void count_event(void *ctx, enum gmk_trace_level level, const char *name, uint64_t value) {
    (void)ctx;
    (void)level;
    (void)name;
    (void)value;
    user_events++;
}
#define gmk_trace_event count_event

static uint64_t evaluate(void) {
    arguments_evaluated++;
    return 1;
}

static void users_events_above_the_strip_level_are_gone(void **state) {
    (void)state;
    gmk_trace(NULL, GMK_TRACE_ERROR, "error", evaluate());
    gmk_trace(NULL, GMK_TRACE_WARN, "warn", evaluate());
    gmk_trace(NULL, GMK_TRACE_INFO, "info", evaluate());
    gmk_trace(NULL, GMK_TRACE_DEBUG, "debug", evaluate());
    gmk_trace(NULL, GMK_TRACE_ALL, "all", evaluate());
    assert_int_equal(user_events, 2);
    assert_int_equal(arguments_evaluated, 2); /* not even their arguments are computed */
}

static void engine_events_above_the_strip_level_are_gone(void **state) {
    (void)state;
    struct trace_fixture f;
    trace_fixture_init(&f, 1, TRACE_RING_WORDS_MIN, 16);
    struct trace_ring *ring = &f.rings[0];
    assert_false(trace_on(ring, GMK_TRACE_INFO));
    assert_false(trace_on_for(ring, 1, GMK_TRACE_ALL));
    assert_int_equal(trace_task_begin(ring, 1), 0);
    trace_task_end(ring, 5, 0);
    assert_int_equal(trace_span_begin(ring, TRACE_PARK), 0);
    trace_span_end(ring, TRACE_PARK, 5);
    trace_event(ring, TRACE_STEAL, 1);
    trace_event_name(ring, TRACE_SUBMIT, 1, 0);
    trace_event(ring, TRACE_DROP, 1);
    trace_event(ring, TRACE_FAIL, 1);
    assert_true(trace_fixture_export(&f));
    assert_int_equal(f.count, 2);
    assert_string_equal(f.events[0].name, "drop");
    assert_string_equal(f.events[1].name, "fail");
    trace_fixture_fini(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_events_above_the_strip_level_are_gone),
        cmocka_unit_test(engine_events_above_the_strip_level_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
