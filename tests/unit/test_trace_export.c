/* Test of the trace export under bad conditions: beside running writers, over damaged
 * memory, into a writer that fails, and with as many rings as there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "ggmk/error.h"
#include "tests/lib/trace_fixture.h"

static struct trace_fixture f;

/* ---- Beside writers ------------------------------------------------------------------- */

#define WRITERS 2u
#define SALT    UINT64_C(0x9e3779b97f4a7c15)

static _Atomic bool stop;

static void *keep_writing(void *arg) {
    struct trace_ring *ring = arg;
    uint64_t value = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        /* Words of one record that belong together: id is a function of the value. */
        trace_counter(ring, TRACE_QUEUED, value * SALT, value);
        value++;
    }
    return NULL;
}

/* Every record read is one that was written, whole, and in its order. */
static void check_counters(void) {
    uint64_t next[WRITERS] = {0};
    for (size_t i = 0; i < f.count; i++) {
        const struct traced *e = &f.events[i];
        uint64_t *expected = &next[e->thread - 2u];
        assert_true(e->value[0] >= *expected);
        *expected = e->value[0] + 1u;
        if (e->id != e->value[0] * SALT) {
            fail_msg("record %zu was torn: its words belong to different turns", i);
        }
    }
}

static void export_beside_writers(size_t words, unsigned exports) {
    trace_fixture_init(&f, WRITERS, words, 16);
    atomic_store(&stop, false);
    pthread_t threads[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_writing, &f.rings[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) { /* until all rings run over themselves */
        while (atomic_load(&f.rings[i].head) < 2u * words) {
            sched_yield();
        }
    }
    uint64_t records = 0;
    for (unsigned i = 0; i < exports; i++) {
        bool valid = trace_fixture_export(&f);
        if (!valid || f.exporter.stats.malformed != 0) {
            atomic_store(&stop, true);
            fail_msg("export %u beside writers: %s, %u malformed blocks", i,
                     valid ? "valid" : f.result.error, (unsigned)f.exporter.stats.malformed);
        }
        check_counters();
        records += f.count;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(records > 0);
    assert_true(trace_fixture_export(&f)); /* at rest nothing is torn */
    assert_int_equal(f.exporter.stats.torn, 0);
    check_counters();
    trace_fixture_fini(&f);
}

static void an_export_beside_running_writers_shows_only_whole_records(void **state) {
    (void)state;
    export_beside_writers(TRACE_RING_WORDS_MIN, 3000); /* overrun all the time */
    export_beside_writers(16384, 50);
}

#define PER_BLOCK (TRACE_BLOCK_WORDS / 3u) /* records of three words */

static uint32_t overtaken; /* block that the writer enters while it is read */
static uint32_t written;

/* Called in the middle of an export: lets the writer come as far as it may be while its
 * head does not show it, namely with half a record in the block after its head's. */
static int overtake(void *arg, const void *bytes, size_t size) {
    (void)arg;
    (void)bytes;
    (void)size;
    struct trace_ring *ring = &f.rings[0];
    if (overtaken == 0) {
        uint32_t value = (uint32_t)(f.exporter.block[2] >> 32); /* first one of its block */
        uint64_t blocks = (ring->mask + 1u) / TRACE_BLOCK_WORDS;
        overtaken = value / PER_BLOCK + 1u;
        while (written < (overtaken + blocks) * PER_BLOCK) {
            trace_event(ring, TRACE_SEND, written++);
        }
        uint64_t next = (overtaken + blocks) * TRACE_BLOCK_WORDS;
        atomic_store(&ring->words[next & ring->mask], UINT64_MAX);
    }
    return 0;
}

static void a_block_that_its_writer_takes_back_is_left_out_and_counted(void **state) {
    (void)state;
    trace_fixture_init(&f, 1, 4096, 16);
    overtaken = 0;
    written = 0;
    while (written < 40u * PER_BLOCK) {
        trace_event(&f.rings[0], TRACE_SEND, written++);
    }
    assert_int_equal(trace_export(&f.config, &f.exporter, 1, overtake, NULL), GMK_OK);
    assert_true(overtaken > 0);
    assert_int_equal(f.exporter.stats.malformed, 0); /* the half record was not looked at */
    assert_int_equal(f.exporter.stats.torn, 1);
    assert_int_equal(f.exporter.stats.records, 39u * PER_BLOCK);
    trace_fixture_fini(&f);
}

static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static void *keep_interning(void *arg) {
    struct trace_fixture *fixture = arg;
    for (unsigned i = 0; i < 8000; i++) {
        const char *name = names[i % 8u];
        unsigned index = trace_intern(&fixture->config, name);
        if (trace_text(&fixture->config, index) != name) {
            return fixture; /* the index names something else */
        }
    }
    return NULL;
}

static void threads_that_name_the_same_thing_get_the_same_index(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        trace_fixture_init(&f, 1, TRACE_RING_WORDS_MIN, 64);
        pthread_t threads[3];
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, keep_interning, &f), 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            void *failed = NULL;
            pthread_join(threads[i], &failed);
            assert_null(failed);
        }
        unsigned used = 0;
        for (unsigned slot = 0; slot < 64; slot++) {
            used += atomic_load(&f.slots[slot]) != NULL;
        }
        assert_int_equal(used, 8);
        trace_fixture_fini(&f);
    }
}

