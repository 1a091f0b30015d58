/* Monitor, the engine: tasks, workers, channels, modules, services, metrics; and a load to watch.
 *
 * Texts come from the engine's own reports (gmk_dump(), gmk_prometheus()), a command choosing its
 * lines. Only modules and services are read from the engine's tables, which have no report. */
#include <string.h>

#include "engine/engine.h"
#include "ggmk/ggmk.h"
#include "kernel/core/kernel.h"
#include "kernel/debug/kdb.h"

#define LOAD_USUAL 1000u
#define LOAD_MAX   1000000u
#define FILTER_MAX 512u /* bytes of one line of a report */

/* ---- Choosing lines ------------------------------------------------------------------------ */

struct filter {
    const char *const *begins; /* lines that begin with one of these are shown; NULL ends */
    size_t used;
    char line[FILTER_MAX];
};

static bool wanted(const struct filter *f) {
    for (const char *const *begin = f->begins; *begin != NULL; begin++)
        if (strncmp(f->line, *begin, strlen(*begin)) == 0)
            return true;
    return false;
}

/* Collects whole lines out of pieces of any size (gmk_write_fn). */
static int filter_write(void *arg, const void *bytes, size_t size) {
    struct filter *f = arg;
    const char *text = bytes;
    for (size_t i = 0; i < size; i++) {
        if (f->used + 1u < sizeof f->line)
            f->line[f->used++] = text[i];
        if (text[i] != '\n')
            continue;
        f->line[f->used] = '\0';
        if (wanted(f))
            kdb_print("%s", f->line);
        f->used = 0;
    }
    return kdb_interrupted() ? GMK_ECANCELED : GMK_OK;
}

static void dump_lines(const char *const *begins) {
    struct filter filter = {.begins = begins};
    (void)gmk_dump(&kernel_engine, filter_write, &filter);
}

static void cmd_tasks(const struct kdb_call *call) {
    (void)call;
    static const char *const lines[] = {"type ", "group ", "ready ", "overflow", NULL};
    gmk_counts_t c;
    if (gmk_counts(&kernel_engine, &c) == GMK_OK)
        kdb_print("submitted %llu + emitted %llu = completed %llu + failed %llu + dropped %llu + "
                  "inside %llu\n",
                  (unsigned long long)c.submitted, (unsigned long long)c.emitted,
                  (unsigned long long)c.completed, (unsigned long long)c.failed,
                  (unsigned long long)c.dropped, (unsigned long long)c.queued);
    dump_lines(lines);
}

static void cmd_workers(const struct kdb_call *call) {
    (void)call;
    static const char *const lines[] = {"worker ", NULL};
    gmk_sched_stats_t s;
    dump_lines(lines);
    if (gmk_sched_stats(&kernel_engine, &s) == GMK_OK)
        kdb_print("local %llu, gathered %llu, stolen %llu, parks %llu, wakes %llu, timers %llu, "
                  "refused %llu, hangs %llu\n",
                  (unsigned long long)s.local, (unsigned long long)s.gathered,
                  (unsigned long long)s.stolen, (unsigned long long)s.parks,
                  (unsigned long long)s.wakes, (unsigned long long)s.timers,
                  (unsigned long long)s.refused, (unsigned long long)s.hangs);
}

static void cmd_chans(const struct kdb_call *call) {
    (void)call;
    static const char *const lines[] = {"channel ", "  subscription", NULL};
    dump_lines(lines);
}

static void cmd_metrics(const struct kdb_call *call) {
    const char *const all[] = {"", NULL}, *const some[] = {call->argv[0], NULL};
    struct filter filter = {.begins = call->argc > 0 ? some : all};
    (void)gmk_prometheus(&kernel_engine, filter_write, &filter);
}

/* ---- Modules --------------------------------------------------------------------------------- */

static const char *privilege_name(unsigned privilege) {
    static const char *const names[] = {"user", "driver", "kernel"};
    return privilege < 3u ? names[privilege] : "?";
}

