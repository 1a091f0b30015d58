/* Standard I/O for tests in the guest: the code base's own format, to the kernel's consoles. */
#include <cmocka.h>
#include <stdio.h>

#include "kernel/core/log.h"
#include "lib/format.h"

/* A line goes out in one piece where it fits, so that other CPUs' lines do not cut it. */
#define LINE_ROOM 512

static void piece_out(void *arg, const char *piece, size_t length) {
    (void)arg;
    klog_write(piece, length);
}

static int out(const char *fmt, va_list args) {
    char line[LINE_ROOM];
    va_list again;
    va_copy(again, args);
    size_t length = format_vstring(line, sizeof(line), fmt, args);
    if (length < sizeof(line))
        klog_write(line, length);
    else
        (void)format_to(piece_out, NULL, fmt, again);
    va_end(again);
    return (int)length;
}

int printf(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int length = out(fmt, args);
    va_end(args);
    return length;
}

int fprintf(FILE *file, const char *fmt, ...) {
    (void)file;
    va_list args;
    va_start(args, fmt);
    int length = out(fmt, args);
    va_end(args);
    return length;
}

void print_message(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)out(fmt, args);
    va_end(args);
}

void print_error(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)out(fmt, args);
    va_end(args);
}

int snprintf(char *to, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    size_t length = format_vstring(to, size, fmt, args);
    va_end(args);
    return (int)length;
}

int vsnprintf(char *to, size_t size, const char *fmt, va_list args) {
    return (int)format_vstring(to, size, fmt, args);
}

int fflush(FILE *file) {
    (void)file;
    return 0;
}
