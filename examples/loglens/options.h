/* Options: what the command line of loglens asks for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
    uint32_t workers;       /* at least 1 */
    size_t memory;          /* bytes for the engine; 0: as much as it can use */
    uint64_t top;           /* words to list; UINT64_MAX: all */
    bool all;               /* only the table, in the format of uniq -c */
    const char *trace_file; /* NULL: no trace */
    bool metrics;
    const char *metrics_file; /* NULL: standard error */
    const char *const *inputs;
    size_t n_inputs;
    bool default_inputs; /* nobody named them: one that is not there is no error */
};

enum options_answer { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/* Reads the command line. DONE: --help was answered. WRONG: one sentence says what is. */
enum options_answer options_read(struct options *options, int argc, char **argv);
