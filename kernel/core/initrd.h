/* Initrd: the archive of files that came with the kernel. */
#pragma once

#include "lib/cpio.h"

struct boot_info;

/* Finds the archive among the loader's modules and checks all of it. A missing or damaged one is
 * reported with the place and the reason, and the kernel goes on without. Once, after mem_init(). */
void initrd_init(const struct boot_info *info);

/* Finds a file by its path ("./" is ignored). False: no such file, or no archive. The entry points
 * into the archive, which stays where it is. Any context after initrd_init(). */
bool initrd_find(const char *name, struct cpio_entry *entry);

/* The whole archive; *size 0: none. Any context after initrd_init(). */
const void *initrd_bytes(size_t *size);
