/* Loglens, reader: sends a text of the archive into the pipeline, piece by piece.
 *
 *     loglens_reader FILE out=loglens.bytes
 *
 * What the hosted example's source does for files. Its only channel leads out of the unit. */
#include <string.h>

#include "examples/loglens/modules/loglens.h"
#include "lib/cpio.h"
#include "user/edge/edge.h"
#include "user/lib/print.h"
#include "user/lib/spawn.h"
#include "user/lib/start.h"

#define ARENA_BYTES ((size_t)6 << 20)

static int send_piece(gmk_kernel_t *kernel, gmk_ctx_t *ctx, uint32_t channel, const uint8_t *bytes,
                      uint32_t size) {
    gmk_task_t message = {.type = LL_BYTES, .len = size};
    while ((message.payload = gmk_alloc(ctx, size)) == NULL) {
        int status = edge_flush(kernel); /* then all blocks are free again */
        if (status != GMK_OK)
            return status;
    }
    memcpy(message.payload, bytes, size);
    return gmk_chan_send(ctx, channel, &message, UINT64_MAX);
}

static int send_all(gmk_kernel_t *kernel, gmk_ctx_t *ctx, uint32_t channel,
                    const struct cpio_entry *file) {
    const uint8_t *bytes = file->data;
    int status = GMK_OK;
    for (size_t done = 0; done < file->size && status == GMK_OK;) {
        size_t left = file->size - done;
        uint32_t size = left < LL_BYTES_MAX ? (uint32_t)left : LL_BYTES_MAX;
        status = send_piece(kernel, ctx, channel, bytes + done, size);
        done += size;
    }
    gmk_task_t end = {.type = LL_BYTES, .meta0 = LL_BYTES_END};
    if (status == GMK_OK)
        status = gmk_chan_send(ctx, channel, &end, UINT64_MAX);
    return status == GMK_OK ? edge_flush(kernel) : status;
}

int main(int argc, char **argv) {
    gmk_kernel_t kernel = {.engine = NULL};
    const gmk_boot_cfg_t cfg = {.arena_size = ARENA_BYTES, .n_workers = 1, .max_clients = 8};
    struct cpio_entry file;
    size_t size;
    uint32_t channel;
    const void *archive = initrd_get(&size);
    if (argc < 2 || archive == NULL || !cpio_find(archive, size, argv[1], &file))
        program_die("there is no %s in the archive", argc < 2 ? "file" : argv[1]);
    int status = gmk_boot(&kernel, &cfg, NULL, 0);
    gmk_ctx_t *ctx = status == GMK_OK ? gmk_attach(&kernel) : NULL;
    if (ctx == NULL)
        program_die("the engine did not start: %s", gmk_strerror(status));
    status = gmk_chan_open(ctx, LL_BYTES_CHANNEL, LL_BYTES, 0, LL_BYTES_SLOTS, &channel);
    if (status == GMK_OK)
        status = edge_start(&kernel, argc, argv);
    if (status == GMK_OK)
        status = send_all(&kernel, ctx, channel, &file);
    if (status != GMK_OK)
        program_die("%s", gmk_strerror(status));
    return 0;
}
