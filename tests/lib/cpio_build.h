/* Cpio builder: writes archives in the newc and crc formats, entry by entry. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CPIO_BUILD_SIZE    8192u
#define CPIO_BUILD_HEADER  110u
#define CPIO_BUILD_TRAILER "TRAILER!!!"

struct cpio_build {
    uint8_t bytes[CPIO_BUILD_SIZE];
    size_t used;
};

/* Adds a file; `summed`: in the crc format, with the right sum. Where its header starts. */
size_t cpio_build_add(struct cpio_build *b, const char *name, uint32_t mode, const void *data,
                      size_t size, int summed);
/* Writes the field of that number (0 is the inode, 6 the size, 11 the size of the name). */
void cpio_build_field(struct cpio_build *b, size_t header, unsigned field, uint32_t value);
