/* Fuzz of the PVH road: a machine's memory below 4 GiB, of which the input fills a few places.
 *
 * The memory is reserved addresses, readable all over, with none behind its end; so reading outside
 * ends the program. The input: four pieces of one page, each put at a place that it names (some
 * places are near the end, where what is read may reach beyond). Afterwards they are zero again. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "boot/boot_info.c"
#include "boot/pvh.c"
#include "boot/roads.c"
#include "tests/lib/fuzz_input.h"
#include "tests/lib/road_check.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE  4096u
#define PIECES 4u

static uint8_t *memory; /* [0, BOOT_REACH), then a page that cannot be read */

static void reserve(void) {
    void *at = mmap(NULL, BOOT_REACH + 2 * PIECE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fuzz_must(at != MAP_FAILED, "no addresses");
    memory = (uint8_t *)at + PIECE;
    fuzz_must(mprotect(memory, BOOT_REACH, PROT_READ | PROT_WRITE) == 0, "no memory");
}

/* A place for a piece: one of a few, so that addresses in the input find them. */
static uint64_t place(uint64_t choice) {
    static const uint64_t places[] = {0x1000,    0x2000,    0x100000,           0x7ffff000,
                                      0x8000000, 0x7fff800, BOOT_REACH - PIECE, BOOT_REACH - 100};
    return places[choice % 8];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    uint64_t at[PIECES];
    size_t length[PIECES];
    if (memory == NULL) {
        reserve();
    }
    uint64_t start = place(fuzz_take(&in, 1)) + fuzz_take(&in, 1);
    for (unsigned i = 0; i < PIECES; i++) {
        at[i] = place(fuzz_take(&in, 1));
        length[i] = (size_t)fuzz_take(&in, 2) % (PIECE + 1);
        length[i] = length[i] < in.left ? length[i] : in.left;
        length[i] = length[i] < BOOT_REACH - at[i] ? length[i] : (size_t)(BOOT_REACH - at[i]);
        memcpy(memory + at[i], in.at, length[i]);
        in.at += length[i];
        in.left -= length[i];
    }
    memset(&boot_info, 0, sizeof boot_info);
    boot_info.early_offset = (uint64_t)(uintptr_t)memory;
    pvh_read(&boot_info, start);
    fuzz_must_not(road_check(&boot_info));
    for (unsigned i = 0; i < PIECES; i++) {
        memset(memory + at[i], 0, length[i]);
    }
    return 0;
}
