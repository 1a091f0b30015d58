/* FXT: the words of the Fuchsia trace format, as far as the engine writes it.
 *
 * The format is described at
 *   https://fuchsia.dev/fuchsia-src/reference/tracing/trace-format
 * and cited below by the name of its section. Everything is a 64-bit little-endian word;
 * a record is a header word that says type and size, then its words. Strings and threads
 * are named once by a small index and referred to by it, which is why a task costs three
 * words. Pure functions of their arguments; anybody may call them. */
#pragma once

#include <stdint.h>

/* Section "Record Types". */
enum fxt_record {
    FXT_METADATA = 0,
    FXT_INITIALIZATION = 1,
    FXT_STRING = 2,
    FXT_THREAD = 3,
    FXT_EVENT = 4,
    FXT_KERNEL_OBJECT = 7,
};

/* Section "Event record". */
enum fxt_event_type {
    FXT_INSTANT = 0,
    FXT_COUNTER = 1,
    FXT_DURATION_COMPLETE = 4,
};

/* Section "Argument types". */
enum fxt_arg_type {
    FXT_ARG_U32 = 2,
    FXT_ARG_U64 = 4,
    FXT_ARG_STRING = 6,
    FXT_ARG_KOID = 8,
};

#define FXT_MAGIC             UINT64_C(0x0016547846040010) /* "Magic number record" */
#define FXT_STRING_INDEX_MAX  0x7fffu                      /* "String record" */
#define FXT_INLINE            0x8000u /* "String references": top bit, then the length */
#define FXT_THREAD_INDEX_MAX  255u    /* "Thread record" */
#define FXT_PROVIDER_NAME_MAX 255u    /* "Provider info metadata": 8 bits of length */
#define FXT_OBJECT_PROCESS    1u      /* ZX_OBJ_TYPE_PROCESS */
#define FXT_OBJECT_THREAD     2u      /* ZX_OBJ_TYPE_THREAD */

/* "Record header": type in bits 0..3, size in words in bits 4..15. */
static inline uint64_t fxt_header(unsigned type, uint64_t words) {
    return (uint64_t)type | words << 4;
}

static inline unsigned fxt_type(uint64_t header) {
    return (unsigned)(header & 15u);
}

static inline unsigned fxt_words(uint64_t header) {
    return (unsigned)(header >> 4 & 0xfffu);
}

/* "Atoms": a stream is padded with zeros to whole words. */
static inline unsigned fxt_stream_words(unsigned bytes) {
    return (bytes + 7u) / 8u;
}

/* "Provider info metadata" (metadata type 1); the name stream follows. */
static inline uint64_t fxt_provider_info(uint32_t provider, unsigned name_bytes) {
    return fxt_header(FXT_METADATA, 1u + fxt_stream_words(name_bytes)) | UINT64_C(1) << 16 |
           (uint64_t)provider << 20 | (uint64_t)name_bytes << 52;
}

/* "Provider event metadata" (metadata type 3), event 0: records were likely dropped. */
static inline uint64_t fxt_provider_dropped(uint32_t provider) {
    return fxt_header(FXT_METADATA, 1) | UINT64_C(3) << 16 | (uint64_t)provider << 20;
}

/* "String record"; the string stream follows. */
static inline uint64_t fxt_string(unsigned index, unsigned bytes) {
    return fxt_header(FXT_STRING, 1u + fxt_stream_words(bytes)) | (uint64_t)index << 16 |
           (uint64_t)bytes << 32;
}

/* "Thread record"; process id and thread id follow. */
static inline uint64_t fxt_thread(unsigned index) {
    return fxt_header(FXT_THREAD, 3) | (uint64_t)index << 16;
}

/* "Kernel object record": gives a process or thread its name; object id, then arguments. */
static inline uint64_t fxt_object(unsigned words, unsigned object, unsigned name, unsigned args) {
    return fxt_header(FXT_KERNEL_OBJECT, words) | (uint64_t)object << 16 | (uint64_t)name << 24 |
           (uint64_t)args << 40;
}

/* "Event record". The thread index is added by the ring (fxt_event_thread). */
static inline uint64_t fxt_event(unsigned words, unsigned event, unsigned args, unsigned category,
                                 unsigned name) {
    return fxt_header(FXT_EVENT, words) | (uint64_t)event << 16 | (uint64_t)args << 20 |
           (uint64_t)category << 32 | (uint64_t)name << 48;
}

static inline uint64_t fxt_event_thread(unsigned index) {
    return (uint64_t)index << 24;
}

/* "Argument header": type, size, name, and 32 bits that depend on the type. */
static inline uint64_t fxt_arg(unsigned type, unsigned words, unsigned name, uint32_t value) {
    return (uint64_t)type | (uint64_t)words << 4 | (uint64_t)name << 16 | (uint64_t)value << 32;
}
