/* Test of cpio: archives are read as they were written; damage is found, named and placed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cpio.h"
#include "tests/lib/cpio_build.h"

static struct cpio_build b;
static uint8_t *copy;

static int start(void **state) {
    (void)state;
    memset(&b, 0, sizeof b);
    return 0;
}

static int stop(void **state) {
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

/* Opens an exact copy on the heap, so that a sanitizer sees a byte too many. */
static struct cpio open_copy(size_t size) {
    struct cpio cpio;
    free(copy);
    copy = malloc(size + (size == 0));
    memcpy(copy, b.bytes, size);
    cpio_open(&cpio, copy, size);
    return cpio;
}

static struct cpio open_all(void) {
    return open_copy(b.used);
}

static void expect(struct cpio *cpio, const char *name, uint32_t mode, const char *data) {
    struct cpio_entry entry;
    assert_true(cpio_next(cpio, &entry));
    assert_null(cpio->error);
    assert_string_equal(entry.name, name);
    assert_int_equal(entry.mode, mode);
    assert_int_equal(entry.size, strlen(data));
    assert_memory_equal(entry.data, data, entry.size);
}

/* The archive is damaged, exactly there and for that reason. */
static void expect_error(struct cpio cpio, size_t at, const char *reason) {
    struct cpio_entry entry;
    while (cpio_next(&cpio, &entry)) {}
    assert_non_null(cpio.error);
    assert_string_equal(cpio.error, reason);
    assert_int_equal(cpio.at, at);
    assert_false(cpio_next(&cpio, &entry)); /* and stays so */
}

static void add_trailer(void) {
    (void)cpio_build_add(&b, CPIO_BUILD_TRAILER, 0, "", 0, 0);
}

static void entries_come_in_order_with_name_mode_and_data(void **state) {
    (void)state;
    for (int summed = 0; summed < 2; summed++) {
        start(NULL);
        cpio_build_add(&b, ".", 040755, "", 0, summed);
        cpio_build_add(&b, "a", 0100644, "x", 1, summed);
        cpio_build_add(&b, "bc", 0100600, "1234", 4, summed);
        cpio_build_add(&b, "def/ghij", 0120777, "target", 6, summed);
        cpio_build_add(&b, CPIO_BUILD_TRAILER, 0, "", 0, summed);
        cpio_build_add(&b, "beyond", 0, "", 0, summed);
        struct cpio cpio = open_all();
        struct cpio_entry entry;
        expect(&cpio, ".", 040755, "");
        expect(&cpio, "a", 0100644, "x");
        expect(&cpio, "bc", 0100600, "1234");
        expect(&cpio, "def/ghij", 0120777, "target");
        assert_false(cpio_next(&cpio, &entry));
        assert_null(cpio.error);
    }
}

static void files_are_found_by_name(void **state) {
    (void)state;
    cpio_build_add(&b, "./etc/motd", 0100644, "hello", 5, 0);
    cpio_build_add(&b, "/bin/init", 0100755, "\x7f", 1, 0);
    cpio_build_add(&b, "etc", 040755, "", 0, 0);
    add_trailer();
    struct cpio_entry entry;
    assert_true(cpio_find(b.bytes, b.used, "etc/motd", &entry));
    assert_int_equal(entry.size, 5);
    assert_true(cpio_find(b.bytes, b.used, "./etc/motd", &entry));
    assert_true(cpio_find(b.bytes, b.used, "/bin/init", &entry));
    assert_true(cpio_find(b.bytes, b.used, "bin/init", &entry));
    assert_true(cpio_find(b.bytes, b.used, "etc", &entry));
    assert_false(cpio_find(b.bytes, b.used, "etc/mo", &entry));
    assert_false(cpio_find(b.bytes, b.used, "motd", &entry));
    assert_false(cpio_find(b.bytes, b.used, CPIO_BUILD_TRAILER, &entry));
    assert_false(cpio_find(b.bytes, 0, "etc", &entry));
}

static void an_archive_needs_its_trailer(void **state) {
    (void)state;
    cpio_build_add(&b, "a", 0, "x", 1, 0);
    expect_error(open_all(), b.used, "it ends without a trailer");
    expect_error(open_copy(0), 0, "it ends without a trailer");
}

static void an_archive_cut_anywhere_is_damaged(void **state) {
    (void)state;
    cpio_build_add(&b, "name", 0100644, "some data", 9, 1);
    add_trailer();
    size_t whole = CPIO_BUILD_HEADER + sizeof CPIO_BUILD_TRAILER; /* padding may be missing */
    size_t trailer = b.used - ((whole + 3) & ~(size_t)3);
    for (size_t size = 0; size < trailer + whole; size++) {
        struct cpio cpio = open_copy(size);
        struct cpio_entry entry;
        while (cpio_next(&cpio, &entry)) {}
        assert_non_null(cpio.error);
        assert_true(cpio.at <= size);
    }
    struct cpio cpio = open_copy(trailer + whole);
    struct cpio_entry entry;
    assert_true(cpio_next(&cpio, &entry));
    assert_false(cpio_next(&cpio, &entry));
    assert_null(cpio.error);
}

