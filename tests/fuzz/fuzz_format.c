/* Fuzz of format: any text is safe, and what both know prints as in the C library.
 *
 * The input's first byte chooses. Even: the rest is a raw format text, run with arguments that
 * fit nothing in particular but are harmless for every conversion. Odd: the rest drives the
 * making of one valid conversion, which the C library's snprintf() judges. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/format.h"

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

#define TEXT_MAX 64u
#define OUT_MAX  4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what, const char *text) {
    if (!ok) {
        fprintf(stderr, "fuzz_format: %s: \"%s\"\n", what, text);
        abort();
    }
}

static size_t call(char *out, size_t size, const char *text, ...) {
    va_list args;
    va_start(args, text);
    size_t length = format_vstring(out, size, text, args);
    va_end(args);
    return length;
}

/* Every argument is the address of an empty string: fine for %s, a number for the rest. The
 * text is so short that it cannot ask for more than the twelve that are given: "%*d" asks for
 * two with three characters, nothing asks for more with less. */
static void raw_text(const uint8_t *data, size_t size) {
    char text[17];
    size_t length = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    static const char empty[] = "";
    const char *e = empty;
    char small[8], large[OUT_MAX * 4];
    memset(small, '#', sizeof small);
    size_t wanted = call(large, sizeof large, text, e, e, e, e, e, e, e, e, e, e, e, e);
    size_t cut = call(small, sizeof small - 1, text, e, e, e, e, e, e, e, e, e, e, e, e);
    must(wanted == cut, "the length depends on the room", text);
    must(small[sizeof small - 1] == '#', "it wrote behind the room", text);
    must(memchr(small, '\0', sizeof small - 1) != NULL, "no terminator", text);
    size_t shown = wanted < sizeof small - 2 ? wanted : sizeof small - 2;
    must(memcmp(small, large, shown) == 0, "the cut text differs", text);
}

struct bytes {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct bytes *b, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count && b->left > 0; i++, b->at++, b->left--) {
        value = value << 8 | *b->at;
    }
    return value;
}

/* Flags, width and precision of one conversion, each perhaps. */
static void make_prefix(struct bytes *b, char text[TEXT_MAX], int *has_precision) {
    uint64_t choice = take(b, 1);
    char width[8] = "", precision[8] = "";
    if (choice & 4) {
        (void)snprintf(width, sizeof width, "%u", (unsigned)(take(b, 2) % FORMAT_WIDTH_MAX));
    }
    if (choice & 8) {
        (void)snprintf(precision, sizeof precision, ".%u",
                       (unsigned)(take(b, 2) % FORMAT_WIDTH_MAX));
    }
    *has_precision = (choice & 8) != 0;
    (void)snprintf(text, TEXT_MAX, "<%%%s%s%s%s", choice & 1 ? "-" : "", choice & 2 ? "0" : "",
                   width, precision);
}

static void compare(const char *text, const char *wanted, int wanted_length, const char *out,
                    size_t length) {
    must(wanted_length >= 0 && (size_t)wanted_length == length, "another length than libc", text);
    must(strcmp(out, wanted) == 0, "another text than libc", text);
}

#define BOTH(value)                                                                    \
    do {                                                                               \
        int wanted_length = snprintf(wanted, sizeof wanted, text, value);              \
        compare(text, wanted, wanted_length, out, call(out, sizeof out, text, value)); \
    } while (0)

static void one_number(struct bytes *b, char text[TEXT_MAX]) {
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "j", "z", "t"};
    static const char kinds[] = "diuxX";
    char wanted[OUT_MAX], out[OUT_MAX];
    uint64_t which = take(b, 1) % 8, kind = take(b, 1) % 5;
    size_t used = strlen(text);
    (void)snprintf(text + used, TEXT_MAX - used, "%s%c>", lengths[which], kinds[kind]);
    uint64_t value = take(b, 8);
    if (which < 3) {
        BOTH((int)value);
    } else {
        BOTH((long long)value); /* l, ll, j, z, t: all 64 bits here */
    }
}

static void one_text(struct bytes *b, char text[TEXT_MAX], int has_precision) {
    char wanted[OUT_MAX], out[OUT_MAX];
    strncat(text, "s>", TEXT_MAX - strlen(text) - 1);
    size_t dot = has_precision ? (size_t)strtoul(strchr(text, '.') + 1, NULL, 10) : SIZE_MAX;
    size_t length = b->left < 1000 ? b->left : 1000;
    char terminated[1001];
    memcpy(terminated, b->at, length);
    terminated[length] = '\0';
    /* Ours gets a heap copy without terminator where the precision allows that, so that
     * AddressSanitizer sees a byte read too many. (Its own snprintf() reads one.) */
    size_t room = dot < length ? dot : length + 1;
    char *bare = malloc(room + 1);
    must(bare != NULL, "no memory", text);
    char *copy = bare + 1; /* ends where the block ends, also when it is empty */
    memcpy(copy, terminated, room);
    int wanted_length = snprintf(wanted, sizeof wanted, text, terminated);
    compare(text, wanted, wanted_length, out, call(out, sizeof out, text, copy));
    free(bare);
}

static void one_conversion(const uint8_t *data, size_t size) {
    struct bytes b = {data, size};
    char text[TEXT_MAX];
    int has_precision = 0;
    make_prefix(&b, text, &has_precision);
    if (take(&b, 1) & 1) {
        one_text(&b, text, has_precision);
    } else {
        one_number(&b, text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        raw_text(data + 1, size - 1);
    } else {
        one_conversion(data + 1, size - 1);
    }
    return 0;
}
