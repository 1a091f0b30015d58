/* Text: small functions on strings. */
#include "user/lib/text.h"

#include <string.h>

void text_copy(char *to, size_t size, const char *from) {
    size_t length = strlen(from);
    if (length >= size)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
}

bool text_begins(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static unsigned digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

bool text_number(const char *text, uint64_t *value) {
    unsigned base = text_begins(text, "0x") ? 16 : 10;
    const char *at = base == 16 ? text + 2 : text;
    *value = 0;
    if (*at == '\0')
        return false;
    for (; *at != '\0'; at++) {
        if (digit(*at) >= base || *value > (UINT64_MAX - digit(*at)) / base)
            return false;
        *value = *value * base + digit(*at);
    }
    return true;
}
