/* Test of the trace rings: what is recorded, under which level, under which name, and what
 * a full ring keeps. Every export here is read back by the strict reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "tests/lib/trace_fixture.h"

#define WORDS 4096u
#define SLOTS 256u

static struct trace_fixture f;

static int one_ring(void **state) {
    (void)state;
    trace_fixture_init(&f, 1, WORDS, SLOTS);
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    trace_fixture_fini(&f);
    return 0;
}

static void export_valid(size_t events_expected) {
    if (!trace_fixture_export(&f)) {
        fail_msg("expected a valid archive, got \"%s\" at byte %zu", f.result.error,
                 f.result.offset);
    }
    assert_int_equal(f.count, events_expected);
    assert_int_equal(f.exporter.stats.records, events_expected);
    assert_int_equal(f.exporter.stats.malformed, 0);
}

/* ---- The archive -------------------------------------------------------------------- */

static void an_empty_trace_is_a_valid_archive_with_its_threads(void **state) {
    (void)state;
    export_valid(0);
    assert_int_equal(f.result.ticks_per_second, TRACE_FIXTURE_TICKS);
    assert_int_equal(f.result.threads, 1);
    assert_int_equal(f.result.objects, 2); /* the process and the thread */
    assert_int_equal(f.result.dropped, 0);
}

static void every_kind_of_instant_carries_its_name_category_and_argument(void **state) {
    (void)state;
    size_t count = 0;
    for (unsigned kind = 0; kind < TRACE_USER; kind++) {
        if (kind != TRACE_TASK && kind != TRACE_PARK && kind != TRACE_QUEUED) {
            trace_event(&f.rings[0], kind, 1000u + kind);
            count++;
        }
    }
    export_valid(count);
    for (size_t i = 0; i < f.count; i++) {
        const struct traced *e = &f.events[i];
        int kind = trace_kind_find(e->name);
        assert_true(kind >= 0);
        assert_int_equal(e->type, FXT_READ_INSTANT);
        assert_int_equal(e->arg_count, 1);
        assert_int_equal(e->value[0], 1000 + kind);
        assert_string_equal(e->category, trace_text(&f.config, trace_kinds[kind].category));
        assert_string_equal(e->arg[0], trace_text(&f.config, trace_kinds[kind].arg));
    }
}

static void an_event_about_a_name_shows_the_name(void **state) {
    (void)state;
    trace_event_name(&f.rings[0], TRACE_SUBMIT, 3, trace_intern(&f.config, "my_handler"));
    trace_event_name(&f.rings[0], TRACE_SUBMIT, 3, 0); /* the table was full */
    export_valid(2);
    assert_string_equal(f.events[0].name, "submit");
    assert_string_equal(f.events[0].arg[0], "type");
    assert_string_equal(f.events[0].text[0], "my_handler");
    assert_string_equal(f.events[1].text[0], "");
}

static void a_counter_carries_id_and_value(void **state) {
    (void)state;
    trace_counter(&f.rings[0], TRACE_QUEUED, 7, UINT64_MAX);
    export_valid(1);
    assert_int_equal(f.events[0].type, FXT_READ_COUNTER);
    assert_int_equal(f.events[0].id, 7);
    assert_true(f.events[0].value[0] == UINT64_MAX);
    assert_string_equal(f.events[0].name, "queued");
}

static void a_park_is_a_span_that_ends_after_it_began(void **state) {
    (void)state;
    uint64_t begin = trace_span_begin(&f.rings[0], TRACE_PARK);
    assert_true(begin != 0);
    trace_span_end(&f.rings[0], TRACE_PARK, begin);
    trace_span_end(&f.rings[0], TRACE_PARK, 0); /* began while nobody listened */
    export_valid(1);
    assert_int_equal(f.events[0].type, FXT_READ_COMPLETE);
    assert_true(f.events[0].begin == begin);
    assert_string_equal(f.events[0].name, "park");
}

