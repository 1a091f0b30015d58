/* Report: backtraces with names, and the tail of a trace ring, for panics and the monitor. */
#include "kernel/debug/report.h"

#include "engine/engine.h"
#include "kernel/core/kernel.h"
#include "kernel/core/panic.h"
#include "kernel/debug/readable.h"
#include "lib/format.h"

#define SYMBOL_TEXT 96u  /* bytes of a function's name shown */
#define EVENT_TEXT  128u /* bytes of an event's arguments shown */

/* ---- Backtraces ----------------------------------------------------------------------- */

struct walk {
    report_fn print;
    unsigned count;
    bool interrupted; /* the first address is an instruction, not one to return to */
};

/* A call that never returns may be the last of its function, and its return address then lies in
 * the next one. So the name is asked for the byte before, which belongs to the call. */
static void print_step(void *arg, uintptr_t address) {
    struct walk *walk = arg;
    char name[SYMBOL_TEXT];
    symbol_format(address - (walk->interrupted ? 0 : 1u), name, sizeof name);
    walk->interrupted = false;
    walk->print("  #%-2u %016zx %s\n", walk->count++, (size_t)address, name);
}

static void print_end(const struct walk *walk, const char *damage) {
    if (damage != NULL)
        walk->print("  ... %s\n", damage);
    else if (walk->count >= REPORT_FRAMES_MAX)
        walk->print("  ... and more\n");
}

void report_backtrace(const struct arch_frame *frame, report_fn print) {
    struct walk walk = {print, 0, frame != NULL};
    print("backtrace:\n");
    print_end(&walk, arch_backtrace(frame, REPORT_FRAMES_MAX, print_step, &walk));
}

void report_backtrace_context(const struct arch_context *context, report_fn print) {
    struct walk walk = {print, 0, false};
    print_end(&walk, arch_backtrace_context(context, REPORT_FRAMES_MAX, print_step, &walk));
}

/* ---- Trace ------------------------------------------------------------------------------ */

/* The ring of a CPU's worker; NULL where there is none to be read. */
static const struct trace_ring *ring_of(unsigned cpu) {
    const struct engine *eng = kernel_engine.engine;
    if (eng == NULL || !debug_readable((vaddr_t)eng, sizeof *eng, NULL) || cpu >= eng->n_workers ||
        !debug_readable((vaddr_t)&eng->agents[cpu], sizeof(void *), NULL))
        return NULL;
    const struct agent *a = eng->agents[cpu];
    if (!debug_readable((vaddr_t)a, sizeof *a, NULL) || a->trace.words == NULL ||
        !debug_readable((vaddr_t)a->trace.words, (a->trace.mask + 1u) * 8u, NULL))
        return NULL;
    return &a->trace;
}

static uint64_t word_at(const struct trace_ring *ring, uint64_t at) {
    return atomic_load_explicit(&ring->words[at & ring->mask], memory_order_acquire);
}

static const char *text_at(const struct trace_ring *ring, uint64_t index) {
    const char *text = trace_text(ring->config, (unsigned)index);
    return text != NULL && debug_readable((vaddr_t)text, GMK_NAME_MAX, NULL) ? text : "?";
}

static uint64_t cycles_to_ns(uint64_t cycles) {
    uint64_t khz = arch_cycles_khz(); /* never 0 once there is an engine */
    return cycles / khz * 1000000u + cycles % khz * 1000000u / khz;
}

/* The arguments of an event, as "name=value", from the word at `at` on. */
static size_t args_text(const struct trace_ring *ring, uint64_t at, unsigned args, char *out,
                        size_t size) {
    size_t used = 0;
    for (unsigned i = 0; i < args && used < size; i++) {
        uint64_t header = word_at(ring, at);
        const char *name = text_at(ring, header >> 16 & 0xffffu);
        unsigned type = (unsigned)(header & 15u);
        if (type == FXT_ARG_STRING)
            used +=
                format_string(out + used, size - used, " %s=%s", name, text_at(ring, header >> 32));
        else
            used += format_string(
                out + used, size - used, " %s=%llu", name,
                (unsigned long long)(type == FXT_ARG_U64 ? word_at(ring, at + 1u) : header >> 32));
        at += header >> 4 & 0xfffu;
    }
    return used;
}

/* One record: how long ago it began, its name, its arguments or how long it took. */
static void print_event(const struct trace_ring *ring, uint64_t at, uint64_t now, report_fn print) {
    uint64_t header = word_at(ring, at), begin = word_at(ring, at + 1u);
    unsigned name = (unsigned)(header >> 48);
    unsigned inlined = name & FXT_INLINE ? fxt_stream_words(name & FXT_STRING_INDEX_MAX) : 0;
    uint64_t ago = cycles_to_ns(now > begin ? now - begin : 0);
    char detail[EVENT_TEXT] = "";
    if ((header >> 16 & 15u) == FXT_DURATION_COMPLETE) {
        uint64_t took = cycles_to_ns(word_at(ring, at + fxt_words(header) - 1u) - begin);
        format_string(detail, sizeof detail, " took %llu ns", (unsigned long long)took);
    } else {
        args_text(ring, at + 2u + inlined, (unsigned)(header >> 20 & 15u), detail, sizeof detail);
    }
    print("  %6llu.%06llu ms ago  %s %s%s\n", (unsigned long long)(ago / 1000000u),
          (unsigned long long)(ago % 1000000u), text_at(ring, header >> 32 & 0xffffu),
          inlined != 0 ? "(inline)" : text_at(ring, name), detail);
}

/* Notes where the records of the block at `from` begin; only the newest stay in `at`. */
static uint64_t note_block(const struct trace_ring *ring, uint64_t from, uint64_t head,
                           uint64_t at[REPORT_EVENTS_MAX], uint64_t noted) {
    uint64_t end = from + TRACE_BLOCK_WORDS < head ? from + TRACE_BLOCK_WORDS : head;
    while (from < end) {
        uint64_t header = word_at(ring, from);
        unsigned words = fxt_words(header);
        if (fxt_type(header) != FXT_EVENT || words < 3u || words > end - from)
            break; /* the block ends early, or is damaged */
        at[noted++ % REPORT_EVENTS_MAX] = from;
        from += words;
    }
    return noted;
}

void report_trace(unsigned cpu, unsigned count, report_fn print) {
    const struct trace_ring *ring = ring_of(cpu);
    if (ring == NULL) {
        print("CPU %u has no trace\n", cpu);
        return;
    }
    /* Acquire pairs with R3 in trace_publish(): the words below head are written. */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t last = head / TRACE_BLOCK_WORDS, noted = 0, at[REPORT_EVENTS_MAX];
    uint64_t blocks = (ring->mask + 1u) / TRACE_BLOCK_WORDS - 2u; /* two are in its hands */
    if (blocks > REPORT_EVENTS_MAX / 4u) /* at most 4 to 21 records are in one */
        blocks = REPORT_EVENTS_MAX / 4u;
    for (uint64_t block = last > blocks ? last - blocks : 0; block <= last; block++)
        noted = note_block(ring, block * TRACE_BLOCK_WORDS, head, at, noted);
    uint64_t shown = noted < count ? noted : count;
    print("last %llu trace events of CPU %u:\n", (unsigned long long)shown, cpu);
    for (uint64_t i = noted - shown, now = arch_cycles(); i < noted; i++)
        print_event(ring, at[i % REPORT_EVENTS_MAX], now, print);
}
