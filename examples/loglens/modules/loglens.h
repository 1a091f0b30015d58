/* Loglens: the modules of the word counter and the messages between them.
 *
 *   source ==bytes==> splitter ==text==> counter ==counts==> reducer ==words==> sink
 *                      |    |             ^ | |               ^   |              ^
 *                      |    |             | '-+---------------'   |              |
 *                      |    |             '---------flush---------'              |
 *                      |    '--counts: how many texts there are--> reducer       |
 *                      '--words: pieces of words that blocks cut in two----------'
 *
 * The source cuts its input into blocks anywhere, also inside a word. The splitter sees
 * the blocks in order and only looks at their ends: what lies between the first and the
 * last gap is a text of whole words, which any worker may count; a word that reaches over
 * a border travels to the sink in pieces, however long it is. Counters fill one table per
 * worker and send it on when it is full. The reducer merges the tables and does the same.
 * The sink holds the result and joins what it gets.
 *
 * Nobody waits for time to pass to know that the end is reached: every stage counts
 * messages. The splitter says how many texts there were; when so many are counted, the
 * reducer asks the counter for its tables; that answer says how many tables there were.
 *
 * The modules know no files, threads or terminals. Their state is a block that init
 * allocates, so that several engines can run them at the same time. */
#pragma once

#include "ggmk/ggmk.h"

#ifdef __cplusplus
extern "C" {
#endif

extern gmk_module_t ll_splitter;
extern gmk_module_t ll_counter;
extern gmk_module_t ll_reducer;

/* A word is a maximal run of ASCII letters; 'A' and 'a' are the same letter. */
static inline uint8_t ll_letter(uint8_t byte) {
    uint8_t lower = (uint8_t)(byte | 0x20u);
    return lower >= 'a' && lower <= 'z' ? lower : 0;
}

/* Message types, one for each channel. */
enum ll_type {
    LL_BYTES = 101,
    LL_TEXT = 102,
    LL_COUNTS = 103,
    LL_FLUSH = 104,
    LL_WORDS = 105,
};

/* Bytes that the source puts into one message at most: the block with its header fills a
 * 64 KiB bin, large enough to make the cost of a message vanish, small enough to give
 * every worker something. */
#define LL_BYTES_MAX (64u * 1024u - 256u)

/* Ends a handler that found the next channel full, or no memory: it will be run again a
 * moment later, with the meta words it leaves in its task. */
#define LL_PAUSE_NS 200000u
static inline int ll_pause(gmk_ctx_t *ctx) {
    gmk_yield_at(ctx, gmk_now(ctx) + LL_PAUSE_NS);
    return GMK_OK;
}

/* "loglens.bytes", LL_BYTES, ordered. The payload is the next piece of the input. A
 * message without payload says something in meta0. */
#define LL_BYTES_CHANNEL "loglens.bytes"
#define LL_BYTES_SLOTS   32u
enum ll_bytes_word {
    LL_BYTES_END = 0,     /* the input ends */
    LL_BYTES_SQUEEZE = 1, /* no memory for more: send on what you hold. Nothing is in flight */
};

/* "loglens.text", LL_TEXT, parallel. The bytes ll_range_begin(meta0) to
 * ll_range_end(meta0) of the payload are whole words. The receiver owns these bytes and
 * may change them; others own the rest of the block. */
#define LL_TEXT_CHANNEL "loglens.text"
#define LL_TEXT_SLOTS   64u

/* "loglens.counts", LL_COUNTS, ordered. meta1 says what it is. */
#define LL_COUNTS_CHANNEL "loglens.counts"
#define LL_COUNTS_SLOTS   64u
enum ll_counts_kind {
    LL_COUNTS_SPLIT = 1,   /* splitter: meta0 texts were sent, no more will come */
    LL_COUNTS_TEXT = 2,    /* counter: one text is done */
    LL_COUNTS_TABLE = 3,   /* counter: payload is a table; meta0 = 0 */
    LL_COUNTS_TOTALS = 4,  /* counter: payload is the struct ll_totals of the whole input */
    LL_COUNTS_SQUEEZE = 5, /* counter: no memory: send on what you hold */
    LL_COUNTS_HANDLED = 6, /* (reducer) this message is done but for what follows from it */
};

/* "loglens.flush", LL_FLUSH, ordered: every text is counted, send all tables; meta0 says
 * what then. */
#define LL_FLUSH_CHANNEL "loglens.flush"
#define LL_FLUSH_SLOTS   16u
enum ll_flush_word {
    LL_FLUSH_END = 0,     /* reducer: the totals */
    LL_FLUSH_SQUEEZE = 1, /* splitter: LL_COUNTS_SQUEEZE; the input goes on afterwards */
};

/* "loglens.words", LL_WORDS, ordered. meta1 says what it is. */
#define LL_WORDS_CHANNEL "loglens.words"
#define LL_WORDS_SLOTS   256u /* more than the tables that the reducer has at the end */
enum ll_words_kind {
    LL_WORDS_TABLE = 1,      /* reducer: payload is a table; entries from offset meta0 on */
    LL_WORDS_PIECE = 2,      /* splitter: range meta0 of the payload belongs to a word ... */
    LL_WORDS_PIECE_LAST = 3, /* ... and ends it; the range may be empty */
    LL_WORDS_PIECES_END = 4, /* splitter: meta0 words were sent in pieces, no more will come */
    LL_WORDS_TOTALS = 5,     /* reducer: payload is a struct ll_totals: the last message */
};

/* What the counter, and then the reducer, says at the end. */
struct ll_totals {
    uint64_t tables; /* tables it sent in all */
    uint64_t words;  /* words in texts; those in pieces are not among them */
    uint64_t lines;  /* newline characters */
};

/* A range of a payload in one meta word. */
static inline uint64_t ll_range(uint32_t begin, uint32_t end) {
    return (uint64_t)end << 32 | begin;
}
static inline uint32_t ll_range_begin(uint64_t range) {
    return (uint32_t)range;
}
static inline uint32_t ll_range_end(uint64_t range) {
    return (uint32_t)(range >> 32);
}

#ifdef __cplusplus
}
#endif
