/* Conf: the text that says what init starts.
 *
 *     # from here to the end of the line: a comment
 *     port bell                     init makes a port (or: notify NAME), to be given under this name
 *
 *     program hello                 a program begins; what follows says more about it
 *         run      bin/hello one    its file in the archive, and its arguments; needed
 *         give     console          a capability of init's that it gets; rights: those usual for
 *         give     bell read        console (write) and initrd (read), else to be named:
 *         give     system read+execute as machine      read write grant execute manage; `as`: found
 *                                   there under another name
 *         frames   256              its budget: pages,
 *         objects  32               objects,
 *         cpu      200              thousandths of one CPU
 *         priority high             idle low normal high realtime, or a number; of its first thread
 *         priority-max realtime     of all its threads; else as `priority`
 *         fpu                       its first thread may use vector registers
 *         restart  failed 5         never (usual), failed (after a fault or a status that is not 0) or
 *                                   always; at most so often (5)
 *         after    other            starts once `other` has started; `after other ended`: has ended
 *
 *     wait                          what stands below starts once all programs above have ended for good
 *
 * Programs start in the order of the text. A line that cannot be used is complained of by its number,
 * and left out; all others count.
 *
 * Pure: works on the text in place and calls nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_PROGRAMS_MAX 48u
#define CONF_OBJECTS_MAX  32u /* ports and notifications */
#define CONF_ARGS_MAX     16u
#define CONF_GIVES_MAX    16u
#define CONF_NAME_MAX     24u /* terminator included: a unit's */
#define CONF_RESTARTS     5u

struct conf_give {
    const char *name, *as; /* init's name for it; the program's */
    unsigned rights;       /* enum gmk_right */
    unsigned line;
};

enum conf_restart { CONF_NEVER, CONF_FAILED, CONF_ALWAYS };

struct conf_program {
    const char *name;
    unsigned line;
    const char *argv[CONF_ARGS_MAX + 1]; /* [0] is its file; NULL: no `run` */
    struct conf_give gives[CONF_GIVES_MAX];
    unsigned give_count;
    uint64_t frames, objects; /* 0: the usual */
    uint32_t cpu_permille;
    uint16_t priority, priority_max; /* 0: the usual */
    bool fpu;
    uint8_t restart; /* enum conf_restart */
    unsigned restarts_max;
    const char *after; /* NULL: none */
    bool after_end;
    unsigned waits; /* for the first so many programs: to be ended */
};

struct conf_object {
    const char *name;
    bool is_port; /* else a notification */
    unsigned line;
};

struct conf {
    struct conf_program programs[CONF_PROGRAMS_MAX];
    unsigned program_count;
    struct conf_object objects[CONF_OBJECTS_MAX];
    unsigned object_count;
    unsigned waits; /* of the programs that are read from now on */
    unsigned complaints;
};

typedef void (*conf_complain_fn)(void *arg, unsigned line, const char *word, const char *why);

/* Reads text[size], which must stay, and gets its words terminated: text[size] is written, too. */
void conf_parse(struct conf *conf, char *text, size_t size, conf_complain_fn complain, void *arg);
/* The program of this name; NULL. */
const struct conf_program *conf_find(const struct conf *conf, const char *name);
