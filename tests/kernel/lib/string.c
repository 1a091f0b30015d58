/* Strings for tests in the guest: what the kernel itself does without. */
#include <string.h>

#include <stdbool.h>
#include <stdint.h>

char *strchr(const char *text, int byte) {
    return memchr(text, byte, strlen(text) + 1);
}

char *strrchr(const char *text, int byte) {
    for (size_t i = strlen(text) + 1; i-- > 0;)
        if (text[i] == (char)byte)
            return (char *)(uintptr_t)&text[i];
    return NULL;
}

char *strstr(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; strncmp(text, part, length) != 0; text++)
        if (*text == '\0')
            return NULL;
    return (char *)(uintptr_t)text;
}

/* Bytes at the start of `text` that are (`in`) or are not among `of`. */
static size_t span(const char *text, const char *of, bool in) {
    size_t length = 0;
    while (text[length] != '\0' && (strchr(of, text[length]) != NULL) == in)
        length++;
    return length;
}

size_t strspn(const char *text, const char *of) {
    return span(text, of, true);
}

size_t strcspn(const char *text, const char *of) {
    return span(text, of, false);
}
