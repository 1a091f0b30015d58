/* Loglens, counter: the modules that split a text and count its words, in a unit of their own.
 *
 *     loglens_counter in=loglens.bytes,32,524288 in=loglens.flush,16 out=loglens.counts out=loglens.words
 *
 * The modules are those of the hosted example, unchanged. Ends when the reducer has ended. */
#include "examples/loglens/modules/loglens.h"
#include "user/edge/edge.h"
#include "user/lib/start.h"

#define ARENA_BYTES ((size_t)12 << 20)

int main(int argc, char **argv) {
    gmk_kernel_t kernel = {.engine = NULL};
    gmk_module_t *const modules[] = {&ll_splitter, &ll_counter};
    const gmk_boot_cfg_t cfg = {.arena_size = ARENA_BYTES, .max_clients = 8};
    int status = gmk_boot(&kernel, &cfg, modules, sizeof modules / sizeof modules[0]);
    if (status == GMK_OK)
        status = edge_start(&kernel, argc, argv);
    if (status != GMK_OK)
        program_die("%s", gmk_strerror(status));
    edge_wait(); /* until the reducer has gone, who needs no more counts */
    return 0;
}
