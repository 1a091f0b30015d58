/* Format: reads a conversion, fetches its argument, prints it padded. See format.h.
 *
 * A conversion is parsed completely before an argument is fetched, so that an unknown one can
 * be printed as it stands without disturbing the arguments of the rest. That includes '*':
 * it is only noted while parsing. */
#include "lib/format.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_MAX 20 /* 2^64-1 in decimal */

enum length {
    LENGTH_INT,
    LENGTH_CHAR,
    LENGTH_SHORT,
    LENGTH_LONG,
    LENGTH_LLONG,
    LENGTH_MAX,
    LENGTH_SIZE,
    LENGTH_PTRDIFF
};

struct spec {
    bool left;
    bool zero;
    bool width_star;
    bool precision_star;
    bool has_precision;
    size_t width;
    size_t precision;
    enum length length;
    char conversion;
};

struct output {
    format_write_fn write;
    void *arg;
    size_t total;
    va_list args;
};

/* ---- Output -------------------------------------------------------------------- */

static void put(struct output *out, const char *piece, size_t length) {
    if (length > 0) {
        out->write(out->arg, piece, length);
        out->total += length;
    }
}

static void put_repeated(struct output *out, bool zeros, size_t count) {
    static const char many[2][17] = {"                ", "0000000000000000"};
    const size_t most = sizeof many[0] - 1;
    while (count > 0) {
        size_t now = count < most ? count : most;
        put(out, many[zeros], now);
        count -= now;
    }
}

/* `prefix` (sign or 0x), zeros, body, padded to the width on the side that was asked for. */
static void put_field(struct output *out, const struct spec *spec, const char *prefix, size_t zeros,
                      const char *body, size_t body_length) {
    size_t prefix_length = strlen(prefix);
    size_t used = prefix_length + zeros + body_length;
    size_t padding = spec->width > used ? spec->width - used : 0;
    if (!spec->left) {
        put_repeated(out, false, padding);
    }
    put(out, prefix, prefix_length);
    put_repeated(out, true, zeros);
    put(out, body, body_length);
    if (spec->left) {
        put_repeated(out, false, padding);
    }
}

/* ---- Conversions --------------------------------------------------------------- */

static size_t digits_of(uint64_t value, unsigned base, bool upper, char digits[DIGITS_MAX]) {
    const char *symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char reversed[DIGITS_MAX];
    size_t count = 0;
    for (; value > 0; value /= base) {
        reversed[count++] = symbols[value % base];
    }
    for (size_t i = 0; i < count; i++) {
        digits[i] = reversed[count - 1 - i];
    }
    return count; /* none for 0: the precision, 1 unless given, adds it */
}

static void put_number(struct output *out, const struct spec *spec, const char *prefix,
                       uint64_t value, unsigned base) {
    char digits[DIGITS_MAX];
    size_t count = digits_of(value, base, spec->conversion == 'X', digits);
    size_t least = spec->has_precision ? spec->precision : 1;
    size_t prefix_length = strlen(prefix);
    if (spec->zero && !spec->left && !spec->has_precision && spec->width > prefix_length) {
        least = spec->width - prefix_length;
    }
    put_field(out, spec, prefix, least > count ? least - count : 0, digits, count);
}

static int64_t fetch_signed(struct output *out, enum length length) {
    switch (length) {
    case LENGTH_CHAR:
        return (signed char)va_arg(out->args, int);
    case LENGTH_SHORT:
        return (short)va_arg(out->args, int);
    case LENGTH_LONG:
        return va_arg(out->args, long);
    case LENGTH_LLONG:
        return va_arg(out->args, long long);
    case LENGTH_SIZE: /* the signed type of the same width */
    case LENGTH_PTRDIFF:
        return va_arg(out->args, ptrdiff_t);
    case LENGTH_INT:
    default:
        return va_arg(out->args, int);
    case LENGTH_MAX:
        return va_arg(out->args, intmax_t);
    }
}

static uint64_t fetch_unsigned(struct output *out, enum length length) {
    switch (length) {
    case LENGTH_CHAR:
        return (unsigned char)va_arg(out->args, unsigned);
    case LENGTH_SHORT:
        return (unsigned short)va_arg(out->args, unsigned);
    case LENGTH_LONG:
        return va_arg(out->args, unsigned long);
    case LENGTH_LLONG:
        return va_arg(out->args, unsigned long long);
    case LENGTH_SIZE:
    case LENGTH_PTRDIFF: /* the unsigned type of the same width */
        return va_arg(out->args, size_t);
    case LENGTH_INT:
    default:
        return va_arg(out->args, unsigned);
    case LENGTH_MAX:
        return va_arg(out->args, uintmax_t);
    }
}

static void put_text(struct output *out, const struct spec *spec, const char *text) {
    if (text == NULL) {
        text = "(null)";
    }
    size_t length = 0;
    while ((!spec->has_precision || length < spec->precision) && text[length] != '\0') {
        length++;
    }
    put_field(out, spec, "", 0, text, length);
}

/* ---- Parsing ------------------------------------------------------------------- */

static size_t clamp(size_t value) {
    return value < FORMAT_WIDTH_MAX ? value : FORMAT_WIDTH_MAX;
}

