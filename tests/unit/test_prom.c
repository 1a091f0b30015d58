/* Test of the Prometheus writer: exact output, everything a parser would refuse refused,
 * and a strict parser of the format's grammar over output made of hostile texts.
 *
 * With PROM_OUT set, one exposition with everything in it is left in that file, for
 * Prometheus' own opinion: `promtool check metrics < file` (Debian package prometheus). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/prom.h"
#include "ggmk/error.h"
#include "lib/utf8.h"

static char text[65536];
static size_t used;
static struct prom w;

static int collect(void *arg, const void *bytes, size_t size) {
    (void)arg;
    assert_true(used + size < sizeof text);
    memcpy(text + used, bytes, size);
    used += size;
    text[used] = '\0';
    return 0;
}

static int begin(void **state) {
    (void)state;
    used = 0;
    text[0] = '\0';
    prom_begin(&w, collect, NULL);
    return 0;
}

/* ---- A strict parser of one exposition -------------------------------------------------- */

struct parser {
    const char *at;
    char family[64];
    char type[16];
    unsigned rows;
};

static bool skip_over(struct parser *p, const char *literal) {
    size_t length = strlen(literal);
    if (strncmp(p->at, literal, length) != 0) {
        return false;
    }
    p->at += length;
    return true;
}

static bool take_name(struct parser *p, char *out, size_t room, bool colon) {
    size_t length = 0;
    for (; length + 1u < room; length++) {
        char c = p->at[length];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
        if (!letter && !(length > 0 && c >= '0' && c <= '9')) {
            break;
        }
        out[length] = c;
    }
    out[length] = '\0';
    p->at += length;
    return length > 0;
}

/* The text of a help line or a label up to `end`; only the escapes the format names. */
static bool skip_text(struct parser *p, char end) {
    while (*p->at != end) {
        if (*p->at == '\0' || *p->at == '\n') {
            return false;
        }
        if (*p->at == '\\') {
            p->at++;
            if (*p->at != '\\' && *p->at != 'n' && !(end == '"' && *p->at == '"')) {
                return false;
            }
        }
        p->at++;
    }
    p->at++;
    return true;
}

static bool take_labels(struct parser *p) {
    if (!skip_over(p, "{")) {
        return true;
    }
    do {
        char name[64];
        if (!take_name(p, name, sizeof name, false) || !skip_over(p, "=\"") || !skip_text(p, '"')) {
            return false;
        }
    } while (skip_over(p, ","));
    return skip_over(p, "}");
}

static bool take_row(struct parser *p) {
    char name[96];
    size_t family = strlen(p->family);
    if (!take_name(p, name, sizeof name, true) || strncmp(name, p->family, family) != 0) {
        return false;
    }
    const char *suffix = name + family;
    bool buckets = strcmp(p->type, "histogram") == 0;
    bool parts = buckets || strcmp(p->type, "summary") == 0;
    bool known = (suffix[0] == '\0' && !buckets) || (buckets && strcmp(suffix, "_bucket") == 0) ||
                 (parts && (strcmp(suffix, "_sum") == 0 || strcmp(suffix, "_count") == 0));
    if (!known || !take_labels(p) || !skip_over(p, " ")) {
        return false;
    }
    if (!skip_over(p, "NaN")) {
        char *end = NULL;
        (void)strtod(p->at, &end);
        if (end == p->at) {
            return false;
        }
        p->at = end;
    }
    p->rows++;
    return skip_over(p, "\n");
}

static bool take_family(struct parser *p) {
    char name[64];
    if (!skip_over(p, "# HELP ") || !take_name(p, p->family, sizeof p->family, true) ||
        !skip_over(p, " ") || !skip_text(p, '\n') || !skip_over(p, "# TYPE ") ||
        !take_name(p, name, sizeof name, true) || strcmp(name, p->family) != 0 ||
        !skip_over(p, " ") || !take_name(p, p->type, sizeof p->type, false) ||
        !skip_over(p, "\n")) {
        return false;
    }
    while (*p->at != '\0' && *p->at != '#') {
        if (!take_row(p)) {
            return false;
        }
    }
    return true;
}

/* Parses all of `text`; returns the rows. */
static unsigned parse(void) {
    struct parser p = {.at = text};
    assert_true(utf8_valid(text, used));
    assert_true(strlen(text) == used);
    while (*p.at != '\0') {
        const char *start = p.at;
        if (!take_family(&p)) {
            fail_msg("not the exposition format at byte %zu, in the family at byte %zu:\n%s",
                     (size_t)(p.at - text), (size_t)(start - text), start);
        }
    }
    return p.rows;
}

