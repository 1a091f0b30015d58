/* Options: what the command line of loglens asks for. */
#define _GNU_SOURCE 1

#include "examples/loglens/options.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggmk/base.h"
#include "examples/loglens/terminal.h"

#define MEMORY_MIN 16u /* MiB: full channels leave room for a few tables */
#define MEMORY_MAX 65536u

static const char usage[] =
    "Usage: loglens [OPTION]... [FILE|FOLDER]...\n"
    "Counts the words of all files, and of all files below the folders, .gz included.\n"
    "A word is a run of ASCII letters; capitals are lowered. The files are read as one\n"
    "stream, like zcat -f does it. Without an argument: /usr/share/doc /usr/share/dict.\n"
    "\n"
    "  --workers N       worker threads (default: one per CPU, at most 64)\n"
    "  --memory N        MiB for the engine and all that flows through it, at least 16\n"
    "                    (default: as much as it can use)\n"
    "  --top N           list the N most frequent words (default 20)\n"
    "  --all             list all words and nothing else, like uniq -c | sort -rn\n"
    "  --trace FILE      write a trace of every task; open it in https://ui.perfetto.dev\n"
    "  --metrics[=FILE]  write the engine's counters in the Prometheus format (default:\n"
    "                    to standard error)\n"
    "  --help            this text\n"
    "  -                 standard input\n"
    "\n"
    "Exit status: 0 all went well; 1 a file could not be read or the output not be\n"
    "written, the rest is reported; 2 wrong usage; 3 the engine failed.\n";

static const char *const default_inputs[] = {"/usr/share/doc", "/usr/share/dict"};

enum option_id {
    OPTION_WORKERS = 1,
    OPTION_MEMORY,
    OPTION_TOP,
    OPTION_ALL,
    OPTION_TRACE,
    OPTION_METRICS,
    OPTION_HELP
};

static const struct option known[] = {
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"top", required_argument, NULL, OPTION_TOP},
    {"all", no_argument, NULL, OPTION_ALL},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"metrics", optional_argument, NULL, OPTION_METRICS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static uint32_t cpus_allowed(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > (int)GMK_WORKERS_MAX ? GMK_WORKERS_MAX : (uint32_t)count;
}

/* Reads a whole number from `least` to `most`. */
static bool number(const char *option, const char *text, uint64_t least, uint64_t most,
                   uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    if (!digits || value < least || value > most) {
        say("--%s wants a number from %llu to %llu, not '%s'", option, (unsigned long long)least,
            (unsigned long long)most, text);
        return false;
    }
    *out = value;
    return true;
}

static enum options_answer wrong_option(int id, char **argv) {
    if (id == ':') {
        say("%s wants a value (see --help)", argv[optind - 1]);
    } else if (optopt != 0 && strncmp(argv[optind - 1], "--", 2) != 0) {
        say("unknown option -%c (see --help)", optopt);
    } else if (optopt != 0) {
        say("%s takes no value (see --help)", argv[optind - 1]);
    } else {
        say("unknown option %s (see --help)", argv[optind - 1]);
    }
    return OPTIONS_WRONG;
}

static enum options_answer take_option(struct options *options, int id, char **argv) {
    uint64_t value = 0;
    switch (id) {
    case OPTION_WORKERS:
        if (!number("workers", optarg, 1, GMK_WORKERS_MAX, &value)) {
            return OPTIONS_WRONG;
        }
        options->workers = (uint32_t)value;
        return OPTIONS_RUN;
    case OPTION_MEMORY:
        if (!number("memory", optarg, MEMORY_MIN, MEMORY_MAX, &value)) {
            return OPTIONS_WRONG;
        }
        options->memory = (size_t)value << 20;
        return OPTIONS_RUN;
    case OPTION_TOP:
        return number("top", optarg, 0, 1000000000, &options->top) ? OPTIONS_RUN : OPTIONS_WRONG;
    case OPTION_ALL:
        options->all = true;
        return OPTIONS_RUN;
    case OPTION_TRACE:
        options->trace_file = optarg;
        return OPTIONS_RUN;
    case OPTION_METRICS:
        options->metrics = true;
        options->metrics_file = optarg;
        return OPTIONS_RUN;
    case OPTION_HELP:
        return fputs(usage, stdout) < 0 || fflush(stdout) != 0 ? OPTIONS_WRONG : OPTIONS_DONE;
    default:
        return wrong_option(id, argv);
    }
}

enum options_answer options_read(struct options *options, int argc, char **argv) {
    *options = (struct options){.workers = cpus_allowed(), .top = 20};
    opterr = 0;
    for (int id; (id = getopt_long(argc, argv, ":", known, NULL)) != -1;) {
        enum options_answer answer = take_option(options, id, argv);
        if (answer != OPTIONS_RUN) {
            return answer;
        }
    }
    options->inputs = (const char *const *)argv + optind;
    options->n_inputs = (size_t)(argc - optind);
    options->default_inputs = options->n_inputs == 0;
    if (options->default_inputs) {
        options->inputs = default_inputs;
        options->n_inputs = sizeof default_inputs / sizeof default_inputs[0];
    }
    return OPTIONS_RUN;
}
