/* Bytes: little-endian numbers at any address, for readers of file formats and tables. */
#pragma once

#include <stdint.h>

static inline uint16_t bytes_le16(const void *at) {
    const uint8_t *b = at;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t bytes_le32(const void *at) {
    const uint8_t *b = at;
    return bytes_le16(b) | (uint32_t)bytes_le16(b + 2) << 16;
}

static inline uint64_t bytes_le64(const void *at) {
    const uint8_t *b = at;
    return bytes_le32(b) | (uint64_t)bytes_le32(b + 4) << 32;
}
