/* Trace: flight-recorder rings of ready-made FXT records, one ring per worker or client.
 *
 * Problem: say what every worker does, cheaply enough to leave it on, and let another
 * thread read it at any moment without stopping anybody.
 *
 * Idea: a ring is an array of 64-bit words in blocks of 64. A record is written in its
 * final form (trace_fxt.h) and never crosses the border of a block, so each block can be
 * parsed from its first word, also after the ring has run over it many times; a zero word
 * ends a block early. There is no tail: the writer overwrites what is oldest.
 *
 * Reading beside the writer: `head` counts all words ever claimed and grows forever. At
 * head H the writer may be changing block H/64 and the one behind it (a record that does
 * not fit goes there), hence block b is whole as long as b + blocks > H/64 + 1. A reader
 * copies a block, looks at head again, and throws the copy away when that no longer
 * holds. Every word is stored with release and loaded with acquire: having seen a word
 * of a later turn, the reader cannot see a head older than that word's. On x86-64 these
 * are plain moves. (A store fence per record would do too, and cost more.)
 *
 * Who may call: emitters (trace_task_begin ... trace_user) only by the ring's owner;
 * trace_set_* and trace_attach by anyone, serialised by the config's lock;
 * trace_intern and trace_export by anyone at any time.
 *
 * It does not keep events that were overwritten, does not order rings among each other
 * (FXT does not ask for it), and does not count: metrics do, exactly, at any level. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/trace_fxt.h"
#include "ggmk/base.h"
#include "ggmk/trace.h"
#include "hal/hal.h"

#define TRACE_BLOCK_WORDS      64u  /* 512 bytes */
#define TRACE_RING_WORDS_MIN   256u /* four blocks: two in the writer's hands, two to read */
#define TRACE_RECORD_WORDS_MAX 16u  /* the longest: a user event, name inline */
#define TRACE_RINGS_MAX        (GMK_WORKERS_MAX + GMK_CLIENTS_MAX + 1u) /* and the watchdog's */
#define TRACE_SLOTS_MAX        4096u                                    /* interned names */
#define TRACE_PROBES_MAX       16u /* slots looked at before a name counts as not fitting */

GMK_STATIC_ASSERT(TRACE_RING_WORDS_MIN >= 4u * TRACE_BLOCK_WORDS, "something is left to read");
GMK_STATIC_ASSERT(TRACE_RINGS_MAX <= FXT_THREAD_INDEX_MAX, "every ring has a thread index");

/* Texts of the engine itself: string index 1 and up, in this order. */
/* clang-format off */
#define TRACE_TEXT_LIST(X)                                                                   \
    X(TASK, "task") X(SUBMIT, "submit") X(EMIT, "emit") X(TIMER, "timer") X(YIELD, "yield")   \
    X(STEAL, "steal") X(PARK, "park") X(WAKE, "wake") X(RETRY, "retry") X(FAIL, "fail")       \
    X(DROP, "drop") X(POISON, "poison") X(ALLOC_FAIL, "alloc-fail") X(SEND, "send")           \
    X(DELIVER, "deliver") X(FULL, "full") X(OPEN, "open") X(CLOSE, "close") X(HANG, "hang")   \
    X(QUEUED, "queued") X(USER, "user") X(QUEUE, "queue") X(SCHED, "sched") X(FAULT, "fault") \
    X(CHANNEL, "channel") X(TYPE, "type") X(COUNT, "count") X(WORKER, "worker")               \
    X(REASON, "reason") X(SIZE, "size") X(VALUE, "value") X(LEVEL, "level")                   \
    X(ERROR, "error") X(WARN, "warn") X(INFO, "info") X(DEBUG, "debug") X(ALL, "all")         \
    X(PROCESS, "process") X(GGMK, "ggmk")

enum trace_text {
    TRACE_TEXT_NONE = 0, /* FXT: index 0 is the empty string */
#define TRACE_TEXT_ENUM(id, text) TRACE_TEXT_##id,
    TRACE_TEXT_LIST(TRACE_TEXT_ENUM)
#undef TRACE_TEXT_ENUM
    TRACE_TEXTS /* how many */
};
/* clang-format on */

