/* String: the memory, text and bit functions that compilers call and the engine uses.
 *
 * Moves 8 bytes at a time, by plain loads and stores: vector registers belong to user threads, and
 * `rep movs` counts one step per byte where instructions are counted. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): <string.h> has its own. */

/* May alias anything, and be at any address. */
typedef uint64_t word __attribute__((may_alias, aligned(1)));

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    char *d = to;
    const char *s = from;
    for (; size >= 8; size -= 8, d += 8, s += 8)
        *(word *)d = *(const word *)s;
    for (; size > 0; size--)
        *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    char *d = to;
    const char *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= size)
        return memcpy(to, from, size);
    for (; size >= 8; size -= 8)
        *(word *)(d + size - 8) = *(const word *)(s + size - 8);
    for (; size > 0; size--)
        d[size - 1] = s[size - 1];
    return to;
}

void *memset(void *to, int byte, size_t size) {
    char *d = to;
    uint64_t fill = 0x0101010101010101ull * (uint8_t)byte;
    for (; size >= 8; size -= 8, d += 8)
        *(word *)d = fill;
    for (; size > 0; size--)
        *d++ = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (; size >= 8 && *(const word *)x == *(const word *)y; size -= 8, x += 8, y += 8)
        continue;
    for (; size > 0; size--, x++, y++) {
        if (*x != *y)
            return *x < *y ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

void *memchr(const void *bytes, int byte, size_t size) {
    const unsigned char *at = bytes;
    for (; size > 0; size--, at++) {
        if (*at == (unsigned char)byte)
            return (void *)(uintptr_t)at;
    }
    return NULL;
}

int strncmp(const char *a, const char *b, size_t size) {
    for (; size > 0 && *a != '\0' && *a == *b; size--, a++, b++)
        continue;
    if (size == 0)
        return 0;
    return (unsigned char)*a - (unsigned char)*b;
}

int strcmp(const char *a, const char *b) {
    return strncmp(a, b, SIZE_MAX);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

int __popcountdi2(int64_t value);

/* For __builtin_popcountll() on CPUs without the instruction. The compiler's own library has it, but
 * compiled with a red zone. Bits are summed in pairs, fours, bytes, and all bytes at once. */
int __popcountdi2(int64_t value) {
    uint64_t v = (uint64_t)value;
    v -= v >> 1 & 0x5555555555555555ull;
    v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (int)(v * 0x0101010101010101ull >> 56);
}
