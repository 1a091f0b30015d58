/* Strings inside the kernel: the kernel's own functions, and those that only tests use. */
#pragma once

#include <stddef.h>

/* kernel/core/string.c */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);

/* tests/kernel/lib/string.c */
char *strchr(const char *text, int byte);
char *strrchr(const char *text, int byte);
char *strstr(const char *text, const char *part);
size_t strspn(const char *text, const char *of);
size_t strcspn(const char *text, const char *of);
void *memchr(const void *bytes, int byte, size_t size);
