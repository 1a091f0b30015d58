/* Trace export: rings and names become one FXT archive, while their writers go on.
 *
 * Problem: a file that a strict reader accepts, out of memory that changes under us.
 * Idea: copy one block at a time and validate the copy (the rule is in trace.h), then
 * check each record in it and define, just before, the strings it names for the first
 * time. So no list of names is taken in advance, and a name that was interned while we
 * run is no special case. Records are checked to the last bit because the rings are also
 * read after a crash, when anything may be in them.
 *
 * Section names below are those of the format's description, see trace_fxt.h. */
#include <string.h>

#include "engine/trace.h"
#include "ggmk/error.h"
#include "lib/utf8.h"

#define TRACE_PROVIDER     1u /* we are the only provider in the archive */
#define TRACE_PROCESS_KOID 1u
#define TRACE_ARGS_MAX     2u /* arguments of any record the engine writes */

/* ---- Output: words, collected and handed on in pieces --------------------------- */

static void out_flush(struct trace_exporter *x) {
    if (x->out_used > 0 && x->status == GMK_OK) {
        int status = x->write(x->arg, x->out, x->out_used * sizeof x->out[0]);
        x->status = status < 0 ? status : GMK_OK;
    }
    x->out_used = 0;
}

static void out_word(struct trace_exporter *x, uint64_t word) {
    if (x->out_used == TRACE_OUT_WORDS) {
        out_flush(x);
    }
    x->out[x->out_used++] = word;
}

/* Section "Atoms": a stream, padded with zeros. */
static void out_text(struct trace_exporter *x, const char *text, unsigned length) {
    for (unsigned at = 0; at < length; at += 8u) {
        uint64_t word = 0;
        unsigned rest = length - at;
        memcpy(&word, text + at, rest < 8u ? rest : 8u);
        out_word(x, word);
    }
}

/* Bytes that are not UTF-8 become '?': readers refuse them, and names come from users. */
static void text_clean(char *text, size_t length) {
    size_t at = 0;
    while (at < length) {
        size_t step = utf8_char(text + at, length - at);
        if (step == 0) {
            text[at] = '?';
            step = 1;
        }
        at += step;
    }
}

/* Copies a name of any length into `out`, short and clean; returns its bytes. */
static unsigned text_copy(char out[GMK_NAME_MAX], const char *name) {
    size_t length = utf8_length(name, GMK_NAME_MAX + 3u);
    length = utf8_cut(name, length, GMK_NAME_MAX - 1u);
    memcpy(out, name, length);
    text_clean(out, length);
    return (unsigned)length;
}

/* ---- Head of the archive ---------------------------------------------------------- */

/* Section "String record": once per index, before its first use. */
static void define_text(struct trace_exporter *x, unsigned index) {
    uint64_t bit = UINT64_C(1) << (index % 64u);
    if (index == 0 || (x->defined[index / 64u] & bit) != 0) {
        return;
    }
    x->defined[index / 64u] |= bit;
    char text[GMK_NAME_MAX];
    unsigned length = text_copy(text, trace_text(x->config, index));
    out_word(x, fxt_string(index, length));
    out_text(x, text, length);
}

/* Sections "Thread record" and "Kernel object record": who is behind a thread index. */
static void export_thread(struct trace_exporter *x, const struct trace_ring *ring, unsigned index) {
    uint64_t koid = TRACE_PROCESS_KOID + index;
    out_word(x, fxt_thread(index));
    out_word(x, TRACE_PROCESS_KOID);
    out_word(x, koid);

    char text[GMK_NAME_MAX];
    unsigned length = text_copy(text, ring->name);
    define_text(x, TRACE_TEXT_PROCESS);
    out_word(x, fxt_object(4u + fxt_stream_words(length), FXT_OBJECT_THREAD,
                           length == 0 ? 0 : FXT_INLINE | length, 1));
    out_word(x, koid);
    out_text(x, text, length);
    out_word(x, fxt_arg(FXT_ARG_KOID, 2, TRACE_TEXT_PROCESS, 0));
    out_word(x, TRACE_PROCESS_KOID);
}

