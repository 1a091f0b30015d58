/* Print: a line is gathered, and given to the kernel in one call. */
#include "user/lib/print.h"

#include "lib/format.h"
#include "user/lib/internal.h"
#include "user/lib/mutex.h"
#include "user/lib/start.h"
#include "user/lib/sys.h"

static struct mutex mutex; /* guards the rest */
static gmk_handle_t console;
static char line[PRINT_LINE_MAX];
static size_t used;

void print_start(void) {
    console = handle_find("console");
}

/* The kernel takes a bounded part of a long line at a time. */
static void write_line(void) {
    int64_t taken = 1;
    for (size_t at = 0; at < used && taken > 0; at += (size_t)taken)
        taken = sys_debug_print(console, line + at, used - at);
    used = 0;
}

/* For format_to(). */
static void gather(void *arg, const char *piece, size_t length) {
    (void)arg;
    for (size_t i = 0; i < length; i++) {
        if (piece[i] == '\n' || used == sizeof line)
            write_line();
        if (piece[i] != '\n')
            line[used++] = piece[i];
    }
}

void print_va(const char *text, va_list args) {
    mutex_lock(&mutex);
    (void)format_to(gather, NULL, text, args);
    mutex_unlock(&mutex);
}

void print(const char *text, ...) {
    va_list args;
    va_start(args, text);
    print_va(text, args);
    va_end(args);
}

void print_flush(void) {
    mutex_lock(&mutex);
    if (used > 0)
        write_line();
    mutex_unlock(&mutex);
}
