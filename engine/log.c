/* Log: formats a line on the stack and hands it over in one piece.
 *
 * Lines come from any thread at any time, also from a handler in the middle of its work,
 * so writing one must neither lock nor allocate. The idea: a line of at most
 * GMK_LOG_LINE_MAX bytes is built on the stack, and one call gives it to the sink or to
 * the platform. Two threads never share anything but three words that rarely change.
 *
 * Invariants:
 *   - a line that leaves has exactly one newline, its last byte, and no other control
 *     byte: text that came from outside cannot forge a second line;
 *   - a line is either whole or ends in "...";
 *   - a sink is called with the argument that was set together with it, never with
 *     another sink's (struct log_sink below).
 *
 * Not here: buffering, files, colours. A sink can do all that. */
#include "engine/log.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "hal/hal.h"
#include "lib/format.h"

#define LOG_TEXT_MAX (GMK_LOG_LINE_MAX - 1u) /* the newline takes the last byte */

/* Function and argument change together. The turn says which of the two pairs counts; a
 * change writes the other one and then moves the turn. A reader that finds the turn where
 * it was has a whole pair: the one it read is written again only after the turn has moved.
 * So a writer that is interrupted in the middle stops nobody, not even a signal handler
 * on its own thread, and a reader repeats only when a change was completed meanwhile. */
struct log_sink {
    struct hal_lock lock; /* one writer at a time */
    _Atomic uint32_t turn;
    struct {
        _Atomic gmk_log_sink_fn fn;
        void *_Atomic arg;
    } pairs[2];
};

static struct log_sink sink_now;
static _Atomic int level_now = GMK_LOG_WARN;
static _Atomic log_namer_fn namer_now;

bool log_wants(enum gmk_log_level level) {
    /* Alone: the level orders nothing, a late change costs or saves a line. */
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

static gmk_log_sink_fn sink_read(void **arg) {
    for (;;) {
        /* A1 pairs with R1 in gmk_log_sink(): the pair of this turn is written. */
        uint32_t turn = atomic_load_explicit(&sink_now.turn, memory_order_acquire);
        /* A2 pairs with R2: who reads from a later change also sees that the turn moved. */
        gmk_log_sink_fn fn =
            atomic_load_explicit(&sink_now.pairs[turn % 2].fn, memory_order_acquire);
        *arg = atomic_load_explicit(&sink_now.pairs[turn % 2].arg, memory_order_acquire);
        if (atomic_load_explicit(&sink_now.turn, memory_order_relaxed) == turn)
            return fn;
    }
}

GMK_API void gmk_log_sink(gmk_log_sink_fn sink, void *arg) {
    hal_lock(&sink_now.lock);
    uint32_t next = atomic_load_explicit(&sink_now.turn, memory_order_relaxed) + 1;
    /* R2 pairs with A2 in sink_read(): orders the turn of the change before this one first. */
    atomic_store_explicit(&sink_now.pairs[next % 2].fn, sink, memory_order_release);
    atomic_store_explicit(&sink_now.pairs[next % 2].arg, arg, memory_order_release);
    /* R1 pairs with A1 in sink_read(). */
    atomic_store_explicit(&sink_now.turn, next, memory_order_release);
    hal_unlock(&sink_now.lock);
}

GMK_API void gmk_log_level(enum gmk_log_level level) {
    int wanted = (int)level;
    if (wanted <= GMK_LOG_DEFAULT)
        wanted = GMK_LOG_WARN;
    if (wanted > GMK_LOG_DEBUG)
        wanted = GMK_LOG_DEBUG;
    atomic_store_explicit(&level_now, wanted, memory_order_relaxed);
}

static const char *level_word(enum gmk_log_level level) {
    switch (level) {
    case GMK_LOG_ERROR:
        return "error";
    case GMK_LOG_INFO:
        return "info ";
    case GMK_LOG_DEBUG:
        return "debug";
    default:
        return "warn ";
    }
}

/* Makes one line of it: no control bytes inside, marked when cut, newline at the end. */
static size_t line_finish(char *line, size_t used, bool cut) {
    if (cut)
        memcpy(&line[used - 3], "...", 3);
    while (used > 0 && line[used - 1] == '\n')
        used--;
    for (size_t i = 0; i < used; i++) {
        unsigned char byte = (unsigned char)line[i];
        if (byte < 0x20 || byte == 0x7f)
            line[i] = ' ';
    }
    line[used] = '\n';
    return used + 1;
}

void log_line_v(enum gmk_log_level level, const char *module, const char *fmt, va_list ap) {
    if (!log_wants(level))
        return;
    char line[GMK_LOG_LINE_MAX];
    uint64_t us = hal_now_ns() / 1000u;
    size_t used = format_string(line, sizeof line,
                                "[%4llu.%06llu] %s %s: ", (unsigned long long)(us / 1000000u),
                                (unsigned long long)(us % 1000000u), level_word(level), module);
    if (used <= LOG_TEXT_MAX)
        used += format_vstring(&line[used], sizeof line - used, fmt, ap);
    bool cut = used > LOG_TEXT_MAX;
    size_t length = line_finish(line, cut ? LOG_TEXT_MAX : used, cut);

    void *arg = NULL;
    gmk_log_sink_fn sink = sink_read(&arg);
    if (sink != NULL)
        sink(arg, level, line, length);
    else
        hal_log_write(line, length);
}

void log_line(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    log_line_v(level, module, fmt, ap);
    va_end(ap);
}

void log_set_namer(log_namer_fn namer) {
    /* R4 pairs with A4 in module_of(). */
    atomic_store_explicit(&namer_now, namer, memory_order_release);
}

static const char *module_of(const gmk_ctx_t *ctx) {
    if (ctx == NULL)
        return "program";
    if (ctx->sandbox != NULL)
        return "sandbox";
    /* A4 pairs with R4 in log_set_namer(). */
    log_namer_fn namer = atomic_load_explicit(&namer_now, memory_order_acquire);
    const char *name = namer != NULL ? namer(ctx) : NULL;
    return name != NULL ? name : "program";
}

GMK_API void gmk_log(gmk_ctx_t *ctx, enum gmk_log_level level, const char *fmt, ...) {
    if (!log_wants(level))
        return;
    va_list ap;
    va_start(ap, fmt);
    log_line_v(level, module_of(ctx), fmt, ap);
    va_end(ap);
}

GMK_API void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    log_line(GMK_LOG_ERROR, "assert", "%s (%s is false at %s:%d)", message, expr, file, line);
    hal_panic(message);
}
