/* FXT reader: reads an archive in the Fuchsia trace format. See fxt_reader.h. */
#include "tests/lib/fxt_reader.h"

#include <stdlib.h>
#include <string.h>

#define STRINGS 0x8000u /* 15-bit index */
#define THREADS 0x100u  /* 8-bit index */

struct reader {
    const unsigned char *bytes;
    size_t words;
    const struct fxt_visitor *visitor;
    struct fxt_result *result;
    bool provider; /* the provider has introduced itself */
    uint32_t provider_id;
    size_t string[STRINGS]; /* word at which the string's record begins; 0 = undefined */
    bool thread[THREADS];
    uint64_t thread_process[THREADS];
    uint64_t thread_koid[THREADS];
    struct fxt_event_read event; /* here because it is large */
    struct fxt_object_read object;
};

/* A walk through the words of one record. After an error, `error` stays. */
struct walk {
    struct reader *r;
    size_t at;  /* next word */
    size_t end; /* behind the record */
    const char *error;
};

static uint64_t field(uint64_t word, unsigned first, unsigned last) {
    uint64_t width = last - first + 1u;
    return word >> first & (width == 64u ? ~UINT64_C(0) : (UINT64_C(1) << width) - 1u);
}

static uint64_t word_at(const struct reader *r, size_t index) {
    uint64_t word = 0;
    for (unsigned i = 0; i < 8u; i++) {
        word |= (uint64_t)r->bytes[index * 8u + i] << (8u * i); /* little-endian, any host */
    }
    return word;
}

static void fail(struct walk *w, const char *error) {
    w->error = w->error == NULL ? error : w->error;
}

static void expect(struct walk *w, bool holds, const char *error) {
    if (!holds) {
        fail(w, error);
    }
}

static uint64_t take(struct walk *w) {
    if (w->at >= w->end) {
        fail(w, "record is shorter than its parts");
        return 0;
    }
    return word_at(w->r, w->at++);
}

/* ---- Strings --------------------------------------------------------------------- */

/* Well-formed by RFC 3629, decoded and compared against the shortest form. */
static bool utf8_ok(const unsigned char *text, size_t size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t at = 0;
    while (at < size) {
        unsigned char lead = text[at];
        size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : 4;
        if ((length == 4 && lead >> 3 != 30) || length > size - at) {
            return false;
        }
        uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
            if (text[at + i] >> 6 != 2) {
                return false;
            }
            code = code << 6 | (text[at + i] & 0x3fu);
        }
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        at += length;
    }
    return true;
}

/* A stream of `length` bytes with its padding. */
static struct fxt_text take_stream(struct walk *w, uint64_t length, bool is_text) {
    struct fxt_text none = {"", 0};
    size_t words = (size_t)(length + 7u) / 8u;
    if (words > w->end - w->at) {
        fail(w, "stream reaches beyond its record");
        return none;
    }
    const unsigned char *bytes = w->r->bytes + w->at * 8u;
    for (size_t i = (size_t)length; i < words * 8u; i++) {
        expect(w, bytes[i] == 0, "padding of a stream is not zero");
    }
    expect(w, !is_text || utf8_ok(bytes, (size_t)length), "string is not UTF-8");
    w->at += words;
    return (struct fxt_text){(const char *)bytes, (uint32_t)length};
}

/* Section "String references": empty, index, or inline. */
static struct fxt_text take_text(struct walk *w, uint64_t reference) {
    struct fxt_text none = {"", 0};
    if (reference == 0) {
        return none;
    }
    if ((reference & 0x8000u) != 0) {
        expect(w, (reference & 0x7fffu) != 0, "inline string of no bytes");
        return take_stream(w, reference & 0x7fffu, true);
    }
    size_t record = w->r->string[reference];
    if (record == 0) {
        fail(w, "string index used before it is defined");
        return none;
    }
    uint64_t header = word_at(w->r, record);
    return (struct fxt_text){(const char *)w->r->bytes + (record + 1u) * 8u,
                             (uint32_t)field(header, 32, 46)};
}

bool fxt_text_is(struct fxt_text text, const char *expected) {
    return text.length == strlen(expected) && memcmp(text.bytes, expected, text.length) == 0;
}

/* ---- Records that define ------------------------------------------------------------ */

static void read_provider_info(struct walk *w, uint64_t header) {
    struct reader *r = w->r;
    expect(w, !r->provider, "a second provider");
    expect(w, field(header, 60, 63) == 0, "reserved bits in provider info");
    expect(w, field(header, 52, 59) != 0, "provider without a name");
    (void)take_stream(w, field(header, 52, 59), true);
    r->provider = true;
    r->provider_id = (uint32_t)field(header, 20, 51);
}

