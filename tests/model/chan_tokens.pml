/* Channel tokens: one parallel subscription, whose workers take messages by compare-and-swap
 * and retire their token when they find none, with senders that publish through store buffers.
 *
 * Models sub_schedule(), run_parallel(), retire_token(), sub_unpin() and sub_stop() of
 * engine/chan_run.c and chan_sub.c. One message comes again once (a yield), on a worker
 * without a token. At most TOKENS are out, fewer than there are messages.
 *
 * Proven, whenever nothing moves any more: every message was taken once and has ended, and the
 * closed subscription has ended, after its last message. And always: nobody looks at a
 * subscription that has ended, but at its state. */
/* BUGS: BUG_no_fence BUG_no_look_again BUG_no_pin BUG_last_pin_silent BUG_ends_while_running BUG_unpins_before_end */

#define MESSAGES 3
#define TOKENS 2
#define WORKERS 2

bit turn[MESSAGES], buffered[MESSAGES];
byte taken[MESSAGES], ended[MESSAGES];
byte sent;
bit closed;
byte tokens;         /* in the state word */
bit ending, gone;    /* SUB_ENDING, SUB_FREE */
byte queue;          /* tokens in the run queues */
byte again;          /* yielded messages in the run queues */
byte cursor;
byte pins;
bit end_waits;

active proctype memory() {
end_memory:
    do
    :: atomic { buffered[0] -> buffered[0] = 0; turn[0] = 1 }
    :: atomic { buffered[1] -> buffered[1] = 0; turn[1] = 1 }
    :: atomic { buffered[2] -> buffered[2] = 0; turn[2] = 1 }
    od
}

inline schedule() {
    atomic {
        if
        :: !ending && !gone && tokens < TOKENS -> tokens++; queue++
        :: else
        fi
    }
}

inline unpin() {
    atomic { assert(pins > 0); pins--; last = pins == 0 && end_waits };
#ifndef BUG_last_pin_silent
    if
    :: last -> end_waits = 0; schedule()
    :: else
    fi
#endif
}

proctype sender(byte me) {
    bit last;
    buffered[me] = 1;
#ifndef BUG_no_fence
    atomic { if :: buffered[me] -> buffered[me] = 0; turn[me] = 1 :: else fi }
#endif
    schedule();
    atomic { sent++; last = sent == MESSAGES };
    if
    :: last -> closed = 1; schedule()
    :: else
    fi
}

inline look_next(found) {
    assert(!gone);
    found = cursor < MESSAGES && turn[cursor % MESSAGES]
}

inline try_end() {
    do
    :: atomic {
            if
            :: !ending && !gone && tokens == 0 -> ending = 1
            :: else -> break
            fi
        };
#ifdef BUG_ends_while_running
        gone = 1; ending = 0; break;
#else
        atomic { end_waits = 1; stop = pins == 0 };
        if
        :: stop -> atomic { gone = 1; ending = 0 }; break
        :: else
        fi;
        ending = 0;
        if
        :: pins == 0 -> skip
        :: else -> break
        fi
#endif
    od
}

proctype worker() {
    byte at, i;
    bit found, done, stop, last;
end_idle:
    do
    :: atomic { again > 0 -> again-- };
        assert(!gone); /* its handler, its counters */
        ended[0]++;
        unpin()
    :: atomic { queue > 0 -> queue-- };
        assert(!gone);
        do
        :: /* sub_claim() */
            pins++;
            atomic {
                look_next(found);
                at = cursor;
                if
                :: found -> cursor++
                :: else
                fi
            };
            if
            :: found ->
                assert(taken[at] == 0);
                taken[at]++;
                if
                :: at == 0 -> again++ /* yields, still pinned */
                :: else -> ended[at]++; unpin()
                fi
            :: else -> unpin(); break
            fi
        od;
        /* retire_token() */
#ifndef BUG_no_pin
        pins++;
#endif
#ifdef BUG_unpins_before_end
        unpin();
#endif
        atomic { tokens--; done = tokens == 0 };
        look_next(found);
        done = done && closed && cursor == MESSAGES;
#ifndef BUG_no_pin
#ifndef BUG_unpins_before_end
        unpin();
#endif
#endif
#ifdef BUG_no_look_again
        found = 0;
#endif
        if
        :: found -> schedule()
        :: !found && done -> try_end()
        :: else
        fi
    od
}

init {
    byte i;
    atomic {
        run sender(0);
        run sender(1);
        run sender(2);
        run worker();
        run worker()
    };
    timeout;
    do
    :: i < MESSAGES -> assert(taken[i] == 1 && ended[i] == 1); i++
    :: else -> break
    od;
    assert(gone && tokens == 0 && queue == 0 && pins == 0)
}
