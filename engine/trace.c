/* Trace: levels, names and the less frequent emitters. The idea is told in trace.h. */
#include "engine/trace.h"

#include <string.h>

#include "ggmk/error.h"
#include "lib/utf8.h"

/* How far to look at a name: to its cut, and over a character that lies across it. */
#define TRACE_NAME_LOOK (GMK_NAME_MAX + 3u)

/* ---- Set up --------------------------------------------------------------------- */

static uint32_t power_of_two_below(uint32_t count, uint32_t limit) {
    uint32_t power = 1;
    while (power * 2u <= count && power * 2u <= limit) {
        power *= 2u;
    }
    return count == 0 ? 0 : power;
}

void trace_config_init(struct trace_config *config, unsigned level, _Atomic(const char *) *slots,
                       uint32_t slot_count) {
    config->engine = (uint8_t)(level <= GMK_TRACE_ALL ? level : GMK_TRACE_ALL);
    config->slots = slots;
    config->slot_count = slots == NULL ? 0 : power_of_two_below(slot_count, TRACE_SLOTS_MAX);
    for (unsigned i = 0; i < GMK_MODULES_MAX; i++) {
        config->setting[i] = GMK_TRACE_INHERIT;
        atomic_store_explicit(&config->level[i], config->engine, memory_order_relaxed);
        atomic_store_explicit(&config->category[i], TRACE_TEXT_USER, memory_order_relaxed);
    }
}

size_t trace_ring_words(size_t bytes) {
    size_t words = bytes / sizeof(uint64_t);
    size_t power = TRACE_RING_WORDS_MIN;
    if (words < power) {
        return 0;
    }
    while (power <= words / 2u) {
        power *= 2u;
    }
    return power;
}

/* Works out every gate from the settings. Called with config->lock held. */
static void trace_apply_locked(struct trace_config *config) {
    uint8_t gate = config->engine;
    for (unsigned i = 0; i < GMK_MODULES_MAX; i++) {
        uint8_t level =
            config->setting[i] == GMK_TRACE_INHERIT ? config->engine : config->setting[i];
        atomic_store_explicit(&config->level[i], level, memory_order_relaxed);
        gate = level > gate ? level : gate;
    }
    uint32_t count = atomic_load_explicit(&config->ring_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        struct trace_ring *ring = config->rings[i];
        for (unsigned kind = 0; kind < TRACE_KINDS; kind++) {
            atomic_store_explicit(&ring->skip[kind], config->skip[kind], memory_order_relaxed);
        }
        atomic_store_explicit(&ring->engine, config->engine, memory_order_relaxed);
        atomic_store_explicit(&ring->gate, gate, memory_order_relaxed);
    }
}

bool trace_attach(struct trace_config *config, struct trace_ring *ring, void *memory, size_t words,
                  const char *name) {
    if (memory == NULL || words < TRACE_RING_WORDS_MIN || (words & (words - 1u)) != 0) {
        return false;
    }
    hal_lock(&config->lock);
    uint32_t index = atomic_load_explicit(&config->ring_count, memory_order_relaxed);
    bool room = index < TRACE_RINGS_MAX;
    if (room) {
        ring->words = memory;
        ring->mask = words - 1u;
        ring->thread = fxt_event_thread(index + 1u);
        ring->config = config;
        size_t length = utf8_length(name, TRACE_NAME_LOOK);
        length = utf8_cut(name, length, sizeof ring->name - 1u);
        memcpy(ring->name, name, length);
        ring->name[length] = '\0';
        config->rings[index] = ring;
        /* R1 pairs with A1 in trace_export(): the ring is complete before it is listed. */
        atomic_store_explicit(&config->ring_count, index + 1u, memory_order_release);
        trace_apply_locked(config);
    }
    hal_unlock(&config->lock);
    return room;
}

void trace_module_name(struct trace_config *config, unsigned module, const char *name) {
    unsigned text = trace_intern(config, name);
    if (module < GMK_MODULES_MAX && text != 0) {
        atomic_store_explicit(&config->category[module], (uint16_t)text, memory_order_relaxed);
    }
}

/* ---- Control -------------------------------------------------------------------- */

int trace_set_level(struct trace_config *config, unsigned level) {
    if (level > GMK_TRACE_ALL) {
        return GMK_EINVAL;
    }
    hal_lock(&config->lock);
    config->engine = (uint8_t)level;
    trace_apply_locked(config);
    hal_unlock(&config->lock);
    return GMK_OK;
}

int trace_set_module_level(struct trace_config *config, unsigned module, unsigned level) {
    if (module >= GMK_MODULES_MAX || (level > GMK_TRACE_ALL && level != GMK_TRACE_INHERIT)) {
        return GMK_EINVAL;
    }
    hal_lock(&config->lock);
    config->setting[module] = (uint8_t)level;
    trace_apply_locked(config);
    hal_unlock(&config->lock);
    return GMK_OK;
}

int trace_set_sampling(struct trace_config *config, unsigned kind, unsigned shift) {
    if (kind >= TRACE_KINDS || shift > 31u) {
        return GMK_EINVAL;
    }
    hal_lock(&config->lock);
    config->skip[kind] = (UINT32_C(1) << shift) - 1u;
    trace_apply_locked(config);
    hal_unlock(&config->lock);
    return GMK_OK;
}

