/* Eventcount: engine/park.c with two waiters, two notifiers and their store buffers.
 *
 * Searched: every interleaving, with a publication that may stay in its CPU's store buffer
 * until a fence, a read-modify-write or the other side's barrier drives it out (TSO; stores
 * that are read-modify-writes in park.c are atomic here). Both kinds of barrier, symmetric and
 * asymmetric, and both kinds of notify, plain and chained, are chosen at the start. A waiter
 * that took an item may stay busy for ever, so that nothing relies on its coming back. With
 * the plain symmetric choice, one waiter's sleep may end once by a time limit.
 *
 * Proven, whenever nothing moves any more:
 *   - work left over means that no waiter sleeps: no wake-up was lost, and none was spent on a
 *     waiter that was busy already;
 *   - `waking` is back to zero;
 *   - and always: no slot is prepared twice.
 *
 * Each planted bug below must break one of these. */

/* BUGS: BUG_NO_RECHECK BUG_NOTIFY_FIRST BUG_NO_FENCE BUG_NO_HEAVY_BARRIER BUG_SLEEP_BLINDLY BUG_STORE_SLEEPING BUG_WAKE_FIRST BUG_WAKING_FIRST BUG_NO_CHAIN BUG_CANCEL_EATS BUG_LEAVE_UNCOUNTED */

#define WAITERS 2
#define NOTIFIERS 2
#define ITEMS 2 /* one of each notifier */

#define IDLE 0
#define PREPARED 1
#define SLEEPING 2
#define NOTIFIED 3

#define ABSENT 0
#define PUBLISHED 1
#define TAKEN 2

bit asymmetric, chained;      /* the two choices */
byte item[ITEMS];             /* what memory shows */
bit buffered[ITEMS];          /* published, but still in the store buffer of its notifier */
byte parked;                  /* the mask */
short waking;
byte word[WAITERS];
bit asleep[WAITERS];          /* queued in the futex */

/* Drives the store buffer of a notifier out. Waiters publish nothing and have none. */
inline drain(one) {
    if
    :: buffered[one] -> buffered[one] = 0; item[one] = PUBLISHED
    :: else
    fi
}
inline flush(who) {
    if
    :: who == 0 -> drain(0)
    :: who == 1 -> drain(1)
    :: else
    fi
}

/* The CPU may also do it by itself, at any time. */
active proctype memory() {
end_memory:
    do
    :: atomic { buffered[0] -> drain(0) }
    :: atomic { buffered[1] -> drain(1) }
    od
}

/* wake_slot(): the word, then the system call if the waiter sleeps. */
inline wake_slot(target) {
#ifdef BUG_WAKE_FIRST
    atomic { asleep[target] = 0 }
    atomic { word[target] = NOTIFIED }
#else
    atomic { old_word = word[target]; word[target] = NOTIFIED }
    if
    :: old_word == SLEEPING ->
        asleep[target] = 0
    :: else
    fi
#endif
}

/* One waiter of the snapshot: claim() and wake_slot(). */
inline try_claim(claimer, victim) {
#ifdef BUG_WAKING_FIRST
    waking++;
    atomic { claimed = (parked >> victim) & 1; parked = parked & ~(1 << victim); flush(claimer) }
    if
    :: claimed -> wake_slot(victim)
    :: else -> waking--
    fi
#else
    atomic { claimed = (parked >> victim) & 1; parked = parked & ~(1 << victim); flush(claimer) }
    if
    :: claimed -> waking++; wake_slot(victim)
    :: else
    fi
#endif
}

/* park_claim_and_wake(1): waiters of the snapshot in any order, each once, until one is claimed. */
inline claim_and_wake(waker) {
    mask = parked;
    claimed = 0;
    do
    :: !claimed && (mask & 1) -> mask = mask & ~1; try_claim(waker, 0)
    :: !claimed && (mask & 2) -> mask = mask & ~2; try_claim(waker, 1)
    :: claimed || mask == 0 -> break
    od;
    mask = 0; claimed = 0; old_word = 0 /* forget: fewer states */
}

inline fence(by) {
    atomic { flush(by) }
}

