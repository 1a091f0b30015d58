/* Text: what programs need beyond <string.h>'s memcpy, memmove, memset, memcmp, strlen, strcmp and
 * strncmp, and beyond lib/format.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies a name into a field of `size` bytes: cut if need be, always terminated. */
void text_copy(char *to, size_t size, const char *from);
/* Does the text begin so? */
bool text_begins(const char *text, const char *beginning);
/* A number of decimal digits, or hexadecimal ones behind "0x", and nothing else. */
bool text_number(const char *text, uint64_t *value);
