/* Reducer: merges the counters' tables, and knows from counting messages when it has all.
 *
 * The merged words live in REDUCER_TABLES tables, selected by the hash. A full table is
 * sent on to the sink and replaced; when there is no memory for another, the rest of the
 * table that just came is passed on as it is; and when somebody else has no memory, all
 * tables are sent on. So memory is bounded for any number of different words, and the sink
 * only has to be able to join what it gets.
 *
 * It counts three things: texts announced by the splitter, texts reported done, and
 * tables. None of it depends on the order in which different senders' messages arrive.
 * Like the counter it never waits: it leaves its progress in the task and gives way. */
#include "examples/loglens/modules/loglens.h"
#include "examples/loglens/modules/table.h"

#define REDUCER_TABLES      128u
#define REDUCER_TABLE_SHIFT 25u

GMK_STATIC_ASSERT(REDUCER_TABLES == 1u << (32u - REDUCER_TABLE_SHIFT),
                  "the upper bits of the hash select the table");

struct reducer {
    uint32_t flush; /* channels */
    uint32_t words;

    uint64_t texts;     /* reported done */
    uint64_t texts_due; /* announced, once `split` is true */
    bool split;
    bool flush_sent;

    uint64_t tables;         /* merged */
    struct ll_totals totals; /* the counter's, once `totals_known` is true */
    bool totals_known;
    bool finished;

    uint64_t tables_sent;
    struct ll_table *table[REDUCER_TABLES]; /* NULL until the first word comes */
};

/* Sends a table to the sink; on GMK_OK the caller's reference is gone. */
static int send_table(gmk_ctx_t *ctx, void *table, uint32_t bytes, uint32_t offset) {
    struct reducer *self = ctx->state;
    gmk_task_t message = {
        .type = LL_WORDS,
        .payload = table,
        .len = bytes,
        .meta0 = offset,
        .meta1 = LL_WORDS_TABLE,
    };
    int status = gmk_chan_emit(ctx, self->words, &message);
    self->tables_sent += status == GMK_OK;
    return status;
}

static int send_own_table(gmk_ctx_t *ctx, uint32_t index) {
    struct reducer *self = ctx->state;
    struct ll_table *table = self->table[index];
    if (table == NULL) {
        return GMK_OK;
    }
    int status = send_table(ctx, table, ll_table_bytes(table), 0);
    if (status == GMK_OK) {
        self->table[index] = NULL;
    }
    return status;
}

static int send_own_tables(gmk_ctx_t *ctx) {
    int status = GMK_OK;
    for (uint32_t i = 0; i < REDUCER_TABLES && status == GMK_OK; i++) {
        status = send_own_table(ctx, i);
    }
    return status;
}

/* Adds one entry of another table. GMK_EAGAIN: the sink's channel is full. GMK_ENOMEM: no
 * block for a new table. Neither has changed anything that matters. */
static int merge_entry(gmk_ctx_t *ctx, const struct ll_entry *entry) {
    struct reducer *self = ctx->state;
    uint32_t index = entry->hash >> REDUCER_TABLE_SHIFT;
    struct ll_table *table = self->table[index];
    if (table != NULL &&
        ll_table_add(table, ll_entry_word(entry), entry->length, entry->hash, entry->count)) {
        return GMK_OK;
    }
    int status = send_own_table(ctx, index);
    if (status != GMK_OK) {
        return status;
    }
    table = gmk_alloc(ctx, LL_TABLE_BYTES);
    if (table == NULL) {
        return GMK_ENOMEM;
    }
    ll_table_init(table);
    self->table[index] = table;
    bool added =
        ll_table_add(table, ll_entry_word(entry), entry->length, entry->hash, entry->count);
    return added ? GMK_OK : GMK_EINVAL; /* an entry larger than a table: the table is damaged */
}

/* Passes the rest of the table being handled to the sink as it is. */
static int pass_on(gmk_ctx_t *ctx, uint32_t offset) {
    gmk_trace(ctx, GMK_TRACE_WARN, "no memory, table passed on", offset);
    int status = gmk_retain(ctx, ctx->task->payload);
    if (status != GMK_OK) {
        return status;
    }
    status = send_table(ctx, ctx->task->payload, ctx->task->len, offset);
    if (status != GMK_OK) {
        gmk_free(ctx, ctx->task->payload);
    }
    return status;
}

static int merge(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    const struct ll_table *table = ctx->task->payload;
    uint32_t offset = (uint32_t)ctx->task->meta0;
    int status = GMK_OK;
    const struct ll_entry *entry;
    while (status == GMK_OK && (entry = ll_table_at(table, ctx->task->len, offset)) != NULL) {
        status = merge_entry(ctx, entry);
        if (status == GMK_OK) {
            offset = ll_table_next(entry, offset);
        }
    }
    if (status == GMK_ENOMEM) {
        status = pass_on(ctx, offset);
    }
    ctx->task->meta0 = offset;
    self->tables += status == GMK_OK;
    return status;
}