static void a_users_event_shows_module_level_and_value(void **state) {
    (void)state;
    trace_module_name(&f.config, 5, "my.module");
    trace_user(&f.rings[0], 5, GMK_TRACE_WARN, "disk slow", 1234567890123u);
    trace_user(&f.rings[0], 6, GMK_TRACE_ALL, "unnamed module", 0);
    export_valid(2);
    assert_string_equal(f.events[0].category, "my.module");
    assert_string_equal(f.events[0].name, "disk slow");
    assert_string_equal(f.events[0].arg[0], "level");
    assert_string_equal(f.events[0].text[0], "warn");
    assert_string_equal(f.events[0].arg[1], "value");
    assert_true(f.events[0].value[1] == 1234567890123u);
    assert_string_equal(f.events[1].category, "user");
    assert_string_equal(f.events[1].text[0], "all");
}

static void a_users_event_without_a_level_is_ignored(void **state) {
    (void)state;
    trace_user(&f.rings[0], 1, GMK_TRACE_OFF, "off", 1);
    trace_user(&f.rings[0], 1, GMK_TRACE_ALL + 1, "beyond", 1);
    export_valid(0);
}

/* ---- Tasks ------------------------------------------------------------------------------ */

static void a_task_begins_where_the_one_before_it_ended(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    unsigned name = trace_intern(&f.config, "handler");
    for (int i = 0; i < 3; i++) {
        uint64_t begin = trace_task_begin(ring, 1);
        trace_task_end(ring, begin, name);
    }
    trace_idle(ring);
    uint64_t after_idle = trace_task_begin(ring, 1);
    trace_task_end(ring, after_idle, 0);
    export_valid(4);
    assert_true(f.events[1].begin == f.events[0].end);
    assert_true(f.events[2].begin == f.events[1].end);
    assert_true(f.events[3].begin == after_idle);
    assert_true(f.events[3].begin > f.events[2].end);
    assert_string_equal(f.events[0].name, "handler");
    assert_string_equal(f.events[3].name, "task"); /* a type without a name of its own */
}

static void a_task_inside_a_task_lies_inside_its_span(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    uint64_t outer = trace_task_begin(ring, 1);
    uint64_t inner = trace_task_begin(ring, 1);
    trace_task_end(ring, inner, trace_intern(&f.config, "inner"));
    trace_task_end(ring, outer, trace_intern(&f.config, "outer"));
    export_valid(2);
    assert_string_equal(f.events[0].name, "inner");
    assert_true(f.events[0].begin > f.events[1].begin);
    assert_true(f.events[0].end <= f.events[1].end);
}

static void a_task_after_the_level_came_up_does_not_begin_in_the_past(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    trace_task_end(ring, trace_task_begin(ring, 1), 0);
    trace_set_level(&f.config, GMK_TRACE_WARN);
    assert_int_equal(trace_task_begin(ring, 1), 0); /* runs untraced */
    uint64_t now = hal_cycles();
    trace_set_level(&f.config, GMK_TRACE_ALL);
    assert_true(trace_task_begin(ring, 1) >= now);
}

/* ---- Levels and sampling ------------------------------------------------------------------ */

static void nothing_above_the_level_is_recorded(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    for (unsigned level = GMK_TRACE_OFF; level <= GMK_TRACE_ALL; level++) {
        assert_int_equal(trace_set_level(&f.config, level), GMK_OK);
        for (unsigned kind = 0; kind < TRACE_USER; kind++) {
            uint64_t before = atomic_load(&ring->head);
            trace_event(ring, kind, 0);
            bool written = atomic_load(&ring->head) != before;
            if (written != (trace_kinds[kind].level <= level)) {
                fail_msg("kind %u at level %u: expected %s", kind, level,
                         written ? "nothing" : "a record");
            }
        }
    }
}