static void export_head(struct trace_exporter *x, uint64_t ticks_per_second, uint32_t rings) {
    static const char provider[] = "ggmk";
    out_word(x, FXT_MAGIC);
    out_word(x, fxt_provider_info(TRACE_PROVIDER, sizeof provider - 1u));
    out_text(x, provider, sizeof provider - 1u);
    out_word(x, fxt_header(FXT_INITIALIZATION, 2));
    out_word(x, ticks_per_second);
    define_text(x, TRACE_TEXT_GGMK);
    out_word(x, fxt_object(2, FXT_OBJECT_PROCESS, TRACE_TEXT_GGMK, 0));
    out_word(x, TRACE_PROCESS_KOID);
    for (uint32_t i = 0; i < rings; i++) {
        export_thread(x, x->config->rings[i], i + 1u);
    }
}

/* ---- Records ------------------------------------------------------------------------- */

static bool text_known(const struct trace_exporter *x, unsigned index) {
    return trace_text(x->config, index) != NULL;
}

/* Is the argument at record[*at] one that the engine writes? Then moves *at behind it. */
static bool arg_check(const struct trace_exporter *x, const uint64_t *record, unsigned words,
                      unsigned *at) {
    if (*at >= words) {
        return false;
    }
    uint64_t header = record[*at];
    unsigned type = (unsigned)(header & 15u);
    unsigned size = (unsigned)(header >> 4 & 0xfffu);
    uint32_t value = (uint32_t)(header >> 32);
    if (!text_known(x, (unsigned)(header >> 16 & 0xffffu))) {
        return false;
    }
    *at += size;
    switch (type) {
    case FXT_ARG_U32:
        return size == 1;
    case FXT_ARG_U64:
        return size == 2 && value == 0;
    case FXT_ARG_STRING:
        return size == 1 && value <= FXT_STRING_INDEX_MAX && text_known(x, value);
    default:
        return false;
    }
}

/* Is the inline name whole: short enough, in the record, padded with zeros? */
static bool inline_check(const uint64_t *record, unsigned words, unsigned length) {
    unsigned stream = fxt_stream_words(length);
    if (length == 0 || length >= GMK_NAME_MAX || 2u + stream > words) {
        return false;
    }
    unsigned used = length % 8u; /* bytes in the last word; 0: all of them */
    return used == 0 || record[1u + stream] >> (used * 8u) == 0;
}

/* Is this an event record as the owner of `ring` writes it? `limit`: words there are. */
static bool record_check(const struct trace_exporter *x, const struct trace_ring *ring,
                         const uint64_t *record, unsigned limit) {
    uint64_t header = record[0];
    unsigned words = fxt_words(header);
    unsigned event = (unsigned)(header >> 16 & 15u);
    unsigned args = (unsigned)(header >> 20 & 15u);
    unsigned name = (unsigned)(header >> 48);
    if (fxt_type(header) != FXT_EVENT || words < 2u || words > limit || args > TRACE_ARGS_MAX ||
        (header & fxt_event_thread(FXT_THREAD_INDEX_MAX)) != ring->thread ||
        !text_known(x, (unsigned)(header >> 32 & 0xffffu))) {
        return false;
    }
    unsigned at = 2;
    if ((name & FXT_INLINE) != 0) {
        if (!inline_check(record, words, name & FXT_STRING_INDEX_MAX)) {
            return false;
        }
        at += fxt_stream_words(name & FXT_STRING_INDEX_MAX);
    } else if (!text_known(x, name)) {
        return false;
    }
    for (unsigned i = 0; i < args; i++) {
        if (!arg_check(x, record, words, &at)) {
            return false;
        }
    }
    if (event == FXT_INSTANT) {
        return at == words;
    }
    if (event == FXT_DURATION_COMPLETE) {
        return at + 1u == words && record[at] >= record[1];
    }
    return event == FXT_COUNTER && at + 1u == words;
}

