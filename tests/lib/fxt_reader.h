/* FXT reader: reads an archive in the Fuchsia trace format and refuses what is not right.
 *
 * Written from the description alone and sharing no line with the engine's writer, so that
 * the two check each other:
 *   https://fuchsia.dev/fuchsia-src/reference/tracing/trace-format
 *
 * Strict means: magic number first; whole words; every record exactly as long as its
 * parts; reserved bits and padding zero; strings UTF-8; an index defined before it is
 * used; initialisation before the first event; an event does not end before it begins.
 * One provider per archive. Record types that an engine does not write (blobs, scheduling,
 * logs, profiles, large records) are counted and skipped by their size.
 *
 * Reads memory of any content without touching a byte outside of it. Allocates one block
 * while it runs. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FXT_READ_INSTANT = 0,
    FXT_READ_COUNTER = 1,
    FXT_READ_BEGIN = 2,
    FXT_READ_END = 3,
    FXT_READ_COMPLETE = 4,
    FXT_READ_ASYNC_BEGIN = 5,
    FXT_READ_FLOW_END = 10,
};

enum {
    FXT_READ_ARG_NULL,
    FXT_READ_ARG_I32,
    FXT_READ_ARG_U32,
    FXT_READ_ARG_I64,
    FXT_READ_ARG_U64,
    FXT_READ_ARG_DOUBLE,
    FXT_READ_ARG_STRING,
    FXT_READ_ARG_POINTER,
    FXT_READ_ARG_KOID,
    FXT_READ_ARG_BOOL,
    FXT_READ_ARG_BLOB,
};

#define FXT_READ_ARGS_MAX 15u /* four bits of count */

/* Bytes inside the archive; not terminated. */
struct fxt_text {
    const char *bytes;
    uint32_t length;
};

struct fxt_arg_read {
    struct fxt_text name;
    unsigned type;        /* FXT_READ_ARG_... */
    uint64_t value;       /* numbers; bits of a double; length of a blob */
    struct fxt_text text; /* strings */
};

struct fxt_event_read {
    unsigned type;  /* FXT_READ_INSTANT ... */
    uint64_t begin; /* ticks */
    uint64_t end;   /* of complete events; else the same as begin */
    uint64_t id;    /* of counters, async and flow events; else 0 */
    uint64_t process;
    uint64_t thread;
    struct fxt_text category;
    struct fxt_text name;
    unsigned arg_count;
    struct fxt_arg_read args[FXT_READ_ARGS_MAX];
};

struct fxt_object_read {
    unsigned type; /* 1 process, 2 thread */
    uint64_t koid;
    struct fxt_text name;
    unsigned arg_count;
    struct fxt_arg_read args[FXT_READ_ARGS_MAX];
};

/* Called for each record of the sort, in the order of the archive; each may be NULL. */
struct fxt_visitor {
    void *arg;
    void (*event)(void *arg, const struct fxt_event_read *event);
    void (*object)(void *arg, const struct fxt_object_read *object);
};

struct fxt_result {
    const char *error; /* NULL when all was right */
    size_t offset;     /* byte at which the refused record begins */
    uint64_t ticks_per_second;
    uint64_t strings; /* records of each sort */
    uint64_t threads;
    uint64_t objects;
    uint64_t events;
    uint64_t skipped;
    uint64_t dropped; /* "records were likely dropped" */
};

/* Reads the whole archive; true when it is right. `visitor` may be NULL. */
bool fxt_read(const void *bytes, size_t size, const struct fxt_visitor *visitor,
              struct fxt_result *result);

/* Is the text this one? */
bool fxt_text_is(struct fxt_text text, const char *expected);
