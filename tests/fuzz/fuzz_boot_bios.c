/* Fuzz of the road of our own loader: any structure of any size, and one with the right header. */
#include "boot/bios.c"
#include "boot/boot_info.c"
#include "boot/roads.c"
#include "tests/lib/fuzz_input.h"
#include "tests/lib/road_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_structure(const void *bytes, size_t size) {
    void *copy = fuzz_copy(bytes, size);
    memset(&boot_info, 0, sizeof boot_info);
    bios_read(&boot_info, copy, size);
    fuzz_must_not(road_check(&boot_info));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct bios_boot boot;
    read_structure(data, size);
    memset(&boot, 0, sizeof boot);
    memcpy(&boot, data, size < sizeof boot ? size : sizeof boot);
    boot.magic = BIOS_BOOT_MAGIC;
    boot.size = sizeof boot;
    read_structure(&boot, sizeof boot);
    return 0;
}
