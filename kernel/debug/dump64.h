/* Dump64: bytes as lines of base64 between two marks, with a length and a checksum. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DUMP64_LINE 57u /* bytes of one line: 76 characters */

struct dump64 {
    void (*line)(const char *text, size_t length); /* takes a whole line */
    const char *name;
    uint64_t bytes;
    uint32_t sum;
    uint32_t used; /* bytes in `held` */
    uint8_t held[DUMP64_LINE];
};

/* Writes "-----BEGIN name-----"; then any number of pieces; then what is left and the end's mark,
 * "-----END name BYTES SUM-----", where SUM is what POSIX `cksum` says of the bytes. */
void dump64_begin(struct dump64 *dump, const char *name,
                  void (*line)(const char *text, size_t length));
void dump64_write(struct dump64 *dump, const void *bytes, size_t size);
void dump64_end(struct dump64 *dump);