static void save_for_promtool(void) {
    const char *path = getenv("PROM_OUT");
    if (path == NULL) {
        return;
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, used, file), used);
    assert_int_equal(fclose(file), 0);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void families_and_rows_come_out_as_the_format_says(void **state) {
    (void)state;
    const struct prom_label labels[] = {{"worker", "0"}, {"result", "ok"}};
    prom_family(&w, "ggmk_tasks_total", "Tasks that ended.", PROM_COUNTER);
    prom_u64(&w, labels, 2, 42);
    prom_u64(&w, NULL, 0, UINT64_MAX);
    prom_family(&w, "ggmk_load:ratio", "Busy share.", PROM_GAUGE);
    prom_ratio(&w, labels, 1, 1250, 3);
    prom_ratio(&w, labels, 2, 7, 9);
    prom_i64(&w, NULL, 0, INT64_MIN);
    prom_i64(&w, labels, 1, 5);
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_string_equal(text, "# HELP ggmk_tasks_total Tasks that ended.\n"
                              "# TYPE ggmk_tasks_total counter\n"
                              "ggmk_tasks_total{worker=\"0\",result=\"ok\"} 42\n"
                              "ggmk_tasks_total 18446744073709551615\n"
                              "# HELP ggmk_load:ratio Busy share.\n"
                              "# TYPE ggmk_load:ratio gauge\n"
                              "ggmk_load:ratio{worker=\"0\"} 1.250\n"
                              "ggmk_load:ratio{worker=\"0\",result=\"ok\"} 0.000000007\n"
                              "ggmk_load:ratio -9223372036854775808\n"
                              "ggmk_load:ratio{worker=\"0\"} 5\n");
    assert_int_equal(parse(), 6);
}

static void texts_are_escaped_and_cleaned(void **state) {
    (void)state;
    const struct prom_label labels[] = {{"a", "quote\" slash\\ line\nend"},
                                        {"b", "bad\xff"
                                              "utf8"},
                                        {"c", NULL},
                                        {"d", "\xe2\x82\xac"}};
    prom_family(&w, "m", "help\\ with \"quotes\"\nand lines", PROM_UNTYPED);
    prom_u64(&w, labels, 4, 1);
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_string_equal(text, "# HELP m help\\\\ with \"quotes\"\\nand lines\n"
                              "# TYPE m untyped\n"
                              "m{a=\"quote\\\" slash\\\\ line\\nend\",b=\"bad?utf8\",c=\"\","
                              "d=\"\xe2\x82\xac\"} 1\n");
    assert_int_equal(parse(), 1);
}

static void refused(const struct prom_label *labels, unsigned count) {
    begin(NULL);
    prom_family(&w, "fine", "", PROM_GAUGE);
    size_t before = w.used;
    prom_u64(&w, labels, count, 1);
    assert_int_equal(w.used, before); /* nothing of the row was written */
    assert_int_equal(prom_end(&w), GMK_EINVAL);
    assert_int_equal(parse(), 0);
}

static void names_that_readers_refuse_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {NULL, "", "9a", "a-b", "a b", "\xc3\xa4", "a.b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(NULL);
        prom_family(&w, bad[i], "help", PROM_GAUGE);
        prom_u64(&w, NULL, 0, 1); /* its rows are refused with it */
        assert_int_equal(prom_end(&w), GMK_EINVAL);
        assert_string_equal(text, "");
        const struct prom_label label = {bad[i], "x"};
        refused(&label, 1);
    }
    refused(&(const struct prom_label){"a:b", "x"}, 1);
    refused(&(const struct prom_label){"__a", "x"}, 1);
    const struct prom_label twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    refused(twice, 3);
    struct prom_label many[PROM_LABELS_MAX + 1u];
    for (unsigned i = 0; i < PROM_LABELS_MAX + 1u; i++) {
        static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
        many[i] = (struct prom_label){names[i], "x"};
    }
    refused(many, PROM_LABELS_MAX + 1u);
}

