/* Trace fixture: a config with rings of chosen sizes, whose export is read back strictly. */
#include "tests/lib/trace_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

void trace_fixture_init(struct trace_fixture *f, unsigned rings, size_t words, uint32_t slots) {
    memset(f, 0, sizeof *f);
    f->slots = must(calloc(slots + 1u, sizeof f->slots[0]));
    trace_config_init(&f->config, GMK_TRACE_ALL, f->slots, slots);
    size_t bytes = rings * sizeof f->rings[0];
    f->rings = must(aligned_alloc(alignof(struct trace_ring), bytes));
    memset(f->rings, 0, bytes);
    f->ring_count = rings;
    for (unsigned i = 0; i < rings; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "worker %u", i);
        /* Not zeroed on purpose: a ring must not depend on what was there. */
        void *memory = must(malloc(words * sizeof(uint64_t)));
        memset(memory, 0xa5, words * sizeof(uint64_t));
        if (!trace_attach(&f->config, &f->rings[i], memory, words, name)) {
            abort();
        }
    }
}

void trace_fixture_fini(struct trace_fixture *f) {
    for (unsigned i = 0; i < f->ring_count; i++) {
        free((void *)f->rings[i].words);
    }
    free(f->rings);
    free((void *)f->slots);
    free(f->bytes);
    free(f->events);
}

static int collect(void *arg, const void *bytes, size_t size) {
    struct trace_fixture *f = arg;
    if (f->size + size > f->room) {
        f->room = (f->size + size) * 2u;
        f->bytes = must(realloc(f->bytes, f->room));
    }
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
    return 0;
}

static void copy_text(char out[48], struct fxt_text text) {
    size_t length = text.length < 47u ? text.length : 47u;
    memcpy(out, text.bytes, length);
    out[length] = '\0';
}

static void on_event(void *arg, const struct fxt_event_read *event) {
    struct trace_fixture *f = arg;
    if (f->count == f->events_room) {
        f->events_room = f->events_room * 2u + 1024u;
        f->events = must(realloc(f->events, f->events_room * sizeof f->events[0]));
    }
    struct traced *e = &f->events[f->count++];
    memset(e, 0, sizeof *e);
    e->type = event->type;
    e->begin = event->begin;
    e->end = event->end;
    e->id = event->id;
    e->thread = event->thread;
    copy_text(e->category, event->category);
    copy_text(e->name, event->name);
    e->arg_count = event->arg_count;
    for (unsigned i = 0; i < event->arg_count && i < 2u; i++) {
        copy_text(e->arg[i], event->args[i].name);
        copy_text(e->text[i], event->args[i].text);
        e->value[i] = event->args[i].value;
    }
}

/* A record is written when its event ends, so per ring the ends never run backwards. */
static bool in_order(const struct trace_fixture *f) {
    uint64_t last[TRACE_RINGS_MAX + 2u] = {0};
    for (size_t i = 0; i < f->count; i++) {
        uint64_t *before = &last[f->events[i].thread % (TRACE_RINGS_MAX + 2u)];
        if (f->events[i].end < *before) {
            return false;
        }
        *before = f->events[i].end;
    }
    return true;
}

bool trace_fixture_export(struct trace_fixture *f) {
    f->size = 0;
    f->count = 0;
    f->status = trace_export(&f->config, &f->exporter, TRACE_FIXTURE_TICKS, collect, f);
    const struct fxt_visitor visitor = {f, on_event, NULL};
    if (f->status != 0 || !fxt_read(f->bytes, f->size, &visitor, &f->result)) {
        return false;
    }
    if (!in_order(f)) {
        f->result.error = "time of a ring runs backwards";
        return false;
    }
    return true;
}
