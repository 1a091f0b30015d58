/* Test of the FXT reader: it accepts what the format's description allows, and refuses
 * each thing the description forbids, with the reason. Archives are written by hand here,
 * word by word, so that neither the engine's writer nor the reader defines what is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/fxt_reader.h"

#define MAGIC UINT64_C(0x0016547846040010)
#define TICKS UINT64_C(1000000000)

/* The words every archive below begins with: magic, initialisation, string 1 = "abc",
 * thread 1 = (7, 8). */
#define HEAD \
    MAGIC, 0x21, TICKS, UINT64_C(0x0000000300010022), UINT64_C(0x0000000000636261), 0x10033, 7, 8
#define HEAD_WORDS 8u

/* An event header: type 4, size, event type, argument count, thread 1, category 1, name 1. */
#define EVENT(size, type, args)                                                              \
    (UINT64_C(4) | (uint64_t)(size) << 4 | (uint64_t)(type) << 16 | (uint64_t)(args) << 20 | \
     UINT64_C(1) << 24 | UINT64_C(1) << 32 | UINT64_C(1) << 48)

struct seen {
    unsigned events;
    struct fxt_event_read last;
    struct fxt_object_read object;
};

static void on_event(void *arg, const struct fxt_event_read *event) {
    struct seen *seen = arg;
    seen->events++;
    seen->last = *event;
}

static void on_object(void *arg, const struct fxt_object_read *object) {
    ((struct seen *)arg)->object = *object;
}

static void accept_words(const uint64_t *words, size_t size, struct seen *seen) {
    struct fxt_visitor visitor = {seen, on_event, on_object};
    struct fxt_result result;
    memset(seen, 0, sizeof *seen);
    if (!fxt_read(words, size, &visitor, &result)) {
        fail_msg("expected a valid archive, got \"%s\" at byte %zu", result.error, result.offset);
    }
}

static void refuse_words(const uint64_t *words, size_t size, const char *reason) {
    struct fxt_result result;
    if (fxt_read(words, size, NULL, &result)) {
        fail_msg("expected a refusal: %s", reason);
    }
    assert_string_equal(result.error, reason);
}

#define ACCEPT(seen, ...) \
    accept_words((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}), (seen))
#define REFUSE(reason, ...) \
    refuse_words((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}), (reason))

static void accepts_an_event_of_each_type(void **state) {
    (void)state;
    struct seen seen;
    ACCEPT(&seen, HEAD, EVENT(2, 0, 0), 5);
    assert_int_equal(seen.last.type, FXT_READ_INSTANT);
    assert_int_equal(seen.last.begin, 5);
    assert_int_equal(seen.last.process, 7);
    assert_int_equal(seen.last.thread, 8);
    assert_true(fxt_text_is(seen.last.category, "abc"));
    assert_true(fxt_text_is(seen.last.name, "abc"));

    ACCEPT(&seen, HEAD, EVENT(3, 4, 0), 5, 9);
    assert_int_equal(seen.last.type, FXT_READ_COMPLETE);
    assert_int_equal(seen.last.end, 9);

    ACCEPT(&seen, HEAD, EVENT(3, 1, 0), 5, 77);
    assert_int_equal(seen.last.id, 77);
    for (unsigned type = 5; type <= 10; type++) {
        ACCEPT(&seen, HEAD, EVENT(3, type, 0), 5, 78);
        assert_int_equal(seen.last.id, 78);
    }
    ACCEPT(&seen, HEAD, EVENT(2, 2, 0), 5, EVENT(2, 3, 0), 6);
    assert_int_equal(seen.events, 2);
}

static void accepts_inline_thread_and_strings(void **state) {
    (void)state;
    struct seen seen;
    /* thread 0: inline; category inline of 2 bytes, name inline of 9 bytes */
    ACCEPT(&seen, HEAD, UINT64_C(4) | 7u << 4 | UINT64_C(0x8002) << 32 | UINT64_C(0x8009) << 48, 5,
           70, 80, 0x7a7a, UINT64_C(0x6867666564636261), 0x69);
    assert_int_equal(seen.last.process, 70);
    assert_int_equal(seen.last.thread, 80);
    assert_true(fxt_text_is(seen.last.category, "zz"));
    assert_true(fxt_text_is(seen.last.name, "abcdefghi"));
}