static void read_metadata(struct walk *w, uint64_t header, size_t at) {
    struct reader *r = w->r;
    bool same = r->provider && field(header, 20, 51) == r->provider_id;
    switch (field(header, 16, 19)) {
    case 1:
        read_provider_info(w, header);
        break;
    case 2:
        expect(w, same, "section of an unknown provider");
        expect(w, field(header, 52, 63) == 0, "reserved bits in provider section");
        break;
    case 3:
        expect(w, same, "event of an unknown provider");
        expect(w, field(header, 52, 63) == 0, "unknown provider event");
        r->result->dropped++;
        break;
    case 4:
        expect(w, at == 0, "trace info elsewhere than at the start");
        break;
    default:
        fail(w, "unknown metadata type");
        break;
    }
}

static void read_initialization(struct walk *w, uint64_t header) {
    expect(w, field(header, 16, 63) == 0, "reserved bits in initialisation");
    expect(w, w->r->result->ticks_per_second == 0, "initialised twice");
    w->r->result->ticks_per_second = take(w);
    expect(w, w->r->result->ticks_per_second != 0, "no ticks per second");
}

static void read_string(struct walk *w, uint64_t header, size_t at) {
    uint64_t index = field(header, 16, 30);
    expect(w, field(header, 31, 31) == 0, "bit 31 of a string record");
    expect(w, field(header, 47, 63) == 0, "reserved bits in a string record");
    expect(w, index != 0, "string index 0 is the empty string");
    (void)take_stream(w, field(header, 32, 46), true);
    w->r->string[index] = at;
    w->r->result->strings++;
}

static void read_thread(struct walk *w, uint64_t header) {
    uint64_t index = field(header, 16, 23);
    expect(w, field(header, 24, 63) == 0, "reserved bits in a thread record");
    expect(w, index != 0, "thread index 0 means inline");
    w->r->thread_process[index] = take(w);
    w->r->thread_koid[index] = take(w);
    w->r->thread[index] = true;
    w->r->result->threads++;
}

/* ---- Arguments ------------------------------------------------------------------------ */

/* The part of an argument that depends on its type; section "Argument types". */
static void read_arg_value(struct walk *w, uint64_t header, struct fxt_arg_read *arg) {
    uint64_t upper = field(header, 32, 63);
    switch (arg->type) {
    case FXT_READ_ARG_NULL:
        expect(w, upper == 0, "reserved bits in a null argument");
        break;
    case FXT_READ_ARG_I32:
    case FXT_READ_ARG_U32:
        arg->value = upper;
        break;
    case FXT_READ_ARG_I64:
    case FXT_READ_ARG_U64:
    case FXT_READ_ARG_DOUBLE:
    case FXT_READ_ARG_POINTER:
    case FXT_READ_ARG_KOID:
        expect(w, upper == 0, "reserved bits in a 64-bit argument");
        arg->value = take(w);
        break;
    case FXT_READ_ARG_STRING:
        expect(w, field(header, 48, 63) == 0, "reserved bits in a string argument");
        arg->text = take_text(w, field(header, 32, 47));
        break;
    case FXT_READ_ARG_BOOL:
        expect(w, upper <= 1, "boolean is neither 0 nor 1");
        arg->value = upper;
        break;
    case FXT_READ_ARG_BLOB:
        arg->value = upper;
        (void)take_stream(w, upper, false);
        break;
    default:
        fail(w, "unknown argument type");
        break;
    }
}

static void read_args(struct walk *w, struct fxt_arg_read *args, unsigned count) {
    for (unsigned i = 0; i < count && w->error == NULL; i++) {
        size_t start = w->at;
        uint64_t header = take(w);
        size_t size = (size_t)field(header, 4, 15);
        args[i] = (struct fxt_arg_read){.type = (unsigned)field(header, 0, 3), .text = {"", 0}};
        args[i].name = take_text(w, field(header, 16, 31));
        read_arg_value(w, header, &args[i]);
        expect(w, w->at == start + size, "argument is not as long as its parts");
    }
}

/* ---- Records that tell ------------------------------------------------------------------- */

static void read_event_thread(struct walk *w, struct fxt_event_read *event, uint64_t reference) {
    if (reference == 0) {
        event->process = take(w);
        event->thread = take(w);
        return;
    }
    expect(w, w->r->thread[reference], "thread index used before it is defined");
    event->process = w->r->thread_process[reference];
    event->thread = w->r->thread_koid[reference];
}

