/* Runner: the programs of the test image, and where the running one stands. */
#pragma once

#include <stddef.h>

/* One of the image's programs, as mk/ktest.mk collects them: its main() under another name, and
 * the constructors and destructors of its own, which a process would run around main(). */
struct program {
    const char *name;
    int (*main)(void);
    void (*const *init)(void), (*const *init_end)(void);
    void (*const *fini)(void), (*const *fini_end)(void);
};
extern const struct program programs[];
extern const size_t program_count;

/* What cmocka.c counts for the whole image. */
struct tally {
    unsigned passed, failed, skipped;
};
extern struct tally tally;
extern const char *program_now; /* its name */

/* stdlib.c: gives back what it kept of freed memory; nobody allocates meanwhile. */
void stdlib_trim(void);

/* What the command line says about a program, and about a test. */
int runner_wants_program(const char *name);
int runner_leaves_out(const char *test);
