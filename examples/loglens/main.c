/* Loglens: counts the words of files, as a pipeline of tasks and channels.
 *
 * This file puts the parts together: it boots an engine with the three modules, feeds
 * them from the source, waits until the engine is quiet, and prints what the sink holds.
 * Only here, in the source and in the sink is anything known of Linux. */
#define _GNU_SOURCE 1

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ggmk/ggmk.h"
#include "examples/loglens/modules/loglens.h"
#include "examples/loglens/modules/table.h"
#include "examples/loglens/options.h"
#include "examples/loglens/paths.h"
#include "examples/loglens/report.h"
#include "examples/loglens/sink.h"
#include "examples/loglens/source.h"
#include "examples/loglens/terminal.h"

enum exit_code { EXIT_FINE = 0, EXIT_FILES = 1, EXIT_USAGE = 2, EXIT_ENGINE = 3 };

#define MAX_CLIENTS 2u /* threads inside that are no workers: this one */
#define WAIT_NS     100000000u

struct run {
    struct options options;
    struct paths paths;
    struct source source;
    struct sink sink;
    struct progress progress;
    gmk_kernel_t kernel;
    struct summary summary;
    bool output_failed;
};

/* Blocks make 68% of the arena. What can be in flight or held at the same time: full
 * channels, the counter's tables of each worker, the reducer's tables. Traces get 2%, so
 * one that shall hold a whole run needs a large arena. */
static size_t arena_size(const struct options *options) {
    const size_t trace_max = (size_t)1 << 30; /* address space; unused pages cost nothing */
    if (options->memory != 0) {
        return options->memory;
    }
    if (options->trace_file != NULL) {
        size_t wanted = (options->workers + (size_t)MAX_CLIENTS) << 28;
        return wanted < trace_max ? wanted : trace_max;
    }
    size_t blocks = (LL_BYTES_SLOTS + LL_TEXT_SLOTS) * (size_t)(64 * 1024);
    blocks += (LL_COUNTS_SLOTS + LL_WORDS_SLOTS + 128) * (size_t)(128 * 1024);
    blocks += options->workers * (size_t)(17 * 128 * 1024);
    return blocks * 3 / 2 + ((size_t)16 << 20);
}

static int boot(struct run *run) {
    gmk_module_t *const modules[] = {&ll_splitter, &ll_counter, &ll_reducer};
    gmk_boot_cfg_t cfg = {
        .arena_size = arena_size(&run->options),
        .n_workers = run->options.workers,
        .n_tenants = 1,
        .max_clients = MAX_CLIENTS,
        .trace_level = run->options.trace_file != NULL ? GMK_TRACE_ALL : GMK_TRACE_OFF,
        .dump_on_request = true,
    };
    return gmk_boot(&run->kernel, &cfg, modules, sizeof modules / sizeof modules[0]);
}

/* Feeds everything into the pipeline and waits until it has come out. */
static int pump(struct run *run) {
    gmk_ctx_t *ctx = gmk_attach(&run->kernel);
    if (ctx == NULL) {
        return GMK_EHALTED;
    }
    int status = sink_open(&run->sink, ctx);
    if (status == GMK_OK) {
        status = source_open(&run->source, &run->kernel, ctx, &run->progress);
    }
    for (size_t i = 0; i < run->paths.count && status == GMK_OK; i++) {
        const struct path *path = &run->paths.item[i];
        status = source_file(&run->source, path->name, path->bytes);
    }
    if (status == GMK_OK) {
        status = source_close(&run->source);
    }
    while (status == GMK_OK && (status = gmk_drain(&run->kernel, WAIT_NS)) == GMK_ETIMEOUT) {
        progress_show(&run->progress, run->source.disk_done, "counting");
        status = GMK_OK;
    }
    return status;
}

static int write_bytes(void *file, const void *bytes, size_t size) {
    return fwrite(bytes, 1, size, file) == size ? GMK_OK : GMK_ESYS;
}

static int write_trace(gmk_kernel_t *kernel, FILE *file) {
    gmk_trace_stats_t stats;
    int status = gmk_trace_export(kernel, write_bytes, file, &stats);
    if (status == GMK_OK && stats.overwritten > 0) {
        say("the trace holds the newest %llu events; older ones had to give way",
            (unsigned long long)stats.records);
    }
    return status;
}

static int write_metrics(gmk_kernel_t *kernel, FILE *file) {
    return gmk_prometheus(kernel, write_bytes, file);
}

