/* Prometheus: metrics as text, in the exposition format version 0.0.4.
 *
 * The format: https://prometheus.io/docs/instrumenting/exposition_formats (section
 * "Text-based format"). Serve it as `text/plain; version=0.0.4; charset=utf-8`.
 *
 * The writer knows nothing of the engine's metrics. The caller opens a family (name, help,
 * type), writes its rows (labels, value), opens the next one, and ends:
 *
 *     struct prom w;
 *     prom_begin(&w, write, arg);
 *     prom_family(&w, "ggmk_tasks_total", "Tasks that ended.", PROM_COUNTER);
 *     struct prom_label labels[] = {{"worker", "0"}, {"result", "ok"}};
 *     prom_u64(&w, labels, 2, 42);
 *     int status = prom_end(&w);
 *
 * What a reader would refuse is refused here: a bad name makes prom_end() return
 * GMK_EINVAL and its rows are left out. Label values and help texts may hold anything;
 * they are escaped, and bytes that are not UTF-8 become '?'. The caller sees to it that
 * families have different names and rows of a family different labels. One thread per
 * writer; no memory beyond the structure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/hist.h"
#include "ggmk/trace.h"

enum prom_type { PROM_COUNTER, PROM_GAUGE, PROM_SUMMARY, PROM_HISTOGRAM, PROM_UNTYPED };

struct prom_label {
    const char *name;
    const char *value; /* NULL reads as "" */
};

#define PROM_LABELS_MAX 8u
#define PROM_BUFFER     1024u

struct prom {
    gmk_write_fn write;
    void *arg;
    int status;         /* first error of write(): nothing is written after it */
    int misuse;         /* GMK_EINVAL once a name or type was refused */
    const char *family; /* name of the open family; NULL: none, rows are refused */
    enum prom_type type;
    uint32_t used;
    char buffer[PROM_BUFFER];
};

/* Turns integers into the units Prometheus wants: shown value = stored * numerator /
 * denominator / 10^decimals. Nanoseconds as seconds: {1, 1, 9}; cycles as seconds:
 * {1000000, hal_cycles_khz(), 9}; plain numbers: {1, 1, 0}. Zero denominator reads as 1;
 * numerator * denominator must stay below 2^64 (else it saturates); decimals at most 18. */
struct prom_scale {
    uint64_t numerator;
    uint64_t denominator;
    unsigned decimals;
};

void prom_begin(struct prom *w, gmk_write_fn write, void *arg);

/* May a family have this name? */
bool prom_name_fits(const char *name);

/* Opens a family. `name` must live until the next call of this or prom_end(). */
void prom_family(struct prom *w, const char *name, const char *help, enum prom_type type);

/* One row of a counter, gauge or untyped family. `count` labels, at most PROM_LABELS_MAX. */
void prom_u64(struct prom *w, const struct prom_label *labels, unsigned count, uint64_t value);
void prom_i64(struct prom *w, const struct prom_label *labels, unsigned count, int64_t value);

/* The same for a fraction: value / 10^decimals, as 1.250 for (1250, 3). */
void prom_ratio(struct prom *w, const struct prom_label *labels, unsigned count, uint64_t value,
                unsigned decimals);

/* The rows of one summary: quantiles 0.5, 0.9, 0.99, 0.999 and 1, sum and count. */
void prom_summary(struct prom *w, const struct prom_label *labels, unsigned count,
                  const struct hist_view *view, struct prom_scale scale);

/* The rows of one histogram: cumulative counts at each bound (stored units, ascending),
 * +Inf, sum and count. Pick bounds with hist_bucket_last() to have them exact. */
void prom_histogram(struct prom *w, const struct prom_label *labels, unsigned count,
                    const struct hist_view *view, const uint64_t *bounds, unsigned bound_count,
                    struct prom_scale scale);

/* Hands on what is left. GMK_OK, what write() returned, or GMK_EINVAL after misuse. */
int prom_end(struct prom *w);
