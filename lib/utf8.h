/* UTF-8: is this text what it claims to be, and where may it be cut?
 *
 * Names and labels come from users and leave in formats (traces, metrics) whose readers
 * refuse malformed UTF-8. The rules are RFC 3629, section 4: shortest form only, no
 * surrogates, nothing above U+10FFFF. Pure functions; anybody may call them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the well-formed character at text[0..size), 1 to 4; 0 when there is none. */
size_t utf8_char(const char *text, size_t size);

/* Is all of it well-formed? The empty text is. */
bool utf8_valid(const char *text, size_t size);

/* Longest length at most `limit` that does not cut a well-formed character in two. */
size_t utf8_cut(const char *text, size_t size, size_t limit);

/* Length of a terminated text, looking at no more than `limit` bytes. */
size_t utf8_length(const char *text, size_t limit);
