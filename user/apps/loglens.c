/* Loglens on units: starts the word counter's stages, each in a unit of its own, and joins them.
 *
 *     loglens [top=N] [FILE]    of a file of the archive, usr/share/corpus.txt, the N most frequent words
 *
 *     reader --bytes--> splitter, counter --counts--> reducer, sink
 *                             ^ '---words (pieces)-------^   |
 *                             '----------- flush ------------'
 *
 * Which channels cross an edge is said here, in words of the command lines; the modules are the hosted
 * example's and know nothing of it. */
#include <stdbool.h>
#include <string.h>

#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"

#include "ggmk/error.h"

#define CORPUS "usr/share/corpus.txt"

static const char *const counter_args[] = {"loglens_counter",     "in=loglens.bytes,32,524288",
                                           "in=loglens.flush,16", "out=loglens.counts",
                                           "out=loglens.words",   NULL};
static const char *reducer_args[] = {"loglens_reducer",
                                     "in=loglens.counts,64,524288",
                                     "in=loglens.words,64,524288",
                                     "out=loglens.flush",
                                     NULL, /* top=N */
                                     NULL};
static const char *reader_args[] = {"loglens_reader", CORPUS, "out=loglens.bytes", NULL};

static void start(struct spawn *what, struct spawned *child, const char *path,
                  const char *const *argv, uint64_t frames) {
    int status = spawn_from_initrd(what, path);
    what->argv = argv;
    what->frames = frames;
    what->objects = 512; /* every large block is a memory object */
    if (status == GMK_OK)
        status = spawn_prepare(what, child);
    if (status == GMK_OK)
        status = spawn_give(child, "registry", handle_find("registry"),
                            GMK_RIGHT_READ | GMK_RIGHT_WRITE, 0);
    if (status == GMK_OK)
        status = spawn_give(child, "console", handle_find("console"), GMK_RIGHT_WRITE, 0);
    if (status == GMK_OK && handle_find("initrd") != 0)
        status = spawn_give(child, "initrd", handle_find("initrd"), GMK_RIGHT_READ, 0);
    if (status == GMK_OK)
        status = spawn_start(child);
    if (status != GMK_OK)
        program_die("%s: %s", path, gmk_strerror(status));
}

int main(int argc, char **argv) {
    static struct spawn what[3];
    static struct spawned reader, counter, reducer;
    for (int i = 1; i < argc; i++) {
        bool top = strncmp(argv[i], "top=", 4) == 0;
        *(top ? &reducer_args[4] : &reader_args[1]) = argv[i];
    }
    /* Arenas of 12 and 6 MiB, stacks, and what the sink keeps. */
    start(&what[0], &reducer, "bin/loglens_reducer", reducer_args, 5120);
    start(&what[1], &counter, "bin/loglens_counter", counter_args, 3584);
    start(&what[2], &reader, "bin/loglens_reader", reader_args, 2048);
    int64_t status = spawn_wait(&reader);
    if (status == 0)
        status = spawn_wait(&reducer);
    else
        spawn_end(&reducer);
    spawn_end(&counter);
    if (status != 0)
        print("loglens: %lld\n", (long long)status);
    return status == 0 ? 0 : 1;
}
