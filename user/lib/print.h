/* Print: lines of text to the kernel's log.
 *
 * The maker of a program gives it a capability for that under the name "console" (init does): a SYSTEM
 * capability narrowed to WRITE. Without one, what is printed is lost. A line goes out as one piece when
 * it is complete, so that lines of several threads never mix; a line longer than PRINT_LINE_MAX is cut
 * into several. What the formats are is told in lib/format.h. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define PRINT_LINE_MAX 200u

void print(const char *text, ...) __attribute__((format(printf, 1, 2)));
void print_va(const char *text, va_list args) __attribute__((format(printf, 1, 0)));
/* Lets go of an unfinished line. At the end of a program this is done by itself. */
void print_flush(void);
