/* Prometheus: metrics as text, in the exposition format version 0.0.4. See prom.h. */
#include "engine/prom.h"

#include <string.h>

#include "ggmk/error.h"
#include "lib/utf8.h"

#define DIGITS_MAX   20u               /* of a 64-bit number */
#define DECIMALS_MAX 18u               /* 10^18 is the last power of ten below 2^63 */
#define FIXED_ROOM   (DIGITS_MAX + 3u) /* a leading zero, the point, the terminator */

/* ---- Output ------------------------------------------------------------------------ */

static void flush(struct prom *w) {
    if (w->used > 0 && w->status == GMK_OK) {
        int status = w->write(w->arg, w->buffer, w->used);
        w->status = status < 0 ? status : GMK_OK;
    }
    w->used = 0;
}

static void put_bytes(struct prom *w, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (w->used == PROM_BUFFER) {
            flush(w);
        }
        w->buffer[w->used++] = bytes[i];
    }
}

static void put(struct prom *w, const char *text) {
    put_bytes(w, text, strlen(text));
}

/* Writes any text so that it stays on its line and in its quotes. The format asks for
 * \\ and \n everywhere, and for \" in label values only. */
static void put_escaped(struct prom *w, const char *text, bool quotes) {
    size_t size = strlen(text);
    size_t at = 0;
    while (at < size) {
        size_t step = utf8_char(text + at, size - at);
        if (step == 0) {
            put(w, "?");
            step = 1;
        } else if (text[at] == '\\') {
            put(w, "\\\\");
        } else if (text[at] == '\n') {
            put(w, "\\n");
        } else if (text[at] == '"' && quotes) {
            put(w, "\\\"");
        } else {
            put_bytes(w, text + at, step);
        }
        at += step;
    }
}

/* Writes the digits of `value` in front of out[end], at least `width_min`; returns where
 * they begin. */
static unsigned digits_before(char *out, unsigned end, uint64_t value, unsigned width_min) {
    unsigned at = end;
    do {
        out[--at] = (char)('0' + (char)(value % 10u));
        value /= 10u;
    } while (value != 0 || end - at < width_min);
    return at;
}

static void put_number(struct prom *w, uint64_t value) {
    char digits[DIGITS_MAX];
    unsigned at = digits_before(digits, DIGITS_MAX, value, 1);
    put_bytes(w, digits + at, DIGITS_MAX - at);
}

/* Writes value / 10^decimals, terminated, at the end of `out`; returns where it begins. */
static const char *fixed_text(char out[FIXED_ROOM], uint64_t value, unsigned decimals) {
    decimals = decimals > DECIMALS_MAX ? DECIMALS_MAX : decimals;
    uint64_t one = 1;
    for (unsigned i = 0; i < decimals; i++) {
        one *= 10u;
    }
    unsigned at = FIXED_ROOM - 1u;
    out[at] = '\0';
    if (decimals > 0) {
        at = digits_before(out, at, value % one, decimals);
        out[--at] = '.';
    }
    return out + digits_before(out, at, value / one, 1);
}

static void put_fixed(struct prom *w, uint64_t value, unsigned decimals) {
    char text[FIXED_ROOM];
    put(w, fixed_text(text, value, decimals));
}

