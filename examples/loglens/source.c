/* Source: reads files, packed or not, and sends their bytes into the pipeline.
 *
 * zlib reads both kinds of files: what does not start like a gzip file is handed through,
 * straight into the block. The pipeline's pace limits the reader: a full channel makes
 * gmk_chan_send() wait, and the channels bound the blocks in flight. */
#define _GNU_SOURCE 1

#include "examples/loglens/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "examples/loglens/modules/loglens.h"
#include "examples/loglens/terminal.h"

#define ZLIB_BUFFER (32u * 1024u)
#define FOREVER_NS  UINT64_MAX

int source_open(struct source *source, gmk_kernel_t *kernel, gmk_ctx_t *ctx,
                struct progress *progress) {
    *source = (struct source){.kernel = kernel, .ctx = ctx, .progress = progress};
    return gmk_chan_find(ctx, LL_BYTES_CHANNEL, &source->channel);
}

static int send_word(struct source *source, uint64_t word) {
    gmk_task_t message = {.type = LL_BYTES, .meta0 = word};
    return gmk_chan_send(source->ctx, source->channel, &message, FOREVER_NS);
}

/* Takes an empty block. Without memory it waits until nothing is in flight, and if that is
 * not enough has the pipeline send on all that it holds. */
static int new_block(struct source *source) {
    source->used = 0;
    source->block = gmk_alloc(source->ctx, LL_BYTES_MAX);
    for (unsigned attempt = 0; source->block == NULL && attempt < 2; attempt++) {
        int status = attempt == 0 ? GMK_OK : send_word(source, LL_BYTES_SQUEEZE);
        if (status == GMK_OK) {
            status = gmk_drain(source->kernel, FOREVER_NS);
        }
        if (status != GMK_OK) {
            return status;
        }
        source->block = gmk_alloc(source->ctx, LL_BYTES_MAX);
    }
    return source->block == NULL ? GMK_ENOMEM : GMK_OK;
}

static int send_block(struct source *source) {
    gmk_task_t message = {.type = LL_BYTES, .payload = source->block, .len = source->used};
    int status = gmk_chan_send(source->ctx, source->channel, &message, FOREVER_NS);
    if (status == GMK_OK) {
        source->bytes += source->used;
        source->block = NULL;
    }
    return status;
}

/* Says why reading stopped early. */
static void report(struct source *source, const char *name, gzFile file) {
    int code = Z_OK;
    const char *text = gzerror(file, &code);
    const char *reason = strstr(text, ": "); /* zlib puts its own name for the file first */
    source->failed++;
    if (code == Z_BUF_ERROR) {
        say("%s: the compressed data ends too early; counted up to there", name);
    } else if (code == Z_ERRNO) {
        say("%s: %s", name, strerror(errno));
    } else {
        say("%s: the compressed data is damaged (%s); counted up to there", name,
            reason != NULL ? reason + 2 : text);
    }
}

static void show_progress(const struct source *source, gzFile file, bool sized) {
    z_off_t offset = sized ? gzoffset(file) : 0;
    uint64_t on_disk = source->disk_done + (offset > 0 ? (uint64_t)offset : 0);
    progress_show(source->progress, source->progress->total > 0 ? on_disk : source->bytes,
                  "reading");
}

/* Sends all that can be read of an open file. */
static int read_all(struct source *source, const char *name, gzFile file, bool sized) {
    for (;;) {
        int status = source->block == NULL ? new_block(source) : GMK_OK;
        if (status != GMK_OK) {
            return status;
        }
        int count = gzread(file, source->block + source->used, LL_BYTES_MAX - source->used);
        if (count <= 0) {
            int code = Z_OK;
            (void)gzerror(file, &code);
            if (count < 0 || code != Z_OK) {
                report(source, name, file);
            } else {
                source->files++;
            }
            return GMK_OK;
        }
        source->used += (uint32_t)count;
        if (source->used == LL_BYTES_MAX) {
            status = send_block(source);
            if (status != GMK_OK) {
                return status;
            }
        }
        show_progress(source, file, sized);
    }
}

int source_file(struct source *source, const char *name, uint64_t disk_bytes) {
    int fd = strcmp(name, "-") == 0 ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
    gzFile file = fd < 0 ? NULL : gzdopen(fd, "rb");
    if (file == NULL) {
        say("%s: %s", name, strerror(errno));
        source->failed++;
        if (fd >= 0) {
            close(fd);
        }
        return GMK_OK;
    }
    gzbuffer(file, ZLIB_BUFFER);
    int status = read_all(source, name, file, disk_bytes > 0);
    gzclose_r(file);
    source->disk_done += disk_bytes;
    return status;
}

int source_close(struct source *source) {
    int status = GMK_OK;
    if (source->used > 0 && source->block != NULL) {
        status = send_block(source);
    }
    gmk_free(source->ctx, source->block);
    source->block = NULL;
    return status != GMK_OK ? status : send_word(source, LL_BYTES_END);
}