#define TRACE_SLOT_BASE 64u /* string index of slot 0 of the interned names */
GMK_STATIC_ASSERT(TRACE_TEXTS <= TRACE_SLOT_BASE, "own texts come before interned ones");
GMK_STATIC_ASSERT(TRACE_SLOT_BASE + TRACE_SLOTS_MAX <= FXT_STRING_INDEX_MAX, "15-bit index");

/* Kinds of events: X(kind, category, name of the argument, level). The name of an event
 * is the kind's own text; a task carries its handler's name instead. If you add one, add
 * its text above and its line to docs/observability.md. */
/* clang-format off */
#define TRACE_KIND_LIST(X)                                                                   \
    X(TASK, SCHED, NONE, GMK_TRACE_ALL)         /* span: one run of a handler */             \
    X(SUBMIT, QUEUE, TYPE, GMK_TRACE_ALL)                                                    \
    X(EMIT, QUEUE, TYPE, GMK_TRACE_ALL)                                                      \
    X(SEND, CHANNEL, CHANNEL, GMK_TRACE_ALL)                                                 \
    X(DELIVER, CHANNEL, CHANNEL, GMK_TRACE_ALL)                                              \
    X(TIMER, QUEUE, TYPE, GMK_TRACE_DEBUG)                                                   \
    X(YIELD, SCHED, TYPE, GMK_TRACE_DEBUG)                                                   \
    X(STEAL, SCHED, COUNT, GMK_TRACE_DEBUG)                                                  \
    X(PARK, SCHED, NONE, GMK_TRACE_DEBUG)       /* span: asleep */                           \
    X(WAKE, SCHED, COUNT, GMK_TRACE_DEBUG)                                                   \
    X(FULL, CHANNEL, CHANNEL, GMK_TRACE_DEBUG)  /* backpressure: the sender was told no */   \
    X(QUEUED, QUEUE, COUNT, GMK_TRACE_DEBUG)    /* counter: length of a queue */             \
    X(OPEN, CHANNEL, CHANNEL, GMK_TRACE_INFO)                                                \
    X(CLOSE, CHANNEL, CHANNEL, GMK_TRACE_INFO)                                               \
    X(RETRY, FAULT, TYPE, GMK_TRACE_WARN)                                                    \
    X(DROP, FAULT, REASON, GMK_TRACE_WARN)      /* argument: enum gmk_drop_reason */         \
    X(FAIL, FAULT, TYPE, GMK_TRACE_ERROR)                                                    \
    X(POISON, FAULT, TYPE, GMK_TRACE_ERROR)                                                  \
    X(HANG, FAULT, TYPE, GMK_TRACE_ERROR)                                                    \
    X(ALLOC_FAIL, FAULT, SIZE, GMK_TRACE_ERROR)                                              \
    X(USER, SCHED, VALUE, GMK_TRACE_ERROR)      /* gmk_trace(): has its own level */

enum trace_kind {
#define TRACE_KIND_ENUM(kind, category, arg, level) TRACE_##kind,
    TRACE_KIND_LIST(TRACE_KIND_ENUM)
#undef TRACE_KIND_ENUM
    TRACE_KINDS /* how many */
};
/* clang-format on */

struct trace_kind_info {
    uint8_t name; /* enum trace_text, as the next two */
    uint8_t category;
    uint8_t arg;
    uint8_t level; /* enum gmk_trace_level */
};