/* park_notify() and park_notify_chained(). */
inline notify(caller) {
#ifndef BUG_NO_FENCE
    if
    :: !asymmetric -> fence(caller)
    :: asymmetric
    fi;
#endif
    if
    :: parked == 0
    :: parked != 0 && !chained -> claim_and_wake(caller)
    :: parked != 0 && chained ->
        if
        :: asymmetric -> fence(caller)
        :: !asymmetric
        fi;
        if
        :: waking > 0
        :: waking <= 0 -> claim_and_wake(caller)
        fi
    fi
}

inline publish(it) {
    atomic { buffered[it] = 1 }
}

inline publish_and_notify(self, which) {
#ifdef BUG_NOTIFY_FIRST
    notify(self);
    publish(which)
#else
    publish(which);
    notify(self)
#endif
}

proctype notifier(byte id) {
    byte mask, old_word;
    bit claimed;
    publish_and_notify(id, id)
}

/* Looks at every queue and takes one item. Each queue is looked at in a step of its own. */
inline look() {
    found = 0;
    i = 0;
    do
    :: i < ITEMS && !found ->
        atomic {
            if
            :: item[i] == PUBLISHED -> item[i] = TAKEN; found = 1
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    i = 0
}

/* leave(): whoever clears the bit decides the round. */
inline leave(me) {
    atomic { left_claimed = 1 - ((parked >> me) & 1); parked = parked & ~(1 << me) }
    if
#ifndef BUG_LEAVE_UNCOUNTED
    :: left_claimed -> waking--; owes = 1
#else
    :: left_claimed -> owes = 1
#endif
    :: else
    fi;
    left_claimed = 0
}

/* Work in hand: a claim that brought it here, or was wasted on it, is passed on. */
inline pass_on() {
    if
    :: owes -> notify(NOTIFIERS)
    :: else
    fi;
    owes = 0
}

proctype waiter(byte w) {
    byte i, mask, old_word;
    bit found, claimed, left_claimed, owes, limit_used;
    if
    :: w == 0 && !asymmetric && !chained -> limit_used = 0
    :: else -> limit_used = 1 /* without a limit */
    fi;
    do
    :: look();
        if
        :: found ->
#ifndef BUG_NO_CHAIN
            pass_on();
#endif
            if
            :: break       /* busy for ever */
            :: goto again
            fi
        :: else
        fi;
        owes = 0;
        /* park_prepare() */
        word[w] = PREPARED;
        atomic {
            assert((parked & (1 << w)) == 0);
            parked = parked | (1 << w)
        }
#ifndef BUG_NO_HEAVY_BARRIER
        if
        :: asymmetric -> atomic { flush(0); flush(1) }
        :: !asymmetric
        fi;
#endif
#ifndef BUG_NO_RECHECK
        look();
#endif
        if
        :: found ->
            leave(w); /* park_cancel() */
#ifndef BUG_CANCEL_EATS
            pass_on();
#endif
            owes = 0;
            if
            :: break
            :: goto again
            fi
        :: else
        fi;
        /* park_commit() */
#ifdef BUG_STORE_SLEEPING
        atomic { word[w] = SLEEPING }
#else
        atomic {
            if
            :: word[w] == PREPARED -> word[w] = SLEEPING
            :: else
            fi
        }
#endif
        do
        :: word[w] != SLEEPING -> break
        :: else ->
#ifdef BUG_SLEEP_BLINDLY
            asleep[w] = 1;
#else
            atomic {
                if
                :: word[w] == SLEEPING -> asleep[w] = 1 /* the futex compares and queues */
                :: else
                fi
            }
#endif
end_asleep:
            if
            :: !asleep[w]
            :: atomic { asleep[w] && !limit_used -> limit_used = 1; asleep[w] = 0 }; break
            fi
        od;
        leave(w);
again:  found = 0
    od
}

#define QUEUED(i) (item[i] == PUBLISHED)

/* Runs when nothing else can. */
active proctype judge() {
    atomic {
        if
        :: asymmetric = 0
        :: asymmetric = 1
        fi;
        if
        :: chained = 0
        :: chained = 1
        fi;
        run notifier(0);
        run notifier(1);
        run waiter(0);
        run waiter(1)
    }
    timeout;
    assert(waking == 0);
    assert(!(QUEUED(0) || QUEUED(1)) || (!asleep[0] && !asleep[1]))
}
