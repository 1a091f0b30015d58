/* Sink: gathers the words that leave the pipeline and puts them in order.
 *
 * The same word may arrive several times: from different tables, and in pieces. The sink
 * does not look for that while messages come; sorting at the end brings equal words
 * together, and one pass joins them. */
#include "examples/loglens/sink.h"

#include <stdlib.h>
#include <string.h>

#include "examples/loglens/modules/table.h"

/* The array with room for one more element; NULL: out of memory, nothing has changed. */
static void *grown(void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) {
        return array;
    }
    size_t wanted = *capacity == 0 ? 1024 : *capacity * 2;
    void *larger = realloc(array, wanted * size);
    if (larger != NULL) {
        *capacity = wanted;
    }
    return larger;
}

/* The first 8 letters as a number that compares like they do. */
static uint64_t prefix_of(const char *letters, size_t length) {
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < length ? (uint8_t)letters[i] : 0u);
    }
    return prefix;
}

static bool add_word(struct sink *sink, const char *letters, size_t length, uint64_t count) {
    struct sink_word *word = grown(sink->word, sink->count, &sink->capacity, sizeof *word);
    if (word == NULL) {
        return false;
    }
    sink->word = word;
    sink->word[sink->count++] = (struct sink_word){
        .rank = prefix_of(letters, length),
        .count = count,
        .letters = letters,
        .length = length,
    };
    return true;
}

/* Copies bytes to memory that lives as long as the sink; NULL: out of memory. */
static void *keep(struct sink *sink, const void *bytes, size_t size) {
    void **memory = grown(sink->memory, sink->n_memory, &sink->memory_capacity, sizeof *memory);
    if (memory == NULL) {
        return NULL;
    }
    sink->memory = memory;
    void *copy = malloc(size);
    if (copy != NULL) {
        memcpy(copy, bytes, size);
        sink->memory[sink->n_memory++] = copy;
    }
    return copy;
}

static bool take_table(struct sink *sink, const gmk_task_t *task) {
    const struct ll_table *table = keep(sink, task->payload, task->len);
    if (table == NULL) {
        return false;
    }
    uint32_t offset = (uint32_t)task->meta0;
    for (const struct ll_entry *entry; (entry = ll_table_at(table, task->len, offset)) != NULL;
         offset = ll_table_next(entry, offset)) {
        if (!add_word(sink, ll_entry_word(entry), entry->length, entry->count)) {
            return false;
        }
    }
    sink->tables++;
    return true;
}

static bool add_piece(struct sink *sink, const gmk_task_t *task) {
    uint32_t begin = ll_range_begin(task->meta0);
    uint32_t end = ll_range_end(task->meta0);
    if (begin == end || end > task->len) {
        return begin == end;
    }
    size_t length = end - begin;
    if (length > sink->open_capacity - sink->open_length) {
        size_t wanted = (sink->open_length + length) * 2;
        char *larger = realloc(sink->open_word, wanted);
        if (larger == NULL) {
            return false;
        }
        sink->open_word = larger;
        sink->open_capacity = wanted;
    }
    const uint8_t *bytes = (const uint8_t *)task->payload + begin;
    for (size_t i = 0; i < length; i++) {
        sink->open_word[sink->open_length + i] = (char)ll_letter(bytes[i]);
    }
    sink->open_length += length;
    return true;
}

static bool end_word(struct sink *sink) {
    const char *letters = keep(sink, sink->open_word, sink->open_length);
    size_t length = sink->open_length;
    sink->open_length = 0;
    sink->split_words++;
    return letters != NULL && add_word(sink, letters, length, 1);
}

static bool take(struct sink *sink, const gmk_task_t *task) {
    switch (task->meta1) {
    case LL_WORDS_TABLE:
        return take_table(sink, task);
    case LL_WORDS_PIECE:
        return add_piece(sink, task);
    case LL_WORDS_PIECE_LAST:
        return add_piece(sink, task) && end_word(sink);
    case LL_WORDS_PIECES_END:
        sink->split_words_due = task->meta0;
        sink->pieces_ended = true;
        return true;
    case LL_WORDS_TOTALS:
        sink->totals = *(const struct ll_totals *)task->payload;
        sink->totals_known = true;
        return true;
    default:
        return false;
    }
}

static int gather(gmk_ctx_t *ctx) {
    struct sink *sink = ctx->state;
    bool taken = take(sink, ctx->task);
    sink->out_of_memory |= !taken;
    return taken ? GMK_OK : GMK_ENOMEM;
}

int sink_open(struct sink *sink, gmk_ctx_t *ctx) {
    uint32_t channel;
    uint32_t subscription;
    *sink = (struct sink){.count = 0};
    int status = gmk_chan_find(ctx, LL_WORDS_CHANNEL, &channel);
    return status != GMK_OK
               ? status
               : gmk_chan_sub(ctx, channel, gather, NULL, sink, GMK_SUB_ORDERED, &subscription);
}

bool sink_complete(const struct sink *sink) {
    return !sink->out_of_memory && sink->totals_known && sink->pieces_ended &&
           sink->tables == sink->totals.tables && sink->split_words == sink->split_words_due;
}

/* From z to a. */
static int by_letters(const void *a, const void *b) {
    const struct sink_word *x = a;
    const struct sink_word *y = b;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? 1 : -1;
    }
    size_t common = x->length < y->length ? x->length : y->length;
    int order = memcmp(y->letters, x->letters, common);
    return order != 0 ? order : (x->length < y->length) - (x->length > y->length);
}

static int by_count(const void *a, const void *b) {
    const struct sink_word *x = a;
    const struct sink_word *y = b;
    if (x->count != y->count) {
        return x->count < y->count ? 1 : -1;
    }
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Joins neighbours that are the same word, and makes rank their place in this order. */
static void join(struct sink *sink) {
    size_t kept = 0;
    for (size_t i = 1; i < sink->count; i++) {
        if (by_letters(&sink->word[kept], &sink->word[i]) == 0) {
            sink->word[kept].count += sink->word[i].count;
        } else {
            sink->word[++kept] = sink->word[i];
        }
    }
    sink->count = sink->count == 0 ? 0 : kept + 1;
    for (size_t i = 0; i < sink->count; i++) {
        sink->word[i].rank = i;
    }
}

void sink_order(struct sink *sink) {
    if (sink->count > 0) {
        qsort(sink->word, sink->count, sizeof *sink->word, by_letters);
        join(sink);
        qsort(sink->word, sink->count, sizeof *sink->word, by_count);
    }
}

uint64_t sink_sum(const struct sink *sink) {
    uint64_t sum = 0;
    for (size_t i = 0; i < sink->count; i++) {
        sum += sink->word[i].count;
    }
    return sum;
}

void sink_free(struct sink *sink) {
    for (size_t i = 0; i < sink->n_memory; i++) {
        free(sink->memory[i]);
    }
    free(sink->memory);
    free(sink->word);
    free(sink->open_word);
    *sink = (struct sink){.count = 0};
}