/* In the header so that a constant kind folds to constant words. */
static const struct trace_kind_info trace_kinds[TRACE_KINDS] = {
#define TRACE_KIND_INFO(kind, category, arg, level) \
    {TRACE_TEXT_##kind, TRACE_TEXT_##category, TRACE_TEXT_##arg, level},
    TRACE_KIND_LIST(TRACE_KIND_INFO)
#undef TRACE_KIND_INFO
};

struct trace_config;

/* One ring. Zeroed and not attached it is valid: nothing passes its gates. */
struct trace_ring {
    /* Owner's line: written at every record, by the owner only, except for the two gates,
     * which trace_set_*() stores seldom. */
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t head; /* words claimed since boot */
    _Atomic uint64_t *words;                          /* constant after attach, as mask, thread */
    uint64_t mask;                                    /* words - 1 */
    uint64_t thread;                                  /* header bits of the thread index */
    uint64_t last; /* cycles at the end of the task before; 0 = unknown */
    struct trace_config *config;
    _Atomic uint8_t engine;     /* level for the engine's own events */
    _Atomic uint8_t gate;       /* highest level of any module: above it nobody listens */
    uint32_t seen[TRACE_KINDS]; /* events that passed the level, for sampling */
    /* Read at every record, written by trace_set_sampling(): 2^shift - 1. */
    _Atomic uint32_t skip[TRACE_KINDS];
    char name[GMK_NAME_MAX]; /* of the thread; constant after attach */
};

/* One per engine: levels, names, and the list of rings. Zeroed, then trace_config_init(). */
struct trace_config {
    struct hal_lock lock; /* class: trace; taken last, held for at most TRACE_RINGS_MAX steps */
    /* Guarded by lock; written only under it, read without. */
    struct trace_ring *rings[TRACE_RINGS_MAX];
    _Atomic uint32_t ring_count; /* R1 pairs with A1 in trace_export() */
    uint8_t engine;
    uint8_t setting[GMK_MODULES_MAX]; /* what was asked for, GMK_TRACE_INHERIT included */
    uint32_t skip[TRACE_KINDS];
    _Atomic uint8_t level[GMK_MODULES_MAX];     /* what follows from it */
    _Atomic uint16_t category[GMK_MODULES_MAX]; /* string index of the module's name */
    /* Interned names, keyed by address. Set by trace_config_init(), constant after. */
    _Atomic(const char *) *slots;
    uint32_t slot_count; /* power of two, or 0 */
};

/* ---- Set up ------------------------------------------------------------------- */

/* Prepares a zeroed config. `slots` is zeroed memory for `slot_count` pointers (rounded
 * down to a power of two, at most TRACE_SLOTS_MAX; may be 0: all names go inline). */
void trace_config_init(struct trace_config *config, unsigned level, _Atomic(const char *) *slots,
                       uint32_t slot_count);

/* Words of the largest ring in `bytes` (a power of two), 0 when below the least. */
size_t trace_ring_words(size_t bytes);

/* Gives a zeroed ring its memory (`words` words as trace_ring_words() says; 8-byte
 * aligned, need not be zeroed) and makes it known to the config. Its thread is shown as
 * `name` (copied, at most GMK_NAME_MAX-1 bytes). words == 0 leaves the ring silent. Once
 * per ring, before its owner emits. False: no memory, or TRACE_RINGS_MAX are attached. */
bool trace_attach(struct trace_config *config, struct trace_ring *ring, void *memory, size_t words,
                  const char *name);

/* Names a module: its events carry the name as category. `name` lives as the config. */
void trace_module_name(struct trace_config *config, unsigned module, const char *name);

/* ---- Control: any thread, at any time --------------------------------------------- */

/* GMK_EINVAL for a level, module, kind or shift out of range; else GMK_OK. */
int trace_set_level(struct trace_config *config, unsigned level);
int trace_set_module_level(struct trace_config *config, unsigned module, unsigned level);
int trace_set_sampling(struct trace_config *config, unsigned kind, unsigned shift);

/* The kind of this name ("task", "alloc-fail"); -1 when there is none. */
int trace_kind_find(const char *name);

/* String index of a name, the same for the same address for ever; 0 when the table has no
 * room (or name is NULL). The text must live and not change while the config is used. */
unsigned trace_intern(struct trace_config *config, const char *name);

/* The text behind a string index; NULL when the index is not in use. */
const char *trace_text(const struct trace_config *config, unsigned index);

/* ---- Export ---------------------------------------------------------------------- */

#define TRACE_OUT_WORDS 512u

/* Working memory of one export, 5 KiB: on a stack, or wherever the caller has room. */
struct trace_exporter {
    struct trace_config *config;
    gmk_write_fn write;
    void *arg;
    int status; /* first error of write(); nothing is written after it */
    gmk_trace_stats_t stats;
    uint64_t defined[(TRACE_SLOT_BASE + TRACE_SLOTS_MAX) / 64u]; /* strings written so far */
    uint64_t block[TRACE_BLOCK_WORDS];                           /* copy of one block */
    uint64_t out[TRACE_OUT_WORDS];
    uint32_t out_used;
};

/* Writes a whole FXT archive of what the attached rings hold now. `ticks_per_second` is
 * the rate of hal_cycles(): hal_cycles_khz() * 1000. Returns GMK_OK or what write()
 * returned; `exporter->stats` tells the rest. Bounded by the sizes of the rings. */
int trace_export(struct trace_config *config, struct trace_exporter *exporter,
                 uint64_t ticks_per_second, gmk_write_fn write, void *arg);

/* ---- Emitters: the owner of the ring only ------------------------------------------ */

/* Does anybody want events of this level from the engine itself? One compare. */
static inline bool trace_on(const struct trace_ring *ring, unsigned level) {
    return level <= GMK_TRACE_STRIP_LEVEL &&
           atomic_load_explicit(&ring->engine, memory_order_relaxed) >= level;
}

/* The same for a module's events: one compare when nobody listens, two when somebody does. */
static inline bool trace_on_for(const struct trace_ring *ring, unsigned module, unsigned level) {
    if (level > GMK_TRACE_STRIP_LEVEL ||
        GMK_LIKELY(atomic_load_explicit(&ring->gate, memory_order_relaxed) < level)) {
        return false;
    }
    return atomic_load_explicit(&ring->config->level[module & (GMK_MODULES_MAX - 1u)],
                                memory_order_relaxed) >= level;
}
GMK_STATIC_ASSERT((GMK_MODULES_MAX & (GMK_MODULES_MAX - 1u)) == 0, "module ids are masked");

/* Counts an event of this kind and says whether it is the one in 2^shift to keep. */
static inline bool trace_sampled(struct trace_ring *ring, unsigned kind) {
    uint32_t skip = atomic_load_explicit(&ring->skip[kind], memory_order_relaxed);
    return (ring->seen[kind]++ & skip) == 0;
}

/* Slow path of trace_claim(): ends the block at `head`, returns where the next begins. */
static inline uint64_t trace_next_block(struct trace_ring *ring, uint64_t head) {
    if ((head & (TRACE_BLOCK_WORDS - 1u)) != 0) {
        atomic_store_explicit(&ring->words[head & ring->mask], 0, memory_order_release);
    }
    return (head + TRACE_BLOCK_WORDS - 1u) & ~(uint64_t)(TRACE_BLOCK_WORDS - 1u);
}

/* Where a record of `count` words goes. */
static inline uint64_t trace_claim(struct trace_ring *ring, unsigned count) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (GMK_UNLIKELY((head & (TRACE_BLOCK_WORDS - 1u)) + count > TRACE_BLOCK_WORDS)) {
        head = trace_next_block(ring, head);
    }
    return head;
}