static void cmd_mods(const struct kdb_call *call) {
    (void)call;
    const struct engine *eng = kernel_engine.engine; /* lives: its own task runs this */
    for (uint32_t i = 0; i < eng->modules.count; i++) {
        const struct module_entry *e = &eng->modules.entries[i];
        uint32_t v = e->module->version;
        kdb_print("%3u %-20s %u.%u.%u %-6s %u handlers, %u channels%s\n", i, e->module->name,
                  GMK_VERSION_MAJOR(v), GMK_VERSION_MINOR(v), GMK_VERSION_PATCH(v),
                  privilege_name(e->privilege), e->module->n_handlers, e->module->n_channels,
                  e->up ? "" : ", not up");
    }
}

static void cmd_services(const struct kdb_call *call) {
    (void)call;
    const struct engine *eng = kernel_engine.engine;
    unsigned count = 0;
    for (uint32_t i = 0; i < GMK_SERVICES_MAX; i++) {
        const struct service *s = &eng->services.entries[i];
        if (s->name[0] == '\0')
            continue;
        count++;
        kdb_print(
            "%-24s %u.%u.%u for %s, by %s\n", s->name, GMK_VERSION_MAJOR(s->version),
            GMK_VERSION_MINOR(s->version), GMK_VERSION_PATCH(s->version), privilege_name(s->level),
            s->owner < eng->modules.count ? eng->modules.entries[s->owner].module->name : "?");
    }
    kdb_print("%u services\n", count);
}

/* ---- Load ------------------------------------------------------------------------------------ */

/* A task of a tree: meta0 tasks are to run below and with this one. */
int kdb_load_handler(gmk_ctx_t *ctx) {
    uint64_t rest = ctx->task->meta0 - 1u;
    uint64_t halves[2] = {rest / 2u, rest - rest / 2u};
    for (unsigned i = 0; i < 2; i++) {
        gmk_task_t task = {.type = KDB_TYPE_LOAD, .meta0 = halves[i]};
        if (halves[i] != 0 && gmk_spawn(ctx, &task) != GMK_OK)
            return GMK_EFAIL;
    }
    return GMK_OK;
}

static void cmd_load(const struct kdb_call *call) {
    uint64_t count = LOAD_USUAL;
    uint32_t group;
    if (call->argc > 0 && !kdb_arg(call, 0, 10, LOAD_MAX, &count))
        return;
    if (count == 0 || gmk_group_open(call->ctx, 0, &group) != GMK_OK) {
        kdb_print("nothing started: %s\n", count == 0 ? "0 tasks" : "no group is free");
        return;
    }
    gmk_task_t task = {.type = KDB_TYPE_LOAD, .meta0 = count, .group = group};
    uint64_t begin = arch_time_ns();
    int status = gmk_spawn(call->ctx, &task);
    int waited = gmk_group_wait(call->ctx, group);
    uint64_t ns = arch_time_ns() - begin;
    if (status == GMK_OK && waited == GMK_OK)
        kdb_print("%llu tasks in %llu us\n", (unsigned long long)count,
                  (unsigned long long)(ns / 1000u));
    else
        kdb_print("the load failed: %s\n", gmk_strerror(status != GMK_OK ? status : waited));
}

const struct kdb_command kdb_engine_commands[] = {
    {"tasks", "", "task counts, by type", 0, 0, false, cmd_tasks},
    {"workers", "", "workers, and what each runs", 0, 0, false, cmd_workers},
    {"chans", "", "channels and subscriptions", 0, 0, false, cmd_chans},
    {"mods", "", "modules, in boot order", 0, 0, false, cmd_mods},
    {"services", "", "what modules offer each other", 0, 0, false, cmd_services},
    {"metrics", "[PREFIX]", "metrics as text for collectors", 0, 1, false, cmd_metrics},
    {"load", "[TASKS]", "run a tree of empty tasks", 0, 1, false, cmd_load},
    {0},
};