static void accepts_an_argument_of_each_type(void **state) {
    (void)state;
    struct seen seen;
    const uint64_t name = UINT64_C(1) << 16;
    ACCEPT(&seen, HEAD, EVENT(19, 0, 11), 5,                /* */
           0 | 1u << 4 | name,                              /* null */
           1 | 1u << 4 | name | UINT64_C(0xfffffffe) << 32, /* -2 */
           2 | 1u << 4 | name | UINT64_C(3) << 32,          /* 3 */
           3 | 2u << 4 | name, 4,                           /* 64-bit signed */
           4 | 2u << 4 | name, 5,                           /* 64-bit unsigned */
           5 | 2u << 4 | name, 0,                           /* double 0.0 */
           6 | 1u << 4 | name | UINT64_C(1) << 32,          /* string 1 */
           7 | 2u << 4 | name, 6,                           /* pointer */
           8 | 2u << 4 | name, 7,                           /* koid */
           9 | 1u << 4 | name | UINT64_C(1) << 32,          /* true */
           10 | 2u << 4 | name | UINT64_C(2) << 32, 0xbbaa  /* two bytes */
    );
    assert_int_equal(seen.last.arg_count, 11);
    assert_int_equal(seen.last.args[FXT_READ_ARG_U64].value, 5);
    assert_true(fxt_text_is(seen.last.args[FXT_READ_ARG_STRING].text, "abc"));
    assert_true(fxt_text_is(seen.last.args[FXT_READ_ARG_KOID].name, "abc"));
    assert_int_equal(seen.last.args[FXT_READ_ARG_BLOB].value, 2);
}

static void accepts_objects_metadata_and_unused_record_types(void **state) {
    (void)state;
    struct seen seen;
    ACCEPT(&seen, MAGIC, 0x20 | UINT64_C(1) << 16 | UINT64_C(9) << 20 | UINT64_C(1) << 52, 'p',
           0x10 | UINT64_C(2) << 16 | UINT64_C(9) << 20,             /* section of provider 9 */
           0x10 | UINT64_C(3) << 16 | UINT64_C(9) << 20,             /* it dropped records */
           7 | 3u << 4 | 2u << 16 | UINT64_C(0x8001) << 24, 42, 'n', /* thread 42 is "n" */
           5 | 2u << 4, 0,                                           /* a blob */
           15 | 2u << 4, 0);                                         /* a large record */
    assert_int_equal(seen.object.koid, 42);
    assert_int_equal(seen.object.type, 2);
    assert_true(fxt_text_is(seen.object.name, "n"));
}

static void a_string_index_may_be_defined_again(void **state) {
    (void)state;
    struct seen seen;
    ACCEPT(&seen, HEAD, EVENT(2, 0, 0), 5, 2 | 2u << 4 | 1u << 16 | UINT64_C(1) << 32, 'x',
           EVENT(2, 0, 0), 6);
    assert_true(fxt_text_is(seen.last.name, "x"));
}

static void refuses_a_bad_beginning(void **state) {
    (void)state;
    struct fxt_result result;
    assert_false(fxt_read("", 0, NULL, &result));
    assert_string_equal(result.error, "empty archive");
    assert_false(fxt_read("\x10\x00\x04\x46\x78\x54\x16\x00\x01", 9, NULL, &result));
    assert_string_equal(result.error, "archive is not of whole words");
    REFUSE("no magic number", MAGIC + 1);
    REFUSE("trace info elsewhere than at the start", MAGIC, MAGIC);
}

static void refuses_wrong_sizes(void **state) {
    (void)state;
    REFUSE("record of no words", MAGIC, 1);
    REFUSE("record reaches beyond the archive", MAGIC, 0x31, TICKS);
    REFUSE("record is longer than its parts", MAGIC, 0x31, TICKS, 0);
    REFUSE("record is shorter than its parts", MAGIC, 0x11);
    REFUSE("record is shorter than its parts", HEAD, EVENT(2, 4, 0), 5);
    REFUSE("stream reaches beyond its record", MAGIC, 2 | 2u << 4 | 1u << 16 | UINT64_C(9) << 32,
           0);
    REFUSE("argument is not as long as its parts", HEAD, EVENT(3, 0, 1), 5, 2 | 2u << 4);
    REFUSE("unknown record type", MAGIC, 11 | 1u << 4);
}

static void refuses_what_is_used_before_it_is_defined(void **state) {
    (void)state;
    REFUSE("event before initialisation", MAGIC, EVENT(2, 0, 0), 5);
    REFUSE("string index used before it is defined", HEAD, EVENT(2, 0, 0) + (UINT64_C(1) << 48), 5);
    REFUSE("thread index used before it is defined", HEAD, EVENT(2, 0, 0) + (UINT64_C(1) << 24), 5);
    REFUSE("section of an unknown provider", MAGIC, 0x10 | UINT64_C(2) << 16);
    REFUSE("event of an unknown provider", MAGIC, 0x10 | UINT64_C(3) << 16);
}