/* R2 pairs with A2 in trace_copy_block(): who sees this word sees the head before it. */
static inline void trace_word(struct trace_ring *ring, uint64_t at, uint64_t word) {
    atomic_store_explicit(&ring->words[at & ring->mask], word, memory_order_release);
}

/* R3 pairs with A3 in trace_export_ring(): the words below head are written. */
static inline void trace_publish(struct trace_ring *ring, uint64_t head) {
    atomic_store_explicit(&ring->head, head, memory_order_release);
}

static inline void trace_put3(struct trace_ring *ring, uint64_t w0, uint64_t w1, uint64_t w2) {
    uint64_t at = trace_claim(ring, 3);
    trace_word(ring, at, w0 | ring->thread);
    trace_word(ring, at + 1, w1);
    trace_word(ring, at + 2, w2);
    trace_publish(ring, at + 3);
}

/* A task's run is a span whose begin is the end of the task before it, so that the clock
 * is read once per task. Around every handler:
 *
 *     uint64_t begin = trace_task_begin(ring, type->module);
 *     ... run the handler ...
 *     trace_task_end(ring, begin, type->trace_name);   // trace_intern(handler's name)
 *
 * and trace_idle(ring) whenever the worker found nothing to do or was parked, so that
 * idle time does not count as the next task's. Handlers run inside handlers (helping
 * waits) may nest these pairs. */
