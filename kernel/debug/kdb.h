/* Kernel monitor: commands on the serial line that show what the kernel does.
 *
 * Bytes come from the line's interrupt into a small ring; a task takes them out, edits the line
 * and runs the command (kdb.c). Commands are tables of rows, one table per subject; a row says by
 * itself how it is called, so that `help` and complaints need nothing else. */
#pragma once

#include "arch/arch.h"
#include "ggmk/module.h"
#include "kernel/debug/report.h"

struct kdb_call {
    unsigned argc; /* words behind the command's name */
    char **argv;
    gmk_ctx_t *ctx; /* of the task that runs the command; NULL after a panic */
};

struct kdb_command {
    const char *name;    /* NULL ends a table */
    const char *args;    /* as shown by help: "ADDRESS [COUNT]" */
    const char *help;    /* one line */
    uint8_t least, most; /* words it takes */
    bool post_mortem;    /* needs no other CPU, no lock and no interrupt: also after a panic */
    void (*fn)(const struct kdb_call *call);
};

extern const struct kdb_command kdb_machine_commands[]; /* kdb_machine.c: CPUs, threads, power */
extern const struct kdb_command kdb_memory_commands[];  /* kdb_memory.c */
extern const struct kdb_command kdb_engine_commands[];  /* kdb_engine.c: tasks, modules, metrics */
extern const struct kdb_command kdb_trace_commands[];   /* kdb_trace.c */
extern const struct kdb_command kdb_unit_commands[];  /* kdb_units.c: user threads, capabilities */
extern const struct kdb_command kdb_sched_commands[]; /* kdb_sched.c: run queues, latency */

/* "ready": enum thread_state. */
const char *kdb_thread_state(unsigned state);

/* Task types of the monitor's module. */
enum { KDB_TYPE_INPUT = 0xe00, KDB_TYPE_LOAD = 0xe01 };
int kdb_load_handler(gmk_ctx_t *ctx); /* kdb_engine.c: what `load` spawns */

/* A line or part of one to the consoles, not into the log. */
void kdb_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Was ctrl-C typed since the command began? For commands that take long. */
bool kdb_interrupted(void);
/* An argument that must be a number up to `most`; complains and returns false otherwise. */
bool kdb_arg(const struct kdb_call *call, unsigned i, unsigned base, uint64_t most, uint64_t *out);

/* Listens, when the command line lets it. Once, from a thread, at the end of the boot. */
void kdb_start(void);
/* Shows the prompt: when there is nothing else to look at. Any context. */
void kdb_greet(void);
/* After a panic: polls the serial line and answers the commands that can be. */
_Noreturn void kdb_post_mortem(void);
