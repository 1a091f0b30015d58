/* Paths: the files that the arguments name, in the order they are read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct path {
    char *name; /* "-": standard input */
    uint64_t bytes;
};

struct paths {
    struct path *item;
    size_t count;
    size_t capacity;
    uint64_t bytes;  /* of all files */
    uint64_t failed; /* arguments and folders that could not be read; each was reported */
};

/* Adds a file, or all regular files below a folder in the order of their names' bytes.
 * Symbolic links are followed when they are an argument, not below a folder. False: out
 * of memory. */
bool paths_add(struct paths *paths, const char *argument);

void paths_free(struct paths *paths);