static const char *parse_number(const char *at, size_t *value, bool *star) {
    *value = 0;
    *star = *at == '*';
    if (*star) {
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        *value = clamp(*value * 10 + (size_t)(*at - '0'));
    }
    return at;
}

static const char *parse_length(const char *at, enum length *length) {
    switch (*at) {
    case 'h':
        *length = at[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
        return at + (at[1] == 'h' ? 2 : 1);
    case 'l':
        *length = at[1] == 'l' ? LENGTH_LLONG : LENGTH_LONG;
        return at + (at[1] == 'l' ? 2 : 1);
    case 'j':
        *length = LENGTH_MAX;
        return at + 1;
    case 'z':
        *length = LENGTH_SIZE;
        return at + 1;
    case 't':
        *length = LENGTH_PTRDIFF;
        return at + 1;
    default:
        *length = LENGTH_INT;
        return at;
    }
}

enum kind { KIND_UNKNOWN, KIND_NUMBER, KIND_OTHER };

static enum kind kind_of(char conversion) {
    switch (conversion) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
        return KIND_NUMBER;
    case 'p':
    case 's':
    case 'c':
    case '%':
        return KIND_OTHER;
    default: /* the end of the text, too */
        return KIND_UNKNOWN;
    }
}

/* `at` is behind the '%'. Returns the end of the conversion, or NULL if it is unknown. */
static const char *parse_spec(const char *at, struct spec *spec) {
    *spec = (struct spec){0};
    for (; *at == '-' || *at == '0'; at++) {
        spec->left = spec->left || *at == '-';
        spec->zero = spec->zero || *at == '0';
    }
    at = parse_number(at, &spec->width, &spec->width_star);
    if (*at == '.') {
        spec->has_precision = true;
        at = parse_number(at + 1, &spec->precision, &spec->precision_star);
    }
    at = parse_length(at, &spec->length);
    spec->conversion = *at;
    enum kind kind = kind_of(*at);
    bool known = kind == KIND_NUMBER || (kind == KIND_OTHER && spec->length == LENGTH_INT);
    return known ? at + 1 : NULL;
}

/* '*': a negative width means left, a negative precision means none. */
static void fetch_stars(struct output *out, struct spec *spec) {
    if (spec->width_star) {
        int width = va_arg(out->args, int);
        spec->left = spec->left || width < 0;
        spec->width = clamp(width < 0 ? 0u - (unsigned)width : (unsigned)width);
    }
    if (spec->precision_star) {
        int precision = va_arg(out->args, int);
        spec->has_precision = precision >= 0;
        spec->precision = precision >= 0 ? clamp((size_t)precision) : 0;
    }
}

static void put_conversion(struct output *out, struct spec *spec) {
    fetch_stars(out, spec);
    switch (spec->conversion) {
    case 'd':
    case 'i': {
        int64_t value = fetch_signed(out, spec->length);
        uint64_t magnitude = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
        put_number(out, spec, value < 0 ? "-" : "", magnitude, 10);
        break;
    }
    case 'u':
        put_number(out, spec, "", fetch_unsigned(out, spec->length), 10);
        break;
    case 'x':
    case 'X':
        put_number(out, spec, "", fetch_unsigned(out, spec->length), 16);
        break;
    case 'p':
        put_number(out, spec, "0x", (uintptr_t)va_arg(out->args, void *), 16);
        break;
    case 's':
        put_text(out, spec, va_arg(out->args, const char *));
        break;
    case 'c': {
        char symbol = (char)va_arg(out->args, int);
        put_field(out, spec, "", 0, &symbol, 1);
        break;
    }
    default: /* '%', the only one left: parse_spec() let no other through */
        put(out, "%", 1);
        break;
    }
}

/* ---- Entry points -------------------------------------------------------------- */

size_t format_to(format_write_fn write, void *arg, const char *text, va_list args) {
    struct output out = {.write = write, .arg = arg, .total = 0};
    va_copy(out.args, args);
    while (*text != '\0') {
        const char *run = text;
        while (*text != '\0' && *text != '%') {
            text++;
        }
        put(&out, run, (size_t)(text - run));
        if (*text == '%') {
            struct spec spec;
            const char *end = parse_spec(text + 1, &spec);
            if (end != NULL) {
                put_conversion(&out, &spec);
                text = end;
            } else {
                put(&out, text, 1); /* the '%'; what follows prints as ordinary text */
                text++;
            }
        }
    }
    va_end(out.args);
    return out.total;
}

struct room {
    char *at;
    size_t left; /* without the terminator */
};

static void write_room(void *arg, const char *piece, size_t length) {
    struct room *room = arg;
    size_t fits = length < room->left ? length : room->left;
    memcpy(room->at, piece, fits);
    room->at += fits;
    room->left -= fits;
}

size_t format_vstring(char *out, size_t size, const char *text, va_list args) {
    char nowhere = '\0'; /* with no room at all, write_room() still wants a valid pointer */
    struct room room = {.at = &nowhere, .left = 0};
    if (size > 0) {
        room.at = out;
        room.left = size - 1;
    }
    size_t length = format_to(write_room, &room, text, args);
    *room.at = '\0';
    return length;
}

size_t format_string(char *out, size_t size, const char *text, ...) {
    va_list args;
    va_start(args, text);
    size_t length = format_vstring(out, size, text, args);
    va_end(args);
    return length;
}