/* Writes a checked record, after the strings it is the first to name. */
static void export_record(struct trace_exporter *x, uint64_t *record) {
    unsigned words = fxt_words(record[0]);
    unsigned args = (unsigned)(record[0] >> 20 & 15u);
    unsigned name = (unsigned)(record[0] >> 48);
    unsigned at = 2;
    define_text(x, (unsigned)(record[0] >> 32 & 0xffffu));
    if ((name & FXT_INLINE) != 0) {
        text_clean((char *)&record[2], name & FXT_STRING_INDEX_MAX);
        at += fxt_stream_words(name & FXT_STRING_INDEX_MAX);
    } else {
        define_text(x, name);
    }
    for (unsigned i = 0; i < args; i++) {
        define_text(x, (unsigned)(record[at] >> 16 & 0xffffu));
        if ((record[at] & 15u) == FXT_ARG_STRING) {
            define_text(x, (unsigned)(record[at] >> 32 & 0xffffu));
        }
        at += (unsigned)(record[at] >> 4 & 0xfffu);
    }
    for (unsigned i = 0; i < words; i++) {
        out_word(x, record[i]);
    }
    x->stats.records++;
}

/* ---- Rings -------------------------------------------------------------------------- */

/* Copies `count` words of block `block`; false when its owner took it back meanwhile. */
static bool trace_copy_block(struct trace_exporter *x, const struct trace_ring *ring,
                             uint64_t block, unsigned count) {
    uint64_t start = block * TRACE_BLOCK_WORDS;
    for (unsigned i = 0; i < count; i++) {
        /* A2 pairs with R2 in trace_word(): a word of a later turn brings its head along. */
        x->block[i] =
            atomic_load_explicit(&ring->words[(start + i) & ring->mask], memory_order_acquire);
    }
    uint64_t blocks = (ring->mask + 1u) / TRACE_BLOCK_WORDS;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    return block + blocks > head / TRACE_BLOCK_WORDS + 1u;
}

static void export_block(struct trace_exporter *x, const struct trace_ring *ring, unsigned count) {
    unsigned at = 0;
    while (at < count && x->block[at] != 0) {
        if (!record_check(x, ring, &x->block[at], count - at)) {
            x->stats.malformed++;
            return;
        }
        export_record(x, &x->block[at]);
        at += fxt_words(x->block[at]);
    }
}

static void trace_export_ring(struct trace_exporter *x, const struct trace_ring *ring) {
    /* A3 pairs with R3 in trace_publish(). */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t blocks = (ring->mask + 1u) / TRACE_BLOCK_WORDS;
    uint64_t last = head / TRACE_BLOCK_WORDS;
    /* The oldest block that the owner does not work on: see the rule in trace.h. */
    uint64_t first = last + 2u > blocks ? last + 2u - blocks : 0;
    x->stats.overwritten += first * TRACE_BLOCK_WORDS * sizeof(uint64_t);
    for (uint64_t block = first; block <= last && x->status == GMK_OK; block++) {
        unsigned count = block < last ? TRACE_BLOCK_WORDS : (unsigned)(head % TRACE_BLOCK_WORDS);
        if (trace_copy_block(x, ring, block, count)) {
            export_block(x, ring, count);
        } else {
            x->stats.torn++;
        }
    }
}

int trace_export(struct trace_config *config, struct trace_exporter *exporter,
                 uint64_t ticks_per_second, gmk_write_fn write, void *arg) {
    struct trace_exporter *x = exporter;
    memset(x, 0, sizeof *x);
    x->config = config;
    x->write = write;
    x->arg = arg;
    /* A1 pairs with R1 in trace_attach(). */
    uint32_t rings = atomic_load_explicit(&config->ring_count, memory_order_acquire);
    export_head(x, ticks_per_second, rings);
    for (uint32_t i = 0; i < rings; i++) {
        trace_export_ring(x, config->rings[i]);
    }
    if (x->stats.overwritten + x->stats.torn + x->stats.malformed != 0) {
        out_word(x, fxt_provider_dropped(TRACE_PROVIDER));
    }
    out_flush(x);
    return x->status;
}