static void rows_outside_a_family_or_of_another_sort_are_refused(void **state) {
    static struct hist_view view;
    const struct prom_scale plain = {1, 1, 0};
    const struct prom_label quantile = {"quantile", "0.5"};
    const struct prom_label le = {"le", "1"};
    prom_u64(&w, NULL, 0, 1);
    assert_int_equal(prom_end(&w), GMK_EINVAL);
    begin(state);
    prom_family(&w, "m", "", (enum prom_type)99);
    prom_family(&w, "c", "", PROM_COUNTER);
    prom_summary(&w, NULL, 0, &view, plain);
    prom_histogram(&w, NULL, 0, &view, NULL, 0, plain);
    prom_family(&w, "s", "", PROM_SUMMARY);
    prom_u64(&w, NULL, 0, 1);
    prom_i64(&w, NULL, 0, 1);
    prom_summary(&w, &quantile, 1, &view, plain);
    prom_family(&w, "h", "", PROM_HISTOGRAM);
    prom_u64(&w, NULL, 0, 1);
    prom_histogram(&w, &le, 1, &view, NULL, 0, plain);
    assert_int_equal(prom_end(&w), GMK_EINVAL);
    assert_int_equal(parse(), 0);
}

/* ---- Histograms --------------------------------------------------------------------------------- */

static void summaries_show_quantiles_sum_and_count_in_seconds(void **state) {
    (void)state;
    static struct hist hist;
    static struct hist_view view;
    for (int i = 0; i < 99; i++) {
        hist_record(&hist, 16);
    }
    hist_record(&hist, 2600000000); /* cycles at 2.6 GHz: one second */
    hist_add(&view, &hist);
    const struct prom_label label = {"type", "x"};
    prom_family(&w, "t_seconds", "Times.", PROM_SUMMARY);
    prom_summary(&w, &label, 1, &view, (struct prom_scale){1000000, 2600000, 9});
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_string_equal(text, "# HELP t_seconds Times.\n"
                              "# TYPE t_seconds summary\n"
                              "t_seconds{type=\"x\",quantile=\"0.5\"} 0.000000006\n"
                              "t_seconds{type=\"x\",quantile=\"0.9\"} 0.000000006\n"
                              "t_seconds{type=\"x\",quantile=\"0.99\"} 0.000000006\n"
                              "t_seconds{type=\"x\",quantile=\"0.999\"} 1.000000000\n"
                              "t_seconds{type=\"x\",quantile=\"1\"} 1.000000000\n"
                              "t_seconds_sum{type=\"x\"} 1.000000609\n"
                              "t_seconds_count{type=\"x\"} 100\n");
    assert_int_equal(parse(), 7);
}

static void histograms_are_cumulative_and_end_at_infinity(void **state) {
    (void)state;
    static struct hist hist;
    static struct hist_view view;
    for (uint64_t value = 1; value <= 100; value++) {
        hist_record(&hist, value);
    }
    hist_add(&view, &hist);
    const uint64_t bounds[] = {10, hist_bucket_last(hist_bucket(50))};
    prom_family(&w, "h_seconds", "H.", PROM_HISTOGRAM);
    prom_histogram(&w, NULL, 0, &view, bounds, 2, (struct prom_scale){1, 0, 3});
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_string_equal(text, "# HELP h_seconds H.\n"
                              "# TYPE h_seconds histogram\n"
                              "h_seconds_bucket{le=\"0.010\"} 10\n"
                              "h_seconds_bucket{le=\"0.051\"} 51\n"
                              "h_seconds_bucket{le=\"+Inf\"} 100\n"
                              "h_seconds_sum 5.050\n"
                              "h_seconds_count 100\n");
    assert_int_equal(parse(), 5);
}

static void an_empty_summary_has_no_median(void **state) {
    (void)state;
    static struct hist_view view;
    prom_family(&w, "s", "S.", PROM_SUMMARY);
    prom_summary(&w, NULL, 0, &view, (struct prom_scale){1, 1, 0});
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_non_null(strstr(text, "s{quantile=\"0.5\"} NaN\n"));
    assert_int_equal(parse(), 7);
}

static void numbers_too_large_for_their_scale_saturate(void **state) {
    (void)state;
    static struct hist_view view;
    view.count = 1;
    view.sum = UINT64_MAX;
    view.max = UINT64_MAX;
    prom_family(&w, "s", "S.", PROM_SUMMARY);
    prom_summary(&w, NULL, 0, &view, (struct prom_scale){3, 2, 99});
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_non_null(strstr(text, "s_sum 18.446744073709551615\n"));
    assert_int_equal(parse(), 7);
}

/* ---- Output ---------------------------------------------------------------------------------------- */

static unsigned writes;
static unsigned fail_at;

static int fail_sometime(void *arg, const void *bytes, size_t size) {
    (void)arg;
    (void)bytes;
    (void)size;
    return ++writes == fail_at ? -77 : 0;
}

