/* ACPI fixture: the tables that a test builds, and what the reader made of them. For programs that
 * read whole sets of tables; included by each once. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/acpi_build.h"

static struct acpi_build b;
static struct acpi_info info;

static inline int start(void **state) {
    (void)state;
    acpi_build_init(&b, 0xbf000000u);
    memset(&info, 0xa5, sizeof info);
    return 0;
}

static inline int stop(void **state) {
    (void)state;
    acpi_build_fini(&b);
    return 0;
}

static inline void finish(void) {
    (void)acpi_build_end(&b, true);
}

static inline void read_all(void) {
    b.note_count = 0;
    assert_true(acpi_read(&b.reader, acpi_build_root(&b, 2), &info));
}

static inline void set(uint64_t table, size_t at, uint64_t value, size_t width) {
    memcpy(acpi_build_at(&b, table) + at, &value, width);
}
