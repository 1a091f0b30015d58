/* Spawn: starts a program in a unit of its own.
 *
 *     struct spawn what = {.argv = argv, .frames = 256, .objects = 16};
 *     struct spawned child;
 *     if (spawn_from_initrd(&what, "bin/hello") == GMK_OK && spawn_prepare(&what, &child) == GMK_OK) {
 *         spawn_give(&child, "console", console, GMK_RIGHT_WRITE, 0);
 *         spawn_start(&child);
 *         status = spawn_wait(&child);
 *     }
 *
 * The child holds itself, its budget, and what spawn_give() gave it: nothing else. Its program, its
 * stack and what it is given are paid by the caller's factory; everything it makes, by its own budget.
 * Where its program and stack lie is random. Code is never writable, and data never executable.
 *
 * All return GMK_OK or a negative code of ggmk/error.h. */
#pragma once

#include "ggmk/abi.h"

#define SPAWN_HANDLES_MAX 32u
#define SPAWN_STACK_SIZE  UINT64_C(0x20000)

struct spawn {
    const void *image; /* an ELF file, see lib/elf_load.h */
    size_t size;
    const char *name;                     /* of the unit; NULL: argv[0] */
    const char *const *argv, *const *env; /* ended by NULL; NULL: a name, nothing */
    /* Its budget (gmk_unit_args_t). 0: SPAWN_FRAMES, SPAWN_OBJECTS, no limit of CPU time,
     * GMK_PRIORITY_NORMAL, and as high as its first thread begins. */
    uint64_t frames, objects;
    uint32_t cpu_permille;
    uint16_t priority, priority_max;
    unsigned flags;       /* GMK_THREAD_FPU: its first thread may use vector registers */
    gmk_handle_t factory; /* who pays; 0: GMK_SELF_FACTORY */
    uint64_t seed;        /* of where the program lies, to repeat a run; 0: random */
    const char *error;    /* result: what is wrong with the file (after GMK_EINVAL), or NULL */
};
#define SPAWN_FRAMES  256u
#define SPAWN_OBJECTS 32u

struct spawned {
    const struct spawn *what;
    gmk_handle_t unit;
    gmk_handle_t stack_memory;
    uint64_t stack_top, entry, table;
    unsigned segments, given;
    gmk_named_handle_t handles[SPAWN_HANDLES_MAX + 1];
};

/* A file of the archive: `initrd` or GMK_AT_INITRD. GMK_ENOENT. The rest of *what is cleared. */
int spawn_from_initrd(struct spawn *what, const char *path);
/* A unit with the program in it. `what` must stay until spawn_start(). */
int spawn_prepare(struct spawn *what, struct spawned *child);
/* A capability narrowed to `rights`, which it finds under this name. Needs GRANT on it. */
int spawn_give(struct spawned *child, const char *name, gmk_handle_t handle, unsigned rights,
               uint64_t badge);
/* Its first thread runs. */
int spawn_start(struct spawned *child);
/* Waits for its end, drops it, and returns the status that it ended with. */
int64_t spawn_wait(struct spawned *child);
/* Ends it wherever it is, also before its start; drops it. */
void spawn_end(struct spawned *child);
/* All of it, without capabilities: its status, or an error. */
int64_t spawn_run(struct spawn *what);

/* The archive of initial files, where this program has one: *size 0: none. */
const void *initrd_get(size_t *size);
