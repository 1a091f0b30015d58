/* FXT check: reads a trace with the strict reader and tells what is in it.
 *
 *   fxtcheck FILE
 *
 * Prints a line "thread NAME EVENTS" for each thread and "event NAME COUNT" for each name, then
 * the sum. Exits with 1 and the reason when the file is not right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fxt_reader.h"

#define NAMES_MAX 512u
#define FILE_MAX  (64u << 20)

struct tally {
    char name[64];
    uint64_t key, count;
};

static struct tally threads[NAMES_MAX], events[NAMES_MAX];
static size_t thread_count, event_count;

static void name_set(struct tally *tally, struct fxt_text text) {
    size_t length = text.length < sizeof tally->name - 1u ? text.length : sizeof tally->name - 1u;
    memcpy(tally->name, text.bytes, length);
    tally->name[length] = '\0';
}

static void on_object(void *arg, const struct fxt_object_read *object) {
    (void)arg;
    if (object->type != 2 || thread_count == NAMES_MAX)
        return;
    threads[thread_count].key = object->koid;
    name_set(&threads[thread_count++], object->name);
}

static void on_event(void *arg, const struct fxt_event_read *event) {
    (void)arg;
    for (size_t i = 0; i < thread_count; i++)
        threads[i].count += threads[i].key == event->thread;
    size_t i = 0;
    while (i < event_count && !fxt_text_is(event->name, events[i].name))
        i++;
    if (i == NAMES_MAX)
        return;
    if (i == event_count)
        name_set(&events[event_count++], event->name);
    events[i].count++;
}

static void print(const char *what, const struct tally *tallies, size_t count) {
    for (size_t i = 0; i < count; i++)
        printf("%s %s %llu\n", what, tallies[i].name, (unsigned long long)tallies[i].count);
}

int main(int argc, char **argv) {
    static uint8_t bytes[FILE_MAX];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: fxtcheck FILE\n");
        return 2;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const struct fxt_visitor visitor = {NULL, on_event, on_object};
    struct fxt_result result;
    if (!fxt_read(bytes, size, &visitor, &result)) {
        fprintf(stderr, "%s: byte %zu: %s\n", argv[1], result.offset, result.error);
        return 1;
    }
    print("thread", threads, thread_count);
    print("event", events, event_count);
    printf("sum %llu events, %llu ticks per second, %llu times dropped\n",
           (unsigned long long)result.events, (unsigned long long)result.ticks_per_second,
           (unsigned long long)result.dropped);
    return 0;
}