/* Is every text counted? Then asks for the tables, once. */
static int ask_for_tables(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    if (self->flush_sent || !self->split || self->texts != self->texts_due) {
        return GMK_OK;
    }
    gmk_task_t request = {.type = LL_FLUSH};
    int status = gmk_chan_emit(ctx, self->flush, &request);
    self->flush_sent = status == GMK_OK;
    return status;
}

static int send_totals(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    struct ll_totals *totals = gmk_alloc(ctx, sizeof *totals);
    if (totals == NULL) {
        return GMK_EAGAIN;
    }
    *totals = self->totals;
    totals->tables = self->tables_sent;
    gmk_task_t message = {
        .type = LL_WORDS,
        .payload = totals,
        .len = sizeof *totals,
        .meta1 = LL_WORDS_TOTALS,
    };
    int status = gmk_chan_emit(ctx, self->words, &message);
    if (status != GMK_OK) {
        gmk_free(ctx, totals);
    }
    return status;
}

/* Is every table merged? Then sends the result, once. */
static int finish(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    if (self->finished || !self->totals_known || self->tables != self->totals.tables) {
        return GMK_OK;
    }
    int status = send_own_tables(ctx);
    if (status == GMK_OK) {
        status = send_totals(ctx);
    }
    self->finished = status == GMK_OK;
    return status;
}

/* Takes in one message. */
static int take(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    switch (ctx->task->meta1) {
    case LL_COUNTS_SPLIT:
        self->split = true;
        self->texts_due = ctx->task->meta0;
        return GMK_OK;
    case LL_COUNTS_TEXT:
        self->texts++;
        return GMK_OK;
    case LL_COUNTS_TABLE:
        return merge(ctx);
    case LL_COUNTS_TOTALS:
        self->totals_known = true;
        self->totals = *(const struct ll_totals *)ctx->task->payload;
        return GMK_OK;
    case LL_COUNTS_SQUEEZE:
        return send_own_tables(ctx);
    case LL_COUNTS_HANDLED:
        return GMK_OK;
    default:
        return GMK_EINVAL;
    }
}

static int reduce(gmk_ctx_t *ctx) {
    int status = take(ctx);
    if (status == GMK_OK) {
        /* What follows may have to be tried again; the message must not be taken twice. */
        ctx->task->meta1 = LL_COUNTS_HANDLED;
        status = ask_for_tables(ctx);
    }
    if (status == GMK_OK) {
        status = finish(ctx);
    }
    return status == GMK_EAGAIN ? ll_pause(ctx) : status;
}

static int reducer_init(gmk_ctx_t *ctx) {
    struct reducer *self = gmk_alloc(ctx, sizeof *self);
    if (self == NULL) {
        return GMK_ENOMEM;
    }
    *self = (struct reducer){.split = false};
    int status = gmk_chan_find(ctx, LL_FLUSH_CHANNEL, &self->flush);
    if (status == GMK_OK) {
        status = gmk_chan_find(ctx, LL_WORDS_CHANNEL, &self->words);
    }
    if (status != GMK_OK) {
        gmk_free(ctx, self);
        return status;
    }
    ctx->state = self;
    return GMK_OK;
}

static void reducer_fini(gmk_ctx_t *ctx) {
    struct reducer *self = ctx->state;
    for (uint32_t i = 0; i < REDUCER_TABLES; i++) {
        gmk_free(ctx, self->table[i]);
    }
    gmk_free(ctx, self);
    ctx->state = NULL;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = LL_COUNTS, .fn = reduce, .name = "reduce"},
};

static const gmk_chan_decl_t channels[] = {
    {.name = LL_COUNTS_CHANNEL, .type = LL_COUNTS, .dir = GMK_IN, .slots = LL_COUNTS_SLOTS},
    {.name = LL_FLUSH_CHANNEL, .type = LL_FLUSH, .dir = GMK_OUT, .slots = LL_FLUSH_SLOTS},
    {.name = LL_WORDS_CHANNEL, .type = LL_WORDS, .dir = GMK_OUT, .slots = LL_WORDS_SLOTS},
};

gmk_module_t ll_reducer = {
    .name = "loglens.reducer",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = handlers,
    .n_handlers = sizeof handlers / sizeof handlers[0],
    .channels = channels,
    .n_channels = sizeof channels / sizeof channels[0],
    .init = reducer_init,
    .fini = reducer_fini,
};
