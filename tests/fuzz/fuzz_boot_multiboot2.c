/* Fuzz of the Multiboot2 road: any block; and tags whose sizes are right but for one.
 *
 * The input's first byte chooses. Even: the rest is the block. Odd: the rest describes tags, so that
 * the search gets to what is in them. */
#include "boot/boot_info.c"
#include "boot/multiboot2.c"
#include "boot/roads.c"
#include "tests/lib/fuzz_input.h"
#include "tests/lib/road_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK_PA 0x9d000u

static void read_block(const uint8_t *block, size_t size) {
    uint8_t *copy = fuzz_copy(block, size);
    memset(&boot_info, 0, sizeof boot_info);
    multiboot2_read(&boot_info, copy, BLOCK_PA, size);
    fuzz_must_not(road_check(&boot_info));
    fuzz_must(boot_info.rsdp == 0 || boot_info.rsdp - BLOCK_PA < size, "the root pointer");
    free(copy);
}

static void read_tags(struct fuzz_input *in) {
    static uint8_t block[16384];
    uint32_t used = 8;
    memset(block, 0, sizeof block);
    while (in->left > 0 && used < sizeof block - 2048) {
        uint32_t type = (uint32_t)fuzz_take(in, 1) % 24;
        uint32_t length = (uint32_t)fuzz_take(in, 2) % 1024, taken = 0;
        for (; taken < length && in->left > 0; taken++) {
            block[used + 8 + taken] = (uint8_t)fuzz_take(in, 1);
        }
        uint32_t tag_size = 8 + taken;
        memcpy(block + used, &type, 4);
        memcpy(block + used + 4, &tag_size, 4);
        used += (tag_size + 7) & ~7u;
    }
    const uint32_t end[2] = {0, 8};
    memcpy(block + used, end, 8);
    used += 8;
    memcpy(block, &used, 4);
    read_block(block, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    if (fuzz_take(&in, 1) % 2 == 0) {
        read_block(in.at, in.left);
    } else {
        read_tags(&in);
    }
    return 0;
}
