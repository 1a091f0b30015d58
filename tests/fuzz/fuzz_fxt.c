/* FXT fuzzing: the reader over any bytes, and the export over damaged memory.
 *
 * The first byte of the input chooses:
 *   0  the rest is an archive: the reader must not touch a byte outside of it;
 *   1  the rest follows a valid beginning, so that the fuzzer gets to the records at once;
 *   2  the rest is what a ring's memory holds: whatever it is, the export must write an
 *      archive that the strict reader accepts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/trace_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void touch(struct fxt_text text) {
    for (uint32_t i = 0; i < text.length; i++) {
        sink = (uint8_t)text.bytes[i];
    }
}

static void on_event(void *arg, const struct fxt_event_read *event) {
    (void)arg;
    touch(event->category);
    touch(event->name);
    for (unsigned i = 0; i < event->arg_count; i++) {
        touch(event->args[i].name);
        touch(event->args[i].text);
    }
}

static void on_object(void *arg, const struct fxt_object_read *object) {
    (void)arg;
    touch(object->name);
    for (unsigned i = 0; i < object->arg_count; i++) {
        touch(object->args[i].name);
        touch(object->args[i].text);
    }
}

/* An exact copy on the heap, so that the sanitizer sees the first byte too many. */
static void read_archive(const void *head, size_t head_size, const uint8_t *data, size_t size) {
    unsigned char *copy = malloc(head_size + size + 1u);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, head, head_size);
    memcpy(copy + head_size, data, size);
    copy = realloc(copy, head_size + size > 0 ? head_size + size : 1u);
    const struct fxt_visitor visitor = {NULL, on_event, on_object};
    struct fxt_result result;
    bool valid = fxt_read(copy, head_size + size, &visitor, &result);
    if (valid != (result.error == NULL) || result.offset > head_size + size) {
        abort();
    }
    free(copy);
}

/* Magic number, initialisation, string 1 = "abc", thread 1 = (7, 8). */
static const uint64_t beginning[] = {
    UINT64_C(0x0016547846040010), 0x21,    1000000000, UINT64_C(0x0000000300010022),
    UINT64_C(0x0000000000636261), 0x10033, 7,          8};

static void export_damaged(const uint8_t *data, size_t size) {
    struct trace_fixture f;
    trace_fixture_init(&f, 1, TRACE_RING_WORDS_MIN, 8);
    (void)trace_intern(&f.config, "a name");
    size_t bytes = TRACE_RING_WORDS_MIN * sizeof(uint64_t);
    memset((void *)f.rings[0].words, 0, bytes);
    memcpy((void *)f.rings[0].words, data, size < bytes ? size : bytes);
    atomic_store(&f.rings[0].head, TRACE_RING_WORDS_MIN - TRACE_BLOCK_WORDS - 1u);
    bool valid = trace_fixture_export(&f);
    /* Any number may stand where a time does; that is no fault of the format. */
    if (!valid && strcmp(f.result.error, "time of a ring runs backwards") != 0) {
        abort();
    }
    trace_fixture_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3u) {
    case 0:
        read_archive("", 0, data + 1, size - 1u);
        break;
    case 1:
        read_archive(beginning, sizeof beginning, data + 1, size - 1u);
        break;
    default:
        export_damaged(data + 1, size - 1u);
        break;
    }
    return 0;
}