static void a_modules_level_overrides_the_engines_until_it_inherits_again(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    trace_set_level(&f.config, GMK_TRACE_ERROR);
    assert_int_equal(trace_set_module_level(&f.config, 9, GMK_TRACE_DEBUG), GMK_OK);
    assert_true(trace_on_for(ring, 9, GMK_TRACE_DEBUG));
    assert_false(trace_on_for(ring, 9, GMK_TRACE_ALL));
    assert_false(trace_on_for(ring, 8, GMK_TRACE_DEBUG));
    assert_true(trace_on_for(ring, 8, GMK_TRACE_ERROR));
    assert_false(trace_on(ring, GMK_TRACE_DEBUG)); /* the engine's own events keep its level */

    trace_set_level(&f.config, GMK_TRACE_ALL);
    assert_false(trace_on_for(ring, 9, GMK_TRACE_ALL));
    assert_true(trace_on_for(ring, 8, GMK_TRACE_ALL));
    trace_set_module_level(&f.config, 9, GMK_TRACE_INHERIT);
    assert_true(trace_on_for(ring, 9, GMK_TRACE_ALL));
}

static void levels_set_before_a_ring_is_attached_hold_for_it(void **state) {
    (void)state;
    static uint64_t memory[TRACE_RING_WORDS_MIN];
    static struct trace_ring late;
    memset(&late, 0, sizeof late);
    assert_false(trace_on(&late, GMK_TRACE_ERROR)); /* silent until attached */
    trace_set_level(&f.config, GMK_TRACE_INFO);
    trace_set_sampling(&f.config, TRACE_OPEN, 1);
    assert_true(trace_attach(&f.config, &late, memory, TRACE_RING_WORDS_MIN, "late"));
    assert_true(trace_on(&late, GMK_TRACE_INFO));
    assert_false(trace_on(&late, GMK_TRACE_DEBUG));
    trace_event(&late, TRACE_OPEN, 1);
    trace_event(&late, TRACE_OPEN, 2);
    trace_event(&late, TRACE_OPEN, 3);
    export_valid(2);
    assert_int_equal(f.events[1].value[0], 3);
    assert_int_equal(f.events[1].thread, 3);
}

static void sampling_keeps_exactly_one_in_a_power_of_two(void **state) {
    (void)state;
    struct trace_ring *ring = &f.rings[0];
    for (unsigned shift = 0; shift <= 4; shift++) {
        assert_int_equal(trace_set_sampling(&f.config, TRACE_STEAL, shift), GMK_OK);
        memset(ring->seen, 0, sizeof ring->seen);
        uint64_t before = atomic_load(&ring->head);
        for (uint32_t i = 0; i < 64; i++) {
            trace_event(ring, TRACE_STEAL, i);
        }
        uint64_t blocks_ends = 3; /* at most one word lost per block of 64 */
        uint64_t words = atomic_load(&ring->head) - before;
        uint64_t least = UINT64_C(3) * (64u >> shift);
        assert_in_range(words, least, least + blocks_ends);
        trace_event(ring, TRACE_WAKE, 0); /* other kinds are not affected */
        assert_true(atomic_load(&ring->head) >= before + words + 3u);
    }
    uint64_t begin = 0;
    trace_set_sampling(&f.config, TRACE_TASK, 31);
    begin = trace_task_begin(ring, 1);
    assert_true(begin != 0); /* the first of 2^31 */
    assert_int_equal(trace_task_begin(ring, 1), 0);
}

static void settings_out_of_range_are_refused_and_change_nothing(void **state) {
    (void)state;
    assert_int_equal(trace_set_level(&f.config, GMK_TRACE_ALL + 1), GMK_EINVAL);
    assert_int_equal(trace_set_module_level(&f.config, GMK_MODULES_MAX, 1), GMK_EINVAL);
    assert_int_equal(trace_set_module_level(&f.config, 0, GMK_TRACE_ALL + 1), GMK_EINVAL);
    assert_int_equal(trace_set_sampling(&f.config, TRACE_KINDS, 1), GMK_EINVAL);
    assert_int_equal(trace_set_sampling(&f.config, TRACE_TASK, 32), GMK_EINVAL);
    assert_int_equal(trace_kind_find("no such kind"), -1);
    assert_int_equal(trace_kind_find("alloc-fail"), TRACE_ALLOC_FAIL);
    assert_true(trace_on_for(&f.rings[0], 0, GMK_TRACE_ALL));
    trace_module_name(&f.config, GMK_MODULES_MAX, "beyond");
    trace_module_name(&f.config, 0, NULL);
    trace_event(&f.rings[0], TRACE_TASK, 0);
    export_valid(1);
}

