/* Counter: counts the words of a text, on as many workers at a time as there are.
 *
 * Each worker fills tables of its own, so counting takes no lock and shares no line. The
 * hash of a word selects one of them; a full one is sent to the reducer and replaced.
 * Memory is bounded: COUNTER_TABLES blocks for each worker.
 *
 * A handler of this module never waits, because it runs inside the waits of others: were
 * it to wait for the reducer while the reducer waits further down on the same stack, both
 * would wait forever. It notes in its task how far it came and gives way instead.
 *
 * At the end the reducer, which has seen all texts counted, asks for what the tables hold.
 * The messages that led there order every worker's writes before that request is handled,
 * so one handler may then read the tables of all workers. */
#include "examples/loglens/modules/loglens.h"
#include "examples/loglens/modules/table.h"

#define COUNTER_TABLES      16u /* power of two */
#define COUNTER_TABLE_SHIFT 28u

GMK_STATIC_ASSERT(COUNTER_TABLES == 1u << (32u - COUNTER_TABLE_SHIFT),
                  "the upper bits of the hash select the table");
GMK_STATIC_ASSERT(LL_BYTES_MAX <= LL_WORD_MAX, "a word of a text fits into an empty table");

/* What one worker writes. Two of them never share a pair of cache lines. */
struct tally {
    struct ll_table *table[COUNTER_TABLES]; /* NULL until the first word comes */
    uint64_t tables;                        /* tables sent */
    uint64_t words;
    uint64_t lines;
    uint64_t apart[GMK_FALSE_SHARING / sizeof(uint64_t)];
};

struct counter {
    uint32_t counts; /* channel */
    uint32_t words_metric;
    uint32_t lines_metric;
    struct tally tally[GMK_WORKERS_MAX + 1]; /* the last one: a thread that is no worker */
};

static struct tally *tally_of(gmk_ctx_t *ctx) {
    struct counter *self = ctx->state;
    uint32_t worker = gmk_self_worker(ctx);
    return &self->tally[worker < GMK_WORKERS_MAX ? worker : GMK_WORKERS_MAX];
}

/* Sends one table and forgets it. GMK_EAGAIN: the channel is full, nothing has changed. */
static int send_table(gmk_ctx_t *ctx, struct tally *tally, uint32_t index) {
    const struct counter *self = ctx->state;
    struct ll_table *table = tally->table[index];
    if (table == NULL) {
        return GMK_OK;
    }
    gmk_task_t message = {
        .type = LL_COUNTS,
        .payload = table,
        .len = ll_table_bytes(table),
        .meta1 = LL_COUNTS_TABLE,
    };
    int status = gmk_chan_emit(ctx, self->counts, &message);
    if (status == GMK_OK) {
        tally->table[index] = NULL;
        tally->tables++;
    }
    return status;
}

static int send_tables(gmk_ctx_t *ctx, struct tally *tally) {
    int status = GMK_OK;
    for (uint32_t i = 0; i < COUNTER_TABLES && status == GMK_OK; i++) {
        status = send_table(ctx, tally, i);
    }
    return status;
}

/* Asks the reducer to send on what it holds, so that its blocks come back. */
static int squeeze(gmk_ctx_t *ctx) {
    const struct counter *self = ctx->state;
    gmk_task_t request = {.type = LL_COUNTS, .meta1 = LL_COUNTS_SQUEEZE};
    return gmk_chan_emit(ctx, self->counts, &request);
}

/* Makes a table for words of this hash. Out of memory: sends what this worker has, asks
 * the reducer to do the same, and answers GMK_EAGAIN. */
static int new_table(gmk_ctx_t *ctx, struct tally *tally, uint32_t index) {
    struct ll_table *table = gmk_alloc(ctx, LL_TABLE_BYTES);
    if (table == NULL) {
        int status = send_tables(ctx, tally);
        if (status == GMK_OK) {
            status = squeeze(ctx);
        }
        return status == GMK_OK ? GMK_EAGAIN : status;
    }
    ll_table_init(table);
    tally->table[index] = table;
    return GMK_OK;
}

static int count_word(gmk_ctx_t *ctx, struct tally *tally, const uint8_t *word,
                      const struct ll_hash *hash) {
    uint32_t key = ll_hash_end(hash);
    uint32_t index = key >> COUNTER_TABLE_SHIFT;
    const char *letters = (const char *)word;
    int status = GMK_OK;
    while (status == GMK_OK) {
        struct ll_table *table = tally->table[index];
        if (table != NULL && ll_table_add(table, letters, hash->length, key, 1)) {
            break;
        }
        if (table != NULL) {
            gmk_trace(ctx, GMK_TRACE_DEBUG, "table full", table->entries);
            status = send_table(ctx, tally, index);
        }
        if (status == GMK_OK) {
            status = new_table(ctx, tally, index);
        }
    }
    return status;
}

/* Lower-cases the word that starts at `word`, in place, and hashes it. */
static struct ll_hash read_word(uint8_t *word, const uint8_t *end) {
    struct ll_hash hash = {.mixed = 0};
    for (uint8_t *at = word; at < end; at++) {
        uint8_t letter = ll_letter(*at);
        if (letter == 0) {
            break;
        }
        *at = letter;
        ll_hash_add(&hash, letter);
    }
    return hash;
}

