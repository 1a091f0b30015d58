/* Cpio: headers of hexadecimal text, each followed by a name and the file's bytes.
 *
 * A header is 6 bytes of magic number and 13 fields of 8 hexadecimal digits. The name follows,
 * its terminator counted in the header, then the data; each is filled up to a multiple of 4
 * bytes from the start of the archive. */
#include "lib/cpio.h"

#include <string.h>

#define HEADER_SIZE 110u
#define FIELDS      13u
#define TRAILER     "TRAILER!!!"

enum cpio_field { FIELD_MODE = 1, FIELD_SIZE = 6, FIELD_NAME_SIZE = 11, FIELD_SUM = 12 };

void cpio_open(struct cpio *cpio, const void *bytes, size_t size) {
    *cpio = (struct cpio){.bytes = bytes, .size = size};
}

/* The value of 8 hexadecimal digits; signs and blanks are none. */
static bool parse_field(const uint8_t *text, uint32_t *value) {
    *value = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned c = text[i];
        unsigned decimal = c - '0', letter = (c | 0x20u) - 'a'; /* huge for what comes before */
        if (decimal > 9 && letter > 5)
            return false;
        *value = *value << 4 | (decimal <= 9 ? decimal : letter + 10);
    }
    return true;
}

static uint32_t sum_of(const uint8_t *data, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return sum;
}

/* Bytes up to the next multiple of 4, or up to the end of the archive if that is nearer. */
static size_t padding(const struct cpio *cpio, size_t at) {
    size_t wanted = -at & 3u;
    return wanted < cpio->size - at ? wanted : cpio->size - at;
}

/* Reads the entry at cpio->at, and moves on. The reason when that cannot be. */
static const char *read_entry(struct cpio *cpio, struct cpio_entry *entry) {
    const uint8_t *header = cpio->bytes + cpio->at;
    uint32_t field[FIELDS];
    if (cpio->size - cpio->at < HEADER_SIZE)
        return cpio->size == cpio->at ? "it ends without a trailer" : "it ends inside a header";
    bool summed = memcmp(header, "070702", 6) == 0;
    if (!summed && memcmp(header, "070701", 6) != 0)
        return "no header of the newc format here";
    for (unsigned i = 0; i < FIELDS; i++)
        if (!parse_field(header + 6 + 8 * (size_t)i, &field[i]))
            return "a header field is not hexadecimal";
    size_t at = cpio->at + HEADER_SIZE;
    size_t name_size = field[FIELD_NAME_SIZE];
    if (name_size > cpio->size - at)
        return "a name reaches past the end";
    if (name_size == 0 || cpio->bytes[at + name_size - 1] != '\0')
        return "a name is not terminated";
    entry->name = (const char *)cpio->bytes + at;
    entry->mode = field[FIELD_MODE];
    entry->size = field[FIELD_SIZE];
    at += name_size;
    at += padding(cpio, at);
    if (entry->size > cpio->size - at)
        return "a file reaches past the end";
    entry->data = cpio->bytes + at;
    if (summed && field[FIELD_SUM] != sum_of(entry->data, entry->size))
        return "the checksum of a file is wrong";
    at += entry->size;
    cpio->at = at + padding(cpio, at);
    return NULL;
}

bool cpio_next(struct cpio *cpio, struct cpio_entry *entry) {
    cpio->error = read_entry(cpio, entry); /* an error stays: `at` does not move */
    return cpio->error == NULL && strcmp(entry->name, TRAILER) != 0;
}

/* The path without "./" and "/" at its beginning. */
static const char *bare(const char *name) {
    while (*name == '/' || (name[0] == '.' && name[1] == '/'))
        name++;
    return name;
}

bool cpio_find(const void *bytes, size_t size, const char *name, struct cpio_entry *entry) {
    struct cpio cpio;
    cpio_open(&cpio, bytes, size);
    while (cpio_next(&cpio, entry)) /* at most size / HEADER_SIZE turns */
        if (strcmp(bare(entry->name), bare(name)) == 0)
            return true;
    return false;
}
