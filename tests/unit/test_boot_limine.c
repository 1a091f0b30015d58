/* Test of the Limine road: responses as the loader gives them, missing ones, absurd ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot_info.c"
#include "boot/limine.c"
#include "boot/roads.c"
#include "tests/lib/road_check.h"

#define IMAGE  0xffffffff80200000ull
#define DIRECT 0xffff800000000000ull

static struct boot_info info;
static struct limine_requests requests;

static struct limine_bootloader_info loader = {0, "Limine", "8.6.0"};
static struct limine_hhdm hhdm;
static struct limine_executable_address address;
static struct limine_rsdp rsdp;
static struct limine_range ranges[9];
static struct limine_range *range_list[ENTRIES_MAX];
static struct limine_memmap memmap;
static struct limine_file files[3];
static struct limine_file *file_list[2];
static struct limine_module module;
static struct limine_cpu cpus[3];
static struct limine_cpu *cpu_list[ENTRIES_MAX];
static struct limine_mp mp;
static struct limine_screen screen;
static struct limine_screen *screen_list[1];
static struct limine_framebuffer framebuffer;
static struct limine_executable_file executable;

static void fill_lists(void) {
    for (uint64_t i = 0; i < 9; i++) {
        ranges[i] = (struct limine_range){i << 24, 0x100000, i};
    }
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        range_list[i] = &ranges[i % 9];
        cpu_list[i] = &cpus[i % 3];
    }
    for (uint32_t i = 0; i < 3; i++) {
        cpus[i] = (struct limine_cpu){.processor_id = i, .apic_id = 4 + i};
    }
    files[0] = (struct limine_file){0, DIRECT + 0x1000000, 0x200, "/boot/initrd.cpio", ""};
    files[1] = (struct limine_file){0, DIRECT + 0x2000000, 0x300, "/boot/more", "named"};
    files[2] = (struct limine_file){.text = "cpus=2"};
    file_list[0] = &files[0];
    file_list[1] = &files[1];
    screen_list[0] = &screen;
}

static int start(void **state) {
    (void)state;
    memset(&info, 0, sizeof info);
    memset(&requests, 0, sizeof requests);
    fill_lists();
    hhdm = (struct limine_hhdm){0, DIRECT};
    address = (struct limine_executable_address){0, 0x7c00000, IMAGE};
    rsdp = (struct limine_rsdp){3, 0xf59e0};
    memmap = (struct limine_memmap){0, 9, range_list};
    module = (struct limine_module){0, 2, file_list};
    mp = (struct limine_mp){0, 0, 4, 3, cpu_list};
    screen = (struct limine_screen){.address = DIRECT + 0xfd000000,
                                    .width = 1024,
                                    .height = 768,
                                    .pitch = 4096,
                                    .bits_per_pixel = 32,
                                    .memory_model = 1,
                                    .red_bits = 8,
                                    .red_shift = 16,
                                    .green_bits = 8,
                                    .green_shift = 8,
                                    .blue_bits = 8};
    framebuffer = (struct limine_framebuffer){0, 1, screen_list};
    executable = (struct limine_executable_file){0, &files[2]};
    requests.bootloader_info.response = &loader;
    requests.hhdm.response = &hhdm;
    requests.framebuffer.response = &framebuffer;
    requests.memmap.response = &memmap;
    requests.executable_file.response = &executable;
    requests.module.response = &module;
    requests.rsdp.response = &rsdp;
    requests.executable_address.response = &address;
    requests.mp.response = &mp;
    return 0;
}

static int stop(void **state) {
    (void)state;
    assert_null(road_check(&info));
    return 0;
}

static void read_all(void) {
    limine_read(&info, &requests, IMAGE, 0x123000);
}

static void a_machine_is_told_whole(void **state) {
    (void)state;
    static const uint32_t kinds[] = {BOOT_RAM,      BOOT_RESERVED, BOOT_ACPI_RECLAIM,
                                     BOOT_ACPI_NVS, BOOT_BAD,      BOOT_LOADER,
                                     BOOT_RAM,      BOOT_RESERVED, BOOT_RESERVED};
    read_all();
    assert_null(info.complaint);
    assert_string_equal(info.loader, "Limine 8.6.0");
    assert_string_equal(info.cmdline, "cpus=2");
    assert_int_equal(info.early_offset, DIRECT);
    assert_int_equal(info.kernel_base, 0x7c00000);
    assert_int_equal(info.kernel_size, 0x123000);
    assert_int_equal(info.rsdp, 0xf59e0);
    assert_int_equal(info.range_count, 9);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(info.ranges[i].kind, kinds[i]);
    }
    assert_int_equal(info.module_count, 2);
    assert_int_equal(info.modules[0].base, 0x1000000);
    assert_string_equal(info.modules[0].name, "/boot/initrd.cpio");
    assert_string_equal(info.modules[1].name, "named");
    assert_int_equal(info.framebuffer.base, 0xfd000000);
    assert_int_equal(info.cpu_count, 2); /* without the one that runs */
    assert_int_equal(info.cpus[0].apic_id, 5);
    assert_ptr_equal(info.cpus[0].goto_address, &cpus[1].goto_address);
}

