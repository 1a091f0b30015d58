/* Fuzz of cpio: any bytes; and entries with true headers but for what the input changes.
 *
 * The input's first byte chooses. Even: the rest is the archive. Odd: the rest describes entries and
 * a few bytes to change afterwards. No byte outside is read, and what an entry shows is inside. */
#include "lib/cpio.h"
#include "tests/lib/cpio_build.h"
#include "tests/lib/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_archive(const uint8_t *bytes, size_t size) {
    uint8_t *copy = fuzz_copy(bytes, size);
    struct cpio cpio;
    struct cpio_entry entry;
    size_t before = 0;
    cpio_open(&cpio, copy, size);
    while (cpio_next(&cpio, &entry)) {
        const uint8_t *name = (const uint8_t *)entry.name, *at = entry.data;
        fuzz_must(cpio.at > before && cpio.at <= size, "the offset does not grow");
        fuzz_must(name >= copy && name + strlen(entry.name) < copy + size, "a name is outside");
        fuzz_must(at >= copy && entry.size <= (size_t)(copy + size - at), "data is outside");
        before = cpio.at;
    }
    fuzz_must(cpio.error == NULL || cpio.at == before, "an error moves the offset");
    fuzz_must(cpio.at <= size, "the offset is outside");
    (void)cpio_find(copy, size, "etc/motd", &entry);
    free(copy);
}

static void read_built(struct fuzz_input *in) {
    struct cpio_build b = {.used = 0};
    char name[16] = "";
    unsigned count = (unsigned)fuzz_take(in, 1) % 8;
    for (unsigned i = 0; i < count; i++) {
        uint64_t choice = fuzz_take(in, 1);
        size_t size = (size_t)(choice >> 1) % (in->left + 1);
        memset(name, 'a' + (int)i, 1 + choice % 13);
        (void)cpio_build_add(&b, name, (uint32_t)choice, in->at, size, (int)(choice & 1));
        in->at += size;
        in->left -= size;
    }
    (void)cpio_build_add(&b, CPIO_BUILD_TRAILER, 0, "", 0, 0);
    while (in->left >= 3) {
        size_t at = (size_t)fuzz_take(in, 2) % b.used;
        b.bytes[at] = (uint8_t)fuzz_take(in, 1);
    }
    read_archive(b.bytes, b.used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    if (fuzz_take(&in, 1) % 2 == 0) {
        read_archive(in.at, in.left);
    } else {
        read_built(&in);
    }
    return 0;
}