static void *keep_setting(void *arg) {
    struct trace_config *config = arg;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        trace_set_level(config, i % 6u);
        trace_set_module_level(config, i % 4u, i % 3u == 0 ? GMK_TRACE_INHERIT : i % 6u);
        trace_set_sampling(config, i % TRACE_KINDS, i % 4u);
    }
    return NULL;
}

static void levels_may_change_while_others_emit(void **state) {
    (void)state;
    trace_fixture_init(&f, 1, 4096, 64);
    atomic_store(&stop, false);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_setting, &f.config), 0);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t begin = trace_task_begin(&f.rings[0], i % 4u);
        trace_event(&f.rings[0], TRACE_DROP, i);
        trace_task_end(&f.rings[0], begin, 0);
    }
    atomic_store(&stop, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_true(trace_fixture_export(&f));
    trace_set_level(&f.config, GMK_TRACE_OFF);
    for (unsigned module = 0; module < 4; module++) {
        trace_set_module_level(&f.config, module, GMK_TRACE_INHERIT);
    }
    assert_false(trace_on_for(&f.rings[0], 1, GMK_TRACE_ERROR)); /* the gates have followed */
    trace_fixture_fini(&f);
}

/* ---- Over damaged memory ------------------------------------------------------------------ */

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void fill(struct trace_ring *ring, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        trace_event(ring, TRACE_SEND, i);
        trace_event_name(ring, TRACE_SUBMIT, 1, trace_intern(&f.config, names[i % 8u]));
        trace_user(ring, 1, GMK_TRACE_INFO, "user event", i);
        trace_counter(ring, TRACE_QUEUED, i, i);
        trace_task_end(ring, trace_task_begin(ring, 1), 0);
    }
}

static void damaged_rings_never_make_an_invalid_archive(void **state) {
    (void)state;
    unsigned malformed = 0;
    for (uint32_t seed = 1; seed <= 3000; seed++) {
        uint32_t random = seed;
        trace_fixture_init(&f, 1, 512, seed % 2u == 0 ? 64u : 0u);
        fill(&f.rings[0], 60);
        for (unsigned hits = next_random(&random) % 8u + 1u; hits > 0; hits--) {
            uint32_t word = next_random(&random) % 512u;
            uint64_t mask = UINT64_C(1) << next_random(&random) % 64u;
            atomic_fetch_xor(&f.rings[0].words[word], mask);
        }
        bool valid = trace_fixture_export(&f);
        /* A damaged time stamp may run backwards; that is no fault of the format. */
        if (!valid && strcmp(f.result.error, "time of a ring runs backwards") != 0) {
            fail_msg("seed %u: %s at byte %zu", seed, f.result.error, f.result.offset);
        }
        malformed += f.exporter.stats.malformed != 0;
        trace_fixture_fini(&f);
    }
    assert_true(malformed > 1000); /* most hits are noticed */
}

