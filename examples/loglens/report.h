/* Report: the result of a run, for a person or for another program. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "examples/loglens/sink.h"

struct summary {
    uint64_t files;
    uint64_t failed;
    uint64_t bytes;
    uint64_t lines;
    uint64_t words;
    uint64_t elapsed_ns;
    uint32_t workers;
};

/* The table of the first `top` words, as uniq -c writes it. */
void report_table(const struct sink *sink, uint64_t top);

/* Totals and speed. */
void report_summary(FILE *out, const struct summary *summary, const struct sink *sink);