static void write_much(void) {
    const struct prom_label label = {"label", "a value that takes some room in the buffer"};
    prom_family(&w, "m", "M.", PROM_GAUGE);
    for (uint64_t i = 0; i < 100; i++) {
        prom_u64(&w, &label, 1, i);
    }
}

static void the_writers_error_stops_the_output_and_is_returned(void **state) {
    (void)state;
    writes = 0;
    fail_at = 0;
    prom_begin(&w, fail_sometime, NULL);
    write_much();
    assert_int_equal(prom_end(&w), GMK_OK);
    unsigned all = writes;
    assert_true(all > 3);
    for (fail_at = 1; fail_at <= all; fail_at++) {
        writes = 0;
        prom_begin(&w, fail_sometime, NULL);
        write_much();
        assert_int_equal(prom_end(&w), -77);
        assert_int_equal(writes, fail_at);
    }
}

static void output_longer_than_the_buffer_is_whole(void **state) {
    (void)state;
    write_much();
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_true(used / PROM_BUFFER > 4);
    assert_int_equal(parse(), 100);
}

static void hostile_texts_stay_in_their_places(void **state) {
    (void)state;
    uint32_t random = 12345;
    static struct hist_view view;
    for (int round = 0; round < 2000; round++) {
        char texts[4][24];
        for (int i = 0; i < 4; i++) {
            size_t length = (random = random * 1664525u + 1013904223u) >> 8 & 15u;
            for (size_t j = 0; j < length; j++) {
                static const char alphabet[] = "\n\\\"{},= #\xc3\xa4\xff\x80n";
                random = random * 1664525u + 1013904223u;
                texts[i][j] = alphabet[(random >> 8) % (sizeof alphabet - 1u)];
            }
            texts[i][length] = '\0';
        }
        begin(NULL);
        const struct prom_label labels[] = {{"a", texts[1]}, {"b", texts[2]}, {"c", texts[3]}};
        prom_family(&w, "m", texts[0], round % 2 == 0 ? PROM_GAUGE : PROM_SUMMARY);
        if (round % 2 == 0) {
            prom_u64(&w, labels, 3, 1);
        } else {
            prom_summary(&w, labels, 3, &view, (struct prom_scale){1, 1, 0});
        }
        assert_int_equal(prom_end(&w), GMK_OK);
        assert_int_equal(parse(), round % 2 == 0 ? 1 : 7);
    }
}

static void all_types_together_make_one_valid_exposition(void **state) {
    (void)state;
    static struct hist hist;
    static struct hist_view view;
    for (uint64_t i = 0; i < 1000; i++) {
        hist_record(&hist, i * i);
    }
    hist_add(&view, &hist);
    const uint64_t bounds[] = {1023, 65535};
    const struct prom_scale seconds = {1, 1, 9};
    const struct prom_label label = {"name", "quote\" slash\\ line\nend \xe2\x82\xac"};
    prom_family(&w, "ggmk_tasks_total", "Tasks\nthat \"ended\".", PROM_COUNTER);
    prom_u64(&w, &label, 1, 42);
    prom_family(&w, "ggmk_busy_ratio", "Busy share.", PROM_GAUGE);
    prom_ratio(&w, &label, 1, 250, 3);
    prom_family(&w, "ggmk_queue_seconds", "Time in a queue.", PROM_SUMMARY);
    prom_summary(&w, &label, 1, &view, seconds);
    prom_family(&w, "ggmk_handler_seconds", "Time in a handler.", PROM_HISTOGRAM);
    prom_histogram(&w, &label, 1, &view, bounds, 2, seconds);
    assert_int_equal(prom_end(&w), GMK_OK);
    assert_int_equal(parse(), 14);
    save_for_promtool();
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(families_and_rows_come_out_as_the_format_says),
        T(texts_are_escaped_and_cleaned),
        T(names_that_readers_refuse_are_refused),
        T(rows_outside_a_family_or_of_another_sort_are_refused),
        T(summaries_show_quantiles_sum_and_count_in_seconds),
        T(histograms_are_cumulative_and_end_at_infinity),
        T(an_empty_summary_has_no_median),
        T(numbers_too_large_for_their_scale_saturate),
        T(the_writers_error_stops_the_output_and_is_returned),
        T(output_longer_than_the_buffer_is_whole),
        T(hostile_texts_stay_in_their_places),
        T(all_types_together_make_one_valid_exposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
