/* Channel close: senders that emit while the channel closes, ends, and opens again under
 * the same id with another type and another log.
 *
 * Models chan_emit_n() and claim() of engine/chan_send.c, chan_close(), the end of the last
 * subscription, chan_release_if_done() and open_locked() of engine/chan.c. The shape is a
 * number per opening; its lowest bit is the type. Positions of a later opening are higher.
 *
 * Proven: a message that was taken lies in a log that is alive, of the channel whose type
 * was checked, and is delivered before that channel ends; one that was refused is nowhere. */
/* BUGS: BUG_no_second_look BUG_same_positions BUG_closed_apart BUG_release_early BUG_tail_before_gone */

#define OPENINGS 2
#define LAP 4
#define SENDERS 2

byte shape = 1;      /* 1, 2: which opening; 0: closed and gone */
byte tail;           /* position */
bit tail_closed;     /* in the same word */
byte log = 1;        /* ghost: whose log the cells are; 0 freed */
byte taken[3];       /* per opening: claims */
byte published[3];
byte delivered[3];
byte refused;

proctype sender() {
    byte seen_shape, seen_tail;
    bit seen_closed, swapped;
    seen_shape = shape;
    if
    :: seen_shape == 0 -> refused++; goto out
    :: else
    fi;
    /* The message's type is checked against seen_shape here. */
#ifdef BUG_closed_apart
    seen_closed = tail_closed;
#endif
    do
    :: atomic {
            seen_tail = tail;
#ifndef BUG_closed_apart
            seen_closed = tail_closed
#endif
        };
#ifndef BUG_no_second_look
        if
        :: shape != seen_shape -> refused++; goto out
        :: else
        fi;
#endif
        if
        :: seen_closed -> refused++; goto out
        :: else
        fi;
        atomic {
            swapped = 0;
            if
#ifdef BUG_closed_apart
            :: tail == seen_tail -> swapped = 1
#else
            :: tail == seen_tail && tail_closed == seen_closed -> swapped = 1
#endif
            :: else
            fi;
            if
            :: swapped ->
                tail++;
                assert(shape == seen_shape); /* else it is in a channel of another type */
                taken[seen_shape]++
            :: else
            fi
        };
        if
        :: swapped -> break
        :: else
        fi
    od;
    atomic { assert(log == seen_shape); published[seen_shape]++ }; /* writes its cell */
out:
    skip
}

/* The subscriber, and whoever closes and opens: chan_close(), the end, open_locked(). */
proctype life() {
    byte base;
    /* Deliver something, or nothing, before closing. */
    do
    :: delivered[1] < published[1] -> delivered[1]++
    :: break
    od;
    tail_closed = 1;
#ifndef BUG_release_early
    do
    :: delivered[1] < published[1] -> delivered[1]++
    :: delivered[1] == tail - base -> break /* cursor == end of the log */
    od;
#endif
#ifdef BUG_same_positions
    base = 0;
#else
    base = tail + LAP;
#endif
#ifdef BUG_tail_before_gone
    atomic { tail = base; tail_closed = 0 };
    shape = 0;
    log = 0;
#else
    shape = 0;
    log = 0;
    /* Whoever sees this tail does not see the old shape any more: release. */
    atomic { tail = base; tail_closed = 0 };
#endif
    log = 2;
    shape = 2;
    do
    :: delivered[2] < published[2] -> delivered[2]++
    :: timeout -> break
    od;
    assert(taken[1] == delivered[1]);
    assert(taken[2] == delivered[2]);
    assert(taken[1] + taken[2] + refused == SENDERS)
}

init {
    atomic {
        run sender();
        run sender();
        run life()
    }
}