/* Counts from *at on. Not GMK_OK: *at is the first word that is not counted yet. */
static int count_range(gmk_ctx_t *ctx, uint32_t *at, uint32_t end) {
    struct tally *tally = tally_of(ctx);
    uint8_t *bytes = ctx->task->payload;
    while (*at < end) {
        uint8_t byte = bytes[*at];
        if (ll_letter(byte) == 0) {
            tally->lines += byte == '\n';
            ++*at;
            continue;
        }
        struct ll_hash hash = read_word(bytes + *at, bytes + end);
        int status = count_word(ctx, tally, bytes + *at, &hash);
        if (status != GMK_OK) {
            return status;
        }
        tally->words++;
        *at += hash.length;
    }
    return GMK_OK;
}

static int count(gmk_ctx_t *ctx) {
    const struct counter *self = ctx->state;
    const struct tally *tally = tally_of(ctx);
    uint64_t words = tally->words;
    uint64_t lines = tally->lines;
    uint32_t at = ll_range_begin(ctx->task->meta0);
    uint32_t end = ll_range_end(ctx->task->meta0);
    if (ctx->task->payload == NULL || end > ctx->task->len) {
        return GMK_EINVAL;
    }
    int status = count_range(ctx, &at, end);
    gmk_metric_inc(ctx, self->words_metric, tally->words - words);
    gmk_metric_inc(ctx, self->lines_metric, tally->lines - lines);
    ctx->task->meta0 = ll_range(at, end);
    if (status == GMK_OK) {
        gmk_task_t done = {.type = LL_COUNTS, .meta1 = LL_COUNTS_TEXT};
        status = gmk_chan_emit(ctx, self->counts, &done);
    }
    return status == GMK_EAGAIN ? ll_pause(ctx) : status;
}

static int send_totals(gmk_ctx_t *ctx) {
    const struct counter *self = ctx->state;
    struct ll_totals *totals = gmk_alloc(ctx, sizeof *totals);
    if (totals == NULL) {
        return GMK_EAGAIN;
    }
    *totals = (struct ll_totals){.tables = 0};
    for (uint32_t i = 0; i <= GMK_WORKERS_MAX; i++) {
        totals->tables += self->tally[i].tables;
        totals->words += self->tally[i].words;
        totals->lines += self->tally[i].lines;
    }
    gmk_task_t message = {
        .type = LL_COUNTS,
        .payload = totals,
        .len = sizeof *totals,
        .meta1 = LL_COUNTS_TOTALS,
    };
    int status = gmk_chan_emit(ctx, self->counts, &message);
    if (status != GMK_OK) {
        gmk_free(ctx, totals);
    }
    return status;
}

/* Every text is counted: sends the tables of all workers, then the totals or the request
 * to squeeze. Run again after a pause it goes on, because a table that is sent is gone. */
static int flush(gmk_ctx_t *ctx) {
    struct counter *self = ctx->state;
    int status = GMK_OK;
    for (uint32_t i = 0; i <= GMK_WORKERS_MAX && status == GMK_OK; i++) {
        status = send_tables(ctx, &self->tally[i]);
    }
    if (status == GMK_OK) {
        status = ctx->task->meta0 == LL_FLUSH_SQUEEZE ? squeeze(ctx) : send_totals(ctx);
    }
    return status == GMK_EAGAIN ? ll_pause(ctx) : status;
}

static int find_and_register(gmk_ctx_t *ctx, struct counter *self) {
    int status = gmk_chan_find(ctx, LL_COUNTS_CHANNEL, &self->counts);
    if (status == GMK_OK) {
        status = gmk_metric_register(ctx, "loglens_words_total", "Words counted in texts",
                                     &self->words_metric);
    }
    if (status == GMK_OK) {
        status = gmk_metric_register(ctx, "loglens_lines_total", "Newlines counted in texts",
                                     &self->lines_metric);
    }
    return status;
}

static int counter_init(gmk_ctx_t *ctx) {
    struct counter *self = gmk_alloc(ctx, sizeof *self);
    if (self == NULL) {
        return GMK_ENOMEM;
    }
    *self = (struct counter){.counts = 0};
    int status = find_and_register(ctx, self);
    if (status != GMK_OK) {
        gmk_free(ctx, self);
        return status;
    }
    ctx->state = self;
    return GMK_OK;
}

static void counter_fini(gmk_ctx_t *ctx) {
    struct counter *self = ctx->state;
    for (uint32_t i = 0; i <= GMK_WORKERS_MAX; i++) {
        for (uint32_t j = 0; j < COUNTER_TABLES; j++) {
            gmk_free(ctx, self->tally[i].table[j]);
        }
    }
    gmk_free(ctx, self);
    ctx->state = NULL;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = LL_TEXT, .fn = count, .name = "count"},
    {.type = LL_FLUSH, .fn = flush, .name = "flush"},
};

static const gmk_chan_decl_t channels[] = {
    {.name = LL_TEXT_CHANNEL,
     .type = LL_TEXT,
     .dir = GMK_IN,
     .sub_options = GMK_SUB_PARALLEL,
     .slots = LL_TEXT_SLOTS},
    {.name = LL_FLUSH_CHANNEL, .type = LL_FLUSH, .dir = GMK_IN, .slots = LL_FLUSH_SLOTS},
    {.name = LL_COUNTS_CHANNEL, .type = LL_COUNTS, .dir = GMK_OUT, .slots = LL_COUNTS_SLOTS},
};

gmk_module_t ll_counter = {
    .name = "loglens.counter",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = handlers,
    .n_handlers = sizeof handlers / sizeof handlers[0],
    .channels = channels,
    .n_channels = sizeof channels / sizeof channels[0],
    .init = counter_init,
    .fini = counter_fini,
};
