/* Cpio: reads an archive in the "newc" format (and "crc"), as `cpio -o -H newc` writes it.
 *
 * Pure reader over bytes; nothing is copied. Every header field is checked; the first error ends
 * the reading and says where and why. Format: cpio(5), "New ASCII Format". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpio_entry {
    const char *name; /* terminated, inside the archive; untrusted text */
    const void *data;
    size_t size;
    uint32_t mode; /* as in stat */
};

struct cpio {
    const uint8_t *bytes;
    size_t size;
    size_t at;         /* offset of the next header */
    const char *error; /* NULL, or what is wrong with the header at `at` */
};

void cpio_open(struct cpio *cpio, const void *bytes, size_t size);
/* The next entry; false at the trailer, which is the last call, or on an error (then cpio->error
 * says it, and `at` where). An archive that ends without a trailer is damaged. */
bool cpio_next(struct cpio *cpio, struct cpio_entry *entry);
/* Finds a file by name ("./" and "/" before it are ignored). False: not there, or damaged before
 * it; then *entry means nothing. */
bool cpio_find(const void *bytes, size_t size, const char *name, struct cpio_entry *entry);