static void an_rsdp_in_the_direct_map_is_understood(void **state) {
    (void)state;
    rsdp.address = DIRECT + 0xf59e0;
    read_all();
    assert_int_equal(info.rsdp, 0xf59e0);
}

static void without_knowing_where_it_is_nothing_is_read(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        start(NULL);
        requests.hhdm.response = i == 0 ? NULL : &hhdm;
        requests.executable_address.response = i == 1 ? NULL : &address;
        address.virtual += i == 2;
        read_all();
        assert_non_null(info.complaint);
        assert_int_equal(info.range_count, 0);
        assert_string_equal(info.cmdline, "cpus=2"); /* it can still say how to end */
    }
}

static void every_response_may_be_missing(void **state) {
    (void)state;
    memset(&requests, 0, sizeof requests);
    requests.hhdm.response = &hhdm;
    requests.executable_address.response = &address;
    read_all();
    assert_string_equal(info.complaint, "limine: no memory map");
    assert_int_equal(info.range_count + info.module_count + info.cpu_count + info.rsdp, 0);
    assert_string_equal(info.loader, "");
    assert_string_equal(info.cmdline, "");
}

static void absurd_counts_are_cut(void **state) {
    (void)state;
    memmap.count = UINT64_MAX;
    mp.count = 1ull << 63;
    read_all();
    assert_non_null(info.complaint);
    assert_int_equal(info.range_count, BOOT_RANGES_MAX);
    assert_int_equal(info.dropped_ranges, ENTRIES_MAX - BOOT_RANGES_MAX);
    assert_int_equal(info.cpu_count, BOOT_CPUS_MAX);
}

static void a_screen_that_cannot_be_is_left_out(void **state) {
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        start(NULL);
        screen.memory_model = i == 0 ? 2 : 1;
        screen.width = i == 1 ? 0x100000400ull : 1024;
        screen.height = i == 2 ? 1ull << 40 : 768;
        screen.pitch = i == 3 ? 0x100001000ull : 4096;
        screen.bits_per_pixel = i == 4 ? 256 + 32 : 32;
        framebuffer.count = i == 5 ? 0 : 1;
        screen.blue_bits = i == 6 ? 0 : 8;
        read_all();
        assert_int_equal(info.framebuffer.kind, BOOT_FB_NONE);
        assert_int_equal(info.complaint != NULL, i != 5);
    }
}

static void another_base_revision_is_reported(void **state) {
    (void)state;
    requests.base_revision[2] = 3; /* the loader did not touch it */
    read_all();
    assert_string_equal(info.complaint, "limine: the loader does not speak base revision 3");
}

