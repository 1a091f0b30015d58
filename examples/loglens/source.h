/* Source: reads files, packed or not, and sends their bytes into the pipeline. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ggmk/ggmk.h"

struct progress;

/* The files form one stream, as if zcat -f had written it: a block may hold the end of one
 * file and the beginning of the next, and so may a word. */
struct source {
    gmk_kernel_t *kernel;
    gmk_ctx_t *ctx; /* of the calling thread */
    struct progress *progress;
    uint32_t channel;

    char *block; /* being filled; NULL: none */
    uint32_t used;

    uint64_t files;     /* read to their end */
    uint64_t failed;    /* not, or not to their end; each was reported */
    uint64_t bytes;     /* sent, after unpacking */
    uint64_t disk_done; /* bytes of the files behind us, as they lie on the disk */
};

/* Finds the pipeline's entrance. Errors as gmk_chan_find(). */
int source_open(struct source *source, gmk_kernel_t *kernel, gmk_ctx_t *ctx,
                struct progress *progress);

/* Sends one file ("-": standard input) of `disk_bytes`. What cannot be read is reported
 * and counted; what was read before is in the stream. Not GMK_OK: the pipeline is broken. */
int source_file(struct source *source, const char *name, uint64_t disk_bytes);

/* Sends the rest and the end of the stream. */
int source_close(struct source *source);