/* ---- Names ------------------------------------------------------------------------------------ */

static void a_name_has_one_index_and_one_record(void **state) {
    (void)state;
    static const char name[] = "again";
    unsigned index = trace_intern(&f.config, name);
    assert_true(index >= TRACE_SLOT_BASE);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(trace_intern(&f.config, name), index);
        trace_user(&f.rings[0], 1, GMK_TRACE_INFO, name, 0);
    }
    export_valid(100);
    /* "again", "user", "level", "info", "value", "ggmk", "process" */
    assert_int_equal(f.result.strings, 7);
}

static void names_beyond_the_table_are_written_into_their_records(void **state) {
    (void)state;
    enum { NAMES = 512 }; /* twice the table */
    static char names[NAMES][16];
    unsigned interned = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(names[i], sizeof names[i], "name %u", i);
        interned += trace_intern(&f.config, names[i]) != 0;
        trace_user(&f.rings[0], 1, GMK_TRACE_INFO, names[i], i);
    }
    assert_in_range(interned, SLOTS / 2u, SLOTS);
    export_valid(NAMES);
    for (unsigned i = 0; i < NAMES; i++) {
        assert_string_equal(f.events[i].name, names[i]);
        assert_int_equal(f.events[i].value[1], i);
    }
}

static void check_name(const char *given, const char *expected) {
    trace_user(&f.rings[0], 1, GMK_TRACE_INFO, given, 0);
    assert_true(trace_fixture_export(&f));
    assert_string_equal(f.events[f.count - 1u].name, expected);
}

static void check_strange_names(void) {
    check_name(NULL, "?");
    check_name("", "");
    check_name("bad \xff\xc3 bytes", "bad ?? bytes");
    check_name("\xe2\x82\xac", "\xe2\x82\xac");
    check_name("12345678", "12345678"); /* fills its words exactly */
    check_name("0123456789012345678901234567890123456789012345678901234567890123456789",
               "01234567890123456789012345678901234567890123456");
    /* a character of four bytes lies across the limit: it is left out whole */
    check_name("012345678901234567890123456789012345678901234\xf0\x9f\x98\x80",
               "012345678901234567890123456789012345678901234");
}

static void strange_names_are_shown_as_well_as_they_can_be(void **state) {
    (void)state;
    check_strange_names();
}

static void strange_names_inside_records_are_shown_as_well(void **state) {
    (void)state;
    f.config.slot_count = 0;
    check_strange_names();
}

/* ---- Full rings ----------------------------------------------------------------------------------- */

