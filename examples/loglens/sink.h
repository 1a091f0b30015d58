/* Sink: gathers the words that leave the pipeline and puts them in order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggmk/ggmk.h"
#include "examples/loglens/modules/loglens.h"

struct sink_word {
    uint64_t rank; /* first letters as a number, then the place in the alphabet */
    uint64_t count;
    const char *letters;
    size_t length;
};

/* Filled by one handler at a time; read by the main thread after the engine has halted. */
struct sink {
    struct sink_word *word;
    size_t count;
    size_t capacity;

    void **memory; /* copies of what came; the words point into them */
    size_t n_memory;
    size_t memory_capacity;

    char *open_word; /* pieces of a word whose end has not come yet */
    size_t open_length;
    size_t open_capacity;

    uint64_t tables;
    struct ll_totals totals; /* once `totals_known` is true */
    bool totals_known;
    uint64_t split_words;
    uint64_t split_words_due; /* once `pieces_ended` is true */
    bool pieces_ended;
    bool out_of_memory;
};

/* Subscribes to the pipeline's exit. Errors as gmk_chan_sub(). */
int sink_open(struct sink *sink, gmk_ctx_t *ctx);

/* Has everything arrived that was announced? */
bool sink_complete(const struct sink *sink);

/* Joins what belongs to the same word and orders the words by count, then from z to a,
 * which is the order of sort -rn. */
void sink_order(struct sink *sink);

/* Sum of all counts. */
uint64_t sink_sum(const struct sink *sink);

void sink_free(struct sink *sink);
