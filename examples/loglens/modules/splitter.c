/* Splitter: turns a stream of bytes, cut anywhere, into texts of whole words.
 *
 * Of each block it reads the first word and the last one only. What lies between them goes
 * to the counters; a word that reaches over the border goes to the sink in pieces. Both
 * name a range of the block that arrived: nothing is copied and nothing is allocated, so
 * there is no limit to the length of a word and no way to run out of memory here.
 *
 * One splitter sees all blocks in order (an ordered subscription), which makes it the one
 * stage that cannot run on several workers; that is why it does so little. When the next
 * channel is full it waits by helping: its worker counts texts until there is room. */
#include "examples/loglens/modules/loglens.h"

struct splitter {
    uint32_t text; /* channels */
    uint32_t counts;
    uint32_t flush;
    uint32_t words;
    bool word_open;       /* the last block ended in a letter */
    uint64_t texts;       /* texts sent */
    uint64_t split_words; /* words sent in pieces, the open one not counted */
};

/* Sends a range of the block being handled, which gets one more reader. */
static int send_range(gmk_ctx_t *ctx, uint32_t channel, uint32_t type, uint64_t range,
                      uint64_t kind) {
    gmk_task_t message = {
        .type = type,
        .payload = ctx->task->payload,
        .len = ctx->task->len,
        .meta0 = range,
        .meta1 = kind,
    };
    int status = gmk_retain(ctx, message.payload);
    if (status != GMK_OK) {
        return status;
    }
    status = gmk_chan_send(ctx, channel, &message, UINT64_MAX);
    if (status != GMK_OK) {
        gmk_free(ctx, message.payload);
    }
    return status;
}

static int send_text(gmk_ctx_t *ctx, uint32_t begin, uint32_t end) {
    struct splitter *self = ctx->state;
    int status = send_range(ctx, self->text, LL_TEXT, ll_range(begin, end), 0);
    self->texts += status == GMK_OK;
    return status;
}

static int send_piece(gmk_ctx_t *ctx, uint32_t begin, uint32_t end, bool last) {
    struct splitter *self = ctx->state;
    int status = send_range(ctx, self->words, LL_WORDS, ll_range(begin, end),
                            last ? LL_WORDS_PIECE_LAST : LL_WORDS_PIECE);
    if (status == GMK_OK) {
        self->word_open = !last;
        self->split_words += last;
    }
    return status;
}

/* Length of the run of letters that starts at `begin`. */
static uint32_t letters_from(const uint8_t *bytes, uint32_t begin, uint32_t end) {
    uint32_t at = begin;
    while (at < end && ll_letter(bytes[at]) != 0) {
        at++;
    }
    return at - begin;
}

/* Length of the run of letters that ends at `end`. */
static uint32_t letters_before(const uint8_t *bytes, uint32_t begin, uint32_t end) {
    uint32_t at = end;
    while (at > begin && ll_letter(bytes[at - 1]) != 0) {
        at--;
    }
    return end - at;
}

static int split_block(gmk_ctx_t *ctx) {
    struct splitter *self = ctx->state;
    const uint8_t *bytes = ctx->task->payload;
    uint32_t end = ctx->task->len;
    uint32_t begin = 0;
    int status = GMK_OK;
    /* Does the word that the last block left open go on here, and to where? */
    if (self->word_open) {
        begin = letters_from(bytes, 0, end);
        status = send_piece(ctx, 0, begin, begin < end);
    }
    /* Does a word reach out of this block? */
    uint32_t text_end = end - letters_before(bytes, begin, end);
    if (status == GMK_OK && begin < text_end) {
        status = send_text(ctx, begin, text_end);
    }
    if (status == GMK_OK && text_end < end) {
        status = send_piece(ctx, text_end, end, false);
    }
    return status;
}

/* Tells the reducer how many texts, and the sink how many cut words it has to wait for. */
static int end_input(gmk_ctx_t *ctx) {
    struct splitter *self = ctx->state;
    gmk_task_t closing = {.type = LL_WORDS, .meta1 = LL_WORDS_PIECE_LAST};
    gmk_task_t pieces = {.type = LL_WORDS, .meta1 = LL_WORDS_PIECES_END};
    gmk_task_t texts = {.type = LL_COUNTS, .meta0 = self->texts, .meta1 = LL_COUNTS_SPLIT};
    int status = GMK_OK;
    if (self->word_open) {
        status = gmk_chan_send(ctx, self->words, &closing, UINT64_MAX);
        self->split_words += status == GMK_OK;
        self->word_open = false;
    }
    pieces.meta0 = self->split_words;
    if (status == GMK_OK) {
        status = gmk_chan_send(ctx, self->words, &pieces, UINT64_MAX);
    }
    if (status == GMK_OK) {
        status = gmk_chan_send(ctx, self->counts, &texts, UINT64_MAX);
    }
    return status;
}

static int squeeze(gmk_ctx_t *ctx) {
    const struct splitter *self = ctx->state;
    gmk_task_t request = {.type = LL_FLUSH, .meta0 = LL_FLUSH_SQUEEZE};
    return gmk_chan_send(ctx, self->flush, &request, UINT64_MAX);
}

static int split(gmk_ctx_t *ctx) {
    if (ctx->task->payload != NULL) {
        return split_block(ctx);
    }
    return ctx->task->meta0 == LL_BYTES_SQUEEZE ? squeeze(ctx) : end_input(ctx);
}

static int splitter_init(gmk_ctx_t *ctx) {
    struct splitter *self = gmk_alloc(ctx, sizeof *self);
    if (self == NULL) {
        return GMK_ENOMEM;
    }
    *self = (struct splitter){.word_open = false};
    int status = gmk_chan_find(ctx, LL_TEXT_CHANNEL, &self->text);
    if (status == GMK_OK) {
        status = gmk_chan_find(ctx, LL_COUNTS_CHANNEL, &self->counts);
    }
    if (status == GMK_OK) {
        status = gmk_chan_find(ctx, LL_FLUSH_CHANNEL, &self->flush);
    }
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

static void splitter_fini(gmk_ctx_t *ctx) {
    gmk_free(ctx, ctx->state);
    ctx->state = NULL;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = LL_BYTES, .fn = split, .name = "split"},
};

static const gmk_chan_decl_t channels[] = {
    {.name = LL_BYTES_CHANNEL, .type = LL_BYTES, .dir = GMK_IN, .slots = LL_BYTES_SLOTS},
    {.name = LL_TEXT_CHANNEL, .type = LL_TEXT, .dir = GMK_OUT, .slots = LL_TEXT_SLOTS},
    {.name = LL_COUNTS_CHANNEL, .type = LL_COUNTS, .dir = GMK_OUT, .slots = LL_COUNTS_SLOTS},
    {.name = LL_FLUSH_CHANNEL, .type = LL_FLUSH, .dir = GMK_OUT, .slots = LL_FLUSH_SLOTS},
    {.name = LL_WORDS_CHANNEL, .type = LL_WORDS, .dir = GMK_OUT, .slots = LL_WORDS_SLOTS},
};

gmk_module_t ll_splitter = {
    .name = "loglens.splitter",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = handlers,
    .n_handlers = sizeof handlers / sizeof handlers[0],
    .channels = channels,
    .n_channels = sizeof channels / sizeof channels[0],
    .init = splitter_init,
    .fini = splitter_fini,
};