static uint64_t multiply(uint64_t a, uint64_t b) {
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t scaled(uint64_t value, struct prom_scale scale) {
    uint64_t denominator = scale.denominator == 0 ? 1u : scale.denominator;
    uint64_t whole = multiply(value / denominator, scale.numerator);
    uint64_t part = multiply(value % denominator, scale.numerator) / denominator;
    return whole > UINT64_MAX - part ? UINT64_MAX : whole + part;
}

/* ---- Names ---------------------------------------------------------------------------- */

/* [a-zA-Z_][a-zA-Z0-9_]*, and ':' where `colon`: section "Text-based format" refers to
 * the data model's rules for names. */
static bool name_valid(const char *name, bool colon) {
    if (name == NULL || name[0] == '\0') {
        return false;
    }
    for (size_t i = 0; name[i] != '\0'; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = c >= '0' && c <= '9';
        if (!letter && !(digit && i > 0) && !(c == ':' && colon)) {
            return false;
        }
    }
    return true;
}

/* "le" and "quantile" are ours in families that have them; "__" begins reserved names. */
static bool labels_valid(const struct prom *w, const struct prom_label *labels, unsigned count) {
    if (count > PROM_LABELS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        const char *name = labels[i].name;
        if (!name_valid(name, false) || strncmp(name, "__", 2) == 0 ||
            (w->type == PROM_SUMMARY && strcmp(name, "quantile") == 0) ||
            (w->type == PROM_HISTOGRAM && strcmp(name, "le") == 0)) {
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(name, labels[j].name) == 0) {
                return false;
            }
        }
    }
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------- */

void prom_begin(struct prom *w, gmk_write_fn write, void *arg) {
    memset(w, 0, sizeof *w);
    w->write = write;
    w->arg = arg;
}

void prom_family(struct prom *w, const char *name, const char *help, enum prom_type type) {
    static const char *const types[] = {"counter", "gauge", "summary", "histogram", "untyped"};
    w->family = NULL;
    if (!name_valid(name, true) || (unsigned)type > PROM_UNTYPED) {
        w->misuse = GMK_EINVAL;
        return;
    }
    w->family = name;
    w->type = type;
    put(w, "# HELP ");
    put(w, name);
    put(w, " ");
    put_escaped(w, help == NULL ? "" : help, false);
    put(w, "\n# TYPE ");
    put(w, name);
    put(w, " ");
    put(w, types[type]);
    put(w, "\n");
}

/* May a row of this sort be written now? Opens no output; remembers a refusal. */
static bool row_check(struct prom *w, const struct prom_label *labels, unsigned count, bool sort) {
    if (w->family == NULL || !sort || !labels_valid(w, labels, count)) {
        w->misuse = GMK_EINVAL;
        return false;
    }
    return true;
}

static void put_label(struct prom *w, const char *name, const char *value, bool first) {
    put(w, first ? "{" : ",");
    put(w, name);
    put(w, "=\"");
    put_escaped(w, value == NULL ? "" : value, true);
    put(w, "\"");
}

/* Name and labels of a row, and the space before its value. `extra` may be NULL. */
static void put_head(struct prom *w, const char *suffix, const struct prom_label *labels,
                     unsigned count, const struct prom_label *extra) {
    put(w, w->family);
    put(w, suffix);
    for (unsigned i = 0; i < count; i++) {
        put_label(w, labels[i].name, labels[i].value, i == 0);
    }
    if (extra != NULL) {
        put_label(w, extra->name, extra->value, count == 0);
    }
    put(w, count > 0 || extra != NULL ? "} " : " ");
}

static bool is_plain(const struct prom *w) {
    return w->type != PROM_SUMMARY && w->type != PROM_HISTOGRAM;
}

void prom_ratio(struct prom *w, const struct prom_label *labels, unsigned count, uint64_t value,
                unsigned decimals) {
    if (row_check(w, labels, count, is_plain(w))) {
        put_head(w, "", labels, count, NULL);
        put_fixed(w, value, decimals);
        put(w, "\n");
    }
}

void prom_u64(struct prom *w, const struct prom_label *labels, unsigned count, uint64_t value) {
    prom_ratio(w, labels, count, value, 0);
}

void prom_i64(struct prom *w, const struct prom_label *labels, unsigned count, int64_t value) {
    if (row_check(w, labels, count, is_plain(w))) {
        put_head(w, "", labels, count, NULL);
        put(w, value < 0 ? "-" : "");
        put_number(w, value < 0 ? 0u - (uint64_t)value : (uint64_t)value);
        put(w, "\n");
    }
}

/* The last two rows of summaries and histograms. */
static void put_sum_count(struct prom *w, const struct prom_label *labels, unsigned count,
                          const struct hist_view *view, struct prom_scale scale) {
    put_head(w, "_sum", labels, count, NULL);
    put_fixed(w, scaled(view->sum, scale), scale.decimals);
    put(w, "\n");
    put_head(w, "_count", labels, count, NULL);
    put_number(w, view->count);
    put(w, "\n");
}

void prom_summary(struct prom *w, const struct prom_label *labels, unsigned count,
                  const struct hist_view *view, struct prom_scale scale) {
    static const struct {
        const char *text;
        uint32_t per_million;
    } quantiles[] = {
        {"0.5", 500000}, {"0.9", 900000}, {"0.99", 990000}, {"0.999", 999000}, {"1", 1000000}};
    if (!row_check(w, labels, count, w->type == PROM_SUMMARY)) {
        return;
    }
    for (unsigned i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        struct prom_label quantile = {"quantile", quantiles[i].text};
        put_head(w, "", labels, count, &quantile);
        if (view->count == 0) {
            put(w, "NaN"); /* no value has no median */
        } else {
            put_fixed(w, scaled(hist_quantile(view, quantiles[i].per_million), scale),
                      scale.decimals);
        }
        put(w, "\n");
    }
    put_sum_count(w, labels, count, view, scale);
}

void prom_histogram(struct prom *w, const struct prom_label *labels, unsigned count,
                    const struct hist_view *view, const uint64_t *bounds, unsigned bound_count,
                    struct prom_scale scale) {
    if (!row_check(w, labels, count, w->type == PROM_HISTOGRAM)) {
        return;
    }
    for (unsigned i = 0; i < bound_count; i++) {
        char text[FIXED_ROOM];
        struct prom_label le = {"le", fixed_text(text, scaled(bounds[i], scale), scale.decimals)};
        put_head(w, "_bucket", labels, count, &le);
        put_number(w, hist_count_below(view, bounds[i]));
        put(w, "\n");
    }
    struct prom_label infinity = {"le", "+Inf"};
    put_head(w, "_bucket", labels, count, &infinity);
    put_number(w, view->count);
    put(w, "\n");
    put_sum_count(w, labels, count, view, scale);
}

int prom_end(struct prom *w) {
    w->family = NULL;
    flush(w);
    return w->status != GMK_OK ? w->status : w->misuse;
}

bool prom_name_fits(const char *name) {
    return name != NULL && strlen(name) < GMK_NAME_MAX && name_valid(name, true);
}