static void a_damaged_head_reads_no_memory_outside_the_ring(void **state) {
    (void)state;
    static const uint64_t heads[] = {UINT64_MAX, UINT64_MAX - 63, UINT64_C(1) << 63, 511, 3};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        trace_fixture_init(&f, 1, 512, 64);
        fill(&f.rings[0], 60);
        atomic_store(&f.rings[0].head, heads[i]);
        (void)trace_fixture_export(&f);
        assert_int_equal(f.status, GMK_OK);
        assert_true(f.result.error == NULL || f.size > 0);
        trace_fixture_fini(&f);
    }
}

/* ---- Into a writer that fails ------------------------------------------------------------------ */

struct failing {
    unsigned calls;
    unsigned fail_at;
};

static int fail_sometime(void *arg, const void *bytes, size_t size) {
    struct failing *failing = arg;
    (void)bytes;
    assert_true(size > 0);
    failing->calls++;
    return failing->calls == failing->fail_at ? -77 : 0;
}

static void the_writers_error_stops_the_export_and_is_returned(void **state) {
    (void)state;
    trace_fixture_init(&f, 2, 4096, 64);
    fill(&f.rings[0], 400);
    fill(&f.rings[1], 400);
    struct failing never = {0, 0};
    assert_int_equal(trace_export(&f.config, &f.exporter, 1, fail_sometime, &never), GMK_OK);
    assert_true(never.calls > 3);
    for (unsigned n = 1; n <= never.calls; n++) {
        struct failing nth = {0, n};
        assert_int_equal(trace_export(&f.config, &f.exporter, 1, fail_sometime, &nth), -77);
        assert_int_equal(nth.calls, n); /* not called again after it failed */
    }
    trace_fixture_fini(&f);
}

/* ---- Many rings ----------------------------------------------------------------------------------- */

static void every_ring_there_may_be_has_a_thread_of_its_own(void **state) {
    (void)state;
    trace_fixture_init(&f, TRACE_RINGS_MAX, TRACE_RING_WORDS_MIN, 64);
    for (unsigned i = 0; i < TRACE_RINGS_MAX; i++) {
        trace_event(&f.rings[i], TRACE_WAKE, i);
    }
    assert_true(trace_fixture_export(&f));
    assert_int_equal(f.count, TRACE_RINGS_MAX);
    assert_int_equal(f.result.threads, TRACE_RINGS_MAX);
    for (unsigned i = 0; i < TRACE_RINGS_MAX; i++) {
        assert_int_equal(f.events[i].thread, i + 2u);
        assert_int_equal(f.events[i].value[0], i);
    }
    static uint64_t memory[TRACE_RING_WORDS_MIN];
    static struct trace_ring more;
    assert_false(trace_attach(&f.config, &more, memory, TRACE_RING_WORDS_MIN, "one more"));
    trace_event(&more, TRACE_HANG, 1); /* silent */
    trace_fixture_fini(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_beside_running_writers_shows_only_whole_records),
        cmocka_unit_test(a_block_that_its_writer_takes_back_is_left_out_and_counted),
        cmocka_unit_test(threads_that_name_the_same_thing_get_the_same_index),
        cmocka_unit_test(levels_may_change_while_others_emit),
        cmocka_unit_test(damaged_rings_never_make_an_invalid_archive),
        cmocka_unit_test(a_damaged_head_reads_no_memory_outside_the_ring),
        cmocka_unit_test(the_writers_error_stops_the_export_and_is_returned),
        cmocka_unit_test(every_ring_there_may_be_has_a_thread_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
