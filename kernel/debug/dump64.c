/* Dump64: base64 (RFC 4648, 4) and the checksum of POSIX `cksum`. See dump64.h. */
#include "kernel/debug/dump64.h"

#include <string.h>

#include "lib/format.h"

#define SUM_POLYNOMIAL 0x04c11db7u /* POSIX, utility cksum: CRC-32, highest bit first */

static uint32_t sum_byte(uint32_t sum, uint8_t byte) {
    sum ^= (uint32_t)byte << 24;
    for (unsigned i = 0; i < 8; i++)
        sum = sum << 1 ^ (sum >> 31 != 0 ? SUM_POLYNOMIAL : 0);
    return sum;
}

static void put_line(struct dump64 *dump) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[DUMP64_LINE / 3u * 4u + 1u];
    size_t length = 0;
    memset(&dump->held[dump->used], 0, DUMP64_LINE - dump->used);
    for (uint32_t at = 0; at < dump->used; at += 3u) {
        const uint8_t *b = &dump->held[at];
        uint32_t group = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
        for (unsigned i = 0; i < 4; i++)
            text[length++] = i > dump->used - at ? '=' : digits[group >> (18u - 6u * i) & 63u];
    }
    text[length++] = '\n';
    if (dump->used > 0)
        dump->line(text, length);
    dump->used = 0;
}

static void put_mark(struct dump64 *dump, const char *fmt, uint64_t bytes, uint32_t sum) {
    char text[96];
    size_t length = format_string(text, sizeof text, "-----%s %s", fmt, dump->name);
    if (bytes != UINT64_MAX)
        length += format_string(text + length, sizeof text - length, " %llu %u",
                                (unsigned long long)bytes, sum);
    length += format_string(text + length, sizeof text - length, "-----\n");
    dump->line(text, length);
}

void dump64_begin(struct dump64 *dump, const char *name,
                  void (*line)(const char *text, size_t length)) {
    *dump = (struct dump64){.line = line, .name = name};
    put_mark(dump, "BEGIN", UINT64_MAX, 0);
}

void dump64_write(struct dump64 *dump, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    for (size_t i = 0; i < size; i++) {
        dump->sum = sum_byte(dump->sum, from[i]);
        dump->held[dump->used++] = from[i];
        if (dump->used == DUMP64_LINE)
            put_line(dump);
    }
    dump->bytes += size;
}

void dump64_end(struct dump64 *dump) {
    put_line(dump);
    uint32_t sum = dump->sum; /* cksum adds the length, lowest byte first, then inverts */
    for (uint64_t rest = dump->bytes; rest != 0; rest >>= 8)
        sum = sum_byte(sum, (uint8_t)rest);
    put_mark(dump, "END", dump->bytes, ~sum);
}
