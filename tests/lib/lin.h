/* Lin: checks that a recorded history of a FIFO queue could have happened one step at a time.
 *
 * Problem: a concurrent queue is linearizable when every operation can be given one instant
 * between its call and its return such that the sequence of instants is a correct run of a
 * plain queue. Searching for that sequence is exponential in general.
 *
 * Idea: when all values are distinct, a history is linearizable exactly when none of four
 * patterns occurs (T. Henzinger, A. Sezgin, V. Vafeiadis, "Aspect-Oriented Linearizability
 * Proofs", CONCUR 2013, theorem 1; the same patterns in A. Bouajjani, M. Emmi, C. Enea,
 * J. Hamza, "On Reducing Linearizability to State Reachability", ICALP 2015):
 *
 *   fresh   a value is popped that was never pushed, or its pop ended before its push began
 *   repeat  a value is popped twice
 *   order   push(a) ended before push(b) began, b was popped, and a was popped only after
 *           that pop had ended, or never
 *   empty   a pop found the queue empty although at every instant of it some value was
 *           certainly inside (its push had ended, its pop had not begun)
 *
 * All four are checked here in O(n log n): by sorting and sweeping.
 *
 * Bounded queues add a fifth, which is necessary only: a push found the queue full although
 * at no instant of it as many values could have been inside as the queue holds.
 *
 * Weak answers. The rings here may say "empty" while a push that began earlier is not
 * finished, although later pushes are (see engine/ring_mpmc.h), and "full" while an earlier
 * pop is not finished. With `weak`, a value counts as certainly inside only when every push
 * that began before its own push ended has ended too; and a popped value's room counts as
 * free only when every pop that began before its own pop ended has ended too. Everything
 * else stays as strict.
 *
 * Threads stamp each operation with lin_tick() before and after it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lin_kind { LIN_PUSH, LIN_POP, LIN_EMPTY, LIN_FULL };

struct lin_op {
    uint64_t begin, end; /* lin_tick() before and after */
    uint64_t value;      /* of LIN_PUSH and LIN_POP */
    enum lin_kind kind;
};

/* The history of one thread; the caller gives the memory. */
struct lin_log {
    struct lin_op *ops;
    size_t count, capacity;
};

struct lin_rules {
    uint64_t capacity; /* of the queue; 0: no LIN_FULL occurs */
    bool weak;
};

/* NULL when the history passes; else a sentence, and the value or time it is about. */
struct lin_verdict {
    const char *fault;
    uint64_t value;
};

/* A total order of calls and returns: one counter for all threads. */
extern _Atomic uint64_t lin_clock;

static inline uint64_t lin_tick(void) {
    return atomic_fetch_add_explicit(&lin_clock, 1, memory_order_seq_cst);
}

/* Appends to a thread's log; when it is full the operation is not recorded and false comes
 * back: stop recording then, for a history with holes proves nothing. */
bool lin_add(struct lin_log *log, enum lin_kind kind, uint64_t begin, uint64_t end, uint64_t value);

/* Judges the union of `n` logs. Values must be distinct among pushes. */
struct lin_verdict lin_check_fifo(const struct lin_log *logs, size_t n, struct lin_rules rules);
