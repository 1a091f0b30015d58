/* Halt while submitting: the gate of engine/agent.h with one halting thread and two callers.
 *
 * Searched: every interleaving of two threads that each submit up to twice with one that
 * halts and frees the engine. A caller's write of `inside` may stay in its CPU's store buffer
 * while it looks at its entry; only the halting thread's barrier (hal_barrier_all) is sure to
 * drive it out, as in the asymmetric case. The first caller is attached already; the second
 * attaches at its first call, under the running lock. A caller may detach between its calls.
 *
 * Proven:
 *   - nobody uses the engine's memory after it was freed;
 *   - every submit answers OK or EHALTED, and at the end what was answered with OK is exactly
 *     what ran or was dead-lettered;
 *   - halt ends (no deadlock).
 *
 * Each planted bug below must break one of these. */

/* BUGS: BUG_NO_BARRIER BUG_LOOK_FIRST BUG_NO_RECHECK BUG_NO_WAIT BUG_ATTACH_UNLOCKED BUG_LEAVE_EARLY */

#define CALLERS 2
#define CALLS 2

bool freed;            /* the engine's memory is gone */
bool running = true;   /* the engine is in the list of running engines */
bool entry[CALLERS];   /* the caller's record has an entry for this boot */
bool inside[CALLERS];  /* what memory shows */
bool buffered[CALLERS];/* inside = true is still in the caller's store buffer */
bool lock;             /* the running lock */
byte ok;               /* submits answered with OK */
byte queue;            /* tasks inside */
byte ended;            /* tasks that ran or were dead-lettered */

inline acquire() { atomic { !lock -> lock = true } }
inline release() { lock = false }

/* The CPU may write the buffer back at any time. */
active proctype memory() {
end_memory:
    do
    :: atomic { buffered[0] -> buffered[0] = false; inside[0] = true }
    :: atomic { buffered[1] -> buffered[1] = false; inside[1] = true }
    od
}

/* entry_attach(): under the lock, halt is either not there yet or has struck. */
inline attach() {
#ifndef BUG_ATTACH_UNLOCKED
    acquire();
#endif
    if
    :: running ->
#ifdef BUG_ATTACH_UNLOCKED
        skip; /* between the look and the entry */
#endif
        assert(!freed); /* takes a client: the engine's memory */
        entry[me] = true
    :: else
    fi
#ifndef BUG_ATTACH_UNLOCKED
    ; release()
#endif
}

/* entry_release() */
inline detach() {
    acquire();
    if
    :: entry[me] && running ->
        assert(!freed); /* gives the client back */
        entry[me] = false
    :: else ->
        entry[me] = false
    fi;
    release()
}

/* Clearing drains the buffer first: stores of one CPU stay in order. */
inline leave() {
    atomic { buffered[me] = false; inside[me] = false }
}

proctype caller(byte me) {
    byte calls;
    do
    :: calls < CALLS ->
        calls++;
        if
        :: !entry[me] -> attach()
        :: else
        fi;
        if
        :: !entry[me] -> skip /* EHALTED */
        :: else ->
#ifdef BUG_LOOK_FIRST
            if
            :: entry[me] ->
                buffered[me] = true;
                goto in
            :: else -> goto next
            fi;
#endif
            buffered[me] = true; /* A1: inside, perhaps still in the buffer */
#ifndef BUG_NO_RECHECK
            if
            :: entry[me] -> skip
            :: else -> leave(); goto next /* struck: EHALTED */
            fi;
#endif
in:
#ifdef BUG_LEAVE_EARLY
            leave();
#endif
            assert(!freed);
            atomic { queue++; ok++ }
            assert(!freed); /* counters, wake-up */
            leave()
        fi
    :: calls > 0 -> detach(); calls = CALLS
    :: calls == CALLS -> break
next:
        skip
    od
}

/* A worker runs tasks until it is stopped, which is after the gate was shut. */
bool stop;
proctype worker() {
end_worker:
    do
    :: atomic { queue > 0 -> queue--; ended++ }
    :: stop && queue == 0 -> break
    od
}

proctype halter() {
    byte i;
    acquire();
    running = false;
    release();
    /* agent_shut_gate(): strike, barrier, wait */
    acquire();
    i = 0;
    do
    :: i < CALLERS -> entry[i] = false; i++
    :: else -> break
    od;
    release();
#ifndef BUG_NO_BARRIER
    atomic { /* every buffer is driven out, each at its own moment before the barrier returns */
        if :: buffered[0] -> buffered[0] = false; inside[0] = true :: else fi;
        if :: buffered[1] -> buffered[1] = false; inside[1] = true :: else fi
    }
#endif
#ifndef BUG_NO_WAIT
    !inside[0];
    !inside[1];
#endif
    stop = true;
    if
    :: queue == 0 /* the worker has drained */
    :: skip       /* or time ran out */
    fi;
    do /* drop_rest(): what is left ends as dead letters */
    :: atomic { queue > 0 -> queue--; ended++ }
    :: else -> break
    od;
    freed = true;
    assert(ok == ended)
}

init {
    atomic {
        entry[0] = true;
        run caller(0);
        run caller(1);
        run worker();
        run halter()
    }
    /* At the end, when only the memory is left. */
    (freed && !inside[0] && !inside[1]) -> skip;
    timeout -> assert(ok == ended && queue == 0)
}