static void a_full_ring_keeps_the_newest_and_loses_none_between(void **state) {
    (void)state;
    const uint32_t count = 100000;
    for (uint32_t i = 0; i < count; i++) {
        trace_event(&f.rings[0], TRACE_SEND, i);
    }
    assert_true(trace_fixture_export(&f));
    assert_int_equal(f.exporter.stats.torn, 0);
    assert_int_equal(f.result.dropped, 1); /* the archive says that it is not all */
    assert_true(f.exporter.stats.overwritten > 0);
    /* All but the two blocks that the writer may be in. */
    size_t blocks = WORDS / TRACE_BLOCK_WORDS - 2u;
    assert_true(f.count >= blocks * (TRACE_BLOCK_WORDS / 3u));
    for (size_t i = 0; i < f.count; i++) {
        assert_int_equal(f.events[i].value[0], count - f.count + i);
    }
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Records of 3 to 11 words end blocks at every place there is. */
static void records_of_all_sizes_stay_readable_after_any_number_of_turns(void **state) {
    (void)state;
    static const char names[] = "a name that is cut to a random length each time";
    f.config.slot_count = 0;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t random = seed;
        uint32_t count = 500u + next_random(&random) % 3000u;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t choice = next_random(&random);
            if (choice % 3u == 0) {
                trace_event(&f.rings[0], TRACE_SEND, i);
            } else if (choice % 3u == 1u) {
                trace_counter(&f.rings[0], TRACE_QUEUED, 1, i);
            } else {
                size_t skip = choice / 3u % sizeof names;
                trace_user(&f.rings[0], 1, GMK_TRACE_INFO, names + skip, i);
            }
        }
        if (!trace_fixture_export(&f)) {
            fail_msg("seed %u: %s at byte %zu", seed, f.result.error, f.result.offset);
        }
        for (size_t back = 1; back <= f.count && back <= count; back++) {
            const struct traced *e = &f.events[f.count - back];
            assert_int_equal(e->value[e->arg_count - 1u], count - back);
        }
    }
}

static void a_ring_takes_the_largest_power_of_two_that_fits(void **state) {
    (void)state;
    assert_int_equal(trace_ring_words(0), 0);
    assert_int_equal(trace_ring_words(2047), 0);
    assert_int_equal(trace_ring_words(2048), TRACE_RING_WORDS_MIN);
    assert_int_equal(trace_ring_words(4095), TRACE_RING_WORDS_MIN);
    assert_int_equal(trace_ring_words(1000000), 65536);
}

static void attaching_without_usable_memory_is_refused(void **state) {
    (void)state;
    static uint64_t memory[TRACE_RING_WORDS_MIN + 1u];
    static struct trace_ring ring;
    assert_false(trace_attach(&f.config, &ring, NULL, TRACE_RING_WORDS_MIN, "x"));
    assert_false(trace_attach(&f.config, &ring, memory, 0, "x"));
    assert_false(trace_attach(&f.config, &ring, memory, TRACE_RING_WORDS_MIN / 2u, "x"));
    assert_false(trace_attach(&f.config, &ring, memory, TRACE_RING_WORDS_MIN + 1u, "x"));
    trace_event(&ring, TRACE_HANG, 1); /* a ring without memory is silent, not a crash */
    export_valid(0);
    assert_int_equal(f.result.threads, 1);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, one_ring, clean_up)
    const struct CMUnitTest tests[] = {
        T(an_empty_trace_is_a_valid_archive_with_its_threads),
        T(every_kind_of_instant_carries_its_name_category_and_argument),
        T(an_event_about_a_name_shows_the_name),
        T(a_counter_carries_id_and_value),
        T(a_park_is_a_span_that_ends_after_it_began),
        T(a_users_event_shows_module_level_and_value),
        T(a_users_event_without_a_level_is_ignored),
        T(a_task_begins_where_the_one_before_it_ended),
        T(a_task_inside_a_task_lies_inside_its_span),
        T(a_task_after_the_level_came_up_does_not_begin_in_the_past),
        T(nothing_above_the_level_is_recorded),
        T(a_modules_level_overrides_the_engines_until_it_inherits_again),
        T(levels_set_before_a_ring_is_attached_hold_for_it),
        T(sampling_keeps_exactly_one_in_a_power_of_two),
        T(settings_out_of_range_are_refused_and_change_nothing),
        T(a_name_has_one_index_and_one_record),
        T(names_beyond_the_table_are_written_into_their_records),
        T(strange_names_are_shown_as_well_as_they_can_be),
        T(strange_names_inside_records_are_shown_as_well),
        T(a_full_ring_keeps_the_newest_and_loses_none_between),
        T(records_of_all_sizes_stay_readable_after_any_number_of_turns),
        T(a_ring_takes_the_largest_power_of_two_that_fits),
        T(attaching_without_usable_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
