/* Terminal: what loglens says on standard error: messages, and a progress bar. */
#define _GNU_SOURCE 1

#include "examples/loglens/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_CELLS 30u
#define REDRAW_NS 100000000u

static bool bar_visible;

static void clear_bar(void) {
    if (bar_visible) {
        fputs("\r\033[K", stderr);
        bar_visible = false;
    }
}

void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    clear_bar();
    fputs("loglens: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void progress_start(struct progress *progress, uint64_t total) {
    *progress = (struct progress){
        .shown = isatty(STDERR_FILENO) != 0,
        .total = total,
        .started_ns = clock_ns(),
    };
}

static void draw_bar(double part) {
    char bar[BAR_CELLS + 1];
    unsigned cells = (unsigned)((part > 1 ? 1 : part) * BAR_CELLS);
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', cells);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "[%s] %3.0f%%  ", bar, (part > 1 ? 1 : part) * 100);
}

void progress_show(struct progress *progress, uint64_t done, const char *doing) {
    progress->done = done;
    if (!progress->shown) {
        return;
    }
    uint64_t now = clock_ns();
    if (now - progress->drawn_ns < REDRAW_NS) {
        return;
    }
    progress->drawn_ns = now;
    double seconds = (double)(now - progress->started_ns) / 1e9;
    fprintf(stderr, "\r\033[K%-8s ", doing);
    if (progress->total > 0) {
        draw_bar((double)done / (double)progress->total);
    }
    fprintf(stderr, "%.1f MB  %.1f s", (double)done / 1e6, seconds);
    fflush(stderr);
    bar_visible = true;
}

void progress_end(struct progress *progress) {
    clear_bar();
    fflush(stderr);
    progress->shown = false;
}
