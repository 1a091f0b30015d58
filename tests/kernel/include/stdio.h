/* Standard I/O inside the kernel: what tests print goes to the kernel's consoles. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

typedef struct shim_file FILE;
#define stdout ((FILE *)1)
#define stderr ((FILE *)2)

int printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fprintf(FILE *file, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *out, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
int fflush(FILE *file);

/* There are no files: these fail the test that calls them (tests/kernel/lib/hosted.c). */
FILE *fopen(const char *path, const char *mode);
int fclose(FILE *file);
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file);
char *fgets(char *line, int size, FILE *file);
