/* Trace fixture: a config with rings of chosen sizes, whose export is read back strictly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/trace.h"
#include "tests/lib/fxt_reader.h"

#define TRACE_FIXTURE_TICKS UINT64_C(1000000000)

/* One event as read back; texts are copied. */
struct traced {
    unsigned type;
    uint64_t begin;
    uint64_t end;
    uint64_t id;
    uint64_t thread; /* 2 = first ring */
    char category[48];
    char name[48];
    unsigned arg_count;
    char arg[2][48]; /* names of the arguments */
    uint64_t value[2];
    char text[2][48]; /* values of string arguments */
};

struct trace_fixture {
    struct trace_config config;
    struct trace_ring *rings; /* ring_count of them, attached */
    unsigned ring_count;
    _Atomic(const char *) *slots;
    struct trace_exporter exporter;
    /* Of the last export. */
    unsigned char *bytes;
    size_t size;
    size_t room;
    struct traced *events;
    size_t count;
    size_t events_room;
    struct fxt_result result;
    int status;
};

/* Makes `rings` rings of `words` words each, named "worker 0" and up, at level ALL. */
void trace_fixture_init(struct trace_fixture *f, unsigned rings, size_t words, uint32_t slots);
void trace_fixture_fini(struct trace_fixture *f);

/* Exports and reads back. False: the export failed or the reader refused it, and
 * f->result.error says why. Events of a thread must not run backwards: checked too. */
bool trace_fixture_export(struct trace_fixture *f);