static void refuses_reserved_bits_and_values(void **state) {
    (void)state;
    REFUSE("reserved bits in initialisation", MAGIC, 0x21 | 1u << 16, TICKS);
    REFUSE("no ticks per second", MAGIC, 0x21, 0);
    REFUSE("initialised twice", HEAD, 0x21, TICKS);
    REFUSE("string index 0 is the empty string", MAGIC, 2 | 1u << 4);
    REFUSE("bit 31 of a string record", MAGIC, 2 | 1u << 4 | 1u << 16 | UINT64_C(1) << 31);
    REFUSE("reserved bits in a string record", MAGIC, 2 | 1u << 4 | 1u << 16 | UINT64_C(1) << 47);
    REFUSE("thread index 0 means inline", MAGIC, 3 | 3u << 4, 1, 2);
    REFUSE("reserved bits in a thread record", MAGIC, 3 | 3u << 4 | 1u << 16 | 1u << 24, 1, 2);
    REFUSE("unknown event type", HEAD, EVENT(3, 11, 0), 5, 6);
    REFUSE("unknown argument type", HEAD, EVENT(3, 0, 1), 5, 11 | 1u << 4);
    REFUSE("reserved bits in a null argument", HEAD, EVENT(3, 0, 1), 5,
           1u << 4 | UINT64_C(1) << 32);
    REFUSE("reserved bits in a 64-bit argument", HEAD, EVENT(4, 0, 1), 5,
           4 | 2u << 4 | UINT64_C(1) << 32, 0);
    REFUSE("reserved bits in a string argument", HEAD, EVENT(3, 0, 1), 5,
           6 | 1u << 4 | UINT64_C(1) << 48);
    REFUSE("boolean is neither 0 nor 1", HEAD, EVENT(3, 0, 1), 5, 9 | 1u << 4 | UINT64_C(2) << 32);
    REFUSE("reserved bits in a kernel object", MAGIC, 7 | 2u << 4 | UINT64_C(1) << 44, 1);
    REFUSE("unknown metadata type", MAGIC, 0x10 | UINT64_C(5) << 16);
    REFUSE("provider without a name", MAGIC, 0x10 | UINT64_C(1) << 16);
}

static void refuses_time_that_runs_backwards(void **state) {
    (void)state;
    REFUSE("event ends before it begins", HEAD, EVENT(3, 4, 0), 5, 4);
}

static void refuses_strings_that_are_not_clean(void **state) {
    (void)state;
    const uint64_t string = 2 | 2u << 4 | 1u << 16;
    REFUSE("padding of a stream is not zero", MAGIC, string | UINT64_C(3) << 32, 0x01636261);
    REFUSE("inline string of no bytes", HEAD,
           EVENT(2, 0, 0) - (UINT64_C(1) << 48) + (UINT64_C(0x8000) << 48), 5);
    REFUSE("string is not UTF-8", MAGIC, string | UINT64_C(1) << 32, 0x80);       /* tail alone */
    REFUSE("string is not UTF-8", MAGIC, string | UINT64_C(2) << 32, 0x80c0);     /* overlong */
    REFUSE("string is not UTF-8", MAGIC, string | UINT64_C(3) << 32, 0x80a0ed);   /* surrogate */
    REFUSE("string is not UTF-8", MAGIC, string | UINT64_C(2) << 32, 0xa0e2);     /* cut short */
    REFUSE("string is not UTF-8", MAGIC, string | UINT64_C(4) << 32, 0x808090f4); /* too large */
    struct seen seen;
    ACCEPT(&seen, MAGIC, string | UINT64_C(4) << 32, 0x80989ff0); /* U+1F600 */
}

/* Every prefix of a valid archive is read without harm, and only those that end between
 * two records are valid. */
static void survives_an_archive_cut_anywhere(void **state) {
    (void)state;
    const uint64_t words[] = {HEAD, EVENT(3, 4, 0), 5, 9, EVENT(2, 0, 0), 10};
    const size_t ends[] = {1, 3, 5, 8, 11, 13};
    size_t size = sizeof words;
    for (size_t cut = 0; cut <= size; cut++) {
        bool expected = false;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            expected = expected || cut == ends[i] * 8u;
        }
        struct fxt_result result;
        if (fxt_read(words, cut, NULL, &result) != expected) {
            fail_msg("cut at byte %zu: expected %s", cut, expected ? "valid" : "a refusal");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_an_event_of_each_type),
        cmocka_unit_test(accepts_inline_thread_and_strings),
        cmocka_unit_test(accepts_an_argument_of_each_type),
        cmocka_unit_test(accepts_objects_metadata_and_unused_record_types),
        cmocka_unit_test(a_string_index_may_be_defined_again),
        cmocka_unit_test(refuses_a_bad_beginning),
        cmocka_unit_test(refuses_wrong_sizes),
        cmocka_unit_test(refuses_what_is_used_before_it_is_defined),
        cmocka_unit_test(refuses_reserved_bits_and_values),
        cmocka_unit_test(refuses_time_that_runs_backwards),
        cmocka_unit_test(refuses_strings_that_are_not_clean),
        cmocka_unit_test(survives_an_archive_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
