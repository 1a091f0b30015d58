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
#define TASKS 5

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

/* Each atomic block below is one access to shared memory and local steps after it. */

inline take(task) {
    assert(task != 0 && !taken[task]);
    taken[task] = true;
    n_taken++
}

/* Reading a slot takes time: the second step is its end. */
inline read_slot(pos) {
    atomic {
        assert(users[(pos) % CAP] == 0);
        users[(pos) % CAP]++;
        assert(slot[(pos) % CAP] == entered[pos]);
        take(slot[(pos) % CAP])
    }
    users[(pos) % CAP]--
}

/* Owner: appends `task` to the ring; `ok` tells whether it fitted. */
inline push(task) {
    atomic {
        ok = (tail - (real - lag) < CAP);
        if
        :: ok -> entered[tail] = task
        :: !ok && copying == 0 -> assert(tail - real == CAP)
        :: else
        fi
    }
    if
    :: ok ->
        atomic {
            at = tail; /* our own variable */
#ifdef BUG_TAIL_EARLY
            tail = at + 1
#endif
        }
        atomic { assert(users[at % CAP] == 0); users[at % CAP]++; slot[at % CAP] = task }
        atomic { users[at % CAP]--; tail = at + 1; at = 0 }
    :: else
    fi
}

/* Owner: takes the oldest of the ring; nothing when it is empty. */
inline pop() {
    do
    :: atomic {
           old_real = real;
           old_lag = lag;
           if :: old_real == tail -> break :: else fi
       }
#ifdef BUG_POP_STORE
       atomic { real = old_real + 1; ok = true }
#else
       atomic {
           ok = (real == old_real && lag == old_lag);
           if
           :: ok ->
               real = old_real + 1;
#ifdef BUG_LAG_LOST
               lag = 0
#else
               if :: old_lag > 0 -> lag = old_lag + 1 :: else fi
#endif
           :: else
           fi
       }
#endif
       if :: ok -> read_slot(old_real); break :: else fi
    od;
    atomic { old_real = 0; old_lag = 0; ok = false }
}

/* Owner: the newest slot's task; `got` is 0 when there is none. */
inline pop_newest() {
    atomic { ok = (newest_state == FULL); if :: ok -> newest_state = NONE :: else fi }
    if
    :: ok ->
        atomic { assert(newest_users == 0); newest_users++; got = newest }
        newest_users--
    :: else
    fi
}

inline fill_newest(task) {
    atomic { assert(newest_users == 0); newest_users++; newest = task }
    atomic { newest_users--; newest_state = FULL; ok = true }
}

inline push_newest(task) {
    if
    :: newest_state == LEAVING -> push(task)
    :: newest_state == FULL ->
        ok = (tail - (real - lag) < CAP);
        if
        :: ok ->
            pop_newest();
            if
            :: ok -> push(got); assert(ok); fill_newest(task)
            :: else -> push(task); assert(ok)
            fi;
            got = 0
        :: else
        fi
    :: newest_state == NONE -> fill_newest(task)
    fi
}

proctype owner() {
    byte at = 0, next = 1, old_real, old_lag, got;
    bool ok;
    do
    :: next <= TASKS -> push(next); atomic { if :: ok -> next++ :: else fi; ok = false }
    :: next <= TASKS -> push_newest(next); atomic { if :: ok -> next++ :: else fi; ok = false }
    :: n_taken < TASKS -> pop()
    :: n_taken < TASKS ->
        pop_newest();
        atomic { if :: ok -> take(got) :: else fi; ok = false; got = 0 }
    :: n_taken == TASKS -> break
    od
}

inline copy_stolen() {
#ifdef BUG_GIVE_BACK_EARLY
    lag = 0;
#endif
    do
    :: count > 0 -> read_slot(old_real); atomic { old_real++; count-- }
    :: else -> break
    od;
    /* A swap that repeats until it succeeds, and only the lag changes: one step. */
    atomic { lag = 0; copying-- }
}

inline steal() {
    atomic { old_real = real; old_lag = lag }
    atomic {
        if
        :: old_lag != 0 || tail <= old_real || tail - old_real > CAP
        :: else -> /* any number is right; the code takes half */
            if :: count = 1 :: count = tail - old_real fi
        fi
    }
    if
    :: count > 0 ->
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
    :: else
    fi;
    atomic { old_real = 0; old_lag = 0; count = 0; ok = false }
}

inline steal_newest() {
    atomic { ok = (newest_state == FULL); if :: ok -> newest_state = LEAVING :: else fi }
    if
    :: ok ->
#ifdef BUG_NEWEST_EARLY
        newest_state = NONE;
#endif
        atomic { assert(newest_users == 0); newest_users++; take(newest) }
        atomic { newest_users--; newest_state = NONE; ok = false }
    :: else
    fi
}

proctype thief(bool also_newest) {
    byte old_real, old_lag, count;
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
