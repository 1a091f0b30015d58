/* Format: the printf of this code base, for places without a C library.
 *
 * What it knows: %d %i %u %x %X %p %s %c %%, the lengths hh h l ll j z t, the flags '-' (left)
 * and '0', width and precision as digits or '*'. For these it prints what C prescribes, with
 * one choice: %p is 0x and hexadecimal digits, NULL included; %s of NULL is "(null)".
 *
 * What it promises: no allocation, no state, async-signal-safe. The output is always
 * terminated. A string is never read past its precision, so "%.*s" prints a slice that has no
 * terminator. Anything it does not know (%f, %n, flags beyond the two, a '%' at the end) prints
 * itself, and takes no argument. Width and precision beyond FORMAT_WIDTH_MAX count as that, so
 * the time is bounded by the text and the strings. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define FORMAT_WIDTH_MAX 1024

/* Lets the compiler (gcc, clang) check the arguments against the text. */
#define FORMAT_CHECKED(text, first) __attribute__((format(printf, text, first)))

/* Writes at most `size` bytes to `out`, terminator included (none if size is 0). Returns the
 * length it would have had with enough room: it was cut if that is >= size. */
size_t format_string(char *out, size_t size, const char *text, ...) FORMAT_CHECKED(3, 4);
size_t format_vstring(char *out, size_t size, const char *text, va_list args) FORMAT_CHECKED(3, 0);

/* Takes the next piece of output: `length` bytes, not terminated, never 0. */
typedef void (*format_write_fn)(void *arg, const char *piece, size_t length);

/* Gives the output piece by piece to `write`. Returns the whole length. */
size_t format_to(format_write_fn write, void *arg, const char *text, va_list args)
    FORMAT_CHECKED(3, 0);