/* Runs an export of the engine into a file; reports what went wrong. */
static void export_to(struct run *run, const char *name, int (*export)(gmk_kernel_t *, FILE *)) {
    FILE *file = name != NULL ? fopen(name, "wb") : stderr;
    int status = file != NULL ? export(&run->kernel, file) : GMK_ESYS;
    if (file != NULL && fflush(file) != 0) {
        status = GMK_ESYS;
    }
    if (status != GMK_OK) {
        say("%s: %s", name != NULL ? name : "standard error",
            status == GMK_ESYS ? strerror(errno) : gmk_strerror(status));
        run->output_failed = true;
    }
    if (file != NULL && name != NULL) {
        fclose(file);
    }
}

/* Reports why the counts cannot be trusted, if so. */
static bool trusted(const struct run *run, int status, const gmk_counts_t *counts) {
    if (run->sink.out_of_memory) {
        say("out of memory: the table of words is incomplete");
        return false;
    }
    if (status != GMK_OK) {
        say("the pipeline stopped: %s (%s)", gmk_strerror(status), gmk_error_name(status));
        return false;
    }
    if (!sink_complete(&run->sink) ||
        sink_sum(&run->sink) != run->sink.totals.words + run->sink.split_words) {
        say("the pipeline lost messages: %llu tasks failed, %llu were dropped",
            (unsigned long long)counts->failed, (unsigned long long)counts->dropped);
        return false;
    }
    if (counts->submitted + counts->emitted !=
        counts->completed + counts->failed + counts->dropped) {
        say("the engine's counts do not add up");
        return false;
    }
    return true;
}

/* From boot to halt. */
static enum exit_code count(struct run *run) {
    gmk_counts_t counts = {.submitted = 0};
    uint64_t start_ns = clock_ns();
    int status = boot(run);
    if (status != GMK_OK) {
        say("the engine did not boot: %s (%s)",
            status == GMK_ENOMEM ? "it needs more --memory, or fewer --workers"
                                 : gmk_strerror(status),
            gmk_error_name(status));
        return EXIT_ENGINE;
    }
    status = pump(run);
    progress_end(&run->progress);
    gmk_counts(&run->kernel, &counts);
    if (run->options.trace_file != NULL) {
        export_to(run, run->options.trace_file, write_trace);
    }
    if (run->options.metrics) {
        export_to(run, run->options.metrics_file, write_metrics);
    }
    int halted = gmk_halt(&run->kernel);
    if (!trusted(run, status != GMK_OK ? status : halted, &counts)) {
        return EXIT_ENGINE;
    }
    sink_order(&run->sink);
    run->summary = (struct summary){
        .files = run->source.files,
        .failed = run->source.failed + run->paths.failed,
        .bytes = run->source.bytes,
        .lines = run->sink.totals.lines,
        .words = run->sink.totals.words + run->sink.split_words,
        .elapsed_ns = clock_ns() - start_ns,
        .workers = run->options.workers,
    };
    return EXIT_FINE;
}

/* Finds the files. False: no memory, or none of the default folders is there. */
static bool find_files(struct run *run) {
    for (size_t i = 0; i < run->options.n_inputs; i++) {
        const char *input = run->options.inputs[i];
        if (run->options.default_inputs && access(input, F_OK) != 0) {
            continue;
        }
        if (!paths_add(&run->paths, input)) {
            say("out of memory");
            return false;
        }
    }
    if (run->options.default_inputs && run->paths.count == 0) {
        say("there is nothing to read by default: name files or folders (see --help)");
        return false;
    }
    return true;
}

static enum exit_code print(struct run *run) {
    if (run->options.all) {
        report_table(&run->sink, UINT64_MAX);
    } else {
        report_summary(stdout, &run->summary, &run->sink);
        putchar('\n');
        report_table(&run->sink, run->options.top);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        say("standard output: %s", strerror(errno));
        run->output_failed = true;
    }
    if (run->summary.failed > 0) {
        say("%llu of the inputs could not be read completely",
            (unsigned long long)run->summary.failed);
    }
    return run->summary.failed > 0 || run->output_failed ? EXIT_FILES : EXIT_FINE;
}

int main(int argc, char **argv) {
    struct run run;
    memset(&run, 0, sizeof run);
    enum options_answer answer = options_read(&run.options, argc, argv);
    if (answer != OPTIONS_RUN) {
        return answer == OPTIONS_DONE ? EXIT_FINE : EXIT_USAGE;
    }
    enum exit_code code = EXIT_FILES;
    if (find_files(&run)) {
        progress_start(&run.progress, run.paths.bytes);
        code = count(&run);
    }
    if (code == EXIT_FINE) {
        code = print(&run);
    }
    sink_free(&run.sink);
    paths_free(&run.paths);
    return (int)code;
}
