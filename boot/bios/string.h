/* String: what C code of the loader may call of the standard's <string.h>.
 *
 * The loader is 32-bit code on a 64-bit system, where no such C library need be installed; the
 * loader's include path finds this file first. Bodies: boot/bios/machine.c. */
#pragma once

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