static inline uint64_t trace_task_begin(struct trace_ring *ring, unsigned module) {
    uint64_t last = ring->last;
    ring->last = 0; /* a nested task reads the clock; so does one after the level came up */
    if (!trace_on_for(ring, module, GMK_TRACE_ALL) || !trace_sampled(ring, TRACE_TASK)) {
        return 0;
    }
    return last != 0 ? last : hal_cycles();
}

static inline void trace_task_end(struct trace_ring *ring, uint64_t begin, unsigned name) {
    if (GMK_TRACE_ALL > GMK_TRACE_STRIP_LEVEL || GMK_LIKELY(begin == 0)) {
        return;
    }
    uint64_t end = hal_cycles();
    unsigned text = name != 0 ? name : (unsigned)TRACE_TEXT_TASK;
    trace_put3(ring, fxt_event(3, FXT_DURATION_COMPLETE, 0, TRACE_TEXT_SCHED, text), begin,
               end < begin ? begin : end);
    ring->last = end;
}

static inline void trace_idle(struct trace_ring *ring) {
    ring->last = 0;
}

/* An instant with a number: trace_event(ring, TRACE_STEAL, count). Kind: a constant. */
static inline void trace_event(struct trace_ring *ring, unsigned kind, uint32_t value) {
    const struct trace_kind_info *info = &trace_kinds[kind];
    if (!trace_on(ring, info->level) || !trace_sampled(ring, kind)) {
        return;
    }
    trace_put3(ring, fxt_event(3, FXT_INSTANT, 1, info->category, info->name), hal_cycles(),
               fxt_arg(FXT_ARG_U32, 1, info->arg, value));
}

/* An instant about something with an interned name: trace_event_name(ring, TRACE_SUBMIT,
 * type->trace_name), where `module` decides about the level. */
static inline void trace_event_name(struct trace_ring *ring, unsigned kind, unsigned module,
                                    unsigned name) {
    const struct trace_kind_info *info = &trace_kinds[kind];
    if (!trace_on_for(ring, module, info->level) || !trace_sampled(ring, kind)) {
        return;
    }
    trace_put3(ring, fxt_event(3, FXT_INSTANT, 1, info->category, info->name), hal_cycles(),
               fxt_arg(FXT_ARG_STRING, 1, info->arg, name));
}

/* A stretch of time that began at `begin` (hal_cycles()) and ends now: TRACE_PARK. Take
 * `begin` with trace_span_begin(), which is 0 when nobody listens. */
static inline uint64_t trace_span_begin(const struct trace_ring *ring, unsigned kind) {
    return trace_on(ring, trace_kinds[kind].level) ? hal_cycles() : 0;
}

static inline void trace_span_end(struct trace_ring *ring, unsigned kind, uint64_t begin) {
    const struct trace_kind_info *info = &trace_kinds[kind];
    if (info->level > GMK_TRACE_STRIP_LEVEL || begin == 0 || !trace_sampled(ring, kind)) {
        return;
    }
    uint64_t end = hal_cycles();
    trace_put3(ring, fxt_event(3, FXT_DURATION_COMPLETE, 0, info->category, info->name), begin,
               end < begin ? begin : end);
}

/* A point of a curve: the length of queue `id` is `value`. */
void trace_counter(struct trace_ring *ring, unsigned kind, uint64_t id, uint64_t value);

/* What gmk_trace_event() records, after it asked trace_on_for(): the module as category,
 * the level and the value as arguments. A name that the table cannot take is written into
 * the record. */
void trace_user(struct trace_ring *ring, unsigned module, unsigned level, const char *name,
                uint64_t value);
