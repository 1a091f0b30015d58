/* Report: the result of a run, for a person or for another program. */
#include "examples/loglens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUPED_MAX 32u

/* "1234567" becomes "1,234,567". */
static const char *grouped(uint64_t value, char text[GROUPED_MAX]) {
    char digits[GROUPED_MAX];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, value);
    char *out = text;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *out++ = ',';
        }
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

void report_table(const struct sink *sink, uint64_t top) {
    for (size_t i = 0; i < sink->count && i < top; i++) {
        const struct sink_word *word = &sink->word[i];
        printf("%7" PRIu64 " ", word->count);
        fwrite(word->letters, 1, word->length, stdout);
        putchar('\n');
    }
}

static void line(FILE *out, const char *name, uint64_t value) {
    char text[GROUPED_MAX];
    fprintf(out, "%-16s%16s\n", name, grouped(value, text));
}

void report_summary(FILE *out, const struct summary *summary, const struct sink *sink) {
    char rate[GROUPED_MAX];
    double seconds = (double)(summary->elapsed_ns > 0 ? summary->elapsed_ns : 1) / 1e9;
    line(out, "files", summary->files);
    if (summary->failed > 0) {
        line(out, "files failed", summary->failed);
    }
    line(out, "bytes", summary->bytes);
    line(out, "lines", summary->lines);
    line(out, "words", summary->words);
    line(out, "different words", sink->count);
    fprintf(out, "%-16s%16.3f s on %" PRIu32 " worker%s\n", "time", seconds, summary->workers,
            summary->workers == 1 ? "" : "s");
    fprintf(out, "%-16s%16s lines/s, %.1f MB/s\n", "speed",
            grouped((uint64_t)((double)summary->lines / seconds), rate),
            (double)summary->bytes / 1e6 / seconds);
}
