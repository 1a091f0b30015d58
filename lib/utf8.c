/* UTF-8: is this text what it claims to be, and where may it be cut? See utf8.h. */
#include "lib/utf8.h"

#include <stdint.h>

/* RFC 3629, section 4: the first byte decides the length and narrows the second one,
 * which is how overlong forms, surrogates and too large characters are shut out. */
struct lead {
    uint8_t length;
    uint8_t second_min;
    uint8_t second_max;
};

static struct lead lead_of(uint8_t byte) {
    if (byte < 0x80u) {
        return (struct lead){1, 0, 0};
    }
    if (byte >= 0xc2u && byte <= 0xdfu) {
        return (struct lead){2, 0x80, 0xbf};
    }
    if (byte >= 0xe0u && byte <= 0xefu) {
        uint8_t low = byte == 0xe0u ? 0xa0u : 0x80u;
        uint8_t high = byte == 0xedu ? 0x9fu : 0xbfu;
        return (struct lead){3, low, high};
    }
    if (byte >= 0xf0u && byte <= 0xf4u) {
        uint8_t low = byte == 0xf0u ? 0x90u : 0x80u;
        uint8_t high = byte == 0xf4u ? 0x8fu : 0xbfu;
        return (struct lead){4, low, high};
    }
    return (struct lead){0, 0, 0};
}

size_t utf8_char(const char *text, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct lead lead = lead_of((uint8_t)text[0]);
    if (lead.length <= 1u) {
        return lead.length;
    }
    if (size < lead.length) {
        return 0;
    }
    uint8_t second = (uint8_t)text[1];
    if (second < lead.second_min || second > lead.second_max) {
        return 0;
    }
    for (size_t i = 2; i < lead.length; i++) {
        if (((uint8_t)text[i] & 0xc0u) != 0x80u) {
            return 0;
        }
    }
    return lead.length;
}

bool utf8_valid(const char *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        size_t length = utf8_char(text + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

size_t utf8_cut(const char *text, size_t size, size_t limit) {
    if (size <= limit) {
        return size;
    }
    /* At most three bytes belong to a character that began before the limit. */
    for (size_t back = 1; back <= 3u && back <= limit; back++) {
        size_t start = limit - back;
        if (utf8_char(text + start, size - start) > back) {
            return start;
        }
    }
    return limit;
}

size_t utf8_length(const char *text, size_t limit) {
    size_t length = 0;
    while (length < limit && text[length] != '\0') {
        length++;
    }
    return length;
}
