/* Cpio builder: see cpio_build.h. */
#include "tests/lib/cpio_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct cpio_build *b, const void *data, size_t size) {
    size_t padded = (size + 3) & ~(size_t)3;
    if (padded > CPIO_BUILD_SIZE - b->used) {
        fprintf(stderr, "cpio_build: no room\n");
        abort();
    }
    memcpy(b->bytes + b->used, data, size);
    b->used += size;
    while (b->used % 4 != 0) {
        b->bytes[b->used++] = 0;
    }
}

void cpio_build_field(struct cpio_build *b, size_t header, unsigned field, uint32_t value) {
    char text[9];
    (void)snprintf(text, sizeof text, field % 2 != 0 ? "%08x" : "%08X", value);
    memcpy(b->bytes + header + 6 + 8u * (size_t)field, text, 8);
}

size_t cpio_build_add(struct cpio_build *b, const char *name, uint32_t mode, const void *data,
                      size_t size, int summed) {
    char head[CPIO_BUILD_HEADER + 256];
    size_t header = b->used, name_size = strlen(name) + 1;
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += ((const uint8_t *)data)[i];
    }
    memset(head, '0', sizeof head);
    memcpy(head, summed ? "070702" : "070701", 6);
    memcpy(head + CPIO_BUILD_HEADER, name, name_size);
    put(b, head, CPIO_BUILD_HEADER + name_size);
    cpio_build_field(b, header, 1, mode);
    cpio_build_field(b, header, 6, (uint32_t)size);
    cpio_build_field(b, header, 11, (uint32_t)name_size);
    cpio_build_field(b, header, 12, summed ? sum : 0);
    put(b, data, size);
    return header;
}