/* ---- The protocol, in the notation of its text (PROTOCOL.md) ---------------------------------- */

#define LIMINE_COMMON_MAGIC 0xc7b1dd30df4c8b88, 0x0a82e883a194f07b

#define assert_words(member, ...)                                                \
    do {                                                                         \
        const uint64_t expected[] = {__VA_ARGS__};                               \
        assert_memory_equal(limine_requests.member, expected, sizeof(expected)); \
    } while (0)
#define assert_id(name, ...) assert_words(name.id, LIMINE_COMMON_MAGIC, __VA_ARGS__)

static void the_requests_carry_the_numbers_of_the_protocol(void **state) {
    (void)state;
    assert_words(start, 0xf6b8f4b39de7d1ae, 0xfab91a6940fcb9cf, 0x785c6ed015d3e316,
                 0x181e920a7852b9d9);
    assert_words(base_revision, 0xf9562b2d5c95a6c8, 0x6a7b384944536bdc, 3);
    assert_id(bootloader_info, 0xf55038d8e2a1202f, 0x279426fcf5f59740);
    assert_id(hhdm, 0x48dcf1cb8ad2b852, 0x63984e959a98244b);
    assert_id(framebuffer, 0x9d5827dcd881dd75, 0xa3148604f6fab11b);
    assert_id(mp, 0x95a67b819a1b857e, 0xa0b61b723b6a73e0);
    assert_id(memmap, 0x67cf3d9d378a806f, 0xe304acdfc50c3c62);
    assert_id(executable_file, 0xad97e90e83f1ed67, 0x31eb5d1c5ff23b69);
    assert_id(module, 0x3e7e279702be32af, 0xca1c4f3bd1280cee);
    assert_id(rsdp, 0xc5e77b6b397e7b43, 0x27637845accdcf3c);
    assert_id(executable_address, 0x71ba76863cc55f63, 0xb2644a48c516a487);
    assert_words(end, 0xadc0e0531bb10d03, 0x9572709f31764c62);
    assert_int_equal((uintptr_t)&limine_requests % 8, 0);
}

static void structures_have_the_layout_of_the_protocol(void **state) {
    (void)state;
    assert_int_equal(
        offsetof(struct limine_requests, mp.response) - offsetof(struct limine_requests, mp), 40);
    assert_int_equal(offsetof(struct limine_screen, bits_per_pixel), 32);
    assert_int_equal(offsetof(struct limine_screen, memory_model), 34);
    assert_int_equal(offsetof(struct limine_screen, red_bits), 35);
    assert_int_equal(offsetof(struct limine_screen, blue_shift), 40);
    assert_int_equal(offsetof(struct limine_file, text), 32);
    assert_int_equal(offsetof(struct limine_mp, boot_apic_id), 12);
    assert_int_equal(offsetof(struct limine_mp, cpus), 24);
    assert_int_equal(offsetof(struct limine_cpu, goto_address), 16);
    assert_int_equal(offsetof(struct limine_cpu, argument), 24);
    assert_int_equal(sizeof(struct limine_range), 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_is_told_whole, start, stop),
        cmocka_unit_test_setup_teardown(an_rsdp_in_the_direct_map_is_understood, start, stop),
        cmocka_unit_test_setup_teardown(without_knowing_where_it_is_nothing_is_read, start, stop),
        cmocka_unit_test_setup_teardown(every_response_may_be_missing, start, stop),
        cmocka_unit_test_setup_teardown(absurd_counts_are_cut, start, stop),
        cmocka_unit_test_setup_teardown(a_screen_that_cannot_be_is_left_out, start, stop),
        cmocka_unit_test_setup_teardown(another_base_revision_is_reported, start, stop),
        cmocka_unit_test(the_requests_carry_the_numbers_of_the_protocol),
        cmocka_unit_test(structures_have_the_layout_of_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
