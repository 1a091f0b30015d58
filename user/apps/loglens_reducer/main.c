/* Loglens, reducer: joins the counts, keeps the words, and prints how often each was seen.
 *
 *     loglens_reducer [top=N] in=loglens.counts,64,524288 in=loglens.words,64,524288 out=loglens.flush
 *
 * The reducer and the sink are those of the hosted example, unchanged. Prints what that prints with
 * --all, a line for each word; further lines begin with '#'. Status 0: the result is whole. */
#include <string.h>

#include "examples/loglens/modules/loglens.h"
#include "examples/loglens/sink.h"
#include "user/lib/sys.h"
#include "user/edge/edge.h"
#include "user/lib/print.h"
#include "user/lib/start.h"

#define ARENA_BYTES ((size_t)12 << 20)
#define LOOK_NS     2000000u /* between two looks whether the last message has come */

static struct sink sink;

/* "top=NUMBER": so many words are printed; else all. */
static size_t words_wanted(int argc, char **argv) {
    size_t top = 0;
    for (int i = 1; i < argc; i++)
        for (const char *at = strncmp(argv[i], "top=", 4) == 0 ? argv[i] + 4 : ""; *at != 0; at++)
            top = top * 10 + (size_t)(*at - '0') % 10;
    return top != 0 ? top : SIZE_MAX;
}

static void report(uint64_t began_ns, size_t top) {
    for (size_t i = 0; i < sink.count && i < top; i++) {
        const struct sink_word *word = &sink.word[i];
        print("%7llu %.*s\n", (unsigned long long)word->count, (int)word->length, word->letters);
    }
    print("# loglens: %llu lines, %llu words, %llu different, %llu ms\n",
          (unsigned long long)sink.totals.lines,
          (unsigned long long)(sink.totals.words + sink.split_words),
          (unsigned long long)sink.count,
          (unsigned long long)(((uint64_t)sys_time() - began_ns) / 1000000u));
}

int main(int argc, char **argv) {
    gmk_kernel_t kernel = {.engine = NULL};
    gmk_module_t *const modules[] = {&ll_reducer};
    const gmk_boot_cfg_t cfg = {.arena_size = ARENA_BYTES, .max_clients = 8};
    uint64_t began_ns = (uint64_t)sys_time();
    int status = gmk_boot(&kernel, &cfg, modules, sizeof modules / sizeof modules[0]);
    gmk_ctx_t *ctx = status == GMK_OK ? gmk_attach(&kernel) : NULL;
    if (ctx != NULL)
        status = sink_open(&sink, ctx);
    if (status == GMK_OK)
        status = edge_start(&kernel, argc, argv);
    if (status != GMK_OK)
        program_die("%s", gmk_strerror(status));
    /* The totals are the last message of the reducer, the pieces' end that of the splitter. The
     * sink is the handler's while the engine is not quiet. */
    for (bool whole = false; !whole;) {
        _Atomic uint32_t never = 0;
        (void)sys_word_wait(&never, 0, LOOK_NS);
        whole = gmk_drain(&kernel, GMK_FOREVER) == GMK_OK &&
                (sink_complete(&sink) || sink.out_of_memory);
    }
    sink_order(&sink);
    if (sink.out_of_memory || sink_sum(&sink) != sink.totals.words + sink.split_words)
        program_die("the result is not whole: %llu words of %llu%s",
                    (unsigned long long)sink_sum(&sink),
                    (unsigned long long)(sink.totals.words + sink.split_words),
                    sink.out_of_memory ? ", out of memory" : "");
    report(began_ns, words_wanted(argc, argv));
    return 0;
}
