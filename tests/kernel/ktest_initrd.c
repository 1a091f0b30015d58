/* Test of the initrd: a good archive is found and read; a bad one is reported and left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "kernel/core/initrd.h"
#include "kernel/core/log.h"
#include "kernel/mem/frame.h"
#include "lib/format.h"
#include "tests/lib/cpio_build.h"

#define FRAMES (CPIO_BUILD_SIZE / PAGE_SIZE)

static struct boot_info info;
static struct cpio_build *archive; /* in frames of its own, as a loader leaves it */
static paddr_t memory;
static size_t second; /* where the header of the second file is */

static int start(void **state) {
    (void)state;
    memory = frame_alloc_run(FRAMES + 1, PAGE_SIZE, 0, FRAME_MODULE);
    assert_int_not_equal(memory, 0);
    archive = arch_phys(memory);
    archive->used = 0;
    cpio_build_add(archive, "./etc/motd", 0100644, "hello", 5, 1);
    second = cpio_build_add(archive, "bin/init", 0100755, "\177ELF", 4, 1);
    cpio_build_add(archive, CPIO_BUILD_TRAILER, 0, "", 0, 1);
    memset(&info, 0, sizeof info);
    info.module_count = 2;
    info.modules[0] = (struct boot_module){.base = memory, .size = 16, .name = "first"};
    info.modules[1] = (struct boot_module){.base = memory + offsetof(struct cpio_build, bytes),
                                           .size = archive->used};
    memcpy(info.modules[1].name, "/boot/initrd.cpio", 18);
    return 0;
}

/* The kernel has its own archive again. */
static int stop(void **state) {
    (void)state;
    initrd_init(&boot_info);
    frame_free_run(memory, FRAMES + 1);
    return 0;
}

static bool log_has(const char *text) {
    static char log[KLOG_KEEP + 1];
    size_t length = klog_tail(log, KLOG_KEEP);
    log[length] = '\0';
    return strstr(log, text) != NULL;
}

static void files_of_the_module_called_initrd_are_found(void **state) {
    (void)state;
    struct cpio_entry entry;
    initrd_init(&info);
    assert_true(initrd_find("etc/motd", &entry));
    assert_int_equal(entry.size, 5);
    assert_memory_equal(entry.data, "hello", 5);
    assert_true(initrd_find("/bin/init", &entry));
    assert_int_equal(entry.mode, 0100755);
    assert_false(initrd_find("bin", &entry));
}

static void a_damaged_archive_is_reported_with_its_place(void **state) {
    (void)state;
    struct cpio_entry entry;
    char text[64];
    archive->bytes[second + CPIO_BUILD_HEADER + 12] ^= 1; /* the first byte of its data */
    initrd_init(&info);
    assert_false(initrd_find("etc/motd", &entry)); /* not even what came before */
    (void)format_string(text, sizeof text, "damaged at byte %zu of %zu:", second, archive->used);
    assert_true(log_has(text));
    assert_true(log_has("the checksum of a file is wrong"));
}

static void a_missing_archive_is_reported(void **state) {
    (void)state;
    struct cpio_entry entry;
    info.module_count = 0;
    initrd_init(&info);
    assert_false(initrd_find("etc/motd", &entry));
    assert_true(log_has("no archive came with the kernel"));
}

static void a_module_that_is_not_in_memory_is_not_touched(void **state) {
    (void)state;
    static const uint64_t bases[] = {1ull << 45, UINT64_MAX - 100, 0xfee00000u};
    struct cpio_entry entry;
    for (unsigned i = 0; i < 3; i++) {
        info.modules[1].base = bases[i];
        initrd_init(&info);
        assert_false(initrd_find("etc/motd", &entry));
    }
    info.modules[1].base = memory;
    info.modules[1].size = UINT64_MAX - 4096;
    initrd_init(&info);
    assert_false(initrd_find("etc/motd", &entry));
    assert_true(log_has("not in memory: going on without"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_of_the_module_called_initrd_are_found, start, stop),
        cmocka_unit_test_setup_teardown(a_damaged_archive_is_reported_with_its_place, start, stop),
        cmocka_unit_test_setup_teardown(a_missing_archive_is_reported, start, stop),
        cmocka_unit_test_setup_teardown(a_module_that_is_not_in_memory_is_not_touched, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