static void fields_are_hexadecimal_and_nothing_else(void **state) {
    (void)state;
    static const char bad[] = {' ', '-', '+', 'x', 'g', 'G', '/', ':', '@', '`', '\0', '\xff'};
    cpio_build_add(&b, "first", 0, "", 0, 0);
    size_t header = cpio_build_add(&b, "a", 0, "x", 1, 0);
    add_trailer();
    for (size_t at = 6; at < CPIO_BUILD_HEADER; at++) {
        uint8_t *place = &b.bytes[header + at], saved = *place;
        *place = (uint8_t)bad[at % sizeof bad];
        expect_error(open_all(), header, "a header field is not hexadecimal");
        *place = saved;
    }
    for (unsigned c = 0; c < 256; c++) { /* every byte in one place that does not matter */
        b.bytes[header + 6] = (uint8_t)c;
        struct cpio cpio = open_all();
        struct cpio_entry entry;
        (void)cpio_next(&cpio, &entry);
        bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        assert_int_equal(cpio_next(&cpio, &entry), fine);
    }
}

static void other_formats_are_refused(void **state) {
    (void)state;
    static const char *const magics[] = {"070707", "070700", "070703", "\xc7q\x1f\x8b\x08 ",
                                         "      "};
    cpio_build_add(&b, "a", 0, "x", 1, 0);
    add_trailer();
    for (unsigned i = 0; i < 5; i++) {
        memcpy(b.bytes, magics[i], 6);
        expect_error(open_all(), 0, "no header of the newc format here");
    }
}

static void names_end_inside_their_size(void **state) {
    (void)state;
    size_t header = cpio_build_add(&b, "abcdef", 0, "x", 1, 0);
    add_trailer();
    cpio_build_field(&b, header, 11, 6);
    expect_error(open_all(), header, "a name is not terminated");
    cpio_build_field(&b, header, 11, 0);
    expect_error(open_all(), header, "a name is not terminated");
    static const uint32_t sizes[] = {0x7fffffff, 0xffffffff, 0xffffff92, 10000};
    for (unsigned i = 0; i < 4; i++) {
        cpio_build_field(&b, header, 11, sizes[i]);
        expect_error(open_all(), header, "a name reaches past the end");
    }
}

static void files_end_inside_the_archive(void **state) {
    (void)state;
    size_t header = cpio_build_add(&b, "abcdef", 0, "x", 1, 0);
    add_trailer();
    static const uint32_t sizes[] = {0x7fffffff, 0xffffffff, 0xffffff8a, 10000};
    for (unsigned i = 0; i < 4; i++) {
        cpio_build_field(&b, header, 6, sizes[i]);
        expect_error(open_all(), header, "a file reaches past the end");
    }
    size_t rest = b.used - header - CPIO_BUILD_HEADER - 7 - 3; /* name, its padding */
    cpio_build_field(&b, header, 6, (uint32_t)rest + 1);
    expect_error(open_all(), header, "a file reaches past the end");
    cpio_build_field(&b, header, 6, (uint32_t)rest);
    expect_error(open_all(), b.used, "it ends without a trailer");
}

static void sums_are_verified_in_the_crc_format_only(void **state) {
    (void)state;
    cpio_build_add(&b, "a", 0, "\xff\xff\x01", 3, 1);
    size_t header = cpio_build_add(&b, "b", 0, "abc", 3, 1);
    add_trailer();
    b.bytes[header + CPIO_BUILD_HEADER + 2] ^= 1; /* the first byte of the data */
    expect_error(open_all(), header, "the checksum of a file is wrong");
    memcpy(b.bytes + header, "070701", 6);
    struct cpio cpio = open_all();
    expect(&cpio, "a", 0, "\xff\xff\x01");
    expect(&cpio, "b", 0, "`bc");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_come_in_order_with_name_mode_and_data, start, stop),
        cmocka_unit_test_setup_teardown(files_are_found_by_name, start, stop),
        cmocka_unit_test_setup_teardown(an_archive_needs_its_trailer, start, stop),
        cmocka_unit_test_setup_teardown(an_archive_cut_anywhere_is_damaged, start, stop),
        cmocka_unit_test_setup_teardown(fields_are_hexadecimal_and_nothing_else, start, stop),
        cmocka_unit_test_setup_teardown(other_formats_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(names_end_inside_their_size, start, stop),
        cmocka_unit_test_setup_teardown(files_end_inside_the_archive, start, stop),
        cmocka_unit_test_setup_teardown(sums_are_verified_in_the_crc_format_only, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