static const char *const trace_texts[TRACE_TEXTS] = {"",
#define TRACE_TEXT_STRING(id, text) text,
                                                     TRACE_TEXT_LIST(TRACE_TEXT_STRING)
#undef TRACE_TEXT_STRING
};

int trace_kind_find(const char *name) {
    for (unsigned kind = 0; kind < TRACE_KINDS; kind++) {
        if (strcmp(trace_texts[trace_kinds[kind].name], name) == 0) {
            return (int)kind;
        }
    }
    return -1;
}

/* ---- Names ------------------------------------------------------------------------ */

/* An open table keyed by address: the slot a name lands in is its string index for ever,
 * because nothing is removed. Finding one is a multiplication and, mostly, one load. */
unsigned trace_intern(struct trace_config *config, const char *name) {
    if (config->slot_count == 0 || name == NULL) {
        return 0;
    }
    uint64_t hash = (uint64_t)(uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15); /* 2^64/golden */
    uint32_t slot = (uint32_t)(hash >> 32);
    for (unsigned probe = 0; probe < TRACE_PROBES_MAX; probe++, slot++) {
        slot &= config->slot_count - 1u;
        /* Relaxed: who finds the address here passed the text itself to us. */
        const char *there = atomic_load_explicit(&config->slots[slot], memory_order_relaxed);
        if (there == NULL) {
            /* R4 pairs with A4 in trace_slot_text(): the text is complete when listed. */
            (void)atomic_compare_exchange_strong_explicit(
                &config->slots[slot], &there, name, memory_order_release, memory_order_relaxed);
            there = there == NULL ? name : there;
        }
        if (there == name) {
            return TRACE_SLOT_BASE + slot;
        }
    }
    return 0;
}

const char *trace_text(const struct trace_config *config, unsigned index) {
    if (index < TRACE_TEXTS) {
        return trace_texts[index];
    }
    if (index < TRACE_SLOT_BASE || index - TRACE_SLOT_BASE >= config->slot_count) {
        return NULL;
    }
    /* A4 pairs with R4 in trace_intern(). */
    return atomic_load_explicit(&config->slots[index - TRACE_SLOT_BASE], memory_order_acquire);
}

/* ---- Emitters ---------------------------------------------------------------------- */

void trace_counter(struct trace_ring *ring, unsigned kind, uint64_t id, uint64_t value) {
    const struct trace_kind_info *info = &trace_kinds[kind];
    if (!trace_on(ring, info->level) || !trace_sampled(ring, kind)) {
        return;
    }
    uint64_t at = trace_claim(ring, 5);
    trace_word(ring, at, fxt_event(5, FXT_COUNTER, 1, info->category, info->name) | ring->thread);
    trace_word(ring, at + 1, hal_cycles());
    trace_word(ring, at + 2, fxt_arg(FXT_ARG_U64, 2, info->arg, 0));
    trace_word(ring, at + 3, value);
    trace_word(ring, at + 4, id);
    trace_publish(ring, at + 5);
}

/* Writes a name as a stream at `at`; returns its words. */
static unsigned trace_inline_text(struct trace_ring *ring, uint64_t at, const char *name,
                                  unsigned length) {
    for (unsigned done = 0; done < length; done += 8u) {
        uint64_t word = 0;
        unsigned rest = length - done;
        memcpy(&word, name + done, rest < 8u ? rest : 8u);
        trace_word(ring, at + done / 8u, word);
    }
    return fxt_stream_words(length);
}

void trace_user(struct trace_ring *ring, unsigned module, unsigned level, const char *name,
                uint64_t value) {
    if (level == GMK_TRACE_OFF || level > GMK_TRACE_ALL || !trace_sampled(ring, TRACE_USER)) {
        return;
    }
    name = name == NULL ? "?" : name;
    unsigned text = trace_intern(ring->config, name);
    unsigned length = 0;
    if (text == 0) {
        size_t whole = utf8_length(name, TRACE_NAME_LOOK);
        length = (unsigned)utf8_cut(name, whole, GMK_NAME_MAX - 1u);
        text = length == 0 ? 0 : FXT_INLINE | length;
    }
    unsigned category = atomic_load_explicit(
        &ring->config->category[module & (GMK_MODULES_MAX - 1u)], memory_order_relaxed);
    unsigned words = 5u + fxt_stream_words(length);
    uint64_t at = trace_claim(ring, words);
    uint64_t end = at + words;
    trace_word(ring, at, fxt_event(words, FXT_INSTANT, 2, category, text) | ring->thread);
    trace_word(ring, at + 1, hal_cycles());
    at += 2u + trace_inline_text(ring, at + 2, name, length);
    unsigned level_text = TRACE_TEXT_ERROR + level - GMK_TRACE_ERROR;
    trace_word(ring, at, fxt_arg(FXT_ARG_STRING, 1, TRACE_TEXT_LEVEL, level_text));
    trace_word(ring, at + 1, fxt_arg(FXT_ARG_U64, 2, TRACE_TEXT_VALUE, 0));
    trace_word(ring, at + 2, value);
    trace_publish(ring, end);
}
GMK_STATIC_ASSERT(5u + (GMK_NAME_MAX + 7u) / 8u <= TRACE_RECORD_WORDS_MAX, "a user event fits");
GMK_STATIC_ASSERT(TRACE_TEXT_ALL - TRACE_TEXT_ERROR == GMK_TRACE_ALL - GMK_TRACE_ERROR,
                  "texts of the levels are in the levels' order");
