/* Model: the local queue (engine/localq.h), its owner and two thieves, with the newest slot. */
/* BUGS: BUG_TAIL_EARLY BUG_POP_STORE BUG_NO_LAG BUG_LAG_LOST BUG_GIVE_BACK_EARLY BUG_NEWEST_EARLY */
/*
 * What is checked: every task is taken exactly once, whole; the ring gives tasks in the order
 * they entered it; a slot is never written while it is read; the owner's "empty" is exact,
 * and its "full" is exact whenever no thief is copying.
 *
 * What is left out: memory reordering (see ring_mpmc.pml), the wrap of the 48-bit positions
 * (a thief would have to sleep for 2^48 pops), and the thief's own queue: a thief here
 * consumes what it copies. */

#define CAP 2
#define TASKS 4

/* head: one word in the code, so one step reads or swaps both halves. */
byte real = 0, lag = 0;
byte tail = 0;
byte slot[CAP];
mtype = { NONE, FULL, LEAVING };
mtype newest_state = NONE;
byte newest = 0;

/* Ghosts. */
byte entered[TASKS];      /* the task that entered the ring at each position */
bool taken[TASKS + 1];    /* by task */
byte n_taken = 0;
byte users[CAP], newest_users = 0;
byte copying = 0;         /* thieves that are */

inline enter(counter) { d_step { assert(counter == 0); counter++ } }
inline leave(counter) { d_step { counter-- } }
inline take(task) {
    d_step { assert(task != 0 && !taken[task]); taken[task] = true; n_taken++ }
}

/* Owner: appends `task` to the ring; `ok` tells whether it fitted. */
inline push(task) {
    d_step {
        ok = (tail - (real - lag) < CAP);
        if :: !ok && copying == 0 -> assert(tail - real == CAP) :: else fi
    }
    if
    :: ok ->
        d_step { entered[tail] = task }
#ifdef BUG_TAIL_EARLY
        tail++;
#endif
        enter(users[at % CAP]);
        slot[at % CAP] = task;
        leave(users[at % CAP]);
        at++;
#ifndef BUG_TAIL_EARLY
        tail = at
#else
        skip
#endif
    :: else
    fi
}

/* Owner: takes the oldest of the ring; nothing when it is empty. */
inline pop() {
    do
    :: d_step { old_real = real; old_lag = lag };
       if
       :: old_real == tail -> assert(real == tail); break
       :: else
       fi;
#ifdef BUG_POP_STORE
       d_step { real = old_real + 1; ok = true };
#else
       atomic {
           ok = (real == old_real && lag == old_lag);
           if
           :: ok ->
               real = old_real + 1;
#ifdef BUG_LAG_LOST
               lag = 0
#else
               lag = (old_lag == 0 -> 0 : old_lag + 1)
#endif
           :: else
           fi
       }
#endif
       if
       :: ok ->
           enter(users[old_real % CAP]);
           assert(slot[old_real % CAP] == entered[old_real]);
           take(slot[old_real % CAP]);
           leave(users[old_real % CAP]);
           break
       :: else
       fi
    od
}

inline pop_newest() {
    atomic { ok = (newest_state == FULL); if :: ok -> newest_state = NONE :: else fi }
    if
    :: ok -> enter(newest_users); got = newest; leave(newest_users)
    :: else
    fi
}

inline push_newest(task) {
    ok = true;
    if
    :: newest_state == LEAVING -> push(task)
    :: newest_state == FULL && tail - (real - lag) >= CAP -> ok = false
    :: newest_state == FULL && tail - (real - lag) < CAP ->
        pop_newest();
        if
        :: ok -> push(got); assert(ok); fill_newest(task)
        :: else -> push(task); assert(ok)
        fi
    :: newest_state == NONE -> fill_newest(task)
    fi
}

inline fill_newest(task) {
    enter(newest_users);
    newest = task;
    leave(newest_users);
    newest_state = FULL
}

proctype owner() {
    byte at = 0, next = 1, old_real, old_lag, got;
    bool ok;
    do
    :: next <= TASKS -> push(next); if :: ok -> next++ :: else fi
    :: next <= TASKS -> push_newest(next); if :: ok -> next++ :: else fi
    :: n_taken < TASKS -> pop()
    :: n_taken < TASKS -> pop_newest(); if :: ok -> take(got) :: else fi
    :: n_taken == TASKS -> break
    od
}

inline steal() {
    d_step { old_real = real; old_lag = lag };
    old_tail = tail;
    if
    :: old_lag != 0 || old_tail <= old_real || old_tail - old_real > CAP
    :: else ->
        if /* any number is right; the code takes half */
        :: count = 1
        :: count = old_tail - old_real
        fi;
        atomic {
            ok = (real == old_real && lag == old_lag);
            if
            :: ok ->
                real = old_real + count;
#ifndef BUG_NO_LAG
                lag = count;
#endif
                copying++
            :: else
            fi
        }
        if :: ok -> copy_stolen() :: else fi
    fi
}

inline copy_stolen() {
#ifdef BUG_GIVE_BACK_EARLY
    d_step { lag = 0 };
#endif
    i = 0;
    do
    :: i < count ->
        enter(users[(old_real + i) % CAP]);
        assert(slot[(old_real + i) % CAP] == entered[old_real + i]);
        take(slot[(old_real + i) % CAP]);
        leave(users[(old_real + i) % CAP]);
        i++
    :: else -> break
    od;
    /* A swap that repeats until it succeeds, and only the lag changes: one step. */
    atomic { lag = 0; copying-- }
}

inline steal_newest() {
    atomic { ok = (newest_state == FULL); if :: ok -> newest_state = LEAVING :: else fi }
    if
    :: ok ->
#ifdef BUG_NEWEST_EARLY
        newest_state = NONE;
#endif
        enter(newest_users);
        take(newest);
        leave(newest_users);
        newest_state = NONE
    :: else
    fi
}

proctype thief(bool also_newest) {
    byte old_real, old_lag, old_tail, count, i;
    bool ok;
    do
    :: n_taken < TASKS -> steal()
    :: n_taken < TASKS && also_newest -> steal_newest()
    :: n_taken == TASKS -> break
    od
}

init {
    atomic { run owner(); run thief(true); run thief(false) }
    (n_taken == TASKS) -> assert(real == tail && newest_state != FULL)
}