static void read_event(struct walk *w, uint64_t header) {
    struct fxt_event_read *event = &w->r->event;
    event->type = (unsigned)field(header, 16, 19);
    event->arg_count = (unsigned)field(header, 20, 23);
    event->id = 0;
    expect(w, w->r->result->ticks_per_second != 0, "event before initialisation");
    expect(w, event->type <= FXT_READ_FLOW_END, "unknown event type");
    event->begin = take(w);
    event->end = event->begin;
    read_event_thread(w, event, field(header, 24, 31));
    event->category = take_text(w, field(header, 32, 47));
    event->name = take_text(w, field(header, 48, 63));
    read_args(w, event->args, event->arg_count);
    if (event->type == FXT_READ_COMPLETE) {
        event->end = take(w);
        expect(w, event->end >= event->begin, "event ends before it begins");
    } else if (event->type == FXT_READ_COUNTER || event->type >= FXT_READ_ASYNC_BEGIN) {
        event->id = take(w);
    }
    w->r->result->events++;
}

static void read_object(struct walk *w, uint64_t header) {
    struct fxt_object_read *object = &w->r->object;
    object->type = (unsigned)field(header, 16, 23);
    object->arg_count = (unsigned)field(header, 40, 43);
    expect(w, field(header, 44, 63) == 0, "reserved bits in a kernel object");
    object->koid = take(w);
    object->name = take_text(w, field(header, 24, 39));
    read_args(w, object->args, object->arg_count);
    w->r->result->objects++;
}

static void visit(const struct reader *r, unsigned type) {
    if (r->visitor == NULL) {
        return;
    }
    if (type == 4 && r->visitor->event != NULL) {
        r->visitor->event(r->visitor->arg, &r->event);
    }
    if (type == 7 && r->visitor->object != NULL) {
        r->visitor->object(r->visitor->arg, &r->object);
    }
}

/* ---- The archive ----------------------------------------------------------------------------- */

static void read_body(struct walk *w, uint64_t header, unsigned type, size_t at) {
    switch (type) {
    case 0:
        read_metadata(w, header, at);
        break;
    case 1:
        read_initialization(w, header);
        break;
    case 2:
        read_string(w, header, at);
        break;
    case 3:
        read_thread(w, header);
        break;
    case 4:
        read_event(w, header);
        break;
    case 7:
        read_object(w, header);
        break;
    case 5:
    case 6:
    case 8:
    case 9:
    case 10:
    case 15:
        w->r->result->skipped++;
        w->at = w->end;
        break;
    default:
        fail(w, "unknown record type");
        break;
    }
}

/* Reads the record at word `at`; returns its size in words, 0 after an error. */
static size_t read_record(struct reader *r, size_t at) {
    uint64_t header = word_at(r, at);
    unsigned type = (unsigned)field(header, 0, 3);
    size_t size = (size_t)(type == 15 ? field(header, 4, 35) : field(header, 4, 15));
    struct walk w = {.r = r, .at = at + 1u, .end = at + size, .error = NULL};
    if (size == 0 || size > r->words - at) {
        w.error = size == 0 ? "record of no words" : "record reaches beyond the archive";
    } else {
        read_body(&w, header, type, at);
        expect(&w, w.at == w.end, "record is longer than its parts");
    }
    if (w.error != NULL) {
        r->result->error = w.error;
        r->result->offset = at * 8u;
        return 0;
    }
    visit(r, type);
    return size;
}

static void read_archive(struct reader *r, size_t size) {
    if (size % 8u != 0 || size == 0) {
        r->result->error = size == 0 ? "empty archive" : "archive is not of whole words";
        r->result->offset = size - size % 8u;
        return;
    }
    if (word_at(r, 0) != UINT64_C(0x0016547846040010)) {
        r->result->error = "no magic number";
        return;
    }
    for (size_t at = 0; at < r->words;) {
        size_t step = read_record(r, at);
        if (step == 0) {
            return;
        }
        at += step;
    }
}

bool fxt_read(const void *bytes, size_t size, const struct fxt_visitor *visitor,
              struct fxt_result *result) {
    memset(result, 0, sizeof *result);
    struct reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        result->error = "no memory for the reader";
        return false;
    }
    r->bytes = bytes;
    r->words = size / 8u;
    r->visitor = visitor;
    r->result = result;
    read_archive(r, size);
    free(r);
    return result->error == NULL;
}
