/* Box: a unit in which tests run pieces of user code (tests/kernel/faults/ring3.S). */
#pragma once

#include "arch/x86_64/arch_user.h"
#include "kernel/cap/unit.h"
#include "kernel/sys/sys.h"
#include "tests/kernel/faults/ring3.h"

#define BOX_DATA_PAGES 4u
#define WAIT_NS        20000000000ull

/* The pieces are at RING3_CODE and, writable, some pages at RING3_DATA. */
struct box {
    struct unit *unit;
    uint32_t serial;
    struct ring3_data *data; /* the kernel's view of it */
};
extern struct box box; /* the running test's, of box_setup() */

struct box box_make(const char *name);
void box_end(struct box *b);
int box_make_root(void **state);
int box_end_root(void **state);
int box_setup(void **state);
int box_teardown(void **state);
/* A new object, mapped there. IF off. */
struct memory *box_map(struct unit *unit, unsigned kind, uint64_t at, uint64_t size, unsigned prot);

/* Where the unit sees a piece. */
uint64_t box_address(const char *piece);
/* A thread that will begin with the piece; box_go() starts it. The others start detached ones. */
struct thread *box_thread(struct box *b, const char *piece, unsigned flags, uint64_t tls);
void box_go(struct box *b, struct thread *t);
struct thread *box_start_with(struct box *b, const char *piece, unsigned flags, uint64_t tls);
struct thread *box_start(const char *piece);
/* Lets a moment pass. */
void box_nap(void);
/* Waits until the unit has so many threads; until the word is so large. */
void box_wait_threads(const struct box *b, unsigned count);
void box_wait_counting(volatile uint64_t *word, uint64_t least);
/* A thread that keeps the unit alive, receives its faults (or, too, its foreign calls), and replies as the
 * data says. */
void box_start_server(struct box *b, bool personality);
/* Runs a piece beside the server to its end, whichever. */
void box_run(const char *piece);
/* Makes a system call that returns; the results. */
uint64_t *box_call(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3);
