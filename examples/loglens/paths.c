/* Paths: the files that the arguments name, in the order they are read. */
#define _GNU_SOURCE 1

#include "examples/loglens/paths.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "examples/loglens/terminal.h"

static bool append(struct paths *paths, const char *name, uint64_t bytes) {
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity == 0 ? 256 : paths->capacity * 2;
        struct path *item = realloc(paths->item, capacity * sizeof *item);
        if (item == NULL) {
            return false;
        }
        paths->item = item;
        paths->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return false;
    }
    paths->item[paths->count++] = (struct path){.name = copy, .bytes = bytes};
    paths->bytes += bytes;
    return true;
}

static void failed(struct paths *paths, const char *name, int error) {
    say("%s: %s", name, strerror(error));
    paths->failed++;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct path *)a)->name, ((const struct path *)b)->name);
}

static bool add_entry(struct paths *paths, const FTSENT *entry) {
    switch (entry->fts_info) {
    case FTS_F:
        return append(paths, entry->fts_path, (uint64_t)entry->fts_statp->st_size);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        failed(paths, entry->fts_path, entry->fts_errno);
        return true;
    default: /* folders, links, devices */
        return true;
    }
}

static bool add_folder(struct paths *paths, const char *folder) {
    size_t first = paths->count;
    char *name = strdup(folder);
    char *const roots[] = {name, NULL};
    FTS *walk =
        name == NULL ? NULL : fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    bool enough = walk != NULL;
    errno = 0;
    for (const FTSENT *entry; enough && (entry = fts_read(walk)) != NULL; errno = 0) {
        enough = add_entry(paths, entry);
    }
    if (enough && errno != 0) {
        failed(paths, folder, errno);
    }
    if (walk != NULL) {
        fts_close(walk);
    }
    free(name);
    if (paths->count > first) {
        qsort(paths->item + first, paths->count - first, sizeof *paths->item, by_name);
    }
    return enough;
}

bool paths_add(struct paths *paths, const char *argument) {
    struct stat status;
    if (strcmp(argument, "-") == 0) {
        return append(paths, argument, 0);
    }
    if (stat(argument, &status) != 0) {
        failed(paths, argument, errno);
        return true;
    }
    if (S_ISDIR(status.st_mode)) {
        return add_folder(paths, argument);
    }
    return append(paths, argument, S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0);
}

void paths_free(struct paths *paths) {
    for (size_t i = 0; i < paths->count; i++) {
        free(paths->item[i].name);
    }
    free(paths->item);
    *paths = (struct paths){.item = NULL};
}
